/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/worker.h>

#include "base/fd.h"
#include "run/worker_private.h"

#include <vmrun/error.h>
#include <vmrun/lock.h>
#include <vmrun/process.h>
#include <vmrun/spawn.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* What may be on the way is a domain's XML or a host state: far below. */
#define LINE_LIMIT (4 * 1024 * 1024)
#define STOP_TIMEOUT_MS 5000
#define KILL_TIMEOUT_MS 1000
#define TICK_MS 10 /* where there is no pidfd */

struct _VrWorker {
    int socket; /* -1: abandoned */
    int pidfd;  /* -1: abandoned, or the system has none */
    int pid;
    uint64_t start_time;
    GString *received; /* behind the last whole line */
    int passed;        /* a descriptor that came with what was received, -1 */
    bool reaped;
    bool silent; /* its end of the socket is closed: it is about to end, if it has not yet */
};

char *
vr_worker_line(JsonObject *object)
{
    g_autoptr(JsonNode) node = json_node_new(JSON_NODE_OBJECT);
    json_node_set_object(node, object);
    g_autofree char *text = json_to_string(node, FALSE);
    return g_strconcat(text, "\n", NULL);
}

JsonObject *
vr_worker_parse(const char *line)
{
    g_autoptr(JsonNode) node = json_from_string(line, NULL);
    return node != NULL && JSON_NODE_HOLDS_OBJECT(node) ? json_node_dup_object(node) : NULL;
}

static VrWorker *
start_program(const VrSysroot *root, const char *const *argv, int share, GError **error)
{
    int ends[2] = {-1, -1};
    int pid = 0;
    /* A socket and not two pipes: MSG_NOSIGNAL spares us SIGPIPE when the worker is dead. */
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
        vr_error_set_errno(error, errno, "make a socket for the worker");
        return NULL;
    }
    vr_autofd int ours = ends[0];
    vr_autofd int theirs = ends[1];
    const int files[] = {theirs, theirs, share};
    if (!vr_spawn_start_holding(argv, files, &pid, error)) {
        vr_error_prefix(error, "start the worker");
        return NULL;
    }
    VrWorker *worker = g_new0(VrWorker, 1);
    worker->socket = vr_fd_steal(&ours);
    worker->pid = pid;
    worker->pidfd = vr_spawn_pidfd(pid);
    worker->start_time = vr_process_start_time(root, pid);
    worker->received = g_string_new(NULL);
    worker->passed = -1;
    return worker;
}

VrWorker *
vr_worker_start_for(const VrSysroot *root, const char *profile, const char *const *argv,
                    GError **error)
{
    static const char *const here[] = {"/proc/self/exe", "worker", NULL};
    const char *const there[] = {"/proc/self/exe", "worker", "--root", vr_sysroot_directory(root),
                                 NULL};
    const char *const *own = vr_sysroot_is_live(root) ? here : there;
    vr_autofd int share = profile != NULL ? vr_lock_join_work(root, profile, error) : -1;
    if (profile != NULL && share < 0) {
        vr_error_prefix(error, "start a worker for '%s'", profile);
        return NULL;
    }
    return start_program(root, argv != NULL ? argv : own, share, error);
}

VrWorker *
vr_worker_start_program(const VrSysroot *root, const char *const *argv, GError **error)
{
    return vr_worker_start_for(root, NULL, argv, error);
}

VrWorker *
vr_worker_start(const VrSysroot *root, const char *profile, GError **error)
{
    return vr_worker_start_for(root, profile, NULL, error);
}

int
vr_worker_pid(const VrWorker *worker)
{
    return worker->pid;
}

uint64_t
vr_worker_start_time(const VrWorker *worker)
{
    return worker->start_time;
}

int
vr_worker_pidfd(const VrWorker *worker)
{
    return worker->pidfd;
}

bool
vr_worker_is_lost(const VrWorker *worker)
{
    return worker->silent || worker->pidfd < 0 || vr_process_wait(worker->pidfd, 0);
}

static bool
reap(VrWorker *worker)
{
    if (!worker->reaped && waitpid(worker->pid, NULL, WNOHANG) != 0) {
        worker->reaped = true; /* it ended, or somebody else has reaped it */
    }
    return worker->reaped;
}

static bool
wait_for_end(VrWorker *worker, unsigned timeout_ms)
{
    int64_t deadline = g_get_monotonic_time() + (int64_t) timeout_ms * 1000;
    if (worker->pidfd >= 0) {
        vr_process_wait(worker->pidfd, timeout_ms);
    }
    while (!reap(worker) && g_get_monotonic_time() < deadline) {
        g_usleep(TICK_MS * 1000);
    }
    return worker->reaped;
}

void
vr_worker_abandon(VrWorker *worker, bool kill_it)
{
    vr_fd_clear(&worker->socket);
    if (kill_it && !reap(worker)) { /* not reaped: the pid is still its own */
        kill(worker->pid, SIGKILL);
        wait_for_end(worker, KILL_TIMEOUT_MS);
    }
    vr_fd_clear(&worker->pidfd);
}

void
vr_worker_stop(VrWorker *worker)
{
    if (worker == NULL) {
        return;
    }
    bool was_ours = worker->socket >= 0;
    vr_fd_clear(&worker->socket); /* its standard input ends */
    if (was_ours) {
        wait_for_end(worker, STOP_TIMEOUT_MS);
    }
    vr_fd_clear(&worker->pidfd);
    vr_fd_clear(&worker->passed);
    g_string_free(worker->received, TRUE);
    g_free(worker);
}

/* Until when a call may take, and until when it may be silent. */
typedef struct {
    int64_t deadline, slow; /* monotonic, microseconds; slow 0: told already */
    const VrWorkerWatch *watch;
} Patience;

static bool
died(VrWorker *worker, GError **error)
{
    worker->silent = true;
    return vr_error_set(error, VR_ERROR_FAILED, "the worker (process %d) ended unexpectedly",
                        worker->pid);
}

/* Wait until the socket is ready. False with an error at the deadline. */
static bool
wait_ready(VrWorker *worker, short events, Patience *patience, GError **error)
{
    for (;;) {
        int64_t now = g_get_monotonic_time();
        if (patience->slow != 0 && now >= patience->slow) {
            patience->slow = 0;
            patience->watch->slow(patience->watch->data);
        }
        if (now >= patience->deadline) {
            return vr_error_set(error, VR_ERROR_STUCK,
                                "no answer from the worker (process %d) in time", worker->pid);
        }
        int64_t until =
            patience->slow != 0 ? MIN(patience->slow, patience->deadline) : patience->deadline;
        struct pollfd polled[] = {
            {.fd = worker->socket, .events = events},
            {.fd = worker->pidfd, .events = POLLIN},
        };
        int ready =
            poll(polled, G_N_ELEMENTS(polled), (int) MIN((until - now) / 1000 + 1, G_MAXINT));
        if (ready > 0 && polled[0].revents != 0) {
            return true;
        }
        if (ready > 0 && polled[1].revents != 0) {
            return died(worker, error);
        }
    }
}

static bool
send_all(VrWorker *worker, const char *text, Patience *patience, GError **error)
{
    size_t left = strlen(text);
    while (left > 0) {
        ssize_t count = send(worker->socket, text, left, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (count >= 0) {
            text += count;
            left -= (size_t) count;
        } else if (errno == EPIPE || errno == ECONNRESET) {
            return died(worker, error);
        } else if (errno != EAGAIN && errno != EINTR) {
            return vr_error_set_errno(error, errno, "talk to the worker");
        } else if (!wait_ready(worker, POLLOUT, patience, error)) {
            return false;
        }
    }
    return true;
}

/* Only the last one counts; none is left open. */
static void
keep_passed(VrWorker *worker, struct msghdr *message)
{
    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header != NULL;
         header = CMSG_NXTHDR(message, header)) {
        if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
            header->cmsg_len == CMSG_LEN(sizeof(int))) {
            vr_fd_clear(&worker->passed);
            memcpy(&worker->passed, CMSG_DATA(header), sizeof(int));
        }
    }
}

/* recv(2), and any descriptor with it. There is room for one only: the kernel closes the others. */
static ssize_t
receive_some(VrWorker *worker, char *buffer, size_t size)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    struct iovec vector = {.iov_base = buffer, .iov_len = size};
    struct msghdr message = {
        .msg_iov = &vector,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
        .msg_controllen = sizeof control.bytes,
    };
    ssize_t count = recvmsg(worker->socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (count > 0) {
        keep_passed(worker, &message);
    }
    return count;
}

int
vr_worker_take_fd(VrWorker *worker)
{
    return vr_fd_steal(&worker->passed);
}

/* The next whole line, without its newline. Owned; NULL with an error. */
static char *
receive_line(VrWorker *worker, Patience *patience, GError **error)
{
    char buffer[16 * 1024];
    for (;;) {
        char *end = memchr(worker->received->str, '\n', worker->received->len);
        if (end != NULL) {
            gssize length = end - worker->received->str;
            char *line = g_strndup(worker->received->str, (gsize) length);
            g_string_erase(worker->received, 0, length + 1);
            return line;
        }
        ssize_t count = receive_some(worker, buffer, sizeof buffer);
        if (count == 0 || (count < 0 && errno == ECONNRESET)) {
            died(worker, error);
            return NULL;
        }
        if (count > 0 && worker->received->len < LINE_LIMIT) {
            g_string_append_len(worker->received, buffer, count);
        } else if (count > 0 || (errno != EAGAIN && errno != EINTR)) {
            vr_error_set(error, VR_ERROR_FAILED, "the worker's answer cannot be read");
            return NULL;
        } else if (!wait_ready(worker, POLLIN, patience, error)) {
            return NULL;
        }
    }
}

static JsonObject *
receive_answer(VrWorker *worker, Patience *patience, GError **error)
{
    for (;;) {
        g_autofree char *line = receive_line(worker, patience, error);
        if (line == NULL) {
            return NULL;
        }
        g_autoptr(JsonObject) answer = vr_worker_parse(line);
        if (answer == NULL) {
            vr_error_set(error, VR_ERROR_FAILED, "the worker's answer is no JSON object");
            return NULL;
        }
        if (json_object_has_member(answer, "ok")) {
            return g_steal_pointer(&answer);
        }
    }
}

static JsonObject *
check_answer(JsonObject *answer, GError **error)
{
    if (json_object_get_boolean_member_with_default(answer, "ok", FALSE)) {
        return answer;
    }
    gint64 code = json_object_get_int_member_with_default(answer, "code", VR_ERROR_FAILED);
    /* Stuck is our own word; from the worker it would mean that it is not. */
    bool known = code > 0 && code < VR_ERROR_STUCK;
    g_set_error_literal(
        error, VR_ERROR, known ? (gint) code : VR_ERROR_FAILED,
        json_object_get_string_member_with_default(answer, "message", "no reason was given"));
    json_object_unref(answer);
    return NULL;
}

JsonObject *
vr_worker_call_watched(VrWorker *worker, JsonObject *request, unsigned timeout_ms,
                       const VrWorkerWatch *watch, GError **error)
{
    g_autoptr(JsonObject) owned = request;
    g_autofree char *line = vr_worker_line(owned);
    int64_t now = g_get_monotonic_time();
    Patience patience = {
        .deadline = now + (int64_t) timeout_ms * 1000,
        .slow = watch != NULL ? now + (int64_t) watch->after_ms * 1000 : 0,
        .watch = watch,
    };
    if (worker->socket < 0) {
        vr_error_set(error, VR_ERROR_FAILED, "the worker (process %d) was given up", worker->pid);
        return NULL;
    }
    if (!send_all(worker, line, &patience, error)) {
        return NULL;
    }
    JsonObject *answer = receive_answer(worker, &patience, error);
    return answer != NULL ? check_answer(answer, error) : NULL;
}

JsonObject *
vr_worker_call(VrWorker *worker, JsonObject *request, unsigned timeout_ms, GError **error)
{
    return vr_worker_call_watched(worker, request, timeout_ms, NULL, error);
}
