/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/files.h>

#include "base/fd.h"

#include <vmrun/error.h>
#include <vmrun/spawn.h>

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct {
    char *directory;
    VrSysroot *root;
    mode_t old_umask;
} Fixture;

static void
set_up(Fixture *fixture, gconstpointer data)
{
    (void) data;
    fixture->directory = g_dir_make_tmp("vmrun-XXXXXX", NULL);
    fixture->root = vr_sysroot_new(fixture->directory, NULL);
    fixture->old_umask = umask(077); /* must not matter */
    g_assert_nonnull(fixture->root);
}

static void
tear_down(Fixture *fixture, gconstpointer data)
{
    const char *const argv[] = {"rm", "-rf", fixture->directory, NULL};

    (void) data;
    umask(fixture->old_umask);
    vr_sysroot_unref(fixture->root);
    g_assert_true(vr_spawn_check(argv, 10000, NULL));
    g_free(fixture->directory);
}

static void
assert_mode(const Fixture *fixture, const char *path, mode_t wanted)
{
    struct stat found = {0};
    g_autofree char *full = g_build_filename(fixture->directory, path, NULL);

    g_assert_cmpint(lstat(full, &found), ==, 0);
    g_assert_cmpuint(found.st_mode & 07777, ==, wanted);
}

static void
assert_names(const Fixture *fixture, const char *path, const char *wanted)
{
    g_autoptr(GPtrArray) names = vr_sysroot_list(fixture->root, path, NULL);

    g_assert_nonnull(names);
    g_ptr_array_add(names, NULL);
    g_autofree char *joined = g_strjoinv(" ", (char **) names->pdata);
    g_assert_cmpstr(joined, ==, wanted);
}

static void
test_make_directory(Fixture *fixture, gconstpointer data)
{
    (void) data;
    g_autoptr(GError) error = NULL;

    g_assert_true(vr_sysroot_make_directory(fixture->root, "/var/lib", 0755, NULL));
    g_assert_true(vr_sysroot_make_directory(fixture->root, "/var/lib/vmrun/a/", 0711, NULL));
    g_assert_true(vr_sysroot_make_directory(fixture->root, "/var/lib/vmrun", 0700, NULL));
    g_assert_true(vr_sysroot_make_directory(fixture->root, "/", 0700, NULL));
    assert_mode(fixture, "var/lib", 0755);
    assert_mode(fixture, "var/lib/vmrun", 0711);
    assert_mode(fixture, "var/lib/vmrun/a", 0711);

    g_assert_true(vr_sysroot_replace(fixture->root, "/file", "", 0600, NULL));
    g_assert_false(vr_sysroot_make_directory(fixture->root, "/file/below", 0755, &error));
    g_assert_error(error, VR_ERROR, VR_ERROR_NOT_FOUND);
    g_clear_error(&error);
    g_assert_false(vr_sysroot_make_directory(fixture->root, "/file", 0755, &error));
    g_clear_error(&error);
    g_assert_false(vr_sysroot_make_directory(fixture->root, "relative", 0755, &error));
    g_assert_nonnull(error);
}

static void
test_replace(Fixture *fixture, gconstpointer data)
{
    (void) data;
    g_autofree char *large = g_strnfill(3000000, 'x');

    g_assert_true(vr_sysroot_replace(fixture->root, "/a.conf", large, 0600, NULL));
    g_autofree char *first = vr_sysroot_read(fixture->root, "/a.conf", NULL);
    g_assert_cmpstr(first, ==, large);
    assert_mode(fixture, "a.conf", 0600);
    g_assert_true(vr_sysroot_replace(fixture->root, "/a.conf", "new", 0644, NULL));
    g_autofree char *second = vr_sysroot_read(fixture->root, "/a.conf", NULL);
    g_assert_cmpstr(second, ==, "new");
    assert_mode(fixture, "a.conf", 0644);
    assert_names(fixture, "/", "a.conf");
}

static void
test_replace_failing_leaves_nothing(Fixture *fixture, gconstpointer data)
{
    (void) data;
    static const char *const wrong[] = {"/missing/a", "/", "/..", "/.", "a", ""};

    g_assert_true(vr_sysroot_make_directory(fixture->root, "/taken/by", 0755, NULL));
    g_autoptr(GError) error = NULL;
    g_assert_false(vr_sysroot_replace(fixture->root, "/taken", "x", 0600, &error));
    g_assert_error(error, VR_ERROR, VR_ERROR_IO);
    g_assert_true(g_str_has_prefix(error->message, "replace /taken: "));
    for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autoptr(GError) wrong_error = NULL;

        g_assert_false(vr_sysroot_replace(fixture->root, wrong[i], "x", 0600, &wrong_error));
        g_assert_nonnull(wrong_error);
    }
    assert_names(fixture, "/", "taken");
}

static void
test_replace_survives_what_a_dead_writer_left(Fixture *fixture, gconstpointer data)
{
    (void) data;
    g_autofree char *left = g_strdup_printf("/.a.%d.new", (int) getpid());

    g_assert_true(vr_sysroot_replace(fixture->root, left, "torn", 0644, NULL));
    g_assert_true(vr_sysroot_replace(fixture->root, "/a", "whole", 0600, NULL));
    g_autofree char *text = vr_sysroot_read(fixture->root, "/a", NULL);
    g_assert_cmpstr(text, ==, "whole");
    assert_names(fixture, "/", "a");
}

static void
test_replace_does_not_follow_a_link(Fixture *fixture, gconstpointer data)
{
    (void) data;
    g_autofree char *link = g_build_filename(fixture->directory, "link", NULL);

    g_assert_true(vr_sysroot_replace(fixture->root, "/target", "kept", 0600, NULL));
    g_assert_cmpint(symlink("target", link), ==, 0);
    g_assert_true(vr_sysroot_replace(fixture->root, "/link", "new", 0600, NULL));
    g_autofree char *target = vr_sysroot_read(fixture->root, "/target", NULL);
    g_assert_cmpstr(target, ==, "kept");
}

static void
test_rename_and_remove(Fixture *fixture, gconstpointer data)
{
    (void) data;
    g_autoptr(GError) error = NULL;

    g_assert_true(vr_sysroot_make_directory(fixture->root, "/done", 0700, NULL));
    g_assert_true(vr_sysroot_replace(fixture->root, "/a", "x", 0600, NULL));
    g_assert_true(vr_sysroot_rename(fixture->root, "/a", "/done/b", NULL));
    assert_names(fixture, "/done", "b");
    g_assert_false(vr_sysroot_rename(fixture->root, "/a", "/done/b", &error));
    g_assert_error(error, VR_ERROR, VR_ERROR_NOT_FOUND);
    g_assert_true(vr_sysroot_remove(fixture->root, "/done/b", NULL));
    g_assert_true(vr_sysroot_remove(fixture->root, "/done/b", NULL));
    g_assert_true(vr_sysroot_remove(fixture->root, "/missing/b", NULL));
    g_clear_error(&error);
    g_assert_false(vr_sysroot_remove(fixture->root, "/done", &error));
    g_assert_nonnull(error);
    assert_names(fixture, "/", "done");
}

static void
test_autofd_and_steal(Fixture *fixture, gconstpointer data)
{
    (void) data;
    int kept = -1, closed = -1;

    {
        vr_autofd int first = vr_sysroot_open(fixture->root, "/", O_RDONLY, NULL);
        vr_autofd int second = vr_sysroot_open(fixture->root, "/", O_RDONLY, NULL);

        g_assert_true(first >= 0 && second >= 0);
        closed = first;
        kept = vr_fd_steal(&second);
        g_assert_cmpint(second, ==, -1);
    }
    g_assert_cmpint(fcntl(closed, F_GETFD), ==, -1);
    g_assert_cmpint(fcntl(kept, F_GETFD), ==, FD_CLOEXEC);
    vr_fd_clear(&kept);
    vr_fd_clear(&kept);
}

static void
test_temporaries_of_the_dead_are_removed(Fixture *fixture, gconstpointer data)
{
    static const char *const left[] = {".gaming.conf.7.new", ".gaming.conf.4711.new"};
    static const char *const others[] = {".gaming.conf..new",   ".gaming.conf.7.new2",
                                         ".gaming.conf.7x.new", ".other.gaming.conf.7.new",
                                         ".other.conf.7.new",   "gaming.conf"};
    (void) data;
    for (guint i = 0; i < G_N_ELEMENTS(left) + G_N_ELEMENTS(others); i++) {
        const char *name = i < G_N_ELEMENTS(left) ? left[i] : others[i - G_N_ELEMENTS(left)];
        g_autofree char *path = g_strconcat("/", name, NULL);
        g_assert_true(vr_sysroot_replace(fixture->root, path, "x", 0600, NULL));
    }
    vr_sysroot_remove_temporaries(fixture->root, "/gaming.conf");
    assert_names(fixture, "/",
                 ".gaming.conf..new .gaming.conf.7.new2 .gaming.conf.7x.new .other.conf.7.new "
                 ".other.gaming.conf.7.new gaming.conf");
    vr_sysroot_remove_temporaries(fixture->root, "/missing/gaming.conf");
}

int
main(int argc, char **argv)
{
    static const struct {
        const char *path;
        void (*test)(Fixture *, gconstpointer);
    } tests[] = {
        {"/base/files/make-directory-sets-modes", test_make_directory},
        {"/base/files/replace-is-whole", test_replace},
        {"/base/files/replace-failing-leaves-nothing", test_replace_failing_leaves_nothing},
        {"/base/files/replace-survives-what-a-dead-writer-left",
         test_replace_survives_what_a_dead_writer_left},
        {"/base/files/replace-does-not-follow-a-link", test_replace_does_not_follow_a_link},
        {"/base/files/rename-and-remove", test_rename_and_remove},
        {"/base/files/temporaries-of-the-dead-are-removed",
         test_temporaries_of_the_dead_are_removed},
        {"/base/fd/autofd-closes-what-is-not-stolen", test_autofd_and_steal},
    };

    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_test_add(tests[i].path, Fixture, NULL, set_up, tests[i].test, tear_down);
    }
    return g_test_run();
}
