/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/host_facts_private.h"

#include <vmrun/error.h>
#include <vmrun/text.h>

#include <stdio.h>
#include <string.h>

#define DEVICES "/sys/bus/pci/devices"

/* What the sources of one function have told so far. */
typedef struct {
    const VrSysroot *root;
    const char *directory; /* "/sys/bus/pci/devices/0000:01:00.0" */
    VrPciFunction *function;
    bool has_class, has_vendor, has_device;
} Reading;

/* What the link "physfn" of an SR-IOV virtual function says. */
typedef struct {
    VrPciAddress virtual_function, physical_function;
} Ownership;

static void
note_unreadable(Reading *reading, unsigned what, const char *why)
{
    reading->function->unreadable |= what;
    if (reading->function->error == NULL) {
        reading->function->error = g_strdup(why);
    }
}

/* The text of an attribute; NULL if it is absent, or (noted as `what`) cannot be read. */
static char *
read_attribute(Reading *reading, const char *name, unsigned what)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path = g_strconcat(reading->directory, "/", name, NULL);
    char *text = vr_sysroot_read(reading->root, path, &error);

    if (text == NULL && !g_error_matches(error, VR_ERROR, VR_ERROR_NOT_FOUND)) {
        note_unreadable(reading, what, error->message);
    }
    return text;
}

/* The last component of a link; NULL if it is absent, or (noted as `what`) is no readable link. */
static char *
read_link(Reading *reading, const char *name, unsigned what)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path = g_strconcat(reading->directory, "/", name, NULL);
    char *target = vr_sysroot_link_name(reading->root, path, &error);

    if (target == NULL && (!g_error_matches(error, VR_ERROR, VR_ERROR_NOT_FOUND) ||
                           vr_sysroot_exists(reading->root, path))) {
        note_unreadable(reading, what, error->message);
    }
    return target;
}

static bool
read_hex(Reading *reading, const char *name, uint64_t maximum, uint64_t *out_value)
{
    g_autofree char *text = read_attribute(reading, name, VR_PCI_UNREADABLE_IDS);

    if (text == NULL) {
        return false;
    }
    if (!vr_text_to_hex(text, maximum, out_value)) {
        g_autofree char *why =
            g_strdup_printf("%s/%s: not a hexadecimal number", reading->directory, name);
        note_unreadable(reading, VR_PCI_UNREADABLE_IDS, why);
        return false;
    }
    return true;
}

/* "10DE:1401"; a half that is no number ("8086:????") is left to the attribute of its own. */
static void
take_id_pair(const char *text, uint16_t *out_vendor, bool *out_has_vendor, uint16_t *out_device,
             bool *out_has_device)
{
    uint64_t value = 0;
    const char *colon = strchr(text, ':');

    if (colon == NULL) {
        return;
    }
    g_autofree char *vendor = g_strndup(text, (gsize) (colon - text));
    if (vr_text_to_hex(vendor, UINT16_MAX, &value)) {
        *out_vendor = (uint16_t) value;
        *out_has_vendor = true;
    }
    if (vr_text_to_hex(colon + 1, UINT16_MAX, &value)) {
        *out_device = (uint16_t) value;
        *out_has_device = true;
    }
}

static void
take_uevent_line(Reading *reading, const char *line)
{
    VrPciFunction *function = reading->function;
    uint64_t value = 0;

    if (g_str_has_prefix(line, "PCI_CLASS=") &&
        vr_text_to_hex(line + strlen("PCI_CLASS="), 0xffffff, &value)) {
        function->class_code = (uint32_t) value;
        reading->has_class = true;
    } else if (g_str_has_prefix(line, "PCI_ID=")) {
        take_id_pair(line + strlen("PCI_ID="), &function->vendor, &reading->has_vendor,
                     &function->device, &reading->has_device);
    } else if (g_str_has_prefix(line, "PCI_SUBSYS_ID=")) {
        bool has_vendor = false, has_device = false;

        take_id_pair(line + strlen("PCI_SUBSYS_ID="), &function->subsystem_vendor, &has_vendor,
                     &function->subsystem_device, &has_device);
        function->has_subsystem = has_vendor && has_device;
    }
}

static bool
are_ids(const unsigned values[4])
{
    return values[0] <= UINT16_MAX && values[1] <= UINT16_MAX && values[2] <= UINT16_MAX &&
           values[3] <= UINT16_MAX;
}

/* One read that tells class and all ids and takes no lock (drivers/pci/pci-sysfs.c,
 * modalias_show). */
static void
read_modalias(Reading *reading)
{
    VrPciFunction *function = reading->function;
    unsigned ids[4] = {0}, class_parts[3] = {0};
    g_autofree char *path = g_strconcat(reading->directory, "/modalias", NULL);
    g_autofree char *text = vr_sysroot_read_optional(reading->root, path);

    if (text == NULL ||
        sscanf(text, "pci:v%8Xd%8Xsv%8Xsd%8Xbc%2Xsc%2Xi%2X", &ids[0], &ids[1], &ids[2], &ids[3],
               &class_parts[0], &class_parts[1], &class_parts[2]) != 7 ||
        !are_ids(ids)) {
        return;
    }
    function->vendor = (uint16_t) ids[0];
    function->device = (uint16_t) ids[1];
    function->subsystem_vendor = (uint16_t) ids[2];
    function->subsystem_device = (uint16_t) ids[3];
    function->class_code = class_parts[0] << 16 | class_parts[1] << 8 | class_parts[2];
    function->has_subsystem = true;
    reading->has_class = reading->has_vendor = reading->has_device = true;
}

/* The same in captures of other computers. Of a living one it is not read: it waits for the
 * device's lock (drivers/base/core.c, uevent_show), which a driver's removal may hold for as long
 * as a guest has the device. */
static void
read_uevent(Reading *reading)
{
    g_autofree char *path = g_strconcat(reading->directory, "/uevent", NULL);
    g_autofree char *text = vr_sysroot_read_optional(reading->root, path);
    char *rest = text;

    while (rest != NULL) {
        char *line = strsep(&rest, "\n");

        take_uevent_line(reading, line);
    }
}

static void
read_subsystem(Reading *reading)
{
    VrPciFunction *function = reading->function;
    uint64_t vendor = 0, device = 0;

    if (read_hex(reading, "subsystem_vendor", UINT16_MAX, &vendor) &&
        read_hex(reading, "subsystem_device", UINT16_MAX, &device)) {
        function->subsystem_vendor = (uint16_t) vendor;
        function->subsystem_device = (uint16_t) device;
        function->has_subsystem = true;
    }
}

/* What these did not tell (they are missing in some captures), from an attribute each. */
static void
read_ids(Reading *reading)
{
    VrPciFunction *function = reading->function;
    uint64_t value = 0;
    bool was_told = reading->has_class && reading->has_vendor && reading->has_device;

    if (!reading->has_class && read_hex(reading, "class", 0xffffff, &value)) {
        function->class_code = (uint32_t) value;
        reading->has_class = true;
    }
    if (!reading->has_vendor && read_hex(reading, "vendor", UINT16_MAX, &value)) {
        function->vendor = (uint16_t) value;
        reading->has_vendor = true;
    }
    if (!reading->has_device && read_hex(reading, "device", UINT16_MAX, &value)) {
        function->device = (uint16_t) value;
        reading->has_device = true;
    }
    if (!was_told && !function->has_subsystem) {
        read_subsystem(reading);
    }
    /* The kernel shows 0000:0000 for a bridge that has none. */
    if (function->subsystem_vendor == 0 && function->subsystem_device == 0) {
        function->has_subsystem = false;
    }
    if (!reading->has_class || !reading->has_vendor || !reading->has_device) {
        g_autofree char *why =
            g_strdup_printf("%s: no class, vendor or device is told", reading->directory);
        note_unreadable(reading, VR_PCI_UNREADABLE_IDS, why);
    }
}

static void
read_group(Reading *reading)
{
    uint64_t group = 0;
    g_autofree char *name = read_link(reading, "iommu_group", VR_PCI_UNREADABLE_GROUP);

    if (name == NULL) {
        return;
    }
    if (!vr_text_to_uint(name, 0, G_MAXINT, &group)) {
        g_autofree char *why = g_strdup_printf("%s/iommu_group: leads to \"%s\", not to a number",
                                               reading->directory, name);
        note_unreadable(reading, VR_PCI_UNREADABLE_GROUP, why);
        return;
    }
    reading->function->group = (int) group;
}

static void
read_boot_vga(Reading *reading)
{
    g_autofree char *text = read_attribute(reading, "boot_vga", VR_PCI_UNREADABLE_BOOT_VGA);

    if (text == NULL) {
        return;
    }
    if (strcmp(text, "0") == 0 || strcmp(text, "1") == 0) {
        reading->function->boot_vga = text[0] == '1' ? VR_YES : VR_NO;
        return;
    }
    g_autofree char *why = g_strdup_printf("%s/boot_vga: neither 0 nor 1", reading->directory);
    note_unreadable(reading, VR_PCI_UNREADABLE_BOOT_VGA, why);
}

static void
read_revision(Reading *reading)
{
    uint64_t revision = 0;
    g_autofree char *path = g_strconcat(reading->directory, "/revision", NULL);
    g_autofree char *text = vr_sysroot_read_optional(reading->root, path);

    if (text != NULL && vr_text_to_hex(text, UINT8_MAX, &revision)) {
        reading->function->revision = (uint8_t) revision;
    }
}

/* "-1" is the kernel's word for "no node known". */
static void
read_node(Reading *reading)
{
    uint64_t node = 0;
    g_autofree char *path = g_strconcat(reading->directory, "/numa_node", NULL);
    g_autofree char *text = vr_sysroot_read_optional(reading->root, path);

    if (text != NULL && vr_text_to_uint(text, 0, G_MAXINT, &node)) {
        reading->function->numa_node = (int) node;
    }
}

/*
 * The directory of a function lies in that of the bridge above it:
 * /sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0. A capture may be flat: then nothing is told.
 */
static void
take_parent(Reading *reading)
{
    g_autofree char *above = g_path_get_dirname(reading->directory);
    const char *name = strrchr(above, '/');

    reading->function->has_parent =
        name != NULL && vr_pci_address_parse(name + 1, &reading->function->parent);
}

/* What only endpoints have. A virtual function is noted in `ownerships`. */
static void
read_endpoint(Reading *reading, GArray *ownerships)
{
    Ownership ownership = {.virtual_function = reading->function->address};
    g_autofree char *path = g_strconcat(reading->directory, "/physfn", NULL);
    g_autofree char *name = vr_sysroot_link_name(reading->root, path, NULL);

    reading->function->is_virtual = name != NULL;
    if (name != NULL && vr_pci_address_parse(name, &ownership.physical_function)) {
        g_array_append_val(ownerships, ownership);
    }
    read_node(reading);
    /* Not sriov_numvfs: reading it waits for the device's lock (drivers/pci/iov.c,
     * sriov_numvfs_show), which an unbind that hangs keeps. */
    if (vr_pci_function_is_display(reading->function)) {
        g_autofree char *first = g_strconcat(reading->directory, "/virtfn0", NULL);
        g_autofree char *target = vr_sysroot_link_name(reading->root, first, NULL);

        reading->function->virtual_functions = target != NULL ? 1 : 0;
    }
}

static void
read_all(Reading *reading, GArray *ownerships)
{
    VrPciFunction *function = reading->function;

    read_modalias(reading);
    if (!reading->has_class && !vr_sysroot_is_live(reading->root)) {
        read_uevent(reading);
    }
    read_ids(reading);
    read_revision(reading);
    read_group(reading);
    take_parent(reading);
    function->driver = read_link(reading, "driver", VR_PCI_UNREADABLE_DRIVER);
    if (vr_pci_function_is_display(function)) {
        read_boot_vga(reading);
    }
    if (!vr_pci_function_is_bridge(function)) {
        read_endpoint(reading, ownerships);
    }
    /* All ones is what a read from a device that does not answer brings; the kernel keeps what it
     * read when it found the device. */
    function->is_dead =
        (reading->has_vendor && function->vendor == 0xffff) || function->revision == 0xff;
}

/* One function; NULL if the name is no address. The directory is resolved once: every attribute
 * through the link of the bus would cost the kernel the whole way again. */
static VrPciFunction *
read_function(const VrSysroot *root, const char *name, GArray *ownerships)
{
    VrPciAddress address = {0};
    g_autofree char *link = g_strconcat(DEVICES "/", name, NULL);

    if (!vr_pci_address_parse(name, &address)) {
        return NULL;
    }

    g_autofree char *resolved = vr_sysroot_resolve(root, link, NULL);
    VrPciFunction *function = g_new0(VrPciFunction, 1);
    Reading reading = {
        .root = root,
        .directory = resolved != NULL ? resolved : link,
        .function = function,
    };

    function->address = address;
    function->group = -1;
    function->numa_node = -1;
    function->boot_vga = VR_UNKNOWN;
    read_all(&reading, ownerships);
    return function;
}

static gint
compare_functions(gconstpointer a, gconstpointer b)
{
    const VrPciFunction *first = *(const VrPciFunction *const *) a;
    const VrPciFunction *second = *(const VrPciFunction *const *) b;

    return vr_pci_address_compare(first->address, second->address);
}

/* The function that a virtual one belongs to; its slot's first if the capture lacks the one named.
 */
static VrPciFunction *
owner_of(const VrHostFacts *facts, const Ownership *ownership)
{
    VrPciAddress first = ownership->virtual_function;
    VrPciFunction *owner =
        (VrPciFunction *) vr_host_facts_function(facts, ownership->physical_function);

    first.function = 0;
    if (owner == NULL) {
        owner = (VrPciFunction *) vr_host_facts_function(facts, first);
    }
    return owner != NULL && !owner->is_virtual ? owner : NULL;
}

/* Each virtual function that is there counts for the one that it names. */
static void
count_virtual_functions(VrHostFacts *facts, const GArray *ownerships)
{
    g_autoptr(GHashTable) counts = g_hash_table_new(g_direct_hash, g_direct_equal);

    for (guint i = 0; i < ownerships->len; i++) {
        VrPciFunction *owner = owner_of(facts, &g_array_index(ownerships, Ownership, i));

        if (owner != NULL) {
            guint seen = GPOINTER_TO_UINT(g_hash_table_lookup(counts, owner)) + 1;

            g_hash_table_insert(counts, owner, GUINT_TO_POINTER(seen));
            owner->virtual_functions = MAX(owner->virtual_functions, seen);
        }
    }
}

void
vr_pci_devices_load(VrHostFacts *facts)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GArray) ownerships = g_array_new(FALSE, FALSE, sizeof(Ownership));
    g_autoptr(GPtrArray) names = vr_sysroot_list(facts->root, DEVICES, &error);

    if (names == NULL) {
        facts->functions_error = g_strdup(error->message);
        return;
    }
    for (guint i = 0; i < names->len; i++) {
        VrPciFunction *function =
            read_function(facts->root, g_ptr_array_index(names, i), ownerships);

        if (function != NULL) {
            g_ptr_array_add(facts->functions, function);
        }
    }
    g_ptr_array_sort(facts->functions, compare_functions);
    count_virtual_functions(facts, ownerships);
}

bool
vr_pci_address_in_path(const char *path, VrPciAddress *out_address)
{
    bool found = false;
    g_auto(GStrv) parts = g_strsplit(path, "/", -1);

    for (guint i = 0; parts[i] != NULL; i++) {
        /* With the domain only: the short form could be anything. */
        if (strlen(parts[i]) > strlen("01:00.0") && vr_pci_address_parse(parts[i], out_address)) {
            found = true;
        }
    }
    return found;
}
