/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "plan/check_rows.h"

#include <vmrun/text.h>

#include <string.h>

void
vr_check_pci_functions(const VrCheckInput *input, VrReport *report)
{
    const VrHostFacts *facts = input->facts;
    unsigned unreadable = 0;

    if (!vr_check_knows(input, VR_FACTS_PCI)) {
        return;
    }
    if (facts->functions_error != NULL) {
        vr_report_add(report, "pci-functions", VR_SEVERITY_UNKNOWN, VR_REMEDY_OS, NULL,
                      g_strdup("the PCI functions of this computer cannot be listed"),
                      g_strdup(facts->functions_error),
                      g_strdup("look whether /sys is mounted, then run this again"));
        return;
    }
    for (guint i = 0; i < facts->functions->len; i++) {
        const VrPciFunction *function = g_ptr_array_index(facts->functions, i);
        unreadable += function->unreadable != 0;
    }
    if (unreadable > 0) {
        vr_report_add(report, "pci-functions", VR_SEVERITY_UNKNOWN, VR_REMEDY_OS, NULL,
                      g_strdup_printf("%u of %u PCI functions could not be read completely",
                                      unreadable, facts->functions->len),
                      g_strdup("/sys/bus/pci/devices; vmrun gpus shows which"), NULL);
        return;
    }
    vr_check_ok(report, "pci-functions",
                g_strdup_printf("%u PCI functions, all readable", facts->functions->len),
                g_strdup("/sys/bus/pci/devices"));
}

/* A word on the kernel command line that turns the IOMMU off, or NULL. */
static const char *
parameter_that_turns_off(const VrHostFacts *facts)
{
    static const char *const keys[] = {"intel_iommu", "amd_iommu", "iommu"};
    static const char *const words[] = {"intel_iommu=off", "amd_iommu=off", "iommu=off"};

    for (guint i = 0; i < G_N_ELEMENTS(keys); i++) {
        if (g_strcmp0(vr_host_facts_parameter(facts, keys[i]), "off") == 0) {
            return words[i];
        }
    }
    return NULL;
}

/* Where the switch is, in the words of the makers' menus. */
static char *
firmware_advice(const VrHostFacts *facts)
{
    if (facts->is_virtual_machine) {
        return g_strdup("this is a virtual machine: give it an IOMMU in the settings of its host "
                        "(QEMU: intel-iommu or amd-iommu with intremap=on), then run this again");
    }
    if (facts->cpu_is_intel) {
        return g_strdup(
            "switch on \"Intel VT-d\" in the BIOS set-up (often under Advanced > "
            "System Agent or Chipset; it is not the same as VT-x), then run this again");
    }
    if (facts->cpu_is_amd) {
        return g_strdup("set \"IOMMU\" in the BIOS set-up to Enabled, not Auto (often under "
                        "Advanced > AMD CBS > NBIO, next to SVM Mode), then run this again");
    }
    return g_strdup("switch on \"Intel VT-d\" or \"AMD IOMMU\" in the BIOS set-up, then run this "
                    "again");
}

static void
add_iommu_off_by_firmware(const VrHostFacts *facts, VrReport *report)
{
    vr_report_add(report, "iommu-enabled", VR_SEVERITY_BLOCKER, VR_REMEDY_FIRMWARE, NULL,
                  g_strdup("the IOMMU is off in the firmware: no device can be given to a guest "
                           "safely"),
                  g_strdup("/sys/class/iommu is empty, and the firmware has no ACPI table DMAR "
                           "(Intel) or IVRS (AMD)"),
                  firmware_advice(facts));
}

static void
add_iommu_off_by_kernel(const VrHostFacts *facts, VrReport *report)
{
    const char *word = parameter_that_turns_off(facts);
    bool knows_command_line = (facts->mask & VR_FACTS_KERNEL) != 0;
    const char *read = word != NULL         ? "; /proc/cmdline says "
                       : knows_command_line ? "; /proc/cmdline does not turn it off"
                                            : "";
    char *advice = NULL;

    if (word != NULL) {
        advice = g_strdup_printf("remove %s from the kernel command line (Debian: "
                                 "/etc/default/grub, then update-grub) and restart",
                                 word);
    } else if (facts->cpu_is_amd) {
        advice = g_strdup("AMD needs no kernel option: read what the kernel says in dmesg about "
                          "AMD-Vi, and update the BIOS");
    } else {
        advice = g_strdup("add intel_iommu=on to the kernel command line (Debian: "
                          "/etc/default/grub, then update-grub) and restart");
    }
    vr_report_add(report, "iommu-enabled", VR_SEVERITY_BLOCKER, VR_REMEDY_OS, NULL,
                  g_strdup("the firmware offers an IOMMU, but the kernel does not use it"),
                  g_strdup_printf("/sys/class/iommu is empty although an ACPI table DMAR or IVRS "
                                  "is there%s%s",
                                  read, word != NULL ? word : ""),
                  advice);
}

/* Different groups that functions are in. */
static unsigned
count_groups(const VrHostFacts *facts)
{
    g_autoptr(GHashTable) groups = g_hash_table_new(NULL, NULL);

    for (guint i = 0; i < facts->functions->len; i++) {
        const VrPciFunction *function = g_ptr_array_index(facts->functions, i);
        if (function->group >= 0) {
            g_hash_table_add(groups, GINT_TO_POINTER(function->group));
        }
    }
    return g_hash_table_size(groups);
}

/* Never judged by the command line: many kernels and firmwares switch it on without a word there.
 */
void
vr_check_iommu_enabled(const VrCheckInput *input, VrReport *report)
{
    const VrHostFacts *facts = input->facts;

    if (!vr_check_knows(input, VR_FACTS_PCI)) {
        return;
    }
    if (facts->iommu) {
        vr_check_ok(report, "iommu-enabled", g_strdup("the IOMMU is on"),
                    g_strdup_printf("/sys/class/iommu and /sys/kernel/iommu_groups: %u groups",
                                    count_groups(facts)));
    } else if (facts->functions_error != NULL) {
        vr_report_add(report, "iommu-enabled", VR_SEVERITY_UNKNOWN, VR_REMEDY_NONE, NULL,
                      g_strdup("whether the IOMMU is on could not be found out"),
                      g_strdup(facts->functions_error), NULL);
    } else if (facts->iommu_in_firmware_tables) {
        add_iommu_off_by_kernel(facts, report);
    } else {
        add_iommu_off_by_firmware(facts, report);
    }
}

static void
add_no_remapping(const VrHostFacts *facts, VrReport *report)
{
    bool off = vr_host_facts_parameter(facts, "nointremap") != NULL ||
               g_strcmp0(vr_host_facts_parameter(facts, "intremap"), "off") == 0;

    vr_report_add(report, "interrupt-remapping", VR_SEVERITY_BLOCKER,
                  off ? VR_REMEDY_OS : VR_REMEDY_FIRMWARE, NULL,
                  g_strdup("interrupts are not remapped: a guest could send false interrupts to "
                           "the host, and the kernel refuses to start it"),
                  g_strdup_printf("/proc/interrupts: no interrupt chip named IR-%s",
                                  off ? "; /proc/cmdline turns it off" : ""),
                  off ? g_strdup("remove intremap=off or nointremap from the kernel command line "
                                 "and restart")
                      : g_strdup("update the BIOS and switch on x2APIC and interrupt remapping "
                                 "there; a machine without it cannot do this safely"));
}

void
vr_check_interrupt_remapping(const VrCheckInput *input, VrReport *report)
{
    const VrHostFacts *facts = input->facts;

    if (!vr_check_knows(input, VR_FACTS_PCI | VR_FACTS_KERNEL)) {
        return;
    }
    if (facts->unsafe_interrupts) {
        vr_report_add(
            report, "interrupt-remapping", VR_SEVERITY_WARNING, VR_REMEDY_OS, NULL,
            g_strdup("guests may send false interrupts to this host: the protection was "
                     "switched off by hand"),
            g_strdup("/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts: Y"),
            g_strdup("remove allow_unsafe_interrupts from /etc/modprobe.d and from the "
                     "kernel command line, unless this computer cannot remap interrupts "
                     "and you trust every guest"));
    } else if (!facts->iommu) {
        vr_report_add(report, "interrupt-remapping", VR_SEVERITY_UNKNOWN, VR_REMEDY_NONE, NULL,
                      g_strdup("whether interrupts are remapped shows only with the IOMMU on"),
                      g_strdup("/sys/class/iommu is empty"), NULL);
    } else if (facts->interrupt_remapping == VR_YES) {
        vr_check_ok(report, "interrupt-remapping", g_strdup("interrupts are remapped"),
                    g_strdup("/proc/interrupts: interrupt chips named IR-"));
    } else if (facts->interrupt_remapping == VR_NO) {
        add_no_remapping(facts, report);
    } else {
        vr_report_add(report, "interrupt-remapping", VR_SEVERITY_UNKNOWN, VR_REMEDY_NONE, NULL,
                      g_strdup("whether interrupts are remapped could not be found out"),
                      g_strdup("/proc/interrupts tells nothing about it"), NULL);
    }
}

/* No kernel starts with an empty one. */
static void
add_no_command_line(VrReport *report, const char *id, const char *message)
{
    vr_report_add(report, id, VR_SEVERITY_UNKNOWN, VR_REMEDY_NONE, NULL, g_strdup(message),
                  g_strdup("/proc/cmdline: nothing there"), NULL);
}

void
vr_check_acs_override(const VrCheckInput *input, VrReport *report)
{
    if (!vr_check_knows(input, VR_FACTS_KERNEL)) {
        return;
    }
    if (input->facts->parameters->len == 0) {
        add_no_command_line(report, "acs-override",
                            "whether the IOMMU groups were split by hand could not be found out");
        return;
    }
    const char *value = vr_host_facts_parameter(input->facts, "pcie_acs_override");
    if (value == NULL) {
        vr_check_ok(report, "acs-override", g_strdup("the IOMMU groups are as the hardware says"),
                    g_strdup("/proc/cmdline: no pcie_acs_override="));
        return;
    }
    vr_report_add(
        report, "acs-override", VR_SEVERITY_WARNING, VR_REMEDY_OS, NULL,
        g_strdup("the IOMMU groups may be split on paper only: a guest's card could reach "
                 "other devices directly"),
        g_strdup_printf("/proc/cmdline: pcie_acs_override=%s (kernels without that patch, "
                        "Debian's among them, ignore it)",
                        value),
        g_strdup("remove it if your cards are isolated without it; run only guests that "
                 "you trust otherwise"));
}

void
vr_check_vfio_pci(const VrCheckInput *input, VrReport *report)
{
    static const char *const states[] = {
        [VR_MODULE_MISSING] = "missing",         [VR_MODULE_LOADABLE] = "loadable",
        [VR_MODULE_LOADED] = "loaded",           [VR_MODULE_BUILTIN] = "built in",
        [VR_MODULE_BLACKLISTED] = "blacklisted",
    };
    const VrHostFacts *facts = input->facts;
    const char *release = facts->kernel_release != NULL ? facts->kernel_release : "?";

    if (!vr_check_knows(input, VR_FACTS_KERNEL)) {
        return;
    }
    char *evidence =
        g_strdup_printf("module vfio-pci of kernel %s: %s", release, states[facts->vfio_pci]);
    if (facts->kernel_release == NULL && facts->vfio_pci == VR_MODULE_MISSING) {
        vr_report_add(report, "vfio-pci", VR_SEVERITY_UNKNOWN, VR_REMEDY_NONE, NULL,
                      g_strdup("whether the driver vfio-pci is there could not be found out: which "
                               "kernel runs is not told"),
                      evidence, NULL);
    } else if (facts->vfio_pci == VR_MODULE_MISSING) {
        vr_report_add(
            report, "vfio-pci", VR_SEVERITY_BLOCKER, VR_REMEDY_OS, NULL,
            g_strdup("this kernel has no driver vfio-pci, which holds a card for a guest"),
            evidence,
            g_strdup("start a kernel that has it (Debian: linux-image-amd64, not a "
                     "\"cloud\" kernel); after a kernel update, restart first"));
    } else if (facts->vfio_pci == VR_MODULE_BLACKLISTED) {
        vr_report_add(
            report, "vfio-pci", VR_SEVERITY_BLOCKER, VR_REMEDY_OS, NULL,
            g_strdup("the driver vfio-pci is forbidden on this host"), evidence,
            g_strdup("remove the line \"blacklist vfio-pci\" (or install vfio-pci …) from "
                     "/etc/modprobe.d, or modprobe.blacklist= from the kernel command "
                     "line"));
    } else {
        vr_check_ok(report, "vfio-pci", g_strdup("the driver vfio-pci is there"), evidence);
    }
}

/* "10de:2484", "10de:2484:1043:8820": only vendor and device are compared. */
static bool
parse_id(const char *text, uint16_t *out_vendor, uint16_t *out_device)
{
    g_auto(GStrv) parts = g_strsplit(text, ":", 3);
    uint64_t vendor = 0, device = 0;

    if (g_strv_length(parts) < 2 || !vr_text_to_hex(parts[0], 0xffff, &vendor) ||
        !vr_text_to_hex(parts[1], 0xffff, &device)) {
        return false;
    }
    *out_vendor = (uint16_t) vendor;
    *out_device = (uint16_t) device;
    return true;
}

static char *
addresses_with_id(const VrHostFacts *facts, uint16_t vendor, uint16_t device)
{
    g_autoptr(GPtrArray) found = g_ptr_array_new_with_free_func(g_free);

    for (guint i = 0; i < facts->functions->len; i++) {
        const VrPciFunction *function = g_ptr_array_index(facts->functions, i);
        if (function->vendor == vendor && function->device == device) {
            g_ptr_array_add(found, vr_pci_address_format(function->address));
        }
    }
    g_ptr_array_add(found, NULL);
    return found->len > 1 ? g_strjoinv(", ", (char **) found->pdata) : NULL;
}

static void
add_kept_id(const VrHostFacts *facts, const char *id, const char *source, VrReport *report)
{
    uint16_t vendor = 0, device = 0;
    g_autofree char *addresses =
        parse_id(id, &vendor, &device) ? addresses_with_id(facts, vendor, device) : NULL;

    if (addresses == NULL) {
        vr_report_add(
            report, "vfio-ids", VR_SEVERITY_INFO, VR_REMEDY_OS, NULL,
            g_strdup_printf("the list of ids for vfio-pci names \"%s\", which no device of "
                            "this computer has",
                            id),
            g_strdup_printf("%s: %s", source, id),
            g_strdup("remove it, or correct it: lspci -nn shows the ids"));
        return;
    }
    vr_report_add(
        report, "vfio-ids", VR_SEVERITY_INFO, VR_REMEDY_OS, NULL,
        g_strdup_printf("%s: every device with the id %s goes to vfio-pci at boot, and the "
                        "host cannot use it between sessions",
                        addresses, id),
        g_strdup_printf("%s: %s", source, id),
        g_strdup("vmrun does not need this: remove it to have the card on the host while "
                 "no guest runs"));
}

void
vr_check_vfio_ids(const VrCheckInput *input, VrReport *report)
{
    const VrHostFacts *facts = input->facts;

    if (!vr_check_knows(input, VR_FACTS_KERNEL | VR_FACTS_PCI)) {
        return;
    }
    bool loaded = facts->vfio_pci_ids != NULL && facts->vfio_pci_ids[0] != '\0';
    const char *ids = loaded ? facts->vfio_pci_ids : vr_host_facts_parameter(facts, "vfio-pci.ids");
    if (ids == NULL) {
        ids = vr_host_facts_parameter(facts, "vfio_pci.ids"); /* the kernel reads _ and - alike */
    }
    const char *source =
        loaded ? "/sys/module/vfio_pci/parameters/ids" : "/proc/cmdline: vfio-pci.ids";
    if (ids == NULL && facts->parameters->len == 0) {
        add_no_command_line(report, "vfio-ids",
                            "whether devices are kept from the host could not be found out");
        return;
    }
    if (ids == NULL || ids[0] == '\0') {
        vr_check_ok(report, "vfio-ids", g_strdup("no device is kept from the host by its id"),
                    g_strdup("no ids= of vfio-pci, loaded or on the command line"));
        return;
    }
    g_auto(GStrv) list = g_strsplit(ids, ",", -1);
    for (guint i = 0; list[i] != NULL; i++) {
        /* The kernel shows an unused tail of its buffer as "(null)" or as nothing. */
        if (list[i][0] != '\0' && !g_str_equal(list[i], "(null)")) {
            add_kept_id(facts, list[i], source, report);
        }
    }
}
