/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/recovery.h>

#include "session_private.h"

#include <vmrun/apply.h>
#include <vmrun/error.h>
#include <vmrun/gpu_users.h>
#include <vmrun/process.h>
#include <vmrun/scout.h>
#include <vmrun/shared.h>
#include <vmrun/spawn.h>

/* How often the kernel is asked whether a group is free. It has no event for that. */
#define GROUP_POLL_MS 20
/* The least that an answer is waited for: one that comes later is an answer, too: it is in use. */
#define GROUP_ANSWER_MS 3000
/* As long as another start needs to claim and change what is shared, and then without the lock:
 * going on is safer than not. */
#define SHARED_TIMEOUT_MS 60000
/* systemd answers at once or is not to be counted on. */
#define STATE_TIMEOUT_MS 5000

/* systemctl(1), is-system-running. No answer: it is not. */
bool
vr_host_is_stopping(const VrSysroot *root)
{
    g_autofree char *elsewhere = g_strdup_printf("--root=%s", vr_sysroot_directory(root));
    const char *const here[] = {"systemctl", "is-system-running", NULL};
    const char *const there[] = {"systemctl", elsewhere, "is-system-running", NULL};
    g_autoptr(GError) ignored = NULL;
    if (!vr_sysroot_exists(root, "/run/systemd/system")) { /* sd_booted(3) */
        return false;
    }
    g_autoptr(VrSpawnResult) result =
        vr_spawn(vr_sysroot_is_live(root) ? here : there, STATE_TIMEOUT_MS, &ignored);
    return result != NULL && g_str_has_prefix(result->standard_output, "stopping");
}

static bool
is_held(VrScout *scout, const VrBinding *binding, unsigned timeout_ms)
{
    return binding->group >= 0 &&
           vr_scout_group_is_busy(scout, binding->group, timeout_ms) == VR_YES;
}

/* The first one whose group is in use, or NULL. */
static const VrBinding *
find_held(VrScout *scout, const VrHostState *before, unsigned timeout_ms)
{
    for (guint i = 0; i < before->bindings->len; i++) {
        const VrBinding *binding = g_ptr_array_index(before->bindings, i);
        if (is_held(scout, binding, timeout_ms)) {
            return binding;
        }
    }
    return NULL;
}

char *
vr_group_holders(VrScout *scout, const VrBinding *held)
{
    VrPciFunction function = {.address = held->address, .group = held->group};
    g_autoptr(GPtrArray) one = g_ptr_array_new();
    g_ptr_array_add(one, &function);
    g_autoptr(VrHolders) found = vr_scout_processes(scout, one, NULL);
    char *who = found != NULL ? vr_holders_describe(found) : NULL;
    return who != NULL ? who : g_strdup("something that has no open file, such as a dying process");
}

static char *
describe_held(VrScout *scout, const VrBinding *held)
{
    g_autofree char *address = vr_pci_address_format(held->address);
    g_autofree char *who = vr_group_holders(scout, held);
    return g_strdup_printf("%s is held: /dev/vfio/%d is in use by %s; more: vmrun who %s", address,
                           held->group, who, address);
}

static bool
explain_held(VrScout *scout, const VrBinding *held, GError **error)
{
    g_autofree char *text = describe_held(scout, held);
    return vr_error_set(error, VR_ERROR_DEVICE_BUSY, "%s", text);
}

static void
add_held(VrScout *scout, GPtrArray *left, const VrBinding *held)
{
    VrLeftOver *item = g_new0(VrLeftOver, 1);
    item->address = held->address;
    item->is_device = true;
    item->message = describe_held(scout, held);
    g_ptr_array_add(left, item);
}

/*
 * A dead QEMU can live on for a while in the kernel: a host driver is refused, and an unbind from
 * vfio-pci would block, for as long as the group has an owner. So the group is asked first.
 */
bool
vr_wait_for_groups(VrScout *scout, const VrHostState *before, unsigned timeout_ms, GError **error)
{
    int64_t deadline = g_get_monotonic_time() + (int64_t) timeout_ms * 1000;
    for (;;) {
        int64_t left_ms = (deadline - g_get_monotonic_time()) / 1000;
        const VrBinding *held = find_held(scout, before, (unsigned) MAX(left_ms, GROUP_ANSWER_MS));
        if (held == NULL) {
            return true;
        }
        if (g_get_monotonic_time() >= deadline) {
            return explain_held(scout, held, error);
        }
        g_usleep(GROUP_POLL_MS * 1000);
    }
}

/* Not the one whose writer still hangs, and not the one whose group has a user, who would lose it:
 * that one is told. With keep none at all: for cards that do not survive the way back. All else
 * goes back. */
static VrHostState *
wanted_from(VrScout *scout, const VrJournal *journal, GPtrArray *left)
{
    const GPtrArray *bindings = journal->before->bindings;
    VrHostState *wanted = vr_host_state_copy(journal->before);
    for (guint i = 0; i < bindings->len; i++) {
        const VrBinding *binding = g_ptr_array_index(bindings, i);
        bool stuck = vr_journal_stuck(journal, binding->address) != NULL;
        bool held = !stuck && is_held(scout, binding, GROUP_ANSWER_MS);
        if (journal->keep || stuck || held) {
            vr_host_state_drop_device(wanted, binding->address);
        }
        if (held) {
            add_held(scout, left, binding);
        }
    }
    return wanted;
}

/* A step that hung may have finished since: its worker is gone then, and the device is looked at
 * again. */
static void
forget_finished_stuck(const VrSysroot *root, VrJournal *journal)
{
    for (guint i = journal->stuck->len; i-- > 0;) {
        const VrStuck *stuck = &g_array_index(journal->stuck, VrStuck, i);
        if (!vr_process_is_alive(root, stuck->pid, stuck->start_time)) {
            g_array_remove_index(journal->stuck, i);
        }
    }
}

static bool
is_told(const GPtrArray *left, VrPciAddress address)
{
    for (guint i = 0; i < left->len; i++) {
        const VrLeftOver *item = g_ptr_array_index(left, i);
        if (item->is_device && vr_pci_address_equal(item->address, address)) {
            return true;
        }
    }
    return false;
}

static char *
describe_left(const VrSysroot *root, const VrJournal *journal, const GPtrArray *left)
{
    g_autoptr(GString) text = g_string_new(NULL);
    for (guint i = 0; i < left->len; i++) {
        const VrLeftOver *item = g_ptr_array_index(left, i);
        g_string_append_printf(text, "%s%s", text->len > 0 ? "; " : "", item->message);
    }
    for (guint i = 0; i < journal->stuck->len; i++) {
        const VrStuck *stuck = &g_array_index(journal->stuck, VrStuck, i);
        g_autofree char *address = vr_pci_address_format(stuck->address);
        if (!is_told(left, stuck->address)) {
            g_autofree char *where = vr_process_where(root, stuck->pid);
            g_string_append_printf(text, "%s%s hangs in the kernel (process %d, %s)",
                                   text->len > 0 ? "; " : "", address, stuck->pid, where);
        }
    }
    return g_string_free(g_steal_pointer(&text), FALSE);
}

/* Record why the journal stays, and say it. The record failing does not hide the reason. */
static bool
keep_journal(const VrSysroot *root, VrJournal *journal, const char *why, GError **error)
{
    g_autoptr(GError) unwritten = NULL;
    journal->phase = journal->stuck->len > 0 ? VR_PHASE_STUCK : VR_PHASE_FAILED;
    g_free(journal->message);
    journal->message = g_strdup(why);
    if (!vr_journal_write(root, journal, &unwritten)) {
        g_debug("journal: %s", unwritten->message);
    }
    g_autofree char *next =
        journal->phase == VR_PHASE_STUCK
            ? g_strdup_printf(
                  "end what holds it, and the kernel goes on by itself: then vmrun restore "
                  "%s; where nothing can be ended, restart the computer",
                  journal->profile)
            : g_strdup_printf("try again with: vmrun restore %s", journal->profile);
    return vr_error_set(error, VR_ERROR_RESTORE_INCOMPLETE, "not everything was given back: %s; %s",
                        why, next);
}

static void
say(const VrListener *listener, VrStage stage, const char *text)
{
    if (listener != NULL && listener->stage != NULL) {
        listener->stage(listener->data, stage, text);
    }
}

/* A journal that cannot be written must not stop the way back: safety first, and the record on disk
 * already leads back. */
static void
announce_restoring(const VrSysroot *root, VrJournal *journal, const VrListener *listener)
{
    g_autoptr(GError) error = NULL;
    journal->phase = VR_PHASE_RESTORING;
    if (!vr_journal_write(root, journal, &error)) {
        say(listener, VR_STAGE_WARNING, error->message);
    }
}

/* Of a device that hangs nothing is waited for: its group is in use for as long as it does. */
static bool
wait_for_groups(VrMover *mover, const VrJournal *journal, unsigned wait_ms, GError **error)
{
    g_autoptr(VrHostState) others = vr_host_state_copy(journal->before);
    for (guint i = 0; i < journal->stuck->len; i++) {
        vr_host_state_drop_device(others, g_array_index(journal->stuck, VrStuck, i).address);
    }
    return vr_wait_for_groups(vr_mover_scout(mover), others, wait_ms, error);
}

/* Nobody claims what is shared between our look at the other journals and the end of ours. NULL:
 * there is nothing shared, or somebody else holds the lock for too long. */
static VrLock *
lock_shared(const VrSysroot *root, const VrHostState *shared)
{
    g_autoptr(GError) error = NULL;
    if (shared->attributes->len == 0) {
        return NULL;
    }
    VrLock *lock = vr_lock_take(root, NULL, SHARED_TIMEOUT_MS, NULL, &error);
    if (lock == NULL) {
        g_debug("%s", error->message);
    }
    return lock;
}

/*
 * Pages are counted, not named: who has died in between cannot tell whether they were taken away
 * from what there is now. So what there is, and what is taken, is on record before it is. What
 * cannot be looked at is vr_apply()'s to tell.
 */
static void
announce_counts(const VrSysroot *root, VrJournal *journal, VrMover *mover, VrHostState *shared)
{
    const VrExecutor *executor = vr_mover_executor(mover);
    g_autoptr(GError) error = NULL;
    g_autoptr(VrHostState) now =
        vr_host_state_has_counts(shared) ? executor->observe(executor->data, shared, NULL) : NULL;
    if (now == NULL) {
        return;
    }
    vr_host_state_begin_counts(shared, now);
    for (guint i = 0; i < shared->attributes->len; i++) {
        const VrAttribute *begun = g_ptr_array_index(shared->attributes, i);
        if (begun->kind == VR_ATTRIBUTE_COUNT && begun->value != NULL) {
            g_autofree char *value =
                vr_shared_begun(root, journal->profile, begun->path, begun->value);
            vr_host_state_set_attribute(journal->before, begun->kind, NULL, begun->path, value);
        }
    }
    if (!vr_journal_write(root, journal, &error)) { /* must not stop the way back */
        g_debug("%s", error->message);
    }
}

/* The devices, and then what is shared, under a lock that lasts until the journal is closed. Pages
 * that were taken away are no longer this session's, whatever else is left. */
static bool
apply_back(const VrSysroot *root, VrJournal *journal, VrMover *mover, VrHostState *wanted,
           GPtrArray *left, VrLock **out_lock, GError **error)
{
    const VrExecutor *executor = vr_mover_executor(mover);
    g_autoptr(VrHostState) shared = vr_shared_take_out(wanted);
    g_autoptr(GError) second = NULL;
    bool moved = vr_apply(executor, wanted, false, left, error);
    *out_lock = lock_shared(root, shared);
    vr_shared_leave_to_others(root, journal->profile, shared);
    announce_counts(root, journal, mover, shared);
    if (vr_apply(executor, shared, false, left, moved ? error : &second)) {
        vr_host_state_drop_counts(journal->before);
        return moved;
    }
    return false;
}

static bool
move_back(const VrSysroot *root, VrJournal *journal, VrMover *mover, VrLock **out_lock,
          GError **error)
{
    g_autoptr(GPtrArray) left = g_ptr_array_new_with_free_func((GDestroyNotify) vr_left_over_free);
    g_autoptr(VrHostState) wanted = wanted_from(vr_mover_scout(mover), journal, left);
    g_autoptr(GError) first = NULL;
    vr_mover_set_journal(mover, journal);
    bool moved = apply_back(root, journal, mover, wanted, left, out_lock, &first);
    if (moved && left->len == 0 && journal->stuck->len == 0) {
        return true;
    }
    g_autofree char *why = left->len > 0 || journal->stuck->len > 0
                               ? describe_left(root, journal, left)
                               : g_strdup(first != NULL ? first->message : "unknown");
    return keep_journal(root, journal, why, error);
}

/* What stays on record of a session that keeps its devices: their original state, and nothing that
 * was given back. */
static void
forget_all_but_devices(VrJournal *journal)
{
    VrHostState *before = journal->before;
    for (guint i = before->attributes->len; i-- > 0;) {
        const VrAttribute *attribute = g_ptr_array_index(before->attributes, i);
        if (!attribute->has_device) {
            g_ptr_array_remove_index(before->attributes, i);
        }
    }
    g_ptr_array_set_size(before->units, 0);
    journal->qemu_pid = 0;
    journal->qemu_start_time = 0;
    journal->phase = VR_PHASE_KEPT;
}

static bool
end_record(const VrSysroot *root, VrJournal *journal, GError **error)
{
    if (!journal->keep) {
        return vr_journal_close(root, journal, error);
    }
    forget_all_but_devices(journal);
    return vr_journal_write(root, journal, error);
}

bool
vr_give_back(VrSysroot *root, VrJournal *journal, VrMover *mover, unsigned wait_ms,
             const VrListener *listener, GError **error)
{
    g_autoptr(GError) busy = NULL;
    g_autoptr(VrLock) global = NULL;
    forget_finished_stuck(root, journal);
    announce_restoring(root, journal, listener);
    if (!wait_for_groups(mover, journal, wait_ms, &busy)) {
        say(listener, VR_STAGE_WARNING, busy->message); /* and told again at the end */
    }
    if (!move_back(root, journal, mover, &global, error)) {
        return false;
    }
    if (!end_record(root, journal, error)) {
        vr_error_recode(error, VR_ERROR_RESTORE_INCOMPLETE);
        return vr_error_prefix(error, "everything is back, but the journal could not be closed");
    }
    return true;
}
