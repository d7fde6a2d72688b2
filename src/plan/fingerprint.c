/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/fingerprint.h>

#include "plan/device_choice_private.h"

#include <vmrun/error.h>
#include <vmrun/text.h>

#include <string.h>

#define VERSION 1
#define DEVICE_PREFIX "device "
/* Deeper than any tree of bridges; a chain of parents that names itself ends here. */
#define PORT_DEPTH_LIMIT 64

void
vr_device_print_free(VrDevicePrint *print)
{
    if (print == NULL) {
        return;
    }
    g_free(print->section);
    g_free(print->wanted);
    g_free(print->id);
    g_free(print->subsystem);
    g_free(print->name);
    g_free(print->port);
    g_free(print->group);
    g_free(print->slot);
    g_free(print->serial);
    g_free(print->reset_methods);
    g_free(print);
}

VrFingerprint *
vr_fingerprint_new(void)
{
    VrFingerprint *fingerprint = g_new0(VrFingerprint, 1);
    fingerprint->devices = g_ptr_array_new_with_free_func((GDestroyNotify) vr_device_print_free);
    return fingerprint;
}

void
vr_fingerprint_free(VrFingerprint *fingerprint)
{
    if (fingerprint == NULL) {
        return;
    }
    g_free(fingerprint->computer);
    g_free(fingerprint->bios);
    g_free(fingerprint->kernel);
    g_free(fingerprint->command_line);
    g_ptr_array_unref(fingerprint->devices);
    g_free(fingerprint);
}

/* --- from facts --------------------------------------------------------------------------------*/

/* "0000:00/03.1/00.0": the root bus, then slot and function of each bridge and of the function. */
static char *
port_of(const VrHostFacts *facts, const VrPciFunction *function)
{
    g_autofree char *below = g_strdup("");
    for (unsigned depth = 0; depth < PORT_DEPTH_LIMIT; depth++) {
        VrPciAddress address = function->address;
        g_autofree char *rest = g_steal_pointer(&below);
        below = g_strdup_printf("/%02x.%x%s", address.slot, address.function, rest);
        const VrPciFunction *above =
            function->has_parent ? vr_host_facts_function(facts, function->parent) : NULL;
        if (above == NULL) {
            return g_strdup_printf("%04x:%02x%s", address.domain, address.bus, below);
        }
        function = above;
    }
    return g_strdup(below);
}

static gint
compare_texts(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *) a, *(const char *const *) b);
}

/* Bridges may share a group with anything, so they do not count. */
static char *
group_of(const VrHostFacts *facts, const VrPciFunction *function)
{
    g_autoptr(GPtrArray) ids = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) members =
        function->group >= 0 ? vr_host_facts_group(facts, function->group) : g_ptr_array_new();
    for (guint i = 0; i < members->len; i++) {
        const VrPciFunction *member = g_ptr_array_index(members, i);
        if (!vr_pci_function_is_bridge(member)) {
            g_ptr_array_add(ids, vr_pci_function_id(member));
        }
    }
    g_ptr_array_sort(ids, compare_texts);
    g_ptr_array_add(ids, NULL);
    return g_strjoinv(" ", (char **) ids->pdata);
}

static VrDevicePrint *
print_new(const VrHostFacts *facts, const VrPciFunction *function)
{
    VrDevicePrint *print = g_new0(VrDevicePrint, 1);
    print->address = function->address;
    print->class_code = function->class_code;
    print->id = vr_pci_function_id(function);
    if (function->has_subsystem) {
        print->subsystem =
            g_strdup_printf("%04x:%04x", function->subsystem_vendor, function->subsystem_device);
    }
    print->name = vr_text_printable(vr_host_facts_name(facts, function));
    print->port = port_of(facts, function);
    print->group = group_of(facts, function);
    return print;
}

VrDevicePrint *
vr_device_print_at(const VrDevicePrint *print, const VrHostFacts *facts,
                   const VrPciFunction *function)
{
    VrDevicePrint *there = print_new(facts, function);
    there->section = g_strdup(print->section);
    there->number = print->number;
    there->wanted = g_strdup(print->wanted);
    return there;
}

char *
vr_fingerprint_wanted(const VrProfileDevice *section)
{
    switch (section->choice) {
    case VR_DEVICE_AUTO:
        return g_strdup("auto");
    case VR_DEVICE_ALL:
        return g_strdup("all");
    case VR_DEVICE_ID:
        return g_strdup_printf("%04x:%04x", section->vendor, section->device);
    case VR_DEVICE_ADDRESS:
        return vr_pci_address_format(section->address);
    }
    g_return_val_if_reached(NULL);
}

static char *
bios_of(const VrHostFacts *facts)
{
    if (facts->bios_version == NULL) {
        return NULL;
    }
    g_autofree char *text = facts->bios_date == NULL
                                ? g_strdup(facts->bios_version)
                                : g_strdup_printf("%s (%s)", facts->bios_version, facts->bios_date);
    return vr_text_printable(text);
}

static char *
command_line_of(const VrHostFacts *facts)
{
    g_autoptr(GString) line = g_string_new(NULL);
    for (guint i = 0; facts->parameters != NULL && i < facts->parameters->len; i++) {
        const VrKernelParameter *parameter = g_ptr_array_index(facts->parameters, i);
        g_string_append_printf(line, "%s%s%s%s", i > 0 ? " " : "", parameter->key,
                               parameter->value != NULL ? "=" : "",
                               parameter->value != NULL ? parameter->value : "");
    }
    return line->len > 0 ? vr_text_printable(line->str) : NULL;
}

/* Several cards of one section are told apart by their number. */
static unsigned
number_of(const GPtrArray *devices, guint index)
{
    const VrChosenDevice *device = g_ptr_array_index(devices, index);
    unsigned number = 1;
    for (guint i = 0; i < index; i++) {
        const VrChosenDevice *earlier = g_ptr_array_index(devices, i);
        number += earlier->section == device->section;
    }
    return number;
}

VrFingerprint *
vr_fingerprint_make(const VrHostFacts *facts, const GPtrArray *devices)
{
    VrFingerprint *fingerprint = vr_fingerprint_new();
    fingerprint->computer = facts->computer != NULL ? vr_text_printable(facts->computer) : NULL;
    fingerprint->bios = bios_of(facts);
    fingerprint->kernel = g_strdup(facts->kernel_release);
    fingerprint->command_line = command_line_of(facts);
    for (guint i = 0; i < devices->len; i++) {
        const VrChosenDevice *device = g_ptr_array_index(devices, i);
        VrDevicePrint *print = print_new(facts, device->gpu->display);
        print->section = vr_device_section_title(device->section);
        print->number = number_of(devices, i);
        print->wanted = vr_fingerprint_wanted(device->section);
        g_ptr_array_add(fingerprint->devices, print);
    }
    return fingerprint;
}

/* --- text --------------------------------------------------------------------------------------*/

static void
set_text(GKeyFile *file, const char *group, const char *key, const char *text)
{
    if (text != NULL) {
        g_key_file_set_string(file, group, key, text);
    }
}

char *
vr_fingerprint_to_text(const VrFingerprint *fingerprint)
{
    g_autoptr(GKeyFile) file = g_key_file_new();
    g_key_file_set_integer(file, "host", "version", VERSION);
    set_text(file, "host", "computer", fingerprint->computer);
    set_text(file, "host", "bios", fingerprint->bios);
    set_text(file, "host", "kernel", fingerprint->kernel);
    set_text(file, "host", "command-line", fingerprint->command_line);
    for (guint i = 0; i < fingerprint->devices->len; i++) {
        const VrDevicePrint *print = g_ptr_array_index(fingerprint->devices, i);
        g_autofree char *group = g_strdup_printf(DEVICE_PREFIX "%u", i);
        g_autofree char *address = vr_pci_address_format(print->address);
        g_autofree char *class_code = g_strdup_printf("%06x", print->class_code);
        set_text(file, group, "section", print->section);
        g_key_file_set_integer(file, group, "number", (int) print->number);
        set_text(file, group, "device", print->wanted);
        set_text(file, group, "address", address);
        set_text(file, group, "class", class_code);
        set_text(file, group, "id", print->id);
        set_text(file, group, "subsystem", print->subsystem);
        set_text(file, group, "name", print->name);
        set_text(file, group, "port", print->port);
        set_text(file, group, "group", print->group);
        set_text(file, group, "slot", print->slot);
        set_text(file, group, "serial", print->serial);
        set_text(file, group, "reset-methods", print->reset_methods);
    }
    g_autofree char *body = g_key_file_to_data(file, NULL, NULL);
    return g_strconcat("# The computer as it was when this profile last started well; see: vmrun "
                       "changes\n",
                       body, NULL);
}

static char *
get_text(GKeyFile *file, const char *group, const char *key)
{
    g_autofree char *text = g_key_file_get_string(file, group, key, NULL);
    return text != NULL ? vr_text_printable(text) : NULL;
}

static char *
get_text_or_empty(GKeyFile *file, const char *group, const char *key)
{
    char *text = get_text(file, group, key);
    return text != NULL ? text : g_strdup("");
}

static bool
read_device(GKeyFile *file, const char *group, VrFingerprint *fingerprint, GError **error)
{
    VrDevicePrint *print = g_new0(VrDevicePrint, 1);
    g_ptr_array_add(fingerprint->devices, print);
    g_autofree char *address = get_text_or_empty(file, group, "address");
    g_autofree char *class_code = get_text_or_empty(file, group, "class");
    uint64_t class_number = 0;
    print->section = get_text_or_empty(file, group, "section");
    print->number = (unsigned) g_key_file_get_integer(file, group, "number", NULL);
    print->wanted = get_text_or_empty(file, group, "device");
    print->id = get_text_or_empty(file, group, "id");
    print->subsystem = get_text(file, group, "subsystem");
    print->name = get_text_or_empty(file, group, "name");
    print->port = get_text_or_empty(file, group, "port");
    print->group = get_text_or_empty(file, group, "group");
    print->slot = get_text(file, group, "slot");
    print->serial = get_text(file, group, "serial");
    print->reset_methods = get_text(file, group, "reset-methods");
    if (!vr_pci_address_parse(address, &print->address)) {
        return vr_error_set(error, VR_ERROR_CORRUPT, "[%s] address: '%s' is no PCI address", group,
                            address);
    }
    if (!vr_text_to_hex(class_code, 0xffffff, &class_number)) {
        return vr_error_set(error, VR_ERROR_CORRUPT, "[%s] class: '%s' is no class of PCI", group,
                            class_code);
    }
    print->class_code = (uint32_t) class_number;
    if (print->section[0] == '\0' || print->id[0] == '\0' || print->port[0] == '\0') {
        return vr_error_set(error, VR_ERROR_CORRUPT, "[%s] lacks section, id or port", group);
    }
    return true;
}

VrFingerprint *
vr_fingerprint_from_text(const char *text, GError **error)
{
    g_autoptr(GKeyFile) file = g_key_file_new();
    g_autoptr(VrFingerprint) fingerprint = vr_fingerprint_new();
    g_autoptr(GError) cause = NULL;
    if (!g_key_file_load_from_data(file, text, (gsize) -1, G_KEY_FILE_NONE, &cause)) {
        vr_error_set(error, VR_ERROR_CORRUPT, "%s", cause->message);
        return NULL;
    }
    if (g_key_file_get_integer(file, "host", "version", NULL) != VERSION) {
        vr_error_set(error, VR_ERROR_CORRUPT, "[host] version is not %d", VERSION);
        return NULL;
    }
    fingerprint->computer = get_text(file, "host", "computer");
    fingerprint->bios = get_text(file, "host", "bios");
    fingerprint->kernel = get_text(file, "host", "kernel");
    fingerprint->command_line = get_text(file, "host", "command-line");
    g_auto(GStrv) groups = g_key_file_get_groups(file, NULL);
    for (char **group = groups; *group != NULL; group++) {
        if (g_str_has_prefix(*group, DEVICE_PREFIX) &&
            !read_device(file, *group, fingerprint, error)) {
            return NULL;
        }
    }
    return g_steal_pointer(&fingerprint);
}
