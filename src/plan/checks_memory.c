/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "plan/check_rows.h"

enum {
    HOST_RESERVE_MIB = 512,  /* what a host without a desktop needs to live */
    QEMU_OVERHEAD_MIB = 256, /* QEMU itself, its video-less devices and the IOMMU's page tables */
    KIB_PER_MIB = 1024,
};

static unsigned
count_online(const VrHostFacts *facts)
{
    unsigned online = 0;

    for (guint i = 0; i < facts->cpus->len; i++) {
        const VrCpu *cpu = g_ptr_array_index(facts->cpus, i);
        online += cpu->online;
    }
    return online;
}

/* What pin names is judged with the placement (cpu_placement.h). */
static void
check_profile_cpus(const VrProfile *profile, unsigned online, VrReport *report)
{
    char *evidence = g_strdup_printf("/sys/devices/system/cpu/online: %u CPUs", online);

    if (profile->cpus > online) {
        vr_report_add(report, "cpus", VR_SEVERITY_BLOCKER, VR_REMEDY_PROFILE, NULL,
                      g_strdup_printf("the profile wants %u CPUs, this computer has %u",
                                      profile->cpus, online),
                      evidence, g_strdup_printf("set cpus under [machine] to %u at most", online));
    } else if (profile->cpus == online && online > 1) {
        vr_report_add(report, "cpus", VR_SEVERITY_WARNING, VR_REMEDY_PROFILE, NULL,
                      g_strdup("the guest gets every CPU: it stutters whenever the host works"),
                      evidence, g_strdup_printf("leave the host one or two: cpus=%u", online - 1));
    } else {
        vr_check_ok(report, "cpus", g_strdup("there are CPUs for guest and host"), evidence);
    }
}

void
vr_check_cpus(const VrCheckInput *input, VrReport *report)
{
    const VrHostFacts *facts = input->facts;

    if (!vr_check_knows(input, VR_FACTS_CPU)) {
        return;
    }
    unsigned online = count_online(facts);
    if (online == 0) {
        vr_report_add(report, "cpus", VR_SEVERITY_UNKNOWN, VR_REMEDY_NONE, NULL,
                      g_strdup("how many CPUs there are could not be found out"),
                      g_strdup("/sys/devices/system/cpu"), NULL);
    } else if (input->profile != NULL) {
        check_profile_cpus(input->profile, online, report);
    } else {
        vr_check_ok(report, "cpus",
                    g_strdup_printf("%s, %u CPUs",
                                    facts->cpu_model != NULL ? facts->cpu_model : "processor",
                                    online),
                    g_strdup("/proc/cpuinfo, /sys/devices/system/cpu"));
    }
}

/* Pages of one size over all nodes. False: this host has no pages of that size. */
static bool
sum_pool(const VrHostFacts *facts, unsigned page_kib, VrHugepagePool *out_sum)
{
    bool found = false, whole = false;
    VrHugepagePool sum = {.node = -1, .page_kib = page_kib};

    for (guint i = 0; facts->hugepages != NULL && i < facts->hugepages->len; i++) {
        const VrHugepagePool *pool = g_ptr_array_index(facts->hugepages, i);
        if (pool->page_kib != page_kib || whole) {
            continue;
        }
        found = true;
        whole = pool->node < 0;
        sum.total = whole ? pool->total : sum.total + pool->total;
        sum.free = whole ? pool->free : sum.free + pool->free;
    }
    *out_sum = sum;
    return found;
}

static uint64_t
pages_for(uint64_t memory_mib, unsigned page_kib)
{
    uint64_t memory_kib = memory_mib * KIB_PER_MIB;

    return memory_kib / page_kib + (memory_kib % page_kib != 0);
}

/* Free huge pages of one size that this guest would use, in MiB. */
static uint64_t
reserved_mib(const VrHostFacts *facts, uint64_t memory_mib, unsigned page_kib)
{
    VrHugepagePool pool = {0};

    if (!sum_pool(facts, page_kib, &pool)) {
        return 0;
    }
    uint64_t free_mib = pool.free * page_kib / KIB_PER_MIB;
    return MIN(free_mib, memory_mib);
}

/* How much of the guest's memory is there already, as free huge pages of the size it asks for. */
static uint64_t
memory_in_pools(const VrHostFacts *facts, const VrProfile *profile)
{
    uint64_t small = reserved_mib(facts, profile->memory_mib, 2048);
    uint64_t large = reserved_mib(facts, profile->memory_mib, 1048576);

    switch (profile->hugepages) {
    case VR_PAGES_2M:
        return small;
    case VR_PAGES_1G:
        return large;
    case VR_PAGES_AUTO:
        /* A pool counts only if it holds the whole guest: auto takes one or the other. */
        return MAX(small, large) == profile->memory_mib ? profile->memory_mib : 0;
    case VR_PAGES_NONE:
    default:
        return 0;
    }
}

static void
add_memory_blocker(VrReport *report, char *message, const VrHostFacts *facts, char *advice)
{
    vr_report_add(report, "memory", VR_SEVERITY_BLOCKER, VR_REMEDY_PROFILE, NULL, message,
                  g_strdup_printf("/proc/meminfo: MemTotal %" G_GUINT64_FORMAT
                                  " MiB, MemAvailable %" G_GUINT64_FORMAT " MiB",
                                  facts->memory_total_mib, facts->memory_available_mib),
                  advice);
}

/*
 * A guest with a device of its own has all of its memory pinned: a device reads and writes it at
 * any time, so none of it can be swapped out or shared.
 */
static void
check_guest_memory(const VrHostFacts *facts, const VrProfile *profile, VrReport *report)
{
    uint64_t total_mib = facts->memory_total_mib;
    uint64_t in_pools_mib = memory_in_pools(facts, profile);
    uint64_t needed_mib = profile->memory_mib - in_pools_mib + QEMU_OVERHEAD_MIB;

    if (profile->memory_mib + QEMU_OVERHEAD_MIB + HOST_RESERVE_MIB > total_mib) {
        uint64_t kept_mib = QEMU_OVERHEAD_MIB + HOST_RESERVE_MIB;
        uint64_t most_mib = total_mib > kept_mib ? total_mib - kept_mib : 0;
        add_memory_blocker(
            report,
            g_strdup_printf("the guest's %" G_GUINT64_FORMAT
                            " MiB cannot be pinned: this computer has %" G_GUINT64_FORMAT
                            " MiB, and needs some itself",
                            profile->memory_mib, total_mib),
            facts,
            g_strdup_printf("set memory under [machine] to %" G_GUINT64_FORMAT "M at most",
                            most_mib));
    } else if (needed_mib > facts->memory_available_mib) {
        add_memory_blocker(
            report,
            g_strdup_printf("the guest's memory cannot be pinned now: %" G_GUINT64_FORMAT
                            " MiB more are needed than are free",
                            needed_mib - facts->memory_available_mib),
            facts,
            g_strdup("close programs that use much memory, give back huge pages that "
                     "nobody uses, or set memory under [machine] lower"));
    } else {
        vr_check_ok(report, "memory",
                    g_strdup_printf("the guest's %" G_GUINT64_FORMAT " MiB can be pinned",
                                    profile->memory_mib),
                    g_strdup_printf("/proc/meminfo: MemAvailable %" G_GUINT64_FORMAT
                                    " MiB; free huge pages used: %" G_GUINT64_FORMAT " MiB",
                                    facts->memory_available_mib, in_pools_mib));
    }
}

void
vr_check_memory(const VrCheckInput *input, VrReport *report)
{
    const VrHostFacts *facts = input->facts;

    if (!vr_check_knows(input, VR_FACTS_MEMORY)) {
        return;
    }
    if (facts->memory_total_mib == 0 || facts->memory_available_mib == 0) {
        vr_report_add(report, "memory", VR_SEVERITY_UNKNOWN, VR_REMEDY_NONE, NULL,
                      g_strdup("how much memory there is could not be found out"),
                      g_strdup("/proc/meminfo"), NULL);
    } else if (input->profile != NULL) {
        check_guest_memory(facts, input->profile, report);
    } else {
        vr_check_ok(report, "memory",
                    g_strdup_printf("%" G_GUINT64_FORMAT " MiB, %" G_GUINT64_FORMAT
                                    " MiB available",
                                    facts->memory_total_mib, facts->memory_available_mib),
                    g_strdup("/proc/meminfo"));
    }
}

static void
check_pool(const VrHostFacts *facts, const VrHugepagePool *pool, uint64_t wanted, VrReport *report)
{
    uint64_t missing = wanted > pool->free ? wanted - pool->free : 0;
    uint64_t missing_mib = missing * pool->page_kib / KIB_PER_MIB;
    bool large = pool->page_kib == 1048576;
    char *evidence =
        g_strdup_printf("/sys/kernel/mm/hugepages/hugepages-%ukB: %" G_GUINT64_FORMAT
                        " pages, %" G_GUINT64_FORMAT " free; wanted: %" G_GUINT64_FORMAT,
                        pool->page_kib, pool->total, pool->free, wanted);

    if (missing == 0) {
        vr_check_ok(report, "hugepages", g_strdup("enough huge pages are free"), evidence);
    } else if (missing_mib + QEMU_OVERHEAD_MIB > facts->memory_available_mib) {
        vr_report_add(report, "hugepages", VR_SEVERITY_BLOCKER, VR_REMEDY_PROFILE, NULL,
                      g_strdup_printf("%" G_GUINT64_FORMAT
                                      " huge pages are missing, and there is no memory for them",
                                      missing),
                      evidence,
                      g_strdup("close programs that use much memory, or set memory under [machine] "
                               "lower"));
    } else {
        vr_report_add(
            report, "hugepages", large ? VR_SEVERITY_WARNING : VR_SEVERITY_INFO,
            large ? VR_REMEDY_OS : VR_REMEDY_NONE, NULL,
            g_strdup_printf("%" G_GUINT64_FORMAT
                            " huge pages are missing: vmrun asks the kernel for them at "
                            "the start and gives them back after%s",
                            missing,
                            large ? ", which often fails for pages of 1 GiB once the host "
                                    "has run for a while"
                                  : ""),
            evidence,
            large ? g_strdup_printf(
                        "reserve them at boot with hugepagesz=1G hugepages=%" G_GUINT64_FORMAT
                        " on the kernel command line, or write hugepages=2M",
                        wanted)
                  : NULL);
    }
}

void
vr_check_hugepages(const VrCheckInput *input, VrReport *report)
{
    VrPages pages = input->profile->hugepages;
    unsigned page_kib = pages == VR_PAGES_1G ? 1048576 : 2048;
    VrHugepagePool pool = {0};

    if (!vr_check_knows(input, VR_FACTS_MEMORY) || pages == VR_PAGES_AUTO ||
        pages == VR_PAGES_NONE) {
        return;
    }
    if (sum_pool(input->facts, page_kib, &pool)) {
        check_pool(input->facts, &pool, pages_for(input->profile->memory_mib, page_kib), report);
        return;
    }
    vr_report_add(report, "hugepages", VR_SEVERITY_BLOCKER, VR_REMEDY_PROFILE, NULL,
                  g_strdup_printf("this computer has no huge pages of %s",
                                  pages == VR_PAGES_1G ? "1 GiB" : "2 MiB"),
                  g_strdup_printf("/sys/kernel/mm/hugepages: no hugepages-%ukB", page_kib),
                  g_strdup("write hugepages=auto under [machine]"));
}
