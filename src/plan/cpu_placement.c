/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/cpu_placement.h>

#include <vmrun/text.h>

#include <string.h>

/* cpus=auto: games gain nothing from more, and Windows licences count them. */
#define AUTO_LIMIT_WINDOWS 16u
#define AUTO_LIMIT_LINUX 64u

/* Below this many CPUs beside the host's own core, pinning takes more from the scheduler than it
 * gives to the guest. */
#define PIN_MINIMUM 4u

/* One core: its threads that a guest may have. `cpu` is the first of them. */
typedef struct {
    const VrCpu *cpu;
    GArray *threads; /* of unsigned, sorted */
} Core;

static void
core_free(gpointer data)
{
    Core *core = data;

    g_array_unref(core->threads);
    g_free(core);
}

static GArray *
numbers_new(void)
{
    return g_array_new(FALSE, FALSE, sizeof(unsigned));
}

static bool
contains(const GArray *numbers, unsigned number)
{
    for (guint i = 0; i < numbers->len; i++) {
        if (g_array_index(numbers, unsigned, i) == number) {
            return true;
        }
    }
    return false;
}

static gint
compare_numbers(gconstpointer a, gconstpointer b)
{
    unsigned first = *(const unsigned *) a;
    unsigned second = *(const unsigned *) b;

    return first < second ? -1 : first > second;
}

static const VrCpu *
find_cpu(const VrHostFacts *facts, unsigned id)
{
    for (guint i = 0; i < facts->cpus->len; i++) {
        const VrCpu *cpu = facts->cpus->pdata[i];

        if (cpu->id == id) {
            return cpu;
        }
    }
    return NULL;
}

static bool
are_siblings(const VrCpu *a, unsigned b)
{
    return a->id == b || (a->siblings != NULL && contains(a->siblings, b));
}

static bool
is_usable(const VrCpu *cpu)
{
    return cpu->online && !cpu->isolated;
}

/* A processor with fast and slow cores: a guest that gets both cannot schedule well, it does not
 * know which are which. */
static bool
is_hybrid(const VrHostFacts *facts)
{
    bool fast = false;
    bool slow = false;

    for (guint i = 0; i < facts->cpus->len; i++) {
        const VrCpu *cpu = facts->cpus->pdata[i];

        fast |= !cpu->efficiency;
        slow |= cpu->efficiency;
    }
    return fast && slow;
}

/* The core of CPU 0 serves the host: interrupts that cannot be moved and many kernel threads live
 * there. */
static bool
is_on_host_core(const VrHostFacts *facts, const VrCpu *cpu)
{
    const VrCpu *first = facts->cpus->len > 0 ? facts->cpus->pdata[0] : NULL;

    return first != NULL && are_siblings(first, cpu->id);
}

static Core *
core_new(const VrHostFacts *facts, const VrCpu *cpu)
{
    Core *core = g_new0(Core, 1);

    core->cpu = cpu;
    core->threads = numbers_new();
    for (guint i = 0; i < facts->cpus->len; i++) {
        const VrCpu *other = facts->cpus->pdata[i];

        if (is_usable(other) && are_siblings(cpu, other->id)) {
            g_array_append_val(core->threads, other->id);
        }
    }
    return core;
}

static bool
is_in_cores(const GPtrArray *cores, unsigned id)
{
    for (guint i = 0; i < cores->len; i++) {
        const Core *core = cores->pdata[i];

        if (contains(core->threads, id)) {
            return true;
        }
    }
    return false;
}

/* Cores that a guest may have: of one node (-1: all), without the host's. */
static GPtrArray *
guest_cores(const VrHostFacts *facts, int node)
{
    GPtrArray *cores = g_ptr_array_new_with_free_func(core_free);
    bool hybrid = is_hybrid(facts);

    for (guint i = 0; i < facts->cpus->len; i++) {
        const VrCpu *cpu = facts->cpus->pdata[i];

        if (is_usable(cpu) && !(hybrid && cpu->efficiency) && !is_on_host_core(facts, cpu) &&
            (node < 0 || cpu->node == node) && !is_in_cores(cores, cpu->id)) {
            g_ptr_array_add(cores, core_new(facts, cpu));
        }
    }
    return cores;
}

static unsigned
count_threads(const GPtrArray *cores)
{
    unsigned count = 0;

    for (guint i = 0; i < cores->len; i++) {
        count += ((const Core *) cores->pdata[i])->threads->len;
    }
    return count;
}

/* --- groups of cores that share an L3 cache --- */

typedef struct {
    int l3;
    unsigned l3_kib, threads;
    GPtrArray *cores; /* const Core * */
} CacheGroup;

static void
cache_group_free(gpointer data)
{
    CacheGroup *group = data;

    g_ptr_array_unref(group->cores);
    g_free(group);
}

static CacheGroup *
cache_group_of(GPtrArray *groups, const Core *core)
{
    for (guint i = 0; i < groups->len; i++) {
        CacheGroup *group = groups->pdata[i];

        if (group->l3 == core->cpu->l3) {
            return group;
        }
    }

    CacheGroup *group = g_new0(CacheGroup, 1);

    group->l3 = core->cpu->l3;
    group->l3_kib = core->cpu->l3_kib;
    group->cores = g_ptr_array_new();
    g_ptr_array_add(groups, group);
    return group;
}

/* The larger cache first (an X3D's), then the larger group, then the one farther from CPU 0. */
static gint
compare_cache_groups(gconstpointer a, gconstpointer b)
{
    const CacheGroup *first = *(const CacheGroup *const *) a;
    const CacheGroup *second = *(const CacheGroup *const *) b;

    if (first->l3_kib != second->l3_kib) {
        return first->l3_kib > second->l3_kib ? -1 : 1;
    }
    if (first->threads != second->threads) {
        return first->threads > second->threads ? -1 : 1;
    }
    return first->l3 > second->l3 ? -1 : first->l3 < second->l3;
}

static GPtrArray *
group_by_cache(const GPtrArray *cores)
{
    GPtrArray *groups = g_ptr_array_new_with_free_func(cache_group_free);

    for (guint i = 0; i < cores->len; i++) {
        const Core *core = cores->pdata[i];
        CacheGroup *group = cache_group_of(groups, core);

        group->threads += core->threads->len;
        g_ptr_array_add(group->cores, (gpointer) core);
    }
    g_ptr_array_sort(groups, compare_cache_groups);
    return groups;
}

/* One group that holds all is better than a larger cache that does not. */
static void
put_fitting_group_first(GPtrArray *groups, unsigned count)
{
    for (guint i = 0; i < groups->len; i++) {
        CacheGroup *group = groups->pdata[i];

        if (group->threads >= count) {
            g_ptr_array_steal_index(groups, i);
            g_ptr_array_insert(groups, 0, group);
            return;
        }
    }
}

/* Host CPUs for `count` vCPUs, whole cores with siblings side by side, from as few caches as
 * possible. */
static GArray *
pick_cpus(const GPtrArray *cores, unsigned count)
{
    GArray *picked = numbers_new();
    g_autoptr(GPtrArray) groups = group_by_cache(cores);

    put_fitting_group_first(groups, count);
    for (guint i = 0; i < groups->len; i++) {
        const CacheGroup *group = groups->pdata[i];

        for (guint j = 0; j < group->cores->len; j++) {
            const Core *core = group->cores->pdata[j];
            guint wanted = MIN(core->threads->len, count - picked->len);

            g_array_append_vals(picked, core->threads->data, wanted);
        }
    }
    return picked;
}

/* --- the shape that the guest sees --- */

/* True threads only where each pair of vCPUs runs on the two threads of one core. */
static bool
is_paired(const VrHostFacts *facts, const GArray *vcpus)
{
    if (vcpus->len < 2 || vcpus->len % 2 != 0) {
        return false;
    }
    for (guint i = 0; i < vcpus->len; i += 2) {
        const VrCpu *cpu = find_cpu(facts, g_array_index(vcpus, unsigned, i));

        if (cpu == NULL || !are_siblings(cpu, g_array_index(vcpus, unsigned, i + 1))) {
            return false;
        }
    }
    return true;
}

static void
set_shape(VrCpuPlacement *placement, unsigned threads)
{
    placement->threads = threads;
    placement->cores = placement->count / threads;
}

static GArray *
host_core(const VrHostFacts *facts)
{
    GArray *threads = numbers_new();

    for (guint i = 0; i < facts->cpus->len; i++) {
        const VrCpu *cpu = facts->cpus->pdata[i];

        if (is_usable(cpu) && is_on_host_core(facts, cpu)) {
            g_array_append_val(threads, cpu->id);
        }
    }
    return threads;
}

/* Every CPU of the node that a guest does not use; the host's core if there is none. */
static GArray *
left_for_host(const VrHostFacts *facts, const GArray *vcpus, int node)
{
    GArray *left = numbers_new();

    for (guint i = 0; i < facts->cpus->len; i++) {
        const VrCpu *cpu = facts->cpus->pdata[i];

        if (is_usable(cpu) && (node < 0 || cpu->node == node) && !contains(vcpus, cpu->id)) {
            g_array_append_val(left, cpu->id);
        }
    }
    if (left->len == 0) {
        g_array_unref(left);
        return host_core(facts);
    }
    return left;
}

static void
use_cpus(VrCpuPlacement *placement, const VrHostFacts *facts, const GArray *vcpus)
{
    g_array_append_vals(placement->vcpus, vcpus->data, vcpus->len);
    g_array_unref(placement->emulator);
    placement->emulator = left_for_host(facts, vcpus, placement->node);
    set_shape(placement, is_paired(facts, vcpus) ? 2 : 1);
}

/* --- the three ways to pin --- */

static void
do_not_pin(VrCpuPlacement *placement, const GPtrArray *cores, const char *why)
{
    bool threaded = cores->len > 0 && count_threads(cores) == 2 * cores->len;

    set_shape(placement, threaded && placement->count % 2 == 0 ? 2 : 1);
    placement->reason = g_strdup_printf("%u virtual CPUs, not pinned: %s", placement->count, why);
}

static char *
pinned_reason(const VrCpuPlacement *placement)
{
    g_autoptr(GArray) sorted = g_array_copy(placement->vcpus);

    g_array_sort(sorted, compare_numbers);

    g_autofree char *vcpus = vr_text_from_cpu_list(sorted);
    g_autofree char *rest = vr_text_from_cpu_list(placement->emulator);

    return g_strdup_printf("%u virtual CPUs pinned to %s (%u cores with %u threads each for the "
                           "guest); QEMU's own threads on %s",
                           placement->count, vcpus, placement->cores, placement->threads,
                           rest[0] != '\0' ? rest : "any CPU");
}

static void
pin_automatically(VrCpuPlacement *placement, const VrHostFacts *facts, const GPtrArray *cores)
{
    unsigned available = count_threads(cores);

    if (available < PIN_MINIMUM) {
        do_not_pin(placement, cores,
                   "the host has fewer than four CPUs beside those of its first core");
        return;
    }
    if (placement->count > available) {
        do_not_pin(placement, cores,
                   "there are not that many CPUs beside those of the host's first core");
        return;
    }

    g_autoptr(GArray) vcpus = pick_cpus(cores, placement->count);

    use_cpus(placement, facts, vcpus);
    placement->reason = pinned_reason(placement);
}

static void
block_pinning(VrReport *report, char *message, char *evidence)
{
    vr_report_add(report, "cpu-pinning", VR_SEVERITY_BLOCKER, VR_REMEDY_PROFILE, NULL, message,
                  evidence, g_strdup("correct pin= and cpus= in the profile, or use pin=auto"));
}

static void
check_listed_cpus(const VrProfile *profile, const VrHostFacts *facts, VrReport *report)
{
    for (guint i = 0; i < profile->pin_cpus->len; i++) {
        unsigned id = g_array_index(profile->pin_cpus, unsigned, i);
        const VrCpu *cpu = find_cpu(facts, id);

        if (facts->cpus->len > 0 && (cpu == NULL || !cpu->online)) {
            block_pinning(report,
                          g_strdup_printf("pin= names CPU %u, which is %s", id,
                                          cpu == NULL ? "not there" : "offline"),
                          g_strdup("/sys/devices/system/cpu/online"));
        }
    }
    if (profile->cpus != 0 && profile->cpus != profile->pin_cpus->len) {
        block_pinning(report,
                      g_strdup_printf("pin= names %u CPUs for %u virtual ones",
                                      profile->pin_cpus->len, profile->cpus),
                      NULL);
    }
}

static void
pin_as_listed(VrCpuPlacement *placement, const VrProfile *profile, const VrHostFacts *facts,
              VrReport *report)
{
    check_listed_cpus(profile, facts, report);
    placement->count = MAX(profile->pin_cpus->len, 1u);
    use_cpus(placement, facts, profile->pin_cpus);
    placement->reason = pinned_reason(placement);
}

/* --- all of it --- */

static unsigned
automatic_count(const VrProfile *profile, unsigned available)
{
    unsigned limit = profile->guest == VR_GUEST_WINDOWS ? AUTO_LIMIT_WINDOWS : AUTO_LIMIT_LINUX;
    unsigned count = CLAMP(available, 1, limit);

    /* An odd thread would make the pairs untrue. */
    return count > 2 ? count - count % 2 : count;
}

/* The node of memory and CPUs: the card's, unless the guest is larger than it or the profile says
 * none. */
static int
choose_node(const VrProfile *profile, const VrHostFacts *facts, int gpu_node)
{
    if (profile->numa == VR_NONE || facts->node_count < 2 || gpu_node < 0) {
        return -1;
    }

    g_autoptr(GPtrArray) cores = guest_cores(facts, gpu_node);
    unsigned available = count_threads(cores);

    return available > 0 && profile->cpus <= available ? gpu_node : -1;
}

VrCpuPlacement *
vr_cpu_placement_choose(const VrProfile *profile, const VrHostFacts *facts, int gpu_node,
                        VrReport *report)
{
    VrCpuPlacement *placement = g_new0(VrCpuPlacement, 1);

    placement->vcpus = numbers_new();
    placement->emulator = numbers_new();
    placement->node = choose_node(profile, facts, gpu_node);

    g_autoptr(GPtrArray) cores = guest_cores(facts, placement->node);

    placement->count =
        profile->cpus != 0 ? profile->cpus : automatic_count(profile, count_threads(cores));
    if (profile->pin == VR_LISTED && profile->pin_cpus != NULL) {
        pin_as_listed(placement, profile, facts, report);
    } else if (profile->pin == VR_NONE) {
        do_not_pin(placement, cores, "pin=none in the profile");
    } else {
        pin_automatically(placement, facts, cores);
    }
    return placement;
}

void
vr_cpu_placement_free(VrCpuPlacement *placement)
{
    if (placement != NULL) {
        g_array_unref(placement->vcpus);
        g_array_unref(placement->emulator);
        g_free(placement->reason);
        g_free(placement);
    }
}
