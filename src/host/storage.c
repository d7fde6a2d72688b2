/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/host_facts_private.h"

#include <string.h>

enum { NESTING_LIMIT = 16 }; /* partition, RAID, LUKS, LVM, … */

/* A block device that something lies on: a file system, swap. */
typedef struct {
    char *path;  /* resolved, below /sys/devices */
    char *place; /* "/", "swap" */
} Used;

typedef struct {
    VrHostFacts *facts;
    GPtrArray *used;   /* Used, a device once */
    GPtrArray *leaves; /* char *: resolved paths of the devices that lie on hardware */
} Storage;

static void
used_free(gpointer data)
{
    Used *used = data;

    g_free(used->path);
    g_free(used->place);
    g_free(used);
}

static const char *
name_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash != NULL ? slash + 1 : path;
}

static void
add_mounted(VrHostFacts *facts, char *node)
{
    for (guint i = 0; i < facts->mounted->len; i++) {
        if (strcmp(g_ptr_array_index(facts->mounted, i), node) == 0) {
            g_free(node);
            return;
        }
    }
    g_ptr_array_add(facts->mounted, node);
}

/* A device that is mounted in many places (subvolumes, containers) is told by the shortest. */
static void
add_used(Storage *storage, char *path, const char *place)
{
    for (guint i = 0; i < storage->used->len; i++) {
        Used *known = g_ptr_array_index(storage->used, i);

        if (strcmp(known->path, path) == 0) {
            if (strlen(place) < strlen(known->place)) {
                g_free(known->place);
                known->place = g_strdup(place);
            }
            g_free(path);
            return;
        }
    }

    Used *used = g_new0(Used, 1);

    used->path = path;
    used->place = g_strdup(place);
    g_ptr_array_add(storage->used, used);
}

/* The device of a node: "/dev/mapper/vg-root" -> "/sys/devices/virtual/block/dm-0". NULL: none. */
static char *
block_of_node(const VrSysroot *root, const char *node)
{
    g_autofree char *resolved = vr_sysroot_resolve(root, node, NULL);
    g_autofree char *entry =
        g_strconcat("/sys/class/block/", name_of(resolved != NULL ? resolved : node), NULL);

    return g_str_has_prefix(node, "/dev/") ? vr_sysroot_resolve(root, entry, NULL) : NULL;
}

/* By number; file systems that have a number of their own (btrfs) name the node as source. */
static char *
block_of_mount(const VrSysroot *root, const char *numbers, const char *source)
{
    g_autofree char *entry = g_strconcat("/sys/dev/block/", numbers, NULL);
    char *path = g_str_has_prefix(numbers, "0:") || strchr(numbers, '/') != NULL
                     ? NULL
                     : vr_sysroot_resolve(root, entry, NULL);

    return path != NULL ? path : block_of_node(root, source);
}

/* "36 35 98:0 / /mnt rw,noatime master:1 - ext3 /dev/root rw" (Documentation/filesystems/proc.rst)
 */
static void
take_mount(Storage *storage, const char *line)
{
    const char *separator = strstr(line, " - ");
    g_auto(GStrv) head = g_strsplit(line, " ", 6);
    g_auto(GStrv) tail = g_strsplit(separator != NULL ? separator + strlen(" - ") : "", " ", 3);

    if (g_strv_length(head) < 6 || g_strv_length(tail) < 2) {
        return;
    }

    g_autofree char *source = g_strcompress(tail[1]); /* \040 is a blank */
    char *path = block_of_mount(storage->facts->root, head[2], source);

    if (path != NULL) {
        g_autofree char *place = g_strcompress(head[4]);

        add_used(storage, path, place);
    }
}

/* "/dev/sda2  partition  8388604  0  -2" below a line of headings. */
static void
take_swap(Storage *storage, const char *line)
{
    g_autofree char *escaped = g_strndup(line, strcspn(line, " \t"));
    g_autofree char *node = g_strcompress(escaped);

    if (node[0] != '/') {
        return;
    }

    char *path = block_of_node(storage->facts->root, node);
    if (path != NULL) {
        add_used(storage, path, "swap");
    } else {
        add_mounted(storage->facts, g_steal_pointer(&node));
    }
}

static void
take_lines(Storage *storage, const char *file, void (*take)(Storage *storage, const char *line))
{
    g_autofree char *text = vr_sysroot_read_optional(storage->facts->root, file);
    g_auto(GStrv) lines = g_strsplit(text != NULL ? text : "", "\n", -1);

    for (guint i = 0; lines[i] != NULL; i++) {
        take(storage, lines[i]);
    }
}

static void
add_leaf(Storage *storage, const Used *used, const char *path, VrPciAddress address)
{
    g_ptr_array_add(storage->leaves, g_strdup(path));
    vr_host_facts_add_use(storage->facts, address,
                          g_strdup_printf("%s (%s)", used->place, name_of(path)), true);
}

/*
 * An NVMe namespace of a subsystem with several paths hangs on no PCI function itself; the
 * controllers beside it do (drivers/nvme/host/multipath.c).
 */
static void
follow_subsystem(Storage *storage, const Used *used, const char *path)
{
    const char *mark = strstr(path, "/nvme-subsystem/");
    size_t length = 0;

    if (mark == NULL) {
        return;
    }
    length = (size_t) (mark - path) + strlen("/nvme-subsystem/");
    length += strcspn(path + length, "/");

    g_autofree char *subsystem = g_strndup(path, length);
    g_autoptr(GPtrArray) entries = vr_sysroot_list(storage->facts->root, subsystem, NULL);

    for (guint i = 0; entries != NULL && i < entries->len; i++) {
        VrPciAddress address = {0};
        const char *entry = g_ptr_array_index(entries, i);
        g_autofree char *link = g_strconcat(subsystem, "/", entry, NULL);
        g_autofree char *controller = g_str_has_prefix(entry, "nvme")
                                          ? vr_sysroot_resolve(storage->facts->root, link, NULL)
                                          : NULL;

        if (controller != NULL && vr_pci_address_in_path(controller, &address)) {
            add_leaf(storage, used, path, address);
        }
    }
}

/* Down from a device to the hardware: through RAID, LVM, LUKS (their "slaves"), and partitions. */
static void
follow(Storage *storage, const Used *used, const char *path, int depth)
{
    VrPciAddress address = {0};
    const VrSysroot *root = storage->facts->root;

    add_mounted(storage->facts, g_strconcat("/dev/", name_of(path), NULL));
    if (vr_pci_address_in_path(path, &address)) {
        add_leaf(storage, used, path, address);
        return;
    }
    follow_subsystem(storage, used, path);

    g_autofree char *directory = g_strconcat(path, "/slaves", NULL);
    g_autoptr(GPtrArray) slaves =
        depth < NESTING_LIMIT ? vr_sysroot_list(root, directory, NULL) : NULL;
    for (guint i = 0; slaves != NULL && i < slaves->len; i++) {
        g_autofree char *link = g_strconcat(directory, "/", g_ptr_array_index(slaves, i), NULL);
        g_autofree char *below = vr_sysroot_resolve(root, link, NULL);

        if (below != NULL) {
            follow(storage, used, below, depth + 1);
        }
    }

    g_autofree char *partition = g_strconcat(path, "/partition", NULL);
    if (depth < NESTING_LIMIT && vr_sysroot_exists(root, partition)) {
        g_autofree char *whole = g_path_get_dirname(path);

        follow(storage, used, whole, depth + 1);
    }

    g_autofree char *backing = g_strconcat(path, "/loop/backing_file", NULL);
    g_autofree char *file = vr_sysroot_read_optional(root, backing);
    if (file != NULL && file[0] == '/') {
        add_mounted(storage->facts, g_steal_pointer(&file));
    }
}

static bool
is_in_use(const Storage *storage, const char *disk)
{
    for (guint i = 0; i < storage->leaves->len; i++) {
        const char *leaf = g_ptr_array_index(storage->leaves, i);

        if (g_str_has_prefix(leaf, disk) && strchr("/", leaf[strlen(disk)]) != NULL) {
            return true;
        }
    }
    return false;
}

/* Disks with nothing mounted are a use, too, if no critical one. */
static void
add_idle_disks(Storage *storage)
{
    const VrSysroot *root = storage->facts->root;
    g_autoptr(GPtrArray) names = vr_sysroot_list(root, "/sys/block", NULL);

    for (guint i = 0; names != NULL && i < names->len; i++) {
        VrPciAddress address = {0};
        const char *name = g_ptr_array_index(names, i);
        g_autofree char *entry = g_strconcat("/sys/block/", name, NULL);
        g_autofree char *path = vr_sysroot_resolve(root, entry, NULL);

        if (path != NULL && vr_pci_address_in_path(path, &address) && !is_in_use(storage, path)) {
            vr_host_facts_add_use(storage->facts, address,
                                  g_strdup_printf("disk %s, not mounted", name), false);
        }
    }
}

void
vr_storage_load(VrHostFacts *facts)
{
    g_autoptr(GPtrArray) used = g_ptr_array_new_with_free_func(used_free);
    g_autoptr(GPtrArray) leaves = g_ptr_array_new_with_free_func(g_free);
    Storage storage = {.facts = facts, .used = used, .leaves = leaves};

    take_lines(&storage, "/proc/self/mountinfo", take_mount);
    take_lines(&storage, "/proc/swaps", take_swap);
    for (guint i = 0; i < used->len; i++) {
        const Used *one = g_ptr_array_index(used, i);

        follow(&storage, one, one->path, 0);
    }
    add_idle_disks(&storage);
}
