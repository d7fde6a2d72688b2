/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/device_choice.h>

#include "plan/device_choice_private.h"
#include "plan/gpu_private.h"

#include <vmrun/pci.h>

#include <string.h>

/* A PCI slot has eight functions. */
#define GUEST_FUNCTION_LIMIT 8

/* Everything that a resolution needs. `gpus` loses the judgements that are chosen. */
typedef struct {
    const VrProfile *profile;
    const VrHostFacts *facts;
    GPtrArray *gpus;    /* VrGpu of the host that nobody has chosen yet */
    GPtrArray *devices; /* VrChosenDevice */
    VrReport *report;
} Choice;

void
vr_chosen_device_free(VrChosenDevice *device)
{
    if (device == NULL) {
        return;
    }
    g_free(device->name);
    vr_gpu_free(device->gpu);
    g_array_unref(device->functions);
    g_free(device);
}

char *
vr_device_section_title(const VrProfileDevice *section)
{
    const char *group = section->is_gpu ? "gpu" : "pci";

    return section->name[0] == '\0' ? g_strdup_printf("[%s]", group)
                                    : g_strdup_printf("[%s %s]", group, section->name);
}

static const char *
section_name(const VrProfileDevice *section)
{
    return section->name[0] == '\0' ? "gpu" : section->name;
}

static VrGpu *
steal_gpu(Choice *choice, const VrGpu *gpu)
{
    guint index = 0;
    bool found = g_ptr_array_find(choice->gpus, gpu, &index);

    return found ? g_ptr_array_steal_index(choice->gpus, index) : NULL;
}

static VrGpu *
find_gpu(const Choice *choice, VrPciAddress address)
{
    for (guint i = 0; i < choice->gpus->len; i++) {
        VrGpu *gpu = choice->gpus->pdata[i];

        if (vr_pci_address_equal(gpu->display->address, address)) {
            return gpu;
        }
    }
    return NULL;
}

/* The card that a function which is no display belongs to. */
static const VrGpu *
find_owner(const Choice *choice, const VrPciFunction *function)
{
    for (guint i = 0; i < choice->gpus->len; i++) {
        const VrGpu *gpu = choice->gpus->pdata[i];

        if (g_ptr_array_find(gpu->functions, function, NULL)) {
            return gpu;
        }
    }
    return NULL;
}

static const VrChosenDevice *
find_chosen(const GPtrArray *devices, const VrPciFunction *function)
{
    for (guint i = 0; i < devices->len; i++) {
        const VrChosenDevice *device = devices->pdata[i];

        for (guint j = 0; j < device->functions->len; j++) {
            if (g_array_index(device->functions, VrChosenFunction, j).function == function) {
                return device;
            }
        }
    }
    return NULL;
}

bool
vr_devices_include(const GPtrArray *devices, const VrPciFunction *function)
{
    return find_chosen(devices, function) != NULL;
}

static bool
is_listed(const VrProfileDevice *section, VrPciAddress address)
{
    if (section->functions == NULL) {
        return true;
    }
    for (guint i = 0; i < section->functions->len; i++) {
        VrPciAddress listed = g_array_index(section->functions, VrPciAddress, i);

        if (vr_pci_address_equal(listed, address)) {
            return true;
        }
    }
    return false;
}

static void
place(VrChosenDevice *device, const VrPciFunction *function, bool *taken)
{
    uint8_t number = function->address.function;

    if (device->functions->len == 0) {
        number = 0;
    } else if (number >= GUEST_FUNCTION_LIMIT || taken[number]) {
        for (number = 1; number < GUEST_FUNCTION_LIMIT && taken[number]; number++) {
        }
    }
    if (number < GUEST_FUNCTION_LIMIT) {
        VrChosenFunction chosen = {function, number};

        taken[number] = true;
        g_array_append_val(device->functions, chosen);
    }
}

static gint
compare_guest_functions(gconstpointer a, gconstpointer b)
{
    const VrChosenFunction *first = a;
    const VrChosenFunction *second = b;

    return (gint) first->guest_function - (gint) second->guest_function;
}

/* The main function is function 0 in the guest, because a slot without one does not exist for it
 * (PCI Local Bus Specification 3.0, 3.2.2.3.4). */
static void
place_functions(const Choice *choice, VrChosenDevice *device)
{
    bool taken[GUEST_FUNCTION_LIMIT] = {false};

    place(device, device->gpu->display, taken);
    for (guint i = 0; i < device->gpu->functions->len; i++) {
        const VrPciFunction *function = device->gpu->functions->pdata[i];

        if (function != device->gpu->display && is_listed(device->section, function->address) &&
            !vr_devices_include(choice->devices, function)) {
            place(device, function, taken);
        }
    }
    g_array_sort(device->functions, compare_guest_functions);
}

/* Takes the judgement. */
static void
choose(Choice *choice, const VrProfileDevice *section, VrGpu *gpu)
{
    VrChosenDevice *device = g_new0(VrChosenDevice, 1);

    device->name = g_strdup(section_name(section));
    device->section = section;
    device->gpu = gpu;
    device->functions = g_array_new(FALSE, FALSE, sizeof(VrChosenFunction));
    place_functions(choice, device);
    g_ptr_array_add(choice->devices, device);
}

/* "0000:01:00.0 NVIDIA … (10de:2484)". Owned. */
static char *
describe(const VrHostFacts *facts, const VrPciFunction *function)
{
    g_autofree char *address = vr_pci_address_format(function->address);
    g_autofree char *id = vr_pci_function_id(function);
    const char *name = vr_host_facts_name(facts, function);

    return g_str_equal(name, id) ? g_strdup_printf("%s (%s)", address, id)
                                 : g_strdup_printf("%s %s (%s)", address, name, id);
}

/* One card and what speaks against it: "0000:00:02.0 … (8086:4680): integrated, boot-display". */
static void
append_candidate(GString *text, const VrHostFacts *facts, const VrGpu *gpu)
{
    g_autofree char *shown = describe(facts, gpu->display);

    g_string_append_printf(text, "%s%s: ", text->len > 0 ? "; " : "", shown);
    if (vr_gpu_is_usable(gpu) && !gpu->integrated) {
        g_string_append(text, "usable");
        return;
    }
    g_string_append(text, gpu->integrated ? "integrated" : "");
    for (guint i = 0; i < gpu->problems->len; i++) {
        const char *separator = i > 0 || gpu->integrated ? ", " : "";

        g_string_append_printf(text, "%s%s", separator, (const char *) gpu->problems->pdata[i]);
    }
}

static char *
list_candidates(const Choice *choice, const GPtrArray *gpus)
{
    GString *text = g_string_new(NULL);

    for (guint i = 0; i < gpus->len; i++) {
        append_candidate(text, choice->facts, gpus->pdata[i]);
    }
    if (gpus->len == 0) {
        const char *error = choice->facts->functions_error;

        g_string_append(text, error != NULL ? error : "no graphics card that is not chosen yet");
    }
    return g_string_free(text, FALSE);
}

static void
block(const Choice *choice, const char *id, const VrProfileDevice *section, char *message,
      char *evidence, const char *advice)
{
    vr_report_add(choice->report, id, VR_SEVERITY_BLOCKER, VR_REMEDY_PROFILE,
                  vr_device_section_title(section), message, evidence, g_strdup(advice));
}

/* --- the four ways to name a device --- */

/* A display that `device=auto` may take: with the section's permission the console's card, too. */
static bool
suits(const VrProfileDevice *section, const VrGpu *gpu, bool with_permission)
{
    if (gpu->integrated) {
        return false;
    }
    for (guint i = 0; i < gpu->problems->len; i++) {
        const char *problem = gpu->problems->pdata[i];

        if (!with_permission || !vr_device_problem_is_allowed(section, problem)) {
            return false;
        }
    }
    return true;
}

static GPtrArray *
suitable_gpus(const Choice *choice, const VrProfileDevice *section)
{
    GPtrArray *found = g_ptr_array_new();

    for (int permission = 0; permission <= 1 && found->len == 0; permission++) {
        for (guint i = 0; i < choice->gpus->len; i++) {
            if (suits(section, choice->gpus->pdata[i], permission == 1)) {
                g_ptr_array_add(found, choice->gpus->pdata[i]);
            }
        }
    }
    return found;
}

static void
choose_auto(Choice *choice, const VrProfileDevice *section)
{
    g_autoptr(GPtrArray) found = suitable_gpus(choice, section);

    if (found->len == 1) {
        choose(choice, section, steal_gpu(choice, found->pdata[0]));
        return;
    }
    block(choice, "gpu-choice", section,
          found->len == 0
              ? g_strdup("device=auto found no graphics card that can be given away")
              : g_strdup_printf("device=auto found %u graphics cards and cannot know which one is "
                                "meant",
                                found->len),
          list_candidates(choice, found->len == 0 ? choice->gpus : found),
          found->len == 0 ? "see what is in the way with: vmrun gpus"
                          : "name one by its address: device=0000:…, or take them all: device=all");
}

static void
choose_all(Choice *choice, const VrProfileDevice *section)
{
    g_autoptr(GPtrArray) found = suitable_gpus(choice, section);

    for (guint i = 0; i < found->len; i++) {
        choose(choice, section, steal_gpu(choice, found->pdata[i]));
        if (i > 0) {
            VrChosenDevice *device = choice->devices->pdata[choice->devices->len - 1];

            g_free(device->name);
            device->name = g_strdup_printf("%s-%u", section_name(section), i + 1);
        }
    }
    if (found->len == 0) {
        block(choice, "gpu-choice", section,
              g_strdup("device=all found no graphics card that can be given away"),
              list_candidates(choice, choice->gpus), "see what is in the way with: vmrun gpus");
    }
}

static void
block_taken(const Choice *choice, const VrProfileDevice *section, const VrPciFunction *function,
            const VrChosenDevice *by)
{
    g_autofree char *address = vr_pci_address_format(function->address);
    g_autofree char *other = vr_device_section_title(by->section);

    block(choice, "device-taken-twice", section,
          g_strdup_printf("%s goes along with %s already", address, other),
          describe(choice->facts, function), "remove one of the two sections");
}

static void
block_wrong_kind(const Choice *choice, const VrProfileDevice *section,
                 const VrPciFunction *function)
{
    g_autofree char *address = vr_pci_address_format(function->address);
    const VrGpu *owner = find_owner(choice, function);

    if (vr_function_is_of_the_board(function)) {
        block(choice, "device-kind", section,
              g_strdup_printf("%s is a part of the board that no guest can have", address),
              describe(choice->facts, function),
              section->is_gpu ? "name a card of the list that 'vmrun gpus' prints"
                              : "name the device behind it: see vmrun topology");
    } else if (!section->is_gpu) {
        block(choice, "device-kind", section,
              g_strdup_printf("%s is a graphics card, which goes into a [gpu] section", address),
              describe(choice->facts, function), "name it under [gpu NAME]");
    } else if (owner == NULL) {
        block(choice, "device-kind", section, g_strdup_printf("%s is no graphics card", address),
              describe(choice->facts, function),
              "name a card of the list that 'vmrun gpus' prints, or use [pci NAME]");
    } else {
        g_autofree char *display = vr_pci_address_format(owner->display->address);

        block(choice, "device-kind", section,
              g_strdup_printf("%s is a part of the graphics card %s", address, display),
              describe(choice->facts, function), "name the card's own address");
    }
}

/* A function that exists. */
static void
choose_function(Choice *choice, const VrProfileDevice *section, const VrPciFunction *function)
{
    const VrChosenDevice *taken = find_chosen(choice->devices, function);
    VrGpu *gpu = find_gpu(choice, function->address);

    if (taken != NULL) {
        block_taken(choice, section, function, taken);
    } else if (section->is_gpu != (gpu != NULL) || vr_function_is_of_the_board(function)) {
        block_wrong_kind(choice, section, function);
    } else if (gpu != NULL) {
        choose(choice, section, steal_gpu(choice, gpu));
    } else {
        choose(choice, section, vr_gpu_judge_function(choice->facts, function->address));
    }
}

static void
choose_address(Choice *choice, const VrProfileDevice *section)
{
    const VrPciFunction *function = vr_host_facts_function(choice->facts, section->address);

    if (function != NULL) {
        choose_function(choice, section, function);
        return;
    }

    g_autofree char *address = vr_pci_address_format(section->address);

    block(choice, "device-missing", section,
          g_strdup_printf("there is no PCI function %s", address),
          section->is_gpu ? list_candidates(choice, choice->gpus)
                          : g_strdup_printf("/sys/bus/pci/devices: no %s", address),
          "addresses change with the hardware and the BIOS: correct device= in the profile");
}

static bool
has_id(const VrProfileDevice *section, const VrPciFunction *function)
{
    return function->vendor == section->vendor && function->device == section->device;
}

static GPtrArray *
functions_with_id(const Choice *choice, const VrProfileDevice *section)
{
    GPtrArray *found = g_ptr_array_new();

    for (guint i = 0; i < choice->facts->functions->len; i++) {
        VrPciFunction *function = choice->facts->functions->pdata[i];

        if (has_id(section, function) && !function->is_virtual) {
            g_ptr_array_add(found, function);
        }
    }
    return found;
}

static void
choose_id(Choice *choice, const VrProfileDevice *section)
{
    g_autoptr(GPtrArray) found = functions_with_id(choice, section);

    if (found->len == 1) {
        choose_function(choice, section, found->pdata[0]);
        return;
    }
    if (found->len == 0) {
        block(choice, "device-missing", section,
              g_strdup_printf("there is no PCI function with the id %04x:%04x", section->vendor,
                              section->device),
              list_candidates(choice, choice->gpus),
              "correct device= in the profile; the list: vmrun gpus");
        return;
    }

    g_autoptr(GString) addresses = g_string_new(NULL);

    for (guint i = 0; i < found->len; i++) {
        g_autofree char *shown = describe(choice->facts, found->pdata[i]);

        g_string_append_printf(addresses, "%s%s", i > 0 ? "; " : "", shown);
    }
    block(choice, "device-ambiguous", section,
          g_strdup_printf("%u devices have the id %04x:%04x", found->len, section->vendor,
                          section->device),
          g_strdup(addresses->str), "name one by its address: device=0000:…");
}

/* --- all of them --- */

static void
choose_section(Choice *choice, const VrProfileDevice *section)
{
    switch (section->choice) {
    case VR_DEVICE_ADDRESS:
        choose_address(choice, section);
        break;
    case VR_DEVICE_ID:
        choose_id(choice, section);
        break;
    case VR_DEVICE_AUTO:
        choose_auto(choice, section);
        break;
    case VR_DEVICE_ALL:
        choose_all(choice, section);
        break;
    }
}

static void
choose_sections(Choice *choice, bool is_gpu, VrDeviceChoice kind)
{
    for (guint i = 0; i < choice->profile->devices->len; i++) {
        const VrProfileDevice *section = choice->profile->devices->pdata[i];

        if (section->is_gpu == is_gpu && section->choice == kind) {
            choose_section(choice, section);
        }
    }
}

static guint
section_index(const VrProfile *profile, const VrProfileDevice *section)
{
    guint index = 0;

    g_ptr_array_find(profile->devices, section, &index);
    return index;
}

static gint
compare_devices(gconstpointer a, gconstpointer b, gpointer data)
{
    const VrChosenDevice *first = *(const VrChosenDevice *const *) a;
    const VrChosenDevice *second = *(const VrChosenDevice *const *) b;
    guint first_index = section_index(data, first->section);
    guint second_index = section_index(data, second->section);

    if (first_index != second_index) {
        return first_index < second_index ? -1 : 1;
    }
    return vr_pci_address_compare(first->gpu->display->address, second->gpu->display->address);
}

GPtrArray *
vr_devices_choose(const VrProfile *profile, const VrHostFacts *facts, VrReport *report)
{
    /* Sections that name their card come first: what they take is no candidate for the others. */
    static const VrDeviceChoice order[] = {VR_DEVICE_ADDRESS, VR_DEVICE_ID, VR_DEVICE_AUTO,
                                           VR_DEVICE_ALL};
    g_autoptr(GPtrArray) gpus = vr_gpus_judge(facts);
    GPtrArray *devices = g_ptr_array_new_with_free_func((GDestroyNotify) vr_chosen_device_free);
    Choice choice = {profile, facts, gpus, devices, report};

    /* Cards before other devices: a device of [pci] brings the rest of its group along. */
    for (gsize i = 0; i < G_N_ELEMENTS(order); i++) {
        choose_sections(&choice, true, order[i]);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(order); i++) {
        choose_sections(&choice, false, order[i]);
    }
    g_ptr_array_sort_with_data(devices, compare_devices, (gpointer) profile);
    vr_devices_report_problems(devices, facts, report);
    return devices;
}

static gint
compare_addresses(gconstpointer a, gconstpointer b)
{
    return vr_pci_address_compare(*(const VrPciAddress *) a, *(const VrPciAddress *) b);
}

GArray *
vr_devices_addresses(const GPtrArray *devices)
{
    GArray *addresses = g_array_new(FALSE, FALSE, sizeof(VrPciAddress));
    g_autoptr(GPtrArray) functions = vr_devices_functions(devices);

    for (guint i = 0; i < functions->len; i++) {
        const VrPciFunction *function = functions->pdata[i];

        g_array_append_val(addresses, function->address);
    }
    g_array_sort(addresses, compare_addresses);
    return addresses;
}

GPtrArray *
vr_devices_functions(const GPtrArray *devices)
{
    GPtrArray *functions = g_ptr_array_new();

    for (guint i = 0; i < devices->len; i++) {
        const VrChosenDevice *device = devices->pdata[i];

        for (guint j = 0; j < device->functions->len; j++) {
            const VrChosenFunction *chosen = &g_array_index(device->functions, VrChosenFunction, j);

            g_ptr_array_add(functions, (gpointer) chosen->function);
        }
    }
    return functions;
}
