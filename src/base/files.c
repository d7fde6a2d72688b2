/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/files.h>

#include "base/fd.h"

#include <vmrun/error.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Open the directory that `path` is in, and find the last component, which must be a plain name. */
static int
open_parent(const VrSysroot *root, const char *path, const char **out_name, GError **error)
{
    const char *slash = strrchr(path, '/');

    if (slash == NULL || slash[1] == '\0' || strcmp(slash, "/.") == 0 ||
        strcmp(slash, "/..") == 0) {
        vr_error_set_errno(error, EINVAL, "open %s", path);
        return -1;
    }

    g_autofree char *parent =
        slash == path ? g_strdup("/") : g_strndup(path, (gsize) (slash - path));
    int fd = vr_sysroot_open(root, parent, O_RDONLY | O_DIRECTORY, error);

    if (fd >= 0) {
        *out_name = slash + 1;
    }
    return fd;
}

/* Make one directory whose parent exists. */
static bool
make_one(const VrSysroot *root, const char *path, mode_t mode, GError **error)
{
    const char *name = NULL;
    vr_autofd int parent = open_parent(root, path, &name, error);

    if (parent < 0) {
        return false;
    }
    if (mkdirat(parent, name, 0700) != 0) {
        return errno == EEXIST || vr_error_set_errno(error, errno, "make the directory %s", path);
    }
    if (fchmodat(parent, name, mode, 0) != 0) {
        return vr_error_set_errno(error, errno, "set the mode of %s", path);
    }
    return vr_fd_sync(parent, path, error);
}

bool
vr_sysroot_make_directory(const VrSysroot *root, const char *path, mode_t mode, GError **error)
{
    for (const char *end = path; *end != '\0';) {
        end++;
        end += strcspn(end, "/");
        g_autofree char *part = g_strndup(path, (gsize) (end - path));

        if (!vr_sysroot_exists(root, part) && !make_one(root, part, mode, error)) {
            return false;
        }
    }
    /* Says so if something in the way is no directory. */
    vr_autofd int fd = vr_sysroot_open(root, path, O_PATH | O_DIRECTORY, error);
    return fd >= 0;
}

bool
vr_sysroot_replace(const VrSysroot *root, const char *path, const char *text, mode_t mode,
                   GError **error)
{
    const char *name = NULL;
    vr_autofd int parent = open_parent(root, path, &name, error);

    return parent >= 0 && (vr_fd_replace(parent, name, text, mode, error) ||
                           vr_error_prefix(error, "replace %s", path));
}

bool
vr_sysroot_rename(const VrSysroot *root, const char *from, const char *to, GError **error)
{
    const char *from_name = NULL, *to_name = NULL;
    vr_autofd int from_parent = open_parent(root, from, &from_name, error);

    if (from_parent < 0) {
        return false;
    }
    vr_autofd int to_parent = open_parent(root, to, &to_name, error);
    if (to_parent < 0) {
        return false;
    }
    if (renameat(from_parent, from_name, to_parent, to_name) != 0) {
        return vr_error_set_errno(error, errno, "rename %s to %s", from, to);
    }
    /* The new place first: a crash in between may show the file twice, but never lose it. */
    return vr_fd_sync(to_parent, to, error) && vr_fd_sync(from_parent, from, error);
}

bool
vr_sysroot_remove(const VrSysroot *root, const char *path, GError **error)
{
    const char *name = NULL;
    g_autoptr(GError) local_error = NULL;
    vr_autofd int parent = open_parent(root, path, &name, &local_error);

    if (parent < 0) {
        if (g_error_matches(local_error, VR_ERROR, VR_ERROR_NOT_FOUND)) {
            return true;
        }
        g_propagate_error(error, g_steal_pointer(&local_error));
        return false;
    }
    if (unlinkat(parent, name, 0) != 0) {
        return errno == ENOENT || vr_error_set_errno(error, errno, "remove %s", path);
    }
    return vr_fd_sync(parent, path, error);
}

void
vr_sysroot_remove_temporaries(const VrSysroot *root, const char *path)
{
    g_autofree char *directory = g_path_get_dirname(path);
    g_autofree char *name = g_path_get_basename(path);
    g_autoptr(GPtrArray) names = vr_sysroot_list(root, directory, NULL);

    for (guint i = 0; names != NULL && i < names->len; i++) {
        const char *found = g_ptr_array_index(names, i);
        g_autofree char *temporary = g_build_filename(directory, found, NULL);
        g_autoptr(GError) ignored = NULL;
        if (vr_fd_is_temporary_of(found, name) && !vr_sysroot_remove(root, temporary, &ignored)) {
            g_debug("%s", ignored->message);
        }
    }
}
