/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The way back: the same function that recovers after a crash, with the patience that a QEMU needs
 * to die. */
#include "session_private.h"

#include <vmrun/domain.h>
#include <vmrun/recovery.h>

/*
 * libvirt must be done with the domain before the card moves. If it cannot be asked the kernel's
 * word has to do: the caller waits for the groups.
 */
static void
settle_domain(VrSession *session)
{
    g_autoptr(GError) error = NULL;
    bool created = session->adopted || session->journal->phase == VR_PHASE_STARTING ||
                   session->journal->phase == VR_PHASE_RUNNING;
    if (created && !vr_domain_settle(session->domain, VR_SETTLE_TIMEOUT_MS, &error)) {
        vr_session_say(session, VR_STAGE_WARNING, "%s; going on, because QEMU is gone",
                       error->message);
    }
    vr_domain_rest(session->domain);
}

/* The journal stays as it is: the next boot closes it, and a computer that goes on after all leads
 * back by it. */
static bool
leave_to_the_next_boot(VrSession *session)
{
    static const char *const text = "this computer is shutting down, so the card stays where it "
                                    "is; its drivers are set anew at the next start";
    vr_session_set_state(session, VR_STATE_STOPPING, text);
    vr_session_say(session, VR_STAGE_NOTE, "%s", text);
    return true;
}

bool
vr_session_give_back(VrSession *session, GError **error)
{
    if (vr_host_is_stopping(session->root)) {
        return leave_to_the_next_boot(session);
    }
    vr_session_set_state(session, VR_STATE_STOPPING, "giving the card back");
    vr_session_say(session, VR_STAGE_BEGIN, "giving everything back");
    settle_domain(session);
    /* A start that failed promises a host as it was. */
    session->journal->keep = session->journal->keep && session->guest_ran;
    if (session->mover == NULL) {
        session->mover = vr_mover_new(session->root, session->listener);
        vr_mover_set_profile(session->mover, session->profile->name);
    }
    g_autoptr(GError) failure = NULL;
    if (!vr_give_back(session->root, session->journal, session->mover, VR_GROUP_RELEASE_MS,
                      session->listener, &failure)) {
        VrState state =
            session->journal->phase == VR_PHASE_STUCK ? VR_STATE_STUCK : VR_STATE_NEEDS_RESTORE;
        vr_session_set_state(session, state, failure->message);
        g_propagate_error(error, g_steal_pointer(&failure));
        return false;
    }
    vr_status_remove(session->root, session->profile->name);
    vr_session_say(session, VR_STAGE_DONE,
                   session->journal->keep
                       ? "the devices stay on vfio-pci, as after-stop=keep says; all else is back"
                       : "everything is back as it was");
    return true;
}
