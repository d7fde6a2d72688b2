/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/recovery.h>

#include "session_private.h"

#include <vmrun/changes.h>
#include <vmrun/domain.h>
#include <vmrun/error.h>
#include <vmrun/files.h>
#include <vmrun/identity.h>
#include <vmrun/lock.h>
#include <vmrun/process.h>
#include <vmrun/restore.h>
#include <vmrun/scout.h>
#include <vmrun/status.h>
#include <vmrun/text.h>

#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

/* A command may look at the lock for a moment; longer than this is a supervisor. */
#define LOCK_TIMEOUT_MS 500
#define GROUP_TIMEOUT_MS 3000
/* A step takes a second; one that takes longer than this is about to be found stuck. */
#define WORK_TIMEOUT_MS 10000

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

static void
look_at_groups(VrScout *scout, const VrJournal *journal, VrRestoreInput *input)
{
    for (guint i = 0; i < journal->before->bindings->len; i++) {
        const VrBinding *binding = g_ptr_array_index(journal->before->bindings, i);
        if (binding->group >= 0 &&
            vr_scout_group_is_busy(scout, binding->group, GROUP_TIMEOUT_MS) != VR_NO) {
            input->group_busy = true;
        } else if (vr_journal_stuck(journal, binding->address) == NULL) {
            input->some_free = true;
        }
    }
}

/* --- the guest ---------------------------------------------------------------------------------*/

bool
vr_guest_may_live(VrScout *scout, const VrSysroot *root, const VrJournal *journal)
{
    bool creator_lives = false;
    int pid = 0;
    return vr_process_is_alive(root, journal->qemu_pid, journal->qemu_start_time) ||
           !vr_scout_find_domain(scout, journal->domain_uuid, &pid, &creator_lives, NULL) ||
           pid > 0 || creator_lives;
}

static VrDomainSeen
ask_libvirt(const VrSysroot *root, const VrJournal *journal, int *out_pid)
{
    VrDomainState state = VR_DOMAIN_ABSENT;
    g_autoptr(GError) error = NULL;
    if (!vr_sysroot_is_live(root)) {
        return VR_DOMAIN_SEEN_UNKNOWN;
    }
    g_autoptr(VrDomain) domain =
        vr_domain_new(root, journal->uri, journal->profile, journal->domain_uuid, journal->boot_id);
    if (!vr_domain_state(domain, &state, out_pid, &error)) {
        return VR_DOMAIN_SEEN_UNKNOWN;
    }
    return state == VR_DOMAIN_ABSENT || state == VR_DOMAIN_OFF ? VR_DOMAIN_SEEN_GONE
                                                               : VR_DOMAIN_SEEN_RUNNING;
}

/*
 * Between "the domain is about to be created" and "its QEMU is recorded" only libvirt knows, and
 * the kernel where libvirt is silent. In all other phases libvirt is not even loaded, unless the
 * card is held by a QEMU that was never recorded.
 */
static void
look_for_domain(VrScout *scout, const VrSysroot *root, VrJournal *journal, VrRestoreInput *input)
{
    bool creator_lives = false;
    int seen_pid = 0;
    bool starting = journal->phase == VR_PHASE_STARTING;
    bool unrecorded =
        journal->phase != VR_PHASE_TAKING && journal->qemu_pid == 0 && input->group_busy;
    int pid = 0;
    if (!starting && !unrecorded) {
        return;
    }
    input->domain = ask_libvirt(root, journal, &pid);
    if (input->domain == VR_DOMAIN_SEEN_GONE) {
        return;
    }
    /* Who cannot be looked at may be its creator. */
    bool seen = vr_scout_find_domain(scout, journal->domain_uuid, &seen_pid, &creator_lives, NULL);
    input->may_come = starting && (creator_lives || !seen);
    pid = pid > 0 ? pid : seen_pid;
    if (pid > 0) {
        input->domain = VR_DOMAIN_SEEN_RUNNING;
        journal->qemu_pid = pid;
        journal->qemu_start_time = vr_process_start_time(root, pid);
    }
}

static VrRestoreAction
decide(VrSysroot *root, VrJournal *journal, bool dry_run)
{
    g_autoptr(VrScout) scout = vr_scout_new(root);
    VrRestoreInput input = {.has_journal = true, .same_boot = is_same_boot(root, journal)};
    /* Who acts has the lock itself. */
    input.lock_held = dry_run && vr_lock_is_held(root, journal->profile, NULL);
    if (input.same_boot) {
        input.qemu_alive = vr_process_is_alive(root, journal->qemu_pid, journal->qemu_start_time);
        look_at_groups(scout, journal, &input);
        look_for_domain(scout, root, journal, &input);
    }
    return vr_restore_decide(&input);
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

/* The journal ends with the recovery, a lent mover does not. */
static bool
give_back_with(VrSysroot *root, VrJournal *journal, VrMover *lent, const VrListener *listener,
               GError **error)
{
    g_autoptr(VrMover) own = lent == NULL ? vr_mover_new(root, listener) : NULL;
    VrMover *mover = lent != NULL ? lent : own;
    vr_mover_set_profile(mover, journal->profile);
    bool done = vr_give_back(root, journal, mover, 0, listener, error);
    vr_mover_set_journal(mover, NULL);
    return done;
}

static bool
give_back_now(VrSysroot *root, VrJournal *journal, VrMover *lent, const VrListener *listener,
              GError **error)
{
    if (vr_host_is_stopping(root)) {
        return vr_error_set(error, VR_ERROR_BUSY,
                            "this computer is shutting down, so nothing was moved; the devices of "
                            "'%s' get their drivers at the next start",
                            journal->profile);
    }
    if (journal->phase != VR_PHASE_KEPT) {
        settle_domain(root, journal, listener);
    }
    journal->keep = false; /* who asks for a restore wants everything */
    if (!give_back_with(root, journal, lent, listener, error)) {
        return false;
    }
    vr_status_remove(root, journal->profile);
    return true;
}

static bool
explain_held(VrSysroot *root, const VrJournal *journal, GError **error)
{
    g_autoptr(VrScout) scout = vr_scout_new(root);
    if (vr_wait_for_groups(scout, journal->before, 0, error)) { /* let go this moment */
        return vr_error_set(error, VR_ERROR_BUSY, "the card was still in use; try again");
    }
    vr_error_recode(error, VR_ERROR_BUSY);
    return vr_error_prefix(error, "the guest is gone, but not everything that it had is free");
}

typedef struct {
    VrRestoreAction action;
    VrMover *mover; /* lent; NULL: give_back makes one */
    const VrListener *listener;
} Act;

static bool
act(VrSysroot *root, VrJournal *journal, const Act *how, GError **error)
{
    const VrListener *listener = how->listener;
    switch (how->action) {
    case VR_RESTORE_CLOSE:
        vr_status_remove(root, journal->profile);
        say(listener, VR_STAGE_DETAIL, "closing the record of '%s', which is of an earlier boot",
            journal->profile);
        return vr_journal_close(root, journal, error);
    case VR_RESTORE_NOW:
        return give_back_now(root, journal, how->mover, listener, error);
    case VR_RESTORE_HELD:
        return explain_held(root, journal, error);
    case VR_RESTORE_UNSURE:
        return vr_error_set(error, VR_ERROR_BUSY,
                            "the session of '%s' ended while its guest was being created, and "
                            "libvirt does not answer; start libvirt and try again, or restart the "
                            "computer",
                            journal->profile);
    case VR_RESTORE_OWNED:
        return vr_error_set(error, VR_ERROR_BUSY,
                            "'%s' is supervised, so its supervisor gives back itself; to end it: "
                            "vmrun stop %s",
                            journal->profile, journal->profile);
    case VR_RESTORE_NOTHING:
    case VR_RESTORE_REFUSE:
    case VR_RESTORE_ALIVE:
        break;
    }
    return true;
}

/* What a vmrun that was killed at one of its own files has left. Nothing of it counts, but it would
 * stay for ever. */
static void
tidy(const VrSysroot *root, const char *profile)
{
    g_autofree char *identity = vr_identity_path(profile);
    vr_journal_tidy(root, profile);
    vr_fingerprint_tidy(root, profile);
    vr_sysroot_remove_temporaries(root, identity);
}

static bool
hangs_on_record(const VrSysroot *root, const VrJournal *journal)
{
    for (guint i = 0; i < journal->stuck->len; i++) {
        const VrStuck *stuck = &g_array_index(journal->stuck, VrStuck, i);
        if (vr_process_is_alive(root, stuck->pid, stuck->start_time)) {
            return true;
        }
    }
    return false;
}

/*
 * The worker of a dead supervisor ends after its step, and that step must not come after the way
 * back: an override would be left, or a guest made with a card that was given back. Nothing is
 * waited for where a guest lives, because then nothing is moved.
 */
static bool
wait_for_workers(const VrSysroot *root, const VrJournal *journal, GError **error)
{
    g_autoptr(GError) busy = NULL;
    unsigned timeout_ms = hangs_on_record(root, journal) ? 0 : WORK_TIMEOUT_MS;
    if (!is_same_boot(root, journal) ||
        vr_process_is_alive(root, journal->qemu_pid, journal->qemu_start_time) ||
        vr_lock_wait_for_work(root, journal->profile, timeout_ms, &busy) ||
        journal->phase != VR_PHASE_STARTING) {
        return true; /* a step that hangs is found by looking at its device, with a deadline */
    }
    return vr_error_set(error, VR_ERROR_BUSY,
                        "the session of '%s' ended while its guest was being created, and the "
                        "process that creates it still works; try again soon",
                        journal->profile);
}

static bool
recover_locked(VrSysroot *root, const char *profile, const VrRecoveryOptions *options,
               const VrListener *listener, VrRecovery *out_recovery, VrJournal **out_journal,
               GError **error)
{
    g_autoptr(GError) cause = NULL;
    g_autoptr(VrJournal) journal = vr_journal_read(root, profile, &cause);
    *out_recovery = VR_RECOVERY_NOTHING;
    if (!options->dry_run) {
        tidy(root, profile);
    }
    if (journal == NULL && g_error_matches(cause, VR_ERROR, VR_ERROR_NOT_FOUND)) {
        if (!options->dry_run) {
            vr_status_remove(root, profile); /* it died between its journal and its status */
        }
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
    if (!options->dry_run && !wait_for_workers(root, journal, error)) {
        return false;
    }
    VrRestoreAction action = decide(root, journal, options->dry_run);
    bool kept =
        options->leave_kept && journal->phase == VR_PHASE_KEPT && action != VR_RESTORE_CLOSE;
    if (action == VR_RESTORE_ALIVE || kept) {
        *out_recovery = kept ? VR_RECOVERY_KEPT : VR_RECOVERY_ALIVE;
        if (out_journal != NULL) {
            *out_journal = g_steal_pointer(&journal);
        }
        return true;
    }
    bool only_say = options->dry_run && (action == VR_RESTORE_NOW || action == VR_RESTORE_CLOSE);
    Act how = {action, options->mover, listener};
    if (!only_say && !act(root, journal, &how, error)) {
        return false;
    }
    *out_recovery = action == VR_RESTORE_CLOSE ? VR_RECOVERY_RESTARTED : VR_RECOVERY_RESTORED;
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
        if (owner.pid == 0) {
            vr_error_set(error, VR_ERROR_BUSY,
                         "'%s' is being given back by another vmrun this moment; try again soon",
                         profile);
            return NULL;
        }
        vr_error_set(
            error, VR_ERROR_BUSY,
            "'%s' is supervised by process %d, which gives back itself; to end it: vmrun stop %s",
            profile, owner.pid, profile);
    }
    if (lock != NULL) {
        vr_lock_hide_owner(lock); /* vmrun stop would send its signal to us */
    }
    return lock;
}

/* A way back that has begun ends: whoever wants this process to end gets that after it. Returns
 * what was blocked before. */
static sigset_t
hold_signals(void)
{
    sigset_t held, before;
    sigemptyset(&held);
    sigaddset(&held, SIGHUP);
    sigaddset(&held, SIGINT);
    sigaddset(&held, SIGTERM);
    sigaddset(&held, SIGUSR1);
    sigprocmask(SIG_BLOCK, &held, &before);
    return before;
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
    sigset_t before = hold_signals();
    bool done = recover_locked(root, profile, options, listener, out_recovery, out_journal, error);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return done;
}
