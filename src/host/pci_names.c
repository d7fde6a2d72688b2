/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/host_facts_private.h"

#include <libudev.h>
#include <pci/pci.h>

#include <string.h>

#define NAME_BYTES 1024 /* as long as libpci takes a line to be */

/* The database or, without it, the list. */
struct _VrPciNames {
    struct udev *udev;
    struct udev_hwdb *database; /* mapped, not read */
    struct pci_access *list;    /* pci.ids: read as a whole at the first question */
};

VrPciNames *
vr_pci_names_open(void)
{
    VrPciNames *names = g_new0(VrPciNames, 1);

    names->udev = udev_new();
    names->database = names->udev == NULL ? NULL : udev_hwdb_new(names->udev);
    if (names->database == NULL) {
        vr_pci_names_free(names);
        return vr_pci_names_open_list(NULL);
    }
    return names;
}

VrPciNames *
vr_pci_names_open_list(const char *path)
{
    VrPciNames *names = g_new0(VrPciNames, 1);

    names->list = pci_alloc();
    names->list->method = PCI_ACCESS_SYS_BUS_PCI; /* opens nothing, where AUTO looks for all */
    pci_init(names->list);
    if (path != NULL) {
        pci_set_name_list_path(names->list, (char *) path, 0);
    }
    return names;
}

void
vr_pci_names_free(VrPciNames *names)
{
    if (names == NULL) {
        return;
    }
    udev_hwdb_unref(names->database);
    udev_unref(names->udev);
    if (names->list != NULL) {
        pci_cleanup(names->list);
    }
    g_free(names);
}

/* What is known of an id; the texts are lent by the database or by the buffers. */
typedef struct {
    const char *vendor, *model; /* NULL: not known */
    char vendor_buffer[NAME_BYTES], model_buffer[NAME_BYTES];
} Answer;

/*
 * The key without a subsystem finds the chip's name; with one it would find the name that the
 * computer's maker gave it (hwdb.d/20-pci-vendor-model.hwdb of systemd).
 */
static void
ask_database(struct udev_hwdb *database, const VrPciFunction *function, Answer *answer)
{
    struct udev_list_entry *entry = NULL;
    g_autofree char *key =
        g_strdup_printf("pci:v%08Xd%08X", (unsigned) function->vendor, (unsigned) function->device);

    udev_list_entry_foreach(entry, udev_hwdb_get_properties_list_entry(database, key, 0))
    {
        const char *property = udev_list_entry_get_name(entry);

        if (strcmp(property, "ID_VENDOR_FROM_DATABASE") == 0) {
            answer->vendor = udev_list_entry_get_value(entry);
        } else if (strcmp(property, "ID_MODEL_FROM_DATABASE") == 0) {
            answer->model = udev_list_entry_get_value(entry);
        }
    }
}

static void
ask_list(struct pci_access *list, const VrPciFunction *function, Answer *answer)
{
    const int flags = PCI_LOOKUP_NO_NUMBERS | PCI_LOOKUP_NO_HWDB;

    answer->vendor = pci_lookup_name(list, answer->vendor_buffer, NAME_BYTES,
                                     PCI_LOOKUP_VENDOR | flags, (int) function->vendor);
    answer->model =
        pci_lookup_name(list, answer->model_buffer, NAME_BYTES, PCI_LOOKUP_DEVICE | flags,
                        (int) function->vendor, (int) function->device);
}

char *
vr_pci_names_lookup(const VrPciNames *names, const VrPciFunction *function)
{
    Answer answer = {0};

    if (names == NULL) {
        return NULL;
    }
    if (names->database != NULL) {
        ask_database(names->database, function, &answer);
    } else {
        ask_list(names->list, function, &answer);
    }
    if (answer.vendor == NULL) {
        return NULL;
    }
    if ((function->unreadable & VR_PCI_UNREADABLE_IDS) != 0) {
        return g_strconcat(answer.vendor, ", unknown device", NULL);
    }
    return answer.model == NULL
               ? g_strdup_printf("%s, device %04x", answer.vendor, (unsigned) function->device)
               : g_strconcat(answer.vendor, " ", answer.model, NULL);
}
