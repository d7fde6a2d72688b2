/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Findings about other sessions: a profile that runs already, and a function that another session
 * has on record. At most one open journal may name a function: a second session would give back to
 * the wrong state.
 */
#pragma once

#include <vmrun/report.h>
#include <vmrun/sysroot.h>

#include <glib.h>
#include <stdbool.h>

/*
 * Add `session-running` if `profile` has a session (not asked when `have_lock`: then the caller is
 * that session), and `session-claim` for each of `addresses` (VrPciAddress) that another session
 * holds or has left behind. Both are BUSY.
 */
void vr_claims_check(const VrSysroot *root, const char *profile, bool have_lock,
                     const GArray *addresses, VrReport *report);

/* Does a session's step hang in the kernel that has one of these? Then reading driver_override may
 * hang, too (it waits for the device's lock), and nobody looks at it but a worker. */
bool vr_claims_hang(const VrSysroot *root, const GArray *addresses);
