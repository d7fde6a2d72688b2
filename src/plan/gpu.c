/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/gpu.h>

#include "plan/gpu_private.h"

#include <string.h>

enum {
    VENDOR_AMD_GRAPHICS = 0x1002,
    VENDOR_AMD = 0x1022,
    VENDOR_INTEL = 0x8086,
    CLASS_VGA = 0x0300,
    CLASS_HDA = 0x0403,
};

/* In the order in which they are listed. */
static const char *const problem_order[] = {
    "unreadable", "no-iommu",           "no-group",        "shared-group", "boot-display",
    "only-gpu",   "management-console", "virtual-machine", "dead-device",  "sriov-active",
};

static uint32_t
class_of(const VrPciFunction *function)
{
    return function->class_code >> 8;
}

static bool
has_vendor(const VrPciFunction *function, uint16_t vendor)
{
    return function->vendor == vendor;
}

/*
 * Displays of a board's management controller: ASPEED AST, Matrox G200 (iDRAC, iLO, Pilot), Huawei
 * Hi171x. They are the server's remote console.
 */
static bool
is_management_console(const VrPciFunction *function)
{
    return function->vendor == 0x1a03 || function->vendor == 0x102b ||
           (function->vendor == 0x19e5 && function->device == 0x1711);
}

/* Displays that a hypervisor emulates: the ids of PCI vendors in pci.ids. */
static bool
is_emulated(const VrPciFunction *function)
{
    static const uint16_t vendors[] = {
        0x1234, /* QEMU: VGA, bochs-display */
        0x1b36, /* Red Hat: QXL */
        0x1af4, /* Red Hat: virtio-gpu */
        0x1013, /* Cirrus Logic: QEMU's, Xen's */
        0x15ad, /* VMware */
        0x80ee, /* VirtualBox */
        0x1414, /* Microsoft: Hyper-V, WSL */
        0x1ab8, /* Parallels */
        0x5853, /* XenServer */
        0x1d0f, /* Amazon EC2 */
    };

    for (gsize i = 0; i < G_N_ELEMENTS(vendors); i++) {
        if (function->vendor == vendors[i]) {
            return true;
        }
    }
    return false;
}

/* A neighbour's address in the same slot tells nothing there: the slots of a root bus are the
 * chipset's or the processor's own devices. */
static bool
is_on_root_bus(const VrPciFunction *function)
{
    return function->address.bus == 0;
}

/*
 * The own display of a computer that is a virtual machine itself. An emulated display that is a
 * device of its own (behind a port, in an IOMMU group, another display is the console) can be
 * handed over like any other; a hypervisor's own display never looks like that.
 */
static bool
is_own_display_of_guest(const VrSurvey *survey, const VrPciFunction *function)
{
    return is_emulated(function) && (is_on_root_bus(function) || function->group < 0 ||
                                     function->boot_vga == VR_YES || survey->display_count < 2);
}

/* AMD puts its platform security processor and the board's USB into the slot of an APU's GPU; a
 * card has functions of the graphics vendor only. */
static bool
is_apu(const VrSlot *slot, const VrPciFunction *display)
{
    if (!has_vendor(display, VENDOR_AMD_GRAPHICS) || is_on_root_bus(display)) {
        return false;
    }
    for (guint i = 0; i < slot->count; i++) {
        if (has_vendor(slot->functions[i], VENDOR_AMD)) {
            return true;
        }
    }
    return false;
}

/*
 * 00:02 is Intel's place for graphics. 00:01 was AMD's for APUs up to Carrizo, 01:05 for chipset
 * graphics (RS480 to RS880): no card can be there, PCI Express knows no slot but 0 below a port.
 */
static bool
is_in_processor(const VrPciFunction *display)
{
    static const struct {
        uint16_t vendor;
        uint8_t bus, slot;
    } places[] = {{VENDOR_INTEL, 0, 2}, {VENDOR_AMD_GRAPHICS, 0, 1}, {VENDOR_AMD_GRAPHICS, 1, 5}};
    VrPciAddress address = display->address;

    for (gsize i = 0; i < G_N_ELEMENTS(places); i++) {
        if (address.domain == 0 && has_vendor(display, places[i].vendor) &&
            address.bus == places[i].bus && address.slot == places[i].slot) {
            return true;
        }
    }
    return false;
}

static bool
goes_with_display(const VrSlot *slot, const VrPciFunction *display, const VrPciFunction *function)
{
    if (function == display) {
        return true;
    }
    if (function->is_virtual || vr_pci_function_is_bridge(function) ||
        is_management_console(display) || is_on_root_bus(display)) {
        return false;
    }
    return !is_apu(slot, display) ||
           (has_vendor(function, VENDOR_AMD_GRAPHICS) && class_of(function) == CLASS_HDA);
}

static void
collect_functions(const VrSurvey *survey, const VrSlot *slot, VrGpu *gpu)
{
    for (guint i = 0; i < slot->count; i++) {
        if (goes_with_display(slot, gpu->display, slot->functions[i])) {
            g_ptr_array_add(gpu->functions, (gpointer) slot->functions[i]);
        }
    }

    const VrPciFunction *audio = vr_survey_arc_audio(survey, gpu->display);

    if (audio != NULL) {
        g_ptr_array_add(gpu->functions, (gpointer) audio);
    }
}

static bool
goes_along(const VrGpu *gpu, const VrPciFunction *function)
{
    return g_ptr_array_find(gpu->functions, function, NULL);
}

static gint
compare_groups(gconstpointer a, gconstpointer b)
{
    return *(const int *) a - *(const int *) b;
}

static void
collect_groups(VrGpu *gpu)
{
    for (guint i = 0; i < gpu->functions->len; i++) {
        const VrPciFunction *function = g_ptr_array_index(gpu->functions, i);
        bool is_new = function->group >= 0;

        for (guint j = 0; j < gpu->groups->len && is_new; j++) {
            is_new = g_array_index(gpu->groups, int, j) != function->group;
        }
        if (is_new) {
            g_array_append_val(gpu->groups, function->group);
        }
    }
    g_array_sort(gpu->groups, compare_groups);
}

static void
neighbour_free(gpointer data)
{
    VrNeighbour *neighbour = data;

    g_free(neighbour->reason);
    g_free(neighbour);
}

static void
add_neighbour(const VrSurvey *survey, VrGpu *gpu, const VrPciFunction *function)
{
    VrNeighbour *neighbour = g_new0(VrNeighbour, 1);

    neighbour->function = function;
    neighbour->reason = vr_neighbour_reason(survey->facts, function);
    g_ptr_array_add(gpu->in_the_way, neighbour);
}

static gint
compare_neighbours(gconstpointer a, gconstpointer b)
{
    const VrNeighbour *first = *(const VrNeighbour *const *) a;
    const VrNeighbour *second = *(const VrNeighbour *const *) b;

    return vr_pci_address_compare(first->function->address, second->function->address);
}

static gint
compare_functions(gconstpointer a, gconstpointer b)
{
    const VrPciFunction *first = *(const VrPciFunction *const *) a;
    const VrPciFunction *second = *(const VrPciFunction *const *) b;

    return vr_pci_address_compare(first->address, second->address);
}

/* Everything else in the groups: bridges are harmless, endpoints are in the way. */
static void
collect_neighbours(const VrSurvey *survey, VrGpu *gpu)
{
    for (guint i = 0; i < gpu->groups->len; i++) {
        const GPtrArray *members = vr_survey_group(survey, g_array_index(gpu->groups, int, i));

        for (guint j = 0; j < members->len; j++) {
            const VrPciFunction *function = g_ptr_array_index(members, j);

            if (vr_pci_function_is_bridge(function)) {
                g_ptr_array_add(gpu->bridges, (gpointer) function);
            } else if (!goes_along(gpu, function)) {
                add_neighbour(survey, gpu, function);
            }
        }
    }
    g_ptr_array_sort(gpu->bridges, compare_functions);
    g_ptr_array_sort(gpu->in_the_way, compare_neighbours);
}

static VrTristate
judge_isolation(const VrGpu *gpu)
{
    if (gpu->in_the_way->len > 0) {
        return VR_NO;
    }
    for (guint i = 0; i < gpu->functions->len; i++) {
        const VrPciFunction *function = g_ptr_array_index(gpu->functions, i);

        if (function->group < 0) {
            return VR_UNKNOWN;
        }
    }
    return VR_YES;
}

/*
 * boot_vga decides. Only class 0300 has the attribute, so a display without it is none if another
 * one says 1. Where no display tells (old captures), two cases leave no doubt: there is one display
 * only; or the firmware demoted the integrated one to 0380 and left one as VGA.
 */
static VrTristate
judge_boot_display(const VrSurvey *survey, const VrPciFunction *display)
{
    if ((display->unreadable & VR_PCI_UNREADABLE_BOOT_VGA) != 0) {
        return VR_UNKNOWN;
    }
    if (display->boot_vga != VR_UNKNOWN) {
        return display->boot_vga;
    }
    if (survey->has_boot_display) {
        return VR_NO;
    }
    if (survey->tells_boot_vga || is_management_console(display) || is_emulated(display)) {
        return VR_UNKNOWN;
    }
    if (survey->display_count == 1 && survey->virtual_display_count == 0) {
        return VR_YES;
    }
    return survey->has_demoted_display && survey->vga_count == 1 && class_of(display) == CLASS_VGA
               ? VR_YES
               : VR_UNKNOWN;
}

static bool
has_unreadable(const VrGpu *gpu)
{
    for (guint i = 0; i < gpu->functions->len; i++) {
        const VrPciFunction *function = g_ptr_array_index(gpu->functions, i);

        if (function->unreadable != 0) {
            return true;
        }
    }
    return false;
}

static bool
has_dead(const VrGpu *gpu)
{
    for (guint i = 0; i < gpu->functions->len; i++) {
        const VrPciFunction *function = g_ptr_array_index(gpu->functions, i);

        if (function->is_dead) {
            return true;
        }
    }
    return false;
}

/* No group although nothing failed to be read. */
static bool
lacks_group(const VrGpu *gpu)
{
    for (guint i = 0; i < gpu->functions->len; i++) {
        const VrPciFunction *function = g_ptr_array_index(gpu->functions, i);

        if (function->group < 0 && (function->unreadable & VR_PCI_UNREADABLE_GROUP) == 0) {
            return true;
        }
    }
    return false;
}

static bool
is_only_gpu(const VrSurvey *survey, const VrPciFunction *display)
{
    return vr_pci_function_is_display(display) && !is_management_console(display) &&
           !is_own_display_of_guest(survey, display) && survey->card_count == 1;
}

static bool
applies(const VrSurvey *survey, const VrGpu *gpu, const char *problem)
{
    const VrPciFunction *display = gpu->display;
    bool is_display = vr_pci_function_is_display(display);
    const struct {
        const char *problem;
        bool applies;
    } rows[] = {
        {"unreadable", has_unreadable(gpu)},
        {"no-iommu", !survey->facts->iommu},
        {"no-group", survey->facts->iommu && lacks_group(gpu)},
        {"shared-group", gpu->in_the_way->len > 0},
        {"boot-display", gpu->boot_display == VR_YES},
        {"only-gpu", is_only_gpu(survey, display)},
        {"management-console", is_display && is_management_console(display)},
        {"virtual-machine", is_display && is_own_display_of_guest(survey, display)},
        {"dead-device", has_dead(gpu)},
        {"sriov-active", display->virtual_functions > 0},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        if (strcmp(rows[i].problem, problem) == 0) {
            return rows[i].applies;
        }
    }
    return false;
}

static VrGpu *
gpu_new(const VrPciFunction *function)
{
    VrGpu *gpu = g_new0(VrGpu, 1);

    gpu->display = function;
    gpu->functions = g_ptr_array_new();
    gpu->groups = g_array_new(FALSE, FALSE, sizeof(int));
    gpu->bridges = g_ptr_array_new();
    gpu->in_the_way = g_ptr_array_new_with_free_func(neighbour_free);
    gpu->boot_display = VR_NO;
    gpu->problems = g_ptr_array_new();
    return gpu;
}

/* With the functions chosen: all that follows from them. */
static void
judge(const VrSurvey *survey, VrGpu *gpu)
{
    g_ptr_array_sort(gpu->functions, compare_functions);
    collect_groups(gpu);
    collect_neighbours(survey, gpu);
    gpu->isolated = judge_isolation(gpu);
    gpu->ids_ambiguous = vr_survey_ids_are_shared(survey, gpu->functions);
    for (gsize i = 0; i < G_N_ELEMENTS(problem_order); i++) {
        if (applies(survey, gpu, problem_order[i])) {
            g_ptr_array_add(gpu->problems, (gpointer) problem_order[i]);
        }
    }
}

static VrGpu *
judge_display(const VrSurvey *survey, guint index)
{
    const VrPciFunction *display = g_ptr_array_index(survey->facts->functions, index);
    VrSlot slot = vr_survey_slot(survey, index);
    VrGpu *gpu = gpu_new(display);

    collect_functions(survey, &slot, gpu);
    gpu->integrated = is_in_processor(display) || is_apu(&slot, display);
    gpu->boot_display = judge_boot_display(survey, display);
    judge(survey, gpu);
    return gpu;
}

static void
count_display(VrSurvey *survey, const VrPciFunction *function)
{
    if (function->is_virtual) {
        survey->virtual_display_count++;
        return;
    }
    survey->display_count++;
    survey->card_count += is_management_console(function) ? 0 : 1;
    survey->vga_count += class_of(function) == CLASS_VGA ? 1 : 0;
    survey->has_boot_display |= function->boot_vga == VR_YES;
    survey->tells_boot_vga |= function->boot_vga != VR_UNKNOWN ||
                              (function->unreadable & VR_PCI_UNREADABLE_BOOT_VGA) != 0;
    survey->has_demoted_display |= is_in_processor(function) && class_of(function) != CLASS_VGA;
}

static VrSurvey *
survey_of(const VrHostFacts *facts)
{
    VrSurvey *survey = vr_survey_new(facts);

    for (guint i = 0; i < facts->functions->len; i++) {
        const VrPciFunction *function = g_ptr_array_index(facts->functions, i);

        if (vr_pci_function_is_display(function)) {
            count_display(survey, function);
        }
    }
    return survey;
}

GPtrArray *
vr_gpus_judge(const VrHostFacts *facts)
{
    GPtrArray *gpus = g_ptr_array_new_with_free_func((GDestroyNotify) vr_gpu_free);
    g_autoptr(VrSurvey) survey = survey_of(facts);

    for (guint i = 0; i < facts->functions->len; i++) {
        const VrPciFunction *function = g_ptr_array_index(facts->functions, i);

        if (vr_pci_function_is_display(function) && !function->is_virtual) {
            g_ptr_array_add(gpus, judge_display(survey, i));
        }
    }
    return gpus;
}

/* A function without a group goes alone: the missing group is the problem then. */
static void
collect_group(const VrSurvey *survey, VrGpu *gpu)
{
    const GPtrArray *members = vr_survey_group(survey, gpu->display->group);

    g_ptr_array_add(gpu->functions, (gpointer) gpu->display);
    for (guint i = 0; i < members->len; i++) {
        const VrPciFunction *function = g_ptr_array_index(members, i);

        if (function != gpu->display && !vr_function_is_of_the_board(function) &&
            !vr_pci_function_is_display(function) &&
            !vr_function_is_critical(survey->facts, function)) {
            g_ptr_array_add(gpu->functions, (gpointer) function);
        }
    }
}

VrGpu *
vr_gpu_judge_function(const VrHostFacts *facts, VrPciAddress address)
{
    g_autoptr(VrSurvey) survey = survey_of(facts);
    const VrPciFunction *function = vr_host_facts_function(facts, address);

    if (function == NULL) {
        return NULL;
    }
    if (vr_pci_function_is_display(function) && !function->is_virtual) {
        return judge_display(survey, vr_survey_index(survey, function));
    }

    VrGpu *gpu = gpu_new(function);

    collect_group(survey, gpu);
    judge(survey, gpu);
    return gpu;
}

void
vr_gpu_free(VrGpu *gpu)
{
    if (gpu != NULL) {
        g_ptr_array_unref(gpu->functions);
        g_array_unref(gpu->groups);
        g_ptr_array_unref(gpu->bridges);
        g_ptr_array_unref(gpu->in_the_way);
        g_ptr_array_unref(gpu->problems);
        g_free(gpu);
    }
}

bool
vr_gpu_is_usable(const VrGpu *gpu)
{
    return gpu->problems->len == 0;
}

bool
vr_gpu_has_problem(const VrGpu *gpu, const char *problem)
{
    for (guint i = 0; i < gpu->problems->len; i++) {
        if (strcmp(g_ptr_array_index(gpu->problems, i), problem) == 0) {
            return true;
        }
    }
    return false;
}
