/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An unbind that does not return, of each function of a card, on the way out and on the way back:
 * it is named with who holds the function, the others go back, and once the kernel has gone on
 * everything does. This program is its own worker, behind whose writes is as much of a kernel as
 * that needs.
 */
#include "../support/plan_host.h"
#include "../support/tree.h"
#include "base/sysroot_private.h"
#include "run/worker_private.h"

#include <vmrun/error.h>
#include <vmrun/plan.h>
#include <vmrun/preparation.h>
#include <vmrun/recovery.h>
#include <vmrun/status.h>

#include <string.h>
#include <unistd.h>

#define BOOT_ID "0b4e7b32-6a3d-4a6f-9d4f-2f3c1c5c9b1e"
#define DEVICES "/sys/devices/pci0000:00/"
#define HOLDER_STAT "700 (pipewire) S 1 1 1 0 -1 4194560 1 1 1 1 1 1 1 1 20 0 1 0 7000 1 1"

/* Long enough that a healthy step ends in it on a busy computer. */
#define DEADLINE_MS 600
#define SLOW_MS 50

static const char *const functions[] = {"0000:01:00.0", "0000:01:00.1", "0000:01:00.2",
                                        "0000:01:00.3"};
static const char *const kinds[] = {"030000 10de:2484", "040300 10de:228b", "0c0330 10de:1ada",
                                    "0c8000 10de:1adb"};
static const char *const drivers[] = {"nouveau", "snd_hda_intel", "xhci_hcd", "nvidia-gpu"};

static const char *const aliases[] = {
    "pci:v000010DEd00002484sv00000000sd00000000bc03sc00i00",
    "pci:v000010DEd0000228Bsv00000000sd00000000bc04sc03i00",
    "pci:v000010DEd00001ADAsv00000000sd00000000bc0Csc03i30",
    "pci:v000010DEd00001ADBsv00000000sd00000000bc0Csc80i00",
};

typedef struct {
    char *directory;
    VrSysroot *root;
    VrMover *mover;
    VrJournal *journal;
    VrListener listener;
    GString *said;
} Host;

typedef struct {
    guint function;
    bool back;
} Case;

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

/* --- the kernel behind the worker --------------------------------------------------------------*/

typedef struct {
    const char *directory;
    VrSysroot *root;
} Kernel;

/* As long as the file is there the driver waits for its users, one of whom came at the last moment.
 */
static void
wait_for_users(const Kernel *kernel, const char *address)
{
    g_autofree char *block = g_strconcat(kernel->directory, "/block-", address, NULL);
    if (g_file_test(block, G_FILE_TEST_EXISTS)) {
        tree_write(kernel->directory, "/proc/700/stat", HOLDER_STAT);
        tree_write(kernel->directory, "/proc/700/comm", "pipewire");
        g_autofree char *node = g_strconcat("/dev/snd/", address, NULL);
        tree_link(kernel->directory, "/proc/700/fd/9", node);
    }
    while (g_file_test(block, G_FILE_TEST_EXISTS)) {
        g_usleep(5000);
    }
}

static bool
kernel_write(void *data, const char *path, const char *text, GError **error)
{
    const Kernel *kernel = data;
    g_autofree char *driver_path = g_path_get_dirname(path);
    g_autofree char *driver = g_path_get_basename(driver_path);
    g_autofree char *link = g_strconcat(DEVICES, text, "/driver", NULL);
    g_autofree char *full = g_strconcat(kernel->directory, link, NULL);
    (void) error;
    if (g_str_has_suffix(path, "/unbind")) {
        wait_for_users(kernel, text);
        g_assert_cmpint(unlink(full), ==, 0);
    } else if (g_str_has_suffix(path, "/bind")) {
        g_autofree char *target = g_strconcat("../../../bus/pci/drivers/", driver, NULL);
        tree_link(kernel->directory, link, target);
    } else {
        g_autofree char *resolved = vr_sysroot_resolve(kernel->root, path, NULL);
        tree_write(kernel->directory, resolved, g_str_equal(text, "\n") ? "(null)" : text);
    }
    return true;
}

/* Paths whose reading can block for ever, or for as long as a device hangs: README, "What can
 * block". */
static bool
can_block(const char *path)
{
    return g_regex_match_simple("/(driver_override|power/control|config|sriov_numvfs)$|"
                                "/[0-9a-f:.]+/uevent$|"
                                "^/proc/[0-9]+/(maps|cmdline|stack|environ)$|"
                                "^/proc/driver/nvidia/|/drm/card[0-9]+-[^/]+/",
                                path, 0, 0);
}

/* As one reads it whose device's lock somebody else has for good. */
static void
block_on_the_first(void *data, const char *path)
{
    (void) data;
    if (can_block(path) && strstr(path, functions[0]) != NULL) {
        for (;;) {
            pause();
        }
    }
}

static int
be_deaf_worker(const char *directory)
{
    g_autoptr(VrSysroot) root = tree_root(directory);
    vr_sysroot_set_read_hook(root, block_on_the_first, NULL);
    return vr_worker_main(root);
}

static int
be_worker(const char *directory)
{
    g_autoptr(VrSysroot) root = tree_root(directory);
    Kernel kernel = {directory, root};
    vr_sysroot_set_write_hook(root, kernel_write, &kernel);
    return vr_worker_main(root);
}

/* --- the host ----------------------------------------------------------------------------------*/

static VrPciAddress
address_of(const char *text)
{
    VrPciAddress address = {0};
    g_assert_true(vr_pci_address_parse(text, &address));
    return address;
}

static void
add_function(const Host *host, guint i)
{
    g_autofree char *path = g_strconcat("pci0000:00/", functions[i], NULL);
    g_autofree char *override = g_strconcat(DEVICES, functions[i], "/driver_override", NULL);
    g_autofree char *dev = g_strconcat(DEVICES, functions[i], "/sound/controlC0/dev", NULL);
    g_autofree char *uevent = g_strconcat(DEVICES, functions[i], "/sound/controlC0/uevent", NULL);
    g_autofree char *name = g_strconcat("DEVNAME=snd/", functions[i], NULL);
    g_autofree char *driver = g_strconcat("/sys/bus/pci/drivers/", drivers[i], NULL);
    tree_pci(host->directory, path, kinds[i], drivers[i], -1);
    tree_make(host->directory, driver);
    tree_write(host->directory, override, "(null)");
    tree_write(host->directory, dev, "116:5");
    tree_write(host->directory, uevent, name);
}

static VrHostState *
observe(Host *host)
{
    g_autoptr(GArray) addresses = g_array_new(FALSE, FALSE, sizeof(VrPciAddress));
    g_autoptr(GError) error = NULL;
    for (guint i = 0; i < G_N_ELEMENTS(functions); i++) {
        VrPciAddress address = address_of(functions[i]);
        g_array_append_val(addresses, address);
    }
    g_autoptr(VrHostState) shape = vr_host_state_shape(addresses);
    VrHostState *state = vr_host_state_observe(host->root, shape, &error);
    g_assert_no_error(error);
    return state;
}

static void
hear(void *data, VrStage stage, const char *text)
{
    Host *host = data;
    (void) stage;
    g_string_append_printf(host->said, "%s\n", text);
}

static void
new_mover(Host *host)
{
    const char *const argv[] = {own_path(), "worker", host->directory, NULL};
    vr_mover_free(host->mover);
    host->mover = vr_mover_new_with(host->root, &host->listener, argv);
    vr_mover_set_journal(host->mover, host->journal);
}

static Host *
host_new(void)
{
    Host *host = g_new0(Host, 1);
    g_autoptr(GError) error = NULL;
    host->directory = tree_new();
    host->root = tree_root(host->directory);
    host->said = g_string_new(NULL);
    host->listener = (VrListener){.stage = hear, .data = host};
    tree_make(host->directory, "/sys/bus/pci/drivers/vfio-pci");
    tree_make(host->directory, "/proc");
    for (guint i = 0; i < G_N_ELEMENTS(functions); i++) {
        add_function(host, i);
    }
    host->journal = vr_journal_new("gaming");
    host->journal->boot_id = g_strdup(BOOT_ID);
    host->journal->uri = g_strdup("qemu:///system");
    host->journal->domain_uuid = g_strdup(BOOT_ID);
    vr_host_state_free(host->journal->before);
    host->journal->before = observe(host);
    g_assert_true(vr_journal_write(host->root, host->journal, &error));
    new_mover(host);
    return host;
}

static void
host_free(Host *host)
{
    vr_mover_free(host->mover);
    vr_journal_free(host->journal);
    vr_sysroot_unref(host->root);
    tree_remove(host->directory);
    g_string_free(host->said, TRUE);
    g_free(host);
}

static bool
take(Host *host, GError **error)
{
    g_autoptr(VrHostState) wanted = vr_host_state_wanted(host->journal->before);
    return vr_apply(vr_mover_executor(host->mover), wanted, true, NULL, error);
}

static bool
give_back(Host *host, GError **error)
{
    return vr_give_back(host->root, host->journal, host->mover, 0, &host->listener, error);
}

static void
assert_contains(const char *text, const char *wanted)
{
    if (strstr(text, wanted) == NULL) {
        g_error("no \"%s\" in: %s", wanted, text);
    }
}

/* --- the cases ---------------------------------------------------------------------------------*/

static void
block(Host *host, guint function)
{
    g_autofree char *path = g_strconcat("/block-", functions[function], NULL);
    tree_write(host->directory, path, "");
    vr_mover_hurry(host->mover, address_of(functions[function]), SLOW_MS, DEADLINE_MS);
}

static void
unblock(Host *host, guint function)
{
    g_autofree char *path = g_strdup_printf("%s/block-%s", host->directory, functions[function]);
    g_autofree char *holder = g_strconcat(host->directory, "/proc/700/fd/9", NULL);
    g_assert_cmpint(unlink(path), ==, 0);
    g_assert_cmpint(unlink(holder), ==, 0);
}

/* In this recorded computer's /proc there is no worker of ours; one that hangs must be seen there.
 */
static void
show_stuck_process(Host *host)
{
    VrStuck *stuck = &g_array_index(host->journal->stuck, VrStuck, 0);
    g_autofree char *path = g_strdup_printf("/proc/%d/stat", stuck->pid);
    tree_write(host->directory, path, HOLDER_STAT);
    stuck->start_time = 7000;
}

/* The process that hung ends by itself as soon as the kernel lets it. */
static void
wait_for_the_late_write(int pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d", pid);
    for (unsigned i = 0; i < 1000 && g_file_test(path, G_FILE_TEST_EXISTS); i++) {
        g_autofree char *stat = g_strconcat(path, "/stat", NULL);
        g_autofree char *text = NULL;
        if (!g_file_get_contents(stat, &text, NULL, NULL) || strstr(text, ") Z ") != NULL) {
            return;
        }
        g_usleep(10000);
    }
}

static void
assert_others_are_back(Host *host, guint stuck, const char *stuck_driver)
{
    g_autoptr(VrHostState) now = observe(host);
    for (guint i = 0; i < G_N_ELEMENTS(functions); i++) {
        const VrBinding *binding = vr_host_state_binding(now, address_of(functions[i]));
        g_assert_cmpstr(binding->driver, ==, i == stuck ? stuck_driver : drivers[i]);
        if (i != stuck) {
            g_assert_null(binding->driver_override);
        }
    }
}

/* The sentence: device, where the kernel waits, who holds it. */
static void
assert_named(const Host *host, const Case *hang, const char *text)
{
    assert_contains(text, functions[hang->function]);
    assert_contains(text, "hangs in the kernel");
    assert_contains(host->said->str, "still waiting for the kernel");
    assert_contains(host->said->str, "pipewire (process 700)");
    g_assert_cmpuint(host->journal->stuck->len, ==, 1);
    g_assert_cmpint(host->journal->phase, ==, VR_PHASE_STUCK);
    assert_contains(host->journal->message, functions[hang->function]);
}

/* --- what the main process reads ---------------------------------------------------------------*/

typedef struct {
    Host *host;
    GString *blocked; /* what was read that can block */
    VrScout *scout;
} Reader;

static void
note_read(void *data, const char *path)
{
    Reader *reader = data;
    if (can_block(path)) {
        g_string_append_printf(reader->blocked, "%s\n", path);
    }
}

static VrHostState *
observe_by_scout(void *data, const VrHostState *shape, GError **error)
{
    const Reader *reader = data;
    return vr_scout_observe(reader->scout, shape, error);
}

static GPtrArray *
ask_deaf(const VrSysroot *root, const GArray *addresses, GError **error)
{
    const char *const argv[] = {own_path(), "deaf", vr_sysroot_directory(root), NULL};
    g_autoptr(VrWorker) worker = vr_worker_start_program(root, argv, error);
    GPtrArray *read =
        worker != NULL ? vr_worker_ask_capabilities(worker, addresses, 300, error) : NULL;
    if (worker != NULL) {
        vr_worker_abandon(worker, true);
    }
    return read;
}

static const VrFinding *
find(const VrReport *report, const char *id)
{
    for (guint i = 0; i < report->findings->len; i++) {
        const VrFinding *finding = g_ptr_array_index(report->findings, i);
        if (g_str_equal(finding->id, id)) {
            return finding;
        }
    }
    return NULL;
}

static Reader
reader_new(void)
{
    Reader reader = {.host = host_new(), .blocked = g_string_new(NULL)};
    Host *host = reader.host;
    const char *const argv[] = {own_path(), "deaf", host->directory, NULL};
    tree_make(host->directory, "/sys/class/iommu/dmar0");
    tree_pci(host->directory, "pci0000:00/0000:00:02.0", "030000 8086:4680", "i915", 1);
    tree_write(host->directory, "/sys/devices/pci0000:00/0000:00:02.0/boot_vga", "1");
    tree_write(host->directory, "/sys/devices/pci0000:00/0000:00:02.0/modalias",
               "pci:v00008086d00004680sv00000000sd00000000bc03sc00i00");
    for (guint i = 0; i < G_N_ELEMENTS(functions); i++) {
        g_autofree char *link = g_strconcat(DEVICES, functions[i], "/iommu_group", NULL);
        g_autofree char *numvfs = g_strconcat(DEVICES, functions[i], "/sriov_numvfs", NULL);
        g_autofree char *config = g_strconcat(DEVICES, functions[i], "/config", NULL);
        g_autofree char *alias = g_strconcat(DEVICES, functions[i], "/modalias", NULL);
        g_autofree char *uevent = g_strconcat(DEVICES, functions[i], "/uevent", NULL);
        tree_write(host->directory, alias, aliases[i]);
        tree_write(host->directory, uevent, "DRIVER=x");
        tree_link(host->directory, link, "../../../kernel/iommu_groups/12");
        tree_write(host->directory, numvfs, "0");
        tree_write(host->directory, config, "x");
    }
    tree_write(host->directory, "/etc/machine-id", "0123456789abcdef0123456789abcdef");
    tree_write(host->directory, "/proc/700/stat", HOLDER_STAT);
    tree_write(host->directory, "/proc/700/comm", "qemu-system-x86");
    tree_write(host->directory, "/proc/700/cmdline", "qemu-system-x86_64");
    tree_write(host->directory, "/proc/700/maps", "");
    tree_make(host->directory, "/proc/700/fd");
    reader.scout = vr_scout_new_with(host->root, argv);
    return reader;
}

/* Everything that gpus, doctor, plan, status, who and restore --dry-run read by themselves; what
 * they must know of a device that hangs they ask a process that may hang with it. */
static void
test_nothing_that_can_block_is_read_here(void)
{
    Reader reader = reader_new();
    Host *host = reader.host;
    VrReaders readers = {observe_by_scout, &reader, ask_deaf, reader.scout, 0};
    VrRecovery recovery = VR_RECOVERY_NOTHING;
    VrRecoveryOptions options = {.dry_run = true};
    g_autoptr(GError) error = NULL;
    g_autoptr(VrProfile) profile = plan_profile("other", "[gpu]\ndevice=0000:01:00.0\n");
    int64_t start = g_get_monotonic_time();
    vr_sysroot_set_read_hook(host->root, note_read, &reader);
    g_autoptr(VrPreparation) preparation =
        vr_preparation_make(host->root, profile, false, &readers, &error);
    g_assert_no_error(error);
    g_autoptr(VrStatus) status = vr_status_find(host->root, "gaming");
    vr_recover(host->root, "gaming", &options, NULL, &recovery, NULL, NULL);
    vr_sysroot_set_read_hook(host->root, NULL, NULL);
    g_assert_cmpstr(reader.blocked->str, ==, "");
    g_assert_cmpint(g_get_monotonic_time() - start, <, 30 * G_USEC_PER_SEC);
    g_assert_cmpuint(preparation->inspection->devices->len, ==, 1);
    const VrFinding *finding = find(preparation->inspection->report, "plan-unreadable");
    g_assert_nonnull(finding);
    const char *evidence = finding != NULL ? finding->evidence : "";
    assert_contains(evidence, functions[0]);
    g_assert_null(strstr(evidence, functions[1]));
    vr_scout_free(reader.scout);
    g_string_free(reader.blocked, TRUE);
    host_free(host);
}

static unsigned
passed_cases(unsigned more)
{
    static unsigned passed;
    passed += more;
    return passed;
}

static void
test_hang(gconstpointer data)
{
    const Case *hang = data;
    Host *host = host_new();
    g_autoptr(GError) error = NULL;
    g_autoptr(GError) out = NULL;
    if (hang->back) {
        g_assert_true(take(host, &error));
        g_assert_no_error(error);
        block(host, hang->function);
    } else {
        block(host, hang->function);
        g_assert_false(take(host, &out));
        g_assert_error(out, VR_ERROR, VR_ERROR_STUCK);
        assert_contains(out->message, "held by pipewire (process 700)");
        show_stuck_process(host);
    }
    int64_t start = g_get_monotonic_time();
    g_assert_false(give_back(host, &error));
    g_assert_error(error, VR_ERROR, VR_ERROR_RESTORE_INCOMPLETE);
    g_assert_cmpint(g_get_monotonic_time() - start, <, 20 * G_USEC_PER_SEC);
    assert_named(host, hang, error->message);
    assert_contains(error->message, "vmrun restore gaming");
    assert_others_are_back(host, hang->function, hang->back ? "vfio-pci" : drivers[hang->function]);
    VrStuck *stuck = &g_array_index(host->journal->stuck, VrStuck, 0);
    int pid = stuck->pid;
    stuck->start_time = 0; /* it ends */
    unblock(host, hang->function);
    wait_for_the_late_write(pid);
    new_mover(host);
    g_clear_error(&error);
    g_assert_true(give_back(host, &error));
    g_assert_no_error(error);
    assert_others_are_back(host, G_N_ELEMENTS(functions), NULL);
    host_free(host);
    passed_cases(1);
}

/* Who came between the checks and the move is found right before it, and nothing is written. */
static void
test_a_holder_right_before_the_move_ends_it(void)
{
    Host *host = host_new();
    g_autoptr(GError) error = NULL;
    tree_write(host->directory, "/proc/701/stat", HOLDER_STAT);
    tree_write(host->directory, "/proc/701/comm", "mpv");
    tree_link(host->directory, "/proc/701/fd/3", "/dev/snd/0000:01:00.2");
    g_assert_false(take(host, &error));
    g_assert_error(error, VR_ERROR, VR_ERROR_DEVICE_BUSY);
    assert_contains(error->message, "0000:01:00.2  unbind from xhci_hcd");
    assert_contains(error->message, "mpv (process 701) through /dev/snd/0000:01:00.2");
    g_clear_error(&error);
    g_assert_true(give_back(host, &error));
    g_assert_no_error(error);
    assert_others_are_back(host, G_N_ELEMENTS(functions), NULL);
    host_free(host);
}

static void
test_all_cases_ran(void)
{
    const unsigned wanted = 2 * G_N_ELEMENTS(functions);
    g_test_message("suite: hang cases=%u pass=%u fail=%u", wanted, passed_cases(0),
                   wanted - passed_cases(0));
    g_assert_cmpuint(passed_cases(0), ==, wanted);
}

int
main(int argc, char **argv)
{
    static Case cases[2 * G_N_ELEMENTS(functions)];
    if (argc == 3 && argv[1][0] != '-') {
        return strcmp(argv[1], "deaf") == 0 ? be_deaf_worker(argv[2]) : be_worker(argv[2]);
    }
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/hangs/a-holder-right-before-the-move-ends-it",
                    test_a_holder_right_before_the_move_ends_it);
    g_test_add_func("/hangs/nothing-that-can-block-is-read-here",
                    test_nothing_that_can_block_is_read_here);
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        cases[i] = (Case){i / 2, i % 2 != 0};
        g_autofree char *path = g_strdup_printf("/hangs/unbind-of-%s-on-the-way-%s",
                                                functions[i / 2], i % 2 != 0 ? "back" : "out");
        g_test_add_data_func(path, &cases[i], test_hang);
    }
    g_test_add_func("/hangs/all-cases-ran", test_all_cases_ran);
    return g_test_run();
}
