/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From what a profile asks for ([gpu], [pci NAME]) to the functions of this host, and to their
 * places in the guest.
 */
#pragma once

#include <vmrun/gpu.h>
#include <vmrun/host_facts.h>
#include <vmrun/profile.h>
#include <vmrun/report.h>

#include <glib.h>
#include <stdbool.h>

typedef struct {
    const VrPciFunction *function;
    uint8_t guest_function; /* number in the guest's slot */
} VrChosenFunction;

/* One card or device: one root port and one slot in the guest. */
typedef struct {
    char *name; /* section name; several cards of one section (device=all) get -2, -3 … */
    const VrProfileDevice *section;
    VrGpu *gpu;        /* owned judgement */
    GArray *functions; /* VrChosenFunction by guest function; the first is the main one at 0 */
} VrChosenDevice;

void vr_chosen_device_free(VrChosenDevice *device);

/*
 * Resolve all sections. What cannot be resolved (no such card, several candidates, taken twice) is
 * a blocking finding in `report`; so is every problem of a chosen card that its section does not
 * allow (allow-boot-display). Owned array of VrChosenDevice.
 */
GPtrArray *vr_devices_choose(const VrProfile *profile, const VrHostFacts *facts, VrReport *report);

/* All addresses of all chosen functions, sorted. Array of VrPciAddress. */
GArray *vr_devices_addresses(const GPtrArray *devices);

/* All chosen functions: array of const VrPciFunction *, lent. */
GPtrArray *vr_devices_functions(const GPtrArray *devices);
