/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/sysroot.h>

#include "base/fd.h"
#include "base/sysroot_private.h"

#include <vmrun/error.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

enum {
    TEXT_LIMIT_BYTES = 16 * 1024 * 1024,
    /* openat2(2): EAGAIN when something was renamed while ".." was resolved; the caller retries. */
    OPEN_ATTEMPTS = 64,
};

struct _VrSysroot {
    gint references;
    int fd;
    char *directory;
    bool is_live;
    gint has_no_openat2; /* atomic; the system has answered ENOSYS once */
    VrSysrootWriteHook write_hook;
    void *write_data;
    VrSysrootReadHook read_hook;
    void *read_data;
};

static bool
is_running_system(int fd)
{
    struct stat opened = {0}, running = {0};

    return fstat(fd, &opened) == 0 && stat("/", &running) == 0 && opened.st_dev == running.st_dev &&
           opened.st_ino == running.st_ino;
}

VrSysroot *
vr_sysroot_new(const char *directory, GError **error)
{
    int fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0) {
        vr_error_set_errno(error, errno, "open the root directory %s", directory);
        return NULL;
    }

    VrSysroot *root = g_new0(VrSysroot, 1);

    root->references = 1;
    root->fd = fd;
    root->directory = g_strdup(directory);
    root->is_live = is_running_system(fd);
    return root;
}

VrSysroot *
vr_sysroot_ref(VrSysroot *root)
{
    g_atomic_int_inc(&root->references);
    return root;
}

void
vr_sysroot_unref(VrSysroot *root)
{
    if (root == NULL || !g_atomic_int_dec_and_test(&root->references)) {
        return;
    }
    vr_fd_clear(&root->fd);
    g_free(root->directory);
    g_free(root);
}

const char *
vr_sysroot_directory(const VrSysroot *root)
{
    return root->directory;
}

bool
vr_sysroot_is_live(const VrSysroot *root)
{
    return root->is_live;
}

void
vr_sysroot_set_write_hook(VrSysroot *root, VrSysrootWriteHook hook, void *data)
{
    root->write_hook = hook;
    root->write_data = data;
}

void
vr_sysroot_set_read_hook(VrSysroot *root, VrSysrootReadHook hook, void *data)
{
    root->read_hook = hook;
    root->read_data = data;
}

static void
tell_reader(const VrSysroot *root, const char *path)
{
    if (root->read_hook != NULL) {
        root->read_hook(root->read_data, path);
    }
}

static int
open_in_root(const VrSysroot *root, const char *path, int flags, bool follows_links)
{
    struct open_how how = {
        .flags = (uint64_t) (unsigned) flags,
        .mode = (flags & O_CREAT) != 0 ? 0600 : 0,
        .resolve =
            RESOLVE_IN_ROOT | (follows_links ? 0 : RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS),
    };
    long fd = -1;

    for (int attempt = 0; attempt < OPEN_ATTEMPTS; attempt++) {
        fd = syscall(SYS_openat2, root->fd, path, &how, sizeof how);
        if (fd >= 0 || (errno != EAGAIN && errno != EINTR)) {
            break;
        }
    }
    return (int) fd;
}

/* -1 with errno. */
static int
open_as(const VrSysroot *root, const char *path, int flags, bool follows_links)
{
    gint *has_no_openat2 = (gint *) &root->has_no_openat2;

    if (path[0] != '/') {
        errno = EINVAL;
        return -1;
    }
    flags |= O_CLOEXEC;
    if (!g_atomic_int_get(has_no_openat2)) {
        int fd = open_in_root(root, path, flags, follows_links);

        if (fd >= 0 || errno != ENOSYS) {
            return fd;
        }
        g_atomic_int_set(has_no_openat2, 1);
    }
    return vr_sysroot_walk(root->fd, path, flags, follows_links);
}

static int
open_below(const VrSysroot *root, const char *path, int flags)
{
    return open_as(root, path, flags, true);
}

int
vr_sysroot_open(const VrSysroot *root, const char *path, int flags, GError **error)
{
    tell_reader(root, path);

    int fd = open_below(root, path, flags);

    if (fd < 0) {
        vr_error_set_errno(error, errno, "open %s", path);
    }
    return fd;
}

int
vr_sysroot_open_plain(const VrSysroot *root, const char *path, int flags, GError **error)
{
    int fd = open_as(root, path, flags, false);

    if (fd < 0) {
        vr_error_set_errno(error, errno, "open %s", path);
    }
    return fd;
}

static GBytes *
read_bytes(const VrSysroot *root, const char *path, size_t limit_bytes, bool truncate,
           GError **error)
{
    tell_reader(root, path);

    /* O_NONBLOCK: a FIFO in a recorded tree must not stop us; plain files do not know the flag. */
    vr_autofd int fd = open_below(root, path, O_RDONLY | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) {
        vr_error_set_errno(error, errno, "read %s", path);
        return NULL;
    }
    return vr_fd_read_all(fd, path, limit_bytes, truncate, error);
}

char *
vr_sysroot_read(const VrSysroot *root, const char *path, GError **error)
{
    g_autoptr(GBytes) bytes = read_bytes(root, path, TEXT_LIMIT_BYTES, false, error);

    if (bytes == NULL) {
        return NULL;
    }

    size_t size_bytes = 0;
    const char *data = g_bytes_get_data(bytes, &size_bytes);

    if (size_bytes == 0) {
        return g_strdup("");
    }
    if (memchr(data, '\0', size_bytes) != NULL) {
        vr_error_set(error, VR_ERROR_CORRUPT, "read %s: a NUL byte where text was expected", path);
        return NULL;
    }
    return g_strchomp(g_strndup(data, size_bytes));
}

GBytes *
vr_sysroot_read_bytes(const VrSysroot *root, const char *path, size_t limit_bytes, GError **error)
{
    return read_bytes(root, path, limit_bytes, true, error);
}

char *
vr_sysroot_read_optional(const VrSysroot *root, const char *path)
{
    return vr_sysroot_read(root, path, NULL);
}

/* The text of the link that `fd` (O_PATH | O_NOFOLLOW) is open on, or that `name` in it is. */
static char *
read_link(int fd, const char *name, const char *path, GError **error)
{
    char target[PATH_MAX] = ""; /* the kernel stores no longer one */
    ssize_t size_bytes = readlinkat(fd, name, target, sizeof target - 1);

    if (size_bytes < 0) {
        /* EINVAL, or ENOENT for an empty name: it is there, and is no link. */
        vr_error_set_errno(error, errno == EINVAL ? ENOENT : errno, "read the link %s", path);
        return NULL;
    }
    return g_strndup(target, (gsize) size_bytes);
}

char *
vr_sysroot_link_name(const VrSysroot *root, const char *path, GError **error)
{
    tell_reader(root, path);

    vr_autofd int fd = open_below(root, path, O_PATH | O_NOFOLLOW);
    if (fd < 0) {
        vr_error_set_errno(error, errno, "read the link %s", path);
        return NULL;
    }

    g_autofree char *target = read_link(fd, "", path, error);
    return target == NULL ? NULL : g_path_get_basename(target);
}

static char *
path_of_fd(int fd, const char *path, GError **error)
{
    g_autofree char *link = g_strdup_printf("/proc/self/fd/%d", fd);

    return read_link(AT_FDCWD, link, path, error);
}

char *
vr_sysroot_resolve(const VrSysroot *root, const char *path, GError **error)
{
    tell_reader(root, path);

    vr_autofd int fd = open_below(root, path, O_PATH);
    if (fd < 0) {
        vr_error_set_errno(error, errno, "resolve %s", path);
        return NULL;
    }

    g_autofree char *top = path_of_fd(root->fd, path, error);
    if (top == NULL) {
        return NULL;
    }
    g_autofree char *full = path_of_fd(fd, path, error);
    if (full == NULL) {
        return NULL;
    }
    if (strcmp(top, "/") == 0) {
        return g_steal_pointer(&full);
    }
    size_t top_length = strlen(top);
    if (strncmp(full, top, top_length) != 0 || strchr("/", full[top_length]) == NULL) {
        vr_error_set(error, VR_ERROR_IO, "resolve %s: %s was moved meanwhile", path,
                     root->directory);
        return NULL;
    }
    return g_strdup(full[top_length] == '\0' ? "/" : full + top_length);
}

static gint
compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *) a, *(const char *const *) b);
}

static DIR *
open_directory(const VrSysroot *root, const char *path)
{
    vr_autofd int fd = open_below(root, path, O_RDONLY | O_DIRECTORY);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);

    if (directory != NULL) {
        vr_fd_steal(&fd); /* closedir() closes it */
    }
    return directory;
}

GPtrArray *
vr_sysroot_list(const VrSysroot *root, const char *path, GError **error)
{
    tell_reader(root, path);

    DIR *directory = open_directory(root, path);
    if (directory == NULL) {
        vr_error_set_errno(error, errno, "list %s", path);
        return NULL;
    }

    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    const struct dirent *entry = NULL;

    errno = 0;
    while ((entry = readdir(directory)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            g_ptr_array_add(names, g_strdup(entry->d_name));
        }
        errno = 0;
    }
    int read_errno = errno;
    closedir(directory);
    if (read_errno != 0) {
        vr_error_set_errno(error, read_errno, "list %s", path);
        return NULL;
    }
    g_ptr_array_sort(names, compare_names);
    return g_steal_pointer(&names);
}

bool
vr_sysroot_exists(const VrSysroot *root, const char *path)
{
    tell_reader(root, path);

    vr_autofd int fd = open_below(root, path, O_PATH);
    return fd >= 0;
}

bool
vr_sysroot_write(const VrSysroot *root, const char *path, const char *text, GError **error)
{
    if (root->write_hook != NULL) {
        return root->write_hook(root->write_data, path, text, error);
    }

    /* O_TRUNC means nothing to sysfs, and makes a recorded tree show what was stored last. */
    vr_autofd int fd = vr_sysroot_open(root, path, O_WRONLY | O_TRUNC | O_NOCTTY, error);
    return fd >= 0 && vr_fd_write_once(fd, path, text, error);
}
