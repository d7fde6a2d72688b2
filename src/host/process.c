/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/process.h>

#include <vmrun/error.h>
#include <vmrun/text.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * /proc/PID/stat: "pid (comm) state …"; comm may hold anything, blanks and parentheses too, so
 * fields are counted from the last ')' (proc(5)). State is field 3, the start time field 22.
 */
uint64_t
vr_process_start_time(const VrSysroot *root, int pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/stat", pid);
    g_autofree char *text = pid > 0 ? vr_sysroot_read_optional(root, path) : NULL;
    const char *rest = text != NULL ? strrchr(text, ')') : NULL;
    if (rest == NULL || rest[1] != ' ') {
        return 0;
    }
    g_auto(GStrv) fields = g_strsplit(rest + 2, " ", -1);
    uint64_t start_time = 0;
    if (g_strv_length(fields) < 20 || strchr("ZXx", fields[0][0]) != NULL ||
        !vr_text_to_uint(fields[19], 0, UINT64_MAX, &start_time)) {
        return 0;
    }
    return start_time;
}

/* fs/proc/base.c, proc_pid_wchan: the name of a function, "0" when it runs, or when the kernel does
 * not tell. */
char *
vr_process_where(const VrSysroot *root, int pid)
{
    g_autofree char *stat_path = g_strdup_printf("/proc/%d/stat", pid);
    g_autofree char *wchan_path = g_strdup_printf("/proc/%d/wchan", pid);
    g_autofree char *stat = vr_sysroot_read_optional(root, stat_path);
    g_autofree char *wchan = vr_sysroot_read_optional(root, wchan_path);
    const char *rest = stat != NULL ? strrchr(stat, ')') : NULL;
    if (rest == NULL || rest[1] != ' ' || !g_ascii_isalpha(rest[2])) {
        return g_strdup("gone");
    }
    bool told = wchan != NULL && wchan[0] != '\0' && !g_str_equal(wchan, "0");
    g_autofree char *place = told ? vr_text_printable(wchan) : NULL;
    return g_strdup_printf("state %c%s%s", rest[2], told ? " in " : "", told ? place : "");
}

int
vr_process_parent(const VrSysroot *root, int pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/stat", pid);
    g_autofree char *text = pid > 0 ? vr_sysroot_read_optional(root, path) : NULL;
    const char *rest = text != NULL ? strrchr(text, ')') : NULL;
    g_auto(GStrv) fields = rest != NULL ? g_strsplit(rest, " ", 4) : NULL; /* ") S 1 …" */
    uint64_t parent = 0;
    return fields != NULL && g_strv_length(fields) >= 3 &&
                   vr_text_to_uint(fields[2], 0, G_MAXINT, &parent)
               ? (int) parent
               : 0;
}

bool
vr_process_is_alive(const VrSysroot *root, int pid, uint64_t start_time)
{
    return start_time != 0 && vr_process_start_time(root, pid) == start_time;
}

int
vr_process_open(const VrSysroot *root, int pid, uint64_t start_time, GError **error)
{
    int pidfd = (int) syscall(SYS_pidfd_open, pid, 0);
    if (pidfd < 0) {
        vr_error_set_errno(error, errno == ESRCH ? ENODEV : errno, "open process %d", pid);
        return -1;
    }
    /* Only after the fd is ours does the start time prove whose it is. */
    if (!vr_process_is_alive(root, pid, start_time)) {
        close(pidfd);
        vr_error_set(error, VR_ERROR_GONE, "process %d has ended", pid);
        return -1;
    }
    return pidfd;
}

bool
vr_process_signal(const VrSysroot *root, int pid, uint64_t start_time, int signal_number,
                  GError **error)
{
    int pidfd = vr_process_open(root, pid, start_time, error);
    if (pidfd < 0) {
        return false;
    }
    bool sent = syscall(SYS_pidfd_send_signal, pidfd, signal_number, NULL, 0) == 0;
    if (!sent) {
        vr_error_set_errno(error, errno, "send signal %d to process %d", signal_number, pid);
    }
    close(pidfd);
    return sent;
}

bool
vr_process_wait(int pidfd, unsigned timeout_ms)
{
    int64_t deadline = g_get_monotonic_time() + (int64_t) timeout_ms * 1000;
    for (;;) {
        int64_t left_ms = (deadline - g_get_monotonic_time() + 999) / 1000;
        struct pollfd wait = {.fd = pidfd, .events = POLLIN};
        int ready = poll(&wait, 1, left_ms > 0 ? (int) left_ms : 0);
        if (ready > 0) {
            return true;
        }
        if (ready == 0 || errno != EINTR) {
            return false;
        }
    }
}
