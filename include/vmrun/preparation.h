/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a start of a profile would do on this host, worked out and not done: `vmrun plan` prints it,
 * `vmrun run` works it out once more under the lock and does it. One function, so that the two
 * cannot differ.
 */
#pragma once

#include <vmrun/changes.h>
#include <vmrun/host_state.h>
#include <vmrun/inspect.h>
#include <vmrun/plan.h>
#include <vmrun/profile.h>
#include <vmrun/sysroot.h>

#include <glib.h>
#include <stdbool.h>

typedef struct {
    VrInspection *inspection;
    VrHostState *before;   /* observed; NULL when no device could be chosen, or one hangs */
    VrHostState *reserved; /* first half: units stopped, memory reserved; every binding as before */
    VrHostState *wanted;   /* second half: the functions on vfio-pci, too */
    VrPlan *plan;          /* from before to wanted; empty when before is NULL */
    VrFingerprint *fingerprint; /* of the host as it is now */
    GPtrArray *changes; /* VrChange, since the profile last started well; NULL: it never did */
} VrPreparation;

/* Who reads what can block. */
typedef struct {
    /* The current value of everything in `shape` (vr_host_state_observe). */
    VrHostState *(*observe)(void *data, const VrHostState *shape, GError **error);
    void *data;
    /* What functions say of themselves (vr_worker_capabilities). NULL: they are not asked. */
    GPtrArray *(*ask)(const VrSysroot *root, const GArray *addresses, GError **error);
    VrScout *scout;       /* NULL: one of its own */
    unsigned patience_ms; /* how long a holder is given to go by itself */
} VrReaders;

/*
 * Blockers are findings of inspection->report, not errors: then there may be a plan nevertheless.
 * `have_lock`: the caller is the session of this profile, so that one is not in its own way.
 * `profile` must outlive the result.
 */
VrPreparation *vr_preparation_make(VrSysroot *root, const VrProfile *profile, bool have_lock,
                                   const VrReaders *readers, GError **error);

/* The same for commands that hold no lock and write nothing: a scout observes (scout.h). */
VrPreparation *vr_preparation_look(VrSysroot *root, const VrProfile *profile, GError **error);

void vr_preparation_free(VrPreparation *preparation);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VrPreparation, vr_preparation_free)
