/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a session does with a request to stop while it takes the card; this program is its worker.
 */
#include "../support/tree.h"
#include "run/session_private.h"
#include "run/worker_private.h"

#include <vmrun/error.h>
#include <vmrun/recovery.h>

#include <signal.h>
#include <string.h>
#include <unistd.h>

#define BOOT_ID "0b4e7b32-6a3d-4a6f-9d4f-2f3c1c5c9b1e"
#define GPU "0000:01:00.0"
#define CONTROL "/sys/bus/pci/devices/" GPU "/power/control"

typedef struct {
    char *directory;
    VrProfile *profile;
    VrSession session;
} Host;

static const char *
own_path(void)
{
    static char path[4096];
    if (path[0] == '\0') {
        ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
        g_assert_cmpint(length, >, 0);
    }
    return path;
}

static VrHostState *
state_with_power(const char *value)
{
    VrHostState *state = vr_host_state_new();
    VrPciAddress address = {0, 1, 0, 0};
    VrBinding *binding = vr_binding_new(address);
    binding->vendor = 0x10de;
    binding->device = 0x2484;
    binding->present = true;
    vr_host_state_add_binding(state, binding);
    vr_host_state_set_attribute(state, VR_ATTRIBUTE_TEXT, &address, CONTROL, value);
    return state;
}

/* One function, and one step to take it: its power/control. */
static Host *
host_new(void)
{
    Host *host = g_new0(Host, 1);
    VrSession *session = &host->session;
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) mistakes =
        g_ptr_array_new_with_free_func((GDestroyNotify) vr_profile_mistake_free);
    host->directory = tree_new();
    host->profile = vr_profile_parse("gaming", NULL, 0, mistakes);
    tree_pci(host->directory, "pci0000:00/" GPU, "030000 10de:2484", NULL, 1);
    tree_write(host->directory, "/sys/devices/pci0000:00/" GPU "/power/control", "auto");
    const char *const argv[] = {own_path(), "worker", host->directory, NULL};
    session->root = tree_root(host->directory);
    session->profile = host->profile;
    session->status = vr_status_new();
    session->qemu_pidfd = -1;
    session->mover = vr_mover_new_with(session->root, NULL, argv);
    session->journal = vr_journal_new("gaming");
    session->preparation = g_new0(VrPreparation, 1);
    session->preparation->reserved = state_with_power("on");
    session->preparation->wanted = state_with_power("on");
    g_assert_true(vr_session_block_signals(session, &error));
    g_assert_no_error(error);
    return host;
}

static void
host_free(Host *host)
{
    VrSession *session = &host->session;
    close(session->signal_fd);
    vr_preparation_free(session->preparation);
    vr_mover_free(session->mover);
    vr_journal_free(session->journal);
    vr_status_free(session->status);
    vr_sysroot_unref(session->root);
    vr_profile_free(host->profile);
    tree_remove(host->directory);
    g_free(host);
}

static void
test_request_before_a_step_ends_the_taking(gconstpointer data)
{
    Host *host = host_new();
    g_autoptr(GError) error = NULL;
    raise(GPOINTER_TO_INT(data)); /* blocked: it waits in the signalfd */
    g_assert_false(vr_session_take(&host->session, &error));
    g_assert_error(error, VR_ERROR, VR_ERROR_START_FAILED);
    g_assert_true(host->session.cancelled);
    g_autofree char *now = vr_sysroot_read_optional(host->session.root, CONTROL);
    g_assert_cmpstr(now, ==, "auto");
    host_free(host);
}

/* A second look says the same: the request is not forgotten by being read. */
static void
test_request_is_remembered(void)
{
    Host *host = host_new();
    g_autoptr(GError) error = NULL;
    g_assert_true(vr_session_may_go_on(&host->session, &error));
    g_assert_no_error(error);
    raise(SIGTERM);
    g_assert_false(vr_session_may_go_on(&host->session, NULL));
    g_assert_false(vr_session_start(&host->session, &error));
    g_assert_error(error, VR_ERROR, VR_ERROR_START_FAILED);
    g_assert_cmpint(host->session.journal->phase, ==, VR_PHASE_TAKING);
    host_free(host);
}

/* Adopted: with a process that nobody knows, and with one that has ended. */
static void
test_adopted_guest_without_a_process(gconstpointer data)
{
    Host *host = host_new();
    VrSession *session = &host->session;
    int pid = GPOINTER_TO_INT(data);
    g_autoptr(GError) error = NULL;
    session->adopted = true;
    session->journal->uri = g_strdup("none:///");
    session->journal->qemu_pid = pid;
    session->journal->qemu_start_time = 4242;
    session->domain = vr_domain_new(session->root, "none:///", "gaming", "", "");
    bool ended = vr_session_watch(session, &error);
    g_assert_cmpint(ended, ==, pid != 0);
    g_assert_cmpint(session->detached, ==, pid == 0); /* nothing is given back then */
    g_assert_cmpint(error == NULL, ==, pid != 0);
    vr_domain_free(session->domain);
    host_free(host);
}

/* A session of `host` that ended well, with after-stop=keep: its card is as it was taken. */
static void
end_of_a_keeping_session(Host *host)
{
    VrJournal *journal = host->session.journal;
    tree_write(host->directory, "/proc/sys/kernel/random/boot_id", BOOT_ID);
    tree_write(host->directory, "/sys/devices/pci0000:00/" GPU "/power/control", "on");
    journal->boot_id = g_strdup(BOOT_ID);
    journal->uri = g_strdup("qemu:///system");
    journal->domain_uuid = g_strdup(BOOT_ID);
    journal->phase = VR_PHASE_RUNNING;
    vr_host_state_free(journal->before);
    journal->before = state_with_power("auto");
    journal->keep = true;
}

static void
assert_power(const Host *host, const char *value)
{
    g_autofree char *now = vr_sysroot_read_optional(host->session.root, CONTROL);
    g_assert_cmpstr(now, ==, value);
}

static void
test_kept_devices_stay_on_record_until_restored(void)
{
    Host *host = host_new();
    VrSession *session = &host->session;
    VrRecovery recovery = VR_RECOVERY_NOTHING;
    VrRecoveryOptions leave = {.leave_kept = true};
    g_autoptr(VrJournal) kept = NULL;
    g_autoptr(GError) error = NULL;
    end_of_a_keeping_session(host);
    g_assert_true(vr_give_back(session->root, session->journal, session->mover, 0, NULL, &error));
    g_assert_no_error(error);
    assert_power(host, "on");
    g_assert_true(vr_recover(session->root, "gaming", &leave, NULL, &recovery, &kept, &error));
    g_assert_cmpint(recovery, ==, VR_RECOVERY_KEPT);
    g_assert_cmpint(kept->phase, ==, VR_PHASE_KEPT);
    g_assert_cmpstr(vr_host_state_attribute(kept->before, CONTROL)->value, ==, "auto");
    assert_power(host, "on");
    /* What vr_recover() does when it is not told to leave it, but with the worker of this test. */
    kept->keep = false;
    g_assert_true(vr_give_back(session->root, kept, session->mover, 0, NULL, &error));
    g_assert_no_error(error);
    assert_power(host, "auto");
    g_assert_null(vr_journal_read(session->root, "gaming", &error));
    g_assert_error(error, VR_ERROR, VR_ERROR_NOT_FOUND);
    host_free(host);
}

/* The next start must not take vfio-pci for what the card had at first. */
static void
test_next_start_inherits_the_original_driver(void)
{
    Host *host = host_new();
    VrPciAddress address = {0, 1, 0, 0};
    g_autoptr(VrHostState) before = state_with_power("on");
    host->session.kept = vr_journal_new("gaming");
    vr_host_state_free(host->session.kept->before);
    host->session.kept->before = state_with_power("auto");
    vr_host_state_binding(host->session.kept->before, address)->driver = g_strdup("nvidia");
    vr_host_state_binding(before, address)->driver = g_strdup("vfio-pci");
    vr_host_state_binding(before, address)->driver_override = g_strdup("vfio-pci");
    vr_session_inherit_kept(&host->session, before);
    g_assert_cmpstr(vr_host_state_binding(before, address)->driver, ==, "nvidia");
    g_assert_null(vr_host_state_binding(before, address)->driver_override);
    g_assert_cmpstr(vr_host_state_attribute(before, CONTROL)->value, ==, "auto");
    vr_journal_free(host->session.kept);
    host_free(host);
}

int
main(int argc, char **argv)
{
    if (argc >= 3 && strcmp(argv[1], "worker") == 0) {
        g_autoptr(VrSysroot) root = tree_root(argv[argc - 1]);
        return vr_worker_main(root);
    }
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/session/sigterm-before-a-step-ends-the-taking", GINT_TO_POINTER(SIGTERM),
                         test_request_before_a_step_ends_the_taking);
    g_test_add_data_func("/session/sigint-before-a-step-ends-the-taking", GINT_TO_POINTER(SIGINT),
                         test_request_before_a_step_ends_the_taking);
    g_test_add_func("/session/request-is-remembered", test_request_is_remembered);
    g_test_add_data_func("/session/adopted-guest-that-cannot-be-found-is-left-alone",
                         GINT_TO_POINTER(0), test_adopted_guest_without_a_process);
    g_test_add_data_func("/session/adopted-guest-that-has-ended-is-the-end",
                         GINT_TO_POINTER(G_MAXINT), test_adopted_guest_without_a_process);
    g_test_add_func("/session/kept-devices-stay-on-record-until-restored",
                    test_kept_devices_stay_on_record_until_restored);
    g_test_add_func("/session/next-start-inherits-the-original-driver",
                    test_next_start_inherits_the_original_driver);
    return g_test_run();
}
