/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/preparation.h>

#include <vmrun/journal.h>
#include <vmrun/status.h>

#include "../support/plan_host.h"
#include "../support/tree.h"

#include <string.h>

#define CARD "pci0000:00/0000:00:01.0/0000:01:00.0"
#define POOL "/sys/kernel/mm/hugepages/hugepages-2048kB"

typedef struct {
    char *directory;
    VrSysroot *root;
    VrProfile *profile;
    VrPreparation *preparation;
    GPtrArray *(*ask)(const VrSysroot *root, const GArray *addresses, GError **error);
} Host;

/* A computer with processor graphics and a card of one function. */
static Host
host_new(void)
{
    Host host = {.directory = tree_new()};

    tree_make(host.directory, "/sys/class/iommu/dmar0");
    tree_pci(host.directory, "pci0000:00/0000:00:02.0", "030000 8086:4680", "i915", 1);
    tree_write(host.directory, "/sys/devices/pci0000:00/0000:00:02.0/boot_vga", "1");
    tree_pci(host.directory, "pci0000:00/0000:00:01.0", "060400 8086:460d", "pcieport", 2);
    tree_pci(host.directory, CARD, "030000 10de:2484", "nouveau", 12);
    tree_write(host.directory, "/sys/devices/" CARD "/boot_vga", "0");
    tree_write(host.directory, "/sys/devices/" CARD "/driver_override", "(null)");
    tree_write(host.directory, "/etc/machine-id", "0123456789abcdef0123456789abcdef");
    host.root = tree_root(host.directory);
    return host;
}

static VrHostState *
observe_here(void *root, const VrHostState *shape, GError **error)
{
    return vr_host_state_observe(root, shape, error);
}

/* Prepare a start of "gaming" with this profile; nobody has a lock. */
static const VrPreparation *
prepare(Host *host, const char *text)
{
    VrReaders readers = {observe_here, host->root, host->ask, NULL, 0};
    g_autoptr(GError) error = NULL;

    host->profile = plan_profile("gaming", text);
    host->preparation = vr_preparation_make(host->root, host->profile, false, &readers, &error);
    g_assert_no_error(error);
    return host->preparation;
}

static void
host_free(Host *host)
{
    vr_preparation_free(host->preparation);
    vr_profile_free(host->profile);
    vr_sysroot_unref(host->root);
    tree_remove(host->directory);
}

static const VrFinding *
find(const VrPreparation *preparation, const char *id)
{
    const GPtrArray *findings = preparation->inspection->report->findings;

    for (guint i = 0; i < findings->len; i++) {
        const VrFinding *finding = g_ptr_array_index(findings, i);
        if (g_str_equal(finding->id, id)) {
            return finding;
        }
    }
    return NULL;
}

static bool
writes_to(const VrPreparation *preparation, const char *path)
{
    for (guint i = 0; i < preparation->plan->steps->len; i++) {
        const VrStep *step = g_ptr_array_index(preparation->plan->steps, i);
        if (g_strcmp0(step->path, path) == 0) {
            return true;
        }
    }
    return false;
}

static void
test_huge_pages_that_are_missing_are_planned(void)
{
    Host host = host_new();

    tree_write(host.directory, POOL "/nr_hugepages", "8");
    tree_write(host.directory, POOL "/free_hugepages", "8");
    prepare(&host, "[machine]\nmemory=1G\nhugepages=2M\n");
    g_assert_true(writes_to(host.preparation, POOL "/nr_hugepages"));
    host_free(&host);
}

/* Another session has reserved them and does not use them yet. */
static void
test_huge_pages_of_another_start_are_not_free(void)
{
    Host host = host_new();
    g_autoptr(VrJournal) other = vr_journal_new("other");
    g_autoptr(VrSysroot) root = tree_root(host.directory);
    VrAttribute *pool = NULL;

    tree_write(host.directory, POOL "/nr_hugepages", "600");
    tree_write(host.directory, POOL "/free_hugepages", "600");
    vr_host_state_set_attribute(other->before, VR_ATTRIBUTE_COUNT, NULL, POOL "/nr_hugepages",
                                "0+600");
    g_assert_true(vr_journal_write(root, other, NULL));
    prepare(&host, "[machine]\nmemory=1G\nhugepages=2M\n");
    pool = vr_host_state_attribute(host.preparation->wanted, POOL "/nr_hugepages");
    g_assert_cmpstr(pool->value, ==, "1112");
    other->phase = VR_PHASE_RUNNING;
    g_assert_true(vr_journal_write(root, other, NULL));
    vr_preparation_free(host.preparation);
    vr_profile_free(host.profile);
    prepare(&host, "[machine]\nmemory=1G\nhugepages=2M\n");
    pool = vr_host_state_attribute(host.preparation->wanted, POOL "/nr_hugepages");
    g_assert_cmpstr(pool->value, ==, "600");
    host_free(&host);
}

#define POLICY "/sys/devices/system/cpu/cpufreq/policy"

static void
test_governor_of_each_policy_is_planned(void)
{
    Host host = host_new();

    for (unsigned i = 0; i < 3; i++) {
        g_autofree char *governor = g_strdup_printf(POLICY "%u/scaling_governor", i);
        g_autofree char *list = g_strdup_printf(POLICY "%u/scaling_available_governors", i);
        tree_write(host.directory, governor, i == 1 ? "performance" : "powersave");
        tree_write(host.directory, list, i == 2 ? "powersave userspace" : "performance powersave");
    }
    prepare(&host, "[session]\ngovernor=performance\n");
    g_assert_true(writes_to(host.preparation, POLICY "0/scaling_governor"));
    g_assert_false(writes_to(host.preparation, POLICY "1/scaling_governor"));
    g_assert_nonnull(
        vr_host_state_attribute(host.preparation->before, POLICY "1/scaling_governor"));
    g_assert_null(vr_host_state_attribute(host.preparation->before, POLICY "2/scaling_governor"));
    g_assert_null(find(host.preparation, "governor"));
    host_free(&host);
}

static void
test_governor_that_nobody_has_is_a_note(void)
{
    Host host = host_new();
    const VrFinding *finding = NULL;

    prepare(&host, "[session]\ngovernor=performance\n");
    finding = find(host.preparation, "governor");
    g_assert_true(finding != NULL && finding->severity == VR_SEVERITY_INFO);
    host_free(&host);
}

#define GROUPS "/sys/fs/cgroup/"
#define ISOLATED "[machine]\ncpus=2\npin=2-3\nhypervisor=system\n[session]\nisolate-cpus=yes\n"

/* Four processors, and systemd's groups without a limit of their own. */
static void
add_groups(const Host *host, const char *user)
{
    tree_write(host->directory, "/sys/devices/system/cpu/online", "0-3");
    tree_write(host->directory, "/sys/devices/system/cpu/present", "0-3");
    for (unsigned i = 0; i < 4; i++) {
        g_autofree char *core =
            g_strdup_printf("/sys/devices/system/cpu/cpu%u/topology/core_id", i);
        g_autofree char *siblings =
            g_strdup_printf("/sys/devices/system/cpu/cpu%u/topology/thread_siblings_list", i);
        g_autofree char *number = g_strdup_printf("%u", i);
        tree_write(host->directory, core, number);
        tree_write(host->directory, siblings, number);
    }
    tree_write(host->directory, GROUPS "cpuset.cpus.effective", "0-3");
    tree_write(host->directory, GROUPS "user.slice/cpuset.cpus.effective", user);
    tree_make(host->directory, GROUPS "system.slice");
    tree_make(host->directory, "/run/systemd/system");
}

static void
test_processors_are_taken_from_the_host(void)
{
    Host host = host_new();
    add_groups(&host, "1-2");
    /* a group that is not there has what systemd was told */
    tree_write(host.directory, "/run/systemd/system.control/init.scope.d/50-AllowedCPUs.conf",
               "[Scope]\nAllowedCPUs=\nAllowedCPUs=0-1 3");
    prepare(&host, ISOLATED);
    const VrHostState *before = host.preparation->before;
    g_autofree char *user = vr_host_unit_path("user.slice");
    g_autofree char *system = vr_host_unit_path("system.slice");
    g_autofree char *init = vr_host_unit_path("init.scope");
    g_assert_null(find(host.preparation, "isolate-cpus"));
    g_assert_true(writes_to(host.preparation, user));
    g_assert_true(writes_to(host.preparation, system));
    g_assert_true(writes_to(host.preparation, init));
    g_assert_cmpstr(vr_host_state_attribute(before, init)->value, ==, "0-1,3");
    g_assert_cmpstr(vr_host_state_attribute(before, user)->value, ==, "1-2");
    g_assert_cmpstr(vr_host_state_attribute(before, system)->value, ==, "0-3");
    host_free(&host);
}

static void
test_a_host_without_processors_is_refused(void)
{
    Host host = host_new();
    add_groups(&host, "2-3");
    prepare(&host, ISOLATED);
    const VrFinding *finding = find(host.preparation, "isolate-cpus");
    g_assert_true(finding != NULL && finding->severity == VR_SEVERITY_BLOCKER);
    g_assert_nonnull(strstr(finding->message, "user.slice"));
    host_free(&host);
}

static void
check_not_isolated(const char *text, bool groups, const char *why)
{
    Host host = host_new();
    g_autofree char *user = vr_host_unit_path("user.slice");
    if (groups) {
        add_groups(&host, "0-3");
    }
    prepare(&host, text);
    const VrFinding *finding = find(host.preparation, "isolate-cpus");
    g_assert_false(writes_to(host.preparation, user));
    if (why == NULL) {
        g_assert_null(finding);
    } else {
        g_assert_true(finding != NULL && finding->severity == VR_SEVERITY_INFO);
        g_assert_nonnull(strstr(finding->evidence, why));
    }
    host_free(&host);
}

static void
test_what_cannot_be_isolated_is_a_note(void)
{
    check_not_isolated("[gpu]\n", true, NULL);
    check_not_isolated("[machine]\npin=none\nhypervisor=system\n[session]\nisolate-cpus=yes\n",
                       true, "not pinned");
    check_not_isolated("[machine]\ncpus=2\npin=2-3\nhypervisor=embedded\n[session]\n"
                       "isolate-cpus=yes\n",
                       true, "embedded");
    check_not_isolated(ISOLATED, false, "control groups");
}

static void
test_governor_is_kept_unless_asked(void)
{
    Host host = host_new();

    tree_write(host.directory, POLICY "0/scaling_governor", "powersave");
    tree_write(host.directory, POLICY "0/scaling_available_governors", "performance powersave");
    prepare(&host, "[gpu]\n");
    g_assert_null(vr_host_state_attribute(host.preparation->before, POLICY "0/scaling_governor"));
    g_assert_null(find(host.preparation, "governor"));
    host_free(&host);
}

static void
test_a_page_size_that_is_missing_is_a_finding(void)
{
    Host host = host_new();

    prepare(&host, "[machine]\nmemory=1G\nhugepages=2M\n");
    g_assert_nonnull(plan_blocker(host.preparation->inspection->report, "hugepages"));
    g_assert_cmpuint(host.preparation->plan->steps->len, >, 0);
    host_free(&host);
}

static void
test_units_of_a_recorded_computer_are_left_out(void)
{
    Host host = host_new();
    const VrFinding *finding = NULL;

    tree_make(host.directory, "/run/systemd/system");
    prepare(&host, "[session]\nstop-units=a.service\n");
    finding = find(host.preparation, "stop-units");
    g_assert_true(finding != NULL && finding->severity == VR_SEVERITY_UNKNOWN);
    g_assert_cmpuint(host.preparation->before->units->len, ==, 0);
    host_free(&host);
}

static VrHostState *
observe_denied(void *data, const VrHostState *shape, GError **error)
{
    (void) data;
    (void) shape;
    vr_error_set(error, VR_ERROR_DENIED, "read driver_override: Permission denied");
    return NULL;
}

static void
test_what_cannot_be_read_is_a_finding(void)
{
    Host host = host_new();
    const VrFinding *finding = NULL;
    VrReaders readers = {observe_denied, host.root, host.ask, NULL, 0};
    g_autoptr(GError) error = NULL;

    host.profile = plan_profile("gaming", "[gpu]\n");
    host.preparation = vr_preparation_make(host.root, host.profile, false, &readers, &error);
    g_assert_no_error(error);
    g_assert_null(host.preparation->before);
    finding = find(host.preparation, "plan-unreadable");
    g_assert_true(finding != NULL && finding->severity == VR_SEVERITY_UNKNOWN);
    g_assert_null(vr_preparation_make(host.root, host.profile, true, &readers, &error));
    g_assert_error(error, VR_ERROR, VR_ERROR_DENIED);
    host_free(&host);
}

/* --- other sessions --- */

/* A session whose process is gone, as everybody can see it. */
static void
leave_status(const Host *host, const char *profile, const char *device)
{
    g_autoptr(VrStatus) status = vr_status_new();
    g_autoptr(GError) error = NULL;

    status->state = VR_STATE_RUNNING;
    g_ptr_array_add(status->devices, g_strdup(device));
    g_assert_true(vr_status_write(host->root, profile, status, &error));
}

static void
leave_torn_journal(const Host *host, const char *profile)
{
    g_autofree char *path = g_strdup_printf("/var/lib/vmrun/journal/%s.conf", profile);

    tree_write(host->directory, path, "torn");
}

static void
test_a_session_of_its_own_that_died_is_told(void)
{
    Host host = host_new();
    const VrFinding *finding = NULL;

    leave_status(&host, "gaming", "0000:01:00.0");
    leave_torn_journal(&host, "gaming");
    finding = find(prepare(&host, "[gpu]\n"), "session-running");
    g_assert_true(finding != NULL && finding->severity == VR_SEVERITY_INFO);
    host_free(&host);
}

static void
test_a_claim_of_another_session_blocks(void)
{
    static const struct {
        const char *device;
        bool blocks;
    } rows[] = {{"0000:01:00.0", true}, {"0000:09:00.0", false}};

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        Host host = host_new();
        const VrFinding *finding = NULL;

        leave_status(&host, "other", rows[i].device);
        leave_torn_journal(&host, "other");
        prepare(&host, "[gpu]\n");
        finding = plan_blocker(host.preparation->inspection->report, "session-claim");
        g_assert_cmpint(finding != NULL, ==, rows[i].blocks);
        g_assert_true(finding == NULL || finding->status == VR_ERROR_BUSY);
        host_free(&host);
    }
}

static GPtrArray *
never_answers(const VrSysroot *root, const GArray *addresses, GError **error)
{
    g_assert_nonnull(root);
    g_assert_cmpuint(addresses->len, ==, 1);
    vr_error_set(error, VR_ERROR_STUCK, "no answer");
    return NULL;
}

static void
test_a_card_that_never_answers_blocks(void)
{
    Host host = host_new();

    host.ask = never_answers;
    prepare(&host, "[gpu]\n");
    g_assert_nonnull(plan_blocker(host.preparation->inspection->report, "dead-device"));
    host_free(&host);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/preparation/huge-pages-that-are-missing-are-planned",
                    test_huge_pages_that_are_missing_are_planned);
    g_test_add_func("/preparation/huge-pages-of-another-start-are-not-free",
                    test_huge_pages_of_another_start_are_not_free);
    g_test_add_func("/preparation/governor-of-each-policy-is-planned",
                    test_governor_of_each_policy_is_planned);
    g_test_add_func("/preparation/governor-that-nobody-has-is-a-note",
                    test_governor_that_nobody_has_is_a_note);
    g_test_add_func("/preparation/processors-are-taken-from-the-host",
                    test_processors_are_taken_from_the_host);
    g_test_add_func("/preparation/a-host-without-processors-is-refused",
                    test_a_host_without_processors_is_refused);
    g_test_add_func("/preparation/what-cannot-be-isolated-is-a-note",
                    test_what_cannot_be_isolated_is_a_note);
    g_test_add_func("/preparation/governor-is-kept-unless-asked",
                    test_governor_is_kept_unless_asked);
    g_test_add_func("/preparation/a-page-size-that-is-missing-is-a-finding",
                    test_a_page_size_that_is_missing_is_a_finding);
    g_test_add_func("/preparation/what-cannot-be-read-is-a-finding",
                    test_what_cannot_be_read_is_a_finding);
    g_test_add_func("/preparation/units-of-a-recorded-computer-are-left-out",
                    test_units_of_a_recorded_computer_are_left_out);
    g_test_add_func("/preparation/a-session-of-its-own-that-died-is-told",
                    test_a_session_of_its_own_that_died_is_told);
    g_test_add_func("/preparation/a-claim-of-another-session-blocks",
                    test_a_claim_of_another_session_blocks);
    g_test_add_func("/preparation/a-card-that-never-answers-blocks",
                    test_a_card_that_never_answers_blocks);
    return g_test_run();
}
