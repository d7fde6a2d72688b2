/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/plan.h>

#include <string.h>

#define POOL "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"

static VrPciAddress
address_of(const char *text)
{
    VrPciAddress address = {0};
    g_assert_true(vr_pci_address_parse(text, &address));
    return address;
}

static VrBinding *
add(VrHostState *state, const char *address, uint32_t class_code, const char *driver,
    const char *override)
{
    VrBinding *binding = vr_binding_new(address_of(address));
    binding->vendor = 0x10de;
    binding->device = 0x2484;
    binding->class_code = class_code;
    binding->present = true;
    binding->driver = g_strdup(driver);
    binding->driver_override = g_strdup(override);
    vr_host_state_add_binding(state, binding);
    return binding;
}

static void
add_power(VrHostState *state, const char *address, const char *value)
{
    VrPciAddress device = address_of(address);
    g_autofree char *path = vr_pci_device_path(device, "power/control");
    vr_host_state_set_attribute(state, VR_ATTRIBUTE_TEXT, &device, path, value);
}

/* One function on one driver. */
static VrHostState *
gpu_on(const char *driver, const char *override)
{
    VrHostState *state = vr_host_state_new();
    add(state, "0000:01:00.0", 0x030000, driver, override);
    return state;
}

/* "override 01:00.0 vfio-pci, unbind 01:00.0 nouveau, …" */
static char *
words_of(const VrPlan *plan)
{
    g_autoptr(GPtrArray) words = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < plan->steps->len; i++) {
        const VrStep *step = g_ptr_array_index(plan->steps, i);
        g_autofree char *address =
            step->has_device ? vr_pci_address_format(step->device) : g_strdup("");
        const char *value = step->kind == VR_STEP_UNBIND ? step->from : step->value;
        g_ptr_array_add(words, g_strdup_printf("%s%s%s %s", vr_step_kind_name(step->kind),
                                               step->has_device ? " " : "",
                                               step->has_device ? address + 5 : "",
                                               value != NULL ? value : "-"));
    }
    g_ptr_array_add(words, NULL);
    return g_strjoinv(", ", (char **) words->pdata);
}

static void
assert_plan(const VrHostState *now, const VrHostState *wanted, const char *expected)
{
    g_autoptr(VrPlan) plan = vr_plan_between(now, wanted);
    g_autofree char *words = words_of(plan);
    g_assert_cmpstr(words, ==, expected);
}

typedef struct {
    const char *name;
    const char *now, *now_override;
    const char *wanted, *wanted_override;
    const char *plan;
} Row;

static const Row rows[] = {
    {"nothing-to-do", "nouveau", NULL, "nouveau", NULL, ""},
    {"out-from-driver", "nouveau", NULL, "vfio-pci", "vfio-pci",
     "load-module vfio-pci, override 01:00.0 vfio-pci, unbind 01:00.0 nouveau, "
     "bind 01:00.0 vfio-pci"},
    {"out-from-unbound", NULL, NULL, "vfio-pci", "vfio-pci",
     "load-module vfio-pci, override 01:00.0 vfio-pci, bind 01:00.0 vfio-pci"},
    {"out-already-there", "vfio-pci", NULL, "vfio-pci", "vfio-pci", "override 01:00.0 vfio-pci"},
    {"out-after-crash-unbound", NULL, "vfio-pci", "vfio-pci", "vfio-pci",
     "load-module vfio-pci, bind 01:00.0 vfio-pci"},
    {"back-to-driver", "vfio-pci", "vfio-pci", "nouveau", NULL,
     "override 01:00.0 nouveau, unbind 01:00.0 vfio-pci, bind 01:00.0 nouveau, "
     "override 01:00.0 -"},
    {"back-to-foreign-override", "vfio-pci", "vfio-pci", "nouveau", "nvidia",
     "override 01:00.0 nouveau, unbind 01:00.0 vfio-pci, bind 01:00.0 nouveau, "
     "override 01:00.0 nvidia"},
    {"back-leaves-undriven-device-unbound", "vfio-pci", "vfio-pci", NULL, NULL,
     "override 01:00.0 vmrun-none, unbind 01:00.0 vfio-pci, override 01:00.0 -"},
    {"back-on-vfio-stays", "vfio-pci", "vfio-pci", "vfio-pci", NULL, "override 01:00.0 -"},
    {"back-driver-is-right-override-is-not", "nouveau", "nouveau", "nouveau", NULL,
     "override 01:00.0 -"},
    {"back-from-nothing", NULL, "vfio-pci", "nouveau", NULL,
     "override 01:00.0 nouveau, bind 01:00.0 nouveau, override 01:00.0 -"},
    {"back-from-nothing-to-nothing", NULL, "vmrun-none", NULL, NULL, "override 01:00.0 -"},
    {"back-third-driver-is-left-alone", "nvidia", NULL, "nouveau", NULL, ""},
    {"back-third-driver-is-left-alone-when-undriven", "nvidia", NULL, NULL, NULL, ""},
};

static void
test_row(gconstpointer data)
{
    const Row *row = data;
    g_autoptr(VrHostState) now = gpu_on(row->now, row->now_override);
    g_autoptr(VrHostState) wanted = gpu_on(row->wanted, row->wanted_override);
    assert_plan(now, wanted, row->plan);
}

static VrHostState *
whole_card(const char *driver, const char *override)
{
    VrHostState *state = vr_host_state_new();
    add(state, "0000:01:00.0", 0x030000, driver, override);
    add(state, "0000:01:00.1", 0x040300, driver, override);
    add(state, "0000:01:00.2", 0x0c0330, driver, override);
    add(state, "0000:01:00.3", 0x0c8000, driver, override);
    return state;
}

static char *
binds_of(const VrHostState *now, const VrHostState *wanted)
{
    g_autoptr(VrPlan) plan = vr_plan_between(now, wanted);
    GString *text = g_string_new(NULL);
    for (guint i = 0; i < plan->steps->len; i++) {
        const VrStep *step = g_ptr_array_index(plan->steps, i);
        if (step->kind == VR_STEP_BIND) {
            g_string_append_printf(text, "%u", (unsigned) step->device.function);
        }
    }
    return g_string_free(text, FALSE);
}

static void
test_display_leaves_last_and_comes_back_first(void)
{
    g_autoptr(VrHostState) host = whole_card("some", NULL);
    g_autoptr(VrHostState) guest = whole_card("vfio-pci", "vfio-pci");
    g_autofree char *out = binds_of(host, guest);
    g_autofree char *back = binds_of(guest, host);
    g_assert_cmpstr(out, ==, "1230");
    g_assert_cmpstr(back, ==, "0321");
}

static void
test_gone_or_other_device_gets_no_step(void)
{
    g_autoptr(VrHostState) now = gpu_on("vfio-pci", "vfio-pci");
    g_autoptr(VrHostState) wanted = gpu_on("nouveau", NULL);
    g_autoptr(VrHostState) nothing = vr_host_state_new();
    VrBinding *binding = g_ptr_array_index(now->bindings, 0);
    binding->device = 0x2204;
    assert_plan(now, wanted, "");
    g_autofree char *other =
        vr_binding_obstacle(binding, g_ptr_array_index(wanted->bindings, 0), true);
    g_assert_cmpstr(other, ==, "is another device now: 10de:2204, it was 10de:2484");
    binding->device = 0x2484;
    binding->present = false;
    assert_plan(now, wanted, "");
    assert_plan(nothing, wanted, "");
    g_autofree char *gone = vr_binding_obstacle(NULL, g_ptr_array_index(wanted->bindings, 0), true);
    g_assert_true(g_str_has_prefix(gone, "is not there any more (if it was taken out"));
}

static void
test_third_driver_is_an_obstacle_only_on_the_way_back(void)
{
    g_autoptr(VrHostState) now = gpu_on("nvidia", NULL);
    g_autoptr(VrHostState) wanted = gpu_on("vfio-pci", NULL);
    const VrBinding *is = g_ptr_array_index(now->bindings, 0);
    const VrBinding *target = g_ptr_array_index(wanted->bindings, 0);
    g_autofree char *out = vr_binding_obstacle(is, target, false);
    g_autofree char *back = vr_binding_obstacle(is, target, true);
    g_assert_null(out);
    g_assert_cmpstr(back, ==, "is on nvidia, which vmrun did not put there");
}

static void
test_power_is_set_around_the_move(void)
{
    g_autoptr(VrHostState) now = gpu_on("nouveau", NULL);
    add_power(now, "0000:01:00.0", "auto");
    g_autoptr(VrHostState) wanted = vr_host_state_wanted(now);
    assert_plan(now, wanted,
                "load-module vfio-pci, attribute 01:00.0 on, override 01:00.0 vfio-pci, "
                "unbind 01:00.0 nouveau, bind 01:00.0 vfio-pci, attribute 01:00.0 on");
    assert_plan(wanted, now,
                "override 01:00.0 nouveau, unbind 01:00.0 vfio-pci, bind 01:00.0 nouveau, "
                "override 01:00.0 -, attribute 01:00.0 auto");
}

static void
test_units_stop_first_and_start_last_in_reverse(void)
{
    g_autoptr(VrHostState) now = gpu_on("nouveau", NULL);
    vr_host_state_set_unit(now, "a.service", true);
    vr_host_state_set_unit(now, "b.service", true);
    vr_host_state_set_unit(now, "c.service", false);
    g_autoptr(VrHostState) wanted = vr_host_state_wanted(now);
    assert_plan(now, wanted,
                "load-module vfio-pci, stop-unit a.service, stop-unit b.service, "
                "override 01:00.0 vfio-pci, unbind 01:00.0 nouveau, bind 01:00.0 vfio-pci");
    assert_plan(wanted, now,
                "override 01:00.0 nouveau, unbind 01:00.0 vfio-pci, bind 01:00.0 nouveau, "
                "override 01:00.0 -, start-unit b.service, start-unit a.service");
}

/* now, in the journal (or wanted), planned; NULL: no step */
static const char *const pools[][3] = {
    {"0", "128", "128"},      {"128", "0", "0"},
    {"128", "128", NULL},     {"160", "128+32", "128"}, /* what was added goes */
    {"140", "128+32", "128"},                           /* half of it had come */
    {"128", "128+32", NULL},                            /* back already */
    {"100", "128+32", NULL},  /* somebody took pages: they are not given twice */
    {"200", "128+32", "168"}, /* somebody added 40: they stay */
    {"128", "128+0", NULL},
};

static void
test_pools_go_back_as_a_difference(void)
{
    for (guint i = 0; i < G_N_ELEMENTS(pools); i++) {
        g_autoptr(VrHostState) now = vr_host_state_new();
        g_autoptr(VrHostState) wanted = vr_host_state_new();
        vr_host_state_set_attribute(now, VR_ATTRIBUTE_COUNT, NULL, POOL, pools[i][0]);
        vr_host_state_set_attribute(wanted, VR_ATTRIBUTE_COUNT, NULL, POOL, pools[i][1]);
        g_autofree char *expected =
            pools[i][2] != NULL ? g_strconcat("attribute ", pools[i][2], NULL) : g_strdup("");
        assert_plan(now, wanted, expected);
    }
}

static void
test_claims_hold_what_is_added(void)
{
    g_autoptr(VrHostState) before = vr_host_state_new();
    g_autoptr(VrHostState) wanted = vr_host_state_new();
    vr_host_state_set_attribute(before, VR_ATTRIBUTE_COUNT, NULL, POOL, "10");
    vr_host_state_set_attribute(wanted, VR_ATTRIBUTE_COUNT, NULL, POOL, "74");
    vr_host_state_claim_counts(before, wanted);
    g_assert_cmpstr(vr_host_state_attribute(before, POOL)->value, ==, "10+64");
}

static void
test_steps_have_names_and_words(void)
{
    for (int i = VR_STEP_LOAD_MODULE; i <= VR_STEP_PROBE; i++) {
        VrStepKind kind = VR_STEP_LOAD_MODULE;
        VrStep step = {.kind = (VrStepKind) i,
                       .path = (char *) POOL,
                       .from = (char *) "a",
                       .value = (char *) "b"};
        g_assert_true(vr_step_kind_from_name(vr_step_kind_name((VrStepKind) i), &kind));
        g_assert_cmpint(kind, ==, i);
        g_autofree char *words = vr_step_describe(&step);
        g_assert_cmpuint(strlen(words), >, 5);
    }
    VrStepKind kind;
    g_assert_false(vr_step_kind_from_name("explode", &kind));
    g_assert_false(vr_step_kind_from_name(NULL, &kind));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *path = g_strconcat("/plan/", rows[i].name, NULL);
        g_test_add_data_func(path, &rows[i], test_row);
    }
    g_test_add_func("/plan/display-leaves-last-and-comes-back-first",
                    test_display_leaves_last_and_comes_back_first);
    g_test_add_func("/plan/gone-or-other-device-gets-no-step",
                    test_gone_or_other_device_gets_no_step);
    g_test_add_func("/plan/third-driver-is-an-obstacle-only-on-the-way-back",
                    test_third_driver_is_an_obstacle_only_on_the_way_back);
    g_test_add_func("/plan/power-is-set-around-the-move", test_power_is_set_around_the_move);
    g_test_add_func("/plan/units-stop-first-and-start-last-in-reverse",
                    test_units_stop_first_and_start_last_in_reverse);
    g_test_add_func("/plan/pools-go-back-as-a-difference", test_pools_go_back_as_a_difference);
    g_test_add_func("/plan/claims-hold-what-is-added", test_claims_hold_what_is_added);
    g_test_add_func("/plan/steps-have-names-and-words", test_steps_have_names_and_words);
    return g_test_run();
}
