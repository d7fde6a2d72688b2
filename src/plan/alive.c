/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/alive.h>

#include <glib.h>

#define PAUSE_MS 60000
#define SILENT_PAUSE_MS 10000

static const char *const names[] = {
    [VR_AGENT_UNKNOWN] = "unknown",
    [VR_AGENT_CLOSED] = "closed",
    [VR_AGENT_ANSWERS] = "answers",
    [VR_AGENT_SILENT] = "silent",
};

const char *
vr_agent_seen_name(VrAgentSeen seen)
{
    return names[seen];
}

VrAgentSeen
vr_agent_seen_from_name(const char *name)
{
    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        if (g_strcmp0(names[i], name) == 0) {
            return (VrAgentSeen) i;
        }
    }
    return VR_AGENT_UNKNOWN;
}

VrAliveVerdict
vr_alive_judge(VrAlive *alive, VrAgentSeen seen, int64_t now_ms, unsigned timeout_s)
{
    if (seen != VR_AGENT_SILENT) {
        alive->silent = false;
        alive->answered = seen == VR_AGENT_ANSWERS || (seen == VR_AGENT_UNKNOWN && alive->answered);
        return VR_ALIVE_FINE;
    }
    if (!alive->answered) {
        return VR_ALIVE_FINE;
    }
    if (!alive->silent) {
        alive->silent = true;
        alive->silent_since_ms = now_ms;
    }
    return now_ms - alive->silent_since_ms >= (int64_t) timeout_s * 1000 ? VR_ALIVE_DEAD
                                                                         : VR_ALIVE_SILENT;
}

unsigned
vr_alive_pause_ms(const VrAlive *alive, int64_t now_ms, unsigned timeout_s)
{
    if (!alive->silent) {
        return PAUSE_MS;
    }
    int64_t left_ms = alive->silent_since_ms + (int64_t) timeout_s * 1000 - now_ms;
    /* Past the end only a power-off that failed is tried again. */
    return left_ms > 0 && left_ms < SILENT_PAUSE_MS ? (unsigned) left_ms : SILENT_PAUSE_MS;
}
