/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The fake kernel itself. What it has in common with Linux is in tests/contract. */
#include "../support/fake_kernel.h"
#include "../support/tree.h"

#include <vmrun/error.h>

#include <errno.h>
#include <string.h>

#define GPU "0000:01:00.0"
#define DEVICE "/sys/bus/pci/devices/" GPU
#define DRIVERS "/sys/bus/pci/drivers/"

static FakeKernel *
kernel_with_gpu(void)
{
    FakeKernel *kernel = fake_kernel_new();
    fake_kernel_add_driver(kernel, "nouveau", "10de:2484", "nouveau");
    fake_kernel_add_driver(kernel, "nvidia", "10de:2484", "nvidia");
    fake_kernel_add_device(kernel, GPU, "030000 10de:2484", 1);
    return kernel;
}

/* 0, or the code of the answer. */
static int
store(FakeKernel *kernel, const char *path, const char *text)
{
    g_autoptr(GError) error = NULL;
    return vr_sysroot_write(fake_kernel_root(kernel), path, text, &error) ? 0 : error->code;
}

static void
assert_driver(const FakeKernel *kernel, const char *expected)
{
    g_autofree char *driver = fake_kernel_driver(kernel, GPU);
    g_assert_cmpstr(driver, ==, expected);
}

static void
test_override_decides(void)
{
    g_autoptr(FakeKernel) kernel = kernel_with_gpu();
    g_assert_cmpint(store(kernel, DRIVERS "vfio-pci/bind", GPU), ==, VR_ERROR_GONE);
    g_assert_cmpint(store(kernel, DEVICE "/driver_override", "vfio-pci"), ==, 0);
    g_assert_cmpint(store(kernel, DRIVERS "nouveau/bind", GPU), ==, VR_ERROR_GONE);
    g_assert_cmpint(store(kernel, DRIVERS "vfio-pci/bind", GPU), ==, 0);
    assert_driver(kernel, "vfio-pci");
    g_assert_cmpint(store(kernel, DRIVERS "vfio-pci/bind", GPU), ==, VR_ERROR_DEVICE_BUSY);
    g_assert_cmpint(store(kernel, DEVICE "/driver_override", "\n"), ==, 0);
    g_autofree char *override = fake_kernel_override(kernel, GPU);
    g_assert_cmpstr(override, ==, "(null)");
    assert_driver(kernel, "vfio-pci");
}

static void
test_probe_says_success_when_nobody_binds(void)
{
    g_autoptr(FakeKernel) kernel = kernel_with_gpu();
    g_assert_cmpint(store(kernel, DEVICE "/driver_override", "nobody"), ==, 0);
    g_assert_cmpint(store(kernel, "/sys/bus/pci/drivers_probe", GPU), ==, 0);
    assert_driver(kernel, "none");
    g_assert_cmpint(store(kernel, DEVICE "/driver_override", "\n"), ==, 0);
    g_assert_cmpint(store(kernel, "/sys/bus/pci/drivers_probe", GPU), ==, 0);
    assert_driver(kernel, "nouveau");
}

static void
test_owned_group_refuses_host_drivers(void)
{
    g_autoptr(FakeKernel) kernel = kernel_with_gpu();
    fake_kernel_own_group(kernel, 1, 2);
    g_assert_cmpint(store(kernel, DRIVERS "nouveau/bind", GPU), ==, VR_ERROR_DEVICE_BUSY);
    g_assert_cmpint(store(kernel, DRIVERS "nouveau/bind", GPU), ==, VR_ERROR_DEVICE_BUSY);
    g_assert_cmpint(store(kernel, DRIVERS "nouveau/bind", GPU), ==, 0);
}

static void
test_grabber_takes_what_is_not_guarded(void)
{
    g_autoptr(FakeKernel) kernel = kernel_with_gpu();
    fake_kernel_place(kernel, GPU, "nouveau", NULL, "on");
    fake_kernel_set_grabber(kernel, "nvidia");
    g_assert_cmpint(store(kernel, DRIVERS "nouveau/unbind", GPU), ==, 0);
    assert_driver(kernel, "nvidia");
    g_assert_cmpint(store(kernel, DEVICE "/driver_override", "vfio-pci"), ==, 0);
    g_assert_cmpint(store(kernel, DRIVERS "nvidia/unbind", GPU), ==, 0);
    assert_driver(kernel, "none");
}

static void
test_fails_and_crashes_where_told(void)
{
    g_autoptr(FakeKernel) kernel = kernel_with_gpu();
    fake_kernel_fail_at(kernel, 1, EIO);
    g_assert_cmpint(store(kernel, DEVICE "/power/control", "auto"), ==, 0);
    g_assert_cmpint(store(kernel, DEVICE "/power/control", "on"), ==, VR_ERROR_IO);
    fake_kernel_crash_at(kernel, 2);
    g_assert_cmpint(store(kernel, DEVICE "/power/control", "on"), ==, VR_ERROR_FAILED);
    g_assert_cmpuint(fake_kernel_writes(kernel), ==, 2);
    fake_kernel_revive(kernel);
    g_assert_cmpint(store(kernel, DEVICE "/power/control", "on"), ==, 0);
}

static void
test_snapshot_sees_every_value(void)
{
    g_autoptr(FakeKernel) kernel = kernel_with_gpu();
    g_autofree char *before = fake_kernel_snapshot(kernel);
    g_assert_cmpint(store(kernel, DEVICE "/power/control", "auto"), ==, 0);
    g_autofree char *after = fake_kernel_snapshot(kernel);
    g_assert_cmpstr(before, !=, after);
    g_assert_nonnull(strstr(after, "power/control = auto"));
    g_assert_cmpint(store(kernel, DEVICE "/power/control", "on"), ==, 0);
    g_autofree char *again = fake_kernel_snapshot(kernel);
    g_assert_cmpstr(before, ==, again);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fake-kernel/override-decides", test_override_decides);
    g_test_add_func("/fake-kernel/probe-says-success-when-nobody-binds",
                    test_probe_says_success_when_nobody_binds);
    g_test_add_func("/fake-kernel/owned-group-refuses-host-drivers",
                    test_owned_group_refuses_host_drivers);
    g_test_add_func("/fake-kernel/grabber-takes-what-is-not-guarded",
                    test_grabber_takes_what_is_not_guarded);
    g_test_add_func("/fake-kernel/fails-and-crashes-where-told", test_fails_and_crashes_where_told);
    g_test_add_func("/fake-kernel/snapshot-sees-every-value", test_snapshot_sees_every_value);
    return g_test_run();
}
