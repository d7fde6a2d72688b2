/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/checks.h>

#include "plan/check_rows.h"

/* In the order in which a person would look. README.md lists the ids. */
static const VrCheck checks[] = {
    {"host-boot", "Host firmware", false, vr_check_host_boot},
    {"inside-vm", "Computer", false, vr_check_inside_virtual_machine},
    {"pci-functions", "PCI functions", false, vr_check_pci_functions},
    {"iommu-enabled", "IOMMU", false, vr_check_iommu_enabled},
    {"interrupt-remapping", "Interrupt remapping", false, vr_check_interrupt_remapping},
    {"acs-override", "Group isolation", false, vr_check_acs_override},
    {"vfio-pci", "vfio-pci", false, vr_check_vfio_pci},
    {"vfio-ids", "Cards kept at boot", false, vr_check_vfio_ids},
    {"kvm", "KVM", false, vr_check_kvm},
    {"qemu", "QEMU", false, vr_check_qemu},
    {"guest-firmware", "Guest firmware", false, vr_check_guest_firmware},
    {"secure-firmware", "Secure Boot for guests", false, vr_check_secure_firmware},
    {"tpm-emulator", "TPM for guests", false, vr_check_tpm_emulator},
    {"libvirt", "libvirt", false, vr_check_libvirt},
    {"qemu-confinement", "Confinement of QEMU", false, vr_check_qemu_confinement},
    {"graphics-cards", "Graphics cards", false, vr_check_graphics_cards},
    {"card-left-on-vfio", "Cards on vfio-pci", false, vr_check_card_left_on_vfio},
    {"cpus", "Processors", false, vr_check_cpus},
    {"memory", "Memory", false, vr_check_memory},
    {"hugepages", "Huge pages", true, vr_check_hugepages},
    {"device-held", "Programs", true, vr_check_device_held},
    {"device-in-use", "Use by the host", true, vr_check_device_in_use},
    {"group-busy", "Groups in use", true, vr_check_group_busy},
    {"boot-files", "Kernel and initrd", true, vr_check_boot_files},
    {"rom-file", "Option ROM", true, vr_check_rom_file},
    {"disk", "Disks", true, vr_check_disks},
    {"path-trust", "Owners of files", true, vr_check_path_trust},
    {"network-source", "Network's source", true, vr_check_network_source},
    {"network-reach", "Network", true, vr_check_network_reach},
    {"hidden-kvm", "Hidden KVM", true, vr_check_hidden_kvm},
    {NULL, NULL, false, NULL},
};

const VrCheck *
vr_checks(void)
{
    return checks;
}

VrReport *
vr_checks_run(const VrCheckInput *input)
{
    VrReport *report = vr_report_new();

    for (const VrCheck *row = checks; row->id != NULL; row++) {
        if (!row->needs_profile || input->profile != NULL) {
            row->check(input, report);
        }
    }
    return report;
}
