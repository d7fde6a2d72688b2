/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/host_state.h>

#include "../support/fake_kernel.h"
#include "../support/tree.h"

#include <vmrun/error.h>

#include <string.h>
#include <sys/stat.h>

#define GPU "0000:01:00.0"
#define CONTROL "/sys/bus/pci/devices/" GPU "/power/control"

static VrPciAddress
address_of(const char *text)
{
    VrPciAddress address = {0};
    g_assert_true(vr_pci_address_parse(text, &address));
    return address;
}

static VrHostState *
shape_of(const char *first, const char *second)
{
    g_autoptr(GArray) addresses = g_array_new(FALSE, FALSE, sizeof(VrPciAddress));
    const char *texts[] = {first, second};
    for (guint i = 0; i < 2 && texts[i] != NULL; i++) {
        VrPciAddress address = address_of(texts[i]);
        g_array_append_val(addresses, address);
    }
    return vr_host_state_shape(addresses);
}

static void
test_observes_bindings(void)
{
    g_autoptr(FakeKernel) kernel = fake_kernel_new();
    g_autoptr(GError) error = NULL;
    fake_kernel_add_driver(kernel, "nvidia-gpu", "", "i2c_nvidia_gpu");
    fake_kernel_add_device(kernel, GPU, "0c8000 10de:1ad9", 7);
    fake_kernel_place(kernel, GPU, "nvidia-gpu", "some text", "auto");
    g_autoptr(VrHostState) shape = shape_of("0000:02:00.0", GPU);
    g_autoptr(VrHostState) state = vr_host_state_observe(fake_kernel_root(kernel), shape, &error);
    g_assert_no_error(error);
    const VrBinding *binding = g_ptr_array_index(state->bindings, 0);
    g_assert_true(binding->present);
    g_assert_cmphex(binding->vendor, ==, 0x10de);
    g_assert_cmphex(binding->device, ==, 0x1ad9);
    g_assert_cmphex(binding->class_code, ==, 0x0c8000);
    g_assert_cmpint(binding->group, ==, 7);
    g_assert_cmpstr(binding->driver, ==, "nvidia-gpu");
    g_assert_cmpstr(binding->module, ==, "i2c_nvidia_gpu");
    g_assert_cmpstr(binding->driver_override, ==, "some text");
    g_assert_cmpstr(vr_host_state_attribute(state, CONTROL)->value, ==, "auto");
    const VrBinding *absent = g_ptr_array_index(state->bindings, 1);
    g_assert_false(absent->present);
    g_assert_null(absent->driver);
}

static void
test_null_and_empty_override_are_none(void)
{
    static const char *const texts[] = {"(null)", ""};
    for (guint i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(FakeKernel) kernel = fake_kernel_new();
        g_autoptr(GError) error = NULL;
        fake_kernel_add_device(kernel, GPU, "030000 10de:2484", 1);
        tree_write(fake_kernel_directory(kernel), "/sys/bus/pci/devices/" GPU "/driver_override",
                   texts[i]);
        g_autoptr(VrHostState) shape = shape_of(GPU, NULL);
        g_autoptr(VrHostState) state =
            vr_host_state_observe(fake_kernel_root(kernel), shape, &error);
        g_assert_no_error(error);
        g_assert_null(vr_host_state_binding(state, address_of(GPU))->driver_override);
        g_assert_null(vr_host_state_binding(state, address_of(GPU))->driver);
    }
}

static void
test_refuses_to_observe_what_it_could_not_put_back(void)
{
    static const char *const files[][2] = {
        {"/sys/bus/pci/devices/" GPU "/driver_override", "two\nlines"},
        {CONTROL, "sometimes"},
        {"/sys/bus/pci/devices/" GPU "/vendor", "apple"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autoptr(FakeKernel) kernel = fake_kernel_new();
        g_autoptr(GError) error = NULL;
        fake_kernel_add_device(kernel, GPU, "030000 10de:2484", 1);
        tree_write(fake_kernel_directory(kernel), files[i][0], files[i][1]);
        g_autoptr(VrHostState) shape = shape_of(GPU, NULL);
        g_autoptr(VrHostState) state =
            vr_host_state_observe(fake_kernel_root(kernel), shape, &error);
        g_assert_null(state);
        g_assert_error(error, VR_ERROR, VR_ERROR_CORRUPT);
    }
}

/* `systemctl` is the first one in PATH; this one answers as its first argument file says. */
static void
test_units_are_asked_for_and_an_absent_systemd_is_unreachable(void)
{
    g_autofree char *directory = tree_new();
    g_autofree char *path = g_strdup(g_getenv("PATH"));
    g_autofree char *tool = g_build_filename(directory, "systemctl", NULL);
    g_autoptr(VrSysroot) root = tree_root(directory);
    g_autoptr(VrHostState) shape = vr_host_state_new();
    g_autoptr(GError) error = NULL;
    vr_host_state_set_unit(shape, "a.service", false);
    vr_host_state_set_unit(shape, "b@1.socket", false);
    g_setenv("PATH", directory, TRUE);
    g_assert_null(vr_host_state_observe(root, shape, &error));
    g_assert_error(error, VR_ERROR, VR_ERROR_UNREACHABLE);
    g_clear_error(&error);
    g_assert_true(g_file_set_contents(
        tool,
        "#!/bin/sh\n[ \"$2 $3 $4 $5\" = 'is-active -- a.service b@1.socket' ] || exit 9\n"
        "echo activating; echo failed; exit 3\n",
        -1, NULL));
    tree_write(directory, "/empty", "");
    g_assert_cmpint(chmod(tool, 0755), ==, 0);
    g_autoptr(VrHostState) state = vr_host_state_observe(root, shape, &error);
    g_setenv("PATH", path, TRUE);
    g_assert_no_error(error);
    g_assert_true(((VrUnitState *) g_ptr_array_index(state->units, 0))->active);
    g_assert_false(((VrUnitState *) g_ptr_array_index(state->units, 1))->active);
    tree_remove(g_steal_pointer(&directory));
}

static VrHostState *
full_state(void)
{
    VrHostState *state = vr_host_state_new();
    VrPciAddress device = address_of(GPU);
    VrBinding *binding = vr_binding_new(device);
    binding->vendor = 0x10de;
    binding->device = 0x2484;
    binding->class_code = 0x030000;
    binding->group = 12;
    binding->present = true;
    binding->driver = g_strdup("nvidia");
    binding->module = g_strdup("nvidia");
    binding->driver_override = g_strdup("a \"quoted\" {[ \\ text");
    vr_host_state_add_binding(state, binding);
    vr_host_state_add_binding(state, vr_binding_new(address_of("0000:00:1f.3")));
    vr_host_state_set_attribute(state, VR_ATTRIBUTE_TEXT, &device, CONTROL, "auto");
    vr_host_state_set_attribute(state, VR_ATTRIBUTE_COUNT, NULL,
                                "/sys/devices/system/node/node1/hugepages/hugepages-1048576kB/"
                                "nr_hugepages",
                                "4+12");
    vr_host_state_set_unit(state, "nvidia-persistenced.service", true);
    return state;
}

static void
test_text_round_trip(void)
{
    g_autoptr(VrHostState) state = full_state();
    g_autofree char *text = vr_host_state_to_text(state);
    g_autoptr(GError) error = NULL;
    g_autoptr(VrHostState) again = vr_host_state_from_text(text, &error);
    g_assert_no_error(error);
    g_assert_true(vr_host_state_equal(state, again));
    g_autoptr(VrHostState) copy = vr_host_state_copy(state);
    g_assert_true(vr_host_state_equal(state, copy));
    vr_host_state_set_unit(copy, "nvidia-persistenced.service", false);
    g_assert_false(vr_host_state_equal(state, copy));
}

/* One replacement in the text above makes it wrong. */
static const char *const lies[][2] = {
    {"\"nvidia\",\"module\"", "\"../../x\",\"module\""},
    {"\"driver\":\"nvidia\"", "\"driver\":\"nvidia\\n\""},
    {"\"driver\":\"nvidia\"", "\"driver\":7"},
    {"\"driver\":\"nvidia\"", "\"driver\":\"\""},
    {"\"module\":\"nvidia\"", "\"module\":\"--remove\\u0000\""},
    {"\"10de\"", "\"10DE\""},
    {"\"10de\"", "\"110de\""},
    {"\"030000\"", "\"30000\""},
    {"\"group\":12", "\"group\":-2"},
    {"\"group\":12", "\"group\":4294967296"},
    {"\"group\":12", "\"group\":1.5"},
    {"\"present\":true", "\"present\":1"},
    {"\"0000:01:00.0\",\"vendor\"", "\"01:00.0\",\"vendor\""},
    {"\"0000:01:00.0\",\"vendor\"", "\"0000:00:1f.3\",\"vendor\""},
    {"\"override\":\"a", "\"override\":\"\\na"},
    {"/sys/bus/pci/devices/0000:01:00.0/power/control", "/etc/shadow"},
    {"devices/0000:01:00.0/power/control", "devices/0000:01:00.1/power/control"},
    {"devices/0000:01:00.0/power/control", "devices/../0000:01:00.0/power/control"},
    {"devices/0000:01:00.0/power/control", "devices/0000:01:00.0/remove"},
    {"\"auto\"", "\"maybe\""},
    {"node1/hugepages", "node1/../hugepages"},
    {"\"count\"", "\"text\""},
    {"\"4+12\"", "\"4+12+3\""},
    {"\"4+12\"", "\"-4\""},
    {"nvidia-persistenced.service", "nvidia*.service"},
    {"nvidia-persistenced.service", "--now"},
    {"nvidia-persistenced.service", "nvidia-persistenced"},
    {"\"units\"", "\"moons\""},
    {"{\"bindings\"", "{\"more\":1,\"bindings\""},
    {"{\"bindings\":[", "{\"bindings\":[[[[[["},
    {"{\"bindings\"", "[\"bindings\""},
};

static char *
replaced(const char *text, const char *old, const char *new)
{
    const char *at = strstr(text, old);
    g_assert_nonnull(at);
    g_autofree char *head = g_strndup(text, (gsize) (at - text));
    return g_strconcat(head, new, at + strlen(old), NULL);
}

static void
test_text_with_a_lie_is_refused(void)
{
    g_autoptr(VrHostState) state = full_state();
    g_autofree char *text = vr_host_state_to_text(state);
    for (guint i = 0; i < G_N_ELEMENTS(lies); i++) {
        g_autofree char *lie = replaced(text, lies[i][0], lies[i][1]);
        g_autoptr(GError) error = NULL;
        g_autoptr(VrHostState) read = vr_host_state_from_text(lie, &error);
        g_test_message("%s -> %s", lies[i][0], lies[i][1]);
        g_assert_null(read);
        g_assert_error(error, VR_ERROR, VR_ERROR_CORRUPT);
    }
}

static void
test_only_few_paths_are_allowed(void)
{
    static const char *const good[] = {
        CONTROL,
        "/sys/bus/pci/devices/10000:01:00.7/d3cold_allowed",
        "/sys/devices/system/cpu/cpufreq/policy12/scaling_governor",
        "/sys/fs/cgroup/user.slice/cpuset.cpus.effective",
        "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages",
        "/sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages",
    };
    static const char *const bad[] = {
        "",
        "/",
        "/sys/bus/pci/devices/0000:01:00.0/driver_override",
        "/sys/bus/pci/devices/0000:01:00.0/reset",
        "/sys/bus/pci/devices/01:00.0/power/control",
        "/sys/bus/pci/devices/0000:01:00.0/power/control\n",
        "/sys/bus/pci/devices/0000:01:00.0//power/control",
        "/sys/bus/pci/devices/0000:01:00.0/../power/control",
        "/sys/devices/system/cpu/cpufreq/policy1/scaling_setspeed",
        "/sys/devices/system/cpu/cpufreq/policy/scaling_governor",
        "/sys/devices/system/cpu/cpufreq/policy1/../policy2/scaling_governor",
        "/sys/fs/cgroup/machine.slice/cpuset.cpus.effective",
        "/sys/fs/cgroup/user.slice/cpuset.cpus",
        "/sys/fs/cgroup/user.slice/../system.slice/cpuset.cpus.effective",
        "/sys/fs/cgroup/cpuset.cpus.effective",
        "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages\n",
        "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_overcommit_hugepages",
        "/sys/devices/system/node/nodex/hugepages/hugepages-2048kB/nr_hugepages",
        "/tmp/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages",
    };
    for (guint i = 0; i < G_N_ELEMENTS(good); i++) {
        g_assert_true(vr_attribute_path_is_allowed(good[i]));
    }
    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_assert_false(vr_attribute_path_is_allowed(bad[i]));
    }
}

#define POOL "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"

/* 128, 4096 more of ours, 10 more of others; taken away once, however often it is looked at. */
static void
test_pages_that_were_added_are_taken_once(void)
{
    g_autoptr(VrHostState) before = vr_host_state_new();
    g_autoptr(VrHostState) now = vr_host_state_new();
    vr_host_state_set_attribute(before, VR_ATTRIBUTE_COUNT, NULL, POOL, "128+4096");
    vr_host_state_set_attribute(now, VR_ATTRIBUTE_COUNT, NULL, POOL, "4234");
    vr_host_state_begin_counts(before, now);
    const char *begun = vr_host_state_attribute(before, POOL)->value;
    g_assert_cmpstr(begun, ==, "4234-4096");
    g_assert_cmpuint(vr_count_target(begun, 4234), ==, 138);
    g_assert_cmpuint(vr_count_target(begun, 4240), ==, 144);
    g_assert_cmpuint(vr_count_target(begun, 138), ==, 138);
    vr_host_state_set_attribute(now, VR_ATTRIBUTE_COUNT, NULL, POOL, "138");
    vr_host_state_begin_counts(before, now);
    g_assert_cmpstr(vr_host_state_attribute(before, POOL)->value, ==, "4234-4096");
    g_autofree char *text = vr_host_state_to_text(before);
    g_autoptr(VrHostState) again = vr_host_state_from_text(text, NULL);
    g_assert_nonnull(again);
    g_assert_true(vr_host_state_has_counts(again));
    vr_host_state_drop_counts(again);
    g_assert_false(vr_host_state_has_counts(again));
}

static void
test_strange_counts_are_refused(void)
{
    static const char *const strange[] = {"", "+", "-", "1+", "+1", "1-2", "1-", "3+1-1", "x"};
    uint64_t first, second;
    for (guint i = 0; i < G_N_ELEMENTS(strange); i++) {
        g_assert_false(vr_count_parse(strange[i], &first, &second));
    }
}

static void
test_processors_are_taken_and_come_back(void)
{
    static const struct {
        const char *wanted, *now, *target;
    } cases[] = {
        {"0-3", "0-1", "0-3"},         {"!2-3", "0-7", "0-1,4-7"},
        {"!2-3", "0-1", "0-1"},        {"!0-7", "0-7", NULL},
        {"0-7/2-3", "0-1,4-7", "0-7"}, {"0-7/2-3", "0-7", "0-7"}, /* done twice */
        {"0-7/2-3", "0-1", "0-3"},                                /* the others' stay away */
        {"0-5/4-7", "0-3", "0-5"},                                /* never more than there was */
        {"0-1/6-7", "0-1", "0-1"},                                /* it had none of them */
        {"0-7/2-3", "0-1,5", "0-3,5"}, /* nobody else's change is undone */
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *target = vr_cpus_target(cases[i].wanted, cases[i].now);
        g_test_message("%s, now %s", cases[i].wanted, cases[i].now);
        g_assert_cmpstr(target, ==, cases[i].target);
    }
}

static void
test_claims_on_processors(void)
{
    g_autofree char *claim = vr_cpus_claim("0-7", "!2-3");
    g_autofree char *inherited = vr_cpus_claim("0-7/2-3", "0-1,4-7/3-5");
    g_autofree char *rest = vr_cpus_leave("0-7/2-3", "0-7/3-5");
    g_autofree char *nothing = vr_cpus_leave("0-7/2-3", "0-7/1-5");
    g_assert_cmpstr(claim, ==, "0-7/2-3");
    g_assert_cmpstr(inherited, ==, "0-7/3-5");
    g_assert_cmpstr(rest, ==, "0-7/2");
    g_assert_null(nothing);
}

/* What a journal may say about the processors of user.slice. */
static void
test_wrong_lists_of_processors_are_refused(void)
{
    static const char *const good[] = {"0", "0-3,8", "!2-3", "0-7/2-3"};
    static const char *const bad[] = {"",     "!",        "/",   "0-7/",    "/2",   "0-7/2/3",
                                      "!1/2", "0-3 -n",   "3-0", "0,1,2,3", "0-3;", "a",
                                      "0-3+", "99999999", "-1",  "0\\n",    "!!1",  "0-7/!2"};
    static const char frame[] =
        "{\"bindings\":[],\"units\":[],\"attributes\":[{\"kind\":\"cpus\",\"device\":null,"
        "\"path\":\"/sys/fs/cgroup/user.slice/cpuset.cpus.effective\",\"value\":\"%s\"}]}";
    for (guint i = 0; i < G_N_ELEMENTS(good) + G_N_ELEMENTS(bad); i++) {
        bool fine = i < G_N_ELEMENTS(good);
        const char *value = fine ? good[i] : bad[i - G_N_ELEMENTS(good)];
        g_autoptr(GString) text = g_string_new(frame);
        g_autoptr(GError) error = NULL;
        g_string_replace(text, "%s", value, 1);
        g_autoptr(VrHostState) state = vr_host_state_from_text(text->str, &error);
        g_test_message("\"%s\"", value);
        g_assert_cmpint(state != NULL, ==, fine);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/host-state/pages-that-were-added-are-taken-once",
                    test_pages_that_were_added_are_taken_once);
    g_test_add_func("/host-state/strange-counts-are-refused", test_strange_counts_are_refused);
    g_test_add_func("/host-state/observes-bindings", test_observes_bindings);
    g_test_add_func("/host-state/processors-are-taken-and-come-back",
                    test_processors_are_taken_and_come_back);
    g_test_add_func("/host-state/claims-on-processors", test_claims_on_processors);
    g_test_add_func("/host-state/wrong-lists-of-processors-are-refused",
                    test_wrong_lists_of_processors_are_refused);
    g_test_add_func("/host-state/null-and-empty-override-are-none",
                    test_null_and_empty_override_are_none);
    g_test_add_func("/host-state/refuses-to-observe-what-it-could-not-put-back",
                    test_refuses_to_observe_what_it_could_not_put_back);
    g_test_add_func("/host-state/units-are-asked-for-and-an-absent-systemd-is-unreachable",
                    test_units_are_asked_for_and_an_absent_systemd_is_unreachable);
    g_test_add_func("/host-state/text-round-trip", test_text_round_trip);
    g_test_add_func("/host-state/text-with-a-lie-is-refused", test_text_with_a_lie_is_refused);
    g_test_add_func("/host-state/only-few-paths-are-allowed", test_only_few_paths_are_allowed);
    return g_test_run();
}
