/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/process_scan.h"

#include "base/fd.h"

#include <vmrun/error.h>
#include <vmrun/process.h>
#include <vmrun/text.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

enum {
    KERNEL_THREAD_FLAG = 0x00200000, /* PF_KTHREAD, include/linux/sched.h */
    MAPS_LIMIT_BYTES = 32 * 1024 * 1024,
    ARGUMENTS_LIMIT_BYTES = 256 * 1024,
};

typedef struct {
    const VrSysroot *root;
    bool live;
    bool mappings;
    VrOpenFileVisitor visit;
    void *data;
    unsigned unreadable;
} Scan;

/*
 * The numbers behind a link of /proc/PID/fd or map_files. AT_STATX_DONT_SYNC: a file on a network
 * file system whose server is gone must not stop us.
 */
static bool
identify(int directory, const char *name, VrOpenFile *file)
{
    struct statx found = {0};
    int flags = AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT;

    if (statx(directory, name, flags, STATX_TYPE | STATX_INO, &found) != 0) {
        return false;
    }
    file->mode = found.stx_mode;
    file->rdev = makedev(found.stx_rdev_major, found.stx_rdev_minor);
    file->device = makedev(found.stx_dev_major, found.stx_dev_minor);
    file->inode = found.stx_ino;
    return true;
}

static void
show_descriptor(Scan *scan, int pid, int directory, const char *name)
{
    VrOpenFile file = {.pid = pid, .fd_name = name};
    char target[4096] = "";

    if (scan->live) {
        if (identify(directory, name, &file)) {
            scan->visit(scan->data, &file);
        }
    } else if (readlinkat(directory, name, target, sizeof target - 1) > 0) {
        file.path = target;
        scan->visit(scan->data, &file);
    }
}

static bool
is_number(const char *name)
{
    return name[0] != '\0' && name[strspn(name, "0123456789")] == '\0';
}

/* State and flags of /proc/PID/stat, counted from the last ')' (proc(5)). */
static bool
read_state(const Scan *scan, int pid, char *out_state, uint64_t *out_flags)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/stat", pid);
    g_autofree char *text = vr_sysroot_read_optional(scan->root, path);
    const char *rest = text != NULL ? strrchr(text, ')') : NULL;

    if (rest == NULL || rest[1] != ' ') {
        return false;
    }
    g_auto(GStrv) fields = g_strsplit(rest + 2, " ", 8);
    if (g_strv_length(fields) < 7 || !vr_text_to_uint(fields[6], 0, UINT64_MAX, out_flags)) {
        return false;
    }
    *out_state = fields[0][0];
    return true;
}

/* A process whose files are closed to us, unless it has none or is gone. */
static void
count_unreadable(Scan *scan, int pid)
{
    char state = 0;
    uint64_t flags = 0;

    if (read_state(scan, pid, &state, &flags) &&
        ((flags & KERNEL_THREAD_FLAG) != 0 || strchr("ZXx", state) != NULL)) {
        return;
    }
    scan->unreadable++;
}

/* False: nothing more can be learnt about this process. */
static bool
scan_descriptors(Scan *scan, int pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/fd", pid);
    g_autoptr(GError) error = NULL;
    vr_autofd int fd = vr_sysroot_open(scan->root, path, O_RDONLY | O_DIRECTORY, &error);

    if (fd < 0) {
        if (g_error_matches(error, VR_ERROR, VR_ERROR_DENIED)) {
            count_unreadable(scan, pid);
        }
        return false;
    }
    DIR *directory = fdopendir(fd);
    if (directory == NULL) {
        return false;
    }
    int stream_fd = vr_fd_steal(&fd);
    const struct dirent *entry = NULL;
    while ((entry = readdir(directory)) != NULL) {
        if (is_number(entry->d_name)) {
            show_descriptor(scan, pid, stream_fd, entry->d_name);
        }
    }
    closedir(directory);
    return true;
}

/* "7f0c…-7f0d… rw-s 00010000 00:05 412    /dev/dri/card1" */
static void
show_mapping(Scan *scan, int pid, int map_files, const char *line, const char *line_end)
{
    const char *name_end = memchr(line, ' ', (size_t) (line_end - line));
    const char *path = memchr(line, '/', (size_t) (line_end - line));
    VrOpenFile file = {.pid = pid};

    if (name_end == NULL || path == NULL) {
        return;
    }
    g_autofree char *range = g_strndup(line, (gsize) (name_end - line));
    g_autofree char *target = g_strndup(path, (gsize) (line_end - path));
    if (scan->live && identify(map_files, range, &file)) {
        scan->visit(scan->data, &file);
    } else {
        file.path = target;
        scan->visit(scan->data, &file);
    }
}

static void
show_mappings(Scan *scan, int pid, const char *text, size_t size_bytes)
{
    static const char wanted[] = " /dev/";
    g_autofree char *path = g_strdup_printf("/proc/%d/map_files", pid);
    vr_autofd int map_files = -1;
    const char *end = text + size_bytes;
    const char *hit = memmem(text, size_bytes, wanted, strlen(wanted));

    if (hit != NULL && scan->live) {
        map_files = vr_sysroot_open(scan->root, path, O_RDONLY | O_DIRECTORY, NULL);
    }
    while (hit != NULL) {
        const char *line = memrchr(text, '\n', (size_t) (hit - text));
        const char *line_end = memchr(hit, '\n', (size_t) (end - hit));
        line = line != NULL ? line + 1 : text;
        line_end = line_end != NULL ? line_end : end;
        show_mapping(scan, pid, map_files, line, line_end);
        hit = memmem(line_end, (size_t) (end - line_end), wanted, strlen(wanted));
    }
}

/*
 * A mapping outlives its descriptor. Reading maps waits for the process's memory lock, which a
 * process that hangs in the kernel may hold: one in state D is counted as not readable instead.
 */
static void
scan_mappings(Scan *scan, int pid)
{
    char state = 0;
    uint64_t flags = 0;

    if (!read_state(scan, pid, &state, &flags) || (flags & KERNEL_THREAD_FLAG) != 0) {
        return;
    }
    if (state == 'D') {
        scan->unreadable++;
        return;
    }
    g_autofree char *path = g_strdup_printf("/proc/%d/maps", pid);
    g_autoptr(GBytes) maps = vr_sysroot_read_bytes(scan->root, path, MAPS_LIMIT_BYTES, NULL);
    if (maps != NULL && g_bytes_get_size(maps) > 0) {
        show_mappings(scan, pid, g_bytes_get_data(maps, NULL), g_bytes_get_size(maps));
    }
}

unsigned
vr_process_scan(const VrSysroot *root, bool mappings, VrOpenFileVisitor visit, void *data)
{
    Scan scan = {.root = root,
                 .live = vr_sysroot_is_live(root),
                 .mappings = mappings,
                 .visit = visit,
                 .data = data};
    g_autoptr(GPtrArray) names = vr_sysroot_list(root, "/proc", NULL);

    for (guint i = 0; names != NULL && i < names->len; i++) {
        uint64_t pid = 0;
        if (!vr_text_to_uint(g_ptr_array_index(names, i), 1, INT32_MAX, &pid)) {
            continue;
        }
        if (scan_descriptors(&scan, (int) pid) && mappings) {
            scan_mappings(&scan, (int) pid);
        }
    }
    return scan.unreadable;
}

bool
vr_process_fd_can_write(const VrSysroot *root, int pid, const char *fd_name)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/fdinfo/%s", pid, fd_name);
    g_autofree char *text = vr_sysroot_read_optional(root, path);
    const char *flags = text != NULL ? strstr(text, "flags:") : NULL;

    if (flags == NULL) {
        return true;
    }
    /* proc(5): the flags of open(2), in octal. */
    return (strtoul(flags + strlen("flags:"), NULL, 8) & O_ACCMODE) != O_RDONLY;
}

char *
vr_process_command(const VrSysroot *root, int pid)
{
    /* Not cmdline: reading it waits for the process's memory lock. */
    g_autofree char *path = g_strdup_printf("/proc/%d/comm", pid);
    g_autofree char *text = vr_sysroot_read_optional(root, path);

    return text != NULL && text[0] != '\0' ? vr_text_printable(text) : g_strdup("?");
}

/* QEMU's arguments tell which domain it is. */
static bool
is_qemu_of(const VrSysroot *root, int pid, const char *command, const char *uuid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/cmdline", pid);
    if (uuid == NULL || !g_str_has_prefix(command, "qemu")) {
        return false;
    }
    g_autoptr(GBytes) arguments = vr_sysroot_read_bytes(root, path, ARGUMENTS_LIMIT_BYTES, NULL);
    gsize size_bytes = 0;
    const char *text = arguments != NULL ? g_bytes_get_data(arguments, &size_bytes) : NULL;
    return text != NULL && memmem(text, size_bytes, uuid, strlen(uuid)) != NULL;
}

/* A daemon, or the worker that a dead supervisor left with the embedded driver. */
static bool
can_create_domains(const char *command)
{
    static const char *const names[] = {"libvirtd", "virtqemud", "vmrun-worker", NULL};
    return g_strv_contains(names, command);
}

void
vr_process_find_domain(const VrSysroot *root, const char *uuid, int supervisor, int *out_pid,
                       bool *out_creator)
{
    g_autoptr(GPtrArray) names = vr_sysroot_list(root, "/proc", NULL);
    *out_pid = 0;
    *out_creator = false;
    for (guint i = 0; names != NULL && i < names->len; i++) {
        uint64_t pid = 0;
        if (!vr_text_to_uint(g_ptr_array_index(names, i), 1, G_MAXINT, &pid)) {
            continue;
        }
        g_autofree char *command = vr_process_command(root, (int) pid);
        if (is_qemu_of(root, (int) pid, command, uuid)) {
            *out_pid = (int) pid;
        }
        *out_creator = *out_creator || (can_create_domains(command) &&
                                        vr_process_parent(root, (int) pid) != supervisor);
    }
}

static bool
is_container_id(const char *text)
{
    return strlen(text) >= 64 && strspn(text, "0123456789abcdef") >= 64;
}

/* "docker-0123….scope", "libpod-….scope", "0123…", "lxc.payload.web" -> "container 0123456789ab",
 * "container web". */
static char *
container_of(const char *component)
{
    static const char *const lxc[] = {"lxc.payload.", "lxc.monitor."};
    const char *id = strrchr(component, '-');

    for (guint i = 0; i < G_N_ELEMENTS(lxc); i++) {
        if (g_str_has_prefix(component, lxc[i])) {
            return g_strdup_printf("container %s", component + strlen(lxc[i]));
        }
    }
    id = id != NULL ? id + 1 : component;
    return is_container_id(id) ? g_strdup_printf("container %.12s", id) : NULL;
}

static bool
is_unit(const char *component)
{
    return g_str_has_suffix(component, ".service") || g_str_has_suffix(component, ".scope");
}

/* The number in "user@1000.service" or "user-1000.slice", or NULL. */
static char *
user_of(char **components)
{
    for (guint i = 0; components[i] != NULL; i++) {
        const char *number = g_str_has_prefix(components[i], "user@")   ? components[i] + 5
                             : g_str_has_prefix(components[i], "user-") ? components[i] + 5
                                                                        : "";
        size_t digits = strspn(number, "0123456789");
        if (digits > 0) {
            return g_strndup(number, digits);
        }
    }
    return NULL;
}

static char *
unit_of(const char *cgroup)
{
    g_auto(GStrv) components = g_strsplit(cgroup, "/", -1);
    const char *unit = NULL;

    for (guint i = 0; components[i] != NULL; i++) {
        /* Outermost first: what a container calls its units is its own affair. */
        char *container = container_of(components[i]);
        if (container != NULL) {
            return container;
        }
        unit = is_unit(components[i]) ? components[i] : unit;
    }
    if (unit == NULL) {
        return NULL;
    }
    g_autofree char *user = user_of(components);
    return user != NULL ? g_strdup_printf("%s (user %s)", unit, user) : g_strdup(unit);
}

char *
vr_process_unit_from_cgroup(const char *text)
{
    static const char *const marks[] = {"0::", "name=systemd:"}; /* cgroups(7): version 2, 1 */
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

    for (guint mark = 0; mark < G_N_ELEMENTS(marks); mark++) {
        for (guint i = 0; lines[i] != NULL; i++) {
            const char *found = strstr(lines[i], marks[mark]);
            char *unit = found != NULL ? unit_of(found + strlen(marks[mark])) : NULL;
            if (unit != NULL) {
                return unit;
            }
        }
    }
    return NULL;
}

char *
vr_process_unit(const VrSysroot *root, int pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/cgroup", pid);
    g_autofree char *text = vr_sysroot_read_optional(root, path);
    g_autofree char *unit = text != NULL ? vr_process_unit_from_cgroup(text) : NULL;

    return unit != NULL ? vr_text_printable(unit) : NULL;
}
