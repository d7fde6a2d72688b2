/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The guest: start it, watch it, bring it to its end. */
#include "run/domain_private.h"
#include "session_private.h"

#include <vmrun/domain_xml.h>
#include <vmrun/error.h>
#include <vmrun/files.h>
#include <vmrun/inhibitor.h>
#include <vmrun/process.h>
#include <vmrun/recovery.h>
#include <vmrun/unit.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* Right before the start the group is free unless somebody took it this very moment. */
#define GROUP_FREE_MS 2000
/* A daemon that died is started anew by systemd within seconds, and only it knows what it made. */
#define LIBVIRT_BACK_MS 30000
#define LIBVIRT_RETRY_MS 300
/* How long libvirt may take to write down why the domain ended. */
#define REASON_TIMEOUT_MS 5000
/* Everything behind the guest's shutdown: the deadlines of the steps back. */
#define WAY_BACK_S 600
/* A QEMU that was killed ends when the kernel has reset its devices: up to a minute per method. */
#define END_TIMEOUT_MS 120000

bool
vr_session_block_signals(VrSession *session, GError **error)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGUSR1);
    signal(SIGHUP, SIG_IGN); /* a closed terminal never ends a guest */
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0) {
        return vr_error_set_errno(error, errno, "block signals");
    }
    session->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return session->signal_fd >= 0 || vr_error_set_errno(error, errno, "make a signalfd");
}

bool
vr_session_may_go_on(VrSession *session, GError **error)
{
    struct signalfd_siginfo info;
    while (read(session->signal_fd, &info, sizeof info) == (ssize_t) sizeof info) {
        session->cancelled = true;
    }
    return !session->cancelled ||
           vr_error_set(error, VR_ERROR_START_FAILED, "asked to stop before the guest ran");
}

void
vr_session_inhibit_sleep(VrSession *session)
{
    g_autoptr(GError) error = NULL;
    session->inhibitor = vr_inhibitor_take(session->root, session->profile->name, &error);
    if (session->inhibitor < 0) {
        vr_session_say(session, VR_STAGE_NOTE,
                       "nothing keeps this computer from going to sleep under the guest (%s): do "
                       "not let it",
                       error->message);
        return;
    }
    vr_session_say(session, VR_STAGE_DETAIL, "sleep and the lid switch are blocked from now on");
}

/* Memory is zeroed and pinned before the guest runs: about 1 s a GiB on a slow host. */
static unsigned
start_timeout_ms(const VrProfile *profile)
{
    uint64_t seconds =
        profile->start_timeout_s != 0 ? profile->start_timeout_s : 120 + profile->memory_mib / 1024;
    return (unsigned) seconds * 1000;
}

static bool
follow_process(VrSession *session, int pid, GError **error)
{
    uint64_t start_time = vr_process_start_time(session->root, pid);
    session->qemu_pidfd = vr_process_open(session->root, pid, start_time, error);
    if (session->qemu_pidfd < 0) {
        return vr_error_prefix(error, "QEMU ended right after its start");
    }
    session->journal->qemu_pid = pid;
    session->journal->qemu_start_time = start_time;
    session->status->qemu_pid = pid;
    session->status->qemu_start_time = start_time;
    g_free(session->status->domain);
    session->status->domain = g_strdup(session->journal->domain_uuid);
    return true;
}

/* Asked again for as long as libvirt cannot be reached. */
static bool
destroy_patiently(VrSession *session, GError **error)
{
    unsigned wait_ms = vr_domain_patience_ms(session->domain, LIBVIRT_BACK_MS);
    int64_t deadline = g_get_monotonic_time() + (int64_t) wait_ms * 1000;
    for (;;) {
        GError *failure = NULL;
        if (vr_domain_destroy(session->domain, &failure)) {
            return true;
        }
        if (!g_error_matches(failure, VR_ERROR, VR_ERROR_UNREACHABLE) ||
            g_get_monotonic_time() >= deadline) {
            g_propagate_error(error, failure);
            return false;
        }
        g_error_free(failure);
        g_usleep(LIBVIRT_RETRY_MS * 1000);
    }
}

/* The start failed or was never answered: whatever libvirt made of it must be gone before the card
 * goes back. */
static void
clean_up_domain(VrSession *session)
{
    g_autoptr(GError) error = NULL;
    if (destroy_patiently(session, &error)) {
        return;
    }
    vr_session_say(session, VR_STAGE_WARNING, "clean up after the failed start: %s",
                   error->message);
    if (vr_guest_may_live(vr_mover_scout(session->mover), session->root, session->journal)) {
        session->detached = true; /* its card is not ours to move */
        session->may_live = true;
    }
}

/* Where the firmware variables go; the log's place is libvirt's own. */
static bool
make_places(VrSession *session, GError **error)
{
    return vr_sysroot_make_directory(session->root, VR_STATE_DIRECTORY "/nvram", 0711, error);
}

/* A guest that runs is the proof that this computer is as it should be. */
static void
remember_host(VrSession *session)
{
    g_autoptr(GError) error = NULL;
    const VrFingerprint *now = session->preparation->fingerprint;
    if (now != NULL && !vr_fingerprint_store(session->root, session->profile->name, now, &error)) {
        vr_session_say(session, VR_STAGE_WARNING, "%s", error->message);
    }
}

bool
vr_session_start(VrSession *session, GError **error)
{
    int pid = 0;
    const VrInspection *inspection = session->preparation->inspection;
    if (!vr_session_may_go_on(session, error) || !make_places(session, error) ||
        !vr_wait_for_groups(vr_mover_scout(session->mover), session->journal->before, GROUP_FREE_MS,
                            error) ||
        !vr_inspection_check_paths(inspection, error) ||
        !vr_session_set_phase(session, VR_PHASE_STARTING, error)) {
        return false;
    }
    vr_session_set_state(session, VR_STATE_STARTING, "starting the guest");
    vr_session_say(session, VR_STAGE_BEGIN, "starting the guest");
    session->log_offset = vr_domain_log_size(session->domain);
    if (!vr_domain_start(session->domain, inspection->xml, start_timeout_ms(session->profile), &pid,
                         error) ||
        !follow_process(session, pid, error) || !vr_session_may_go_on(session, error)) {
        clean_up_domain(session);
        return vr_error_prefix(error, "start the guest of '%s'", session->profile->name);
    }
    if (!vr_session_set_phase(session, VR_PHASE_RUNNING, error)) {
        clean_up_domain(session);
        return vr_error_prefix(error, "record the running guest");
    }
    session->guest_ran = true;
    remember_host(session);
    vr_session_set_state(session, VR_STATE_RUNNING, NULL);
    vr_session_say(session, VR_STAGE_DONE, "guest started (QEMU is process %d)", pid);
    vr_domain_rest(session->domain);
    return true;
}

/* The connection is kept from here on: the end of the domain is the next thing to ask for. */
static void
ask_to_shut_down(VrSession *session)
{
    g_autoptr(GError) error = NULL;
    vr_session_set_state(session, VR_STATE_STOPPING, "the guest was asked to shut down");
    vr_session_say(session, VR_STAGE_BEGIN, "asking the guest to shut down");
    if (!vr_domain_shutdown(session->domain, &error)) {
        vr_session_say(session, VR_STAGE_WARNING, "ask the guest to shut down: %s", error->message);
    }
}

/* false: libvirt could not do it; that was said. */
static bool
power_off(VrSession *session)
{
    g_autoptr(GError) error = NULL;
    vr_session_set_state(session, VR_STATE_STOPPING, "powering the guest off");
    vr_session_say(session, VR_STAGE_BEGIN, "powering the guest off");
    bool done = vr_domain_destroy(session->domain, &error);
    if (!done) {
        vr_session_say(session, VR_STAGE_WARNING, "power the guest off: %s", error->message);
    }
    return done;
}

/* And then its QEMU must end. */
static void
power_off_for_good(VrSession *session)
{
    session->powered_off = power_off(session);
    session->shutdown_deadline = g_get_monotonic_time() + (int64_t) END_TIMEOUT_MS * 1000;
}

/* A power-off that libvirt could not do is tried again with the next question. */
static void
end_dead_guest(VrSession *session)
{
    vr_session_say(session, VR_STAGE_FAILED, "the guest hangs: its agent was silent for %u s",
                   session->profile->alive_timeout_s);
    power_off_for_good(session);
    session->dead = session->powered_off;
    if (!session->dead) {
        session->shutdown_deadline = 0;
    }
}

static void
handle_stop_request(VrSession *session)
{
    if (session->shutdown_requests++ > 0) {
        vr_session_say(
            session, VR_STAGE_NOTE,
            "still waiting for the guest; to power it off now: vmrun stop %s --force --timeout 1",
            session->profile->name);
        return;
    }
    session->shutdown_deadline =
        g_get_monotonic_time() + (int64_t) session->profile->stop_timeout_s * G_USEC_PER_SEC;
    vr_unit_extend_stop(session->profile->stop_timeout_s + WAY_BACK_S);
    ask_to_shut_down(session);
}

/* systemd, as the first process, stops a whole unit: a guest that does not shut down in time is
 * then left without a supervisor, instead of being waited for until systemd loses its patience. */
static bool
is_from_systemd(const struct signalfd_siginfo *info)
{
    return info->ssi_signo == SIGTERM && info->ssi_pid == 1;
}

static void
handle_signals(VrSession *session)
{
    struct signalfd_siginfo info;
    while (read(session->signal_fd, &info, sizeof info) == (ssize_t) sizeof info) {
        if (info.ssi_signo == SIGUSR1) {
            power_off(session);
        } else {
            session->finishing = session->finishing || is_from_systemd(&info);
            handle_stop_request(session);
        }
    }
}

/* The guest did not shut down in time. It is powered off only if somebody said so, or if the host
 * is about to do it in a worse way. */
static void
handle_shutdown_deadline(VrSession *session)
{
    session->shutdown_deadline = 0;
    if (session->powered_off) {
        session->stop_failed = true;
        session->detached = true;
        return;
    }
    if (session->force_at_deadline || vr_host_is_stopping(session->root)) {
        power_off_for_good(session);
        session->stop_failed = !session->powered_off;
        session->detached = session->stop_failed;
        return;
    }
    session->detached = session->finishing;
    vr_session_set_state(session, VR_STATE_RUNNING, "the guest was asked to shut down and did not");
    vr_session_say(session, VR_STAGE_WARNING,
                   "the guest did not shut down; it is left running. Ask again, or power it off: "
                   "vmrun stop %s --force",
                   session->profile->name);
    session->shutdown_requests = 0;
}

/*
 * Once a minute: a paused guest, or one that is off while its QEMU stays, shows only there.
 *
 * QEMU is started with -no-shutdown: if libvirt missed the guest's power-off, its process stays.
 * And a guest that was paused by an error of a device or a full disk looks alive from here.
 */
static void
ask_libvirt(VrSession *session)
{
    VrDomainState state = VR_DOMAIN_RUNNING;
    int pid = 0;
    g_autoptr(GError) error = NULL;
    if (!vr_domain_state(session->domain, &state, &pid, &error)) {
        vr_session_say(session, VR_STAGE_WARNING, "libvirt does not answer (the guest goes on): %s",
                       error->message);
    } else if (state == VR_DOMAIN_OFF) {
        power_off(session);
    } else if (state == VR_DOMAIN_PAUSED) {
        vr_session_say(session, VR_STAGE_WARNING, "the guest is paused; libvirt's log says why");
    } else if (state == VR_DOMAIN_RUNNING && vr_session_is_dead(session)) {
        end_dead_guest(session);
    }
    vr_domain_rest(session->domain);
}

/* Milliseconds until the next thing to do. */
static int
next_timeout_ms(const VrSession *session, int64_t next_ask)
{
    int64_t next = next_ask;
    if (session->shutdown_deadline != 0 && session->shutdown_deadline < next) {
        next = session->shutdown_deadline;
    }
    int64_t left_ms = (next - g_get_monotonic_time() + 999) / 1000;
    return left_ms > 0 ? (int) left_ms : 0;
}

static void
wait_for_end(VrSession *session)
{
    int64_t next_ask = vr_session_next_ask(session);
    while (!session->detached) {
        struct pollfd wait[] = {
            {.fd = session->qemu_pidfd, .events = POLLIN},
            {.fd = session->signal_fd, .events = POLLIN},
        };
        int ready = poll(wait, G_N_ELEMENTS(wait), next_timeout_ms(session, next_ask));
        if (ready > 0 && wait[0].revents != 0) {
            return;
        }
        if (ready > 0) {
            handle_signals(session);
        }
        int64_t now = g_get_monotonic_time();
        if (session->shutdown_deadline != 0 && now >= session->shutdown_deadline) {
            handle_shutdown_deadline(session);
        }
        if (now >= next_ask) {
            ask_libvirt(session);
            next_ask = vr_session_next_ask(session);
        }
    }
}

/* libvirt writes its reason a moment after QEMU is gone. */
static char *
wait_for_reason(const VrSession *session)
{
    int64_t deadline = g_get_monotonic_time() + (int64_t) REASON_TIMEOUT_MS * 1000;
    char *reason = vr_domain_end_reason(session->domain, session->log_offset);
    while (reason == NULL && g_get_monotonic_time() < deadline) {
        g_usleep(20000);
        reason = vr_domain_end_reason(session->domain, session->log_offset);
    }
    return reason;
}

/* A guest that powered off by itself is success, so is one that was powered off on demand. */
static bool
judge_end(const VrSession *session, GError **error)
{
    g_autofree char *reason = wait_for_reason(session);
    if (session->dead) {
        return vr_error_set(error, VR_ERROR_FAILED,
                            "the guest of '%s' stopped answering and was powered off: its agent "
                            "was silent for %u s (alive=agent)",
                            session->profile->name, session->profile->alive_timeout_s);
    }
    if (g_strcmp0(reason, "shutdown") == 0 || g_strcmp0(reason, "destroyed") == 0) {
        vr_session_say(session, VR_STAGE_DONE, "guest is off");
        return true;
    }
    g_autofree char *serial = vr_domain_serial_log(session->journal->uri, session->profile->name);
    g_autofree char *directory = g_path_get_dirname(serial);
    return vr_error_set(error, VR_ERROR_FAILED,
                        "QEMU ended under the running guest (%s); the logs are in %s",
                        reason != NULL ? reason : "libvirt gives no reason", directory);
}

/* Its supervisor may have died before it could record the running guest. */
static void
record_adopted(VrSession *session)
{
    g_autoptr(GError) error = NULL;
    if (session->journal->phase != VR_PHASE_RUNNING &&
        !vr_session_set_phase(session, VR_PHASE_RUNNING, &error)) {
        vr_session_say(session, VR_STAGE_WARNING, "%s", error->message);
    }
}

static bool
follow_adopted(VrSession *session, GError **error)
{
    const VrJournal *journal = session->journal;
    if (journal->qemu_pid <= 0) {
        return vr_error_set(error, VR_ERROR_FAILED,
                            "libvirt says that the guest of '%s' runs, but its QEMU process was "
                            "not found; nothing was touched; try: virsh -c %s destroy %s",
                            session->profile->name, journal->uri, session->profile->name);
    }
    session->qemu_pidfd =
        vr_process_open(session->root, journal->qemu_pid, journal->qemu_start_time, error);
    if (session->qemu_pidfd < 0) {
        return false;
    }
    record_adopted(session);
    session->status->qemu_pid = journal->qemu_pid;
    session->status->qemu_start_time = journal->qemu_start_time;
    session->status->domain = g_strdup(journal->domain_uuid);
    vr_session_set_state(session, VR_STATE_RUNNING, "taken over from a supervisor that died");
    if (session->shutdown_requests > 0) {
        ask_to_shut_down(session);
    }
    return true;
}

/* That it ended just now is what we were waiting for; a guest that cannot be watched is left alone.
 */
static bool
ended_already(VrSession *session, GError *why, GError **error)
{
    const VrJournal *journal = session->journal;
    if (journal->qemu_pid > 0 &&
        !vr_process_is_alive(session->root, journal->qemu_pid, journal->qemu_start_time)) {
        g_error_free(why);
        return true;
    }
    session->detached = true;
    g_propagate_error(error, why);
    return false;
}

bool
vr_session_watch(VrSession *session, GError **error)
{
    g_autoptr(GError) gone = NULL;
    if (session->adopted) {
        g_autoptr(GError) connect_error = NULL;
        vr_session_inhibit_sleep(session);
        if (!vr_domain_connect(session->domain, &connect_error)) {
            vr_session_say(session, VR_STAGE_WARNING, "%s", connect_error->message);
        }
        if (!follow_adopted(session, &gone)) {
            return ended_already(session, g_steal_pointer(&gone), error);
        }
    }
    g_autofree char *serial = vr_domain_serial_log(session->journal->uri, session->profile->name);
    vr_session_say(session, VR_STAGE_NOTE, "its serial console is logged to %s", serial);
    vr_session_say(session, VR_STAGE_NOTE, "'%s' is running; stop it with: vmrun stop %s",
                   session->profile->name, session->profile->name);
    wait_for_end(session);
    if (session->stop_failed && session->powered_off) {
        return vr_error_set(error, VR_ERROR_STOP_FAILED,
                            "the guest was powered off, but its QEMU (process %d) hangs in the "
                            "kernel and holds the card; restarting the computer frees it",
                            session->journal->qemu_pid);
    }
    if (session->stop_failed) {
        return vr_error_set(error, VR_ERROR_STOP_FAILED,
                            "the guest could not be powered off and is left running; start "
                            "libvirt, then: vmrun stop %s --force",
                            session->profile->name);
    }
    if (session->detached) {
        return vr_error_set(error, VR_ERROR_TIMED_OUT, "the guest is left running");
    }
    return judge_end(session, error);
}
