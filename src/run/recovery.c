/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/recovery.h>

#include "session_private.h"

#include <vmrun/domain.h>
#include <vmrun/error.h>
#include <vmrun/gpu_users.h>
#include <vmrun/lock.h>
#include <vmrun/process.h>
#include <vmrun/restore.h>
#include <vmrun/status.h>

#include <stdarg.h>

/* A command may look at the lock for a moment; longer than this is a supervisor. */
#define LOCK_TIMEOUT_MS 500

static void say(const VrListener *listener, VrStage stage, const char *format, ...)
    G_GNUC_PRINTF(3, 4);

static void
say(const VrListener *listener, VrStage stage, const char *format, ...)
{
    if (listener == NULL || listener->stage == NULL) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    listener->stage(listener->data, stage, text);
}

static bool
is_same_boot(const VrSysroot *root, const VrJournal *journal)
{
    g_autofree char *boot_id = vr_sysroot_read_optional(root, "/proc/sys/kernel/random/boot_id");
    return boot_id == NULL || g_strcmp0(boot_id, journal->boot_id) == 0;
}

static bool
is_any_group_busy(const VrSysroot *root, const VrHostState *before)
{
    for (guint i = 0; i < before->bindings->len; i++) {
        const VrBinding *binding = g_ptr_array_index(before->bindings, i);
        if (binding->group >= 0 && vr_vfio_group_is_busy(root, binding->group) != VR_NO) {
            return true;
        }
    }
    return false;
}

/*
 * Between "the domain is about to be created" and "its QEMU is recorded" only libvirt knows. In all
 * other phases the kernel does, so libvirt is not even loaded.
 */
static VrDomainSeen
look_for_domain(const VrSysroot *root, VrJournal *journal)
{
    if (journal->phase != VR_PHASE_STARTING || !vr_sysroot_is_live(root)) {
        return VR_DOMAIN_SEEN_UNKNOWN;
    }
    VrDomainState state = VR_DOMAIN_ABSENT;
    int pid = 0;
    g_autoptr(GError) error = NULL;
    g_autoptr(VrDomain) domain =
        vr_domain_new(root, journal->uri, journal->profile, journal->domain_uuid, journal->boot_id);
    if (!vr_domain_state(domain, &state, &pid, &error)) {
        return VR_DOMAIN_SEEN_UNKNOWN;
    }
    if (state == VR_DOMAIN_ABSENT || state == VR_DOMAIN_OFF) {
        return VR_DOMAIN_SEEN_GONE;
    }
    journal->qemu_pid = pid;
    journal->qemu_start_time = vr_process_start_time(root, pid);
    return VR_DOMAIN_SEEN_RUNNING;
}

static VrRestoreAction
decide(const VrSysroot *root, VrJournal *journal, bool corrupt)
{
    VrRestoreInput input = {.has_journal = journal != NULL, .corrupt = corrupt};
    if (journal != NULL) {
        input.same_boot = is_same_boot(root, journal);
        input.qemu_alive = vr_process_is_alive(root, journal->qemu_pid, journal->qemu_start_time);
        input.group_busy = input.same_boot && is_any_group_busy(root, journal->before);
        input.domain = input.same_boot ? look_for_domain(root, journal) : VR_DOMAIN_SEEN_UNKNOWN;
    }
    return vr_restore_decide(&input);
}

static bool
close_after_reboot(const VrSysroot *root, const VrJournal *journal, const VrListener *listener,
                   GError **error)
{
    say(listener, VR_STAGE_NOTE,
        "the session of '%s' was cut off by a restart of the computer; the devices' drivers were "
        "set anew by it",
        journal->profile);
    return vr_journal_close(root, journal, error);
}

/*
 * A libvirt that was not there when QEMU died cleans up when it is next asked; better now, with the
 * card still on vfio-pci, than later (see vr_domain_settle). Nothing was created in the phase
 * TAKING.
 */
static void
settle_domain(const VrSysroot *root, const VrJournal *journal, const VrListener *listener)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(VrDomain) domain =
        vr_domain_new(root, journal->uri, journal->profile, journal->domain_uuid, journal->boot_id);
    if (journal->phase != VR_PHASE_TAKING &&
        !vr_domain_settle(domain, VR_SETTLE_TIMEOUT_MS, &error)) {
        say(listener, VR_STAGE_WARNING, "%s; going on, because QEMU is gone", error->message);
    }
}

static bool
give_back_now(VrSysroot *root, VrJournal *journal, const VrListener *listener, GError **error)
{
    settle_domain(root, journal, listener);
    g_autoptr(VrMover) mover = vr_mover_new(root, listener);
    if (!vr_give_back(root, journal, mover, 0, listener, error)) {
        return false;
    }
    vr_status_remove(root, journal->profile);
    return true;
}

static bool
act(VrSysroot *root, VrJournal *journal, VrRestoreAction action, const VrListener *listener,
    GError **error)
{
    switch (action) {
    case VR_RESTORE_CLOSE:
        vr_status_remove(root, journal->profile);
        return close_after_reboot(root, journal, listener, error);
    case VR_RESTORE_NOW:
        return give_back_now(root, journal, listener, error);
    case VR_RESTORE_HELD:
        return vr_error_set(error, VR_ERROR_BUSY,
                            "the guest is gone, but its card is still open somewhere; see: vmrun "
                            "who ADDRESS, then try "
                            "again");
    case VR_RESTORE_NOTHING:
    case VR_RESTORE_OWNED:
    case VR_RESTORE_REFUSE:
    case VR_RESTORE_ALIVE:
        break;
    }
    return true;
}

static bool
recover_locked(VrSysroot *root, const char *profile, bool dry_run, const VrListener *listener,
               VrRecovery *out_recovery, VrJournal **out_journal, GError **error)
{
    g_autoptr(GError) cause = NULL;
    g_autoptr(VrJournal) journal = vr_journal_read(root, profile, &cause);
    *out_recovery = VR_RECOVERY_NOTHING;
    if (journal == NULL && g_error_matches(cause, VR_ERROR, VR_ERROR_NOT_FOUND)) {
        return true;
    }
    if (journal == NULL) {
        g_propagate_error(error, g_steal_pointer(&cause));
        vr_error_recode(error, VR_ERROR_RESTORE_INCOMPLETE);
        return vr_error_prefix(
            error,
            "the record of '%s' cannot be believed, so nothing was written (restarting the "
            "computer gives the devices back; remove the file then)",
            profile);
    }
    VrRestoreAction action = decide(root, journal, false);
    if (action == VR_RESTORE_ALIVE) {
        *out_recovery = VR_RECOVERY_ALIVE;
        if (out_journal != NULL) {
            *out_journal = g_steal_pointer(&journal);
        }
        return true;
    }
    bool only_say = dry_run && action != VR_RESTORE_HELD;
    if (!only_say && !act(root, journal, action, listener, error)) {
        return false;
    }
    *out_recovery = VR_RECOVERY_RESTORED;
    return true;
}

/* Looking needs no lock; acting does. */
static VrLock *
lock_or_explain(VrSysroot *root, const char *profile, GError **error)
{
    VrLockOwner owner = {0};
    VrLock *lock = vr_lock_take(root, profile, LOCK_TIMEOUT_MS, &owner, error);
    if (lock == NULL && error != NULL && g_error_matches(*error, VR_ERROR, VR_ERROR_BUSY)) {
        g_clear_error(error);
        vr_error_set(
            error, VR_ERROR_BUSY,
            "'%s' is supervised by process %d, which gives back itself; to end it: vmrun stop %s",
            profile, owner.pid, profile);
    }
    return lock;
}

bool
vr_recover(VrSysroot *root, const char *profile, const VrRecoveryOptions *options,
           const VrListener *listener, VrRecovery *out_recovery, VrJournal **out_journal,
           GError **error)
{
    g_autoptr(VrLock) lock = NULL;
    if (!options->have_lock && !options->dry_run) {
        lock = lock_or_explain(root, profile, error);
        if (lock == NULL) {
            return false;
        }
    }
    return recover_locked(root, profile, options->dry_run, listener, out_recovery, out_journal,
                          error);
}
