/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The readers behind vr_host_facts_load(), one per part. Each fills its own fields of the facts and
 * never fails: what cannot be read stays unknown.
 */
#pragma once

#include <vmrun/host_facts.h>

/* functions, functions_error. */
void vr_pci_devices_load(VrHostFacts *facts);

/* Groups that no link told, iommu, iommu_in_firmware_tables. After the functions. */
void vr_iommu_groups_load(VrHostFacts *facts);

/* parameters. */
void vr_cmdline_load(VrHostFacts *facts);

/* kernel_release, boot_id, interrupt remapping, vfio-pci and its parameters. */
void vr_modules_load(VrHostFacts *facts);

/* computer, BIOS, UEFI, Secure Boot, is_virtual_machine. */
void vr_firmware_load(VrHostFacts *facts);

/* cpus, model, features. */
void vr_cpu_topology_load(VrHostFacts *facts);

/* memory and hugepage pools. */
void vr_memory_load(VrHostFacts *facts);

/* KVM, QEMU, OVMF, swtpm, libvirt's socket. */
void vr_virtualisation_load(VrHostFacts *facts);

/* ovmf, ovmf_secure: the firmware descriptors (docs/interop/firmware.json of QEMU). */
void vr_ovmf_load(VrHostFacts *facts);

/* kvm, kvm_usable, kvm_evidence, qemu_user. */
void vr_kvm_access_load(VrHostFacts *facts);

/* Fills in qemu_settings and open_vfio_nodes. */
void vr_qemu_conf_load(VrHostFacts *facts);

/* Adds to uses and mounted: file systems, swap, disks. */
void vr_storage_load(VrHostFacts *facts);

/* Adds to uses: keyboards. */
void vr_keyboards_load(VrHostFacts *facts);

/* Adds to uses: network interfaces; bridges. */
void vr_network_load(VrHostFacts *facts);

/* Adds one use (the text is taken over) unless the same one is there already. */
void vr_host_facts_add_use(VrHostFacts *facts, VrPciAddress address, char *use, bool critical);

/*
 * The lowest PCI function in a resolved path of sysfs,
 * "/sys/devices/pci0000:00/0000:00:17.0/ata1/…": the one that a disk, an interface or a keyboard
 * hangs on. False: none (virtual, platform).
 */
bool vr_pci_address_in_path(const char *path, VrPciAddress *out_address);

/* The hardware database of systemd, opened once; where the system has none, pci.ids. */
VrPciNames *vr_pci_names_open(void);
/* The list of libpci. It ends the process, with a message, at a mistake in the file. `path` (lent)
 * NULL: where libpci has it. */
VrPciNames *vr_pci_names_open_list(const char *path);
void vr_pci_names_free(VrPciNames *names);

/* "NVIDIA Corporation GA104 [GeForce RTX 3070]"; NULL if nobody knows it. Owned. */
char *vr_pci_names_lookup(const VrPciNames *names, const VrPciFunction *function);
