/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/fd.h"

#include <vmrun/error.h>
#include <vmrun/text.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { READ_STEP_BYTES = 4096 }; /* a sysfs attribute is at most one page */

/* Read once into the end of `bytes`. 1: more may follow, 0: end of file, -1: error. */
static int
read_step(int fd, const char *name, GByteArray *bytes, size_t wanted_bytes, GError **error)
{
    guint old_size = bytes->len;
    ssize_t count = 0;

    g_byte_array_set_size(bytes, old_size + (guint) wanted_bytes);
    do {
        count = read(fd, bytes->data + old_size, wanted_bytes);
    } while (count < 0 && errno == EINTR);
    int read_errno = errno;
    g_byte_array_set_size(bytes, old_size + (guint) MAX(count, 0));
    if (count < 0) {
        vr_error_set_errno(error, read_errno, "read %s", name);
        return -1;
    }
    return count > 0;
}

GBytes *
vr_fd_read_all(int fd, const char *name, size_t limit_bytes, bool truncate, GError **error)
{
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    size_t ceiling = truncate ? limit_bytes : limit_bytes + 1;
    int more = 1;

    while (more > 0 && bytes->len < ceiling) {
        size_t step = MAX(READ_STEP_BYTES, bytes->len);
        more = read_step(fd, name, bytes, MIN(step, ceiling - bytes->len), error);
    }
    if (more < 0) {
        return NULL;
    }
    if (bytes->len > limit_bytes) {
        vr_error_set(error, VR_ERROR_IO, "read %s: larger than %zu bytes", name, limit_bytes);
        return NULL;
    }
    return g_byte_array_free_to_bytes(g_steal_pointer(&bytes));
}

bool
vr_fd_write_once(int fd, const char *name, const char *text, GError **error)
{
    size_t size_bytes = strlen(text);
    ssize_t written = write(fd, text, size_bytes);
    int write_errno = errno;

    if (written == (ssize_t) size_bytes) {
        return true;
    }

    g_autofree char *trimmed = g_strchomp(g_strdup(text));
    g_autofree char *shown = vr_text_printable(trimmed);

    if (written < 0) {
        return vr_error_set_errno(error, write_errno, "write \"%s\" to %s", shown, name);
    }
    return vr_error_set(error, VR_ERROR_IO, "write \"%s\" to %s: only %zd of %zu bytes were taken",
                        shown, name, written, size_bytes);
}

/* EROFS is no such answer: ext4 gives it when its own journal was aborted under the file, and what
 * was written is lost then (fs/ext4/fsync.c, ext4_sync_file). */
bool
vr_fd_sync(int fd, const char *name, GError **error)
{
    if (fsync(fd) == 0 || errno == EINVAL) {
        return true;
    }
    return vr_error_set_errno(error, errno, "make %s durable", name);
}

/* Unlike a store to sysfs this may take several calls: the file is not in its place yet. */
static bool
write_whole(int fd, const char *name, const char *text, GError **error)
{
    size_t left_bytes = strlen(text);

    while (left_bytes > 0) {
        ssize_t written = write(fd, text, left_bytes);

        if (written < 0 && errno != EINTR) {
            return vr_error_set_errno(error, errno, "write %s", name);
        }
        if (written > 0) {
            text += written;
            left_bytes -= (size_t) written;
        }
    }
    return true;
}

/* A file of that name can only be what a process of our pid left when it died: it may go. */
static int
create_temporary(int directory, const char *temporary)
{
    const int flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW;
    int fd = openat(directory, temporary, flags, 0600);

    if (fd < 0 && errno == EEXIST && unlinkat(directory, temporary, 0) == 0) {
        fd = openat(directory, temporary, flags, 0600);
    }
    return fd;
}

static bool
write_temporary(int directory, const char *temporary, const char *text, mode_t mode, GError **error)
{
    vr_autofd int fd = create_temporary(directory, temporary);

    if (fd < 0) {
        return vr_error_set_errno(error, errno, "create %s", temporary);
    }
    /* fchmod and not the mode of open: the umask must not decide. */
    if (fchmod(fd, mode) != 0) {
        return vr_error_set_errno(error, errno, "set the mode of %s", temporary);
    }
    return write_whole(fd, temporary, text, error) && vr_fd_sync(fd, temporary, error);
}

bool
vr_fd_is_temporary_of(const char *file, const char *name)
{
    size_t length = strlen(name);

    if (file[0] != '.' || strncmp(file + 1, name, length) != 0 || file[1 + length] != '.') {
        return false;
    }
    const char *pid = file + 1 + length + 1;
    size_t digits = strspn(pid, "0123456789");
    return digits > 0 && strcmp(pid + digits, ".new") == 0;
}

bool
vr_fd_replace(int directory, const char *name, const char *text, mode_t mode, GError **error)
{
    g_autofree char *temporary = g_strdup_printf(".%s.%d.new", name, (int) getpid());

    if (!write_temporary(directory, temporary, text, mode, error)) {
        unlinkat(directory, temporary, 0);
        return false;
    }
    if (renameat(directory, temporary, directory, name) != 0) {
        vr_error_set_errno(error, errno, "rename %s to %s", temporary, name);
        unlinkat(directory, temporary, 0);
        return false;
    }
    return vr_fd_sync(directory, name, error);
}
