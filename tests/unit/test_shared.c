/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two and three sessions that share a pool of huge pages, the frequency governor and the processors
 * that the host's own programs may use, on the fake kernel: in every order of ending, one of them
 * dead at every write of its way out and of its way back, recovered while the others run or after
 * them. In the end there is what was there before the first, and meanwhile nobody loses what it
 * uses.
 */
#include <vmrun/shared.h>

#include "../support/fake_kernel.h"
#include "run/worker_private.h"

#include <vmrun/error.h>
#include <vmrun/journal.h>
#include <vmrun/plan.h>
#include <vmrun/recovery.h>
#include <vmrun/text.h>

#include <string.h>

#define POOL "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"
#define POLICY "/sys/devices/system/cpu/cpufreq/policy%u/scaling_governor"
#define ORIGINAL_PAGES 2
#define POLICIES 2
#define SESSIONS 3
#define ALL_CPUS "0-7"
/* By hand, before the first session: one of the guest's processors was never this one's. */
#define LIMITED_UNIT "system.slice"
#define LIMITED_CPUS "0-5"
#define UNITS 3
/* Writes that give a unit all of its processors back: the list, and, if it is all, its end. */
#define UNIT_WRITES_BACK (2 + 2 + 1)

typedef struct {
    const char *profile;
    unsigned pages;   /* that its guest uses */
    const char *cpus; /* that its guest is pinned to; the first two share one */
    bool open, runs;
} Session;

typedef struct {
    FakeKernel *kernel;
    Session sessions[SESSIONS];
} Host;

static Host
host_new(void)
{
    Host host = {fake_kernel_new(),
                 {{"gaming", 10, "2-3", false, false},
                  {"llm", 5, "3-5", false, false},
                  {"work", 1, "6", false, false}}};
    fake_kernel_add_cpus(host.kernel, ALL_CPUS);
    fake_kernel_limit_unit(host.kernel, LIMITED_UNIT, LIMITED_CPUS);
    fake_kernel_add_pool(host.kernel, ORIGINAL_PAGES, 1000);
    for (unsigned i = 0; i < POLICIES; i++) {
        fake_kernel_add_policy(host.kernel, i, "powersave");
    }
    return host;
}

static unsigned
used_pages(const Host *host)
{
    unsigned used = 0;
    for (guint i = 0; i < SESSIONS; i++) {
        used += host->sessions[i].runs ? host->sessions[i].pages : 0;
    }
    return used;
}

static VrHostState *
observe(const Host *host)
{
    g_autoptr(VrHostState) shape = vr_host_state_new();
    g_autoptr(GError) error = NULL;
    vr_host_state_set_attribute(shape, VR_ATTRIBUTE_COUNT, NULL, POOL, NULL);
    for (unsigned i = 0; i < POLICIES; i++) {
        g_autofree char *path = g_strdup_printf(POLICY, i);
        vr_host_state_set_attribute(shape, VR_ATTRIBUTE_TEXT, NULL, path, NULL);
    }
    for (const char *const *unit = vr_host_units(); *unit != NULL; unit++) {
        g_autofree char *path = vr_host_unit_path(*unit);
        vr_host_state_set_attribute(shape, VR_ATTRIBUTE_CPUS, NULL, path, NULL);
    }
    VrHostState *state = vr_host_state_observe(fake_kernel_root(host->kernel), shape, &error);
    g_assert_no_error(error);
    return state;
}

static VrHostState *
want(const Host *host, const Session *session, const VrHostState *before)
{
    VrHostState *wanted = vr_host_state_wanted(before);
    VrSysroot *root = fake_kernel_root(host->kernel);
    unsigned pages = fake_kernel_pages(host->kernel);
    unsigned unused = pages - MIN(pages, used_pages(host));
    if (vr_shared_is_awaited(root, session->profile, POOL)) {
        unused = 0;
    }
    g_autofree char *count =
        g_strdup_printf("%u", pages + session->pages - MIN(unused, session->pages));
    vr_host_state_set_attribute(wanted, VR_ATTRIBUTE_COUNT, NULL, POOL, count);
    for (unsigned i = 0; i < POLICIES; i++) {
        g_autofree char *path = g_strdup_printf(POLICY, i);
        vr_host_state_set_attribute(wanted, VR_ATTRIBUTE_TEXT, NULL, path, "performance");
    }
    g_autofree char *cpus = g_strconcat("!", session->cpus, NULL);
    for (const char *const *unit = vr_host_units(); *unit != NULL; unit++) {
        g_autofree char *path = vr_host_unit_path(*unit);
        vr_host_state_set_attribute(wanted, VR_ATTRIBUTE_CPUS, NULL, path, cpus);
    }
    return wanted;
}

static void
write_journal(const Host *host, VrJournal *journal, VrPhase phase)
{
    g_autoptr(GError) error = NULL;
    journal->phase = phase;
    g_assert_true(vr_journal_write(fake_kernel_root(host->kernel), journal, &error));
    g_assert_no_error(error);
}

/* As session_take.c does it; dead from write `crash` on (-1: not). Returns the writes. */
static unsigned
begin(Host *host, Session *session, int crash)
{
    VrSysroot *root = fake_kernel_root(host->kernel);
    VrExecutor executor = fake_kernel_executor(host->kernel);
    g_autoptr(VrJournal) journal = vr_journal_new(session->profile);
    vr_host_state_free(journal->before);
    journal->before = observe(host);
    g_autoptr(VrHostState) wanted = want(host, session, journal->before);
    vr_host_state_claim_counts(journal->before, wanted);
    vr_shared_inherit(root, session->profile, journal->before);
    write_journal(host, journal, VR_PHASE_TAKING);
    fake_kernel_revive(host->kernel);
    if (crash >= 0) {
        fake_kernel_crash_at(host->kernel, (unsigned) crash);
    }
    session->open = true;
    session->runs = vr_apply(&executor, wanted, true, NULL, NULL) && crash < 0;
    unsigned writes = fake_kernel_writes(host->kernel);
    fake_kernel_revive(host->kernel);
    if (session->runs) {
        write_journal(host, journal, VR_PHASE_RUNNING);
    }
    fake_kernel_use_pages(host->kernel, used_pages(host));
    return writes;
}

/* The guest is off; what is on record goes back, as by the session itself or by a recovery. */
static unsigned
end(Host *host, Session *session, int crash)
{
    VrSysroot *root = fake_kernel_root(host->kernel);
    VrExecutor executor = fake_kernel_executor(host->kernel);
    g_autoptr(VrMover) mover = vr_mover_new_over(root, NULL, &executor);
    g_autoptr(VrJournal) journal = vr_journal_read(root, session->profile, NULL);
    g_assert_nonnull(journal);
    session->runs = false;
    fake_kernel_use_pages(host->kernel, used_pages(host));
    fake_kernel_revive(host->kernel);
    if (crash >= 0) {
        fake_kernel_crash_at(host->kernel, (unsigned) crash);
    }
    session->open = !vr_give_back(root, journal, mover, 0, NULL, NULL);
    unsigned writes = fake_kernel_writes(host->kernel);
    fake_kernel_revive(host->kernel);
    return writes;
}

static bool
has_cpu(const char *list, unsigned cpu)
{
    g_autoptr(GArray) cpus = vr_text_to_cpu_list(list);
    for (guint i = 0; i < cpus->len; i++) {
        if (g_array_index(cpus, unsigned, i) == cpu) {
            return true;
        }
    }
    return false;
}

/* What runs has its processors for itself, and what nobody claims is the unit's again. */
static void
check_cpus(const Host *host, const char *unit)
{
    g_autofree char *now = fake_kernel_cpus(host->kernel, unit);
    const char *original = g_str_equal(unit, LIMITED_UNIT) ? LIMITED_CPUS : ALL_CPUS;
    for (unsigned cpu = 0; cpu < 8; cpu++) {
        bool claimed = false;
        bool used = false;
        for (guint i = 0; i < SESSIONS; i++) {
            const Session *session = &host->sessions[i];
            claimed = claimed || (session->open && has_cpu(session->cpus, cpu));
            used = used || (session->runs && has_cpu(session->cpus, cpu));
        }
        if (used || !claimed) {
            g_assert_cmpint(has_cpu(now, cpu), ==, !used && has_cpu(original, cpu));
        }
    }
}

/* Nobody that runs has lost anything, and when nobody does all is as it was. */
static void
check(const Host *host, unsigned original_pages)
{
    bool open = false;
    bool runs = false;
    for (guint i = 0; i < SESSIONS; i++) {
        open = open || host->sessions[i].open;
        runs = runs || host->sessions[i].runs;
    }
    for (unsigned i = 0; i < POLICIES; i++) {
        g_autofree char *governor = fake_kernel_governor(host->kernel, i);
        if (runs || !open) {
            g_assert_cmpstr(governor, ==, runs ? "performance" : "powersave");
        }
    }
    for (const char *const *unit = vr_host_units(); *unit != NULL; unit++) {
        check_cpus(host, *unit);
    }
    g_assert_cmpuint(fake_kernel_pages(host->kernel), >=, used_pages(host));
    if (!open) {
        g_assert_cmpuint(fake_kernel_pages(host->kernel), ==, original_pages);
    }
}

static void
host_clear(Host *host)
{
    fake_kernel_free(host->kernel);
}

/* --- in every order --------------------------------------------------------------------------*/

static unsigned
run_order(const guint *order, guint count, bool meddle)
{
    Host host = host_new();
    unsigned pages = ORIGINAL_PAGES;
    for (guint i = 0; i < count; i++) {
        begin(&host, &host.sessions[i], -1);
        g_assert_true(host.sessions[i].runs);
        check(&host, pages);
    }
    if (meddle) { /* somebody else adds some for himself */
        fake_kernel_add_pool(host.kernel, fake_kernel_pages(host.kernel) + 7, 1000);
        pages += 7;
    }
    for (guint i = 0; i < count; i++) {
        end(&host, &host.sessions[order[i]], -1);
        g_assert_false(host.sessions[order[i]].open);
        check(&host, pages);
    }
    host_clear(&host);
    return 1;
}

static void
test_orders(void)
{
    static const guint two[][2] = {{0, 1}, {1, 0}};
    static const guint three[][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                     {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    unsigned cases = 0;
    for (guint meddle = 0; meddle < 2; meddle++) {
        for (guint i = 0; i < G_N_ELEMENTS(two); i++) {
            cases += run_order(two[i], 2, meddle == 1);
        }
        for (guint i = 0; i < G_N_ELEMENTS(three); i++) {
            cases += run_order(three[i], 3, meddle == 1);
        }
    }
    g_assert_cmpuint(cases, ==, 2 * (2 + 6)); /* 2! and 3!, alone and with a stranger */
    g_test_message("suite: shared-orders cases=%u pass=%u fail=0", cases, cases);
}

/* --- with a death ----------------------------------------------------------------------------*/

typedef enum { DIES_OUT, DIES_RUNNING, DIES_BACK, DIES_KINDS } Death;

typedef struct {
    Death death;
    guint victim;    /* 0: who started first */
    bool back_first; /* the victim is recovered while the other runs */
    unsigned at;     /* the write */
} Crash;

/* False: there is no such write. */
static bool
run_crash(const Crash *crash)
{
    Host host = host_new();
    Session *victim = &host.sessions[crash->victim];
    Session *other = &host.sessions[1 - crash->victim];
    bool happened = true;
    for (guint i = 0; i < 2; i++) {
        bool dies = crash->death == DIES_OUT && i == crash->victim;
        begin(&host, &host.sessions[i], dies ? (int) crash->at : -1);
    }
    if (crash->death == DIES_BACK) {
        happened = end(&host, victim, (int) crash->at) >= crash->at && victim->open;
    }
    check(&host, ORIGINAL_PAGES);
    if (crash->back_first && victim->open) {
        end(&host, victim, -1);
        check(&host, ORIGINAL_PAGES);
    }
    end(&host, other, -1);
    check(&host, ORIGINAL_PAGES);
    if (victim->open) {
        end(&host, victim, -1);
    }
    check(&host, ORIGINAL_PAGES);
    g_assert_false(victim->open || other->open);
    host_clear(&host);
    return happened;
}

/* How many moments to die at there are: a dry run counts the writes. On the way out the last one is
 * behind all of them, with the guest not yet there. */
static unsigned
count_moments(Death death, guint victim)
{
    Host host = host_new();
    unsigned out[2];
    for (guint i = 0; i < 2; i++) {
        out[i] = begin(&host, &host.sessions[i], -1);
    }
    unsigned back = end(&host, &host.sessions[victim], -1);
    host_clear(&host);
    return death == DIES_OUT ? out[victim] + 1 : death == DIES_BACK ? back : 1;
}

static void
test_deaths(void)
{
    unsigned cases = 0;
    unsigned planned = 0;
    for (unsigned kind = 0; kind < DIES_KINDS * 2 * 2; kind++) {
        Crash crash = {(Death) (kind / 4), kind / 2 % 2, kind % 2 == 1, 0};
        unsigned moments = count_moments(crash.death, crash.victim);
        planned += moments;
        for (; crash.at < moments; crash.at++) {
            g_assert_true(run_crash(&crash));
            cases++;
        }
    }
    /* out: the pages that are not there, one by one, the policies, the units, the end; back: the
     * pool, the units */
    g_assert_cmpuint(planned, ==,
                     2 * ((10 - ORIGINAL_PAGES + POLICIES + UNITS + 1) + (5 + UNITS + 1) + 2 * 1 +
                          2 * (1 + UNITS)));
    g_assert_cmpuint(cases, ==, planned);
    g_test_message("suite: shared-deaths cases=%u pass=%u fail=0", cases, cases);
}

/* The last one dies at each write of its way back: nobody is left who could hand anything on. */
static void
test_last_one_dies(void)
{
    /* The very last write forgets a setting that says what is there anyway: it is no loss. */
    const unsigned moments = 1 + POLICIES + UNIT_WRITES_BACK - 1;
    unsigned cases = 0;
    for (unsigned at = 0; at < moments; at++) {
        Host host = host_new();
        begin(&host, &host.sessions[0], -1);
        begin(&host, &host.sessions[1], -1);
        end(&host, &host.sessions[0], -1);
        end(&host, &host.sessions[1], (int) at);
        g_assert_true(host.sessions[1].open);
        end(&host, &host.sessions[1], -1);
        check(&host, ORIGINAL_PAGES);
        g_assert_false(host.sessions[1].open);
        host_clear(&host);
        cases++;
    }
    g_assert_cmpuint(cases, ==, moments);
    g_test_message("suite: shared-last-dies cases=%u pass=%u fail=0", cases, cases);
}

/* --- what is believed ------------------------------------------------------------------------*/

static void
test_other_boot_claims_nothing(void)
{
    Host host = host_new();
    VrSysroot *root = fake_kernel_root(host.kernel);
    g_autoptr(VrJournal) old = vr_journal_new("gaming");
    old->boot_id = g_strdup("3c2a9c7e-0000-4000-8000-000000000001");
    vr_host_state_set_attribute(old->before, VR_ATTRIBUTE_COUNT, NULL, POOL, "900+40");
    write_journal(&host, old, VR_PHASE_RUNNING);
    g_autofree char *path =
        g_strconcat(fake_kernel_directory(host.kernel), "/proc/sys/kernel/random", NULL);
    g_assert_cmpint(g_mkdir_with_parents(path, 0755), ==, 0);
    g_autofree char *file = g_strconcat(path, "/boot_id", NULL);
    g_assert_true(g_file_set_contents(file, "3c2a9c7e-0000-4000-8000-000000000002\n", -1, NULL));
    g_autoptr(VrHostState) before = observe(&host);
    vr_shared_inherit(root, "llm", before);
    g_assert_cmpstr(vr_host_state_attribute(before, POOL)->value, ==, "2");
    g_assert_false(vr_shared_is_awaited(root, "llm", POOL));
    host_clear(&host);
}

static void
test_only_what_is_named_is_left(void)
{
    Host host = host_new();
    VrSysroot *root = fake_kernel_root(host.kernel);
    g_autoptr(VrJournal) other = vr_journal_new("gaming");
    g_autofree char *path = g_strdup_printf(POLICY, 0U);
    vr_host_state_set_attribute(other->before, VR_ATTRIBUTE_TEXT, NULL, path, "powersave");
    write_journal(&host, other, VR_PHASE_FAILED);
    g_autoptr(VrHostState) wanted = observe(&host);
    vr_shared_leave_to_others(root, "llm", wanted);
    g_assert_null(vr_host_state_attribute(wanted, path));
    /* the pool, the other policies, the units */
    g_assert_cmpuint(wanted->attributes->len, ==, POLICIES + UNITS);
    vr_shared_leave_to_others(root, "gaming", wanted);
    /* its own claim is none */
    g_assert_cmpuint(wanted->attributes->len, ==, POLICIES + UNITS);
    host_clear(&host);
}

static void
test_pages_of_a_start_are_not_free(void)
{
    Host host = host_new();
    VrSysroot *root = fake_kernel_root(host.kernel);
    g_autoptr(VrJournal) other = vr_journal_new("gaming");
    vr_host_state_set_attribute(other->before, VR_ATTRIBUTE_COUNT, NULL, POOL, "0+2");
    write_journal(&host, other, VR_PHASE_STARTING);
    g_assert_true(vr_shared_is_awaited(root, "llm", POOL));
    g_assert_false(vr_shared_is_awaited(root, "gaming", POOL));
    write_journal(&host, other, VR_PHASE_RUNNING);
    g_assert_false(vr_shared_is_awaited(root, "llm", POOL));
    host_clear(&host);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/shared/orders", test_orders);
    g_test_add_func("/shared/deaths", test_deaths);
    g_test_add_func("/shared/last-one-dies", test_last_one_dies);
    g_test_add_func("/shared/other-boot-claims-nothing", test_other_boot_claims_nothing);
    g_test_add_func("/shared/only-what-is-named-is-left", test_only_what_is_named_is_left);
    g_test_add_func("/shared/pages-of-a-start-are-not-free", test_pages_of_a_start_are_not_free);
    return g_test_run();
}
