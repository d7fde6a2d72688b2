/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One pass over the open files and the mapped device nodes of all processes.
 */
#pragma once

#include <vmrun/sysroot.h>

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

/*
 * A file that a process holds. On the running system it is known by its numbers, because names lie:
 * containers have their own /dev, and nodes are renamed. In a recorded tree only the name is there.
 */
typedef struct {
    int pid;
    const char *fd_name; /* "5"; NULL: a mapping */
    const char *path;    /* recorded trees, else NULL */
    mode_t mode;         /* running system: file type */
    dev_t rdev;          /* of a device node */
    dev_t device;        /* where the file itself is */
    ino_t inode;
} VrOpenFile;

typedef void (*VrOpenFileVisitor)(void *data, const VrOpenFile *file);

/*
 * Show every open file, and with `mappings` every mapped device node, to `visit`. Returns how many
 * processes could not be looked into; kernel threads and processes that end meanwhile are not
 * counted.
 */
unsigned vr_process_scan(const VrSysroot *root, bool mappings, VrOpenFileVisitor visit, void *data);

/* May the process write through this descriptor? True when it cannot be told. */
bool vr_process_fd_can_write(const VrSysroot *root, int pid, const char *fd_name);

/*
 * What the kernel knows of a domain where libvirt does not answer: *out_pid, its QEMU, 0: none;
 * *out_creator: a process lives that could create it; workers of `supervisor` and itself are not
 * meant. `uuid` may be NULL. Reads the arguments of every QEMU, which waits for its memory's lock:
 * not for a process that must not block.
 */
void vr_process_find_domain(const VrSysroot *root, const char *uuid, int supervisor, int *out_pid,
                            bool *out_creator);

/* Name of the program as the kernel keeps it, printable. Never NULL. */
char *vr_process_command(const VrSysroot *root, int pid);

/*
 * The systemd unit ("nvidia-persistenced.service"), a unit of somebody's own session
 * ("app-x.scope (user 1000)") or a container ("container 0123456789ab") that it belongs to. NULL:
 * not known.
 */
char *vr_process_unit(const VrSysroot *root, int pid);

/* The same from the text of /proc/PID/cgroup. Pure. */
char *vr_process_unit_from_cgroup(const char *text);
