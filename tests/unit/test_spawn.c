/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/spawn.h>

#include "base/fd.h"

#include <vmrun/error.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

enum { GENEROUS_MS = 30000 };

static VrSpawnResult *
run_shell(const char *script)
{
    const char *const argv[] = {"sh", "-c", script, NULL};
    g_autoptr(GError) error = NULL;
    VrSpawnResult *result = vr_spawn(argv, GENEROUS_MS, &error);

    g_assert_no_error(error);
    return result;
}

static void
test_captures_output_and_status(void)
{
    g_autoptr(VrSpawnResult) result = run_shell("echo out; echo err >&2; exit 3");

    g_assert_cmpint(result->exit_status, ==, 3);
    g_assert_cmpstr(result->standard_output, ==, "out\n");
    g_assert_cmpstr(result->standard_error, ==, "err\n");
}

static void
test_arguments_are_no_shell(void)
{
    const char *const argv[] = {"printf", "%s|", "a b", "$HOME", "`id`", ";", "", NULL};
    g_autoptr(VrSpawnResult) result = vr_spawn(argv, GENEROUS_MS, NULL);

    g_assert_cmpstr(result->standard_output, ==, "a b|$HOME|`id`|;||");
}

static void
test_environment_is_built(void)
{
    g_setenv("VMRUN_TEST_SECRET", "1", TRUE);
    const char *const argv[] = {"env", NULL};
    g_autoptr(VrSpawnResult) result = vr_spawn(argv, GENEROUS_MS, NULL);
    g_auto(GStrv) lines = g_strsplit(result->standard_output, "\n", 0);

    g_assert_true(g_str_has_prefix(lines[0], "PATH="));
    g_assert_cmpstr(lines[1], ==, "LC_ALL=C.UTF-8");
    g_assert_cmpstr(lines[2], ==, "");
}

static void
test_inherits_nothing(void)
{
    int leaky = open("/dev/null", O_RDONLY); /* on purpose without O_CLOEXEC */
    int high = fcntl(leaky, F_DUPFD, 200);
    /* The loop's own glob opens one descriptor while it runs; it has closed it when it prints. */
    g_autoptr(VrSpawnResult) result =
        run_shell("for f in /proc/self/fd/*; do [ -e $f ] && printf '%s ' ${f##*/}; done; "
                  "read -r line || echo empty");

    g_assert_cmpint(result->exit_status, ==, 0);
    g_assert_cmpstr(result->standard_output, ==, "0 1 2 empty\n");
    close(leaky);
    close(high);
}

static void
test_signal_is_a_status(void)
{
    g_autoptr(VrSpawnResult) result = run_shell("kill -SEGV $$");

    g_assert_cmpint(result->exit_status, ==, 128 + SIGSEGV);
}

static void
test_signals_are_as_new(void)
{
    sigset_t blocked;

    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    signal(SIGPIPE, SIG_IGN);
    sigprocmask(SIG_BLOCK, &blocked, NULL);
    g_autoptr(VrSpawnResult) ignored = run_shell("kill -PIPE $$; echo alive");
    g_autoptr(VrSpawnResult) masked = run_shell("kill -TERM $$; echo alive");
    sigprocmask(SIG_UNBLOCK, &blocked, NULL);
    signal(SIGPIPE, SIG_DFL);

    g_assert_cmpint(ignored->exit_status, ==, 128 + SIGPIPE);
    g_assert_cmpint(masked->exit_status, ==, 128 + SIGTERM);
}

static void
test_big_output_is_cut(void)
{
    g_autoptr(VrSpawnResult) result =
        run_shell("head -c 5000000 /dev/zero | tr '\\0' x; head -c 3000000 /dev/zero | "
                  "tr '\\0' y >&2; exit 1");

    g_assert_cmpint(result->exit_status, ==, 1);
    g_assert_cmpuint(strlen(result->standard_output), ==, 1024 * 1024);
    g_assert_cmpuint(strlen(result->standard_error), ==, 1024 * 1024);
}

static void
test_output_is_valid_utf8(void)
{
    g_autoptr(VrSpawnResult) result = run_shell("printf 'a\\377b\\000c'");

    g_assert_true(g_utf8_validate(result->standard_output, -1, NULL));
    g_assert_true(g_str_has_prefix(result->standard_output, "a"));
}

static void
test_missing_program(void)
{
    const char *const argv[] = {"no-such-program-anywhere", NULL};
    g_autoptr(GError) error = NULL;

    g_assert_null(vr_spawn(argv, GENEROUS_MS, &error));
    g_assert_error(error, VR_ERROR, VR_ERROR_NOT_FOUND);
    g_assert_nonnull(strstr(error->message, "no-such-program-anywhere"));
}

/* The child tells its pid through a file, so that the test can see that it is gone. */
static void
check_killed(const char *script)
{
    g_autofree char *directory = g_dir_make_tmp("vmrun-XXXXXX", NULL);
    g_autofree char *file = g_build_filename(directory, "pid", NULL);
    const char *const argv[] = {"sh", "-c", script, "sh", file, NULL};
    const char *const cleanup[] = {"rm", "-rf", directory, NULL};
    g_autofree char *text = NULL;
    g_autoptr(GError) error = NULL;
    gint64 start_us = g_get_monotonic_time();

    g_assert_null(vr_spawn(argv, 1000, &error));
    g_assert_error(error, VR_ERROR, VR_ERROR_TIMED_OUT);
    g_assert_cmpint(g_get_monotonic_time() - start_us, <, 20 * G_USEC_PER_SEC);
    g_assert_true(g_file_get_contents(file, &text, NULL, NULL));
    pid_t pid = (pid_t) g_ascii_strtoll(text, NULL, 10);
    g_assert_cmpint(pid, >, 1);
    g_assert_cmpint(kill(pid, 0), ==, -1);
    g_assert_cmpint(errno, ==, ESRCH);
    g_assert_true(vr_spawn_check(cleanup, GENEROUS_MS, NULL));
}

static void
test_deadline(void)
{
    check_killed("echo $$ >$1; exec sleep 1000");
}

static void
test_deadline_with_sigterm_ignored(void)
{
    check_killed("trap '' TERM; echo $$ >$1; while :; do read -r line </dev/zero; done");
}

static void
test_endless_output_has_a_deadline(void)
{
    check_killed("echo $$ >$1; exec yes");
}

static void
test_a_grandchild_does_not_hold_us(void)
{
    gint64 start_us = g_get_monotonic_time();
    g_autoptr(VrSpawnResult) result = run_shell("sleep 25 & echo $!");

    g_assert_cmpint(result->exit_status, ==, 0);
    g_assert_cmpint(g_get_monotonic_time() - start_us, <, 15 * G_USEC_PER_SEC);
    kill((pid_t) g_ascii_strtoll(result->standard_output, NULL, 10), SIGKILL);
}

static void
test_check_shows_the_first_line(void)
{
    static const struct {
        const char *script, *wanted;
    } cases[] = {
        {"echo bad thing >&2; echo more >&2; exit 4", "run sh: ended with status 4: bad thing"},
        {"exit 5", "run sh: ended with status 5"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        const char *const argv[] = {"sh", "-c", cases[i].script, NULL};
        g_autoptr(GError) error = NULL;

        g_assert_false(vr_spawn_check(argv, GENEROUS_MS, &error));
        g_assert_error(error, VR_ERROR, VR_ERROR_FAILED);
        g_assert_cmpstr(error->message, ==, cases[i].wanted);
    }
}

static void
test_start_talks_through_descriptors(void)
{
    const char *const argv[] = {"cat", NULL};
    int to_child[2] = {-1, -1}, from_child[2] = {-1, -1};
    int pid = 0, status = -1;
    char buffer[8] = "";
    g_autoptr(GError) error = NULL;

    g_assert_cmpint(pipe2(to_child, O_CLOEXEC) | pipe2(from_child, O_CLOEXEC), ==, 0);
    g_assert_true(vr_spawn_start(argv, to_child[0], from_child[1], &pid, &error));
    g_assert_no_error(error);
    vr_autofd int pidfd = vr_spawn_pidfd(pid);
    vr_fd_clear(&to_child[0]);
    vr_fd_clear(&from_child[1]);
    g_assert_cmpint(getpgid(pid), ==, pid);
    g_assert_cmpint(write(to_child[1], "hello", 5), ==, 5);
    vr_fd_clear(&to_child[1]);
    g_assert_cmpint(read(from_child[0], buffer, sizeof buffer - 1), ==, 5);
    g_assert_cmpstr(buffer, ==, "hello");
    if (pidfd >= 0) { /* not under valgrind */
        struct pollfd polled = {.fd = pidfd, .events = POLLIN};
        g_assert_cmpint(poll(&polled, 1, GENEROUS_MS), ==, 1);
    }
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_cmpint(status, ==, 0);
    vr_fd_clear(&from_child[0]);
}

int
main(int argc, char **argv)
{
    static const struct {
        const char *path;
        void (*test)(void);
    } tests[] = {
        {"/base/spawn/captures-output-and-status", test_captures_output_and_status},
        {"/base/spawn/arguments-are-no-shell", test_arguments_are_no_shell},
        {"/base/spawn/environment-is-built", test_environment_is_built},
        {"/base/spawn/inherits-nothing", test_inherits_nothing},
        {"/base/spawn/signal-is-a-status", test_signal_is_a_status},
        {"/base/spawn/signals-are-as-new", test_signals_are_as_new},
        {"/base/spawn/big-output-is-cut", test_big_output_is_cut},
        {"/base/spawn/output-is-valid-utf8", test_output_is_valid_utf8},
        {"/base/spawn/missing-program", test_missing_program},
        {"/base/spawn/deadline-kills", test_deadline},
        {"/base/spawn/deadline-kills-what-ignores-sigterm", test_deadline_with_sigterm_ignored},
        {"/base/spawn/endless-output-has-a-deadline", test_endless_output_has_a_deadline},
        {"/base/spawn/a-grandchild-does-not-hold-us", test_a_grandchild_does_not_hold_us},
        {"/base/spawn/check-shows-the-first-line", test_check_shows_the_first_line},
        {"/base/spawn/start-talks-through-descriptors", test_start_talks_through_descriptors},
    };

    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_test_add_func(tests[i].path, tests[i].test);
    }
    return g_test_run();
}
