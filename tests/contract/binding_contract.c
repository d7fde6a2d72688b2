/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What vmrun counts on when it moves a PCI function: round trips and refusals, through VrSysroot
 * alone. On the fake kernel by default; on a real one with
 *
 *   VMRUN_TEST_ROOT=/ VMRUN_TEST_DEVICE=0000:00:05.0 [VMRUN_TEST_DRIVER=e1000e] binding_contract
 *
 * with a function that nobody uses, in an IOMMU group without others, vfio-pci loaded. It is left
 * as it was found. Where the fake answers otherwise than Linux, one of the two runs fails.
 */
#include <vmrun/apply.h>
#include <vmrun/error.h>

#include "../support/fake_kernel.h"

#include <string.h>

#define FAKE_DEVICE "0000:00:05.0"

typedef struct {
    FakeKernel *fake; /* NULL: the real one */
    VrSysroot *root;
    char *address;
    char *driver; /* of the host */
    VrPciAddress device;
} Subject;

static void
set_up(Subject *subject, gconstpointer unused)
{
    const char *directory = g_getenv("VMRUN_TEST_ROOT");
    const char *address = g_getenv("VMRUN_TEST_DEVICE");
    (void) unused;
    if (directory == NULL) {
        subject->fake = fake_kernel_new();
        fake_kernel_add_driver(subject->fake, "e1000e", "8086:10d3", "e1000e");
        fake_kernel_add_driver(subject->fake, "other", "8086:ffff", "other");
        fake_kernel_add_device(subject->fake, FAKE_DEVICE, "020000 8086:10d3", 5);
        fake_kernel_place(subject->fake, FAKE_DEVICE, "e1000e", NULL, "on");
        subject->root = vr_sysroot_ref(fake_kernel_root(subject->fake));
        subject->address = g_strdup(FAKE_DEVICE);
    } else {
        g_autoptr(GError) error = NULL;
        g_assert(address != NULL);
        subject->root = vr_sysroot_new(directory, &error);
        g_assert_no_error(error);
        subject->address = g_strdup(address);
    }
    g_assert_true(vr_pci_address_parse(subject->address, &subject->device));
    g_autofree char *link = vr_pci_device_path(subject->device, "driver");
    subject->driver = vr_sysroot_link_name(subject->root, link, NULL);
    if (g_getenv("VMRUN_TEST_DRIVER") != NULL) {
        g_assert_cmpstr(subject->driver, ==, g_getenv("VMRUN_TEST_DRIVER"));
    }
    g_assert(subject->driver != NULL);
}

/* 0, or the code of the kernel's answer. */
static int
store(const Subject *subject, const char *path, const char *text)
{
    g_autoptr(GError) error = NULL;
    if (vr_sysroot_write(subject->root, path, text, &error)) {
        return 0;
    }
    g_test_message("%s", error->message);
    return error->code;
}

static int
store_device(const Subject *subject, const char *name, const char *text)
{
    g_autofree char *path = vr_pci_device_path(subject->device, name);
    return store(subject, path, text);
}

/* "bind" or "unbind" of a driver */
static int
store_driver(const Subject *subject, const char *driver, const char *name)
{
    g_autofree char *path = vr_pci_driver_path(driver, name);
    return store(subject, path, subject->address);
}

static void
assert_driver(const Subject *subject, const char *expected)
{
    g_autofree char *link = vr_pci_device_path(subject->device, "driver");
    g_autofree char *driver = vr_sysroot_link_name(subject->root, link, NULL);
    g_assert_cmpstr(driver, ==, expected);
}

static void
assert_value(const Subject *subject, const char *name, const char *expected)
{
    g_autofree char *path = vr_pci_device_path(subject->device, name);
    g_autofree char *value = vr_sysroot_read_optional(subject->root, path);
    g_assert_cmpstr(value, ==, expected);
}

static void
tear_down(Subject *subject, gconstpointer unused)
{
    (void) unused;
    assert_driver(subject, subject->driver);
    assert_value(subject, "driver_override", "(null)");
    fake_kernel_free(subject->fake);
    vr_sysroot_unref(subject->root);
    g_free(subject->address);
    g_free(subject->driver);
}

static void
bring_home(const Subject *subject)
{
    g_assert_cmpint(store_device(subject, "driver_override", subject->driver), ==, 0);
    g_assert_cmpint(store_driver(subject, subject->driver, "bind"), ==, 0);
    g_assert_cmpint(store_device(subject, "driver_override", "\n"), ==, 0);
}

static void
test_round_trip(Subject *subject, gconstpointer unused)
{
    (void) unused;
    g_assert_cmpint(store_device(subject, "driver_override", "vfio-pci"), ==, 0);
    assert_value(subject, "driver_override", "vfio-pci");
    assert_driver(subject, subject->driver); /* an override moves nothing by itself */
    g_assert_cmpint(store_driver(subject, subject->driver, "unbind"), ==, 0);
    assert_driver(subject, NULL);
    g_assert_cmpint(store_driver(subject, "vfio-pci", "bind"), ==, 0);
    assert_driver(subject, "vfio-pci");
    g_assert_cmpint(store_device(subject, "driver_override", subject->driver), ==, 0);
    g_assert_cmpint(store_driver(subject, "vfio-pci", "unbind"), ==, 0);
    assert_driver(subject, NULL);
    bring_home(subject);
    assert_driver(subject, subject->driver);
}

static void
test_override_keeps_all_others_out(Subject *subject, gconstpointer unused)
{
    (void) unused;
    g_assert_cmpint(store_device(subject, "driver_override", VR_NO_DRIVER), ==, 0);
    g_assert_cmpint(store_driver(subject, subject->driver, "unbind"), ==, 0);
    g_assert_cmpint(store_driver(subject, subject->driver, "bind"), ==, VR_ERROR_GONE);
    g_assert_cmpint(store(subject, "/sys/bus/pci/drivers_probe", subject->address), ==, 0);
    assert_driver(subject, NULL); /* and drivers_probe said success */
    g_assert_cmpint(store_device(subject, "driver_override", "\n"), ==, 0);
    assert_driver(subject, NULL); /* clearing it binds nothing */
    bring_home(subject);
}

static void
test_vfio_takes_nothing_without_override(Subject *subject, gconstpointer unused)
{
    (void) unused;
    g_assert_cmpint(store_device(subject, "driver_override", VR_NO_DRIVER), ==, 0);
    g_assert_cmpint(store_driver(subject, subject->driver, "unbind"), ==, 0);
    g_assert_cmpint(store_device(subject, "driver_override", "\n"), ==, 0);
    g_assert_cmpint(store_driver(subject, "vfio-pci", "bind"), ==, VR_ERROR_GONE);
    assert_driver(subject, NULL);
    bring_home(subject);
}

static void
test_wrong_moves_are_refused(Subject *subject, gconstpointer unused)
{
    (void) unused;
    g_assert_cmpint(store_driver(subject, "vfio-pci", "unbind"), ==, VR_ERROR_GONE);
    g_assert_cmpint(store_driver(subject, subject->driver, "bind"), ==, VR_ERROR_DEVICE_BUSY);
    assert_driver(subject, subject->driver);
    g_assert_cmpint(store(subject, "/sys/bus/pci/drivers/vfio-pci/bind", "ffff:ff:1f.7"), ==,
                    VR_ERROR_GONE);
    g_assert_cmpint(store_device(subject, "power/control", "sometimes"), ==, VR_ERROR_IO);
    g_assert_cmpint(store_device(subject, "d3cold_allowed", "perhaps"), ==, VR_ERROR_IO);
}

static void
test_override_is_one_line_of_any_text(Subject *subject, gconstpointer unused)
{
    (void) unused;
    g_assert_cmpint(store_device(subject, "driver_override", "any text, really"), ==, 0);
    assert_value(subject, "driver_override", "any text, really");
    g_assert_cmpint(store_device(subject, "driver_override", "first\nsecond"), ==, 0);
    assert_value(subject, "driver_override", "first");
    g_assert_cmpint(store_device(subject, "driver_override", "\n"), ==, 0);
    assert_value(subject, "driver_override", "(null)");
}

static void
test_vfio_changes_power_control(Subject *subject, gconstpointer unused)
{
    (void) unused;
    g_autofree char *path = vr_pci_device_path(subject->device, "power/control");
    g_autofree char *before = vr_sysroot_read_optional(subject->root, path);
    g_assert_cmpint(store_device(subject, "driver_override", "vfio-pci"), ==, 0);
    g_assert_cmpint(store_driver(subject, subject->driver, "unbind"), ==, 0);
    g_assert_cmpint(store_device(subject, "power/control", "on"), ==, 0);
    g_assert_cmpint(store_driver(subject, "vfio-pci", "bind"), ==, 0);
    assert_value(subject, "power/control", "auto"); /* pm_runtime_allow in its probe */
    g_assert_cmpint(store_device(subject, "power/control", "on"), ==, 0);
    assert_value(subject, "power/control", "on");
    g_assert_cmpint(store_device(subject, "power/control", "auto"), ==, 0);
    g_assert_cmpint(store_device(subject, "driver_override", subject->driver), ==, 0);
    g_assert_cmpint(store_driver(subject, "vfio-pci", "unbind"), ==, 0);
    assert_value(subject, "power/control", "on"); /* pm_runtime_forbid in its removal */
    bring_home(subject);
    g_assert_cmpint(store_device(subject, "power/control", before), ==, 0);
}

/* The same through what vmrun itself does. */
static bool
execute_here(void *data, const VrStep *step, const VrHostState *wanted, GError **error)
{
    const Subject *subject = data;
    const VrBinding *binding =
        step->has_device ? vr_host_state_binding(wanted, step->device) : NULL;
    return vr_step_execute(subject->root, step, binding, error);
}

static VrHostState *
observe_here(void *data, const VrHostState *shape, GError **error)
{
    const Subject *subject = data;
    return vr_host_state_observe(subject->root, shape, error);
}

static void
test_apply_goes_and_comes_back(Subject *subject, gconstpointer unused)
{
    (void) unused;
    VrExecutor executor = {execute_here, observe_here, NULL, subject};
    g_autoptr(GArray) addresses = g_array_new(FALSE, FALSE, sizeof(VrPciAddress));
    g_autoptr(GError) error = NULL;
    g_array_append_val(addresses, subject->device);
    g_autoptr(VrHostState) shape = vr_host_state_shape(addresses);
    g_autoptr(VrHostState) before = vr_host_state_observe(subject->root, shape, &error);
    g_assert_no_error(error);
    g_autoptr(VrHostState) wanted = vr_host_state_wanted(before);
    for (guint i = 0; i < 2; i++) {
        g_assert_true(vr_apply(&executor, wanted, true, NULL, &error));
        g_assert_no_error(error);
        assert_driver(subject, "vfio-pci");
        assert_value(subject, "power/control", "on");
        g_assert_true(vr_apply(&executor, before, false, NULL, &error));
        g_assert_no_error(error);
        g_autoptr(VrHostState) after = vr_host_state_observe(subject->root, shape, &error);
        g_assert_no_error(error);
        g_assert_true(vr_host_state_equal(before, after));
    }
}

int
main(int argc, char **argv)
{
    static const struct {
        const char *path;
        void (*test)(Subject *subject, gconstpointer unused);
    } tests[] = {
        {"/contract/round-trip", test_round_trip},
        {"/contract/override-keeps-all-others-out", test_override_keeps_all_others_out},
        {"/contract/vfio-takes-nothing-without-override", test_vfio_takes_nothing_without_override},
        {"/contract/wrong-moves-are-refused", test_wrong_moves_are_refused},
        {"/contract/override-is-one-line-of-any-text", test_override_is_one_line_of_any_text},
        {"/contract/vfio-changes-power-control", test_vfio_changes_power_control},
        {"/contract/apply-goes-and-comes-back", test_apply_goes_and_comes_back},
    };
    g_test_init(&argc, &argv, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_test_add(tests[i].path, Subject, NULL, set_up, tests[i].test, tear_down);
    }
    return g_test_run();
}
