/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/unit.h>

#include <glib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define ID "8f2f2a7e0c5d4be1a5e0d1c2b3a49586"

static void
test_restarted(void)
{
    static const struct {
        const char *properties;
        bool restarted;
    } rows[] = {
        {"NRestarts=1\nInvocationID=" ID "\n", true},
        {"InvocationID=" ID "\nNRestarts=17\n", true},
        {"NRestarts=0\nInvocationID=" ID "\n", false},
        {"NRestarts=1\nInvocationID=00000000000000000000000000000000\n", false},
        {"NRestarts=1\nInvocationID=\n", false}, /* no such unit */
        {"NRestarts=1\n", false},
        {"XNRestarts=1\nInvocationID=" ID "\n", false},
        {"NRestarts=one\nInvocationID=" ID "\n", false},
        {"NRestarts=-1\nInvocationID=" ID "\n", false},
        {"", false},
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_test_message("%s", rows[i].properties);
        g_assert_cmpint(vr_unit_text_is_restarted(rows[i].properties, ID), ==, rows[i].restarted);
    }
}

static void
test_first_process(void)
{
    g_assert_true(vr_unit_is_first_process("4242", 4242));
    g_assert_false(vr_unit_is_first_process("4241", 4242));
    g_assert_false(vr_unit_is_first_process(NULL, 4242));
    g_assert_false(vr_unit_is_first_process("", 4242));
    g_assert_false(vr_unit_is_first_process("4242 ", 4242));
    g_assert_false(vr_unit_is_first_process("0", 0));
}

/* systemd that does not answer, for the unit's own process: no guest is started then. */
static void
test_in_doubt_it_is_a_restart(void)
{
    g_autoptr(VrSysroot) root = vr_sysroot_new("/", NULL);
    g_autofree char *own = g_strdup_printf("%d", (int) getpid());
    g_autofree char *path = g_strdup(g_getenv("PATH"));
    g_setenv("PATH", "/nonexistent", TRUE);
    g_setenv("INVOCATION_ID", ID, TRUE);
    g_setenv("SYSTEMD_EXEC_PID", own, TRUE);
    g_assert_true(vr_unit_is_restarted(root, "gaming"));
    g_setenv("SYSTEMD_EXEC_PID", "1", TRUE);
    g_assert_false(vr_unit_is_restarted(root, "gaming"));
    g_unsetenv("SYSTEMD_EXEC_PID");
    g_assert_false(vr_unit_is_restarted(root, "gaming"));
    g_unsetenv("INVOCATION_ID");
    g_setenv("PATH", path, TRUE);
}

/* Listens as systemd does, by a path or by an abstract name; NULL-terminated what came, or "". */
static void
assert_told(const char *name, unsigned seconds, const char *wanted)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char buffer[256] = "";
    size_t length = strlen(name);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    g_assert_cmpint(fd, >=, 0);
    memcpy(address.sun_path, name, length);
    if (name[0] == '@') {
        address.sun_path[0] = '\0';
    }
    socklen_t size = (socklen_t) (offsetof(struct sockaddr_un, sun_path) + length);
    g_assert_cmpint(bind(fd, (const struct sockaddr *) &address, size), ==, 0);
    g_setenv("NOTIFY_SOCKET", name, TRUE);
    vr_unit_extend_stop(seconds);
    ssize_t count = recv(fd, buffer, sizeof buffer - 1, 0);
    g_assert_cmpint(count, ==, (ssize_t) strlen(wanted));
    g_assert_cmpstr(buffer, ==, wanted);
    close(fd);
}

static void
test_extend_stop(void)
{
    g_autofree char *directory = g_dir_make_tmp("vmrun-unit-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(directory, "notify", NULL);
    g_autofree char *abstract = g_strdup_printf("@vmrun-unit-%d", (int) getpid());
    assert_told(path, 720, "EXTEND_TIMEOUT_USEC=720000000");
    assert_told(abstract, 90000, "EXTEND_TIMEOUT_USEC=90000000000");
    unlink(path);
    rmdir(directory);
}

/* Without systemd, and with words that are no socket: nothing, and no harm. */
static void
test_nobody_to_tell(void)
{
    g_autofree char *too_long = g_strnfill(200, 'x');
    too_long[0] = '/';
    const char *const names[] = {NULL, "", "/", "relative", "/nowhere/at/all", too_long};
    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        g_unsetenv("NOTIFY_SOCKET");
        if (names[i] != NULL) {
            g_setenv("NOTIFY_SOCKET", names[i], TRUE);
        }
        vr_unit_extend_stop(1);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/unit/restarted", test_restarted);
    g_test_add_func("/unit/first-process", test_first_process);
    g_test_add_func("/unit/in-doubt-it-is-a-restart", test_in_doubt_it_is_a_restart);
    g_test_add_func("/unit/extend-stop", test_extend_stop);
    g_test_add_func("/unit/nobody-to-tell", test_nobody_to_tell);
    return g_test_run();
}
