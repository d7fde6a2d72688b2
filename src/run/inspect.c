/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/inspect.h>

#include <vmrun/checks.h>
#include <vmrun/device_choice.h>
#include <vmrun/domain_xml.h>
#include <vmrun/error.h>
#include <vmrun/gpu.h>
#include <vmrun/text.h>

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"

/* Digits of the embedded root's name. libvirt puts sockets below it, whose paths may have 107
 * bytes: the root must stay under 40 (monitor sockets add up to 52 and a name). */
#define EMBEDDED_ID_DIGITS 8
/* A group that does not answer is being opened, closed or reset. */
#define GROUP_TIMEOUT_MS 3000

void
vr_inspection_free(VrInspection *inspection)
{
    if (inspection == NULL) {
        return;
    }
    g_free(inspection->xml);
    vr_report_free(inspection->report);
    g_free(inspection->uri);
    vr_cpu_placement_free(inspection->placement);
    vr_identity_free(inspection->identity);
    g_clear_pointer(&inspection->busy_groups, g_ptr_array_unref);
    vr_path_facts_free(inspection->paths);
    g_clear_pointer(&inspection->disks, g_ptr_array_unref);
    vr_holders_free(inspection->holders);
    g_free(inspection->holders_error);
    g_clear_pointer(&inspection->devices, g_ptr_array_unref);
    g_clear_pointer(&inspection->gpus, g_ptr_array_unref);
    vr_host_facts_free(inspection->facts);
    g_free(inspection);
}

/* --- decisions --- */

char *
vr_inspect_uri(const VrProfile *profile, const VrHostFacts *facts)
{
    bool system = profile->hypervisor == VR_HYPERVISOR_SYSTEM ||
                  (profile->hypervisor == VR_HYPERVISOR_AUTO && facts->libvirt_system_socket);

    if (profile->hypervisor == VR_HYPERVISOR_URI) {
        return g_strdup(profile->hypervisor_uri);
    }
    if (system) {
        return g_strdup("qemu:///system");
    }

    g_autofree char *digest = vr_text_digest(profile->name);

    return g_strdup_printf("qemu:///embed?root=" VR_STATE_DIRECTORY "/embed/%.*s",
                           EMBEDDED_ID_DIGITS, digest);
}

/* Free pages of one size: of one node, or of the whole host. */
static uint64_t
count_free_pages(const VrHostFacts *facts, int node, unsigned page_kib)
{
    uint64_t whole = 0;
    uint64_t sum = 0;

    for (guint i = 0; i < facts->hugepages->len; i++) {
        const VrHugepagePool *pool = facts->hugepages->pdata[i];

        if (pool->page_kib != page_kib) {
            continue;
        }
        if (node >= 0 && pool->node == node) {
            return pool->free;
        }
        whole += pool->node < 0 ? pool->free : 0;
        sum += pool->node < 0 ? 0 : pool->free;
    }
    return node >= 0 ? 0 : MAX(whole, sum);
}

/* hugepages=auto takes pages that are free already and never makes any. */
static VrPages
decide_pages(const VrProfile *profile, const VrHostFacts *facts, int node)
{
    uint64_t memory_mib = profile->memory_mib;

    if (profile->hugepages != VR_PAGES_AUTO) {
        return profile->hugepages;
    }
    if (memory_mib % 1024 == 0 && count_free_pages(facts, node, 1048576) >= memory_mib / 1024) {
        return VR_PAGES_1G;
    }
    if (memory_mib % 2 == 0 && count_free_pages(facts, node, 2048) >= memory_mib / 2) {
        return VR_PAGES_2M;
    }
    return VR_PAGES_NONE;
}

static int
node_of_card(const GPtrArray *devices)
{
    const VrChosenDevice *first = devices->len > 0 ? devices->pdata[0] : NULL;

    return first != NULL ? first->gpu->display->numa_node : -1;
}

/* libvirt keeps the state of an active network there; without permission to look, its bridge tells.
 * The embedded driver asks the daemon for networks, too. */
static bool
has_default_network(const VrSysroot *root, const VrHostFacts *facts)
{
    if (!facts->libvirt_system_socket) {
        return false;
    }
    return vr_sysroot_exists(root, "/run/libvirt/network/default.xml") ||
           g_ptr_array_find_with_equal_func(facts->bridges, "virbr0", g_str_equal, NULL);
}

/* A file system says only when asked whether it can do without the page cache (open(2), O_DIRECT).
 * What cannot be asked is taken as able: nearly all are. */
static bool
is_buffered(const VrSysroot *root, const VrProfileDisk *disk)
{
    g_autoptr(GError) error = NULL;

    if (disk->is_cdrom || g_str_has_prefix(disk->path, "/dev/")) {
        return false;
    }

    vr_autofd int fd = vr_sysroot_open(root, disk->path, O_RDONLY | O_NONBLOCK | O_DIRECT, &error);

    return fd < 0 && g_error_matches(error, VR_ERROR, VR_ERROR_IO);
}

static GPtrArray *
find_buffered(const VrSysroot *root, const VrProfile *profile)
{
    GPtrArray *buffered = g_ptr_array_new();

    for (guint i = 0; i < profile->disks->len; i++) {
        if (is_buffered(root, profile->disks->pdata[i])) {
            g_ptr_array_add(buffered, profile->disks->pdata[i]);
        }
    }
    return buffered;
}

/* Has every section of the profile got a device? */
static bool
is_complete(const VrProfile *profile, const GPtrArray *devices)
{
    for (guint i = 0; i < profile->devices->len; i++) {
        bool found = false;

        for (guint j = 0; j < devices->len && !found; j++) {
            const VrChosenDevice *device = devices->pdata[j];

            found = device->section == profile->devices->pdata[i];
        }
        if (!found) {
            return false;
        }
    }
    return true;
}

/* --- the steps --- */

static GPtrArray *
find_busy_groups(VrScout *scout, const GPtrArray *functions)
{
    GPtrArray *busy = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GHashTable) asked = g_hash_table_new(NULL, NULL);

    for (guint i = 0; i < functions->len; i++) {
        const VrPciFunction *function = functions->pdata[i];
        gpointer key = GINT_TO_POINTER(function->group);

        if (function->group >= 0 && g_hash_table_add(asked, key) &&
            vr_scout_group_is_busy(scout, function->group, GROUP_TIMEOUT_MS) == VR_YES) {
            g_ptr_array_add(busy, g_strdup_printf("%d", function->group));
        }
    }
    return busy;
}

static void
choose(VrInspection *inspection, VrSysroot *root)
{
    inspection->facts = vr_host_facts_load(root, VR_FACTS_ALL);
    inspection->gpus = vr_gpus_judge(inspection->facts);
    inspection->report = vr_report_new();
    inspection->devices =
        vr_devices_choose(inspection->profile, inspection->facts, inspection->report);
    inspection->placement =
        vr_cpu_placement_choose(inspection->profile, inspection->facts,
                                node_of_card(inspection->devices), inspection->report);
    inspection->pages =
        decide_pages(inspection->profile, inspection->facts, inspection->placement->node);
    inspection->uri = vr_inspect_uri(inspection->profile, inspection->facts);
}

/* They go before the card does, and are not waited for now. Lent, NULL-terminated. */
static GPtrArray *
units_to_stop(const VrProfile *profile)
{
    GPtrArray *units = g_ptr_array_new();

    for (guint i = 0; i < profile->stop_units->len; i++) {
        g_ptr_array_add(units, profile->stop_units->pdata[i]);
    }
    for (const char *const *unit = vr_known_gpu_units(); *unit != NULL; unit++) {
        g_ptr_array_add(units, (gpointer) *unit);
    }
    g_ptr_array_add(units, NULL);
    return units;
}

static void
check(VrInspection *inspection, VrScout *scout, unsigned patience_ms)
{
    g_autoptr(GPtrArray) stopped = units_to_stop(inspection->profile);
    g_autoptr(GError) blind = NULL;
    g_autoptr(GPtrArray) functions = vr_devices_functions(inspection->devices);
    g_autoptr(GPtrArray) files = vr_file_facts_load(inspection->facts, inspection->profile);

    inspection->holders =
        vr_scout_users_patiently(scout, inspection->facts, functions,
                                 (const char *const *) stopped->pdata, patience_ms, &blind);
    inspection->holders_error = blind != NULL ? g_strdup(blind->message) : NULL;
    inspection->disks = vr_disk_facts_load(inspection->facts, inspection->profile);
    inspection->paths = vr_path_facts_load(inspection->facts, inspection->profile);
    inspection->busy_groups = find_busy_groups(scout, functions);

    VrCheckInput input = {
        .facts = inspection->facts,
        .profile = inspection->profile,
        .gpus = inspection->gpus,
        .devices = inspection->devices,
        .holders = inspection->holders,
        .holders_error = inspection->holders_error,
        .disks = inspection->disks,
        .files = files,
        .paths = inspection->paths,
        .busy_groups = inspection->busy_groups,
        .have_root = geteuid() == 0,
    };

    vr_report_join(inspection->report, vr_checks_run(&input));
}

static void
describe(VrInspection *inspection, VrSysroot *root)
{
    g_autoptr(GPtrArray) buffered = find_buffered(root, inspection->profile);
    VrDomainSpec spec = {
        .profile = inspection->profile,
        .facts = inspection->facts,
        .devices = inspection->devices,
        .identity = inspection->identity,
        .placement = inspection->placement,
        .pages = inspection->pages,
        .uri = inspection->uri,
        .state_directory = VR_STATE_DIRECTORY,
        .default_network = has_default_network(root, inspection->facts),
        .buffered = buffered,
    };

    inspection->xml = vr_domain_xml(&spec);
}

VrInspection *
vr_inspect(VrSysroot *root, const VrProfile *profile, VrScout *scout, unsigned patience_ms,
           GError **error)
{
    g_autoptr(VrScout) own = scout == NULL ? vr_scout_new(root) : NULL;
    g_autoptr(VrInspection) inspection = g_new0(VrInspection, 1);

    inspection->profile = profile;
    inspection->identity = vr_identity_load(root, profile, error);
    if (inspection->identity == NULL) {
        return NULL;
    }
    choose(inspection, root);
    check(inspection, scout != NULL ? scout : own, patience_ms);
    if (is_complete(profile, inspection->devices)) {
        describe(inspection, root);
    }
    return g_steal_pointer(&inspection);
}

static bool
is_same_file(const VrPathFact *before, const VrPathFact *now)
{
    return now->error == NULL && g_strcmp0(before->resolved, now->resolved) == 0 &&
           before->device == now->device && before->inode == now->inode;
}

bool
vr_inspection_check_paths(const VrInspection *inspection, GError **error)
{
    g_autoptr(VrPathFacts) now = vr_path_facts_load(inspection->facts, inspection->profile);
    g_autoptr(VrReport) report = vr_report_new();

    for (guint i = 0; i < now->facts->len; i++) {
        const VrPathFact *fact = g_ptr_array_index(now->facts, i);

        if (i >= inspection->paths->facts->len ||
            !is_same_file(g_ptr_array_index(inspection->paths->facts, i), fact)) {
            return vr_error_set(error, VR_ERROR_START_FAILED,
                                "%s: another file is there than when it was checked; find out who "
                                "changes it, and start again",
                                fact->path);
        }
        if (!vr_path_judge(fact, &now->rules, report)) {
            const VrFinding *finding = g_ptr_array_index(report->findings, 0);

            return vr_error_set(error, VR_ERROR_START_FAILED, "%s: %s (%s)", finding->subject,
                                finding->message, finding->evidence);
        }
    }
    return true;
}
