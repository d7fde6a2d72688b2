/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Both ends of the worker: this program starts itself. */
#include <vmrun/worker.h>

#include "../support/tree.h"
#include "run/worker_private.h"

#include <vmrun/error.h>
#include <vmrun/inhibitor.h>
#include <vmrun/lock.h>
#include <vmrun/pci_capabilities.h>
#include <vmrun/process.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define GPU "0000:01:00.0"
#define CONTROL "/sys/bus/pci/devices/" GPU "/power/control"

/* Without /proc of its own a tree cannot tell start times; the worker does not need them. */
typedef struct {
    char *directory;
    VrSysroot *root;
} Host;

static Host
host_new(void)
{
    Host host = {.directory = tree_new()};
    host.root = tree_root(host.directory);
    tree_pci(host.directory, "pci0000:00/" GPU, "030000 10de:2484", NULL, 1);
    tree_write(host.directory, "/sys/devices/pci0000:00/" GPU "/power/control", "auto");
    return host;
}

static void
host_clear(Host *host)
{
    vr_sysroot_unref(host->root);
    tree_remove(host->directory);
}

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

/* `kind`: "worker", or how it misbehaves. */
static VrWorker *
start(const Host *host, const char *kind)
{
    const char *const argv[] = {own_path(), kind, host->directory, NULL};
    g_autoptr(GError) error = NULL;
    VrWorker *worker = vr_worker_start_program(host->root, argv, &error);
    g_assert_no_error(error);
    return worker;
}

static void
test_answers_until_its_input_ends(void)
{
    Host host = host_new();
    g_autoptr(VrWorker) worker = start(&host, "worker");
    g_autoptr(GError) error = NULL;
    for (guint i = 0; i < 3; i++) {
        g_autoptr(JsonObject) answer =
            vr_worker_call(worker, vr_worker_request("ping"), 20000, &error);
        g_assert_no_error(error);
        g_assert_nonnull(answer);
    }
    g_assert_cmpint(getpgid(vr_worker_pid(worker)), ==, vr_worker_pid(worker));
    host_clear(&host);
}

static void
test_observes(void)
{
    Host host = host_new();
    g_autoptr(GArray) addresses = g_array_new(FALSE, FALSE, sizeof(VrPciAddress));
    VrPciAddress address = {0, 1, 0, 0};
    g_array_append_val(addresses, address);
    g_autoptr(VrHostState) shape = vr_host_state_shape(addresses);
    const char *const argv[] = {own_path(), "worker", host.directory, NULL};
    g_autoptr(VrMover) mover = vr_mover_new_with(host.root, NULL, argv);
    const VrExecutor *executor = vr_mover_executor(mover);
    g_autoptr(GError) error = NULL;
    g_autoptr(VrHostState) state = executor->observe(executor->data, shape, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(vr_host_state_attribute(state, CONTROL)->value, ==, "auto");
    host_clear(&host);
}

static GPtrArray *
ask_capabilities(const Host *host, const char *kind, unsigned timeout_ms, GError **error)
{
    g_autoptr(VrWorker) worker = start(host, kind);
    g_autoptr(GArray) addresses = g_array_new(FALSE, FALSE, sizeof(VrPciAddress));
    VrPciAddress address = {0, 1, 0, 0};
    g_array_append_val(addresses, address);
    GPtrArray *read = vr_worker_ask_capabilities(worker, addresses, timeout_ms, error);
    if (read == NULL) {
        vr_worker_abandon(worker, true);
    }
    return read;
}

static void
test_tells_what_a_function_says_of_itself(void)
{
    Host host = host_new();
    char config[64] = {0};
    g_autofree char *path =
        g_strconcat(host.directory, "/sys/devices/pci0000:00/" GPU "/config", NULL);
    g_autoptr(GError) error = NULL;
    config[0x0e] = 0x7f;
    g_assert_true(g_file_set_contents(path, config, sizeof config, NULL));
    tree_write(host.directory, "/sys/devices/pci0000:00/" GPU "/reset_method", "flr bus");
    g_autoptr(GPtrArray) read = ask_capabilities(&host, "worker", 20000, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(read->len, ==, 1);
    const VrPciCapabilities *card = g_ptr_array_index(read, 0);
    g_assert_true(vr_pci_address_equal(card->address, (VrPciAddress){0, 1, 0, 0}));
    g_assert_cmpint(card->is_dead, ==, VR_YES);
    g_assert_cmpint(card->function_reset, ==, VR_UNKNOWN);
    g_assert_cmpstr(card->reset_methods, ==, "flr bus");
    host_clear(&host);
}

static void
test_a_question_that_hangs_or_kills_is_an_error(void)
{
    Host host = host_new();
    g_autoptr(GError) stuck = NULL;
    g_autoptr(GError) dead = NULL;
    g_assert_null(ask_capabilities(&host, "silent", 50, &stuck));
    g_assert_error(stuck, VR_ERROR, VR_ERROR_STUCK);
    g_assert_null(ask_capabilities(&host, "dies", 20000, &dead));
    g_assert_error(dead, VR_ERROR, VR_ERROR_FAILED);
    host_clear(&host);
}

/* power/control is a plain file here: the step can be done and be seen. */
static bool
set_power(const VrExecutor *executor, const char *value, uint16_t device, GError **error)
{
    g_autoptr(VrHostState) wanted = vr_host_state_new();
    VrPciAddress address = {0, 1, 0, 0};
    VrBinding *binding = vr_binding_new(address);
    VrStep step = {.kind = VR_STEP_ATTRIBUTE,
                   .has_device = true,
                   .device = address,
                   .path = (char *) CONTROL,
                   .from = (char *) "auto",
                   .value = (char *) value};
    binding->vendor = 0x10de;
    binding->device = device;
    vr_host_state_add_binding(wanted, binding);
    return executor->execute(executor->data, &step, wanted, error);
}

static void
test_executes_a_step_and_names_its_failure(void)
{
    Host host = host_new();
    const char *const argv[] = {own_path(), "worker", host.directory, NULL};
    g_autoptr(VrMover) mover = vr_mover_new_with(host.root, NULL, argv);
    g_autoptr(GError) error = NULL;
    g_assert_true(set_power(vr_mover_executor(mover), "on", 0x2484, &error));
    g_assert_no_error(error);
    g_autofree char *now = vr_sysroot_read_optional(host.root, CONTROL);
    g_assert_cmpstr(now, ==, "on");
    g_assert_false(set_power(vr_mover_executor(mover), "auto", 0x9999, &error));
    g_assert_error(error, VR_ERROR, VR_ERROR_GONE);
    g_autofree char *still = vr_sysroot_read_optional(host.root, CONTROL);
    g_assert_cmpstr(still, ==, "on");
    host_clear(&host);
}

static void
test_hostile_requests_get_an_answer(void)
{
    static const char *const lines[] = {
        "{}",
        "{\"verb\":7}",
        "{\"verb\":\"reboot\"}",
        "{\"verb\":\"start\",\"xml\":\"<domain/>\"}",
        "{\"verb\":\"observe\"}",
        "{\"verb\":\"observe\",\"shape\":\"{}\"}",
        "{\"verb\":\"capabilities\"}",
        "{\"verb\":\"capabilities\",\"addresses\":{}}",
        "{\"verb\":\"capabilities\",\"addresses\":[7]}",
        "{\"verb\":\"capabilities\",\"addresses\":[null]}",
        "{\"verb\":\"capabilities\",\"addresses\":[\"../config\"]}",
        "{\"verb\":\"step\"}",
        "{\"verb\":\"step\",\"kind\":\"bind\",\"value\":\"../x\"}",
        "{\"verb\":\"step\",\"kind\":\"bind\",\"device\":\"x\"}",
        "{\"verb\":\"step\",\"kind\":\"attribute\",\"path\":\"/etc/passwd\",\"value\":\"x\"}",
        "{\"verb\":\"step\",\"kind\":\"attribute\"}",
        "{\"verb\":\"step\",\"kind\":\"stop-unit\",\"value\":\"--help\"}",
        "{\"verb\":\"step\",\"kind\":\"load-module\"}",
    };
    Host host = host_new();
    VrWorkerService service = {.root = host.root};
    for (guint i = 0; i < G_N_ELEMENTS(lines); i++) {
        g_autoptr(JsonObject) request = vr_worker_parse(lines[i]);
        g_autoptr(JsonObject) answer = vr_worker_serve(&service, request);
        g_test_message("%s -> %s", lines[i], json_object_get_string_member(answer, "message"));
        g_assert_false(json_object_get_boolean_member(answer, "ok"));
        g_assert_cmpint(json_object_get_int_member(answer, "code"), >, 0);
    }
    g_autoptr(JsonObject) answer = vr_worker_serve(&service, NULL);
    g_assert_false(json_object_get_boolean_member(answer, "ok"));
    host_clear(&host);
}

static void
test_silence_is_stuck_and_the_worker_can_be_killed(void)
{
    Host host = host_new();
    g_autoptr(VrWorker) worker = start(&host, "silent");
    g_autoptr(GError) error = NULL;
    g_assert_null(vr_worker_call(worker, vr_worker_request("ping"), 50, &error));
    g_assert_error(error, VR_ERROR, VR_ERROR_STUCK);
    vr_worker_abandon(worker, true);
    g_assert_cmpint(kill(vr_worker_pid(worker), 0), !=, 0);
    g_assert_cmpint(vr_worker_pidfd(worker), ==, -1);
    g_clear_error(&error);
    g_assert_null(vr_worker_call(worker, vr_worker_request("ping"), 50, &error));
    g_assert_error(error, VR_ERROR, VR_ERROR_FAILED);
    host_clear(&host);
}

static void
test_death_is_a_failure_and_not_a_signal(void)
{
    static const char *const kinds[] = {"dead", "dies", "babbles", "/nonexistent"};
    for (guint i = 0; i < G_N_ELEMENTS(kinds); i++) {
        Host host = host_new();
        g_autoptr(VrWorker) worker = start(&host, kinds[i]);
        g_autoptr(GError) error = NULL;
        g_assert_null(vr_worker_call(worker, vr_worker_request("ping"), 20000, &error));
        g_assert_error(error, VR_ERROR, VR_ERROR_FAILED);
        g_assert_null(vr_worker_call(worker, vr_worker_request("ping"), 20000, NULL));
        host_clear(&host);
    }
}

/* Killed, a process closes its socket before it can be seen to have ended; asked in between, it
 * would fail what a new one can do. */
static void
test_worker_that_is_about_to_end_is_lost(void)
{
    Host host = host_new();
    g_autoptr(VrWorker) worker = start(&host, "lingers");
    g_autoptr(GError) error = NULL;
    g_assert_null(vr_worker_call(worker, vr_worker_request("ping"), 20000, &error));
    g_assert_error(error, VR_ERROR, VR_ERROR_FAILED);
    g_assert_cmpint(kill(vr_worker_pid(worker), 0), ==, 0);
    g_assert_true(vr_worker_is_lost(worker));
    g_assert_cmpint(kill(vr_worker_pid(worker), SIGKILL), ==, 0);
    host_clear(&host);
}

static void
test_signals_do_not_end_a_move(void)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGUSR1};
    Host host = host_new();
    g_autoptr(VrWorker) worker = start(&host, "worker");
    g_autoptr(GError) error = NULL;
    g_autoptr(JsonObject) first = vr_worker_call(worker, vr_worker_request("ping"), 20000, &error);
    g_assert_no_error(error); /* it is past its start */
    for (guint i = 0; i < G_N_ELEMENTS(signals); i++) {
        g_assert_cmpint(kill(vr_worker_pid(worker), signals[i]), ==, 0);
    }
    g_autoptr(JsonObject) answer = vr_worker_call(worker, vr_worker_request("ping"), 20000, &error);
    g_assert_no_error(error);
    host_clear(&host);
}

static void
test_inherits_nothing(void)
{
    Host host = host_new();
    int leak = dup(STDERR_FILENO); /* not O_CLOEXEC */
    g_autoptr(VrWorker) worker = start(&host, "counts");
    g_autoptr(GError) error = NULL;
    g_autoptr(JsonObject) answer = vr_worker_call(worker, vr_worker_request("ping"), 20000, &error);
    g_assert_no_error(error);
    g_assert_cmpint(json_object_get_int_member(answer, "open"), ==, 0);
    close(leak);
    host_clear(&host);
}

static void
count_call(void *data)
{
    guint *calls = data;
    (*calls)++;
}

/* vmrun dies, its worker does not: who takes over must wait for that one. */
static void
test_works_until_its_end_whatever_becomes_of_us(void)
{
    Host host = host_new();
    const char *const argv[] = {own_path(), "silent", host.directory, NULL};
    g_autoptr(GError) error = NULL;
    g_autoptr(VrWorker) worker = vr_worker_start_for(host.root, "gaming", argv, &error);
    g_assert_no_error(error);
    g_assert_false(vr_lock_wait_for_work(host.root, "gaming", 0, &error));
    g_assert_error(error, VR_ERROR, VR_ERROR_BUSY);
    g_clear_error(&error);
    vr_worker_abandon(worker, false);
    g_assert_false(vr_lock_wait_for_work(host.root, "gaming", 50, NULL));
    g_assert_cmpint(kill(vr_worker_pid(worker), SIGKILL), ==, 0);
    g_assert_true(vr_lock_wait_for_work(host.root, "gaming", 20000, &error));
    g_assert_no_error(error);
    host_clear(&host);
}

static void
test_slow_answers_are_told_once(void)
{
    Host host = host_new();
    g_autoptr(VrWorker) worker = start(&host, "silent");
    g_autoptr(GError) error = NULL;
    guint calls = 0;
    VrWorkerWatch watch = {.after_ms = 10, .slow = count_call, .data = &calls};
    g_assert_null(vr_worker_call_watched(worker, vr_worker_request("ping"), 80, &watch, &error));
    g_assert_error(error, VR_ERROR, VR_ERROR_STUCK);
    g_assert_cmpuint(calls, ==, 1);
    vr_worker_abandon(worker, true);
    host_clear(&host);
}

static void
count_warning(void *data, VrStage stage, const char *text)
{
    guint *warnings = data;
    g_test_message("%s", text);
    *warnings += stage == VR_STAGE_WARNING;
}

static void
test_failures_are_told(void)
{
    Host host = host_new();
    guint warnings = 0;
    VrListener listener = {.stage = count_warning, .data = &warnings};
    g_autoptr(VrMover) mover = vr_mover_new(host.root, &listener);
    VrStep step = {.kind = VR_STEP_BIND,
                   .has_device = true,
                   .device = {0, 1, 0, 0},
                   .value = (char *) "vfio-pci"};
    g_autoptr(GError) failure = g_error_new_literal(VR_ERROR, VR_ERROR_FAILED, "no");
    vr_mover_executor(mover)->progress(mover, &step, false, failure);
    g_assert_cmpuint(warnings, ==, 1);
    host_clear(&host);
}

static void
test_stuck_device_of_the_journal_is_not_touched(void)
{
    Host host = host_new();
    VrPciAddress address = {0, 1, 0, 0};
    g_autoptr(VrJournal) journal = vr_journal_new("gaming");
    const char *const argv[] = {own_path(), "worker", host.directory, NULL};
    g_autoptr(VrMover) mover = vr_mover_new_with(host.root, NULL, argv);
    g_autoptr(GError) error = NULL;
    vr_journal_set_stuck(journal, (VrStuck){.address = address});
    vr_mover_set_journal(mover, journal);
    g_assert_false(set_power(vr_mover_executor(mover), "on", 0x2484, &error));
    g_assert_error(error, VR_ERROR, VR_ERROR_STUCK);
    g_autofree char *now = vr_sysroot_read_optional(host.root, CONTROL);
    g_assert_cmpstr(now, ==, "auto");
    host_clear(&host);
}

/* --- the other end -----------------------------------------------------------------------------*/

/* What came is ours alone: a pipe's write end, that no program of ours inherits. */
static void
test_a_descriptor_comes_with_the_answer(void)
{
    Host host = host_new();
    g_autoptr(GError) error = NULL;
    g_autoptr(VrWorker) worker = start(&host, "passes");
    int fd = vr_worker_ask_inhibitor(worker, "gaming", &error);
    g_assert_no_error(error);
    g_assert_cmpint(fd, >, STDERR_FILENO);
    g_assert_cmpint(fcntl(fd, F_GETFD) & FD_CLOEXEC, ==, FD_CLOEXEC);
    g_assert_cmpint(fcntl(fd, F_GETFL) & O_ACCMODE, ==, O_WRONLY);
    g_assert_cmpint(vr_worker_take_fd(worker), ==, -1);
    close(fd);
    g_autoptr(VrWorker) poor = start(&host, "passes-none");
    g_assert_cmpint(vr_worker_ask_inhibitor(poor, "gaming", &error), ==, -1);
    g_assert_error(error, VR_ERROR, VR_ERROR_FAILED);
    host_clear(&host);
}

/* Nobody asks a logind that does not run; and where there is no D-Bus the worker says so. */
static void
test_no_logind_is_an_error_in_words(void)
{
    Host host = host_new();
    g_autoptr(GError) error = NULL;
    g_assert_cmpint(vr_inhibitor_take(host.root, "gaming", &error), ==, -1);
    g_assert_error(error, VR_ERROR, VR_ERROR_UNREACHABLE);
    g_clear_error(&error);
    g_setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus", TRUE);
    VrWorkerService service = {.root = host.root};
    g_autoptr(JsonObject) request = vr_worker_request("inhibit");
    g_autoptr(JsonObject) answer = vr_worker_serve(&service, request);
    g_assert_false(json_object_get_boolean_member(answer, "ok"));
    g_assert_cmpint(json_object_get_int_member(answer, "code"), ==, VR_ERROR_UNREACHABLE);
    g_assert_false(service.has_fd);
    host_clear(&host);
}

static int
count_open(void)
{
    int open = 0;
    for (int fd = 3; fd < 256; fd++) {
        open += lseek(fd, 0, SEEK_CUR) >= 0 || errno != EBADF;
    }
    return open;
}

/* Answers with the write end of a pipe (kind "passes"), or without ("passes-none"). */
static int
pass_descriptor(const char *kind)
{
    int ends[2];
    if (pipe(ends) != 0) {
        return 1;
    }
    int passed = strcmp(kind, "passes") == 0 ? ends[1] : -1;
    return vr_worker_send(STDOUT_FILENO, "{\"ok\":true}\n", passed) ? 0 : 1;
}

static int
misbehave(const char *kind)
{
    char buffer[256];
    g_autofree char *text = NULL;
    if (strcmp(kind, "dead") == 0) {
        return 0;
    }
    if (strcmp(kind, "lingers") == 0) {
        close(STDIN_FILENO);
        close(STDOUT_FILENO);
    }
    if (strcmp(kind, "silent") == 0 || strcmp(kind, "lingers") == 0) {
        for (;;) {
            pause();
        }
    }
    if (read(STDIN_FILENO, buffer, sizeof buffer) <= 0 || strcmp(kind, "dies") == 0) {
        raise(SIGKILL);
    }
    if (g_str_has_prefix(kind, "passes")) {
        return pass_descriptor(kind);
    }
    text = strcmp(kind, "counts") == 0
               ? g_strdup_printf("{\"ok\":true,\"open\":%d}\n", count_open())
               : g_strdup("hello\n");
    return write(STDOUT_FILENO, text, strlen(text)) > 0 ? 0 : 1;
}

static int
be_worker(const char *kind, const char *directory)
{
    if (strcmp(kind, "worker") != 0) {
        return misbehave(kind);
    }
    g_autoptr(VrSysroot) root = tree_root(directory);
    return vr_worker_main(root);
}

int
main(int argc, char **argv)
{
    if (argc == 3 && argv[1][0] != '-') {
        return be_worker(argv[1], argv[2]);
    }
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/worker/answers-until-its-input-ends", test_answers_until_its_input_ends);
    g_test_add_func("/worker/observes", test_observes);
    g_test_add_func("/worker/tells-what-a-function-says-of-itself",
                    test_tells_what_a_function_says_of_itself);
    g_test_add_func("/worker/a-question-that-hangs-or-kills-is-an-error",
                    test_a_question_that_hangs_or_kills_is_an_error);
    g_test_add_func("/worker/executes-a-step-and-names-its-failure",
                    test_executes_a_step_and_names_its_failure);
    g_test_add_func("/worker/hostile-requests-get-an-answer", test_hostile_requests_get_an_answer);
    g_test_add_func("/worker/silence-is-stuck-and-the-worker-can-be-killed",
                    test_silence_is_stuck_and_the_worker_can_be_killed);
    g_test_add_func("/worker/death-is-a-failure-and-not-a-signal",
                    test_death_is_a_failure_and_not_a_signal);
    g_test_add_func("/worker/worker-that-is-about-to-end-is-lost",
                    test_worker_that_is_about_to_end_is_lost);
    g_test_add_func("/worker/signals-do-not-end-a-move", test_signals_do_not_end_a_move);
    g_test_add_func("/worker/inherits-nothing", test_inherits_nothing);
    g_test_add_func("/worker/works-until-its-end-whatever-becomes-of-us",
                    test_works_until_its_end_whatever_becomes_of_us);
    g_test_add_func("/worker/slow-answers-are-told-once", test_slow_answers_are_told_once);
    g_test_add_func("/worker/a-descriptor-comes-with-the-answer",
                    test_a_descriptor_comes_with_the_answer);
    g_test_add_func("/worker/no-logind-is-an-error-in-words", test_no_logind_is_an_error_in_words);
    g_test_add_func("/mover/failures-are-told", test_failures_are_told);
    g_test_add_func("/mover/stuck-device-of-the-journal-is-not-touched",
                    test_stuck_device_of_the_journal_is_not_touched);
    return g_test_run();
}
