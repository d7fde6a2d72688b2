/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/lock.h>

#include "base/fd.h"
#include "run/lock_private.h"

#include <vmrun/error.h>
#include <vmrun/files.h>
#include <vmrun/process.h>
#include <vmrun/text.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define DIRECTORY "/run/vmrun"
/* flock(2) has no deadline of its own. */
#define RETRY_MS 10

struct _VrLock {
    int fd;
};

#define WORK_SUFFIX ".work"
/* Who waits for work to end holds the file for a moment, and only then. */
#define JOIN_TIMEOUT_MS 2000

/* "NAME.lock", and "lock" for the global one: no profile's file is called so. */
static char *
lock_name(const char *name)
{
    return name != NULL ? g_strconcat(name, ".lock", NULL) : g_strdup("lock");
}

/* 0600: whoever can open a file can lock it, and a stranger's lock would stop every session. */
static int
open_file(const VrSysroot *root, const char *file, GError **error)
{
    if (!vr_sysroot_make_directory(root, DIRECTORY, 0755, error)) {
        return -1;
    }
    vr_autofd int directory = vr_sysroot_open(root, DIRECTORY, O_RDONLY | O_DIRECTORY, error);
    if (directory < 0) {
        return -1;
    }
    int fd = openat(directory, file, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        vr_error_set_errno(error, errno, "open " DIRECTORY "/%s", file);
    }
    return fd;
}

static bool
check_name(const char *name, GError **error)
{
    return vr_text_is_profile_name(name) ||
           vr_error_set(error, VR_ERROR_USAGE, "'%s' is not the name of a profile", name);
}

static int
open_lock(const VrSysroot *root, const char *name, GError **error)
{
    if (name != NULL && !check_name(name, error)) {
        return -1;
    }
    g_autofree char *file = lock_name(name);
    return open_file(root, file, error);
}

static bool
read_owner(int fd, VrLockOwner *out_owner)
{
    char text[64];
    ssize_t count = pread(fd, text, sizeof text - 1, 0);
    if (count <= 0) {
        return false;
    }
    text[count] = '\0';
    g_auto(GStrv) words = g_strsplit(g_strchomp(text), " ", 3);
    uint64_t pid, start_time;
    if (g_strv_length(words) != 2 || !vr_text_to_uint(words[0], 1, G_MAXINT, &pid) ||
        !vr_text_to_uint(words[1], 0, UINT64_MAX, &start_time)) {
        return false;
    }
    *out_owner = (VrLockOwner){(int) pid, start_time};
    return true;
}

/* Only a hint for messages: not being able to write it takes nothing from the lock. */
static void
write_owner(int fd, const VrSysroot *root)
{
    int pid = (int) getpid();
    g_autofree char *text =
        g_strdup_printf("%d %" G_GUINT64_FORMAT "\n", pid, vr_process_start_time(root, pid));
    if (ftruncate(fd, 0) != 0 || pwrite(fd, text, strlen(text), 0) < 0) {
        g_debug("write the owner of a lock: %s", g_strerror(errno));
    }
}

/* 0, or the errno of the last try. */
static int
lock_until(int fd, int kind, unsigned timeout_ms)
{
    int64_t deadline = g_get_monotonic_time() + (int64_t) timeout_ms * 1000;
    while (flock(fd, kind | LOCK_NB) != 0) {
        int problem = errno;
        if (problem != EINTR && (problem != EWOULDBLOCK || g_get_monotonic_time() >= deadline)) {
            return problem;
        }
        g_usleep(RETRY_MS * 1000);
    }
    return 0;
}

static void
refuse(int fd, const char *name, int problem, VrLockOwner *out_owner, GError **error)
{
    VrLockOwner owner = {0};
    if (problem != EWOULDBLOCK) {
        vr_error_set_errno(error, problem, "lock " DIRECTORY "/%s", name);
        return;
    }
    g_autofree char *holder = read_owner(fd, &owner) ? g_strdup_printf("process %d", owner.pid)
                                                     : g_strdup("another process");
    vr_error_set(error, VR_ERROR_BUSY, DIRECTORY "/%s is held by %s", name, holder);
    if (out_owner != NULL) {
        *out_owner = owner;
    }
}

VrLock *
vr_lock_take(const VrSysroot *root, const char *name, unsigned timeout_ms, VrLockOwner *out_owner,
             GError **error)
{
    vr_autofd int fd = open_lock(root, name, error);
    if (fd < 0) {
        return NULL;
    }
    int problem = lock_until(fd, LOCK_EX, timeout_ms);
    if (problem != 0) {
        g_autofree char *file = lock_name(name);
        refuse(fd, file, problem, out_owner, error);
        return NULL;
    }
    write_owner(fd, root);
    VrLock *lock = g_new(VrLock, 1);
    lock->fd = vr_fd_steal(&fd);
    return lock;
}

void
vr_lock_hide_owner(VrLock *lock)
{
    if (ftruncate(lock->fd, 0) != 0) {
        g_debug("forget the owner of a lock: %s", g_strerror(errno));
    }
}

void
vr_lock_release(VrLock *lock)
{
    if (lock == NULL) {
        return;
    }
    vr_lock_hide_owner(lock);
    vr_fd_clear(&lock->fd); /* the last descriptor of this open file: the lock goes with it */
    g_free(lock);
}

static int
lock_work(const VrSysroot *root, const char *name, int kind, unsigned timeout_ms, GError **error)
{
    if (!check_name(name, error)) {
        return -1;
    }
    g_autofree char *file = g_strconcat(name, WORK_SUFFIX, NULL);
    vr_autofd int fd = open_file(root, file, error);
    int problem = fd >= 0 ? lock_until(fd, kind, timeout_ms) : 0;
    if (problem == EWOULDBLOCK) {
        vr_error_set(error, VR_ERROR_BUSY, DIRECTORY "/%s is held by a worker", file);
    } else if (problem != 0) {
        vr_error_set_errno(error, problem, "lock " DIRECTORY "/%s", file);
    }
    return problem == 0 ? vr_fd_steal(&fd) : -1;
}

int
vr_lock_join_work(const VrSysroot *root, const char *name, GError **error)
{
    return lock_work(root, name, LOCK_SH, JOIN_TIMEOUT_MS, error);
}

bool
vr_lock_wait_for_work(const VrSysroot *root, const char *name, unsigned timeout_ms, GError **error)
{
    vr_autofd int fd = lock_work(root, name, LOCK_EX, timeout_ms, error);
    return fd >= 0;
}

/* proc(5), /proc/locks: "1: FLOCK  ADVISORY  WRITE 1234 00:17:5678 0 EOF", device in hex */
bool
vr_lock_listed(const char *locks, dev_t device, ino_t inode, int *out_pid)
{
    g_auto(GStrv) lines = g_strsplit(locks, "\n", -1);
    for (char **line = lines; *line != NULL; line++) {
        char kind[16], access[16];
        int pid = 0;
        unsigned major_number, minor_number;
        unsigned long number;
        if (sscanf(*line, "%*[0-9]: %15s %*s %15s %d %x:%x:%lu", kind, access, &pid, &major_number,
                   &minor_number, &number) == 6 &&
            g_str_equal(kind, "FLOCK") && g_str_equal(access, "WRITE") && number == inode &&
            major_number == major(device) && minor_number == minor(device)) {
            *out_pid = pid;
            return true;
        }
    }
    return false;
}

/* For those who may not open the file: the kernel's public list of locks. */
static bool
is_listed(const VrSysroot *root, const char *path, VrLockOwner *out_owner)
{
    struct stat status;
    vr_autofd int fd = vr_sysroot_open(root, path, O_PATH | O_NOFOLLOW, NULL);
    g_autofree char *locks = vr_sysroot_read_optional(root, "/proc/locks");
    int pid = 0;
    if (fd < 0 || fstat(fd, &status) != 0 || locks == NULL ||
        !vr_lock_listed(locks, status.st_dev, status.st_ino, &pid)) {
        return false;
    }
    if (out_owner != NULL && pid > 0) {
        *out_owner = (VrLockOwner){pid, vr_process_start_time(root, pid)};
    }
    return true;
}

bool
vr_lock_is_held(const VrSysroot *root, const char *name, VrLockOwner *out_owner)
{
    g_autofree char *file = lock_name(name);
    g_autofree char *path = g_strconcat(DIRECTORY "/", file, NULL);
    g_autoptr(GError) error = NULL;
    if (name != NULL && !vr_text_is_profile_name(name)) {
        return false;
    }
    vr_autofd int fd = vr_sysroot_open(root, path, O_RDONLY | O_NOFOLLOW, &error);
    if (fd < 0) {
        return g_error_matches(error, VR_ERROR, VR_ERROR_DENIED) &&
               is_listed(root, path, out_owner);
    }
    if (flock(fd, LOCK_SH | LOCK_NB) == 0) { /* let go at once, with the descriptor */
        return false;
    }
    VrLockOwner owner;
    if (out_owner != NULL && read_owner(fd, &owner)) {
        *out_owner = owner;
    }
    return true;
}
