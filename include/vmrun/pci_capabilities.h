/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What PCI functions say of themselves in their configuration space.
 *
 * Reading it wakes a function that sleeps, can block for as long as the kernel tries to, and goes
 * through libpci, which ends the process when it is in trouble. So only the functions of a profile
 * are asked, and only by the worker (vr_worker_capabilities).
 */
#pragma once

#include <vmrun/pci.h>
#include <vmrun/sysroot.h>

#include <glib.h>

typedef struct {
    VrPciAddress address;
    /* VR_UNKNOWN: could not be read. Somebody who is not root gets the header (64 bytes) only. */
    VrTristate is_dead;        /* all ones instead of a header type */
    VrTristate function_reset; /* FLR, of PCI Express or of Advanced Features */
    VrTristate power_reset;    /* from D3hot to D0 */
    char *reset_methods;       /* as sysfs tells, "flr bus"; NULL: none, or Linux before 5.15 */
    char *serial; /* the Device Serial Number capability, 16 hex digits; NULL: none, or not root */
} VrPciCapabilities;

void vr_pci_capabilities_free(VrPciCapabilities *capabilities);

/* Of these addresses (VrPciAddress), in their order. Owned array of VrPciCapabilities. */
GPtrArray *vr_pci_capabilities_read(const VrSysroot *root, const GArray *addresses);
