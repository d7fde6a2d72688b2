/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The seam for tests: nodes may come from one root, processes from another. */
#pragma once

#include <vmrun/gpu_users.h>

/* Append a VrHolder for every process that has one of `nodes` (VrDeviceNode) open or mapped.
 * Returns how many processes could not be looked into. */
unsigned vr_gpu_users_scan(const VrSysroot *processes, const GPtrArray *nodes, GPtrArray *holders);
