/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/apply.h>

#include "../support/fake_kernel.h"

#include <vmrun/error.h>

#include <errno.h>
#include <string.h>

#define GPU "0000:01:00.0"
#define AUDIO "0000:01:00.1"
#define POOL "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"

static VrPciAddress
address_of(const char *text)
{
    VrPciAddress address = {0};
    g_assert_true(vr_pci_address_parse(text, &address));
    return address;
}

static FakeKernel *
host_with_card(void)
{
    FakeKernel *kernel = fake_kernel_new();
    fake_kernel_add_driver(kernel, "nouveau", "10de:2484", "nouveau");
    fake_kernel_add_driver(kernel, "nvidia", "10de:2484", "nvidia");
    fake_kernel_add_driver(kernel, "snd_hda_intel", "10de:228b", "snd_hda_intel");
    fake_kernel_add_device(kernel, GPU, "030000 10de:2484", 1);
    fake_kernel_add_device(kernel, AUDIO, "040300 10de:228b", 1);
    fake_kernel_place(kernel, GPU, "nvidia", NULL, "auto");
    fake_kernel_place(kernel, AUDIO, "snd_hda_intel", NULL, "auto");
    return kernel;
}

static VrHostState *
observe_card(FakeKernel *kernel)
{
    g_autoptr(GArray) addresses = g_array_new(FALSE, FALSE, sizeof(VrPciAddress));
    g_autoptr(GError) error = NULL;
    const char *const texts[] = {GPU, AUDIO};
    for (guint i = 0; i < G_N_ELEMENTS(texts); i++) {
        VrPciAddress address = address_of(texts[i]);
        g_array_append_val(addresses, address);
    }
    g_autoptr(VrHostState) shape = vr_host_state_shape(addresses);
    VrHostState *state = vr_host_state_observe(fake_kernel_root(kernel), shape, &error);
    g_assert_no_error(error);
    return state;
}

static bool
take(FakeKernel *kernel, const VrHostState *before, GError **error)
{
    VrExecutor executor = fake_kernel_executor(kernel);
    g_autoptr(VrHostState) wanted = vr_host_state_wanted(before);
    return vr_apply(&executor, wanted, true, NULL, error);
}

static void
must_take(FakeKernel *kernel, const VrHostState *before)
{
    g_autoptr(GError) error = NULL;
    g_assert_true(take(kernel, before, &error));
    g_assert_no_error(error);
}

static bool
give_back(FakeKernel *kernel, const VrHostState *before, GPtrArray *left, GError **error)
{
    VrExecutor executor = fake_kernel_executor(kernel);
    return vr_apply(&executor, before, false, left, error);
}

static GPtrArray *
left_new(void)
{
    return g_ptr_array_new_with_free_func((GDestroyNotify) vr_left_over_free);
}

static void
assert_driver(const FakeKernel *kernel, const char *address, const char *expected)
{
    g_autofree char *driver = fake_kernel_driver(kernel, address);
    g_assert_cmpstr(driver, ==, expected);
}

static void
assert_override(const FakeKernel *kernel, const char *address, const char *expected)
{
    g_autofree char *override = fake_kernel_override(kernel, address);
    g_assert_cmpstr(override, ==, expected);
}

static void
assert_left(const GPtrArray *left, guint index, const char *words)
{
    g_assert_cmpuint(left->len, >, index);
    const VrLeftOver *item = g_ptr_array_index(left, index);
    g_test_message("%s", item->message);
    g_assert_nonnull(strstr(item->message, words));
}

static void
test_round_trip(void)
{
    g_autoptr(FakeKernel) kernel = host_with_card();
    g_autoptr(VrHostState) before = observe_card(kernel);
    g_autofree char *start = fake_kernel_snapshot(kernel);
    g_autoptr(GPtrArray) left = left_new();
    g_autoptr(GError) error = NULL;
    must_take(kernel, before);
    assert_driver(kernel, GPU, "vfio-pci");
    assert_driver(kernel, AUDIO, "vfio-pci");
    assert_override(kernel, GPU, "vfio-pci");
    g_assert_true(give_back(kernel, before, left, &error));
    g_assert_no_error(error);
    g_assert_cmpuint(left->len, ==, 0);
    g_autofree char *end = fake_kernel_snapshot(kernel);
    g_assert_cmpstr(end, ==, start);
}

static void
test_again_writes_nothing(void)
{
    g_autoptr(FakeKernel) kernel = host_with_card();
    g_autoptr(VrHostState) before = observe_card(kernel);
    g_autoptr(GError) error = NULL;
    must_take(kernel, before);
    fake_kernel_revive(kernel);
    must_take(kernel, before);
    g_assert_cmpuint(fake_kernel_writes(kernel), ==, 0);
    g_assert_true(give_back(kernel, before, NULL, &error));
    fake_kernel_revive(kernel);
    g_assert_true(give_back(kernel, before, NULL, &error));
    g_assert_cmpuint(fake_kernel_writes(kernel), ==, 0);
}

static void
test_driver_that_grabs_between_unbind_and_bind_gets_nothing(void)
{
    g_autoptr(FakeKernel) kernel = host_with_card();
    g_autoptr(VrHostState) before = observe_card(kernel);
    g_autoptr(GError) error = NULL;
    fake_kernel_set_grabber(kernel, "nouveau");
    must_take(kernel, before);
    g_assert_true(give_back(kernel, before, NULL, &error));
    assert_driver(kernel, GPU, "nvidia");
    assert_override(kernel, GPU, "(null)");
}

static void
test_bind_that_did_not_bind_is_an_error(void)
{
    g_autoptr(FakeKernel) kernel = host_with_card();
    g_autoptr(VrHostState) before = observe_card(kernel);
    g_autoptr(GError) error = NULL;
    fake_kernel_bind_in_silence(kernel, true);
    g_assert_false(take(kernel, before, &error));
    g_assert_nonnull(strstr(error->message, "reported success, but it is on no driver"));
    assert_driver(kernel, GPU, "nvidia"); /* the display was not reached */
}

static void
test_true_errno_of_a_bind_is_reported(void)
{
    g_autoptr(FakeKernel) kernel = host_with_card();
    g_autoptr(VrHostState) before = observe_card(kernel);
    g_autoptr(GError) error = NULL;
    fake_kernel_fail_probe(kernel, "vfio-pci", EINVAL, 1);
    g_assert_false(take(kernel, before, &error));
    g_assert_nonnull(strstr(error->message, "Invalid argument"));
    g_assert_nonnull(strstr(error->message, AUDIO));
}

static void
test_group_that_is_still_owned_is_waited_for(void)
{
    g_autoptr(FakeKernel) kernel = host_with_card();
    g_autoptr(VrHostState) before = observe_card(kernel);
    g_autoptr(GError) error = NULL;
    must_take(kernel, before);
    fake_kernel_own_group(kernel, 1, 2);
    g_assert_true(give_back(kernel, before, NULL, &error));
    g_assert_no_error(error);
    assert_driver(kernel, GPU, "nvidia");
}

static void
test_probe_that_fails_once_is_tried_again(void)
{
    g_autoptr(FakeKernel) kernel = host_with_card();
    g_autoptr(VrHostState) before = observe_card(kernel);
    g_autoptr(GError) error = NULL;
    must_take(kernel, before);
    fake_kernel_fail_probe(kernel, "nvidia", EIO, 1);
    g_assert_true(give_back(kernel, before, NULL, &error));
    assert_driver(kernel, GPU, "nvidia");
}

static void
test_device_that_fails_leaves_the_others_restored(void)
{
    g_autoptr(FakeKernel) kernel = host_with_card();
    g_autoptr(VrHostState) before = observe_card(kernel);
    g_autoptr(GPtrArray) left = left_new();
    g_autoptr(GError) error = NULL;
    must_take(kernel, before);
    fake_kernel_fail_probe(kernel, "nvidia", EIO, 100);
    g_assert_false(give_back(kernel, before, left, &error));
    g_assert_error(error, VR_ERROR, VR_ERROR_FAILED);
    g_assert_cmpuint(left->len, ==, 1);
    assert_left(left, 0, "Input/output error");
    assert_driver(kernel, AUDIO, "snd_hda_intel");
    assert_driver(kernel, GPU, "none");
    assert_override(kernel, GPU, "nvidia"); /* nobody else gets it */
    fake_kernel_fail_probe(kernel, "nvidia", 0, 0);
    g_assert_true(give_back(kernel, before, NULL, NULL));
    assert_driver(kernel, GPU, "nvidia");
}

static void
test_function_that_refuses_its_driver_is_reset_once(void)
{
    g_autoptr(FakeKernel) kernel = host_with_card();
    g_autoptr(VrHostState) before = observe_card(kernel);
    g_autoptr(GError) error = NULL;
    fake_kernel_add_reset(kernel, GPU, "flr", false);
    fake_kernel_add_reset(kernel, AUDIO, "flr", false);
    must_take(kernel, before);
    fake_kernel_add_reset(kernel, GPU, "flr", true);
    g_assert_true(give_back(kernel, before, NULL, &error));
    g_assert_no_error(error);
    assert_driver(kernel, GPU, "nvidia");
    g_assert_cmpuint(fake_kernel_resets(kernel, GPU), ==, 1);
    g_assert_cmpuint(fake_kernel_resets(kernel, AUDIO), ==, 0);
}

/* No method, or one that does not help: what is told is why the bind failed. */
static void
test_reset_that_does_not_help_hides_nothing(gconstpointer methods)
{
    g_autoptr(FakeKernel) kernel = host_with_card();
    g_autoptr(VrHostState) before = observe_card(kernel);
    g_autoptr(GPtrArray) left = left_new();
    fake_kernel_add_reset(kernel, GPU, methods, false);
    must_take(kernel, before);
    fake_kernel_fail_probe(kernel, "nvidia", EINVAL, 100);
    g_assert_false(give_back(kernel, before, left, NULL));
    g_assert_cmpuint(left->len, ==, 1);
    assert_left(left, 0, "bind to nvidia");
    assert_left(left, 0, "Invalid argument");
    assert_driver(kernel, GPU, "none");
    g_assert_cmpuint(fake_kernel_resets(kernel, GPU), ==, strlen(methods) > 0 ? 1 : 0);
}

/* On the way out a driver that refuses is an answer: there nothing is reset. */
static void
test_nothing_is_reset_on_the_way_out(void)
{
    g_autoptr(FakeKernel) kernel = host_with_card();
    g_autoptr(VrHostState) before = observe_card(kernel);
    fake_kernel_add_reset(kernel, AUDIO, "flr", false);
    fake_kernel_fail_probe(kernel, "vfio-pci", EINVAL, 100);
    g_assert_false(take(kernel, before, NULL));
    g_assert_cmpuint(fake_kernel_resets(kernel, AUDIO), ==, 0);
}

static void
test_driver_that_is_gone_for_good_leaves_the_choice_to_the_kernel(gconstpointer other)
{
    g_autoptr(FakeKernel) kernel = host_with_card();
    g_autoptr(VrHostState) before = observe_card(kernel);
    g_autoptr(GPtrArray) left = left_new();
    g_autofree char *words = g_strdup_printf("the kernel chose %s", (const char *) other);
    must_take(kernel, before);
    fake_kernel_uninstall(kernel, "nvidia");
    if (g_str_equal(other, "none")) {
        fake_kernel_unload(kernel, "nouveau");
    }
    g_assert_false(give_back(kernel, before, left, NULL));
    g_assert_cmpuint(left->len, ==, 1);
    assert_left(left, 0, GPU " lost its driver nvidia");
    assert_left(left, 0, words);
    assert_driver(kernel, GPU, other);
    assert_override(kernel, GPU, "(null)");
    assert_driver(kernel, AUDIO, "snd_hda_intel");
}

/* Two reasons one after the other: the first one stays the first that is said. */
static void
test_first_failure_of_a_device_is_told_first(void)
{
    g_autoptr(FakeKernel) kernel = host_with_card();
    g_autoptr(VrHostState) before = observe_card(kernel);
    g_autoptr(GPtrArray) left = left_new();
    g_autoptr(GError) error = NULL;
    must_take(kernel, before);
    fake_kernel_revive(kernel);
    fake_kernel_fail_at(kernel, 0, EACCES); /* the first override */
    fake_kernel_fail_probe(kernel, "nvidia", EINVAL, 100);
    g_assert_false(give_back(kernel, before, left, &error));
    g_assert_nonnull(strstr(error->message, "Permission denied"));
    const VrLeftOver *item = g_ptr_array_index(left, 0);
    const char *first = strstr(item->message, "Permission denied");
    const char *later = strstr(item->message, "when tried again");
    g_assert_true(first != NULL && later != NULL && first < later);
    assert_left(left, 0, "Invalid argument");
}

static void
test_third_driver_is_left_alone(void)
{
    g_autoptr(FakeKernel) kernel = host_with_card();
    g_autoptr(VrHostState) before = observe_card(kernel);
    g_autoptr(GPtrArray) left = left_new();
    must_take(kernel, before);
    fake_kernel_place(kernel, GPU, "nouveau", NULL, "on");
    g_assert_false(give_back(kernel, before, left, NULL));
    g_assert_cmpuint(left->len, ==, 1);
    assert_left(left, 0, GPU " is on nouveau");
    assert_driver(kernel, GPU, "nouveau");
    assert_driver(kernel, AUDIO, "snd_hda_intel");
}

static void
test_gone_device_does_not_stop_the_others(void)
{
    g_autoptr(FakeKernel) kernel = host_with_card();
    g_autoptr(VrHostState) before = observe_card(kernel);
    g_autoptr(GPtrArray) left = left_new();
    must_take(kernel, before);
    fake_kernel_remove_device(kernel, GPU);
    g_assert_false(give_back(kernel, before, left, NULL));
    g_assert_cmpuint(left->len, ==, 1);
    assert_left(left, 0, "is not there any more");
    assert_driver(kernel, AUDIO, "snd_hda_intel");
}

static void
test_other_ids_are_not_written_to(void)
{
    g_autoptr(FakeKernel) kernel = host_with_card();
    g_autoptr(VrHostState) before = observe_card(kernel);
    g_autoptr(GPtrArray) left = left_new();
    g_autoptr(GError) error = NULL;
    must_take(kernel, before);
    fake_kernel_remove_device(kernel, GPU);
    fake_kernel_add_device(kernel, GPU, "010802 144d:a80a", 1);
    fake_kernel_place(kernel, GPU, "vfio-pci", NULL, "on");
    g_assert_false(give_back(kernel, before, left, &error));
    assert_left(left, 0, "is another device now: 144d:a80a");
    assert_driver(kernel, GPU, "vfio-pci");
    g_assert_false(take(kernel, before, NULL));
    VrStep step = {.kind = VR_STEP_UNBIND,
                   .has_device = true,
                   .device = address_of(GPU),
                   .from = (char *) "vfio-pci"};
    g_clear_error(&error);
    g_assert_false(vr_step_execute(fake_kernel_root(kernel), &step,
                                   vr_host_state_binding(before, step.device), &error));
    g_assert_error(error, VR_ERROR, VR_ERROR_GONE);
    assert_driver(kernel, GPU, "vfio-pci");
}

/* The ids that are compared are those of the step's device: the file must be that one's, too. */
static void
test_attribute_of_another_device_is_not_written_to(void)
{
    static const char *const rows[][2] = {
        {"/sys/bus/pci/devices/" AUDIO "/power/control", "on"},
        {"/sys/bus/pci/devices/" GPU "/power/control", "on and on"},
        {"/sys/bus/pci/devices/" GPU "/d3cold_allowed", "2"},
        {POOL, "8"},
    };
    g_autoptr(FakeKernel) kernel = host_with_card();
    g_autoptr(VrHostState) before = observe_card(kernel);
    g_autofree char *snapshot = fake_kernel_snapshot(kernel);
    for (guint i = 0; i <= G_N_ELEMENTS(rows); i++) {
        bool no_device = i == G_N_ELEMENTS(rows);
        g_autoptr(GError) error = NULL;
        VrStep step = {.kind = VR_STEP_ATTRIBUTE,
                       .has_device = !no_device,
                       .device = address_of(GPU),
                       .path = (char *) (no_device ? "/sys/bus/pci/devices/" GPU "/d3cold_allowed"
                                                   : rows[i][0]),
                       .value = (char *) (no_device ? "0" : rows[i][1])};
        g_assert_false(vr_step_execute(fake_kernel_root(kernel), &step,
                                       vr_host_state_binding(before, address_of(GPU)), &error));
        g_assert_error(error, VR_ERROR, VR_ERROR_CORRUPT);
    }
    g_autofree char *after = fake_kernel_snapshot(kernel);
    g_assert_cmpstr(after, ==, snapshot);
}

static void
test_module_is_loaded_when_its_driver_is_gone(void)
{
    g_autoptr(FakeKernel) kernel = host_with_card();
    g_autoptr(VrHostState) before = observe_card(kernel);
    g_autoptr(GError) error = NULL;
    must_take(kernel, before);
    fake_kernel_unload(kernel, "nvidia");
    g_assert_true(give_back(kernel, before, NULL, &error));
    g_assert_no_error(error);
    assert_driver(kernel, GPU, "nvidia");
    assert_override(kernel, GPU, "(null)");
}

static void
test_vfio_pci_is_loaded_first(void)
{
    g_autoptr(FakeKernel) kernel = host_with_card();
    g_autoptr(VrHostState) before = observe_card(kernel);
    g_autoptr(GError) error = NULL;
    fake_kernel_unload(kernel, "vfio-pci");
    g_assert_false(take(kernel, before, &error)); /* the fake has a module vfio_pci */
    g_assert_nonnull(strstr(error->message, "load the module vfio-pci"));
    assert_driver(kernel, AUDIO, "snd_hda_intel");
    g_assert_cmpuint(fake_kernel_writes(kernel), ==, 0);
}

static void
test_probe_that_changes_power_is_corrected(void)
{
    g_autoptr(FakeKernel) kernel = host_with_card();
    g_autoptr(VrHostState) before = observe_card(kernel);
    g_autofree char *start = fake_kernel_snapshot(kernel);
    fake_kernel_probe_sets_power(kernel, "nvidia", "on");
    must_take(kernel, before);
    g_assert_true(give_back(kernel, before, NULL, NULL));
    g_autofree char *end = fake_kernel_snapshot(kernel);
    g_assert_cmpstr(end, ==, start);
}

static void
test_foreign_override_comes_back_byte_for_byte(void)
{
    g_autoptr(FakeKernel) kernel = host_with_card();
    fake_kernel_place(kernel, GPU, NULL, "admin's own text", "on");
    g_autoptr(VrHostState) before = observe_card(kernel);
    must_take(kernel, before);
    g_assert_true(give_back(kernel, before, NULL, NULL));
    assert_driver(kernel, GPU, "none");
    assert_override(kernel, GPU, "admin's own text");
}

static void
test_units_stop_and_start(void)
{
    g_autoptr(FakeKernel) kernel = host_with_card();
    g_autoptr(VrHostState) before = observe_card(kernel);
    g_autoptr(GPtrArray) left = left_new();
    fake_kernel_add_unit(kernel, "nvidia-persistenced.service", true);
    vr_host_state_set_unit(before, "nvidia-persistenced.service", true);
    must_take(kernel, before);
    g_assert_false(fake_kernel_unit_is_active(kernel, "nvidia-persistenced.service"));
    fake_kernel_fail_probe(kernel, "nvidia", EIO, 100);
    g_assert_false(give_back(kernel, before, left, NULL));
    g_assert_true(fake_kernel_unit_is_active(kernel, "nvidia-persistenced.service"));
}

static void
test_unit_that_does_not_start_is_left_over(void)
{
    g_autoptr(FakeKernel) kernel = host_with_card();
    g_autoptr(VrHostState) before = observe_card(kernel);
    g_autoptr(GPtrArray) left = left_new();
    vr_host_state_set_unit(before, "unknown.service", true);
    g_assert_false(give_back(kernel, before, left, NULL));
    g_assert_cmpuint(left->len, ==, 1);
    assert_left(left, 0, "start unknown.service");
    g_assert_false(((VrLeftOver *) g_ptr_array_index(left, 0))->is_device);
}

static bool
apply_pool(FakeKernel *kernel, const char *value, GError **error)
{
    VrExecutor executor = fake_kernel_executor(kernel);
    g_autoptr(VrHostState) wanted = vr_host_state_new();
    vr_host_state_set_attribute(wanted, VR_ATTRIBUTE_COUNT, NULL, POOL, value);
    return vr_apply(&executor, wanted, true, NULL, error);
}

static void
assert_pool(FakeKernel *kernel, const char *expected)
{
    g_autofree char *pages = vr_sysroot_read_optional(fake_kernel_root(kernel), POOL);
    g_assert_cmpstr(pages, ==, expected);
}

static void
test_pool_grows_in_parts_and_goes_back(void)
{
    g_autoptr(FakeKernel) kernel = fake_kernel_new();
    fake_kernel_add_pool(kernel, 100, 5000);
    g_assert_true(apply_pool(kernel, "1124", NULL));
    g_assert_cmpuint(fake_kernel_writes(kernel), ==, 8);
    assert_pool(kernel, "1124");
    g_assert_true(apply_pool(kernel, "100+1024", NULL));
    assert_pool(kernel, "100");
}

/* The claim says how many pages to take away: once, however often the pool is looked at. */
static void
test_pages_that_others_added_stay(void)
{
    g_autoptr(FakeKernel) kernel = fake_kernel_new();
    fake_kernel_add_pool(kernel, 100, 5000);
    g_assert_true(apply_pool(kernel, "1124", NULL));
    g_assert_true(apply_pool(kernel, "1164", NULL)); /* somebody else, meanwhile */
    g_assert_true(apply_pool(kernel, "100+1024", NULL));
    assert_pool(kernel, "140");
}

static void
test_pool_that_cannot_grow_is_an_error(void)
{
    g_autoptr(FakeKernel) kernel = fake_kernel_new();
    g_autoptr(GError) error = NULL;
    fake_kernel_add_pool(kernel, 100, 300);
    g_assert_false(apply_pool(kernel, "1000", &error));
    g_assert_nonnull(strstr(error->message, "found 300 of 1000 pages"));
    g_assert_true(apply_pool(kernel, "100+900", NULL));
    assert_pool(kernel, "100");
}

/* An executor for which one function hangs: no write to it, no look at it after that. */
typedef struct {
    VrExecutor real;
    VrPciAddress hanging;
    unsigned touched; /* after it was stuck */
    bool is_stuck;
    bool hangs_when_looked_at;
} Hanging;

static bool
execute_hanging(void *data, const VrStep *step, const VrHostState *wanted, GError **error)
{
    Hanging *hanging = data;
    if (!step->has_device || !vr_pci_address_equal(step->device, hanging->hanging)) {
        return hanging->real.execute(hanging->real.data, step, wanted, error);
    }
    hanging->touched += hanging->is_stuck;
    hanging->is_stuck = true;
    return vr_error_set(error, VR_ERROR_STUCK, "it hangs");
}

static VrHostState *
observe_hanging(void *data, const VrHostState *shape, GError **error)
{
    Hanging *hanging = data;
    if (vr_host_state_binding(shape, hanging->hanging) != NULL) {
        hanging->touched += hanging->is_stuck;
        if (hanging->hangs_when_looked_at) {
            vr_error_set(error, VR_ERROR_STUCK, "looking hangs");
            return NULL;
        }
    }
    return hanging->real.observe(hanging->real.data, shape, error);
}

static void
give_back_hanging(bool hangs_when_looked_at)
{
    g_autoptr(FakeKernel) kernel = host_with_card();
    g_autoptr(VrHostState) before = observe_card(kernel);
    g_autoptr(GPtrArray) left = left_new();
    g_autoptr(GError) error = NULL;
    must_take(kernel, before);
    Hanging hanging = {.real = fake_kernel_executor(kernel),
                       .hanging = address_of(GPU),
                       .hangs_when_looked_at = hangs_when_looked_at};
    VrExecutor executor = {execute_hanging, observe_hanging, NULL, &hanging};
    g_assert_false(vr_apply(&executor, before, false, left, &error));
    g_assert_error(error, VR_ERROR, VR_ERROR_STUCK);
    g_assert_cmpuint(left->len, ==, 1);
    g_assert_true(((VrLeftOver *) g_ptr_array_index(left, 0))->stuck);
    g_assert_cmpuint(hanging.touched, ==, 0);
    assert_driver(kernel, AUDIO, "snd_hda_intel");
    assert_driver(kernel, GPU, "vfio-pci");
}

static void
test_stuck_device_is_not_touched_again(void)
{
    give_back_hanging(false);
}

static void
test_device_that_hangs_when_looked_at_does_not_stop_the_others(void)
{
    give_back_hanging(true);
}

static void
test_failure_of_each_write_on_the_way_out_changes_nothing_behind_it(void)
{
    for (unsigned n = 0;; n++) {
        g_autoptr(FakeKernel) kernel = host_with_card();
        g_autoptr(VrHostState) before = observe_card(kernel);
        g_autofree char *start = fake_kernel_snapshot(kernel);
        fake_kernel_fail_at(kernel, n, EIO);
        if (take(kernel, before, NULL)) {
            g_assert_cmpuint(n, >=, 8);
            g_assert_cmpuint(n, ==, fake_kernel_writes(kernel));
            return;
        }
        g_assert_cmpuint(fake_kernel_writes(kernel), ==, n + 1);
        fake_kernel_revive(kernel);
        g_assert_true(give_back(kernel, before, NULL, NULL));
        g_autofree char *end = fake_kernel_snapshot(kernel);
        g_assert_cmpstr(end, ==, start);
    }
}

static void
test_deadlines(void)
{
    g_autoptr(VrHostState) wanted = vr_host_state_new();
    VrStep unbind = {.kind = VR_STEP_UNBIND,
                     .has_device = true,
                     .device = address_of(GPU),
                     .from = (char *) "nvidia"};
    g_assert_cmpuint(vr_step_timeout_ms(&unbind, wanted), ==, 120000);
    VrBinding *ucsi = vr_binding_new(address_of("0000:01:00.3"));
    ucsi->class_code = 0x0c8000;
    vr_host_state_add_binding(wanted, ucsi);
    g_assert_cmpuint(vr_step_timeout_ms(&unbind, wanted), ==, 240000);
    unbind.from = (char *) "vfio-pci";
    g_assert_cmpuint(vr_step_timeout_ms(&unbind, wanted), ==, 90000);
}

int
main(int argc, char **argv)
{
    static const struct {
        const char *path;
        GTestFunc test;
    } tests[] = {
        {"round-trip", test_round_trip},
        {"again-writes-nothing", test_again_writes_nothing},
        {"driver-that-grabs-between-unbind-and-bind-gets-nothing",
         test_driver_that_grabs_between_unbind_and_bind_gets_nothing},
        {"bind-that-did-not-bind-is-an-error", test_bind_that_did_not_bind_is_an_error},
        {"true-errno-of-a-bind-is-reported", test_true_errno_of_a_bind_is_reported},
        {"group-that-is-still-owned-is-waited-for", test_group_that_is_still_owned_is_waited_for},
        {"probe-that-fails-once-is-tried-again", test_probe_that_fails_once_is_tried_again},
        {"device-that-fails-leaves-the-others-restored",
         test_device_that_fails_leaves_the_others_restored},
        {"third-driver-is-left-alone", test_third_driver_is_left_alone},
        {"gone-device-does-not-stop-the-others", test_gone_device_does_not_stop_the_others},
        {"other-ids-are-not-written-to", test_other_ids_are_not_written_to},
        {"attribute-of-another-device-is-not-written-to",
         test_attribute_of_another_device_is_not_written_to},
        {"module-is-loaded-when-its-driver-is-gone", test_module_is_loaded_when_its_driver_is_gone},
        {"vfio-pci-is-loaded-first", test_vfio_pci_is_loaded_first},
        {"probe-that-changes-power-is-corrected", test_probe_that_changes_power_is_corrected},
        {"foreign-override-comes-back-byte-for-byte",
         test_foreign_override_comes_back_byte_for_byte},
        {"units-stop-and-start", test_units_stop_and_start},
        {"unit-that-does-not-start-is-left-over", test_unit_that_does_not_start_is_left_over},
        {"pool-grows-in-parts-and-goes-back", test_pool_grows_in_parts_and_goes_back},
        {"pages-that-others-added-stay", test_pages_that_others_added_stay},
        {"pool-that-cannot-grow-is-an-error", test_pool_that_cannot_grow_is_an_error},
        {"stuck-device-is-not-touched-again", test_stuck_device_is_not_touched_again},
        {"device-that-hangs-when-looked-at-does-not-stop-the-others",
         test_device_that_hangs_when_looked_at_does_not_stop_the_others},
        {"failure-of-each-write-on-the-way-out-changes-nothing-behind-it",
         test_failure_of_each_write_on_the_way_out_changes_nothing_behind_it},
        {"deadlines", test_deadlines},
    };
    g_test_init(&argc, &argv, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strconcat("/apply/", tests[i].path, NULL);
        g_test_add_func(path, tests[i].test);
    }
    g_test_add_func("/apply/function-that-refuses-its-driver-is-reset-once",
                    test_function_that_refuses_its_driver_is_reset_once);
    g_test_add_data_func("/apply/reset-that-does-not-help-hides-nothing", "flr",
                         test_reset_that_does_not_help_hides_nothing);
    g_test_add_data_func("/apply/function-that-cannot-be-reset-is-not", "",
                         test_reset_that_does_not_help_hides_nothing);
    g_test_add_func("/apply/nothing-is-reset-on-the-way-out", test_nothing_is_reset_on_the_way_out);
    g_test_add_data_func("/apply/driver-gone-for-good-another-one-takes-it", "nouveau",
                         test_driver_that_is_gone_for_good_leaves_the_choice_to_the_kernel);
    g_test_add_data_func("/apply/driver-gone-for-good-nobody-takes-it", "none",
                         test_driver_that_is_gone_for_good_leaves_the_choice_to_the_kernel);
    g_test_add_func("/apply/first-failure-of-a-device-is-told-first",
                    test_first_failure_of_a_device_is_told_first);
    return g_test_run();
}
