/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest that hangs (alive=agent): its card comes back without anybody looking after it. */
#include "session_private.h"

static int64_t
now_ms(void)
{
    return g_get_monotonic_time() / 1000;
}

/* While the guest is asked to shut down its agent ends with it. */
static bool
is_asked(const VrSession *session)
{
    return session->profile->alive_agent && session->shutdown_deadline == 0;
}

bool
vr_session_is_dead(VrSession *session)
{
    VrAgentSeen seen = VR_AGENT_UNKNOWN;
    unsigned timeout_s = session->profile->alive_timeout_s;
    g_autoptr(GError) error = NULL;
    if (is_asked(session) && !vr_domain_agent(session->domain, &seen, &error)) {
        seen = VR_AGENT_UNKNOWN;
    }
    bool was_silent = session->alive.silent;
    VrAliveVerdict verdict = vr_alive_judge(&session->alive, seen, now_ms(), timeout_s);
    if (verdict == VR_ALIVE_SILENT && !was_silent) {
        vr_session_say(session, VR_STAGE_WARNING,
                       "the guest's agent does not answer any more; if it stays silent for %u s "
                       "the guest is powered off (alive=agent)",
                       timeout_s);
    } else if (was_silent && !session->alive.silent) {
        vr_session_say(session, VR_STAGE_NOTE, "the guest is no longer silent");
    }
    return verdict == VR_ALIVE_DEAD;
}

int64_t
vr_session_next_ask(const VrSession *session)
{
    unsigned pause_ms =
        vr_alive_pause_ms(&session->alive, now_ms(), session->profile->alive_timeout_s);
    return g_get_monotonic_time() + (int64_t) pause_ms * 1000;
}
