/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The rows of the table in checks.c, and the words that they share. A row whose facts were not
 * asked for says nothing; a fact that could not be read is a finding of severity unknown.
 */
#pragma once

#include <vmrun/checks.h>

#include <glib.h>
#include <stdbool.h>

typedef void VrCheckFunction(const VrCheckInput *input, VrReport *report);

/* checks_iommu.c */
VrCheckFunction vr_check_pci_functions;
VrCheckFunction vr_check_iommu_enabled;
VrCheckFunction vr_check_interrupt_remapping;
VrCheckFunction vr_check_acs_override;
VrCheckFunction vr_check_vfio_pci;
VrCheckFunction vr_check_vfio_ids;

/* checks_gpu.c */
VrCheckFunction vr_check_graphics_cards;
VrCheckFunction vr_check_card_left_on_vfio;
VrCheckFunction vr_check_device_held;
VrCheckFunction vr_check_device_in_use;
VrCheckFunction vr_check_group_busy;

/* checks_memory.c */
VrCheckFunction vr_check_cpus;
VrCheckFunction vr_check_memory;
VrCheckFunction vr_check_hugepages;

/* checks_boot.c */
VrCheckFunction vr_check_host_boot;
VrCheckFunction vr_check_inside_virtual_machine;
VrCheckFunction vr_check_boot_files;
VrCheckFunction vr_check_rom_file;

/* checks_guest.c */
VrCheckFunction vr_check_kvm;
VrCheckFunction vr_check_qemu;
VrCheckFunction vr_check_guest_firmware;
VrCheckFunction vr_check_secure_firmware;
VrCheckFunction vr_check_tpm_emulator;
VrCheckFunction vr_check_libvirt;
VrCheckFunction vr_check_hidden_kvm;
VrCheckFunction vr_check_network_source;
VrCheckFunction vr_check_network_reach;

/* checks_confinement.c */
VrCheckFunction vr_check_qemu_confinement;

/* checks_disks.c */
VrCheckFunction vr_check_disks;

/* checks_paths.c */
VrCheckFunction vr_check_path_trust;

/* The command that a Debian user types; others know their own. */
#define VR_CHECK_INSTALL "install the package %s (Debian: apt install %s)"

/* Were these parts of the facts asked for? */
static inline bool
vr_check_knows(const VrCheckInput *input, unsigned mask)
{
    return (input->facts->mask & mask) == mask;
}

/* A finding about the host as a whole that is fine. The texts are taken over. */
static inline void
vr_check_ok(VrReport *report, const char *id, char *message, char *evidence)
{
    vr_report_add(report, id, VR_SEVERITY_OK, VR_REMEDY_NONE, NULL, message, evidence, NULL);
}
