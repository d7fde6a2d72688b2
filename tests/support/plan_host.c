/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "plan_host.h"

#include "tree.h"

#include <string.h>

VrHostFacts *
plan_host_new(void)
{
    char *directory = tree_new();
    g_autoptr(VrSysroot) root = tree_root(directory);
    VrHostFacts *facts = vr_host_facts_load(root, 0);

    tree_remove(directory);
    facts->mask = VR_FACTS_ALL;
    facts->iommu = true;
    facts->node_count = 1;
    g_free(facts->qemu_binary);
    facts->qemu_binary = g_strdup("/usr/bin/qemu-system-x86_64");
    return facts;
}

VrPciFunction *
plan_host_add(VrHostFacts *facts, const char *address, uint32_t class_code, uint32_t id, int group)
{
    VrPciFunction *function = g_new0(VrPciFunction, 1);

    g_assert_true(vr_pci_address_parse(address, &function->address));
    function->class_code = class_code;
    function->vendor = (uint16_t) (id >> 16);
    function->device = (uint16_t) id;
    function->group = group;
    function->boot_vga = class_code >> 8 == 0x0300 ? VR_NO : VR_UNKNOWN;
    function->numa_node = -1;
    function->has_parent = function->address.bus != 0;
    g_ptr_array_add(facts->functions, function);
    return function;
}

VrHostFacts *
plan_host_with_card(void)
{
    VrHostFacts *facts = plan_host_new();

    plan_host_add(facts, "0000:00:02.0", 0x030000, 0x80864680, 1)->boot_vga = VR_YES;
    plan_host_add(facts, "0000:01:00.0", 0x030000, 0x10de2484, 12);
    plan_host_add(facts, "0000:01:00.1", 0x040300, 0x10de228b, 12);
    return facts;
}

void
plan_host_add_cpus(VrHostFacts *facts, unsigned nodes, unsigned caches, unsigned cores,
                   unsigned threads)
{
    unsigned count = nodes * caches * cores;

    facts->node_count = nodes;
    for (unsigned id = 0; id < count * threads; id++) {
        VrCpu *cpu = g_new0(VrCpu, 1);
        unsigned core = id % count;

        cpu->id = id;
        cpu->online = true;
        cpu->core = (int) core;
        cpu->node = (int) (core / (caches * cores));
        cpu->l3 = (int) (core - core % cores);
        cpu->l3_kib = 32768;
        cpu->siblings = g_array_new(FALSE, FALSE, sizeof(unsigned));
        for (unsigned thread = 0; thread < threads; thread++) {
            unsigned sibling = core + thread * count;

            g_array_append_val(cpu->siblings, sibling);
        }
        g_ptr_array_add(facts->cpus, cpu);
    }
}

VrCpu *
plan_host_cpu(VrHostFacts *facts, unsigned id)
{
    g_assert_cmpuint(id, <, facts->cpus->len);
    return facts->cpus->pdata[id];
}

VrProfile *
plan_profile(const char *name, const char *text)
{
    g_autoptr(GPtrArray) mistakes =
        g_ptr_array_new_with_free_func((GDestroyNotify) vr_profile_mistake_free);
    VrProfileText source = {
        .file = "test.conf", .text = text, .size_bytes = strlen(text), .starts_file = true};
    VrProfile *profile = vr_profile_parse(name, &source, 1, mistakes);

    for (guint i = 0; i < mistakes->len; i++) {
        g_autofree char *shown = vr_profile_mistake_format(mistakes->pdata[i]);

        g_test_message("%s", shown);
    }
    g_assert_nonnull(profile);
    return profile;
}

const VrFinding *
plan_blocker(const VrReport *report, const char *id)
{
    for (guint i = 0; i < report->findings->len; i++) {
        const VrFinding *finding = report->findings->pdata[i];

        if (finding->severity == VR_SEVERITY_BLOCKER && strcmp(finding->id, id) == 0) {
            return finding;
        }
    }
    return NULL;
}

unsigned
plan_count_blockers(const VrReport *report)
{
    unsigned count = 0;

    for (guint i = 0; i < report->findings->len; i++) {
        const VrFinding *finding = report->findings->pdata[i];

        count += finding->severity == VR_SEVERITY_BLOCKER ? 1 : 0;
    }
    return count;
}
