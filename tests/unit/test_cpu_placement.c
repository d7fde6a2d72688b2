/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/cpu_placement.h>

#include <vmrun/text.h>

#include "../support/plan_host.h"

#include <string.h>

typedef struct {
    const char *name;
    unsigned nodes, caches, cores, threads;
    const char *machine; /* the group [machine] of the profile */
    int gpu_node;
    const char *vcpus; /* host CPU of each, in order; "": not pinned */
    const char *emulator;
    unsigned count, guest_cores, guest_threads;
    int node;
} Row;

/* Four topologies and what a person would choose on them. */
static const Row rows[] = {
    {"desktop-6-cores-12-threads", 1, 1, 6, 2, "cpus=8", -1, "1 7 2 8 3 9 4 10", "0,5-6,11", 8, 4,
     2, -1},
    {"desktop-automatic", 1, 1, 6, 2, "", -1, "1 7 2 8 3 9 4 10 5 11", "0,6", 10, 5, 2, -1},
    {"desktop-without-threads", 1, 1, 8, 1, "cpus=4", -1, "1 2 3 4", "0,5-7", 4, 4, 1, -1},
    {"odd-count-has-no-pairs", 1, 1, 6, 2, "cpus=3", -1, "1 7 2", "0,3-6,8-11", 3, 3, 1, -1},
    {"two-caches-one-holds-all", 1, 2, 8, 2, "cpus=16", -1,
     "8 24 9 25 10 26 11 27 12 28 13 29 14 30 15 31", "0-7,16-23", 16, 8, 2, -1},
    {"two-caches-both-needed", 1, 2, 4, 2, "cpus=10", -1, "4 12 5 13 6 14 7 15 1 9",
     "0,2-3,8,10-11", 10, 5, 2, -1},
    {"server-uses-the-card-s-node", 2, 1, 8, 2, "cpus=8", 1, "8 24 9 25 10 26 11 27", "12-15,28-31",
     8, 4, 2, 1},
    {"server-guest-fills-the-node", 2, 1, 4, 2, "", 1, "4 12 5 13 6 14 7 15", "0,8", 8, 4, 2, 1},
    {"server-guest-larger-than-a-node", 2, 1, 4, 2, "cpus=12", 1, "4 12 5 13 6 14 7 15 1 9 2 10",
     "0,3,8,11", 12, 6, 2, -1},
    {"server-without-numa", 2, 1, 4, 2, "cpus=4\nnuma=none", 1, "4 12 5 13", "0-3,6-11,14-15", 4, 2,
     2, -1},
    {"small-host-is-not-pinned", 1, 1, 2, 1, "", -1, "", "", 1, 1, 1, -1},
    {"one-processor", 1, 1, 1, 1, "", -1, "", "", 1, 1, 1, -1},
    {"too-many-are-not-pinned", 1, 1, 6, 2, "cpus=12", -1, "", "", 12, 6, 2, -1},
    {"none-is-not-pinned", 1, 1, 6, 2, "cpus=4\npin=none", -1, "", "", 4, 2, 2, -1},
    {"list-is-kept", 1, 1, 6, 2, "cpus=4\npin=2,8,3,9", -1, "2 8 3 9", "0-1,4-7,10-11", 4, 2, 2,
     -1},
    {"list-without-pairs", 1, 1, 6, 2, "cpus=2\npin=2-3", -1, "2 3", "0-1,4-11", 2, 2, 1, -1},
};

static char *
join(const GArray *numbers)
{
    GString *text = g_string_new(NULL);

    for (guint i = 0; i < numbers->len; i++) {
        g_string_append_printf(text, "%s%u", i > 0 ? " " : "", g_array_index(numbers, unsigned, i));
    }
    return g_string_free(text, FALSE);
}

static VrProfile *
profile_with(const char *machine)
{
    g_autofree char *text = g_strconcat("[machine]\n", machine, "\n", NULL);

    return plan_profile("train", text);
}

static void
check_placement(const Row *row, const VrCpuPlacement *placement)
{
    g_autofree char *vcpus = join(placement->vcpus);
    g_autofree char *emulator = vr_text_from_cpu_list(placement->emulator);

    g_assert_cmpstr(vcpus, ==, row->vcpus);
    g_assert_cmpstr(emulator, ==, row->emulator);
    g_assert_cmpuint(placement->count, ==, row->count);
    g_assert_cmpuint(placement->cores, ==, row->guest_cores);
    g_assert_cmpuint(placement->threads, ==, row->guest_threads);
    g_assert_cmpint(placement->node, ==, row->node);
    g_assert_nonnull(placement->reason);
}

static void
test_row(gconstpointer data)
{
    const Row *row = data;
    VrHostFacts *facts = plan_host_new();
    VrProfile *profile = profile_with(row->machine);
    g_autoptr(VrReport) report = vr_report_new();

    plan_host_add_cpus(facts, row->nodes, row->caches, row->cores, row->threads);

    g_autoptr(VrCpuPlacement) placement =
        vr_cpu_placement_choose(profile, facts, row->gpu_node, report);

    check_placement(row, placement);
    g_assert_cmpuint(report->findings->len, ==, 0);
    vr_profile_free(profile);
    vr_host_facts_free(facts);
}

/* Two performance cores with two threads (0,1 and 2,3 …) beside efficiency cores. */
static VrHostFacts *
hybrid_host(void)
{
    VrHostFacts *facts = plan_host_new();

    plan_host_add_cpus(facts, 1, 1, 12, 1);
    for (unsigned id = 0; id < 12; id++) {
        VrCpu *cpu = plan_host_cpu(facts, id);
        unsigned sibling = id ^ 1;

        cpu->efficiency = id >= 8;
        if (!cpu->efficiency) {
            g_array_append_val(cpu->siblings, sibling);
        }
    }
    return facts;
}

static void
test_hybrid_uses_performance_cores(void)
{
    VrHostFacts *facts = hybrid_host();
    VrProfile *profile = profile_with("");
    g_autoptr(VrReport) report = vr_report_new();
    g_autoptr(VrCpuPlacement) placement = vr_cpu_placement_choose(profile, facts, -1, report);
    g_autofree char *vcpus = join(placement->vcpus);

    g_assert_cmpstr(vcpus, ==, "2 3 4 5 6 7");
    g_assert_cmpuint(placement->threads, ==, 2);
    vr_profile_free(profile);
    vr_host_facts_free(facts);
}

static void
test_larger_cache_is_preferred(void)
{
    VrHostFacts *facts = plan_host_new();
    VrProfile *profile = profile_with("cpus=6");
    g_autoptr(VrReport) report = vr_report_new();

    plan_host_add_cpus(facts, 1, 2, 8, 1);
    for (unsigned id = 0; id < 8; id++) {
        plan_host_cpu(facts, id)->l3_kib = 98304;
    }

    g_autoptr(VrCpuPlacement) placement = vr_cpu_placement_choose(profile, facts, -1, report);
    g_autofree char *vcpus = join(placement->vcpus);

    g_assert_cmpstr(vcpus, ==, "1 2 3 4 5 6");
    vr_profile_free(profile);
    vr_host_facts_free(facts);
}

static void
test_offline_and_isolated_are_left_out(void)
{
    VrHostFacts *facts = plan_host_new();
    VrProfile *profile = profile_with("cpus=4");
    g_autoptr(VrReport) report = vr_report_new();

    plan_host_add_cpus(facts, 1, 1, 8, 1);
    plan_host_cpu(facts, 1)->online = false;
    plan_host_cpu(facts, 3)->isolated = true;

    g_autoptr(VrCpuPlacement) placement = vr_cpu_placement_choose(profile, facts, -1, report);
    g_autofree char *vcpus = join(placement->vcpus);

    g_assert_cmpstr(vcpus, ==, "2 4 5 6");
    vr_profile_free(profile);
    vr_host_facts_free(facts);
}

static void
test_wrong_list_blocks(void)
{
    VrHostFacts *facts = plan_host_new();
    VrProfile *profile = profile_with("pin=2-3,40");
    g_autoptr(VrReport) report = vr_report_new();

    plan_host_add_cpus(facts, 1, 1, 4, 1);

    g_autoptr(VrCpuPlacement) placement = vr_cpu_placement_choose(profile, facts, -1, report);

    g_assert_cmpuint(placement->count, ==, 3);
    g_assert_nonnull(plan_blocker(report, "cpu-pinning"));
    vr_profile_free(profile);
    vr_host_facts_free(facts);
}

static void
test_windows_gets_at_most_sixteen(void)
{
    VrHostFacts *facts = plan_host_new();
    VrProfile *profile = plan_profile("gaming", "[profile]\nguest=windows\n");
    g_autoptr(VrReport) report = vr_report_new();

    plan_host_add_cpus(facts, 1, 1, 32, 2);

    g_autoptr(VrCpuPlacement) placement = vr_cpu_placement_choose(profile, facts, -1, report);

    g_assert_cmpuint(placement->count, ==, 16);
    vr_profile_free(profile);
    vr_host_facts_free(facts);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *path = g_strconcat("/cpu-placement/", rows[i].name, NULL);

        g_test_add_data_func(path, &rows[i], test_row);
    }
    g_test_add_func("/cpu-placement/hybrid-uses-performance-cores",
                    test_hybrid_uses_performance_cores);
    g_test_add_func("/cpu-placement/larger-cache-is-preferred", test_larger_cache_is_preferred);
    g_test_add_func("/cpu-placement/offline-and-isolated-are-left-out",
                    test_offline_and_isolated_are_left_out);
    g_test_add_func("/cpu-placement/wrong-list-blocks", test_wrong_list_blocks);
    g_test_add_func("/cpu-placement/windows-gets-at-most-sixteen",
                    test_windows_gets_at_most_sixteen);
    return g_test_run();
}
