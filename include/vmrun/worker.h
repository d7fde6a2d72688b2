/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The worker: this same program, executed again, for everything that may block for ever: writes to
 * sysfs, and calls into libvirt. It gets one command at a time on a pipe and holds no lock, so when
 * the kernel or libvirtd does not return, the supervisor goes on without it.
 *
 * Protocol: one JSON object per line each way. Request: {"verb":"step", …}. Answer: {"ok":true, …}
 * or
 * {"ok":false,"code":N,"message":"…"}; before it any number of {"progress":"…"}. Verbs:
 * run/worker_verbs.c.
 */
#pragma once

#include <vmrun/apply.h>
#include <vmrun/journal.h>
#include <vmrun/scout.h>
#include <vmrun/session.h>
#include <vmrun/sysroot.h>

#include <glib.h>
#include <json-glib/json-glib.h>
#include <stdbool.h>
#include <stdint.h>

/* The supervisor's side. */
typedef struct _VrWorker VrWorker;

/*
 * Start one: /proc/self/exe (so that it is the same program even while a package is being
 * replaced), no inherited fd but its share in the work for `profile` (lock.h; NULL: it only reads),
 * a process group of its own. It ends when we do, after its current step: who takes over waits for
 * that.
 */
VrWorker *vr_worker_start(const VrSysroot *root, const char *profile, GError **error);

/*
 * Send a request (taken over) and wait for the answer for at most timeout_ms. NULL with the
 * worker's own error; VR_ERROR_STUCK when the deadline passed (the worker is then abandoned, not
 * killed, unless it dies by itself: see vr_worker_abandon); VR_ERROR_FAILED when it died.
 */
JsonObject *vr_worker_call(VrWorker *worker, JsonObject *request, unsigned timeout_ms,
                           GError **error);

int vr_worker_pid(const VrWorker *worker);
uint64_t vr_worker_start_time(const VrWorker *worker);
/* Readable when the worker ends; -1 if it was abandoned. Lent. */
int vr_worker_pidfd(const VrWorker *worker);

/* After a call that failed: is it of no use any more, because it ended, is about to end, or was
 * abandoned? A killed process closes its socket a little before it counts as ended. */
bool vr_worker_is_lost(const VrWorker *worker);

/* Let go of a worker that hangs: nothing waits for it any more. `kill_it`: it is inside libvirt,
 * where SIGKILL does no harm. */
void vr_worker_abandon(VrWorker *worker, bool kill_it);

/* Ask it to end, wait shortly, free. NULL is fine. */
void vr_worker_stop(VrWorker *worker);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VrWorker, vr_worker_stop)

/* The worker's side: serve requests on standard input until it closes. Returns the exit status. */
int vr_worker_main(VrSysroot *root);

/*
 * What these functions (VrPciAddress) say of themselves, asked by a worker of its own: one that
 * hangs or that libpci ends is no loss. Owned array of VrPciCapabilities. NULL with VR_ERROR_STUCK
 * when they did not answer in time.
 */
GPtrArray *vr_worker_capabilities(const VrSysroot *root, const GArray *addresses, GError **error);

/*
 * The mover: an executor (apply.h) that lets a worker do every step, with the deadline of each. A
 * step that overruns is recorded as stuck in the journal, durably; its worker is left alone with
 * it, and another one does what follows.
 */
typedef struct _VrMover VrMover;

/* `listener` may be NULL; both are lent. No process is started before the first step. */
VrMover *vr_mover_new(VrSysroot *root, const VrListener *listener);
void vr_mover_free(VrMover *mover);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VrMover, vr_mover_free)

/* For which profile the steps are: its recovery waits for the worker. NULL (the default): for none.
 * For workers that start later. */
void vr_mover_set_profile(VrMover *mover, const char *profile);

/* Where stuck steps are recorded, and whose stuck devices are not touched. Lent; NULL: nowhere. */
void vr_mover_set_journal(VrMover *mover, VrJournal *journal);

/* The one that it looks with. Lent. */
VrScout *vr_mover_scout(VrMover *mover);

/* Lent, valid as long as the mover. */
const VrExecutor *vr_mover_executor(VrMover *mover);
