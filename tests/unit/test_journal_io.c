/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The disk fails under the journal: every call that writes it, in every way, in every phase. Before
 * the first write a start is refused and nothing was changed. Later the way back goes on all the
 * same, and a record that could not be closed is told; the next recovery finds everything true.
 */
#include "../support/card_host.h"
#include "../support/suite.h"
#include "../support/system_calls.h"

#include <vmrun/error.h>

#include <errno.h>
#include <string.h>

#define WITHIN "/vmrun/journal"

static const struct {
    const char *name;
    SystemCallFate fate;
    int errno_value;
} fates[] = {
    {"disk full", SYSTEM_CALL_FAILS, ENOSPC},
    {"i/o error", SYSTEM_CALL_FAILS, EIO},
    {"read-only", SYSTEM_CALL_FAILS, EROFS},
    {"quota", SYSTEM_CALL_FAILS, EDQUOT},
    {"short", SYSTEM_CALL_IS_SHORT, 0},
    {"disk full from then on", SYSTEM_CALL_FAILS_ON, ENOSPC},
    {"i/o errors from then on", SYSTEM_CALL_FAILS_ON, EIO},
    {"read-only from then on", SYSTEM_CALL_FAILS_ON, EROFS},
};

/* One call of a phase goes wrong in one way. */
typedef struct {
    unsigned call;
    guint fate; /* G_N_ELEMENTS(fates): none, to count the calls */
    unsigned calls;
} Fault;

static void
begin(const CardHost *host, const Fault *fault)
{
    bool none = fault->fate == G_N_ELEMENTS(fates);
    system_calls_set_root(fake_kernel_directory(host->kernel));
    system_calls_begin(none ? SYSTEM_CALL_WORKS : fates[fault->fate].fate, fault->call,
                       none ? 0 : fates[fault->fate].errno_value, WITHIN);
}

static void
end(Fault *fault)
{
    fault->calls = system_calls_end();
}

static bool
must_work(const Fault *fault)
{
    return fault->fate == G_N_ELEMENTS(fates) || fates[fault->fate].fate == SYSTEM_CALL_IS_SHORT;
}

/* With a disk that works again: as it was, with this many writes at most, and then none. */
static bool
ends_well(CardHost *host, unsigned writes)
{
    g_autoptr(GError) error = NULL;
    fake_kernel_set_fault(host->kernel, NULL);
    fake_kernel_revive(host->kernel);
    bool done = card_host_recover(host, NULL, NULL, &error) && card_host_is_restored(host) &&
                fake_kernel_writes(host->kernel) <= writes;
    if (!done) {
        g_test_message("later: writes=%u: %s", fake_kernel_writes(host->kernel),
                       error != NULL ? error->message : "no error");
    }
    fake_kernel_revive(host->kernel);
    return done && card_host_recover(host, NULL, NULL, NULL) &&
           fake_kernel_writes(host->kernel) == 0;
}

/* --- the phases --------------------------------------------------------------------------------*/

/* Before anything is written to a device. */
static bool
claim(Fault *fault)
{
    g_autoptr(CardHost) host = card_host_new();
    g_autoptr(VrJournal) journal = card_host_journal(host);
    g_autoptr(GError) error = NULL;
    begin(host, fault);
    bool written = vr_journal_write(host->root, journal, &error);
    end(fault);
    bool told =
        written || strstr(error->message, "write the journal of '" CARD_PROFILE "'") != NULL;
    return written == must_work(fault) && told && ends_well(host, 0);
}

static CardHost *
taken_host(VrJournal **out_journal)
{
    CardHost *host = card_host_new();
    g_autoptr(GError) first = NULL;
    g_autoptr(GError) back = NULL;
    g_assert_true(card_host_start(host, NULL, &first, &back));
    *out_journal = card_host_journal(host);
    return host;
}

/* The card is taken; what must be durable before the domain is created is not. The record on disk
 * is the old one or the new one. */
static bool
change_phase(Fault *fault)
{
    g_autoptr(VrJournal) journal = NULL;
    g_autoptr(CardHost) host = taken_host(&journal);
    journal->phase = VR_PHASE_STARTING;
    begin(host, fault);
    bool written = vr_journal_write(host->root, journal, NULL);
    end(fault);
    g_autoptr(VrJournal) on_disk = vr_journal_read(host->root, CARD_PROFILE, NULL);
    bool durable = on_disk != NULL && (!written || on_disk->phase == VR_PHASE_STARTING);
    return written == must_work(fault) && durable && ends_well(host, G_MAXUINT);
}

/* The way back does not wait for a disk. */
static bool
restore(Fault *fault)
{
    g_autoptr(VrJournal) journal = NULL;
    g_autoptr(CardHost) host = taken_host(&journal);
    g_autoptr(GError) error = NULL;
    begin(host, fault);
    bool done = card_host_recover(host, NULL, NULL, &error);
    end(fault);
    g_autofree char *now = fake_kernel_snapshot(host->kernel);
    bool told = done ? !card_host_has_journal(host)
                     : g_error_matches(error, VR_ERROR, VR_ERROR_RESTORE_INCOMPLETE) &&
                           strstr(error->message, "the journal could not be closed") != NULL;
    return g_str_equal(now, host->start) && told && (done || !must_work(fault)) &&
           ends_well(host, 0);
}

/* One function does not come back, and that cannot be written down: it is what is said. */
static bool
restore_all_but_one(Fault *fault)
{
    g_autoptr(VrJournal) journal = NULL;
    g_autoptr(CardHost) host = taken_host(&journal);
    g_autoptr(GError) error = NULL;
    FakeFault refused = {"nvidia/bind", card_address(0), NULL, EINVAL, false, G_MAXUINT};
    fake_kernel_set_fault(host->kernel, &refused);
    begin(host, fault);
    bool done = card_host_recover(host, NULL, NULL, &error);
    end(fault);
    bool others =
        card_host_is_back(host, 1) && card_host_is_back(host, 2) && card_host_is_back(host, 3);
    return !done && g_error_matches(error, VR_ERROR, VR_ERROR_RESTORE_INCOMPLETE) &&
           strstr(error->message, card_address(0)) != NULL &&
           strstr(error->message, "Invalid argument") != NULL && others &&
           card_host_has_journal(host) && ends_well(host, G_MAXUINT);
}

static const struct {
    const char *name;
    bool (*run)(Fault *fault);
} phases[] = {
    {"claim", claim},
    {"change of phase", change_phase},
    {"restore", restore},
    {"restore of all but one", restore_all_but_one},
};

static unsigned
count_calls(guint phase)
{
    Fault none = {.fate = G_N_ELEMENTS(fates)};
    g_assert_true(phases[phase].run(&none));
    return none.calls;
}

static void
test_every_call_in_every_phase(void)
{
    Suite suite = {0};
    guint expected = 0;
    for (guint phase = 0; phase < G_N_ELEMENTS(phases); phase++) {
        unsigned calls = count_calls(phase);
        g_test_message("%s: %u calls", phases[phase].name, calls);
        g_assert_cmpuint(calls, >=, 5); /* create, mode, write, sync, rename, sync */
        expected += calls * G_N_ELEMENTS(fates);
        for (guint i = 0; i < calls * G_N_ELEMENTS(fates); i++) {
            Fault fault = {i / G_N_ELEMENTS(fates), i % G_N_ELEMENTS(fates), 0};
            g_autofree char *what = g_strdup_printf("%s, call %u: %s", phases[phase].name,
                                                    fault.call, fates[fault.fate].name);
            suite_count(&suite, phases[phase].run(&fault), what);
        }
    }
    suite_finish(&suite, "journal-io", expected);
}

int
main(int argc, char **argv)
{
    if (card_host_is_worker(argc, argv)) {
        return 0;
    }
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/journal-io/every-call-in-every-phase", test_every_call_in_every_phase);
    return g_test_run();
}
