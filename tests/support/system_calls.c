/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "system_calls.h"

#include <glib.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TRACE_BYTES (256 * 1024)

/* The calls themselves; the linker gives them these names (ld(1), --wrap). */
int __real_openat(int directory, const char *path, int flags, ...);
long __real_syscall(long number, ...);
ssize_t __real_write(int fd, const void *data, size_t size_bytes);
ssize_t __real_pwrite(int fd, const void *data, size_t size_bytes, off_t offset);
int __real_fsync(int fd);
int __real_renameat(int from_directory, const char *from, int to_directory, const char *to);
int __real_unlinkat(int directory, const char *path, int flags);
int __real_mkdirat(int directory, const char *path, mode_t mode);
int __real_fchmod(int fd, mode_t mode);
int __real_fchmodat(int directory, const char *path, mode_t mode, int flags);
int __real_ftruncate(int fd, off_t size_bytes);

int __wrap_openat(int directory, const char *path, int flags, ...);
long __wrap_syscall(long number, ...);
ssize_t __wrap_write(int fd, const void *data, size_t size_bytes);
ssize_t __wrap_pwrite(int fd, const void *data, size_t size_bytes, off_t offset);
int __wrap_fsync(int fd);
int __wrap_renameat(int from_directory, const char *from, int to_directory, const char *to);
int __wrap_unlinkat(int directory, const char *path, int flags);
int __wrap_mkdirat(int directory, const char *path, mode_t mode);
int __wrap_fchmod(int fd, mode_t mode);
int __wrap_fchmodat(int directory, const char *path, mode_t mode, int flags);
int __wrap_ftruncate(int fd, off_t size_bytes);

typedef struct {
    unsigned count;
    size_t trace_bytes;
    char trace[TRACE_BYTES];
} Shared;

static struct {
    bool counts;
    unsigned paused;
    SystemCallFate fate;
    unsigned number;
    int errno_value;
    const char *within;
    const char *root;
    const char *refused_end;
    int refused_errno;
    SystemCallObserver observer;
    void *observer_data;
    Shared *shared;
} calls;

static void
make_shared(void)
{
    if (calls.shared == NULL) {
        void *memory = mmap(NULL, sizeof *calls.shared, PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        g_assert(memory != MAP_FAILED);
        calls.shared = memory;
    }
}

void
system_calls_begin(SystemCallFate fate, unsigned n, int errno_value, const char *within)
{
    make_shared();
    calls.shared->count = 0;
    calls.shared->trace_bytes = 0;
    calls.shared->trace[0] = '\0';
    calls.fate = fate;
    calls.number = n;
    calls.errno_value = errno_value;
    calls.within = within;
    calls.counts = true;
}

unsigned
system_calls_end(void)
{
    calls.counts = false;
    return system_calls_count();
}

unsigned
system_calls_count(void)
{
    return calls.shared != NULL ? calls.shared->count : 0;
}

const char *
system_calls_trace(void)
{
    return calls.shared != NULL ? calls.shared->trace : "";
}

void
system_calls_set_root(const char *root)
{
    calls.root = root;
}

void
system_calls_set_observer(SystemCallObserver observer, void *data)
{
    calls.observer = observer;
    calls.observer_data = data;
}

void
system_calls_pause(void)
{
    calls.paused++;
}

void
system_calls_resume(void)
{
    g_assert_cmpuint(calls.paused, >, 0);
    calls.paused--;
}

static void
append_line(const char *prefix, const char *line)
{
    Shared *shared = calls.shared;
    size_t length = strlen(prefix) + strlen(line) + 1;
    g_assert_cmpuint(shared->trace_bytes + length + 1, <=, TRACE_BYTES);
    char *end = stpcpy(stpcpy(shared->trace + shared->trace_bytes, prefix), line);
    end[0] = '\n';
    end[1] = '\0';
    shared->trace_bytes += length;
}

void
system_calls_note(const char *format, ...)
{
    va_list arguments;
    make_shared();
    va_start(arguments, format);
    g_autofree char *line = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    append_line("", line);
}

static bool
is_watched(const char *line)
{
    return calls.counts && calls.paused == 0 &&
           (calls.within == NULL || strstr(line, calls.within) != NULL);
}

/* Has the call that was counted last this fate? */
static bool
is_fate(SystemCallFate fate)
{
    return calls.fate == fate && calls.shared->count == calls.number + 1;
}

static void
die(void)
{
    kill(getpid(), SIGKILL);
    pause();
}

/* 0, or the errno that it fails with. */
static int
enter(const char *line)
{
    calls.shared->count++;
    if (is_fate(SYSTEM_CALL_DIES_BEFORE)) {
        die();
    }
    bool fails = is_fate(SYSTEM_CALL_FAILS) ||
                 (calls.fate == SYSTEM_CALL_FAILS_ON && calls.shared->count > calls.number);
    if (fails) {
        append_line("failed ", line);
        return calls.errno_value;
    }
    return 0;
}

static void
leave(const char *line, int result)
{
    append_line(result == 0 ? "" : "failed ", line);
    if (result == 0 && calls.observer != NULL) {
        calls.paused++;
        calls.observer(calls.observer_data, line);
        calls.paused--;
    }
    if (is_fate(SYSTEM_CALL_DIES_AFTER)) {
        die();
    }
}

int
system_call_enter(const char *line)
{
    int problem = is_watched(line) ? enter(line) : 0;
    if (problem == 0) {
        calls.paused++;
    }
    return problem;
}

void
system_call_leave(const char *line, int result)
{
    calls.paused--;
    if (is_watched(line)) {
        leave(line, result);
    }
}

/* --- the calls --------------------------------------------------------------------------------*/

/* The directory or file that fd is open on, as the test sees it. */
static char *
path_of(int fd)
{
    char target[PATH_MAX] = "";
    g_autofree char *link = g_strdup_printf("/proc/self/fd/%d", fd);
    if (fd == AT_FDCWD || readlink(link, target, sizeof target - 1) < 0) {
        return g_strdup("?");
    }
    size_t length = calls.root != NULL ? strlen(calls.root) : 0;
    bool inside = length > 0 && strncmp(target, calls.root, length) == 0;
    return g_strdup(inside ? target + length : target);
}

static char *
line_of_fd(const char *verb, int fd)
{
    g_autofree char *path = path_of(fd);
    return g_strconcat(verb, " ", path, NULL);
}

static char *
line_of_path(const char *verb, int directory, const char *path)
{
    g_autofree char *above = path[0] != '/' ? path_of(directory) : NULL;
    return g_strconcat(verb, " ", above != NULL ? above : "", above != NULL ? "/" : "", path, NULL);
}

/* Nothing here may change errno but a call that failed. */
#define WATCH(type, new_line, call)                                                                \
    g_autofree char *line = calls.counts && calls.paused == 0 ? (new_line) : NULL;                 \
    if (line == NULL || !is_watched(line)) {                                                       \
        return (call);                                                                             \
    }                                                                                              \
    int problem = enter(line);                                                                     \
    if (problem != 0) {                                                                            \
        errno = problem;                                                                           \
        return -1;                                                                                 \
    }                                                                                              \
    type result = (call);                                                                          \
    problem = errno;                                                                               \
    leave(line, result < 0 ? problem : 0);                                                         \
    errno = problem;                                                                               \
    return result

void
system_calls_refuse(const char *path_end, int errno_value)
{
    calls.refused_end = path_end;
    calls.refused_errno = errno_value;
}

static bool
refuses(const char *path)
{
    if (calls.refused_end == NULL || !g_str_has_suffix(path, calls.refused_end)) {
        return false;
    }
    errno = calls.refused_errno;
    return true;
}

int
__wrap_openat(int directory, const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    if ((flags & O_PATH) == 0 && refuses(path)) {
        return -1;
    }
    if ((flags & (O_CREAT | O_TRUNC)) == 0) {
        return __real_openat(directory, path, flags, mode);
    }
    WATCH(int, line_of_path("create", directory, path),
          __real_openat(directory, path, flags, mode));
}

static long
open_how(const long *a)
{
    const struct open_how *how = (const struct open_how *) a[2];
    if ((how->flags & O_PATH) == 0 && refuses((const char *) a[1])) {
        return -1;
    }
    if ((how->flags & (O_CREAT | O_TRUNC)) == 0) {
        return __real_syscall(SYS_openat2, a[0], a[1], a[2], a[3]);
    }
    WATCH(long, line_of_path("create", (int) a[0], (const char *) a[1]),
          __real_syscall(SYS_openat2, a[0], a[1], a[2], a[3]));
}

/* All of x86-64's arguments are passed the same way, used or not; reading those that are not is
 * what clang's address sanitiser objects to. */
__attribute__((no_sanitize("address"))) long
__wrap_syscall(long number, ...)
{
    long a[6];
    va_list arguments;
    va_start(arguments, number);
    for (unsigned i = 0; i < G_N_ELEMENTS(a); i++) {
        a[i] = va_arg(arguments, long);
    }
    va_end(arguments);
    return number == SYS_openat2 ? open_how(a)
                                 : __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

static bool
is_regular(int fd)
{
    struct stat status;
    return fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
}

static ssize_t
write_or_half(int fd, const void *data, size_t size_bytes)
{
    bool half = is_fate(SYSTEM_CALL_IS_SHORT) && size_bytes > 1;
    return __real_write(fd, data, half ? size_bytes / 2 : size_bytes);
}

static ssize_t
watched_write(int fd, const void *data, size_t size_bytes)
{
    WATCH(ssize_t, line_of_fd("write", fd), write_or_half(fd, data, size_bytes));
}

ssize_t
__wrap_write(int fd, const void *data, size_t size_bytes)
{
    bool watched = calls.counts && calls.paused == 0 && is_regular(fd);
    return watched ? watched_write(fd, data, size_bytes) : __real_write(fd, data, size_bytes);
}

ssize_t
__wrap_pwrite(int fd, const void *data, size_t size_bytes, off_t offset)
{
    WATCH(ssize_t, line_of_fd("write", fd), __real_pwrite(fd, data, size_bytes, offset));
}

int
__wrap_fsync(int fd)
{
    WATCH(int, line_of_fd("sync", fd), __real_fsync(fd));
}

static char *
line_of_rename(int from_directory, const char *from, int to_directory, const char *to)
{
    g_autofree char *source = line_of_path("rename", from_directory, from);
    return line_of_path(source, to_directory, to);
}

int
__wrap_renameat(int from_directory, const char *from, int to_directory, const char *to)
{
    WATCH(int, line_of_rename(from_directory, from, to_directory, to),
          __real_renameat(from_directory, from, to_directory, to));
}

int
__wrap_unlinkat(int directory, const char *path, int flags)
{
    WATCH(int, line_of_path("remove", directory, path), __real_unlinkat(directory, path, flags));
}

int
__wrap_mkdirat(int directory, const char *path, mode_t mode)
{
    WATCH(int, line_of_path("mkdir", directory, path), __real_mkdirat(directory, path, mode));
}

int
__wrap_fchmod(int fd, mode_t mode)
{
    WATCH(int, line_of_fd("mode", fd), __real_fchmod(fd, mode));
}

int
__wrap_fchmodat(int directory, const char *path, mode_t mode, int flags)
{
    WATCH(int, line_of_path("mode", directory, path),
          __real_fchmodat(directory, path, mode, flags));
}

int
__wrap_ftruncate(int fd, off_t size_bytes)
{
    WATCH(int, line_of_fd("truncate", fd), __real_ftruncate(fd, size_bytes));
}
