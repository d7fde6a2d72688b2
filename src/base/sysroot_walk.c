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
    bool keep_last_link; /* O_NOFOLLOW */
    bool follows_links;
    int links;
    size_t done_length;
    char done[PATH_MAX]; /* what is resolved, "" or "sys/bus": no link in it, relative to root_fd */
    char rest[PATH_MAX]; /* what is not, from `next` on */
    const char *next;
} Walk;

static bool
fail(int errno_value)
{
    errno = errno_value;
    return false;
}

static void
cut_done(Walk *walk, size_t length)
{
    walk->done_length = length;
    walk->done[length] = '\0';
}

/* Put "/NAME" behind what is done. */
static bool
append_done(Walk *walk, const char *name, size_t length)
{
    size_t slash = walk->done_length > 0;

    if (walk->done_length + slash + length >= sizeof walk->done) {
        return fail(ENAMETOOLONG);
    }
    if (slash > 0) {
        walk->done[walk->done_length] = '/';
    }
    memcpy(walk->done + walk->done_length + slash, name, length);
    cut_done(walk, walk->done_length + slash + length);
    return true;
}

/* Put a link's target in the place of the component that it was. */
static bool
follow(Walk *walk, const char *target, size_t length)
{
    size_t left = strlen(walk->next);

    walk->links++;
    if (walk->links > LINK_LIMIT) {
        return fail(ELOOP);
    }
    if (length + left >= sizeof walk->rest) {
        return fail(ENAMETOOLONG);
    }
    if (target[0] == '/') {
        cut_done(walk, 0);
    }
    memmove(walk->rest + length, walk->next, left + 1);
    memcpy(walk->rest, target, length);
    walk->next = walk->rest;
    return true;
}

/* "." and "..", which at the top stays at the top. Only a directory has them: errno ENOTDIR. */
static bool
enter_dots(Walk *walk, bool is_parent)
{
    size_t length = walk->done_length;
    char byte = 0;

    if (!append_done(walk, ".", 1)) {
        return false;
    }
    if (readlinkat(walk->root_fd, walk->done, &byte, 1) >= 0 || errno != EINVAL) {
        return false;
    }
    cut_done(walk, length);
    if (is_parent) {
        const char *slash = strrchr(walk->done, '/');

        cut_done(walk, slash == NULL ? 0 : (size_t) (slash - walk->done));
    }
    return true;
}

static bool
enter(Walk *walk, const char *name, size_t length)
{
    char target[PATH_MAX];
    size_t old_length = walk->done_length;
    bool is_last = *walk->next == '\0';

    if (name[0] == '.' && (length == 1 || (length == 2 && name[1] == '.'))) {
        return enter_dots(walk, length == 2);
    }
    if (!append_done(walk, name, length)) {
        return false;
    }

    ssize_t size_bytes = readlinkat(walk->root_fd, walk->done, target, sizeof target);
    if (size_bytes < 0) {
        return errno == EINVAL || (errno == ENOENT && is_last);
    }
    if (is_last && walk->keep_last_link) {
        return true;
    }
    if (!walk->follows_links) {
        return fail(ELOOP);
    }
    cut_done(walk, old_length);
    return follow(walk, target, (size_t) size_bytes);
}

int
vr_sysroot_walk(int root_fd, const char *path, int flags, bool follows_links)
{
    Walk walk;
    size_t length = strlen(path);

    if (length >= sizeof walk.rest) {
        errno = ENAMETOOLONG;
        return -1;
    }
    if (length > 0 && path[length - 1] == '/') { /* "name/" is a directory, through a link, too */
        flags |= O_DIRECTORY;
    }
    walk.root_fd = root_fd;
    walk.keep_last_link = (flags & O_NOFOLLOW) != 0;
    walk.follows_links = follows_links;
    walk.links = 0;
    walk.next = memcpy(walk.rest, path, length + 1);
    cut_done(&walk, 0);
    while (*(walk.next += strspn(walk.next, "/")) != '\0') {
        const char *name = walk.next;

        walk.next += strcspn(name, "/");
        if (!enter(&walk, name, (size_t) (walk.next - name))) {
            return -1;
        }
    }
    return openat(root_fd, walk.done_length > 0 ? walk.done : ".", flags | O_NOFOLLOW, 0600);
}
