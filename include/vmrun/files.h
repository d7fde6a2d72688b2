/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files of our own below a VrSysroot: journals, identities, drop-ins. Never attributes of the
 * kernel: those are stored with vr_sysroot_write().
 *
 * Paths are absolute and resolved as in sysroot.h. What these functions return true for is durable:
 * the directory was synced, too. Errors are VR_ERROR_NOT_FOUND, _DENIED or _IO and name the path.
 */
#pragma once

#include <vmrun/sysroot.h>

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

/*
 * Make a directory and those above it that are missing. All that it makes get `mode`, whatever the
 * umask says; one that is there keeps what it has.
 */
bool vr_sysroot_make_directory(const VrSysroot *root, const char *path, mode_t mode,
                               GError **error) G_GNUC_WARN_UNUSED_RESULT;

/*
 * Make or replace a file, whole: readers see the old text or the new one, whatever crashes when.
 * The file gets exactly `mode`. Its directory must exist. A link at `path` is replaced, not
 * followed.
 */
bool vr_sysroot_replace(const VrSysroot *root, const char *path, const char *text, mode_t mode,
                        GError **error) G_GNUC_WARN_UNUSED_RESULT;

/*
 * Remove what processes that were killed while they replaced `path` have left beside it. Only for
 * who has the lock under which it is replaced: then nobody is at it. What cannot be removed stays,
 * silently.
 */
void vr_sysroot_remove_temporaries(const VrSysroot *root, const char *path);

/* Rename a file, replacing what `to` was. Both on one file system. */
bool vr_sysroot_rename(const VrSysroot *root, const char *from, const char *to,
                       GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Remove a file or a link. One that is missing is success. */
bool vr_sysroot_remove(const VrSysroot *root, const char *path,
                       GError **error) G_GNUC_WARN_UNUSED_RESULT;
