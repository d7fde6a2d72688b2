/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The program is killed after every system call of a whole session that changes something: of the
 * journal, the status file, the locks, the identity, and of what is written to the kernel. One
 * recovery leads back to where it began, byte for byte, and a second one writes nothing. Then the
 * recovery is killed after each of its calls, too, and run once more.
 *
 * Times four start states, a card of one function and one of four, and whether huge pages, a unit
 * and power attributes go along; while the guest runs somebody else adds pages to the same pool.
 * Two drivers compete for the GPU the moment it has none.
 *
 * The second part begins at each crash after which a recovery finds something else than after those
 * before it: of one of the sixteen combinations; with VMRUN_PROOF=1 of all. VMRUN_SMALL=1
 * (valgrind, sanitisers): a few of each.
 */
#include "../support/oracle.h"
#include "../support/session_host.h"

#include <string.h>

#define PAGES_OF_OTHERS 4096

typedef struct {
    const SessionShape *shape;
    SessionHost *host;
    char *before;
    GString *trace; /* of everything since the reset */
} Sweep;

/* Where a session is killed, and then where its recovery is (-1: it is not). */
typedef struct {
    unsigned session;
    int recovery;
} Point;

static struct {
    unsigned expected, cases, pass, nested_expected, nested, nested_pass;
} totals;

static bool
is_small(void)
{
    return g_getenv("VMRUN_SMALL") != NULL;
}

static bool
is_proof(void)
{
    return g_getenv("VMRUN_PROOF") != NULL;
}

static void
keep_trace(Sweep *sweep)
{
    g_string_append(sweep->trace, system_calls_trace());
}

/* S0, and what others have added to the pool since. */
static char *
expected_snapshot(const Sweep *sweep)
{
    if (!sweep->shape->others || strstr(sweep->trace->str, "guest on\n") == NULL) {
        return g_strdup(sweep->before);
    }
    g_auto(GStrv) parts = g_strsplit(sweep->before, SESSION_POOL " ", 2);
    g_assert_cmpuint(g_strv_length(parts), ==, 2);
    char *rest = NULL;
    uint64_t pages = g_ascii_strtoull(parts[1], &rest, 10) + PAGES_OF_OTHERS;
    return g_strdup_printf("%s" SESSION_POOL " %u%s", parts[0], (unsigned) pages, rest);
}

/* Everything but the locks, which are taken to look. */
static unsigned
count_writes(const char *trace)
{
    g_auto(GStrv) lines = g_strsplit(trace, "\n", -1);
    unsigned writes = 0;
    for (char **line = lines; *line != NULL; line++) {
        bool harmless = **line == '\0' || g_str_has_prefix(*line, "failed ") ||
                        g_str_has_suffix(*line, ".lock");
        writes += !harmless;
    }
    return writes;
}

/* What a session may leave: who the guest is, locks, records of the past. */
static char *
complain_about_files(const Sweep *sweep)
{
    static const char *const allowed[] = {"/var/lib/vmrun/identity/gaming.conf",
                                          "/var/lib/vmrun/fingerprint/gaming.conf",
                                          "/var/lib/vmrun/journal/done/",
                                          "/run/vmrun/lock",
                                          "/run/vmrun/gaming.lock",
                                          "/run/vmrun/gaming.work"};
    static const char *const directories[] = {"/var/lib/vmrun",
                                              "/var/lib/vmrun/identity",
                                              "/var/lib/vmrun/nvram",
                                              "/var/lib/vmrun/fingerprint",
                                              "/var/lib/vmrun/journal",
                                              "/var/lib/vmrun/journal/done",
                                              "/run/vmrun",
                                              NULL};
    g_autofree char *files = session_host_files(sweep->host);
    g_auto(GStrv) lines = g_strsplit(files, "\n", -1);
    for (char **line = lines; *line != NULL && **line != '\0'; line++) {
        bool fine = g_strv_contains(directories, *line);
        for (guint i = 0; i < G_N_ELEMENTS(allowed); i++) {
            fine = fine || g_str_has_prefix(*line, allowed[i]);
        }
        if (!fine) {
            return g_strdup_printf("%s was left behind", *line);
        }
    }
    return NULL;
}

/* A guest outlives its session: as long as it does nothing is touched. Returns what is wrong. */
static char *
outlive(Sweep *sweep)
{
    if (!session_host_guest_lives(sweep->host)) {
        return NULL;
    }
    g_autofree char *before = session_host_snapshot(sweep->host);
    SessionEnd end = session_host_recover(sweep->host, SYSTEM_CALL_WORKS, 0);
    keep_trace(sweep);
    g_autofree char *after = session_host_snapshot(sweep->host);
    session_host_kill_guest(sweep->host);
    g_string_append(sweep->trace, "guest off\n");
    if (end.code != 0 || end.recovery != VR_RECOVERY_ALIVE || !g_str_equal(before, after) ||
        strstr(system_calls_trace(), "kernel ") != NULL ||
        strstr(system_calls_trace(), "unit ") != NULL) {
        return g_strdup_printf("I5: a recovery beside the living guest: code %d, recovery %d",
                               end.code, (int) end.recovery);
    }
    return NULL;
}

/* Recover twice; what is wrong, or NULL. */
static char *
recover_and_judge(Sweep *sweep, bool recovery_died)
{
    unsigned expected = session_host_expect_recovery(sweep->host);
    SessionEnd end = session_host_recover(sweep->host, SYSTEM_CALL_WORKS, 0);
    keep_trace(sweep);
    g_autofree char *wanted = expected_snapshot(sweep);
    g_autofree char *after = session_host_snapshot(sweep->host);
    SessionEnd second = session_host_recover(sweep->host, SYSTEM_CALL_WORKS, 0);
    g_autofree char *again = session_host_snapshot(sweep->host);
    g_autofree char *journal = session_host_journal(sweep->host);
    OracleCase subject = {.before = wanted,
                          .after = after,
                          .again = again,
                          .writes = count_writes(system_calls_trace()),
                          .journal = journal,
                          .trace = sweep->trace->str,
                          .locks_are_held = !session_host_locks_are_free(sweep->host),
                          .recovery_died = recovery_died};
    char *complaint = oracle_complaint(&subject);
    if (complaint == NULL && (end.code != 0 || second.code != 0)) {
        complaint = g_strdup_printf("the recovery ended with %d, then %d", end.code, second.code);
    }
    if (complaint == NULL && end.calls != expected) {
        complaint = g_strdup_printf("the recovery takes %u calls, not %u", end.calls, expected);
    }
    return complaint != NULL ? complaint : complain_about_files(sweep);
}

/* Up to the crash, and the end of the guest. */
static char *
crash(Sweep *sweep, unsigned n)
{
    g_string_truncate(sweep->trace, 0);
    session_host_reset(sweep->host);
    SessionEnd end = session_host_run(sweep->host, SYSTEM_CALL_DIES_AFTER, n);
    keep_trace(sweep);
    if (!end.died || end.calls != n + 1) {
        return g_strdup_printf("it was to die after call %u and did not", n);
    }
    return outlive(sweep);
}

static bool
report(const Sweep *sweep, Point point, const char *complaint)
{
    if (complaint != NULL) {
        g_test_message("%s functions=%u others=%d, killed after call %u, recovery after %d:\n%s",
                       sweep->shape->start->name, sweep->shape->functions, sweep->shape->others,
                       point.session, point.recovery, complaint);
    }
    return complaint == NULL;
}

static bool
one_crash(Sweep *sweep, unsigned n)
{
    g_autofree char *complaint = crash(sweep, n);
    if (complaint == NULL) {
        complaint = recover_and_judge(sweep, false);
    }
    return report(sweep, (Point){n, -1}, complaint);
}

static bool
one_nested_crash(Sweep *sweep, Point point)
{
    g_autofree char *complaint = crash(sweep, point.session);
    if (complaint == NULL) {
        SessionEnd end =
            session_host_recover(sweep->host, SYSTEM_CALL_DIES_AFTER, (unsigned) point.recovery);
        keep_trace(sweep);
        complaint = end.died ? recover_and_judge(sweep, true) : g_strdup("it did not die");
    }
    return report(sweep, point, complaint);
}

/* Everything that a recovery finds. Times and pids do not matter. */
static char *
state_of(const Sweep *sweep)
{
    g_autofree char *snapshot = session_host_snapshot(sweep->host);
    g_autofree char *files = session_host_files(sweep->host);
    g_autofree char *journal = session_host_journal(sweep->host);
    for (char *digit = files; *digit != '\0'; digit++) {
        *digit = g_ascii_isdigit(*digit) ? '#' : *digit;
    }
    return g_strconcat(snapshot, files, journal, NULL);
}

static void
sweep_recovery(Sweep *sweep, unsigned n)
{
    g_autofree char *complaint = crash(sweep, n);
    g_assert_cmpstr(complaint, ==, NULL);
    unsigned points = session_host_expect_recovery(sweep->host);
    unsigned step = is_small() ? 7 : 1;
    totals.nested_expected += (points + step - 1) / step;
    for (unsigned m = 0; m < points; m += step) {
        totals.nested++;
        totals.nested_pass += one_nested_crash(sweep, (Point){n, (int) m});
    }
}

/* Is this crash one after which a recovery finds what it found after none before? */
static bool
is_new(Sweep *sweep, unsigned n, GHashTable *seen)
{
    g_autofree char *complaint = crash(sweep, n);
    return complaint == NULL && g_hash_table_add(seen, state_of(sweep));
}

static Sweep *
sweep_new(const SessionShape *shape)
{
    Sweep *sweep = g_new0(Sweep, 1);
    sweep->shape = shape;
    sweep->host = session_host_new(shape);
    sweep->before = session_host_snapshot(sweep->host);
    sweep->trace = g_string_new(NULL);
    return sweep;
}

static void
sweep_free(Sweep *sweep)
{
    session_host_free(sweep->host);
    g_free(sweep->before);
    g_string_free(sweep->trace, TRUE);
    g_free(sweep);
}

/* A session that nobody kills: it makes as many calls as its protocol says, and ends well. */
static unsigned
dry_run(Sweep *sweep)
{
    unsigned expected = session_host_expect_session(sweep->host);
    SessionEnd end = session_host_run(sweep->host, SYSTEM_CALL_WORKS, 0);
    keep_trace(sweep);
    g_assert_cmpint(end.code, ==, 0);
    if (end.calls != expected) {
        g_test_message("not what tests/support/session_count.c knows of the protocol:\n%s",
                       sweep->trace->str);
    }
    g_assert_cmpuint(end.calls, ==, expected);
    g_autofree char *complaint = recover_and_judge(sweep, false);
    g_assert_cmpstr(complaint, ==, NULL);
    return expected;
}

static void
test_crash(gconstpointer shape)
{
    Sweep *sweep = sweep_new(shape);
    unsigned points = dry_run(sweep);
    unsigned pass = 0, cases = 0;
    for (unsigned n = 0; n < points; n += is_small() ? 5 : 1) {
        cases++;
        pass += one_crash(sweep, n);
    }
    totals.expected += is_small() ? (points + 4) / 5 : points;
    totals.cases += cases;
    totals.pass += pass;
    g_test_message("%u crash points, %u lead back", cases, pass);
    sweep_free(sweep);
    if (pass != cases) {
        g_test_fail();
    }
}

static void
test_crash_in_recovery(gconstpointer shape)
{
    Sweep *sweep = sweep_new(shape);
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    unsigned points = dry_run(sweep);
    unsigned before = totals.nested - totals.nested_pass;
    for (unsigned n = 0; n < points; n += is_small() ? 11 : 1) {
        if (is_new(sweep, n, seen)) {
            sweep_recovery(sweep, n);
        }
    }
    g_test_message("%u different hosts after %u crashes", g_hash_table_size(seen), points);
    sweep_free(sweep);
    if (totals.nested - totals.nested_pass != before) {
        g_test_fail();
    }
}

/* The last test: all were run, all lead back. */
static void
test_counts(void)
{
    g_test_message("suite: crash cases=%u pass=%u fail=%u", totals.cases, totals.pass,
                   totals.cases - totals.pass);
    g_test_message("suite: crash-in-recovery%s cases=%u pass=%u fail=%u",
                   is_proof() ? "" : "-1-of-16", totals.nested, totals.nested_pass,
                   totals.nested - totals.nested_pass);
    g_assert_cmpuint(totals.cases, ==, totals.expected);
    g_assert_cmpuint(totals.nested, ==, totals.nested_expected);
    g_assert_cmpuint(totals.nested, >, 0);
}

static void
add(const char *name, const SessionShape *shape, GTestDataFunc function)
{
    g_autofree char *path = g_strdup_printf("/%s/%s-%u-functions%s", name, shape->start->name,
                                            shape->functions, shape->others ? "-and-others" : "");
    g_test_add_data_func(path, shape, function);
}

int
main(int argc, char **argv)
{
    static SessionShape shapes[SESSION_STARTS * 4];
    g_test_init(&argc, &argv, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(shapes); i++) {
        bool others = i % 2 != 0;
        shapes[i] = (SessionShape){&session_starts[i / 4], i % 4 < 2 ? 1 : 4, others,
                                   others ? PAGES_OF_OTHERS : 0};
        if (!is_small() || i == 3) {
            add("crash", &shapes[i], test_crash);
        }
    }
    for (guint i = 0; i < G_N_ELEMENTS(shapes); i++) {
        if (is_proof() || i == 1) { /* its host driver, one function, others go along */
            add("crash-in-recovery", &shapes[i], test_crash_in_recovery);
        }
    }
    g_test_add_func("/total/counts", test_counts);
    return g_test_run();
}
