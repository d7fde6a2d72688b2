/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/checks.h>

#include "plan/device_choice_private.h"

#include <vmrun/gpu.h>

#include <string.h>

/* What one device is judged from. */
typedef struct {
    const VrHostFacts *facts;
    const GPtrArray *devices;
    const GPtrArray *capabilities; /* NULL: not read, see `why` */
    const GError *why;
} Asked;

static const VrPciCapabilities *
capabilities_of(const Asked *asked, const VrPciFunction *function)
{
    for (guint i = 0; asked->capabilities != NULL && i < asked->capabilities->len; i++) {
        const VrPciCapabilities *known = asked->capabilities->pdata[i];
        if (vr_pci_address_equal(known->address, function->address)) {
            return known;
        }
    }
    return NULL;
}

/* --- does it answer? --- */

static void
report_dead(VrPciAddress address, char *evidence, VrReport *report)
{
    vr_report_add(report, "dead-device", VR_SEVERITY_BLOCKER, VR_REMEDY_HARDWARE,
                  vr_pci_address_format(address), g_strdup(vr_gpu_problem_meaning("dead-device")),
                  evidence, g_strdup(vr_gpu_problem_advice("dead-device")));
}

/* Is a function dead? One that the facts know to be was told by the choice of devices. */
static bool
check_answers(const Asked *asked, const VrChosenDevice *device, VrReport *report)
{
    bool all = true;
    for (guint i = 0; i < device->functions->len; i++) {
        const VrPciFunction *function =
            g_array_index(device->functions, VrChosenFunction, i).function;
        const VrPciCapabilities *known = capabilities_of(asked, function);
        if (known != NULL && known->is_dead == VR_YES && !function->is_dead) {
            g_autofree char *address = vr_pci_address_format(function->address);
            report_dead(function->address,
                        g_strdup_printf("/sys/bus/pci/devices/%s/config: header type 7f", address),
                        report);
        }
        all = all && !function->is_dead && (known == NULL || known->is_dead != VR_YES);
    }
    return all;
}

/* --- can it be reset? --- */

/* "flr bus": every method but those of the bus needs nobody else (pci_reset_fn_methods). */
static bool
has_own_method(const char *methods)
{
    g_auto(GStrv) names = g_strsplit(methods, " ", -1);
    for (guint i = 0; names[i] != NULL; i++) {
        if (names[i][0] != '\0' && strcmp(names[i], "bus") != 0 &&
            strcmp(names[i], "cxl_bus") != 0) {
            return true;
        }
    }
    return false;
}

/* The kernel's list comes first: it knows functions that promise what they do not keep. */
static VrTristate
resets_alone(const VrPciCapabilities *known)
{
    if (known == NULL) {
        return VR_UNKNOWN;
    }
    if (known->reset_methods != NULL) {
        return has_own_method(known->reset_methods) ? VR_YES : VR_NO;
    }
    if (known->function_reset == VR_YES || known->power_reset == VR_YES) {
        return VR_YES;
    }
    return known->function_reset == VR_NO && known->power_reset == VR_NO ? VR_NO : VR_UNKNOWN;
}

static bool
is_same_bus(VrPciAddress a, VrPciAddress b)
{
    return a.domain == b.domain && a.bus == b.bus;
}

/* VFIO resets a bus if all that is on it belongs to one guest. What is in the way of that, in
 * words; NULL: nothing. Owned. */
static char *
bus_obstacle(const Asked *asked, const VrPciFunction *function)
{
    if (!function->has_parent) {
        return g_strdup("there is no bridge above it that could reset its bus");
    }
    for (guint i = 0; i < asked->facts->functions->len; i++) {
        const VrPciFunction *other = asked->facts->functions->pdata[i];
        if (is_same_bus(other->address, function->address) &&
            !vr_devices_include(asked->devices, other)) {
            g_autofree char *address = vr_pci_address_format(other->address);
            return g_strdup_printf("its bus is shared with %s, which stays", address);
        }
    }
    return NULL;
}

static const char *
word_of(VrTristate value)
{
    return value == VR_UNKNOWN ? "unknown" : value == VR_YES ? "yes" : "no";
}

static char *
reset_evidence(const Asked *asked, const VrPciFunction *function)
{
    const VrPciCapabilities *known = capabilities_of(asked, function);
    g_autofree char *address = vr_pci_address_format(function->address);
    if (known == NULL) {
        return g_strdup(asked->why != NULL ? asked->why->message : "was not asked");
    }
    if (known->reset_methods != NULL) {
        return g_strdup_printf("/sys/bus/pci/devices/%s/reset_method: \"%s\"", address,
                               known->reset_methods);
    }
    return g_strdup_printf("/sys/bus/pci/devices/%s: no reset_method; config: FLR %s, reset by "
                           "power state %s",
                           address, word_of(known->function_reset), word_of(known->power_reset));
}

static void
report_no_reset(const Asked *asked, const VrPciFunction *function, bool is_main, VrReport *report)
{
    g_autofree char *obstacle = bus_obstacle(asked, function);
    char *subject = vr_pci_address_format(function->address);
    if (resets_alone(capabilities_of(asked, function)) == VR_UNKNOWN) {
        vr_report_add(
            report, "reset-method", VR_SEVERITY_UNKNOWN, VR_REMEDY_NONE, subject,
            g_strdup_printf("%s, and whether it can be reset alone could not be read", obstacle),
            reset_evidence(asked, function), NULL);
        return;
    }
    vr_report_add(
        report, "reset-method", is_main ? VR_SEVERITY_WARNING : VR_SEVERITY_INFO,
        VR_REMEDY_HARDWARE, subject,
        g_strdup_printf("it cannot be reset alone, and %s: it may not start a second time",
                        obstacle),
        reset_evidence(asked, function),
        g_strdup("if a second start fails, restart the computer; a slot with a bus of its own "
                 "avoids it"));
}

/* One finding for each function that nothing resets; one for the device if there is none. */
static void
check_resets(const Asked *asked, const VrChosenDevice *device, VrReport *report)
{
    guint before = report->findings->len;
    for (guint i = 0; i < device->functions->len; i++) {
        const VrPciFunction *function =
            g_array_index(device->functions, VrChosenFunction, i).function;
        g_autofree char *obstacle = bus_obstacle(asked, function);
        if (obstacle != NULL && resets_alone(capabilities_of(asked, function)) != VR_YES) {
            report_no_reset(asked, function, i == 0, report);
        }
    }
    if (report->findings->len == before) {
        const VrPciFunction *first = g_array_index(device->functions, VrChosenFunction, 0).function;
        vr_report_add(report, "reset-method", VR_SEVERITY_OK, VR_REMEDY_NONE,
                      vr_pci_address_format(first->address),
                      g_strdup("can be reset between two guests"),
                      resets_alone(capabilities_of(asked, first)) == VR_YES
                          ? reset_evidence(asked, first)
                          : g_strdup("all that is on its bus goes along"),
                      NULL);
    }
}

void
vr_check_functions(const VrHostFacts *facts, const GPtrArray *devices,
                   const GPtrArray *capabilities, const GError *why, VrReport *report)
{
    Asked asked = {facts, devices, capabilities, why};
    bool stuck = g_error_matches(why, VR_ERROR, VR_ERROR_STUCK);
    for (guint i = 0; i < devices->len; i++) {
        const VrChosenDevice *device = devices->pdata[i];
        if (stuck) {
            report_dead(device->gpu->display->address, g_strdup(why->message), report);
        } else if (device->functions->len > 0 && check_answers(&asked, device, report)) {
            check_resets(&asked, device, report);
        }
    }
}
