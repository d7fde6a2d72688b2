/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/disk_facts.h>

#include "base/fd.h"
#include "host/process_scan.h"

#include <vmrun/error.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

/* What a disk is to the kernel, for comparing it with what processes have open. */
typedef struct {
    VrDiskFact *fact;
    dev_t rdev, device;
    ino_t inode;
} Target;

typedef struct {
    const VrSysroot *root;
    GArray *targets; /* Target */
} Search;

static void
disk_fact_free(gpointer data)
{
    VrDiskFact *fact = data;

    g_free(fact->resolved);
    g_free(fact->mounted_at);
    g_free(fact->used_by);
    g_free(fact->error);
    g_free(fact);
}

/* The kernel's name of a block device: "nvme0n1p2", "cciss!c0d0". */
static char *
block_name(const char *resolved)
{
    const char *below = g_str_has_prefix(resolved, "/dev/") ? resolved + strlen("/dev/") : resolved;

    return g_strdelimit(g_strdup(below), "/", '!');
}

/*
 * A claim of the kernel itself: mounted, swap, part of a volume (zfs, too, which leaves no trace in
 * sysfs). open(2): O_EXCL without O_CREAT on a block device fails with EBUSY then. O_NONBLOCK: no
 * tray moves, no medium is needed.
 */
static bool
is_claimed(const VrSysroot *root, const char *resolved)
{
    g_autoptr(GError) error = NULL;
    vr_autofd int fd = vr_sysroot_open(root, resolved, O_RDONLY | O_EXCL | O_NONBLOCK, &error);

    return fd < 0 && g_error_matches(error, VR_ERROR, VR_ERROR_DEVICE_BUSY);
}

/* A line of mountinfo: "36 35 98:0 /root /mnt rw - ext4 /dev/root rw" (proc(5)). */
static char *
mount_point_in_line(const VrSysroot *root, const char *line, const char *node)
{
    const char *mark = strstr(line, " - ");
    g_auto(GStrv) left = g_strsplit(line, " ", 6);
    g_auto(GStrv) right = g_strsplit(mark != NULL ? mark + 3 : "", " ", 3);

    if (g_strv_length(left) < 5 || g_strv_length(right) < 2 || right[1][0] != '/') {
        return NULL;
    }
    g_autofree char *source = g_strcompress(right[1]); /* blanks are written as \040 */
    g_autofree char *resolved = vr_sysroot_resolve(root, source, NULL);
    return g_strcmp0(resolved != NULL ? resolved : source, node) == 0 ? g_strcompress(left[4])
                                                                      : NULL;
}

/* Where a block device node is mounted, or that it is swap. NULL: neither. */
static char *
place_of_node(const VrSysroot *root, const char *node)
{
    g_autofree char *mounts = vr_sysroot_read_optional(root, "/proc/self/mountinfo");
    g_autofree char *swaps = vr_sysroot_read_optional(root, "/proc/swaps");
    g_auto(GStrv) mount_lines = g_strsplit(mounts != NULL ? mounts : "", "\n", -1);
    g_auto(GStrv) swap_lines = g_strsplit(swaps != NULL ? swaps : "", "\n", -1);

    for (guint i = 0; mount_lines[i] != NULL; i++) {
        g_autofree char *point = mount_point_in_line(root, mount_lines[i], node);
        if (point != NULL) {
            return g_strdup_printf("%s is mounted at %s", node, point);
        }
    }
    for (guint i = 0; swap_lines[i] != NULL; i++) {
        gsize length = strcspn(swap_lines[i], " \t");
        if (length == strlen(node) && strncmp(swap_lines[i], node, length) == 0) {
            return g_strdup_printf("%s is swap", node);
        }
    }
    return NULL;
}

/* "dm-0 (vg-root)", "md0": what is built on a block device. */
static char *
volume_on(const VrSysroot *root, const char *name)
{
    g_autofree char *directory = g_strdup_printf("/sys/class/block/%s/holders", name);
    g_autoptr(GPtrArray) holders = vr_sysroot_list(root, directory, NULL);

    if (holders == NULL || holders->len == 0) {
        return NULL;
    }
    const char *first = g_ptr_array_index(holders, 0);
    g_autofree char *attribute = g_strdup_printf("/sys/class/block/%s/dm/name", first);
    g_autofree char *label = vr_sysroot_read_optional(root, attribute);
    return label != NULL ? g_strdup_printf("%s is part of %s (%s)", name, first, label)
                         : g_strdup_printf("%s is part of %s", name, first);
}

static char *
place_of_block_device(const VrSysroot *root, const char *name)
{
    g_autofree char *node = g_strdup_printf("/dev/%s", name);
    char *place = place_of_node(root, g_strdelimit(node, "!", '/'));

    return place != NULL ? place : volume_on(root, name);
}

/* It, or the first of its partitions that is in use. */
static char *
place_of_disk(const VrSysroot *root, const char *name)
{
    char *place = place_of_block_device(root, name);
    g_autofree char *directory = g_strdup_printf("/sys/class/block/%s", name);
    g_autoptr(GPtrArray) entries = place == NULL ? vr_sysroot_list(root, directory, NULL) : NULL;

    for (guint i = 0; entries != NULL && place == NULL && i < entries->len; i++) {
        const char *entry = g_ptr_array_index(entries, i);
        g_autofree char *mark = g_strdup_printf("%s/%s/partition", directory, entry);
        if (g_str_has_prefix(entry, name) && vr_sysroot_exists(root, mark)) {
            place = place_of_block_device(root, entry);
        }
    }
    return place;
}

/* A loop device whose file this is: "loop0, mounted at /mnt". */
static char *
place_of_image(const VrSysroot *root, const char *resolved)
{
    g_autoptr(GPtrArray) names = vr_sysroot_list(root, "/sys/class/block", NULL);

    for (guint i = 0; names != NULL && i < names->len; i++) {
        const char *name = g_ptr_array_index(names, i);
        g_autofree char *attribute = g_strdup_printf("/sys/class/block/%s/loop/backing_file", name);
        g_autofree char *file =
            g_str_has_prefix(name, "loop") ? vr_sysroot_read_optional(root, attribute) : NULL;
        if (g_strcmp0(file, resolved) == 0) {
            g_autofree char *place = place_of_disk(root, name);
            return place != NULL
                       ? g_strdup_printf("it is behind loop device %s, and %s", name, place)
                       : g_strdup_printf("it is behind loop device %s", name);
        }
    }
    return NULL;
}

static bool
is_listed(const GPtrArray *paths, const char *path)
{
    for (guint i = 0; paths != NULL && i < paths->len; i++) {
        if (g_str_equal(g_ptr_array_index(paths, i), path)) {
            return true;
        }
    }
    return false;
}

static void
find_place(const VrHostFacts *facts, VrDiskFact *fact)
{
    if (fact->is_block) {
        g_autofree char *name = block_name(fact->resolved);
        fact->mounted_at = place_of_disk(facts->root, name);
    } else {
        fact->mounted_at = place_of_image(facts->root, fact->resolved);
    }
    if (fact->mounted_at == NULL && is_listed(facts->mounted, fact->resolved)) {
        fact->mounted_at = g_strdup("it is mounted, or swap");
    }
    if (fact->mounted_at == NULL && fact->is_block && vr_sysroot_is_live(facts->root) &&
        is_claimed(facts->root, fact->resolved)) {
        fact->mounted_at = g_strdup("the kernel has it in use (a file system, a volume or a pool)");
    }
}

/* Kind and numbers of the file; false when that cannot be told. */
static bool
look_at(const VrHostFacts *facts, VrDiskFact *fact, Target *target)
{
    g_autoptr(GError) error = NULL;
    vr_autofd int fd = vr_sysroot_open(facts->root, fact->disk->path, O_PATH, &error);
    struct stat found = {0};

    if (fd < 0 && g_error_matches(error, VR_ERROR, VR_ERROR_NOT_FOUND)) {
        return false;
    }
    if (fd < 0 || fstat(fd, &found) != 0) {
        fact->error = g_strdup(error != NULL ? error->message : g_strerror(errno));
        return false;
    }
    fact->exists = true;
    fact->resolved = vr_sysroot_resolve(facts->root, fact->disk->path, &error);
    if (fact->resolved == NULL) {
        fact->error = g_strdup(error->message);
        return false;
    }
    /* A recorded tree cannot hold device nodes: what it has below /dev stands for one. */
    fact->is_block = S_ISBLK(found.st_mode) || (!vr_sysroot_is_live(facts->root) &&
                                                g_str_has_prefix(fact->resolved, "/dev/"));
    fact->is_regular = S_ISREG(found.st_mode) && !fact->is_block;
    target->fact = fact;
    target->rdev = S_ISBLK(found.st_mode) ? found.st_rdev : 0;
    target->device = found.st_dev;
    target->inode = found.st_ino;
    return true;
}

static bool
is_same_file(const Target *target, const VrOpenFile *file)
{
    if (file->path != NULL) {
        return g_str_equal(file->path, target->fact->resolved);
    }
    if (target->rdev != 0) {
        return S_ISBLK(file->mode) && file->rdev == target->rdev;
    }
    return file->device == target->device && file->inode == target->inode;
}

static void
look_at_open_file(void *data, const VrOpenFile *file)
{
    const Search *search = data;

    for (guint i = 0; i < search->targets->len; i++) {
        const Target *target = &g_array_index(search->targets, Target, i);
        if (target->fact->used_by == NULL && is_same_file(target, file) &&
            vr_process_fd_can_write(search->root, file->pid, file->fd_name)) {
            g_autofree char *command = vr_process_command(search->root, file->pid);
            target->fact->used_by = g_strdup_printf("%s (pid %d)", command, file->pid);
        }
    }
}

static VrDiskFact *
load_one(const VrHostFacts *facts, const VrProfileDisk *disk, GArray *targets)
{
    VrDiskFact *fact = g_new0(VrDiskFact, 1);
    Target target = {0};

    fact->disk = disk;
    if (look_at(facts, fact, &target)) {
        int flags = O_RDONLY | O_NONBLOCK | O_NOCTTY;
        vr_autofd int fd = vr_sysroot_open(facts->root, disk->path, flags, NULL);
        fact->readable = fd >= 0;
        find_place(facts, fact);
        g_array_append_val(targets, target);
    }
    return fact;
}

GPtrArray *
vr_disk_facts_load(const VrHostFacts *facts, const VrProfile *profile)
{
    GPtrArray *disks = g_ptr_array_new_with_free_func(disk_fact_free);
    g_autoptr(GArray) targets = g_array_new(FALSE, FALSE, sizeof(Target));

    for (guint i = 0; i < profile->disks->len; i++) {
        g_ptr_array_add(disks, load_one(facts, g_ptr_array_index(profile->disks, i), targets));
    }
    if (targets->len > 0) {
        Search search = {.root = facts->root, .targets = targets};
        unsigned unreadable = vr_process_scan(facts->root, false, look_at_open_file, &search);
        for (guint i = 0; i < targets->len; i++) {
            g_array_index(targets, Target, i).fact->unreadable_processes = unreadable;
        }
    }
    return disks;
}
