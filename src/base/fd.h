/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * File descriptors that close themselves, and the few ways in which vmrun reads and stores files.
 * `name` is only for messages.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <unistd.h>

/* Close *fd if it is open, and forget it. */
static inline void
vr_fd_clear(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
    }
    *fd = -1;
}

/* vr_autofd int fd = -1; */
#define vr_autofd __attribute__((cleanup(vr_fd_clear)))

/* Take the descriptor out of its variable, for a return line. */
static inline int
vr_fd_steal(int *fd)
{
    int stolen = *fd;
    *fd = -1;
    return stolen;
}

/*
 * Read until the end. At most limit_bytes are kept; more than that is VR_ERROR_IO, or, if
 * `truncate`, left unread. Owned; NULL with an error.
 */
GBytes *vr_fd_read_all(int fd, const char *name, size_t limit_bytes, bool truncate,
                       GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Store a text with exactly one write(2); a short write is an error. */
bool vr_fd_write_once(int fd, const char *name, const char *text,
                      GError **error) G_GNUC_WARN_UNUSED_RESULT;

/*
 * Replace the file `name` (one component) in an open directory, whole and durably: temporary file,
 * fsync, rename, fsync of the directory. On return of true it is on disk with exactly `mode`.
 */
bool vr_fd_replace(int directory, const char *name, const char *text, mode_t mode,
                   GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Is `file` what a process that died in vr_fd_replace() of `name` has left? */
bool vr_fd_is_temporary_of(const char *file, const char *name);

/* fsync(2) with an error; a file system that has no such thing for directories is fine. */
bool vr_fd_sync(int fd, const char *name, GError **error) G_GNUC_WARN_UNUSED_RESULT;
