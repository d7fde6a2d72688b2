/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Holds what a card's driver waits for, in ways that a shell cannot.
 *
 *   hold in-flight PATH      opens it and leaves it in the queue of a socket: no process has it
 *   hold steal PID           takes QEMU's VFIO group and devices over, as a dying QEMU keeps them;
 *                            SIGUSR1: leaves them in the queue of a socket, too
 *   hold poll PERIOD_MS HOLD_MS UID GID DIRECTORY
 *                            opens every DRM node of the directory each period, and holds it; says
 *                            "torn" when the driver has gone under an open one
 *
 * Says "ready" when it holds (or begins), "hidden" after SIGUSR1, and ends with SIGTERM.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MOST 32

/* DRM_IOCTL_VERSION of the kernel's drm.h: three numbers and three texts, for which no room is
 * given.
 */
struct version {
    int numbers[3];
    struct {
        size_t length;
        char *text;
    } texts[3];
};
#define ASK_VERSION _IOWR('d', 0, struct version)

static int held[MOST];
static int held_count;
static int queue[2] = {-1, -1};

static void
give_up(const char *what)
{
    fprintf(stderr, "hold: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void
say(const char *word)
{
    printf("%s\n", word);
    fflush(stdout);
}

/* unix(7), SCM_RIGHTS: sent and never received; both ends stay open. */
static void
put_in_flight(void)
{
    char data = 0;
    union {
        char bytes[CMSG_SPACE(sizeof held)];
        struct cmsghdr header;
    } control = {0};
    struct iovec vector = {&data, 1};
    size_t size = sizeof(int) * (size_t) held_count;
    struct msghdr message = {.msg_iov = &vector,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = CMSG_SPACE(size)};
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, queue) != 0) {
        give_up("socketpair");
    }
    struct cmsghdr *header = &control.header;
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(size);
    memcpy(CMSG_DATA(header), held, size);
    if (sendmsg(queue[0], &message, 0) != 1) {
        give_up("sendmsg");
    }
    for (int i = 0; i < held_count; i++) {
        close(held[i]);
    }
    held_count = 0;
}

static void
open_one(const char *path)
{
    held[held_count] = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (held[held_count++] < 0) {
        give_up(path);
    }
}

static int
is_vfio(const char *target)
{
    return strstr(target, "vfio-device") != NULL ||
           (strncmp(target, "/dev/vfio/", 10) == 0 && strcmp(target, "/dev/vfio/vfio") != 0);
}

static void
steal(int pid)
{
    char path[64], target[256];
    int pidfd = (int) syscall(SYS_pidfd_open, pid, 0);
    snprintf(path, sizeof path, "/proc/%d/fd", pid);
    DIR *directory = opendir(path);
    const struct dirent *entry = NULL;
    if (pidfd < 0 || directory == NULL) {
        give_up(path);
    }
    while ((entry = readdir(directory)) != NULL && held_count < MOST) {
        ssize_t length = readlinkat(dirfd(directory), entry->d_name, target, sizeof target - 1);
        target[length > 0 ? length : 0] = '\0';
        if (!is_vfio(target)) {
            continue;
        }
        held[held_count] = (int) syscall(SYS_pidfd_getfd, pidfd, atoi(entry->d_name), 0);
        if (held[held_count++] < 0) {
            give_up("pidfd_getfd");
        }
    }
    closedir(directory);
    close(pidfd);
    if (held_count == 0) {
        errno = ENOENT;
        give_up("no VFIO file");
    }
}

static void
rest(long ms)
{
    struct timespec time = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&time, NULL);
}

static void
open_all(const char *path)
{
    DIR *directory = opendir(path);
    const struct dirent *entry = NULL;
    while (directory != NULL && (entry = readdir(directory)) != NULL && held_count < MOST) {
        int fd = entry->d_type == DT_CHR
                     ? openat(dirfd(directory), entry->d_name, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
                     : -1;
        if (fd >= 0) {
            held[held_count++] = fd;
        }
    }
    if (directory != NULL) {
        closedir(directory);
    }
}

/* Once drm_dev_unplug() has run every ioctl answers ENODEV (drm_ioctl.c, drm_ioctl_kernel). */
static void
say_if_torn(int fd)
{
    struct version version = {0};
    if (ioctl(fd, ASK_VERSION, &version) != 0 && errno == ENODEV) {
        say("torn");
    }
}

static void
poll_nodes(char **arguments)
{
    long period_ms = atol(arguments[0]), hold_ms = atol(arguments[1]);
    uid_t uid = (uid_t) atol(arguments[2]);
    gid_t gid = (gid_t) atol(arguments[3]);
    if (uid != 0 && (setgroups(1, &gid) != 0 || setgid(gid) != 0 || setuid(uid) != 0)) {
        give_up("become the user");
    }
    say("ready");
    for (;;) {
        open_all(arguments[4]);
        rest(hold_ms);
        while (held_count > 0) {
            say_if_torn(held[--held_count]);
            close(held[held_count]);
        }
        rest(period_ms - hold_ms);
    }
}

static void
wait_for_the_end(void)
{
    sigset_t signals;
    int received = 0;
    sigemptyset(&signals);
    sigaddset(&signals, SIGUSR1);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    say("ready");
    if (sigwait(&signals, &received) == 0) {
        put_in_flight();
        say("hidden");
    }
    for (;;) {
        pause();
    }
}

int
main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "in-flight") == 0) {
        open_one(argv[2]);
        put_in_flight();
    } else if (argc == 3 && strcmp(argv[1], "steal") == 0) {
        steal(atoi(argv[2]));
    } else if (argc == 7 && strcmp(argv[1], "poll") == 0) {
        poll_nodes(argv + 2);
    } else {
        fprintf(stderr, "usage: see the source\n");
        return 2;
    }
    wait_for_the_end();
}
