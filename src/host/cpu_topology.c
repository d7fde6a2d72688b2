/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/host_facts_private.h"

#include <vmrun/text.h>

#include <string.h>

#define CPUS "/sys/devices/system/cpu"
#define NODES "/sys/devices/system/node"

/* The CPUs of a list file; NULL if it cannot be read. */
static GArray *
read_cpu_list(const VrSysroot *root, const char *path)
{
    g_autofree char *text = vr_sysroot_read_optional(root, path);

    return text == NULL ? NULL : vr_text_to_cpu_list(text);
}

static bool
list_has(const GArray *cpus, unsigned id)
{
    for (guint i = 0; cpus != NULL && i < cpus->len; i++) {
        if (g_array_index(cpus, unsigned, i) == id) {
            return true;
        }
    }
    return false;
}

/* A number below /sys/devices/system/cpu/cpuN, -1 if it is not told. */
static int
read_number(const VrSysroot *root, unsigned id, const char *name)
{
    uint64_t value = 0;
    g_autofree char *path = g_strdup_printf(CPUS "/cpu%u/%s", id, name);
    g_autofree char *text = vr_sysroot_read_optional(root, path);

    return text != NULL && vr_text_to_uint(text, 0, G_MAXINT, &value) ? (int) value : -1;
}

static GArray *
read_siblings(const VrSysroot *root, unsigned id)
{
    g_autofree char *path = g_strdup_printf(CPUS "/cpu%u/topology/thread_siblings_list", id);
    GArray *siblings = read_cpu_list(root, path);

    if (siblings == NULL) {
        siblings = g_array_new(FALSE, FALSE, sizeof(unsigned));
    }
    if (!list_has(siblings, id)) {
        g_array_append_val(siblings, id);
    }
    return siblings;
}

/* "32768K" -> 32768 */
static unsigned
read_cache_kib(const VrSysroot *root, unsigned id, unsigned index)
{
    uint64_t mib = 0, kib = 0;
    g_autofree char *path = g_strdup_printf(CPUS "/cpu%u/cache/index%u/size", id, index);
    g_autofree char *text = vr_sysroot_read_optional(root, path);

    if (text == NULL) {
        return 0;
    }
    if (g_str_has_suffix(text, "K")) {
        text[strlen(text) - 1] = '\0';
        return vr_text_to_uint(text, 0, G_MAXUINT, &kib) ? (unsigned) kib : 0;
    }
    return vr_text_to_mib(text, &mib) ? (unsigned) (mib * 1024) : 0;
}

static void
read_l3(const VrSysroot *root, VrCpu *cpu)
{
    cpu->l3 = -1;
    for (unsigned index = 0; index < 8; index++) { /* x86 has four or five */
        g_autofree char *level = g_strdup_printf("cache/index%u/level", index);
        g_autofree char *shared =
            g_strdup_printf(CPUS "/cpu%u/cache/index%u/shared_cpu_list", cpu->id, index);

        if (read_number(root, cpu->id, level) != 3) {
            continue;
        }

        g_autoptr(GArray) cpus = read_cpu_list(root, shared);
        if (cpus != NULL && cpus->len > 0) {
            cpu->l3 = (int) g_array_index(cpus, unsigned, 0);
            cpu->l3_kib = read_cache_kib(root, cpu->id, index);
        }
        return;
    }
}

typedef struct {
    GArray *online, *isolated, *efficient; /* NULL: not told */
} CpuLists;

static void
add_cpu(VrHostFacts *facts, const CpuLists *lists, unsigned id)
{
    VrCpu *cpu = g_new0(VrCpu, 1);

    cpu->id = id;
    cpu->online = lists->online == NULL || list_has(lists->online, id);
    cpu->isolated = list_has(lists->isolated, id);
    cpu->efficiency = list_has(lists->efficient, id);
    cpu->package = read_number(facts->root, id, "topology/physical_package_id");
    cpu->die = read_number(facts->root, id, "topology/die_id");
    cpu->core = read_number(facts->root, id, "topology/core_id");
    cpu->siblings = read_siblings(facts->root, id);
    read_l3(facts->root, cpu);
    g_ptr_array_add(facts->cpus, cpu);
}

static void
load_cpus(VrHostFacts *facts)
{
    const VrSysroot *root = facts->root;
    g_autoptr(GArray) present = read_cpu_list(root, CPUS "/present");
    g_autoptr(GArray) online = read_cpu_list(root, CPUS "/online");
    g_autoptr(GArray) isolated = read_cpu_list(root, CPUS "/isolated");
    /* The PMU of the E cores, on hybrid processors only (arch/x86/events/intel/core.c). */
    g_autoptr(GArray) efficient = read_cpu_list(root, "/sys/devices/cpu_atom/cpus");
    const CpuLists lists = {.online = online, .isolated = isolated, .efficient = efficient};
    const GArray *all = present != NULL ? present : online;

    for (guint i = 0; all != NULL && i < all->len; i++) {
        add_cpu(facts, &lists, g_array_index(all, unsigned, i));
    }
}

static void
place_on_node(VrHostFacts *facts, const GArray *cpus, int node)
{
    for (guint i = 0; i < facts->cpus->len; i++) {
        VrCpu *cpu = g_ptr_array_index(facts->cpus, i);

        if (list_has(cpus, cpu->id)) {
            cpu->node = node;
        }
    }
}

static void
load_nodes(VrHostFacts *facts)
{
    g_autoptr(GPtrArray) names = vr_sysroot_list(facts->root, NODES, NULL);

    for (guint i = 0; names != NULL && i < names->len; i++) {
        uint64_t node = 0;
        const char *name = g_ptr_array_index(names, i);

        if (g_str_has_prefix(name, "node") &&
            vr_text_to_uint(name + strlen("node"), 0, G_MAXINT, &node)) {
            g_autofree char *path = g_strconcat(NODES "/", name, "/cpulist", NULL);
            g_autoptr(GArray) cpus = read_cpu_list(facts->root, path);

            facts->node_count++;
            place_on_node(facts, cpus, (int) node);
        }
    }
    facts->node_count = MAX(facts->node_count, 1);
}

/* The value of the first "key\t: value" of /proc/cpuinfo. Owned; NULL if there is none. */
static char *
cpuinfo_value(const char *text, const char *key)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

    for (guint i = 0; lines[i] != NULL && (i == 0 || lines[i][0] != '\0'); i++) {
        char *colon = strchr(lines[i], ':');

        if (colon != NULL && g_str_has_prefix(lines[i], key) &&
            strspn(lines[i] + strlen(key), " \t") == (size_t) (colon - lines[i]) - strlen(key)) {
            return g_strdup(g_strstrip(colon + 1));
        }
    }
    return NULL;
}

static bool
has_flag(char *const *flags, const char *flag)
{
    return g_strv_contains((const char *const *) flags, flag);
}

static bool
is_on(const VrSysroot *root, const char *path)
{
    g_autofree char *text = vr_sysroot_read_optional(root, path);

    return text != NULL && (text[0] == 'Y' || text[0] == '1');
}

static void
load_features(VrHostFacts *facts, const char *cpuinfo)
{
    g_autofree char *flags_text = cpuinfo_value(cpuinfo, "flags");
    g_auto(GStrv) flags = g_strsplit(flags_text != NULL ? flags_text : "", " ", -1);
    g_autofree char *vendor = cpuinfo_value(cpuinfo, "vendor_id");
    g_autofree char *sizes = cpuinfo_value(cpuinfo, "address sizes");
    uint64_t bits = 0;
    const char *maker = vendor != NULL ? vendor : "";

    facts->cpu_model = cpuinfo_value(cpuinfo, "model name");
    facts->cpu_is_amd = strcmp(maker, "AuthenticAMD") == 0 || strcmp(maker, "HygonGenuine") == 0;
    facts->cpu_is_intel = strcmp(maker, "GenuineIntel") == 0;
    facts->cpu_has_virtualisation = has_flag(flags, "vmx") || has_flag(flags, "svm");
    facts->cpu_has_topoext = has_flag(flags, "topoext");
    facts->cpu_has_invariant_tsc =
        has_flag(flags, "constant_tsc") && has_flag(flags, "nonstop_tsc");
    if (sizes != NULL) {
        g_autofree char *digits = g_strndup(sizes, strspn(sizes, "0123456789"));

        facts->physical_bits =
            vr_text_to_uint(digits, 1, 64, &bits) ? (unsigned) bits : facts->physical_bits;
    }
}

void
vr_cpu_topology_load(VrHostFacts *facts)
{
    g_autofree char *cpuinfo = vr_sysroot_read_optional(facts->root, "/proc/cpuinfo");

    load_cpus(facts);
    load_nodes(facts);
    if (cpuinfo != NULL) {
        load_features(facts, cpuinfo);
    }
    facts->apic_virtualisation =
        is_on(facts->root, "/sys/module/kvm_amd/parameters/avic") ||
        is_on(facts->root, "/sys/module/kvm_intel/parameters/enable_apicv");
}
