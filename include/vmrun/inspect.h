/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From a profile to everything that is known and decided before a start: one function for `plan`,
 * `xml`, `doctor NAME` and the session itself, so that what is shown is what is done.
 */
#pragma once

#include <vmrun/cpu_placement.h>
#include <vmrun/gpu_users.h>
#include <vmrun/host_facts.h>
#include <vmrun/identity.h>
#include <vmrun/path_facts.h>
#include <vmrun/profile.h>
#include <vmrun/report.h>
#include <vmrun/scout.h>
#include <vmrun/sysroot.h>

#include <glib.h>

/* Where vmrun keeps what must outlive a boot. */
#define VR_STATE_DIRECTORY "/var/lib/vmrun"

typedef struct {
    const VrProfile *profile; /* lent */
    VrHostFacts *facts;
    GPtrArray *gpus;        /* VrGpu of the host */
    GPtrArray *devices;     /* VrChosenDevice; empty if nothing could be chosen */
    VrHolders *holders;     /* of the chosen functions */
    GPtrArray *disks;       /* VrDiskFact */
    char *holders_error;    /* why the processes could not be looked at, NULL: they were */
    VrPathFacts *paths;     /* the files that the guest gets, and the way to each */
    GPtrArray *busy_groups; /* of char *, groups of the chosen functions that are in use */
    VrIdentity *identity;   /* not stored yet: vr_identity_store() */
    VrCpuPlacement *placement;
    VrPages pages;    /* decided: NONE, 2M or 1G */
    char *uri;        /* decided, never "auto" */
    VrReport *report; /* findings of the choice and of the checks */
    char *xml;        /* of the domain; NULL if a device could not be chosen */
} VrInspection;

/*
 * Read the facts of `root`, judge, choose, check and describe. Writes nothing, starts nothing, does
 * not talk to libvirt. A host that is not ready is a finding in `report`; NULL only when the
 * profile's identity file is there and is wrong. `profile` and `root` must outlive the result.
 * `scout` looks at what could block; NULL: one of its own. A program that holds a chosen function
 * is given patience_ms to go by itself.
 */
VrInspection *vr_inspect(VrSysroot *root, const VrProfile *profile, VrScout *scout,
                         unsigned patience_ms, GError **error);

/*
 * Once more, right before libvirt opens the files by name: the same files, by their inodes, and
 * still nobody else's. VR_ERROR_START_FAILED names the file that is not.
 */
bool vr_inspection_check_paths(const VrInspection *inspection, GError **error);

void vr_inspection_free(VrInspection *inspection);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VrInspection, vr_inspection_free)

/*
 * The URI of libvirt that a profile means on this host: what it names, or for `auto` the system
 * daemon where its socket exists (working or not), else the embedded driver with a root of the
 * profile's own. Owned.
 */
char *vr_inspect_uri(const VrProfile *profile, const VrHostFacts *facts);
