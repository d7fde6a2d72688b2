/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/preparation.h>

#include <vmrun/checks.h>
#include <vmrun/claims.h>
#include <vmrun/error.h>
#include <vmrun/shared.h>
#include <vmrun/text.h>
#include <vmrun/worker.h>

#include <string.h>

#define SYSTEMD "/run/systemd/system"
#define POLICIES "/sys/devices/system/cpu/cpufreq"

void
vr_preparation_free(VrPreparation *preparation)
{
    if (preparation == NULL) {
        return;
    }
    vr_fingerprint_free(preparation->fingerprint);
    g_clear_pointer(&preparation->changes, g_ptr_array_unref);
    vr_plan_free(preparation->plan);
    vr_host_state_free(preparation->wanted);
    vr_host_state_free(preparation->reserved);
    vr_host_state_free(preparation->before);
    vr_inspection_free(preparation->inspection);
    g_free(preparation);
}

static VrHostState *
observe_by_scout(void *scout, const VrHostState *shape, GError **error)
{
    return vr_scout_observe(scout, shape, error);
}

/* sd_booted(3): the directory exists where systemd is process 1. The systemd of this computer knows
 * nothing of a recorded one. */
static bool
systemd_answers(const VrSysroot *root)
{
    return vr_sysroot_is_live(root) && vr_sysroot_exists(root, SYSTEMD);
}

/* Units that the profile names count on somebody who can stop and start them. */
static void
report_units_unasked(const VrInspection *inspection, const VrSysroot *root)
{
    bool live = vr_sysroot_is_live(root);
    VrReport *report = inspection->report;
    if (inspection->profile->stop_units->len == 0) {
        return;
    }
    VrFinding *finding = vr_report_add(
        report, "stop-units", live ? VR_SEVERITY_BLOCKER : VR_SEVERITY_UNKNOWN,
        live ? VR_REMEDY_PROFILE : VR_REMEDY_NONE, NULL,
        live ? g_strdup("the units of stop-units= cannot be stopped: systemd does not run here")
             : g_strdup("whether the units of stop-units= run could not be found out, so the plan "
                        "leaves them out"),
        live ? g_strdup("/run/systemd/system: missing")
             : g_strdup_printf("--root %s: systemd tells of the running computer only",
                               vr_sysroot_directory(root)),
        live ? g_strdup("remove stop-units= under [session], and stop what uses the card by hand")
             : NULL);
    finding->status = VR_ERROR_UNREACHABLE;
}

static bool
has_nvidia_card(const VrInspection *inspection)
{
    g_autoptr(GPtrArray) functions = vr_devices_functions(inspection->devices);
    for (guint i = 0; i < functions->len; i++) {
        const VrPciFunction *function = g_ptr_array_index(functions, i);
        if (g_strcmp0(function->driver, "nvidia") == 0) {
            return true;
        }
    }
    return false;
}

static bool
unit_holds(const VrHolders *holders, const char *unit)
{
    for (guint i = 0; holders != NULL && i < holders->holders->len; i++) {
        const VrHolder *holder = g_ptr_array_index(holders->holders, i);
        if (g_strcmp0(holder->unit, unit) == 0) {
            return true;
        }
    }
    return false;
}

/*
 * Which units are stopped: those that the profile names, and the known ones where they can matter:
 * on an NVIDIA card always, because persistence mode keeps the driver in use with no file open
 * (reliability of the unbind), else when they hold the card.
 */
static void
add_units(VrHostState *shape, const VrInspection *inspection, const VrSysroot *root)
{
    const GPtrArray *named = inspection->profile->stop_units;
    if (!systemd_answers(root)) {
        report_units_unasked(inspection, root);
        return;
    }
    for (guint i = 0; i < named->len; i++) {
        vr_host_state_set_unit(shape, g_ptr_array_index(named, i), false);
    }
    bool nvidia = has_nvidia_card(inspection);
    for (const char *const *unit = vr_known_gpu_units(); *unit != NULL; unit++) {
        if (nvidia || unit_holds(inspection->holders, *unit)) {
            vr_host_state_set_unit(shape, *unit, false);
        }
    }
}

/* The pool that the guest's memory comes from: of its node, or of the whole computer where the
 * kernel knows no nodes. NULL without huge pages, be it that there are none of that size: a check
 * says so. Owned. */
static char *
hugepage_path(const VrInspection *inspection, const VrSysroot *root)
{
    if (inspection->pages != VR_PAGES_2M && inspection->pages != VR_PAGES_1G) {
        return NULL;
    }
    unsigned page_kib = inspection->pages == VR_PAGES_2M ? 2048 : 1048576;
    int node = inspection->placement != NULL ? inspection->placement->node : -1;
    g_autofree char *of_node = g_strdup_printf(
        "/sys/devices/system/node/node%d/hugepages/hugepages-%ukB/nr_hugepages", node, page_kib);
    g_autofree char *of_all =
        g_strdup_printf("/sys/kernel/mm/hugepages/hugepages-%ukB/nr_hugepages", page_kib);
    if (node >= 0 && vr_sysroot_exists(root, of_node)) {
        return g_steal_pointer(&of_node);
    }
    return vr_sysroot_exists(root, of_all) ? g_steal_pointer(&of_all) : NULL;
}

/* nr_hugepages counts all pages, free_hugepages beside it those that nobody uses: what is missing
 * is added. */
static bool
reserve_hugepages(VrPreparation *preparation, const VrSysroot *root, const char *path,
                  GError **error)
{
    const VrInspection *inspection = preparation->inspection;
    const VrAttribute *pool = vr_host_state_attribute(preparation->before, path);
    g_autofree char *directory = g_path_get_dirname(path);
    g_autofree char *free_path = g_strdup_printf("%s/free_hugepages", directory);
    g_autofree char *free_text = vr_sysroot_read(root, free_path, error);
    uint64_t total = 0;
    uint64_t unused = 0;
    if (free_text == NULL) {
        return false;
    }
    if (pool == NULL || pool->value == NULL ||
        !vr_text_to_uint(pool->value, 0, UINT32_MAX, &total) ||
        !vr_text_to_uint(free_text, 0, UINT32_MAX, &unused)) {
        return vr_error_set(error, VR_ERROR_CORRUPT, "%s: not a number of pages", path);
    }
    uint64_t page_mib = inspection->pages == VR_PAGES_2M ? 2 : 1024;
    uint64_t needed = (inspection->profile->memory_mib + page_mib - 1) / page_mib;
    if (vr_shared_is_awaited(root, inspection->profile->name, path)) {
        unused = 0; /* they are another session's */
    }
    if (unused < needed) {
        g_autofree char *value = g_strdup_printf("%" G_GUINT64_FORMAT, total + needed - unused);
        vr_host_state_set_attribute(preparation->wanted, VR_ATTRIBUTE_COUNT, NULL, path, value);
    }
    return true;
}

/* The first half of the way out: what commonly fails, or must be gone before the card is touched;
 * and the fence, so that nobody comes between the last look for holders and the move. */
static void
make_reserved(VrPreparation *preparation)
{
    preparation->reserved = vr_host_state_copy(preparation->wanted);
    for (guint i = 0; i < preparation->before->bindings->len; i++) {
        const VrBinding *before = g_ptr_array_index(preparation->before->bindings, i);
        VrBinding *binding = vr_host_state_binding(preparation->reserved, before->address);
        g_free(binding->driver);
        g_free(binding->driver_override);
        binding->driver = g_strdup(before->driver);
        binding->driver_override = g_strdup(before->driver_override);
    }
    for (guint i = 0; i < preparation->before->attributes->len; i++) {
        const VrAttribute *before = g_ptr_array_index(preparation->before->attributes, i);
        if (before->has_device && before->kind != VR_ATTRIBUTE_NODE) {
            vr_host_state_set_attribute(preparation->reserved, before->kind, &before->device,
                                        before->path, before->value);
        }
    }
}

static bool
has_word(const char *text, const char *word)
{
    g_auto(GStrv) words = g_strsplit(text != NULL ? text : "", " ", -1);
    return g_strv_contains((const char *const *) words, word);
}

static void
report_no_governor(VrReport *report)
{
    vr_report_add(report, "governor", VR_SEVERITY_INFO, VR_REMEDY_PROFILE, NULL,
                  g_strdup("no processor of this computer has a frequency governor named "
                           "performance, so none is changed"),
                  g_strdup(POLICIES ": no policy offers it"),
                  g_strdup("remove governor= from the profile, or look for the processor's "
                           "frequency control in the BIOS set-up"));
}

/* Documentation/admin-guide/pm/cpufreq.rst: one policy for each set of processors that change
 * together. All of them, as QEMU's own threads are not tied to the guest's processors. */
static void
add_governors(VrHostState *shape, const VrInspection *inspection, const VrSysroot *root)
{
    g_autoptr(GPtrArray) names = vr_sysroot_list(root, POLICIES, NULL);
    bool found = false;
    for (guint i = 0; names != NULL && i < names->len; i++) {
        const char *name = g_ptr_array_index(names, i);
        g_autofree char *path = g_strdup_printf(POLICIES "/%s/scaling_governor", name);
        g_autofree char *list = g_strdup_printf(POLICIES "/%s/scaling_available_governors", name);
        g_autofree char *available = vr_sysroot_read_optional(root, list);
        if (vr_attribute_path_is_allowed(path) && has_word(available, "performance")) {
            vr_host_state_set_attribute(shape, VR_ATTRIBUTE_TEXT, NULL, path, NULL);
            found = true;
        }
    }
    if (!found) {
        report_no_governor(inspection->report);
    }
}

static void
want_governors(VrHostState *wanted)
{
    for (guint i = 0; i < wanted->attributes->len; i++) {
        VrAttribute *attribute = g_ptr_array_index(wanted->attributes, i);
        if (attribute->kind == VR_ATTRIBUTE_TEXT && !attribute->has_device &&
            attribute->value != NULL) {
            g_free(attribute->value);
            attribute->value = g_strdup("performance");
        }
    }
}

static void
report_not_isolated(VrReport *report, const char *why, const char *action)
{
    vr_report_add(report, "isolate-cpus", VR_SEVERITY_INFO, VR_REMEDY_PROFILE, NULL,
                  g_strdup("the host's own programs are not kept off the guest's processors"),
                  g_strdup(why), g_strdup(action));
}

/* A QEMU of the embedded driver is a child of ours and in our own group: it would lose what it is
 * to run on. */
static bool
may_isolate(const VrInspection *inspection)
{
    const VrCpuPlacement *placement = inspection->placement;
    if (placement == NULL || placement->vcpus->len == 0) {
        report_not_isolated(inspection->report, "isolate-cpus=yes, but the guest is not pinned",
                            "name the guest's processors with pin= in the profile");
        return false;
    }
    if (g_str_has_prefix(inspection->uri, "qemu:///embed")) {
        report_not_isolated(inspection->report,
                            "isolate-cpus=yes needs libvirt's system daemon, and this is its "
                            "embedded driver",
                            "install libvirt-daemon-system, and set hypervisor=system");
        return false;
    }
    return true;
}

static void
add_host_units(VrHostState *shape)
{
    for (const char *const *unit = vr_host_units(); *unit != NULL; unit++) {
        g_autofree char *path = vr_host_unit_path(*unit);
        vr_host_state_set_attribute(shape, VR_ATTRIBUTE_CPUS, NULL, path, NULL);
    }
}

/* Owned: "!4-7". */
static char *
all_but_the_guests(const VrInspection *inspection)
{
    g_autofree char *listed = vr_text_from_cpu_list(inspection->placement->vcpus);
    g_autoptr(GArray) sorted = vr_text_to_cpu_list(listed);
    g_autofree char *list = vr_text_from_cpu_list(sorted);
    return g_strconcat("!", list, NULL);
}

static void
report_no_processor_left(VrReport *report, const char *path, const char *has)
{
    vr_report_add(
        report, "isolate-cpus", VR_SEVERITY_BLOCKER, VR_REMEDY_PROFILE, NULL,
        g_strdup_printf("no processor would be left for %s", vr_attribute_path_unit(path)),
        g_strdup_printf("%s: %s, and the guest takes all of them", path, has),
        g_strdup("leave processors out of pin=, remove isolate-cpus=, or end the other "
                 "guest"));
}

static void
want_cpus(VrHostState *wanted, const VrInspection *inspection)
{
    g_autofree char *value = all_but_the_guests(inspection);
    bool found = false;
    for (guint i = 0; i < wanted->attributes->len; i++) {
        VrAttribute *attribute = g_ptr_array_index(wanted->attributes, i);
        if (attribute->kind != VR_ATTRIBUTE_CPUS || attribute->value == NULL) {
            continue;
        }
        g_autofree char *has = attribute->value;
        g_autofree char *left = vr_cpus_target(value, has);
        if (left == NULL) {
            report_no_processor_left(inspection->report, attribute->path, has);
        }
        attribute->value = g_strdup(value);
        found = true;
    }
    if (!found) {
        report_not_isolated(inspection->report,
                            "/sys/fs/cgroup/cpuset.cpus.effective: there is no systemd with "
                            "control groups of version 2 that limit processors",
                            "remove isolate-cpus= from the profile");
    }
}

static bool
observe_and_plan(VrPreparation *preparation, VrSysroot *root, const VrReaders *readers,
                 GError **error)
{
    const VrInspection *inspection = preparation->inspection;
    g_autoptr(GArray) addresses = vr_devices_addresses(inspection->devices);
    g_autoptr(VrHostState) shape = vr_host_state_shape(addresses);
    g_autofree char *pool = hugepage_path(inspection, root);
    add_units(shape, inspection, root);
    for (guint i = 0; i < addresses->len; i++) {
        vr_host_state_shape_nodes(shape, root, g_array_index(addresses, VrPciAddress, i));
    }
    if (pool != NULL) {
        vr_host_state_set_attribute(shape, VR_ATTRIBUTE_COUNT, NULL, pool, NULL);
    }
    if (inspection->profile->governor == VR_GOVERNOR_PERFORMANCE) {
        add_governors(shape, inspection, root);
    }
    bool isolate = inspection->profile->isolate_cpus && may_isolate(inspection);
    if (isolate && vr_sysroot_exists(root, SYSTEMD)) {
        add_host_units(shape);
    }
    preparation->before = readers->observe(readers->data, shape, error);
    if (preparation->before == NULL) {
        return false;
    }
    preparation->wanted = vr_host_state_wanted(preparation->before);
    want_governors(preparation->wanted);
    if (isolate) {
        want_cpus(preparation->wanted, inspection);
    }
    if (pool != NULL && !reserve_hugepages(preparation, root, pool, error)) {
        return false;
    }
    make_reserved(preparation);
    vr_plan_free(preparation->plan);
    preparation->plan = vr_plan_between(preparation->before, preparation->wanted);
    return true;
}

/* Who has the lock lets a worker look. False: not looked at; a finding says why. */
static bool
check_claims(const VrPreparation *preparation, const VrSysroot *root, bool have_lock)
{
    const VrInspection *inspection = preparation->inspection;
    g_autoptr(GArray) addresses = vr_devices_addresses(inspection->devices);
    vr_claims_check(root, inspection->profile->name, have_lock, addresses, inspection->report);
    return have_lock || !vr_claims_hang(root, addresses);
}

/* Is this still the computer on which the profile last started well? */
static void
check_changes(VrPreparation *preparation, const VrSysroot *root, const GPtrArray *capabilities)
{
    const VrInspection *inspection = preparation->inspection;
    const char *name = inspection->profile->name;
    g_autoptr(GError) why = NULL;
    preparation->fingerprint = vr_fingerprint_observe(root, inspection, capabilities);
    g_autoptr(VrFingerprint) before = vr_fingerprint_load(root, name, &why);
    if (before != NULL) {
        preparation->changes = vr_fingerprint_compare(before, preparation->fingerprint,
                                                      inspection->facts, inspection->profile);
        vr_changes_report(preparation->changes, name, inspection->report);
    } else if (!g_error_matches(why, VR_ERROR, VR_ERROR_NOT_FOUND)) {
        vr_report_add(inspection->report, "host-changed", VR_SEVERITY_UNKNOWN, VR_REMEDY_NONE, NULL,
                      g_strdup("what this computer was when the profile last started well could "
                               "not be read"),
                      g_strdup(why->message),
                      g_strdup_printf("if the devices are right: vmrun changes %s --accept", name));
    }
}

/* Not part of the inspection: that wakes no card. NULL: not asked, or no answer. Owned. */
static GPtrArray *
check_functions(const VrPreparation *preparation, const VrSysroot *root, const VrReaders *readers)
{
    const VrInspection *inspection = preparation->inspection;
    g_autoptr(GArray) addresses = vr_devices_addresses(inspection->devices);
    g_autoptr(GError) why = NULL;
    if (readers->ask == NULL || addresses->len == 0) {
        return NULL;
    }
    GPtrArray *capabilities = readers->ask(root, addresses, &why);
    vr_check_functions(inspection->facts, inspection->devices, capabilities, why,
                       inspection->report);
    return capabilities;
}

/* Who only looks may lack the right to read everything: the findings are worth having without a
 * plan. */
static void
report_unreadable(const VrPreparation *preparation, const GError *error)
{
    VrReport *report = preparation->inspection->report;
    vr_report_add(report, "plan-unreadable", VR_SEVERITY_UNKNOWN, VR_REMEDY_NONE, NULL,
                  g_strdup("what a start would change could not be read, so there is no plan"),
                  g_strdup(error->message),
                  g_strdup(g_error_matches(error, VR_ERROR, VR_ERROR_STUCK)
                               ? "end what the hanging process waits for, or restart the computer"
                               : "run this as root"));
}

VrPreparation *
vr_preparation_make(VrSysroot *root, const VrProfile *profile, bool have_lock,
                    const VrReaders *readers, GError **error)
{
    g_autoptr(VrPreparation) preparation = g_new0(VrPreparation, 1);
    g_autoptr(GError) problem = NULL;
    preparation->plan = vr_plan_new();
    preparation->inspection =
        vr_inspect(root, profile, readers->scout, readers->patience_ms, error);
    if (preparation->inspection == NULL) {
        return NULL;
    }
    g_autoptr(GPtrArray) capabilities = check_functions(preparation, root, readers);
    check_changes(preparation, root, capabilities);
    bool may_look = check_claims(preparation, root, have_lock);
    if (may_look && preparation->inspection->devices->len > 0 &&
        !observe_and_plan(preparation, root, readers, &problem)) {
        if (have_lock || (!g_error_matches(problem, VR_ERROR, VR_ERROR_DENIED) &&
                          !g_error_matches(problem, VR_ERROR, VR_ERROR_STUCK))) {
            g_propagate_prefixed_error(error, g_steal_pointer(&problem),
                                       "look at what '%s' would change: ", profile->name);
            return NULL;
        }
        report_unreadable(preparation, problem);
    }
    return g_steal_pointer(&preparation);
}

VrPreparation *
vr_preparation_look(VrSysroot *root, const VrProfile *profile, GError **error)
{
    g_autoptr(VrScout) scout = vr_scout_new(root);
    VrReaders readers = {observe_by_scout, scout, vr_worker_capabilities, scout, 0};
    return vr_preparation_make(root, profile, false, &readers, error);
}
