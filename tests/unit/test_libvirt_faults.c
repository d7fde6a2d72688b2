/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest's start, shutdown and end, over a libvirt of which each call fails, hangs or loses its
 * connection, before or after it did what was asked. The supervisor never waits for ever; the card
 * goes back when the guest does not live, and is not touched when it does.
 */
#include "../support/card_host.h"
#include "../support/fault_libvirt.h"
#include "../support/suite.h"
#include "../support/tree.h"
#include "base/sysroot_private.h"
#include "run/domain_private.h"
#include "run/session_private.h"
#include "run/worker_private.h"

#include <vmrun/error.h>
#include <vmrun/host_facts.h>
#include <vmrun/path_facts.h>

#include <signal.h>
#include <string.h>
#include <unistd.h>

#define UUID "c1a5f8c0-0000-4000-8000-00000000000f"
#define CALL_LIMIT_MS 700
/* What a session may take: five seconds for libvirt's reason, one to shut down, calls that hang. */
#define CASE_LIMIT_S 30

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

typedef struct {
    CardHost *host;
    char *libvirt; /* the directory of the stand-in */
    const char *argv[5];
    VrProfile *profile;
    VrExecutor executor;
    VrInspection inspection;
    VrPreparation preparation;
    VrListener listener;
    GString *said;
    VrSession session;
} Stage;

static int
qemu_of(const Stage *stage)
{
    g_autofree char *path = g_build_filename(stage->libvirt, "run/qemu/gaming.pid", NULL);
    g_autofree char *text = NULL;
    return g_file_get_contents(path, &text, NULL, NULL) ? atoi(text) : 0;
}

static bool
lives(int pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/stat", pid);
    g_autofree char *text = NULL;
    const char *rest =
        pid > 0 && g_file_get_contents(path, &text, NULL, NULL) ? strrchr(text, ')') : NULL;
    return rest != NULL && strchr("ZX", rest[2]) == NULL;
}

/* The tree's /proc says about QEMU what the true one says. */
static void
mirror(void *data, const char *path)
{
    const Stage *stage = data;
    int pid = qemu_of(stage);
    if (!g_str_has_prefix(path, "/proc") || pid == 0) {
        return;
    }
    g_autofree char *real = g_strdup_printf("/proc/%d/stat", pid);
    g_autofree char *text = NULL;
    if (lives(pid) && g_file_get_contents(real, &text, NULL, NULL)) {
        tree_write(fake_kernel_directory(stage->host->kernel), real, text);
        return;
    }
    static const char *const files[] = {"stat", "comm", "cmdline"};
    for (guint i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autofree char *file = g_strdup_printf(
            "%s/proc/%d/%s", fake_kernel_directory(stage->host->kernel), pid, files[i]);
        unlink(file);
    }
}

static void
listen_to(void *data, VrStage kind, const char *text)
{
    const Stage *stage = data;
    (void) kind;
    g_string_append_printf(stage->said, "%s\n", text);
}

static void
set_fault(const Stage *stage, guint number, const char *kind)
{
    g_autofree char *text = g_strdup_printf("%u %s", number, kind);
    g_autofree char *path = g_build_filename(stage->libvirt, "fault", NULL);
    g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

static guint
calls_of(const Stage *stage)
{
    g_autofree char *path = g_build_filename(stage->libvirt, "calls", NULL);
    g_autofree char *text = NULL;
    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    return g_strv_length(lines) - 1;
}

static void
make_session(Stage *stage)
{
    VrSession *session = &stage->session;
    g_autofree char *uri = g_strconcat("qemu:///embed?root=", stage->libvirt, NULL);
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) mistakes =
        g_ptr_array_new_with_free_func((GDestroyNotify) vr_profile_mistake_free);
    stage->profile = vr_profile_parse(CARD_PROFILE, NULL, 0, mistakes);
    stage->profile->stop_timeout_s = 1;
    stage->inspection.xml = (char *) "<domain/>";
    stage->inspection.profile = stage->profile;
    stage->inspection.facts = vr_host_facts_load(stage->host->root, 0);
    stage->inspection.paths = vr_path_facts_load(stage->inspection.facts, stage->profile);
    stage->preparation.inspection = &stage->inspection;
    stage->listener = (VrListener){.stage = listen_to, .data = stage};
    stage->executor = fake_kernel_executor(stage->host->kernel);
    session->root = stage->host->root;
    session->profile = stage->profile;
    session->listener = &stage->listener;
    session->status = vr_status_new();
    session->qemu_pidfd = -1;
    session->mover = vr_mover_new_over(session->root, NULL, &stage->executor);
    session->journal = card_host_journal(stage->host);
    g_free(session->journal->uri);
    session->journal->uri = g_strdup(uri);
    session->preparation = &stage->preparation;
    session->force_at_deadline = true;
    session->domain = vr_domain_new(session->root, uri, CARD_PROFILE, UUID, CARD_BOOT_ID);
    vr_domain_use(session->domain, stage->argv, CALL_LIMIT_MS);
    g_assert_true(vr_session_block_signals(session, &error));
}

static Stage *
stage_new(guint number, const char *kind)
{
    Stage *stage = g_new0(Stage, 1);
    g_autoptr(GError) first = NULL;
    g_autoptr(GError) back = NULL;
    stage->host = card_host_new();
    stage->said = g_string_new(NULL);
    stage->libvirt = g_strdup("/tmp/vmrun-XXXXXX"); /* short: a socket of libvirt's goes there */
    g_assert_nonnull(g_mkdtemp(stage->libvirt));
    const char *const argv[] = {own_path(), "worker", stage->libvirt,
                                fake_kernel_directory(stage->host->kernel), NULL};
    memcpy(stage->argv, argv, sizeof argv);
    set_fault(stage, number, kind);
    vr_sysroot_set_read_hook(stage->host->root, mirror, stage);
    make_session(stage);
    g_assert_true(card_host_start(stage->host, NULL, &first, &back));
    return stage;
}

static void
stage_free(Stage *stage)
{
    VrSession *session = &stage->session;
    if (lives(qemu_of(stage))) {
        kill(qemu_of(stage), SIGKILL);
    }
    close(session->signal_fd);
    if (session->qemu_pidfd >= 0) {
        close(session->qemu_pidfd);
    }
    vr_domain_free(session->domain);
    vr_mover_free(session->mover);
    vr_status_free(session->status);
    vr_journal_free(session->journal);
    vr_path_facts_free(stage->inspection.paths);
    vr_host_facts_free(stage->inspection.facts);
    vr_profile_free(stage->profile);
    card_host_free(stage->host);
    tree_remove(stage->libvirt);
    g_string_free(stage->said, TRUE);
    g_free(stage);
}

/* The story from here on, as vr_session_run() has it: a guest that is asked to shut down as soon as
 * it runs. */
static void
play(Stage *stage, GError **first, GError **back)
{
    VrSession *session = &stage->session;
    bool started = vr_session_start(session, first);
    if (started) {
        raise(SIGTERM); /* waits in the signalfd */
        vr_session_watch(session, first);
    }
    if (!session->detached) {
        vr_session_give_back(session, back);
    }
}

static bool
is_untouched(const CardHost *host)
{
    for (guint i = 0; i < CARD_FUNCTIONS; i++) {
        g_autofree char *driver = fake_kernel_driver(host->kernel, card_address(i));
        if (!g_str_equal(driver, "vfio-pci")) {
            return false;
        }
    }
    return card_host_has_journal(host) && !fake_kernel_unit_is_active(host->kernel, CARD_UNIT);
}

/* When the guest is gone for good, what is on record leads back. */
static bool
ends_well(Stage *stage)
{
    int pid = qemu_of(stage);
    if (lives(pid)) {
        kill(pid, SIGKILL);
    }
    for (guint i = 0; i < 500 && lives(pid); i++) {
        g_usleep(10000);
    }
    g_autoptr(GError) error = NULL;
    bool done =
        card_host_recover(stage->host, NULL, NULL, &error) && card_host_is_restored(stage->host);
    if (error != NULL) {
        g_test_message("later: %s", error->message);
    }
    fake_kernel_revive(stage->host->kernel);
    return done && card_host_recover(stage->host, NULL, NULL, NULL) &&
           fake_kernel_writes(stage->host->kernel) == 0;
}

/* `out_calls` (may be NULL): how many there were. */
static bool
is_survived(guint number, const char *kind, guint *out_calls)
{
    Stage *stage = stage_new(number, kind);
    g_autoptr(GError) first = NULL;
    g_autoptr(GError) back = NULL;
    int64_t begin = g_get_monotonic_time();
    play(stage, &first, &back);
    bool in_time = g_get_monotonic_time() - begin < CASE_LIMIT_S * G_USEC_PER_SEC;
    bool guest = lives(qemu_of(stage));
    bool right = guest ? is_untouched(stage->host) && stage->session.detached && first != NULL
                       : stage->session.detached || card_host_is_restored(stage->host);
    bool fine = in_time && right && back == NULL;
    if (!fine) {
        g_test_message("guest lives %d, detached %d, %s; %s\n%s", guest, stage->session.detached,
                       first != NULL ? first->message : "-", back != NULL ? back->message : "-",
                       stage->said->str);
    }
    if (out_calls != NULL) {
        *out_calls = calls_of(stage);
    }
    fine = ends_well(stage) && fine;
    stage_free(stage);
    return fine;
}

static void
test_every_call(void)
{
    Suite suite = {0};
    guint calls = 0;
    g_assert_true(is_survived(0, "none", &calls));
    g_assert_cmpuint(calls, >=, 6); /* connect, create, look, shut down, look again … */
    guint kinds = g_strv_length((char **) fault_libvirt_kinds);
    for (guint i = 0; i < calls * kinds; i++) {
        const char *kind = fault_libvirt_kinds[i % kinds];
        g_autofree char *what = g_strdup_printf("call %u: %s", i / kinds, kind);
        suite_count(&suite, is_survived(i / kinds, kind, NULL), what);
    }
    suite_finish(&suite, "libvirt-faults", calls * kinds);
}

int
main(int argc, char **argv)
{
    if (argc == 4 && g_str_equal(argv[1], "worker") && argv[2][0] == '/') {
        g_autoptr(VrSysroot) root = tree_root(argv[3]);
        fault_libvirt_use(argv[2], argv[3], own_path());
        return vr_worker_main(root);
    }
    if (card_host_is_worker(argc, argv)) {
        return 0;
    }
    if (argc == 3 && g_str_equal(argv[1], "qemu")) {
        return fault_libvirt_qemu();
    }
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/libvirt-faults/every-call", test_every_call);
    return g_test_run();
}
