/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The one door to /sys, /proc, /etc, /boot, /run and /dev of a host.
 *
 * A VrSysroot is a directory file descriptor; every path given to it is absolute ("/sys/…") and is
 * resolved below that directory with openat2(2) and RESOLVE_IN_ROOT, so a symbolic link in a
 * recorded host can never lead out of it. With root "/" it is the running system.
 *
 * It is passed explicitly and never global. Tests put a recorded tree behind it, or (private header
 * src/base/sysroot_private.h) a fake kernel behind its writes.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

typedef struct _VrSysroot VrSysroot;

/* Open a root directory ("/" for the running system). NULL with VR_ERROR_* if it is no directory.
 */
VrSysroot *vr_sysroot_new(const char *directory, GError **error);
VrSysroot *vr_sysroot_ref(VrSysroot *root);
void vr_sysroot_unref(VrSysroot *root);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VrSysroot, vr_sysroot_unref)

/* The directory that it was opened with, and whether that is the running system. */
const char *vr_sysroot_directory(const VrSysroot *root);
bool vr_sysroot_is_live(const VrSysroot *root);

/*
 * Read a whole small file (at most 16 MiB) as text: NUL bytes inside are an error, trailing
 * white space is removed. Owned result; NULL with VR_ERROR_NOT_FOUND, _DENIED, _GONE or _IO.
 */
char *vr_sysroot_read(const VrSysroot *root, const char *path,
                      GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Read a file as bytes, unchanged; at most `limit_bytes` are read (PCI config space, ACPI tables).
 */
GBytes *vr_sysroot_read_bytes(const VrSysroot *root, const char *path, size_t limit_bytes,
                              GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Text that may be missing: NULL without an error for any reason. For facts whose absence is an
 * answer. */
char *vr_sysroot_read_optional(const VrSysroot *root, const char *path);

/* The last component of a link's target ("vfio-pci" for …/driver). NULL with VR_ERROR_NOT_FOUND if
 * there is none. */
char *vr_sysroot_link_name(const VrSysroot *root, const char *path,
                           GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The path below the root that `path` resolves to, every link followed
 * ("/sys/devices/pci0000:00/…"). */
char *vr_sysroot_resolve(const VrSysroot *root, const char *path,
                         GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Names in a directory, without "." and "..", sorted by byte value (strcmp). Owned array of owned
 * strings. */
GPtrArray *vr_sysroot_list(const VrSysroot *root, const char *path,
                           GError **error) G_GNUC_WARN_UNUSED_RESULT;

bool vr_sysroot_exists(const VrSysroot *root, const char *path);

/* Open below the root; `flags` as open(2), O_CLOEXEC is added. -1 with an error. The caller closes
 * it (vr_autofd). */
int vr_sysroot_open(const VrSysroot *root, const char *path, int flags,
                    GError **error) G_GNUC_WARN_UNUSED_RESULT;

/*
 * The same, and no component may be a symbolic link: for files whose place was checked step by
 * step. With O_PATH | O_NOFOLLOW a link at the end is opened itself.
 */
int vr_sysroot_open_plain(const VrSysroot *root, const char *path, int flags,
                          GError **error) G_GNUC_WARN_UNUSED_RESULT;

/*
 * Store `text` in an attribute that exists: one write(2), because the errno of that one call is the
 * kernel's answer (a buffered writer would report it at close, a renaming one would replace the
 * node). A short write is an error. Can block for as long as the kernel likes: only the worker
 * calls it.
 */
bool vr_sysroot_write(const VrSysroot *root, const char *path, const char *text,
                      GError **error) G_GNUC_WARN_UNUSED_RESULT;
