/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/lock.h>

#include "../support/tree.h"
#include "base/fd.h"
#include "run/lock_private.h"

#include <vmrun/error.h>
#include <vmrun/spawn.h>

#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

typedef struct {
    char *directory;
    VrSysroot *root;
} Place;

static Place
place_new(void)
{
    Place place = {.directory = tree_new()};
    place.root = tree_root(place.directory);
    return place;
}

static void
place_clear(Place *place)
{
    vr_sysroot_unref(place->root);
    tree_remove(place->directory);
}

static void
test_second_taker_is_refused_with_the_owner(void)
{
    Place place = place_new();
    VrLockOwner owner = {0};
    g_autoptr(GError) error = NULL;
    g_autofree char *stat_path = g_strdup_printf("/proc/%d/stat", (int) getpid());
    tree_write(place.directory, stat_path,
               "1 (a b) S 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 4242 1 1");
    g_autoptr(VrLock) lock = vr_lock_take(place.root, "gaming", 0, NULL, &error);
    g_assert_no_error(error);
    g_assert_true(vr_lock_is_held(place.root, "gaming", &owner));
    g_assert_cmpint(owner.pid, ==, (int) getpid());
    g_assert_cmpuint(owner.start_time, ==, 4242);
    owner = (VrLockOwner){0};
    g_assert_null(vr_lock_take(place.root, "gaming", 30, &owner, &error));
    g_assert_error(error, VR_ERROR, VR_ERROR_BUSY);
    g_assert_cmpint(owner.pid, ==, (int) getpid());
    place_clear(&place);
}

static void
test_release_frees_it_and_forgets_the_owner(void)
{
    Place place = place_new();
    VrLockOwner owner = {7, 7};
    g_autoptr(GError) error = NULL;
    VrLock *lock = vr_lock_take(place.root, "gaming", 0, NULL, &error);
    g_assert_nonnull(lock);
    vr_lock_release(lock);
    g_assert_false(vr_lock_is_held(place.root, "gaming", &owner));
    g_assert_cmpint(owner.pid, ==, 7);
    g_autofree char *text = vr_sysroot_read_optional(place.root, "/run/vmrun/gaming.lock");
    g_assert_cmpstr(text, ==, "");
    g_autoptr(VrLock) again = vr_lock_take(place.root, "gaming", 0, NULL, &error);
    g_assert_no_error(error);
    place_clear(&place);
}

static void
test_locks_do_not_mix(void)
{
    Place place = place_new();
    g_autoptr(VrLock) global = vr_lock_take(place.root, NULL, 0, NULL, NULL);
    g_autoptr(VrLock) gaming = vr_lock_take(place.root, "gaming", 0, NULL, NULL);
    g_autoptr(VrLock) train = vr_lock_take(place.root, "llm-train", 0, NULL, NULL);
    g_assert_true(global != NULL && gaming != NULL && train != NULL);
    g_assert_true(vr_lock_is_held(place.root, NULL, NULL));
    g_assert_false(vr_lock_is_held(place.root, "other", NULL));
    place_clear(&place);
}

static void
test_a_started_program_does_not_keep_it(void)
{
    Place place = place_new();
    const char *const argv[] = {"sleep", "30", NULL};
    int pid = 0;
    VrLock *lock = vr_lock_take(place.root, "gaming", 0, NULL, NULL);
    g_assert_nonnull(lock);
    g_assert_true(vr_spawn_start(argv, STDIN_FILENO, STDOUT_FILENO, &pid, NULL));
    vr_lock_release(lock);
    g_assert_false(vr_lock_is_held(place.root, "gaming", NULL));
    g_assert_cmpint(kill(pid, SIGKILL), ==, 0);
    place_clear(&place);
}

static void
test_work_is_shared_and_waited_for(void)
{
    Place place = place_new();
    g_autoptr(GError) error = NULL;
    vr_autofd int first = vr_lock_join_work(place.root, "gaming", &error);
    vr_autofd int second = vr_lock_join_work(place.root, "gaming", &error);
    g_autoptr(VrLock) lock = vr_lock_take(place.root, "gaming", 0, NULL, &error);
    g_assert_no_error(error);
    g_assert_true(first >= 0 && second >= 0 && lock != NULL);
    g_assert_true(vr_lock_wait_for_work(place.root, "llm-train", 0, &error));
    vr_fd_clear(&first);
    g_assert_false(vr_lock_wait_for_work(place.root, "gaming", 0, &error));
    g_assert_error(error, VR_ERROR, VR_ERROR_BUSY);
    vr_fd_clear(&second);
    g_assert_true(vr_lock_wait_for_work(place.root, "gaming", 0, NULL));
    g_assert_true(vr_lock_wait_for_work(place.root, "gaming", 0, NULL));
    place_clear(&place);
}

static void
test_places_are_as_private_as_they_must_be(void)
{
    Place place = place_new();
    struct stat status;
    g_autoptr(VrLock) lock = vr_lock_take(place.root, "gaming", 0, NULL, NULL);
    g_autofree char *directory = g_strconcat(place.directory, "/run/vmrun", NULL);
    g_autofree char *file = g_strconcat(directory, "/gaming.lock", NULL);
    g_assert_cmpint(stat(directory, &status), ==, 0);
    g_assert_cmphex(status.st_mode & 07777, ==, 0755);
    g_assert_cmpint(stat(file, &status), ==, 0);
    g_assert_cmphex(status.st_mode & 07777, ==, 0600); /* who can open it can lock it */
    place_clear(&place);
}

static void
test_hostile_names_are_refused(void)
{
    Place place = place_new();
    static const char *const names[] = {"", "..", "../x", "a/b", "A", "a b"};
    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_null(vr_lock_take(place.root, names[i], 0, NULL, &error));
        g_assert_error(error, VR_ERROR, VR_ERROR_USAGE);
        g_assert_false(vr_lock_is_held(place.root, names[i], NULL));
        g_assert_cmpint(vr_lock_join_work(place.root, names[i], NULL), ==, -1);
    }
    place_clear(&place);
}

static void
test_kernels_list_is_understood(void)
{
    const char *locks = "1: POSIX  ADVISORY  WRITE 10 00:17:50 0 EOF\n"
                        "2: FLOCK  ADVISORY  READ 11 00:17:50 0 EOF\n"
                        "2: -> FLOCK  ADVISORY  WRITE 12 00:17:50 0 EOF\n"
                        "3: FLOCK  ADVISORY  WRITE 13 00:17:51 0 EOF\n"
                        "4: FLOCK  ADVISORY  WRITE 14 fe:01:52 0 EOF";
    int pid = 0;
    g_assert_false(vr_lock_listed(locks, makedev(0, 0x17), 50, &pid));
    g_assert_true(vr_lock_listed(locks, makedev(0, 0x17), 51, &pid));
    g_assert_cmpint(pid, ==, 13);
    g_assert_true(vr_lock_listed(locks, makedev(0xfe, 1), 52, &pid));
    g_assert_cmpint(pid, ==, 14);
    g_assert_false(vr_lock_listed("", makedev(0, 0x17), 51, &pid));
    g_assert_false(vr_lock_listed("nonsense\n: :\n", makedev(0, 0x17), 51, &pid));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/lock/second-taker-is-refused-with-the-owner",
                    test_second_taker_is_refused_with_the_owner);
    g_test_add_func("/lock/release-frees-it-and-forgets-the-owner",
                    test_release_frees_it_and_forgets_the_owner);
    g_test_add_func("/lock/locks-do-not-mix", test_locks_do_not_mix);
    g_test_add_func("/lock/a-started-program-does-not-keep-it",
                    test_a_started_program_does_not_keep_it);
    g_test_add_func("/lock/work-is-shared-and-waited-for", test_work_is_shared_and_waited_for);
    g_test_add_func("/lock/places-are-as-private-as-they-must-be",
                    test_places_are_as_private_as_they_must_be);
    g_test_add_func("/lock/hostile-names-are-refused", test_hostile_names_are_refused);
    g_test_add_func("/lock/kernels-list-is-understood", test_kernels_list_is_understood);
    return g_test_run();
}
