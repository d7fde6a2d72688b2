/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parts of the search: nodes may come from one root or moment, processes from another. */
#pragma once

#include <vmrun/gpu_users.h>

/* Append a VrHolder for every process that has one of `nodes` (VrDeviceNode) open or mapped.
 * Returns how many processes could not be looked into. */
unsigned vr_gpu_users_scan(const VrSysroot *processes, const GPtrArray *nodes, GPtrArray *holders);

/* An empty list; `holders` frees its elements. */
VrHolders *vr_holders_new(void);

/* By device, pid, node. */
void vr_holders_sort(VrHolders *holders);

/* The uses that are no processes: mounted disks, inputs, network interfaces of these functions. */
void vr_gpu_users_add_uses(const VrHostFacts *facts, const GPtrArray *functions,
                           VrHolders *holders);
