/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What restore finds, and what it makes of it; a real way back is in test_crash_sweep.c. */
#include <vmrun/recovery.h>

#include "../support/tree.h"
#include "base/fd.h"

#include <vmrun/error.h>
#include <vmrun/lock.h>
#include <vmrun/spawn.h>

#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define BOOT_ID "0b4e7b32-6a3d-4a6f-9d4f-2f3c1c5c9b1e"
#define UUID "c1a5f8c0-0000-4000-8000-00000000000f"
#define STAT "77 (x) S 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 4242 1 1"

typedef struct {
    char *directory;
    VrSysroot *root;
} Host;

static Host
host_with_journal(VrPhase phase)
{
    Host host = {.directory = tree_new()};
    g_autoptr(VrJournal) journal = vr_journal_new("gaming");
    g_autoptr(GError) error = NULL;
    host.root = tree_root(host.directory);
    tree_write(host.directory, "/proc/sys/kernel/random/boot_id", BOOT_ID);
    journal->boot_id = g_strdup(BOOT_ID);
    journal->uri = g_strdup("qemu:///system");
    journal->domain_uuid = g_strdup(UUID);
    journal->phase = phase;
    g_assert_true(vr_journal_write(host.root, journal, &error));
    g_assert_no_error(error);
    return host;
}

static void
host_clear(Host *host)
{
    vr_sysroot_unref(host->root);
    tree_remove(host->directory);
}

static bool
look(const Host *host, VrRecovery *out_recovery, GError **error)
{
    VrRecoveryOptions options = {.dry_run = true};
    return vr_recover(host->root, "gaming", &options, NULL, out_recovery, NULL, error);
}

static void
count_stage(void *data, VrStage stage, const char *text)
{
    unsigned *count = data;
    (void) text;
    *count += stage != VR_STAGE_DETAIL;
}

static void
add_process(const Host *host, const char *command, const char *arguments)
{
    tree_write(host->directory, "/proc/77/comm", command);
    tree_write(host->directory, "/proc/77/stat", STAT);
    tree_write(host->directory, "/proc/77/cmdline", arguments);
}

/* Libvirt cannot be asked below another root: the same as one that does not answer. */
static void
test_died_while_starting_waits_for_a_silent_libvirt(gconstpointer data)
{
    Host host = host_with_journal(VR_PHASE_STARTING);
    VrRecovery recovery = VR_RECOVERY_NOTHING;
    g_autoptr(GError) error = NULL;
    add_process(&host, data, "");
    g_assert_false(look(&host, &recovery, &error));
    g_assert_error(error, VR_ERROR, VR_ERROR_BUSY);
    host_clear(&host);
}

static void
test_died_while_starting_with_libvirt_is_given_back(void)
{
    Host host = host_with_journal(VR_PHASE_STARTING);
    VrRecovery recovery = VR_RECOVERY_NOTHING;
    g_autoptr(GError) error = NULL;
    add_process(&host, "qemu-system-x86", "qemu -uuid 11111111-0000-4000-8000-00000000000f");
    g_assert_true(look(&host, &recovery, &error));
    g_assert_no_error(error);
    g_assert_cmpint(recovery, ==, VR_RECOVERY_RESTORED);
    host_clear(&host);
}

static void
test_qemu_is_found_by_its_uuid(void)
{
    Host host = host_with_journal(VR_PHASE_STARTING);
    VrRecovery recovery = VR_RECOVERY_NOTHING;
    g_autoptr(VrJournal) journal = NULL;
    VrRecoveryOptions options = {.dry_run = true};
    g_autoptr(GError) error = NULL;
    add_process(&host, "qemu-system-x86", "qemu -uuid " UUID);
    g_assert_true(vr_recover(host.root, "gaming", &options, NULL, &recovery, &journal, &error));
    g_assert_no_error(error);
    g_assert_cmpint(recovery, ==, VR_RECOVERY_ALIVE);
    g_assert_cmpint(journal->qemu_pid, ==, 77);
    g_assert_cmpuint(journal->qemu_start_time, ==, 4242);
    host_clear(&host);
}

static void
test_looking_sees_the_supervisor(void)
{
    Host host = host_with_journal(VR_PHASE_TAKING);
    VrRecovery recovery = VR_RECOVERY_NOTHING;
    g_autoptr(GError) error = NULL;
    g_autoptr(VrLock) lock = vr_lock_take(host.root, "gaming", 0, NULL, &error);
    g_assert_no_error(error);
    g_assert_false(look(&host, &recovery, &error));
    g_assert_error(error, VR_ERROR, VR_ERROR_BUSY);
    host_clear(&host);
}

/* A worker that a dead supervisor left, as far as others can see it: it ends after a while. */
static int
leave_worker(const Host *host, const char *seconds)
{
    const char *const argv[] = {"sleep", seconds, NULL};
    g_autoptr(GError) error = NULL;
    int pid = 0;
    vr_autofd int share = vr_lock_join_work(host->root, "gaming", &error);
    g_assert_no_error(error);
    const int files[] = {STDIN_FILENO, STDOUT_FILENO, share};
    g_assert_true(vr_spawn_start_holding(argv, files, &pid, &error));
    g_assert_no_error(error);
    return pid;
}

static void
test_step_of_a_dead_session_comes_first(void)
{
    Host host = host_with_journal(VR_PHASE_TAKING);
    VrRecovery recovery = VR_RECOVERY_NOTHING;
    VrRecoveryOptions options = {0};
    g_autoptr(GError) error = NULL;
    int worker = leave_worker(&host, "0.5");
    g_assert_true(vr_recover(host.root, "gaming", &options, NULL, &recovery, NULL, &error));
    g_assert_no_error(error);
    g_assert_cmpint(recovery, ==, VR_RECOVERY_RESTORED);
    g_assert_cmpint(waitpid(worker, NULL, WNOHANG), ==, worker);
    host_clear(&host);
}

/* Killed at a write, or between the end of its journal and that of its status. */
static void
test_leavings_are_swept_up(void)
{
    Host host = {.directory = tree_new()};
    VrRecovery recovery = VR_RECOVERY_NOTHING;
    VrRecoveryOptions options = {0};
    static const char *const left[] = {
        "/var/lib/vmrun/journal/.gaming.conf.7.new", "/var/lib/vmrun/identity/.gaming.conf.7.new",
        "/run/vmrun/.gaming.status.7.new", "/run/vmrun/gaming.status"};
    g_autoptr(GError) error = NULL;
    host.root = tree_root(host.directory);
    for (guint i = 0; i < G_N_ELEMENTS(left); i++) {
        tree_write(host.directory, left[i], "x");
    }
    g_assert_true(look(&host, &recovery, &error)); /* looking only looks */
    g_assert_true(vr_sysroot_exists(host.root, left[0]));
    g_assert_true(vr_recover(host.root, "gaming", &options, NULL, &recovery, NULL, &error));
    g_assert_no_error(error);
    g_assert_cmpint(recovery, ==, VR_RECOVERY_NOTHING);
    for (guint i = 0; i < G_N_ELEMENTS(left); i++) {
        g_assert_false(vr_sysroot_exists(host.root, left[i]));
    }
    host_clear(&host);
}

/* Not waited for: another one hangs already, and waiting for that would be in vain. */
static void
test_guest_that_is_still_made_is_not_decided_about(void)
{
    Host host = host_with_journal(VR_PHASE_STARTING);
    VrRecovery recovery = VR_RECOVERY_NOTHING;
    VrRecoveryOptions options = {0};
    g_autoptr(GError) error = NULL;
    g_autoptr(VrJournal) journal = vr_journal_read(host.root, "gaming", &error);
    g_assert_no_error(error);
    vr_journal_set_stuck(journal, (VrStuck){.pid = 77, .start_time = 4242});
    g_assert_true(vr_journal_write(host.root, journal, &error));
    add_process(&host, "vmrun-worker", "");
    int worker = leave_worker(&host, "100");
    g_assert_false(vr_recover(host.root, "gaming", &options, NULL, &recovery, NULL, &error));
    g_assert_error(error, VR_ERROR, VR_ERROR_BUSY);
    g_assert_nonnull(strstr(error->message, "still works"));
    g_assert_cmpint(kill(worker, SIGKILL), ==, 0);
    host_clear(&host);
}

/* A systemctl that says nothing else. */
static void
be_systemd(const Host *host, const char *state)
{
    g_autofree char *script = g_strdup_printf("#!/bin/sh\necho %s\n", state);
    g_autofree char *program = g_build_filename(host->directory, "bin", "systemctl", NULL);
    g_autofree char *path = g_strdup_printf("%s/bin:/usr/bin:/bin", host->directory);
    tree_write(host->directory, "/bin/systemctl", script);
    tree_make(host->directory, "/run/systemd/system");
    g_assert_cmpint(g_chmod(program, 0755), ==, 0);
    g_setenv("PATH", path, TRUE);
}

static void
test_shutdown_moves_nothing(void)
{
    Host host = host_with_journal(VR_PHASE_TAKING);
    VrRecovery recovery = VR_RECOVERY_NOTHING;
    VrRecoveryOptions options = {0};
    g_autofree char *path = g_strdup(g_getenv("PATH"));
    g_autoptr(GError) error = NULL;
    be_systemd(&host, "stopping");
    g_assert_false(vr_recover(host.root, "gaming", &options, NULL, &recovery, NULL, &error));
    g_assert_error(error, VR_ERROR, VR_ERROR_BUSY);
    g_assert_true(vr_sysroot_exists(host.root, "/var/lib/vmrun/journal/gaming.conf"));
    g_clear_error(&error);
    be_systemd(&host, "running");
    g_assert_true(vr_recover(host.root, "gaming", &options, NULL, &recovery, NULL, &error));
    g_assert_no_error(error);
    g_assert_false(vr_sysroot_exists(host.root, "/var/lib/vmrun/journal/gaming.conf"));
    g_setenv("PATH", path, TRUE);
    host_clear(&host);
}

static void
look_at_owner(void *data, VrStage stage, const char *text)
{
    const Host *host = data;
    VrLockOwner owner = {0};
    (void) stage, (void) text;
    g_assert_true(vr_lock_is_held(host->root, "gaming", &owner));
    g_assert_cmpint(owner.pid, ==, 0);
}

/* vmrun stop asks the owner of the lock to end its guest: a recovery has another guest, or none. */
static void
test_recovery_is_not_the_session(void)
{
    Host host = host_with_journal(VR_PHASE_RUNNING);
    VrRecovery recovery = VR_RECOVERY_NOTHING;
    VrRecoveryOptions options = {0};
    VrListener listener = {.stage = look_at_owner, .data = &host};
    g_autoptr(GError) error = NULL;
    tree_write(host.directory, "/proc/sys/kernel/random/boot_id", "another");
    g_assert_true(vr_recover(host.root, "gaming", &options, &listener, &recovery, NULL, &error));
    g_assert_no_error(error);
    host_clear(&host);
}

static volatile sig_atomic_t asked_to_end;

static void
note_signal(int signal_number)
{
    asked_to_end = signal_number;
}

static void
raise_in_the_middle(void *data, VrStage stage, const char *text)
{
    (void) stage, (void) text;
    raise(GPOINTER_TO_INT(data));
    g_assert_cmpint(asked_to_end, ==, 0);
}

static void
test_signal_waits_for_the_way_back(gconstpointer data)
{
    Host host = host_with_journal(VR_PHASE_RUNNING);
    VrRecovery recovery = VR_RECOVERY_NOTHING;
    VrRecoveryOptions options = {0};
    VrListener listener = {.stage = raise_in_the_middle, .data = (void *) data};
    g_autoptr(GError) error = NULL;
    tree_write(host.directory, "/proc/sys/kernel/random/boot_id", "another");
    asked_to_end = 0;
    signal(GPOINTER_TO_INT(data), note_signal);
    g_assert_true(vr_recover(host.root, "gaming", &options, &listener, &recovery, NULL, &error));
    g_assert_no_error(error);
    g_assert_cmpint(asked_to_end, ==, GPOINTER_TO_INT(data));
    g_assert_cmpint(recovery, ==, VR_RECOVERY_RESTARTED);
    signal(GPOINTER_TO_INT(data), SIG_DFL);
    host_clear(&host);
}

/* One line for the profile, no write but the record's: whatever was under way, the bindings went
 * with that boot. */
static bool
is_closed_after_a_reboot(VrPhase phase, bool dry_run)
{
    Host host = host_with_journal(phase);
    VrRecovery recovery = VR_RECOVERY_NOTHING;
    VrRecoveryOptions options = {.dry_run = dry_run};
    unsigned said = 0;
    VrListener listener = {.stage = count_stage, .data = &said};
    g_autoptr(GError) error = NULL;
    tree_write(host.directory, "/proc/sys/kernel/random/boot_id",
               "0b4e7b32-6a3d-4a6f-9d4f-ffffffffffff");
    bool done = vr_recover(host.root, "gaming", &options, &listener, &recovery, NULL, &error);
    g_autoptr(VrJournal) journal = vr_journal_read(host.root, "gaming", NULL);
    g_autoptr(GPtrArray) closed = vr_sysroot_list(host.root, "/var/lib/vmrun/journal/done", NULL);
    unsigned count = closed != NULL ? closed->len : 0;
    host_clear(&host);
    return done && error == NULL && recovery == VR_RECOVERY_RESTARTED && said == 0 &&
           (journal != NULL) == dry_run && count == (dry_run ? 0 : 1);
}

static void
test_reboot_closes_every_record(void)
{
    static const VrPhase phases[] = {VR_PHASE_TAKING, VR_PHASE_STARTING,  VR_PHASE_RUNNING,
                                     VR_PHASE_STUCK,  VR_PHASE_RESTORING, VR_PHASE_FAILED,
                                     VR_PHASE_KEPT};
    unsigned pass = 0;
    G_STATIC_ASSERT(G_N_ELEMENTS(phases) == VR_PHASE_KEPT + 1);
    for (guint i = 0; i < 2 * G_N_ELEMENTS(phases); i++) {
        pass += is_closed_after_a_reboot(phases[i / 2], i % 2 == 1);
    }
    unsigned cases = 2 * G_N_ELEMENTS(phases);
    g_autofree char *line = g_strdup_printf("suite: restarted-host cases=%u pass=%u fail=%u", cases,
                                            pass, cases - pass);
    g_test_message("%s", line);
    g_assert_cmpuint(pass, ==, cases);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/recovery/died-while-starting-waits-for-a-silent-daemon", "libvirtd",
                         test_died_while_starting_waits_for_a_silent_libvirt);
    g_test_add_data_func("/recovery/died-while-starting-waits-for-the-worker-it-left",
                         "vmrun-worker", test_died_while_starting_waits_for_a_silent_libvirt);
    g_test_add_func("/recovery/died-while-starting-with-libvirt-is-given-back",
                    test_died_while_starting_with_libvirt_is_given_back);
    g_test_add_func("/recovery/qemu-is-found-by-its-uuid", test_qemu_is_found_by_its_uuid);
    g_test_add_func("/recovery/looking-sees-the-supervisor", test_looking_sees_the_supervisor);
    g_test_add_data_func("/recovery/sigterm-waits-for-the-way-back", GINT_TO_POINTER(SIGTERM),
                         test_signal_waits_for_the_way_back);
    g_test_add_data_func("/recovery/sighup-waits-for-the-way-back", GINT_TO_POINTER(SIGHUP),
                         test_signal_waits_for_the_way_back);
    g_test_add_func("/recovery/step-of-a-dead-session-comes-first",
                    test_step_of_a_dead_session_comes_first);
    g_test_add_func("/recovery/guest-that-is-still-made-is-not-decided-about",
                    test_guest_that_is_still_made_is_not_decided_about);
    g_test_add_func("/recovery/leavings-are-swept-up", test_leavings_are_swept_up);
    g_test_add_func("/recovery/shutdown-moves-nothing", test_shutdown_moves_nothing);
    g_test_add_func("/recovery/recovery-is-not-the-session", test_recovery_is_not_the_session);
    g_test_add_func("/recovery/reboot-closes-every-record", test_reboot_closes_every_record);
    return g_test_run();
}
