/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The worker's side: one request at a time, from standard input to standard output. */
#include "base/fd.h"
#include "run/worker_private.h"

#include <vmrun/error.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define LINE_LIMIT (4 * 1024 * 1024)
/* vr_worker_start() puts it there. */
#define SHARE 3

static void
do_nothing(int signal_number)
{
    (void) signal_number;
}

/*
 * A move that has begun must end: signals that systemd or a terminal send to all of us are not for
 * the worker. A handler and not SIG_IGN, which the programs that it starts would inherit; SIGTTOU
 * is the exception, a warning of libvirt on the terminal must not stop us.
 */
static void
refuse_signals(void)
{
    static const int signals[] = {SIGHUP, SIGINT, SIGTERM, SIGQUIT, SIGPIPE, SIGUSR1, SIGUSR2};
    struct sigaction action = {.sa_handler = do_nothing, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    for (guint i = 0; i < G_N_ELEMENTS(signals); i++) {
        sigaction(signals[i], &action, NULL);
    }
    signal(SIGTTOU, SIG_IGN);
}

/* Keep a channel for ourselves and put /dev/null in its place: whatever a library reads or writes
 * there is not part of the protocol, and no child inherits it. */
static int
take_channel(int standard)
{
    vr_autofd int taken = fcntl(standard, F_DUPFD_CLOEXEC, 3);
    vr_autofd int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (taken < 0 || null_fd < 0 || dup2(null_fd, standard) < 0) {
        return -1;
    }
    return vr_fd_steal(&taken);
}

/*
 * A worker that hangs outlives vmrun. The terminal's or a pipe's end in its hands would keep
 * whoever reads there waiting for as long: nothing of ours is said there, what is to be said is an
 * answer. A sanitizer has no other way to speak.
 */
static void
let_go_of_standard_error(void)
{
#ifndef __SANITIZE_ADDRESS__
    vr_autofd int null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (null_fd >= 0 && dup2(null_fd, STDERR_FILENO) < 0) {
        close(STDERR_FILENO);
    }
#endif
}

/* The descriptor goes with the first byte (unix(7), SCM_RIGHTS). */
static ssize_t
send_first(int output, const char *text, size_t length, int fd)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    struct iovec vector = {.iov_base = (char *) text, .iov_len = length};
    struct msghdr message = {
        .msg_iov = &vector,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
        .msg_controllen = sizeof control.bytes,
    };
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(header), &fd, sizeof fd);
    return sendmsg(output, &message, MSG_NOSIGNAL);
}

bool
vr_worker_send(int output, const char *text, int fd)
{
    size_t left = strlen(text);
    while (left > 0) {
        ssize_t count = fd >= 0 ? send_first(output, text, left, fd) : write(output, text, left);
        if (count < 0 && errno != EINTR) {
            return false;
        }
        fd = count > 0 ? -1 : fd;
        text += MAX(count, 0);
        left -= (size_t) MAX(count, 0);
    }
    return true;
}

static bool
answer_line(VrWorkerService *service, const char *line, int output)
{
    g_autoptr(JsonObject) request = vr_worker_parse(line);
    service->has_fd = false;
    g_autoptr(JsonObject) answer = vr_worker_serve(service, request);
    g_autofree char *text = vr_worker_line(answer);
    vr_autofd int passed = service->has_fd ? service->fd : -1;
    return vr_worker_send(output, text, passed);
}

/* Serve every whole line in the buffer. False when the supervisor is gone. */
static bool
serve_lines(VrWorkerService *service, GString *received, int output)
{
    char *end = NULL;
    while ((end = memchr(received->str, '\n', received->len)) != NULL) {
        gssize length = end - received->str;
        g_autofree char *line = g_strndup(received->str, (gsize) length);
        g_string_erase(received, 0, length + 1);
        if (!answer_line(service, line, output)) {
            return false;
        }
    }
    return received->len < LINE_LIMIT;
}

static void
serve(VrWorkerService *service, int input, int output)
{
    char buffer[16 * 1024];
    g_autoptr(GString) received = g_string_new(NULL);
    for (;;) {
        ssize_t count = read(input, buffer, sizeof buffer);
        if (count == 0 || (count < 0 && errno != EINTR)) {
            return;
        }
        if (count > 0) {
            g_string_append_len(received, buffer, count);
        }
        if (!serve_lines(service, received, output)) {
            return;
        }
    }
}

/* The share in the work for a profile is ours, not of the programs that we start. */
static void
keep_share(void)
{
    fcntl(SHARE, F_SETFD, FD_CLOEXEC); /* fails if there is none */
}

int
vr_worker_main(VrSysroot *root)
{
    VrWorkerService service = {.root = root};
    prctl(PR_SET_NAME, "vmrun-worker");
    refuse_signals();
    keep_share();
    vr_autofd int input = take_channel(STDIN_FILENO);
    vr_autofd int output = take_channel(STDOUT_FILENO);
    let_go_of_standard_error();
    if (input < 0 || output < 0) {
        return VR_ERROR_FAILED;
    }
    serve(&service, input, output);
    vr_hypervisor_close(service.hypervisor);
    return 0;
}
