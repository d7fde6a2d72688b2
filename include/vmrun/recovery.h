/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Giving back, from a journal: at the end of a session, and after one that died. It is the same
 * function, so the way that must work after a crash is walked every day.
 */
#pragma once

#include <vmrun/journal.h>
#include <vmrun/session.h>
#include <vmrun/sysroot.h>
#include <vmrun/worker.h>

#include <glib.h>
#include <stdbool.h>

/*
 * Bring everything in the journal back to what it was and close the journal. The phase RESTORING is
 * durable before the first write. Waits at most `wait_ms` for the card to be let go by a QEMU that
 * is ending. VR_ERROR_RESTORE_INCOMPLETE: names what is left and the next action; the journal
 * stays, in phase FAILED or STUCK.
 *
 * With journal->keep the devices stay where they are and the journal stays, too, in phase KEPT,
 * with nothing but their original state: the next start goes on from it, or a restore gives them
 * back.
 */
bool vr_give_back(VrSysroot *root, VrJournal *journal, VrMover *mover, unsigned wait_ms,
                  const VrListener *listener, GError **error);

typedef enum {
    VR_RECOVERY_NOTHING,  /* no journal */
    VR_RECOVERY_RESTORED, /* everything is back (or, with dry_run, would be brought back now) */
    VR_RECOVERY_ALIVE,    /* the guest lives: nothing was touched; *out_journal is its journal */
    VR_RECOVERY_KEPT, /* devices are kept on purpose: with leave_kept only; *out_journal as above */
    VR_RECOVERY_RESTARTED, /* the computer was restarted since: there was nothing to write, and the
                              journal is closed (or, with dry_run, would be) */
} VrRecovery;

typedef struct {
    bool have_lock;  /* the caller holds the profile's lock */
    bool dry_run;    /* only say what would be done */
    bool leave_kept; /* what after-stop=keep left is not touched */
    VrMover *mover;  /* does the steps; lent; NULL: one of its own */
} VrRecoveryOptions;

/*
 * Look at what a session left on record and give it back if its guest is gone. Never waits for a
 * guest, never touches the card of a living one. VR_ERROR_BUSY: another vmrun supervises it, or
 * something else holds the card; VR_ERROR_RESTORE_INCOMPLETE as above, also for a journal that
 * cannot be believed. out_journal may be NULL; owned by the caller otherwise.
 */
bool vr_recover(VrSysroot *root, const char *profile, const VrRecoveryOptions *options,
                const VrListener *listener, VrRecovery *out_recovery, VrJournal **out_journal,
                GError **error);
