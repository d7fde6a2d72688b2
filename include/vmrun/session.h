/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A session: one run of one profile, from the first look at the host to the last thing given back.
 *
 * - lock: one session per profile; a short global lock while devices are claimed
 * - recover: what an earlier session left is given back first; a guest that still lives is adopted
 * - inspect: facts, findings, plan; blockers end here, before anything was written
 * - journal: the original state of everything in the plan is durable on disk
 * - take: units stop, memory is reserved, the functions move to vfio-pci, each verified
 * - start: the domain is created; its QEMU is known by pid and start time
 * - watch: the process is watched by pidfd; a signal asks the guest to shut down
 * - give back: the plan from what is now to what the journal says, as after a crash; then the
 *   journal is closed, or stays with what after-stop=keep leaves on vfio-pci
 *
 * Everything that can block runs in a worker (worker.h). Whatever happens after `journal`, give
 * back runs.
 */
#pragma once

#include <vmrun/profile.h>
#include <vmrun/report.h>
#include <vmrun/sysroot.h>

#include <glib.h>
#include <stdbool.h>

typedef enum {
    VR_STAGE_DETAIL, /* a single step; for people who ask for all of them */
    VR_STAGE_BEGIN,  /* text says what is being done now; a line that the next one may replace */
    VR_STAGE_DONE,   /* text says what was done */
    VR_STAGE_NOTE,   /* something to know */
    VR_STAGE_WARNING,
    VR_STAGE_FAILED,
} VrStage;

/* Told what happens, in order, from the thread that runs the session. Members may be NULL. */
typedef struct {
    void (*stage)(void *data, VrStage stage, const char *text);
    void (*report)(void *data, const VrReport *report); /* the findings, blockers or not */
    void *data;
} VrListener;

/*
 * Run a profile to its end, in this process. Installs handlers for SIGINT, SIGTERM, SIGUSR1 and
 * ignores SIGHUP while it lasts: SIGINT and SIGTERM ask the guest to shut down, SIGUSR1 powers it
 * off; none of them skips the way back. Before the guest runs each of them ends the start after the
 * current step; then everything is given back, and that is no error.
 *
 * Errors are those of contract: HOST_NOT_READY, BUSY, UNREACHABLE, NOT_AUTHORISED with nothing
 * changed; START_FAILED with everything given back; FAILED when QEMU died under a running guest;
 * RESTORE_INCOMPLETE, which wins over all others, when something could not be given back. After a
 * failure that left a card behind the journal stays for vr_recover().
 */
bool vr_session_run(VrSysroot *root, const VrProfile *profile, const VrListener *listener,
                    GError **error);

/*
 * In place of a supervisor that was killed: adopt its guest and follow it to its end, or give back
 * what is left. Starts no guest. Errors as above.
 */
bool vr_session_resume(VrSysroot *root, const VrProfile *profile, const VrListener *listener,
                       GError **error);

/*
 * Become the supervisor of a guest whose own one died, and bring it to its end at once: ask it to
 * shut down, wait at most timeout_s, power it off then if `force`. VR_ERROR_TIMED_OUT: it was left
 * running. VR_ERROR_STOP_FAILED: it could not be powered off.
 */
bool vr_session_finish(VrSysroot *root, const VrProfile *profile, bool force, unsigned timeout_s,
                       const VrListener *listener, GError **error);
