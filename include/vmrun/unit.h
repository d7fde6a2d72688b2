/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a supervisor has to say to systemd, and to ask of it, when it runs as vmrun@NAME.service.
 * Without systemd all of this is nothing, and no error.
 */
#pragma once

#include <vmrun/sysroot.h>

#include <stdbool.h>

/*
 * Was this process started by systemd in place of one of the same unit that was killed? Then the
 * guest that it left is adopted, but none is started: a guest that died is not started again by
 * itself, whatever else died with it. So in doubt, when systemd does not say, the answer is yes.
 * A process that is no unit's first one was started by somebody: no.
 */
bool vr_unit_is_restarted(const VrSysroot *root, const char *profile);

/* Is `exec_pid`, systemd's $SYSTEMD_EXEC_PID or NULL, this very process? A shell below some other
 * unit inherits the variable, with another number. Pure. */
bool vr_unit_is_first_process(const char *exec_pid, int pid);

/* The same from what systemd said: "NRestarts=N" and "InvocationID=…" on lines of their own.
 * `invocation`: our own. A count of another invocation says nothing. Pure. */
bool vr_unit_text_is_restarted(const char *properties, const char *invocation);

/* Being stopped will take up to so long from now: the unit's TimeoutStopSec cannot know a profile's
 * stop-timeout. sd_notify(3), EXTEND_TIMEOUT_USEC. */
void vr_unit_extend_stop(unsigned seconds);
