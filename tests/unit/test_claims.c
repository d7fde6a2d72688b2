/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Two sessions and one card: the second one must see the first, whatever that one has told so far.
 */
#include <vmrun/claims.h>

#include "../support/tree.h"

#include <vmrun/error.h>
#include <vmrun/journal.h>
#include <vmrun/lock.h>
#include <vmrun/status.h>

#include <string.h>

typedef struct {
    char *directory;
    VrSysroot *root;
    VrLock *lock; /* of the other session */
} Host;

static Host
host_with_session(const char *name)
{
    Host host = {.directory = tree_new()};
    g_autoptr(VrJournal) journal = vr_journal_new(name);
    g_autoptr(GError) error = NULL;
    host.root = tree_root(host.directory);
    vr_host_state_add_binding(journal->before, vr_binding_new((VrPciAddress){0, 1, 0, 0}));
    g_assert_true(vr_journal_write(host.root, journal, &error));
    g_assert_no_error(error);
    host.lock = vr_lock_take(host.root, name, 0, NULL, &error);
    g_assert_no_error(error);
    return host;
}

static void
host_clear(Host *host)
{
    vr_lock_release(host->lock);
    vr_sysroot_unref(host->root);
    tree_remove(host->directory);
}

static guint
count_claims(const Host *host, unsigned bus)
{
    g_autoptr(VrReport) report = vr_report_new();
    g_autoptr(GArray) addresses = g_array_new(FALSE, FALSE, sizeof(VrPciAddress));
    VrPciAddress address = {0, (uint8_t) bus, 0, 0};
    g_array_append_val(addresses, address);
    vr_claims_check(host->root, "gaming", true, addresses, report);
    return report->findings->len;
}

/* Between the journal and the first status there is a moment. */
static void
test_journal_counts_before_the_first_status(void)
{
    Host host = host_with_session("llm-train");
    g_assert_cmpuint(count_claims(&host, 1), ==, 1);
    g_assert_cmpuint(count_claims(&host, 2), ==, 0);
    host_clear(&host);
}

static void
test_journal_counts_more_than_a_status_without_devices(void)
{
    Host host = host_with_session("llm-train");
    g_autoptr(VrStatus) status = vr_status_new();
    status->state = VR_STATE_RUNNING;
    g_assert_true(vr_status_write(host.root, "llm-train", status, NULL));
    g_assert_cmpuint(count_claims(&host, 1), ==, 1);
    g_autoptr(VrStatus) found = vr_status_find(host.root, "llm-train");
    g_assert_cmpint(found->state, ==, VR_STATE_RUNNING);
    host_clear(&host);
}

static void
test_own_session_is_not_in_its_own_way(void)
{
    Host host = host_with_session("gaming");
    g_assert_cmpuint(count_claims(&host, 1), ==, 0);
    host_clear(&host);
}

/* Its step still hangs as long as the process that does it lives. */
static void
test_hanging_step_is_told(void)
{
    Host host = host_with_session("gaming");
    g_autoptr(VrJournal) journal = vr_journal_read(host.root, "gaming", NULL);
    g_autoptr(GArray) addresses = g_array_new(FALSE, FALSE, sizeof(VrPciAddress));
    g_autoptr(VrReport) report = vr_report_new();
    VrPciAddress address = {0, 1, 0, 0};
    g_array_append_val(addresses, address);
    g_clear_pointer(&host.lock, vr_lock_release);
    vr_journal_set_stuck(journal, (VrStuck){address, 77, 4242});
    journal->phase = VR_PHASE_STUCK;
    g_assert_true(vr_journal_write(host.root, journal, NULL));
    g_assert_false(vr_claims_hang(host.root, addresses));
    tree_write(host.directory, "/proc/77/stat",
               "77 (x) D 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 4242 1 1");
    g_assert_true(vr_claims_hang(host.root, addresses));
    vr_claims_check(host.root, "gaming", false, addresses, report);
    g_assert_cmpint(vr_report_exit_status(report), ==, VR_ERROR_BUSY);
    host_clear(&host);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/claims/journal-counts-before-the-first-status",
                    test_journal_counts_before_the_first_status);
    g_test_add_func("/claims/journal-counts-more-than-a-status-without-devices",
                    test_journal_counts_more_than_a_status_without_devices);
    g_test_add_func("/claims/own-session-is-not-in-its-own-way",
                    test_own_session_is_not_in_its_own_way);
    g_test_add_func("/claims/hanging-step-is-told", test_hanging_step_is_told);
    return g_test_run();
}
