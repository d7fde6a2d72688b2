/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/host_facts_private.h"

#include <libudev.h>

#include <string.h>

struct _VrPciNames {
    struct udev *udev;
    struct udev_hwdb *database;
};

VrPciNames *
vr_pci_names_open(void)
{
    VrPciNames *names = g_new0(VrPciNames, 1);

    names->udev = udev_new();
    names->database = names->udev == NULL ? NULL : udev_hwdb_new(names->udev);
    if (names->database == NULL) {
        vr_pci_names_free(names);
        return NULL;
    }
    return names;
}

void
vr_pci_names_free(VrPciNames *names)
{
    if (names != NULL) {
        udev_hwdb_unref(names->database);
        udev_unref(names->udev);
        g_free(names);
    }
}

/*
 * The key without a subsystem finds the chip's name; with one it would find the name that the
 * computer's maker gave it (hwdb.d/20-pci-vendor-model.hwdb of systemd).
 */
char *
vr_pci_names_lookup(const VrPciNames *names, const VrPciFunction *function)
{
    struct udev_list_entry *entry = NULL;
    const char *vendor = NULL, *model = NULL;
    g_autofree char *key =
        g_strdup_printf("pci:v%08Xd%08X", (unsigned) function->vendor, (unsigned) function->device);

    if (names == NULL) {
        return NULL;
    }
    udev_list_entry_foreach(entry, udev_hwdb_get_properties_list_entry(names->database, key, 0))
    {
        const char *property = udev_list_entry_get_name(entry);

        if (strcmp(property, "ID_VENDOR_FROM_DATABASE") == 0) {
            vendor = udev_list_entry_get_value(entry);
        } else if (strcmp(property, "ID_MODEL_FROM_DATABASE") == 0) {
            model = udev_list_entry_get_value(entry);
        }
    }
    if (vendor == NULL) {
        return NULL;
    }
    if ((function->unreadable & VR_PCI_UNREADABLE_IDS) != 0) {
        return g_strconcat(vendor, ", unknown device", NULL);
    }
    return model == NULL ? g_strdup_printf("%s, device %04x", vendor, (unsigned) function->device)
                         : g_strconcat(vendor, " ", model, NULL);
}
