/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The seam below libvmrun's files: every changing call is seen, and each fate is what happens. */
#include "../support/fake_kernel.h"
#include "../support/system_calls.h"
#include "../support/tree.h"

#include <vmrun/error.h>
#include <vmrun/files.h>
#include <vmrun/recovery.h>

#include "run/worker_private.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define GPU "0000:01:00.0"
#define OVERRIDE "/sys/bus/pci/devices/" GPU "/driver_override"
#define UNBIND "/sys/bus/pci/drivers/nvidia/unbind"
#define FILE_PATH "/etc/file"

typedef struct {
    char *directory;
    VrSysroot *root;
} Place;

static void
set_up(Place *place, gconstpointer unused)
{
    (void) unused;
    place->directory = tree_new();
    place->root = tree_root(place->directory);
    tree_make(place->directory, "/etc");
    system_calls_set_root(place->directory);
}

static void
tear_down(Place *place, gconstpointer unused)
{
    (void) unused;
    system_calls_end();
    system_calls_set_root(NULL);
    vr_sysroot_unref(place->root);
    tree_remove(place->directory);
}

static bool
replace(const Place *place, GError **error)
{
    return vr_sysroot_replace(place->root, FILE_PATH, "new text\n", 0600, error);
}

static void
test_calls_are_written_down(Place *place, gconstpointer unused)
{
    g_autofree char *temporary = g_strdup_printf("/etc/.file.%d.new", (int) getpid());
    g_autofree char *expected = g_strdup_printf(
        "create %s\nmode %s\nwrite %s\nsync %s\nrename %s /etc/file\nsync /etc\n"
        "remove /etc/file\nsync /etc\nmkdir /etc/below\nmode /etc/below\nsync /etc\n",
        temporary, temporary, temporary, temporary, temporary);
    (void) unused;
    system_calls_begin(SYSTEM_CALL_WORKS, 0, 0, NULL);
    g_assert_true(replace(place, NULL));
    g_assert_true(vr_sysroot_remove(place->root, FILE_PATH, NULL));
    g_assert_true(vr_sysroot_make_directory(place->root, "/etc/below", 0755, NULL));
    g_assert_cmpuint(system_calls_end(), ==, 11);
    g_assert_cmpstr(system_calls_trace(), ==, expected);
    g_assert_true(replace(place, NULL));
    g_assert_cmpuint(system_calls_count(), ==, 11);
}

/* Returns how many calls were counted when it died. */
static unsigned
die_at(const Place *place, SystemCallFate fate, unsigned n)
{
    int status = 0;
    system_calls_begin(fate, n, 0, NULL);
    pid_t child = fork();
    if (child == 0) {
        replace(place, NULL);
        _exit(0);
    }
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    g_assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    return system_calls_end();
}

static void
test_process_dies_before_and_after(Place *place, gconstpointer unused)
{
    (void) unused;
    g_assert_cmpuint(die_at(place, SYSTEM_CALL_DIES_BEFORE, 4), ==, 5);
    g_assert_false(vr_sysroot_exists(place->root, FILE_PATH));
    g_assert_cmpuint(die_at(place, SYSTEM_CALL_DIES_AFTER, 4), ==, 5);
    g_assert_true(vr_sysroot_exists(place->root, FILE_PATH));
}

static void
test_calls_fail(Place *place, gconstpointer unused)
{
    (void) unused;
    for (unsigned n = 0; n < 6; n++) {
        g_autoptr(GError) error = NULL;
        system_calls_begin(SYSTEM_CALL_FAILS, n, EIO, NULL);
        g_assert_false(replace(place, &error));
        g_assert_nonnull(strstr(error->message, g_strerror(EIO)));
        g_assert_cmpuint(system_calls_count(), >, n);
    }
    system_calls_begin(SYSTEM_CALL_FAILS_ON, 2, ENOSPC, NULL);
    g_assert_false(replace(place, NULL));
    g_assert_nonnull(strstr(system_calls_trace(), "failed remove"));
}

static void
test_short_write_goes_on(Place *place, gconstpointer unused)
{
    (void) unused;
    system_calls_begin(SYSTEM_CALL_IS_SHORT, 2, 0, NULL);
    g_assert_true(replace(place, NULL));
    g_assert_cmpuint(system_calls_end(), ==, 7);
    g_autofree char *text = vr_sysroot_read(place->root, FILE_PATH, NULL);
    g_assert_cmpstr(text, ==, "new text");
}

static void
test_only_some_calls_count(Place *place, gconstpointer unused)
{
    (void) unused;
    system_calls_begin(SYSTEM_CALL_FAILS, 0, EIO, "/elsewhere/");
    g_assert_true(replace(place, NULL));
    g_assert_cmpuint(system_calls_end(), ==, 0);
    system_calls_begin(SYSTEM_CALL_WORKS, 0, 0, NULL);
    system_calls_pause();
    g_assert_true(replace(place, NULL));
    system_calls_resume();
    g_assert_cmpuint(system_calls_end(), ==, 0);
}

static FakeKernel *
kernel_with_card(void)
{
    FakeKernel *kernel = fake_kernel_new();
    fake_kernel_add_driver(kernel, "nvidia", "10de:2484", "nvidia");
    fake_kernel_add_device(kernel, GPU, "030000 10de:2484", 1);
    fake_kernel_place(kernel, GPU, "nvidia", NULL, "on");
    fake_kernel_add_unit(kernel, "x.service", true);
    return kernel;
}

/* What a child did to the fake kernel before it died is known to its parent. */
static void
test_fake_kernel_outlives_a_child(void)
{
    g_autoptr(FakeKernel) kernel = kernel_with_card();
    VrExecutor executor = fake_kernel_executor(kernel);
    VrStep stop = {.kind = VR_STEP_STOP_UNIT, .value = (char *) "x.service"};
    int status = 0;
    system_calls_begin(SYSTEM_CALL_DIES_AFTER, 2, 0, NULL);
    pid_t child = fork();
    if (child == 0) {
        g_assert_true(vr_sysroot_write(fake_kernel_root(kernel), OVERRIDE, "vfio-pci", NULL));
        executor.execute(executor.data, &stop, NULL, NULL);
        g_assert_false(vr_sysroot_write(fake_kernel_root(kernel), UNBIND, GPU, NULL));
        _exit(0);
    }
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    g_assert_true(WIFSIGNALED(status));
    g_assert_cmpuint(system_calls_end(), ==, 3);
    g_assert_cmpstr(system_calls_trace(), ==,
                    "kernel " OVERRIDE " vfio-pci\nunit stop x.service\n"
                    "kernel " UNBIND " " GPU "\n");
    fake_kernel_reload(kernel);
    g_autofree char *driver = fake_kernel_driver(kernel, GPU);
    g_autofree char *override = fake_kernel_override(kernel, GPU);
    g_assert_cmpstr(driver, ==, "none");
    g_assert_cmpstr(override, ==, "vfio-pci");
    g_assert_false(fake_kernel_unit_is_active(kernel, "x.service"));
}

/* The whole way back in this process: a journal says nvidia, the card is nowhere. */
static void
test_recovery_over_the_fake_kernel(void)
{
    g_autoptr(FakeKernel) kernel = kernel_with_card();
    VrSysroot *root = fake_kernel_root(kernel);
    VrExecutor executor = fake_kernel_executor(kernel);
    g_autoptr(VrMover) mover = vr_mover_new_over(root, NULL, &executor);
    g_autoptr(VrJournal) journal = vr_journal_new("gaming");
    g_autoptr(GArray) addresses = g_array_new(FALSE, FALSE, sizeof(VrPciAddress));
    VrPciAddress gpu = {0, 1, 0, 0};
    VrRecoveryOptions options = {.mover = mover};
    VrRecovery recovery = VR_RECOVERY_NOTHING;
    g_autoptr(GError) error = NULL;
    g_array_append_val(addresses, gpu);
    g_autoptr(VrHostState) shape = vr_host_state_shape(addresses);
    vr_host_state_free(journal->before);
    journal->before = executor.observe(executor.data, shape, &error);
    g_assert_no_error(error);
    g_assert_true(vr_journal_write(root, journal, &error));
    fake_kernel_place(kernel, GPU, NULL, "vfio-pci", "auto");
    g_assert_true(vr_recover(root, "gaming", &options, NULL, &recovery, NULL, &error));
    g_assert_no_error(error);
    g_assert_cmpint(recovery, ==, VR_RECOVERY_RESTORED);
    g_autofree char *driver = fake_kernel_driver(kernel, GPU);
    g_assert_cmpstr(driver, ==, "nvidia");
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name, function) g_test_add(name, Place, NULL, set_up, function, tear_down)
    ADD("/system-calls/are-written-down", test_calls_are_written_down);
    ADD("/system-calls/process-dies-before-and-after", test_process_dies_before_and_after);
    ADD("/system-calls/fail", test_calls_fail);
    ADD("/system-calls/short-write-goes-on", test_short_write_goes_on);
    ADD("/system-calls/only-some-count", test_only_some_calls_count);
    g_test_add_func("/system-calls/fake-kernel-outlives-a-child",
                    test_fake_kernel_outlives_a_child);
    g_test_add_func("/system-calls/recovery-over-the-fake-kernel",
                    test_recovery_over_the_fake_kernel);
    return g_test_run();
}
