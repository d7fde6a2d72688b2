/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The way back: the same function that recovers after a crash, with the patience that a QEMU needs
 * to die. */
#include "session_private.h"

#include <vmrun/recovery.h>

/* The kernel resets the functions when the group is closed: up to a minute per method
 * (drivers/pci/pci.c, PCIE_RESET_READY_POLL_MS). */
#define GROUP_RELEASE_MS 90000

bool
vr_session_give_back(VrSession *session, GError **error)
{
    vr_session_set_state(session, VR_STATE_STOPPING, "giving the card back");
    vr_session_say(session, VR_STAGE_BEGIN, "giving everything back");
    if (session->mover == NULL) {
        session->mover = vr_mover_new(session->root, session->listener);
    }
    g_autoptr(GError) failure = NULL;
    if (!vr_give_back(session->root, session->journal, session->mover, GROUP_RELEASE_MS,
                      session->listener, &failure)) {
        VrState state =
            session->journal->phase == VR_PHASE_STUCK ? VR_STATE_STUCK : VR_STATE_NEEDS_RESTORE;
        vr_session_set_state(session, state, failure->message);
        g_propagate_error(error, g_steal_pointer(&failure));
        return false;
    }
    vr_status_remove(session->root, session->profile->name);
    vr_session_say(session, VR_STAGE_DONE, "everything is back as it was");
    return true;
}
