/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "plan/device_choice_private.h"

#include <vmrun/gpu.h>
#include <vmrun/pci.h>

#include <string.h>

/* libvirt and QEMU take PCI domains of 16 bits only (QEMU 7.2, set_pci_host_devaddr). */
#define DOMAIN_LIMIT 0xffffu

/* PCI Local Bus Specification 3.0: a slot has eight functions. */
#define SLOT_FUNCTIONS 8u

/* What a start makes of a problem of vr_gpu_has_problem(); in the order of the problems. */
typedef struct {
    const char *problem;
    const char *id; /* of the finding */
    VrRemedy remedy;
    bool display_only, can_be_allowed;
} ProblemRow;

static const ProblemRow problem_rows[] = {
    {"unreadable", "unreadable", VR_REMEDY_OS, false, false},
    {"no-iommu", "no-iommu", VR_REMEDY_VMRUN_SETUP, false, false},
    {"no-group", "no-group", VR_REMEDY_FIRMWARE, false, false},
    {"shared-group", "group-isolation", VR_REMEDY_HARDWARE, false, false},
    {"boot-display", "boot-display", VR_REMEDY_PROFILE, true, true},
    {"only-gpu", "only-gpu", VR_REMEDY_PROFILE, true, true},
    {"management-console", "management-console", VR_REMEDY_HARDWARE, true, false},
    {"virtual-machine", "virtual-machine", VR_REMEDY_HARDWARE, true, false},
    {"dead-device", "dead-device", VR_REMEDY_HARDWARE, false, false},
    {"sriov-active", "sriov-active", VR_REMEDY_OS, false, false},
};

static const ProblemRow *
row_of(const char *problem)
{
    for (gsize i = 0; i < G_N_ELEMENTS(problem_rows); i++) {
        if (strcmp(problem_rows[i].problem, problem) == 0) {
            return &problem_rows[i];
        }
    }
    return NULL;
}

bool
vr_device_problem_is_allowed(const VrProfileDevice *section, const char *problem)
{
    const ProblemRow *row = row_of(problem);

    return row != NULL && row->can_be_allowed && section->allow_boot_display;
}

/* "group 13, driver nvidia, [gpu]". Owned. */
static char *
evidence_of(const VrChosenDevice *device, const VrPciFunction *function)
{
    g_autofree char *title = vr_device_section_title(device->section);
    g_autofree char *group = function->group >= 0
                                 ? g_strdup_printf("IOMMU group %d", function->group)
                                 : g_strdup("no IOMMU group");

    return g_strdup_printf("%s: driver %s, chosen by %s%s%s", group,
                           function->driver != NULL ? function->driver : "none", title,
                           function->error != NULL ? "; " : "",
                           function->error != NULL ? function->error : "");
}

static void
report_problem(const VrChosenDevice *device, const ProblemRow *row, VrReport *report)
{
    const VrPciFunction *display = device->gpu->display;
    bool allowed = vr_device_problem_is_allowed(device->section, row->problem);

    vr_report_add(report, row->id, allowed ? VR_SEVERITY_WARNING : VR_SEVERITY_BLOCKER, row->remedy,
                  vr_pci_address_format(display->address),
                  g_strdup(vr_gpu_problem_meaning(row->problem)), evidence_of(device, display),
                  allowed ? g_strdup("allowed by allow-boot-display=yes in the profile: the host "
                                     "has no screen while the guest runs")
                          : g_strdup(vr_gpu_problem_advice(row->problem)));
}

static void
report_neighbour(const VrChosenDevice *device, const VrNeighbour *neighbour,
                 const VrHostFacts *facts, VrReport *report)
{
    const VrPciFunction *function = neighbour->function;
    g_autofree char *card = vr_pci_address_format(device->gpu->display->address);
    g_autofree char *address = vr_pci_address_format(function->address);

    vr_report_add(
        report, "group-isolation", VR_SEVERITY_BLOCKER, VR_REMEDY_HARDWARE,
        vr_pci_address_format(function->address),
        g_strdup_printf("%s (%s) shares an IOMMU group with %s and cannot stay behind: %s", address,
                        vr_host_facts_name(facts, function), card, neighbour->reason),
        g_strdup_printf("/sys/bus/pci/devices/%s/iommu_group: %d", address, function->group),
        g_strdup("put the card into a slot with a group of its own (see vmrun topology), "
                 "or give the device to the guest, too, with a [pci] section"));
}

static void
report_neighbours(const GPtrArray *devices, const VrChosenDevice *device, const VrHostFacts *facts,
                  VrReport *report)
{
    for (guint i = 0; i < device->gpu->in_the_way->len; i++) {
        const VrNeighbour *neighbour = device->gpu->in_the_way->pdata[i];

        if (!vr_devices_include(devices, neighbour->function)) {
            report_neighbour(device, neighbour, facts, report);
        }
    }
}

static bool
shares_group_with_chosen(const VrChosenDevice *device, const VrPciFunction *function)
{
    for (guint i = 0; i < device->functions->len; i++) {
        const VrPciFunction *chosen =
            g_array_index(device->functions, VrChosenFunction, i).function;

        if (chosen->group >= 0 && chosen->group == function->group) {
            return true;
        }
    }
    return false;
}

/* Functions of the card itself that `functions=` leaves out: the group goes as a whole. */
static void
report_left_behind(const GPtrArray *devices, const VrChosenDevice *device, VrReport *report)
{
    for (guint i = 0; i < device->gpu->functions->len; i++) {
        const VrPciFunction *function = device->gpu->functions->pdata[i];

        if (vr_devices_include(devices, function) || !shares_group_with_chosen(device, function)) {
            continue;
        }

        g_autofree char *address = vr_pci_address_format(function->address);
        g_autofree char *title = vr_device_section_title(device->section);

        vr_report_add(report, "group-isolation", VR_SEVERITY_BLOCKER, VR_REMEDY_PROFILE,
                      g_strdup(address),
                      g_strdup_printf("%s is in the IOMMU group of the chosen functions and cannot "
                                      "stay behind",
                                      address),
                      evidence_of(device, function),
                      g_strdup_printf("add it to functions= in %s, or remove that line", title));
    }
}

static bool
is_function_of(const VrChosenDevice *device, VrPciAddress address)
{
    for (guint i = 0; i < device->gpu->functions->len; i++) {
        const VrPciFunction *function = device->gpu->functions->pdata[i];

        if (vr_pci_address_equal(function->address, address)) {
            return true;
        }
    }
    return false;
}

/* `functions=` may only restrict. */
static void
report_strangers(const VrChosenDevice *device, VrReport *report)
{
    const GArray *listed = device->section->functions;

    for (guint i = 0; listed != NULL && i < listed->len; i++) {
        VrPciAddress address = g_array_index(listed, VrPciAddress, i);
        g_autofree char *shown = vr_pci_address_format(address);
        g_autofree char *card = vr_pci_address_format(device->gpu->display->address);

        if (!is_function_of(device, address)) {
            vr_report_add(
                report, "device-functions", VR_SEVERITY_BLOCKER, VR_REMEDY_PROFILE,
                vr_device_section_title(device->section),
                g_strdup_printf("functions= names %s, which is no function of %s", shown, card),
                NULL, g_strdup("name functions that 'vmrun gpus' lists for this card"));
        }
    }
}

static void
report_domain(const VrPciFunction *function, VrReport *report)
{
    if (function->address.domain <= DOMAIN_LIMIT) {
        return;
    }

    g_autofree char *address = vr_pci_address_format(function->address);

    vr_report_add(report, "pci-domain", VR_SEVERITY_BLOCKER, VR_REMEDY_FIRMWARE, g_strdup(address),
                  g_strdup_printf("%s cannot be given to a guest: its PCI domain has more than 16 "
                                  "bits, which QEMU does not accept",
                                  address),
                  g_strdup_printf("/sys/bus/pci/devices/%s", address),
                  g_strdup("switch Intel VMD off in the firmware set-up for what is behind it"));
}

static void
report_domains(const VrChosenDevice *device, VrReport *report)
{
    for (guint i = 0; i < device->functions->len; i++) {
        report_domain(g_array_index(device->functions, VrChosenFunction, i).function, report);
    }
}

static void
report_judgement(const GPtrArray *devices, const VrChosenDevice *device, const VrHostFacts *facts,
                 VrReport *report)
{
    for (guint i = 0; i < device->gpu->problems->len; i++) {
        const ProblemRow *row = row_of(device->gpu->problems->pdata[i]);

        if (row == NULL || (row->display_only && !device->section->is_gpu)) {
            continue;
        }
        if (g_str_equal(row->problem, "shared-group")) {
            report_neighbours(devices, device, facts, report);
        } else {
            report_problem(device, row, report);
        }
    }
}

static void
report_overflow(const VrChosenDevice *device, VrReport *report)
{
    if (device->section->functions != NULL || device->gpu->functions->len <= SLOT_FUNCTIONS) {
        return;
    }
    vr_report_add(report, "device-functions", VR_SEVERITY_BLOCKER, VR_REMEDY_HARDWARE,
                  vr_device_section_title(device->section),
                  g_strdup_printf("%u functions would have to go together, and a slot of the guest "
                                  "has %u",
                                  device->gpu->functions->len, SLOT_FUNCTIONS),
                  evidence_of(device, device->gpu->display),
                  g_strdup("put the device into a slot with an IOMMU group of its own"));
}

void
vr_devices_report_problems(const GPtrArray *devices, const VrHostFacts *facts, VrReport *report)
{
    for (guint i = 0; i < devices->len; i++) {
        const VrChosenDevice *device = devices->pdata[i];

        report_judgement(devices, device, facts, report);
        report_strangers(device, report);
        report_left_behind(devices, device, report);
        report_domains(device, report);
        report_overflow(device, report);
    }
}
