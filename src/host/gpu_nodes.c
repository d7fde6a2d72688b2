/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/gpu_nodes.h"

#include "base/fd.h"

#include <vmrun/text.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

enum {
    /* usbN/1-1/1-1.4/1-1.4:1.0/0003:…/input/inputN/eventN below a controller is 8 deep; hubs may
     * nest five times (USB 2.0, 4.1.1). */
    DEPTH_LIMIT = 24,
    ATTRIBUTE_LIMIT_BYTES = 4096,
    NVIDIA_MAJOR = 195,        /* Documentation/admin-guide/devices.txt */
    NVIDIA_CARD_MINORS = 254,  /* 254 is nvidia-modeset, 255 nvidiactl: of no card in particular */
    USB_DEVICES_PER_BUS = 128, /* drivers/usb/core/usb.c: minor = (bus - 1) * 128 + device - 1 */
};

typedef struct {
    VrPciAddress device;
    GPtrArray *nodes;
    GString *path; /* of the directory that is looked at */
} Walk;

void
vr_device_node_free(VrDeviceNode *node)
{
    if (node != NULL) {
        g_free(node->path);
        g_free(node);
    }
}

static VrDeviceNode *
add_node(GPtrArray *nodes, VrPciAddress device, VrHolderKind kind, char *path)
{
    VrDeviceNode *node = g_new0(VrDeviceNode, 1);

    node->device = device;
    node->kind = kind;
    node->path = path;
    g_ptr_array_add(nodes, node);
    return node;
}

/* "226:1" of an attribute dev. */
static bool
set_numbers(VrDeviceNode *node, const char *text)
{
    g_auto(GStrv) parts = g_strsplit(text != NULL ? text : "", ":", 2);
    uint64_t major = 0, minor = 0;

    if (g_strv_length(parts) != 2 || !vr_text_to_uint(parts[0], 0, UINT32_MAX, &major) ||
        !vr_text_to_uint(parts[1], 0, UINT32_MAX, &minor)) {
        return false;
    }
    node->major = (unsigned) major;
    node->minor = (unsigned) minor;
    node->has_numbers = true;
    return true;
}

static char *
read_attribute(int directory, const char *name)
{
    vr_autofd int fd = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    g_autoptr(GBytes) bytes =
        fd >= 0 ? vr_fd_read_all(fd, name, ATTRIBUTE_LIMIT_BYTES, true, NULL) : NULL;

    if (bytes == NULL || g_bytes_get_size(bytes) == 0) {
        return NULL;
    }
    return g_strchomp(g_strndup(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes)));
}

/* The kernel's own name of the node, DEVNAME= in uevent. */
static char *
node_path_from_uevent(int directory)
{
    g_autofree char *text = read_attribute(directory, "uevent");
    g_auto(GStrv) lines = g_strsplit(text != NULL ? text : "", "\n", -1);

    for (guint i = 0; lines[i] != NULL; i++) {
        if (g_str_has_prefix(lines[i], "DEVNAME=")) {
            return g_strdup_printf("/dev/%s", lines[i] + strlen("DEVNAME="));
        }
    }
    return NULL;
}

/* Without uevent (recorded trees): from the place in sysfs. */
static char *
node_path_from_place(const Walk *walk, const VrDeviceNode *node)
{
    static const struct {
        const char *place, *directory;
    } places[] = {{"/drm/", "dri/"}, {"/sound/", "snd/"}, {"/input/", "input/"}};
    const char *name = strrchr(walk->path->str, '/') + 1;

    if (strstr(walk->path->str, "/usb") != NULL && node->major == 189) {
        return g_strdup_printf("/dev/bus/usb/%03u/%03u", node->minor / USB_DEVICES_PER_BUS + 1,
                               node->minor % USB_DEVICES_PER_BUS + 1);
    }
    for (guint i = 0; i < G_N_ELEMENTS(places); i++) {
        /* hidraw and drm_dp_aux hang below those as well, but live in /dev itself. */
        if (strstr(walk->path->str, places[i].place) != NULL && !g_str_has_prefix(name, "hidraw") &&
            !g_str_has_prefix(name, "drm_dp_aux") && !g_str_has_prefix(name, "i2c-")) {
            return g_strdup_printf("/dev/%s%s", places[i].directory, name);
        }
    }
    return g_strdup_printf("/dev/%s", name);
}

static void
add_node_here(Walk *walk, int directory)
{
    g_autofree char *numbers = read_attribute(directory, "dev");
    VrDeviceNode *node = add_node(walk->nodes, walk->device, VR_HOLDER_PROCESS, NULL);

    if (!set_numbers(node, numbers)) {
        g_ptr_array_remove(walk->nodes, node);
        return;
    }
    node->is_block = strstr(walk->path->str, "/block/") != NULL;
    node->path = node_path_from_uevent(directory);
    if (node->path == NULL) {
        node->path = node_path_from_place(walk, node);
    }
    if (g_str_has_prefix(node->path, "/dev/input/")) {
        node->kind = VR_HOLDER_INPUT;
    } else if (g_str_has_prefix(node->path, "/dev/vfio/")) {
        node->kind = VR_HOLDER_VFIO;
    }
}

static bool
is_directory(int parent, const struct dirent *entry)
{
    struct stat found = {0};

    if (entry->d_type != DT_UNKNOWN) {
        return entry->d_type == DT_DIR;
    }
    return fstatat(parent, entry->d_name, &found, AT_SYMLINK_NOFOLLOW) == 0 &&
           S_ISDIR(found.st_mode);
}

/* Devices behind a bridge are functions of their own; the others hold no nodes, and are many. */
static bool
is_passed_over(const char *name)
{
    VrPciAddress address = {0};

    return name[0] == '.' || g_str_equal(name, "power") || g_str_equal(name, "msi_irqs") ||
           vr_pci_address_parse(name, &address);
}

static void walk_below(Walk *walk, int parent, const char *name, unsigned depth);

static void
walk_entries(Walk *walk, DIR *directory, unsigned depth)
{
    const struct dirent *entry = NULL;

    while ((entry = readdir(directory)) != NULL) {
        if (g_str_equal(entry->d_name, "dev")) {
            add_node_here(walk, dirfd(directory));
        } else if (!is_passed_over(entry->d_name) && is_directory(dirfd(directory), entry)) {
            walk_below(walk, dirfd(directory), entry->d_name, depth + 1);
        }
    }
}

static void
walk_below(Walk *walk, int parent, const char *name, unsigned depth)
{
    vr_autofd int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *directory = fd >= 0 && depth <= DEPTH_LIMIT ? fdopendir(fd) : NULL;
    gsize length = walk->path->len;

    if (directory == NULL) {
        return;
    }
    vr_fd_steal(&fd); /* closedir() closes it */
    g_string_append_printf(walk->path, "/%s", name);
    walk_entries(walk, directory, depth);
    g_string_truncate(walk->path, length);
    closedir(directory);
}

static void
add_nodes_below(const VrSysroot *root, VrPciAddress address, GPtrArray *nodes)
{
    g_autofree char *text = vr_pci_address_format(address);
    g_autofree char *path = g_strdup_printf("/sys/bus/pci/devices/%s", text);
    vr_autofd int fd = vr_sysroot_open(root, path, O_RDONLY | O_DIRECTORY, NULL);

    if (fd >= 0) {
        g_autoptr(GString) place = g_string_new(path);
        Walk walk = {.device = address, .nodes = nodes, .path = place};
        walk_below(&walk, fd, ".", 0);
    }
}

/* "Device Minor: \t 0" in what the driver tells about a card. */
static bool
read_nvidia_minor(const VrSysroot *root, VrPciAddress address, unsigned *out_minor)
{
    g_autofree char *name = vr_pci_address_format(address);
    g_autofree char *path = g_strdup_printf("/proc/driver/nvidia/gpus/%s/information", name);
    g_autofree char *text = vr_sysroot_read_optional(root, path);
    const char *label = "Device Minor:";
    char *found = text != NULL ? strstr(text, label) : NULL;
    uint64_t minor = 0;

    if (found == NULL) {
        return false;
    }
    found += strlen(label);
    found[strcspn(found, "\n")] = '\0';
    if (!vr_text_to_uint(g_strstrip(found), 0, NVIDIA_CARD_MINORS - 1, &minor)) {
        return false;
    }
    *out_minor = (unsigned) minor;
    return true;
}

/*
 * The proprietary driver's node is not below the device. nvidiactl and nvidia-uvm are left out:
 * every program that links CUDA has them, whichever card it uses.
 */
static void
add_nvidia_node(const VrSysroot *root, VrPciAddress address, GPtrArray *nodes)
{
    VrDeviceNode *node = add_node(nodes, address, VR_HOLDER_PROCESS, NULL);

    node->major = NVIDIA_MAJOR;
    node->has_numbers = true;
    node->any_minor = !read_nvidia_minor(root, address, &node->minor);
    node->path =
        node->any_minor ? g_strdup("/dev/nvidia*") : g_strdup_printf("/dev/nvidia%u", node->minor);
}

static void
add_class_node(const VrSysroot *root, VrDeviceNode *node, const char *attribute)
{
    g_autofree char *numbers = vr_sysroot_read_optional(root, attribute);

    set_numbers(node, numbers);
}

static void
add_nodes_of(const VrSysroot *root, const VrPciFunction *function, GPtrArray *nodes)
{
    add_nodes_below(root, function->address, nodes);
    if (g_strcmp0(function->driver, "nvidia") == 0 && vr_pci_function_is_display(function)) {
        add_nvidia_node(root, function->address, nodes);
    }
    if (g_strcmp0(function->driver, "amdgpu") == 0) {
        VrDeviceNode *node =
            add_node(nodes, function->address, VR_HOLDER_PROCESS, g_strdup("/dev/kfd"));
        add_class_node(root, node, "/sys/class/kfd/kfd/dev");
    }
    if (function->group >= 0) {
        VrDeviceNode *node = add_node(nodes, function->address, VR_HOLDER_VFIO,
                                      g_strdup_printf("/dev/vfio/%d", function->group));
        g_autofree char *attribute = g_strdup_printf("/sys/class/vfio/%d/dev", function->group);
        add_class_node(root, node, attribute);
    }
}

GPtrArray *
vr_device_nodes_below(const VrSysroot *root, VrPciAddress address)
{
    GPtrArray *nodes = g_ptr_array_new_with_free_func((GDestroyNotify) vr_device_node_free);

    add_nodes_below(root, address, nodes);
    return nodes;
}

GPtrArray *
vr_device_nodes_find(const VrSysroot *root, const GPtrArray *functions)
{
    GPtrArray *nodes = g_ptr_array_new_with_free_func((GDestroyNotify) vr_device_node_free);

    for (guint i = 0; i < functions->len; i++) {
        add_nodes_of(root, g_ptr_array_index(functions, i), nodes);
    }
    return nodes;
}

char *
vr_device_node_to_text(const VrDeviceNode *node)
{
    g_autofree char *address = vr_pci_address_format(node->device);
    g_autofree char *minor = node->any_minor ? g_strdup("*") : g_strdup_printf("%u", node->minor);
    g_autofree char *numbers =
        node->has_numbers ? g_strdup_printf("%u:%s", node->major, minor) : g_strdup("-");
    g_autofree char *path = g_utf8_make_valid(node->path, -1);

    return g_strdup_printf("%s %d %c %s %s", address, (int) node->kind, node->is_block ? 'b' : 'c',
                           numbers, path);
}

static bool
take_numbers(VrDeviceNode *node, const char *numbers)
{
    g_autofree char *first = g_strdup(numbers);

    if (g_str_equal(numbers, "-")) {
        return true;
    }
    node->any_minor = g_str_has_suffix(first, ":*");
    if (node->any_minor) {
        first[strlen(first) - 1] = '0';
    }
    return set_numbers(node, first);
}

VrDeviceNode *
vr_device_node_from_text(const char *text)
{
    VrDeviceNode *node = g_new0(VrDeviceNode, 1);
    g_auto(GStrv) parts = g_strsplit(text, " ", 5);
    uint64_t kind = 0;

    if (g_strv_length(parts) != 5 || !vr_pci_address_parse(parts[0], &node->device) ||
        !vr_text_to_uint(parts[1], 0, VR_HOLDER_VFIO, &kind) || strlen(parts[2]) != 1 ||
        strchr("bc", parts[2][0]) == NULL || !take_numbers(node, parts[3]) || parts[4][0] != '/') {
        vr_device_node_free(node);
        return NULL;
    }
    node->kind = (VrHolderKind) kind;
    node->is_block = parts[2][0] == 'b';
    node->path = g_strdup(parts[4]);
    return node;
}

static bool
matches_name(const VrDeviceNode *node, const char *path)
{
    uint64_t minor = 0;

    if (!node->any_minor) {
        return g_str_equal(node->path, path);
    }
    return g_str_has_prefix(path, "/dev/nvidia") &&
           vr_text_to_uint(path + strlen("/dev/nvidia"), 0, NVIDIA_CARD_MINORS - 1, &minor);
}

bool
vr_device_node_matches(const VrDeviceNode *node, const VrOpenFile *file)
{
    if (file->path != NULL) {
        return matches_name(node, file->path);
    }
    if (!node->has_numbers || (node->is_block ? !S_ISBLK(file->mode) : !S_ISCHR(file->mode)) ||
        major(file->rdev) != node->major) {
        return false;
    }
    return node->any_minor ? minor(file->rdev) < NVIDIA_CARD_MINORS
                           : minor(file->rdev) == node->minor;
}
