/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What changed between two fingerprints, and where a device has gone. */
#include <vmrun/fingerprint.h>

#include "plan/device_choice_private.h"

#include <vmrun/error.h>

#include <string.h>

static void
change_free(gpointer data)
{
    VrChange *change = data;
    g_free(change->section);
    g_free(change->what);
    g_free(change->from);
    g_free(change->to);
    g_free(change->remark);
    g_free(change);
}

static VrChange *
add_change(GPtrArray *changes, VrChangeKind kind, const char *section, const char *what)
{
    VrChange *change = g_new0(VrChange, 1);
    change->kind = kind;
    change->section = g_strdup(section);
    change->what = g_strdup(what);
    g_ptr_array_add(changes, change);
    return change;
}

/* --- a device ----------------------------------------------------------------------------------*/

static bool
is_alike(const VrDevicePrint *print, const VrPciFunction *function)
{
    g_autofree char *id = vr_pci_function_id(function);
    g_autofree char *subsystem =
        function->has_subsystem
            ? g_strdup_printf("%04x:%04x", function->subsystem_vendor, function->subsystem_device)
            : NULL;
    return !function->is_virtual && function->class_code == print->class_code &&
           g_str_equal(print->id, id) && g_strcmp0(print->subsystem, subsystem) == 0;
}

static char *
port_of(const VrDevicePrint *print, const VrHostFacts *facts, const VrPciFunction *function)
{
    VrDevicePrint *there = vr_device_print_at(print, facts, function);
    char *port = g_steal_pointer(&there->port);
    vr_device_print_free(there);
    return port;
}

/* Is it where another device of the same profile was, and still is? Then it is that one. */
static bool
belongs_to_another(const VrFingerprint *before, const VrDevicePrint *print, const char *port)
{
    for (guint i = 0; i < before->devices->len; i++) {
        const VrDevicePrint *other = g_ptr_array_index(before->devices, i);
        if (other != print && g_str_equal(other->port, port)) {
            return true;
        }
    }
    return false;
}

/* What the profile means by that section now, NULL: nothing. */
static const VrDevicePrint *
chosen_for(const VrDevicePrint *print, const VrFingerprint *now)
{
    for (guint i = 0; i < now->devices->len; i++) {
        const VrDevicePrint *chosen = g_ptr_array_index(now->devices, i);
        if (chosen->number == print->number && g_str_equal(chosen->section, print->section)) {
            return chosen;
        }
    }
    return NULL;
}

/* Both sides of a comparison, and the host that the new side is of. */
typedef struct {
    const VrFingerprint *before, *now;
    const VrHostFacts *facts;
} Sides;

/* Where the device is now: at its port, else the only one like it, else the one of those that the
 * profile means without naming an address. *out_alike: how many there are. */
static const VrPciFunction *
locate(const Sides *sides, const VrDevicePrint *print, unsigned *out_alike)
{
    const VrDevicePrint *chosen = chosen_for(print, sides->now);
    const VrPciFunction *found = NULL;
    const VrPciFunction *meant = NULL;
    *out_alike = 0;
    for (guint i = 0; i < sides->facts->functions->len; i++) {
        const VrPciFunction *function = g_ptr_array_index(sides->facts->functions, i);
        if (!is_alike(print, function)) {
            continue;
        }
        g_autofree char *port = port_of(print, sides->facts, function);
        if (g_str_equal(port, print->port)) {
            return function;
        }
        if (!belongs_to_another(sides->before, print, port)) {
            found = function;
            ++*out_alike;
        }
        if (chosen != NULL && vr_pci_address_equal(chosen->address, function->address)) {
            meant = function;
        }
    }
    return *out_alike == 1 ? found : meant;
}

static const VrDevicePrint *
print_at(const VrFingerprint *fingerprint, VrPciAddress address)
{
    for (guint i = 0; i < fingerprint->devices->len; i++) {
        const VrDevicePrint *print = g_ptr_array_index(fingerprint->devices, i);
        if (vr_pci_address_equal(print->address, address)) {
            return print;
        }
    }
    return NULL;
}

/* "Samsung NVMe … (144d:a808)", or "empty". Owned. */
static char *
describe_place(const VrHostFacts *facts, VrPciAddress address)
{
    const VrPciFunction *function = vr_host_facts_function(facts, address);
    if (function == NULL) {
        return g_strdup("nothing");
    }
    g_autofree char *id = vr_pci_function_id(function);
    const char *name = vr_host_facts_name(facts, function);
    return g_str_equal(name, id) ? g_strdup(id) : g_strdup_printf("%s (%s)", name, id);
}

static char *
describe_print(const VrDevicePrint *print)
{
    return g_str_equal(print->name, print->id) ? g_strdup(print->id)
                                               : g_strdup_printf("%s (%s)", print->name, print->id);
}

static const char *
or_words(const char *text, const char *otherwise)
{
    return text != NULL && text[0] != '\0' ? text : otherwise;
}

static void
add_lost(GPtrArray *changes, const VrDevicePrint *print, const VrHostFacts *facts, unsigned alike)
{
    bool there = vr_host_facts_function(facts, print->address) != NULL;
    VrChangeKind kind = alike > 1 ? VR_CHANGE_AMBIGUOUS
                        : there   ? VR_CHANGE_REPLACED
                                  : VR_CHANGE_GONE;
    g_autofree char *address = vr_pci_address_format(print->address);
    g_autofree char *now = describe_place(facts, print->address);
    VrChange *change = add_change(changes, kind, print->section, "device");
    change->place = print->address;
    change->from = describe_print(print);
    change->to = kind == VR_CHANGE_AMBIGUOUS ? g_strdup_printf("one of %u like it", alike)
                 : there                     ? g_strdup(now)
                                             : g_strdup("not there any more");
    change->remark = g_strdup_printf("it was at %s, where now is %s", address, now);
}

static void
add_moved(GPtrArray *changes, const VrDevicePrint *print, const VrHostFacts *facts,
          const VrPciFunction *place)
{
    g_autofree char *port = port_of(print, facts, place);
    g_autofree char *old = vr_pci_address_format(print->address);
    g_autofree char *now = describe_place(facts, print->address);
    VrChange *change = add_change(changes, VR_CHANGE_MOVED, print->section, "address");
    change->place = place->address;
    change->from = g_strdup(old);
    change->to = vr_pci_address_format(place->address);
    change->remark = g_strdup_printf("the same device %s; at %s is now %s",
                                     g_str_equal(port, print->port)
                                         ? "in the same slot, which has another number"
                                         : "in another slot",
                                     old, now);
}

/* What is there beyond its address. */
static void
compare_device(GPtrArray *changes, const VrDevicePrint *print, const VrDevicePrint *now)
{
    if (!g_str_equal(print->group, now->group)) {
        VrChange *change = add_change(changes, VR_CHANGE_GROUP, print->section, "IOMMU group");
        change->place = now->address;
        change->from = g_strdup(or_words(print->group, "none"));
        change->to = g_strdup(or_words(now->group, "none"));
    }
    if (print->reset_methods != NULL && now->reset_methods != NULL &&
        !g_str_equal(print->reset_methods, now->reset_methods)) {
        VrChange *change = add_change(changes, VR_CHANGE_RESET, print->section, "reset");
        change->place = now->address;
        change->from = g_strdup(or_words(print->reset_methods, "none"));
        change->to = g_strdup(or_words(now->reset_methods, "none"));
    }
}

static bool
is_another_one(const VrDevicePrint *print, const VrDevicePrint *now)
{
    return print->serial != NULL && now->serial != NULL && !g_str_equal(print->serial, now->serial);
}

static void
compare_place(GPtrArray *changes, const VrDevicePrint *print, const Sides *sides,
              const VrPciFunction *place)
{
    const VrDevicePrint *chosen = print_at(sides->now, place->address);
    VrDevicePrint *seen = vr_device_print_at(print, sides->facts, place);
    bool stayed = vr_pci_address_equal(place->address, print->address);
    /* With device=auto the profile may now mean another card although this one is still there. */
    if (stayed && chosen == NULL && chosen_for(print, sides->now) != NULL) {
        VrChange *change = add_change(changes, VR_CHANGE_REPLACED, print->section, "choice");
        change->place = place->address;
        change->from = describe_print(print);
        change->to = g_strdup("another device");
        change->remark = g_strdup_printf("device=%s now means another one", print->wanted);
    }
    if (chosen != NULL && is_another_one(print, chosen)) {
        VrChange *change = add_change(changes, VR_CHANGE_REPLACED, print->section, "serial number");
        change->place = place->address;
        change->from = g_strdup(print->serial);
        change->to = g_strdup(chosen->serial);
        change->remark = g_strdup("another device of the same kind is in this slot");
    }
    compare_device(changes, print, chosen != NULL ? chosen : seen);
    vr_device_print_free(seen);
}

/* What the profile says of that section now, NULL: it has none. */
static const VrProfileDevice *
section_of(const VrProfile *profile, const char *title)
{
    for (guint i = 0; i < profile->devices->len; i++) {
        const VrProfileDevice *section = g_ptr_array_index(profile->devices, i);
        g_autofree char *this_title = vr_device_section_title(section);
        if (g_str_equal(this_title, title)) {
            return section;
        }
    }
    return NULL;
}

static bool
is_meant_still(const VrProfile *profile, const VrDevicePrint *print)
{
    const VrProfileDevice *section = section_of(profile, print->section);
    g_autofree char *wanted = section != NULL ? vr_fingerprint_wanted(section) : NULL;
    return g_strcmp0(wanted, print->wanted) == 0;
}

/* --- the host ----------------------------------------------------------------------------------*/

static void
compare_host(GPtrArray *changes, const char *what, const char *before, const char *now)
{
    if (before != NULL && now != NULL && !g_str_equal(before, now)) {
        VrChange *change = add_change(changes, VR_CHANGE_HOST, NULL, what);
        change->from = g_strdup(before);
        change->to = g_strdup(now);
    }
}

GPtrArray *
vr_fingerprint_compare(const VrFingerprint *before, const VrFingerprint *now,
                       const VrHostFacts *facts, const VrProfile *profile)
{
    GPtrArray *changes = g_ptr_array_new_with_free_func(change_free);
    const Sides sides = {before, now, facts};
    for (guint i = 0; i < before->devices->len; i++) {
        const VrDevicePrint *print = g_ptr_array_index(before->devices, i);
        unsigned alike = 0;
        if (!is_meant_still(profile, print)) {
            continue;
        }
        const VrPciFunction *place = locate(&sides, print, &alike);
        if (place == NULL) {
            add_lost(changes, print, facts, alike);
            continue;
        }
        if (!vr_pci_address_equal(place->address, print->address)) {
            add_moved(changes, print, facts, place);
        }
        compare_place(changes, print, &sides, place);
    }
    compare_host(changes, "computer", before->computer, now->computer);
    compare_host(changes, "BIOS", before->bios, now->bios);
    compare_host(changes, "kernel", before->kernel, now->kernel);
    compare_host(changes, "kernel command line", before->command_line, now->command_line);
    return changes;
}

bool
vr_change_is_clear(const VrChange *change)
{
    return change->kind != VR_CHANGE_AMBIGUOUS && change->kind != VR_CHANGE_GONE;
}

bool
vr_changes_need_consent(const GPtrArray *changes)
{
    for (guint i = 0; i < changes->len; i++) {
        const VrChange *change = g_ptr_array_index(changes, i);
        if (change->kind != VR_CHANGE_HOST) {
            return true;
        }
    }
    return false;
}

/* --- findings ----------------------------------------------------------------------------------*/

/* "address: 0000:0b:00.0 -> 0000:0d:00.0". Owned. */
static char *
describe_change(const VrChange *change)
{
    return g_strdup_printf("%s: %s -> %s", change->what, change->from, change->to);
}

static char *
describe_host_changes(const GPtrArray *changes)
{
    g_autoptr(GString) text = g_string_new(NULL);
    for (guint i = 0; i < changes->len; i++) {
        const VrChange *change = g_ptr_array_index(changes, i);
        if (change->kind == VR_CHANGE_HOST) {
            g_autofree char *one = describe_change(change);
            g_string_append_printf(text, "%s%s", text->len > 0 ? "; " : "", one);
        }
    }
    return text->len > 0 ? g_strdup(text->str) : NULL;
}

static const char *
meaning(VrChangeKind kind)
{
    switch (kind) {
    case VR_CHANGE_MOVED:
        return "its device has another address than when this profile last started well";
    case VR_CHANGE_AMBIGUOUS:
        return "its device is not where it was, and several others are like it";
    case VR_CHANGE_REPLACED:
        return "there is another device in the place of the one that it had";
    case VR_CHANGE_GONE:
        return "its device is not in this computer any more";
    case VR_CHANGE_GROUP:
        return "the IOMMU group of its device has other members than before";
    case VR_CHANGE_RESET:
        return "its device can be reset in other ways than before";
    case VR_CHANGE_HOST:
        break;
    }
    g_return_val_if_reached("");
}

/* The choice could not know that the device is elsewhere. */
static void
soften_choice(VrReport *report, const VrChange *change)
{
    bool elsewhere = change->kind == VR_CHANGE_MOVED || change->kind == VR_CHANGE_AMBIGUOUS ||
                     change->kind == VR_CHANGE_REPLACED;
    for (guint i = 0; elsewhere && i < report->findings->len; i++) {
        VrFinding *finding = g_ptr_array_index(report->findings, i);
        if (g_strcmp0(finding->subject, change->section) == 0 &&
            (g_str_equal(finding->id, "device-missing") ||
             g_str_equal(finding->id, "device-kind"))) {
            finding->status = VR_ERROR_HARDWARE_CHANGED;
        }
    }
}

static void
report_device(const VrChange *change, const char *host, const char *profile_name, VrReport *report)
{
    g_autofree char *one = describe_change(change);
    const char *remark = change->remark;
    VrFinding *finding = vr_report_add(
        report, "hardware-changed", VR_SEVERITY_BLOCKER, VR_REMEDY_PROFILE,
        g_strdup(change->section), g_strdup(meaning(change->kind)),
        g_strdup_printf("%s%s%s%s%s", one, remark != NULL ? "; " : "", remark != NULL ? remark : "",
                        host != NULL ? "; " : "", host != NULL ? host : ""),
        vr_change_is_clear(change)
            ? g_strdup_printf("look at it with: vmrun changes %s; if it is right: vmrun "
                              "changes %s --accept",
                              profile_name, profile_name)
            : g_strdup("name the device that is meant with device= in the profile; the "
                       "list: vmrun gpus"));
    finding->status = VR_ERROR_HARDWARE_CHANGED;
    soften_choice(report, change);
}

void
vr_changes_report(const GPtrArray *changes, const char *profile_name, VrReport *report)
{
    g_autofree char *host = describe_host_changes(changes);
    for (guint i = 0; i < changes->len; i++) {
        const VrChange *change = g_ptr_array_index(changes, i);
        if (change->kind != VR_CHANGE_HOST) {
            report_device(change, host, profile_name, report);
        }
    }
    if (host != NULL && !vr_changes_need_consent(changes)) {
        vr_report_add(report, "host-changed", VR_SEVERITY_INFO, VR_REMEDY_NONE, NULL,
                      g_strdup("this computer was updated since the profile last started well; its "
                               "devices are where they were"),
                      g_steal_pointer(&host), NULL);
    }
}
