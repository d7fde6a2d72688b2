/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How many virtual CPUs a guest gets, how they are arranged, and where on the host they run.
 */
#pragma once

#include <vmrun/host_facts.h>
#include <vmrun/profile.h>
#include <vmrun/report.h>

#include <glib.h>

/* Where each vCPU and QEMU's own threads run. */
typedef struct {
    GArray *vcpus;           /* of unsigned: host CPU of each vCPU; empty: not pinned */
    GArray *emulator;        /* host CPUs of QEMU's own threads; empty: anywhere */
    unsigned count;          /* vCPUs */
    unsigned cores, threads; /* guest topology: count = cores * threads */
    int node;                /* NUMA node of the memory, -1: any */
    char *reason;            /* one sentence for `plan` */
} VrCpuPlacement;

/*
 * Choose for a profile. `gpu_node`: NUMA node of the card, -1 if it is not told. What the profile
 * asks for and the host does not have is a finding. Pure; never NULL.
 */
VrCpuPlacement *vr_cpu_placement_choose(const VrProfile *profile, const VrHostFacts *facts,
                                        int gpu_node, VrReport *report);
void vr_cpu_placement_free(VrCpuPlacement *placement);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VrCpuPlacement, vr_cpu_placement_free)
