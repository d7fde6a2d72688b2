/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Values that the host has once and that several sessions may change at the same time: pools of
 * huge pages, the frequency governor, the processors that the host's own programs may use. In a
 * host state they are the attributes without a device.
 *
 * The original is what was there before the first of the sessions that claim a value, and it goes
 * back with the last of them, in whatever order they end, and also when one of them died. No record
 * beside the journals is needed for that: at its claim a session takes the original over from the
 * journals that name the value already, and on its way back it looks whether another one still
 * does. Claim and change are one critical section under the global lock, and so are the way back
 * and the end of the journal.
 *
 * What is taken away of the processors is the union of what the sessions that live have pinned. So
 * a session takes its own from the list as it finds it, and gives its own back to the list as it
 * finds it, without those that another one has pinned, too: a difference, as with a pool, not a
 * value, which in one of the two orders of ending would undo the other's. The original bounds what
 * comes back: a processor that the group never had is not given to it. Both ways are the same when
 * done twice, so that a crash between the write and the end of the journal does no harm.
 */
#pragma once

#include <vmrun/host_state.h>
#include <vmrun/lock.h>
#include <vmrun/sysroot.h>

#include <glib.h>
#include <stdbool.h>

/*
 * Make the values in `before`, as just observed, those that the first session found. The claim of a
 * pool keeps what this session adds. `profile`: whose journal this becomes; its own one is not
 * asked.
 */
void vr_shared_inherit(const VrSysroot *root, const char *profile, VrHostState *before);

/*
 * Make of the values that go back what may go back now: those that another session's journal still
 * claims are taken out, of a pool nothing is taken away that others have added, and of the
 * processors none is given back that others have taken.
 */
void vr_shared_leave_to_others(const VrSysroot *root, const char *profile, VrHostState *wanted);

/*
 * What a journal says of pages that are taken away now, "4224-4096" (host_state.h): without those
 * of other sessions, so that it stays true when one of them ends before it is read again.
 * vr_shared_leave_to_others() adds what is theirs then. Owned.
 */
char *vr_shared_begun(const VrSysroot *root, const char *profile, const char *path,
                      const char *value);

/* Does another session have a claim on this pool without using its pages yet, or any more? Then
 * pages that are free are not there for the taking. */
bool vr_shared_is_awaited(const VrSysroot *root, const char *profile, const char *path);

/* Move the shared values out of a state into one of their own. Never NULL; owned. */
VrHostState *vr_shared_take_out(VrHostState *state);
