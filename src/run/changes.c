/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/changes.h>

#include "plan/device_choice_private.h"

#include <vmrun/error.h>
#include <vmrun/files.h>
#include <vmrun/gpu.h>
#include <vmrun/host_state.h>
#include <vmrun/pci_capabilities.h>
#include <vmrun/text.h>

#include <string.h>

#define DIRECTORY VR_STATE_DIRECTORY "/fingerprint"
#define PROFILES "/etc/vmrun/profiles"
#define DROP_IN "50-hardware.conf"
/* Enough to tell two cards apart, too little to tell one's owner. */
#define SERIAL_DIGITS 16

/* --- the record --------------------------------------------------------------------------------*/

static char *
record_path(const char *profile_name)
{
    return g_strdup_printf(DIRECTORY "/%s.conf", profile_name);
}

VrFingerprint *
vr_fingerprint_load(const VrSysroot *root, const char *profile_name, GError **error)
{
    g_autofree char *path = record_path(profile_name);
    g_autofree char *text = vr_sysroot_read(root, path, error);
    VrFingerprint *fingerprint = text != NULL ? vr_fingerprint_from_text(text, error) : NULL;
    if (text != NULL && fingerprint == NULL) {
        vr_error_prefix(error, "%s", path);
    }
    return fingerprint;
}

bool
vr_fingerprint_store(const VrSysroot *root, const char *profile_name,
                     const VrFingerprint *fingerprint, GError **error)
{
    g_autofree char *path = record_path(profile_name);
    g_autofree char *text = vr_fingerprint_to_text(fingerprint);
    g_autoptr(VrFingerprint) known = vr_fingerprint_load(root, profile_name, NULL);
    g_autofree char *known_text = known != NULL ? vr_fingerprint_to_text(known) : NULL;
    if (g_strcmp0(text, known_text) == 0) {
        return true;
    }
    return (vr_sysroot_make_directory(root, VR_STATE_DIRECTORY, 0711, error) &&
            vr_sysroot_make_directory(root, DIRECTORY, 0755, error) &&
            vr_sysroot_replace(root, path, text, 0644, error)) ||
           vr_error_prefix(error, "remember this computer for '%s'", profile_name);
}

void
vr_fingerprint_tidy(const VrSysroot *root, const char *profile_name)
{
    g_autofree char *path = record_path(profile_name);
    vr_sysroot_remove_temporaries(root, path);
}

/* --- the host ----------------------------------------------------------------------------------*/

/* The board's name of the slot: /sys/bus/pci/slots/NAME/address has the address without function.
 */
static char *
slot_of(const VrSysroot *root, VrPciAddress address)
{
    g_autofree char *full = vr_pci_address_format(address);
    g_autofree char *wanted = g_strndup(full, (gsize) (strrchr(full, '.') - full));
    g_autoptr(GPtrArray) names = vr_sysroot_list(root, "/sys/bus/pci/slots", NULL);
    for (guint i = 0; names != NULL && i < names->len; i++) {
        const char *name = g_ptr_array_index(names, i);
        g_autofree char *path = g_strdup_printf("/sys/bus/pci/slots/%s/address", name);
        g_autofree char *slot = vr_sysroot_read_optional(root, path);
        if (g_strcmp0(slot, wanted) == 0) {
            return vr_text_printable(name);
        }
    }
    return NULL;
}

static char *
serial_of(const GPtrArray *capabilities, VrPciAddress address)
{
    for (guint i = 0; capabilities != NULL && i < capabilities->len; i++) {
        const VrPciCapabilities *function = g_ptr_array_index(capabilities, i);
        if (vr_pci_address_equal(function->address, address) && function->serial != NULL) {
            g_autofree char *digest = vr_text_digest(function->serial);
            return g_strndup(digest, SERIAL_DIGITS);
        }
    }
    return NULL;
}

static void
complete(const VrSysroot *root, VrDevicePrint *print, const GPtrArray *capabilities)
{
    g_autofree char *path = vr_pci_device_path(print->address, "reset_method");
    g_autofree char *methods = vr_sysroot_read_optional(root, path);
    print->slot = slot_of(root, print->address);
    print->serial = serial_of(capabilities, print->address);
    print->reset_methods = methods != NULL ? vr_text_printable(methods) : NULL;
}

VrFingerprint *
vr_fingerprint_observe(const VrSysroot *root, const VrInspection *inspection,
                       const GPtrArray *capabilities)
{
    VrFingerprint *now = vr_fingerprint_make(inspection->facts, inspection->devices);
    for (guint i = 0; i < now->devices->len; i++) {
        complete(root, g_ptr_array_index(now->devices, i), capabilities);
    }
    return now;
}

/* --- agreeing ----------------------------------------------------------------------------------*/

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
refuse(const VrChange *change, const char *why, GError **error)
{
    return vr_error_set(error, VR_ERROR_HARDWARE_CHANGED, "%s: %s; nothing was accepted",
                        change->section, why);
}

/* Can the device be given away where it is now? */
static bool
may_accept(const VrInspection *inspection, const VrChange *change, GError **error)
{
    const VrProfileDevice *section = section_of(inspection->profile, change->section);
    if (section == NULL || change->kind == VR_CHANGE_AMBIGUOUS) {
        return refuse(change,
                      "several devices are like the one that it had; name the right one "
                      "with device= in the profile (the list: vmrun gpus)",
                      error);
    }
    if (change->kind == VR_CHANGE_GONE) {
        return refuse(change, "its device is not in this computer any more", error);
    }
    if (change->kind == VR_CHANGE_MOVED && section->functions != NULL) {
        return refuse(change,
                      "functions= names addresses, too: correct them in the profile by "
                      "hand",
                      error);
    }
    VrGpu *gpu = vr_gpu_judge_function(inspection->facts, change->place);
    for (guint i = 0; gpu != NULL && i < gpu->problems->len; i++) {
        const char *problem = g_ptr_array_index(gpu->problems, i);
        if (!vr_device_problem_is_allowed(section, problem)) {
            g_autofree char *address = vr_pci_address_format(change->place);
            g_autofree char *why =
                g_strdup_printf("%s cannot be given to a guest where it is now: %s", address,
                                vr_gpu_problem_meaning(problem));
            vr_gpu_free(gpu);
            return refuse(change, why, error);
        }
    }
    vr_gpu_free(gpu);
    return gpu != NULL || refuse(change, "its device is not there any more", error);
}

/* Where the section's device is now, if that moved. */
static const VrChange *
move_of(const GPtrArray *changes, const char *title)
{
    for (guint i = 0; i < changes->len; i++) {
        const VrChange *change = g_ptr_array_index(changes, i);
        if (change->kind == VR_CHANGE_MOVED && g_str_equal(change->section, title)) {
            return change;
        }
    }
    return NULL;
}

/* Did an earlier agreement set the section's address? "[gpu vega]" is "gpu vega" among the values.
 */
static bool
is_from_drop_in(const VrProfile *profile, const char *title, const char *path)
{
    g_autofree char *group = g_strndup(title + 1, strlen(title) - 2);
    for (guint i = 0; i < profile->values->len; i++) {
        const VrProfileValue *value = g_ptr_array_index(profile->values, i);
        if (g_str_equal(value->group, group) && g_str_equal(value->key, "device")) {
            return g_strcmp0(value->origin.file, path) == 0;
        }
    }
    return false;
}

static void
append_section(GString *text, const VrProfileDevice *section, const VrChange *move)
{
    g_autofree char *title = vr_device_section_title(section);
    g_autofree char *address = vr_pci_address_format(move != NULL ? move->place : section->address);
    if (move != NULL) {
        g_string_append_printf(text, "\n# It was %s.", move->from);
    }
    g_string_append_printf(text, "\n%s\ndevice=%s\n", title, address);
}

/* NULL: no section has to name another address. */
static char *
drop_in_text(const VrProfile *profile, const GPtrArray *changes, const char *path)
{
    g_autoptr(GString) text = g_string_new(NULL);
    bool moved = false;
    for (guint i = 0; i < profile->devices->len; i++) {
        const VrProfileDevice *section = g_ptr_array_index(profile->devices, i);
        g_autofree char *title = vr_device_section_title(section);
        const VrChange *move = move_of(changes, title);
        if (section->choice == VR_DEVICE_ADDRESS &&
            (move != NULL || is_from_drop_in(profile, title, path))) {
            append_section(text, section, move);
            moved = moved || move != NULL;
        }
    }
    return !moved
               ? NULL
               : g_strdup_printf("# Written by `vmrun changes %s --accept`: where the devices are "
                                 "now.\n# Delete it to go back to what the profile says.\n%s",
                                 profile->name, text->str);
}

bool
vr_changes_accept(const VrSysroot *root, const VrInspection *inspection, const GPtrArray *changes,
                  char **out_drop_in, GError **error)
{
    const VrProfile *profile = inspection->profile;
    g_autofree char *directory = g_strdup_printf(PROFILES "/%s.conf.d", profile->name);
    g_autofree char *path = g_build_filename(directory, DROP_IN, NULL);
    for (guint i = 0; i < changes->len; i++) {
        const VrChange *change = g_ptr_array_index(changes, i);
        if (change->kind != VR_CHANGE_HOST && !may_accept(inspection, change, error)) {
            return false;
        }
    }
    *out_drop_in = NULL;
    g_autofree char *text = drop_in_text(profile, changes, path);
    if (text == NULL) {
        return true;
    }
    if (!vr_sysroot_make_directory(root, directory, 0755, error) ||
        !vr_sysroot_replace(root, path, text, 0644, error)) {
        return vr_error_prefix(error, "write where the devices of '%s' are now", profile->name);
    }
    *out_drop_in = g_steal_pointer(&path);
    return true;
}
