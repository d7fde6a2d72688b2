/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/spawn.h>

#include "base/fd.h"

#include <vmrun/error.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum {
    KEPT_BYTES = 1024 * 1024,
    READ_BYTES = 16 * 1024,
    GRACE_MS = 500, /* between SIGTERM and SIGKILL */
    REAP_MS = 2000, /* after SIGKILL; a process inside a driver may not even die of that */
    TICK_MS = 10,   /* where there is no pidfd (valgrind, kernels before 5.3) */
};

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

typedef struct {
    int pid;
    int pidfd;
    int output[2]; /* read ends: standard output, standard error; -1 at their end */
    GString *kept[2];
    bool has_ended;
    int wait_status;
} Child;

void
vr_spawn_result_free(VrSpawnResult *result)
{
    if (result != NULL) {
        g_free(result->standard_output);
        g_free(result->standard_error);
        g_free(result);
    }
}

static int64_t
now_ms(void)
{
    return g_get_monotonic_time() / 1000;
}

int
vr_spawn_pidfd(int pid)
{
    return (int) syscall(SYS_pidfd_open, pid, 0U);
}

/* All signals as a new program expects them, and a process group to be killed as a whole. */
static void
set_attributes(posix_spawnattr_t *attributes)
{
    sigset_t all, none;

    sigfillset(&all);
    sigemptyset(&none);
    posix_spawnattr_setsigdefault(attributes, &all);
    posix_spawnattr_setsigmask(attributes, &none);
    posix_spawnattr_setpgroup(attributes, 0);
    posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK |
                                             POSIX_SPAWN_SETPGROUP);
}

/* The only place where a process is made. `descriptors`: what it has as 0 to 3; the last may be
 * -1. */
static bool
start(const char *const *argv, const int descriptors[4], int *out_pid, GError **error)
{
    const char *path = g_getenv("PATH");
    g_autofree char *path_setting = g_strconcat("PATH=", path != NULL ? path : DEFAULT_PATH, NULL);
    char locale_setting[] = "LC_ALL=C.UTF-8";
    char *environment[] = {path_setting, locale_setting, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    pid_t pid = 0;

    /* Not left to posix_spawnp(): its report of a failed exec gets lost under valgrind. */
    g_autofree char *program = g_find_program_in_path(argv[0]);

    if (program == NULL) {
        return vr_error_set_errno(error, ENOENT, "run %s", argv[0]);
    }
    if (descriptors[0] < 0 || descriptors[1] < 0 || descriptors[2] < 0) {
        return vr_error_set_errno(error, EMFILE, "run %s", argv[0]);
    }
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    set_attributes(&attributes);
    int count = descriptors[3] >= 0 ? 4 : 3;
    for (int i = 0; i < count; i++) {
        posix_spawn_file_actions_adddup2(&actions, descriptors[i], i);
    }
    posix_spawn_file_actions_addclosefrom_np(&actions, count);
    int result =
        posix_spawn(&pid, program, &actions, &attributes, (char *const *) argv, environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    if (result != 0) {
        return vr_error_set_errno(error, result, "run %s", argv[0]);
    }
    *out_pid = pid;
    return true;
}

/* Descriptors 0 to 2 would be overwritten by the very dup2 calls that read them. */
static int
above_standard(int fd)
{
    return fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

bool
vr_spawn_start_holding(const char *const *argv, const int files[3], int *out_pid, GError **error)
{
    vr_autofd int input = above_standard(files[0]);
    vr_autofd int output = above_standard(files[1]);
    vr_autofd int error_output = above_standard(STDERR_FILENO);

    if (error_output < 0) { /* our own is closed */
        error_output = open("/dev/null", O_WRONLY | O_CLOEXEC);
    }
    const int descriptors[] = {input, output, error_output, files[2]};
    return start(argv, descriptors, out_pid, error);
}

bool
vr_spawn_start(const char *const *argv, int standard_input, int standard_output, int *out_pid,
               GError **error)
{
    const int files[] = {standard_input, standard_output, -1};
    return vr_spawn_start_holding(argv, files, out_pid, error);
}

static bool
open_pipe(int *out_read, int *out_write, GError **error)
{
    int ends[2] = {-1, -1};

    if (pipe2(ends, O_CLOEXEC) != 0) {
        return vr_error_set_errno(error, errno, "make a pipe");
    }
    *out_read = above_standard(ends[0]);
    *out_write = above_standard(ends[1]);
    close(ends[0]);
    close(ends[1]);
    if (*out_read < 0 || *out_write < 0 || fcntl(*out_read, F_SETFL, O_NONBLOCK) != 0) {
        return vr_error_set_errno(error, EMFILE, "make a pipe");
    }
    return true;
}

static bool
start_captured(Child *child, const char *const *argv, GError **error)
{
    vr_autofd int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    vr_autofd int input = above_standard(null_fd);
    vr_autofd int output = -1;
    vr_autofd int error_output = -1;

    if (!open_pipe(&child->output[0], &output, error) ||
        !open_pipe(&child->output[1], &error_output, error)) {
        return false;
    }
    const int descriptors[] = {input, output, error_output, -1};
    if (!start(argv, descriptors, &child->pid, error)) {
        return false;
    }
    child->pidfd = vr_spawn_pidfd(child->pid);
    return true;
}

static void
child_clear(Child *child)
{
    vr_fd_clear(&child->pidfd);
    for (int i = 0; i < 2; i++) {
        vr_fd_clear(&child->output[i]);
        g_string_free(child->kept[i], TRUE);
    }
}

/* Take what is there. What is above the limit is read and dropped, so that the program goes on. */
static void
drain(Child *child, int which, int64_t deadline_ms)
{
    char buffer[READ_BYTES];

    while (child->output[which] >= 0) {
        ssize_t count = read(child->output[which], buffer, sizeof buffer);

        if (count < 0) {
            if (errno == EINTR) {
                continue;
            }
            return; /* EAGAIN */
        }
        if (count == 0) {
            vr_fd_clear(&child->output[which]);
            return;
        }
        gsize room = KEPT_BYTES - child->kept[which]->len;
        g_string_append_len(child->kept[which], buffer, (gssize) MIN((gsize) count, room));
        if (now_ms() >= deadline_ms) { /* a program that writes for ever has a deadline, too */
            return;
        }
    }
}

static void
reap(Child *child)
{
    if (!child->has_ended && waitpid(child->pid, &child->wait_status, WNOHANG) == child->pid) {
        child->has_ended = true;
    }
}

/* Collect output until the program has ended. false at the deadline. */
static bool
wait_until(Child *child, int64_t deadline_ms)
{
    while (!child->has_ended) {
        int64_t left_ms = deadline_ms - now_ms();

        if (left_ms <= 0) {
            return false;
        }
        struct pollfd polled[] = {
            {.fd = child->pidfd, .events = POLLIN},
            {.fd = child->output[0], .events = POLLIN},
            {.fd = child->output[1], .events = POLLIN},
        };
        if (child->pidfd < 0) {
            left_ms = MIN(left_ms, TICK_MS);
        }
        poll(polled, G_N_ELEMENTS(polled), (int) MIN(left_ms, G_MAXINT));
        reap(child); /* before the last read: what it wrote until its end is in the pipes */
        drain(child, 0, deadline_ms);
        drain(child, 1, deadline_ms);
    }
    return true;
}

/* Its whole group, so that what a shell script has started ends, too. */
static void
kill_child(Child *child)
{
    kill(-child->pid, SIGTERM);
    if (wait_until(child, now_ms() + GRACE_MS)) {
        kill(-child->pid, SIGKILL);
        return;
    }
    kill(-child->pid, SIGKILL);
    wait_until(child, now_ms() + REAP_MS);
}

static VrSpawnResult *
result_of(const Child *child)
{
    VrSpawnResult *result = g_new0(VrSpawnResult, 1);
    int status = child->wait_status;

    result->exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    result->standard_output = g_utf8_make_valid(child->kept[0]->str, (gssize) child->kept[0]->len);
    result->standard_error = g_utf8_make_valid(child->kept[1]->str, (gssize) child->kept[1]->len);
    return result;
}

VrSpawnResult *
vr_spawn(const char *const *argv, unsigned timeout_ms, GError **error)
{
    Child child = {
        .pidfd = -1, .output = {-1, -1}, .kept = {g_string_new(NULL), g_string_new(NULL)}};
    VrSpawnResult *result = NULL;

    if (start_captured(&child, argv, error)) {
        if (wait_until(&child, now_ms() + timeout_ms)) {
            result = result_of(&child);
        } else {
            kill_child(&child);
            vr_error_set(error, VR_ERROR_TIMED_OUT, "run %s: no end after %u ms%s", argv[0],
                         timeout_ms, child.has_ended ? "" : ", and it cannot be killed");
        }
    }
    child_clear(&child);
    return result;
}

bool
vr_spawn_check(const char *const *argv, unsigned timeout_ms, GError **error)
{
    g_autoptr(VrSpawnResult) result = vr_spawn(argv, timeout_ms, error);

    if (result == NULL) {
        return false;
    }
    if (result->exit_status == 0) {
        return true;
    }
    g_strdelimit(g_strchug(result->standard_error), "\n", '\0');
    if (result->standard_error[0] == '\0') {
        return vr_error_set(error, VR_ERROR_FAILED, "run %s: ended with status %d", argv[0],
                            result->exit_status);
    }
    return vr_error_set(error, VR_ERROR_FAILED, "run %s: ended with status %d: %s", argv[0],
                        result->exit_status, result->standard_error);
}
