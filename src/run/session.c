/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/session.h>

#include "session_private.h"

#include <vmrun/error.h>
#include <vmrun/process.h>
#include <vmrun/scout.h>
#include <vmrun/text.h>

#include <stdarg.h>
#include <unistd.h>

/* Another command may look at the lock for a moment; longer than this is a session. */
#define LOCK_TIMEOUT_MS 2000

void
vr_session_say(const VrSession *session, VrStage stage, const char *format, ...)
{
    if (session->listener == NULL || session->listener->stage == NULL) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_autofree char *printable = vr_text_printable(text);
    session->listener->stage(session->listener->data, stage, printable);
}

void
vr_session_set_state(VrSession *session, VrState state, const char *message)
{
    g_autoptr(GError) error = NULL;
    g_free(session->status->message);
    session->status->message = g_strdup(message);
    session->status->state = state;
    if (!vr_status_write(session->root, session->profile->name, session->status, &error)) {
        vr_session_say(session, VR_STAGE_WARNING, "status is not shown to others: %s",
                       error->message);
    }
}

bool
vr_session_set_phase(VrSession *session, VrPhase phase, GError **error)
{
    session->journal->phase = phase;
    return vr_journal_write(session->root, session->journal, error);
}

static VrSession *
session_new(VrSysroot *root, const VrProfile *profile, const VrListener *listener)
{
    VrSession *session = g_new0(VrSession, 1);
    session->root = vr_sysroot_ref(root);
    session->profile = profile;
    session->listener = listener;
    session->status = vr_status_new();
    session->status->since = g_get_real_time() / G_USEC_PER_SEC;
    session->signal_fd = -1;
    session->qemu_pidfd = -1;
    session->inhibitor = -1;
    return session;
}

static void
session_free(VrSession *session)
{
    if (session->signal_fd >= 0) {
        close(session->signal_fd);
    }
    if (session->qemu_pidfd >= 0) {
        close(session->qemu_pidfd);
    }
    if (session->inhibitor >= 0) {
        close(session->inhibitor);
    }
    vr_domain_free(session->domain);
    vr_mover_free(session->mover);
    vr_status_free(session->status);
    vr_journal_free(session->journal);
    vr_journal_free(session->kept);
    vr_preparation_free(session->preparation);
    vr_lock_release(session->global);
    vr_lock_release(session->lock);
    vr_sysroot_unref(session->root);
    g_free(session);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC(VrSession, session_free)

static bool
session_lock(VrSession *session, GError **error)
{
    VrLockOwner owner = {0};
    const char *name = session->profile->name;
    session->lock = vr_lock_take(session->root, name, LOCK_TIMEOUT_MS, &owner, error);
    if (session->lock != NULL) {
        return true;
    }
    if (error != NULL && g_error_matches(*error, VR_ERROR, VR_ERROR_BUSY)) {
        g_clear_error(error);
        if (owner.pid == 0) {
            return vr_error_set(error, VR_ERROR_BUSY,
                                "another vmrun is giving back what '%s' has left; try again soon",
                                name);
        }
        return vr_error_set(error, VR_ERROR_BUSY,
                            "'%s' is running already, in process %d; see it with: vmrun status %s",
                            name, owner.pid, name);
    }
    return vr_error_prefix(error, "lock '%s'", name);
}

/* A guest that may run keeps its card; the record leads back when somebody can tell. */
static bool
leave_the_guest(VrSession *session, GError **error)
{
    vr_error_recode(error, VR_ERROR_RESTORE_INCOMPLETE);
    vr_error_prefix(error,
                    "the guest may be running, so nothing was given back (when libvirt answers: "
                    "vmrun restore %s, or vmrun run %s to take it over)",
                    session->profile->name, session->profile->name);
    vr_session_set_state(session, VR_STATE_NEEDS_RESTORE,
                         error != NULL && *error != NULL ? (*error)->message : NULL);
    return false;
}

/* Take the devices, run the guest to its end. Everything that this leaves behind is given back by
 * the caller. */
static bool
take_and_run(VrSession *session, GError **error)
{
    if (!session->adopted &&
        (!vr_session_take(session, error) || !vr_session_start(session, error))) {
        return session->may_live ? leave_the_guest(session, error)
                                 : vr_error_recode(error, VR_ERROR_START_FAILED);
    }
    return vr_session_watch(session, error);
}

/*
 * The only place where taking and giving back meet. The first error is the one that is reported;
 * only a host that could not be put back as it was is worse.
 */
static bool
session_with_devices(VrSession *session, GError **error)
{
    g_autoptr(GError) first = NULL;
    g_autoptr(GError) back = NULL;
    bool ran = take_and_run(session, &first);
    if (session->cancelled) {
        vr_session_say(session, VR_STAGE_NOTE, "%s", first->message);
    } else if (!ran && !session->detached) {
        vr_session_say(session, VR_STAGE_FAILED, "%s", first->message);
    }
    bool restored = session->detached || vr_session_give_back(session, &back);
    if (!restored) {
        if (first != NULL) {
            vr_error_prefix(&back, "after an earlier failure (%s)", first->message);
        }
        g_propagate_error(error, g_steal_pointer(&back));
        return false;
    }
    if (!ran && !session->cancelled) {
        g_propagate_error(error, g_steal_pointer(&first));
        return false;
    }
    return true;
}

bool
vr_session_run(VrSysroot *root, const VrProfile *profile, const VrListener *listener,
               GError **error)
{
    g_autoptr(VrSession) session = session_new(root, profile, listener);
    if (!session_lock(session, error) || !vr_session_block_signals(session, error) ||
        !vr_session_recover(session, error)) {
        return false;
    }
    if (!session->adopted && !vr_session_inspect(session, error)) {
        if (session->cancelled) {
            vr_session_say(session, VR_STAGE_NOTE, "asked to stop; nothing was changed");
            g_clear_error(error);
        }
        return session->cancelled;
    }
    return session_with_devices(session, error);
}

/* Who killed the supervisor may have killed QEMU, too, and it takes a while to die. */
static void
wait_for_dying_guest(const VrSession *session)
{
    g_autoptr(GError) still_held = NULL;
    g_autoptr(VrJournal) journal = vr_journal_read(session->root, session->profile->name, NULL);
    g_autoptr(VrScout) scout = vr_scout_new(session->root);
    if (journal != NULL &&
        !vr_process_is_alive(session->root, journal->qemu_pid, journal->qemu_start_time) &&
        !vr_wait_for_groups(scout, journal->before, VR_GROUP_RELEASE_MS, &still_held)) {
        vr_session_say(session, VR_STAGE_WARNING, "%s", still_held->message);
    }
}

bool
vr_session_resume(VrSysroot *root, const VrProfile *profile, const VrListener *listener,
                  GError **error)
{
    g_autoptr(VrSession) session = session_new(root, profile, listener);
    if (!session_lock(session, error) || !vr_session_block_signals(session, error)) {
        return false;
    }
    wait_for_dying_guest(session);
    if (!vr_session_recover(session, error)) {
        return false;
    }
    if (!session->adopted) {
        vr_session_say(session, VR_STAGE_NOTE,
                       "the guest of '%s' ended while nobody supervised it; no other is started",
                       profile->name);
        return true;
    }
    return session_with_devices(session, error);
}

bool
vr_session_finish(VrSysroot *root, const VrProfile *profile, bool force, unsigned timeout_s,
                  const VrListener *listener, GError **error)
{
    g_autoptr(VrSession) session = session_new(root, profile, listener);
    if (!session_lock(session, error) || !vr_session_block_signals(session, error) ||
        !vr_session_recover(session, error)) {
        return false;
    }
    if (!session->adopted) {
        return true; /* there was no guest; what a dead session left was just given back */
    }
    session->finishing = true;
    session->force_at_deadline = force;
    session->shutdown_requests = 1;
    session->shutdown_deadline = g_get_monotonic_time() + (int64_t) timeout_s * G_USEC_PER_SEC;
    return session_with_devices(session, error);
}
