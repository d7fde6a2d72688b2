/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Is the guest dead (alive=agent)? Judged from what its agent did when it was asked. Whatever has
 * another explanation than a guest that hangs is none of its death: an agent that never answered, a
 * guest that boots (its end of the agent's channel is closed until the agent opens it), one that is
 * paused, a libvirt that does not answer.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef enum {
    VR_AGENT_UNKNOWN, /* the guest is paused, or libvirt could not ask */
    VR_AGENT_CLOSED, /* nobody in the guest has the channel open: it boots, ends, or has no agent */
    VR_AGENT_ANSWERS,
    VR_AGENT_SILENT, /* the channel is open, and no answer came in time */
} VrAgentSeen;

typedef enum {
    VR_ALIVE_FINE,   /* or nothing can be said */
    VR_ALIVE_SILENT, /* has answered before, and does not now */
    VR_ALIVE_DEAD,   /* has been silent for the whole time */
} VrAliveVerdict;

/* What is remembered between questions; all zero before the first one. */
typedef struct {
    bool answered;           /* since the channel was opened: counted anew after each boot */
    bool silent;             /* since silent_since_ms */
    int64_t silent_since_ms; /* monotonic: when the first question was not answered */
} VrAlive;

VrAliveVerdict vr_alive_judge(VrAlive *alive, VrAgentSeen seen, int64_t now_ms, unsigned timeout_s);

/* When to ask again: once a minute while all is well, more often while it is silent. */
unsigned vr_alive_pause_ms(const VrAlive *alive, int64_t now_ms, unsigned timeout_s);

/* "answers": the words between worker and supervisor. What is not known is UNKNOWN. */
const char *vr_agent_seen_name(VrAgentSeen seen);
VrAgentSeen vr_agent_seen_from_name(const char *name);
