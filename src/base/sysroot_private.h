/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The seams of a VrSysroot for tests and for `vmrun capture`. Nothing else includes this.
 */
#pragma once

#include <vmrun/sysroot.h>

#include <glib.h>
#include <stdbool.h>

/*
 * Stands in for the write(2) of vr_sysroot_write(): `path` is the path as the caller gave it. False
 * with an error set by vr_error_set_errno() is what the kernel would have answered. The hook may
 * use the root itself (read, or change files of the tree by other means).
 */
typedef bool (*VrSysrootWriteHook)(void *data, const char *path, const char *text, GError **error);

/* `hook` NULL: the writes go to the tree again. `data` is lent and must outlive the root. */
void vr_sysroot_set_write_hook(VrSysroot *root, VrSysrootWriteHook hook, void *data);

/* Told of every path that is read, listed, resolved or looked for, whether it is there or not. */
typedef void (*VrSysrootReadHook)(void *data, const char *path);

void vr_sysroot_set_read_hook(VrSysroot *root, VrSysrootReadHook hook, void *data);

/*
 * The same as openat2(2) with RESOLVE_IN_ROOT (and RESOLVE_NO_SYMLINKS unless `follows_links`), in
 * steps of one component each: for kernels and tools (valgrind, old container filters) that do not
 * know that call. Returns a descriptor, or -1 with errno. Not proof against somebody who renames
 * directories of the tree meanwhile; such a root is a recorded host, nobody's live system.
 */
int vr_sysroot_walk(int root_fd, const char *path, int flags, bool follows_links);
