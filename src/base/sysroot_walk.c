/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/sysroot_private.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

enum { LINK_LIMIT = 40 }; /* MAXSYMLINKS of the kernel, include/linux/namei.h */

typedef struct {
    int root_fd;
    GString *done; /* what is resolved, "" or "sys/bus": no link in it, relative to root_fd */
    GString *rest; /* what is not, "" or "pci/devices/…" */
    int links;
    bool keep_last_link; /* O_NOFOLLOW */
} Walk;

/* Put a link's target in the place of the component that it was. */
static bool
follow(Walk *walk, const char *target)
{
    walk->links++;
    if (walk->links > LINK_LIMIT) {
        errno = ELOOP;
        return false;
    }
    if (target[0] == '/') {
        g_string_truncate(walk->done, 0);
    }
    g_string_prepend_c(walk->rest, '/');
    g_string_prepend(walk->rest, target);
    return true;
}

/* "." and "..", which at the top stays at the top. Only a directory has them: errno ENOTDIR. */
static bool
enter_dots(Walk *walk, bool is_parent)
{
    g_autofree char *self = g_strconcat(walk->done->str, walk->done->len > 0 ? "/." : ".", NULL);
    char byte = 0;

    if (readlinkat(walk->root_fd, self, &byte, 1) >= 0 || errno != EINVAL) {
        return false;
    }
    if (is_parent) {
        const char *slash = strrchr(walk->done->str, '/');

        g_string_truncate(walk->done, slash == NULL ? 0 : (gsize) (slash - walk->done->str));
    }
    return true;
}

static bool
enter(Walk *walk, const char *name, bool is_last)
{
    char target[PATH_MAX]; /* not zeroed: this runs for every component of every path */
    gsize old_length = walk->done->len;

    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
        return enter_dots(walk, name[1] == '.');
    }
    if (old_length > 0) {
        g_string_append_c(walk->done, '/');
    }
    g_string_append(walk->done, name);

    ssize_t size_bytes = readlinkat(walk->root_fd, walk->done->str, target, sizeof target - 1);
    if (size_bytes < 0) {
        return errno == EINVAL || (errno == ENOENT && is_last);
    }
    target[size_bytes] = '\0';
    if (is_last && walk->keep_last_link) {
        return true;
    }
    g_string_truncate(walk->done, old_length);
    return follow(walk, target);
}

/* Cut the first component off `rest`. NULL at the end. */
static char *
next_name(Walk *walk)
{
    const char *start = walk->rest->str + strspn(walk->rest->str, "/");
    size_t length = strcspn(start, "/");

    if (length == 0) {
        return NULL;
    }

    char *name = g_strndup(start, length);
    g_string_erase(walk->rest, 0, (start - walk->rest->str) + (gssize) length);
    return name;
}

int
vr_sysroot_walk(int root_fd, const char *path, int flags)
{
    if (strlen(path) >= PATH_MAX) {
        errno = ENAMETOOLONG;
        return -1;
    }

    g_autoptr(GString) done = g_string_new(NULL);
    g_autoptr(GString) rest = g_string_new(path);
    Walk walk = {.root_fd = root_fd,
                 .done = done,
                 .rest = rest,
                 .keep_last_link = (flags & O_NOFOLLOW) != 0};

    if (g_str_has_suffix(path, "/")) { /* "name/" is a directory, through a link, too */
        flags |= O_DIRECTORY;
    }
    while (true) {
        g_autofree char *name = next_name(&walk);

        if (name == NULL) {
            break;
        }
        if (!enter(&walk, name, rest->len == 0)) {
            return -1;
        }
    }
    return openat(root_fd, done->len > 0 ? done->str : ".", flags | O_NOFOLLOW, 0600);
}
