/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "session_host.h"

#include "fake_kernel_private.h"
#include "plan_host.h"
#include "session_host_private.h"
#include "tree.h"

#include <vmrun/apply.h>
#include <vmrun/journal.h>
#include <vmrun/lock.h>
#include <vmrun/session.h>

#include <glib/gstdio.h>

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROFILE "[gpu]\ndevice=" SESSION_GPU "\n[machine]\nmemory=2G\n"
#define STOP_UNITS "[session]\nstop-units=" SESSION_UNIT "\n"
#define GUEST_PID 4242 /* of the fake /proc only */
#define POOL_PAGES 128
#define POOL_LIMIT 100000
#define BYSTANDER "0000:02:00.0"
#define BOOT_DISPLAY "0000:00:02.0"
#define BOOT_ID "0b4e7b32-6a3d-4a6f-9d4f-2f3c1c5c9b1e"

const SessionStart session_starts[SESSION_STARTS] = {
    {"host-driver", true, NULL, NULL},
    {"unbound", false, NULL, NULL},
    {"on-vfio-pci", false, "vfio-pci", NULL},
    {"foreign-override", true, NULL, "nouveau"},
};

static const struct {
    const char *address, *kind, *driver;
} card[] = {
    {SESSION_GPU, "030000 10de:2484", "nvidia"},
    {"0000:01:00.1", "040300 10de:228b", "snd_hda_intel"},
    {"0000:01:00.2", "0c0330 10de:1ada", "xhci_hcd"},
    {"0000:01:00.3", "0c8000 10de:1adb", "nvidia-gpu"},
};

static void
place_card(SessionHost *host)
{
    const SessionStart *start = host->shape.start;
    for (unsigned i = 0; i < host->shape.functions; i++) {
        g_autofree char *cold =
            g_strdup_printf("/sys/devices/pci0000:00/%s/d3cold_allowed", card[i].address);
        const char *driver = start->bound ? card[i].driver : start->driver;
        bool awake = !host->shape.others || i % 2 != 0;
        fake_kernel_place(host->kernel, card[i].address, driver, start->override,
                          awake ? "on" : "auto");
        fake_store(host->kernel, cold, host->shape.others ? "1" : "0");
    }
}

static void
set_pool(SessionHost *host, unsigned pages)
{
    static const char *const unused = "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages";
    fake_kernel_add_pool(host->kernel, pages, POOL_LIMIT);
    tree_write(host->directory, unused, "0");
}

void
session_host_reset(SessionHost *host)
{
    static const char *const places[] = {"var/lib/vmrun", "run/vmrun", "proc", "var/log"};
    for (guint i = 0; i < G_N_ELEMENTS(places); i++) {
        char *path = g_build_filename(host->directory, places[i], NULL);
        if (g_file_test(path, G_FILE_TEST_EXISTS)) {
            tree_remove(path);
        } else {
            g_free(path);
        }
    }
    tree_make(host->directory, "/proc/sys/kernel/random");
    tree_write(host->directory, "/proc/sys/kernel/random/boot_id", BOOT_ID);
    place_card(host);
    set_pool(host, POOL_PAGES);
    fake_kernel_add_unit(host->kernel, SESSION_UNIT, host->shape.others);
}

static void
add_functions(FakeKernel *kernel, unsigned functions)
{
    fake_kernel_add_driver(kernel, "nouveau", "10de:2484", "nouveau");
    fake_kernel_add_driver(kernel, "i915", "8086:3e92", "i915");
    fake_kernel_add_driver(kernel, "e1000e", "8086:10d3", "e1000e");
    for (unsigned i = 0; i < functions; i++) {
        fake_kernel_add_driver(kernel, card[i].driver, card[i].kind + 7, card[i].driver);
        fake_kernel_add_device(kernel, card[i].address, card[i].kind, 1);
    }
    fake_kernel_add_device(kernel, BOOT_DISPLAY, "030000 8086:3e92", 2);
    fake_kernel_place(kernel, BOOT_DISPLAY, "i915", NULL, "auto");
    fake_kernel_add_device(kernel, BYSTANDER, "020000 8086:10d3", 3);
    fake_kernel_place(kernel, BYSTANDER, "e1000e", NULL, "on");
    fake_kernel_set_grabber(kernel, "nouveau");
}

SessionHost *
session_host_new(const SessionShape *shape)
{
    SessionHost *host = g_new0(SessionHost, 1);
    host->shape = *shape;
    host->kernel = fake_kernel_new();
    host->root = fake_kernel_root(host->kernel);
    host->directory = fake_kernel_directory(host->kernel);
    host->executor = fake_kernel_executor(host->kernel);
    host->profile = plan_profile("gaming", shape->others ? PROFILE STOP_UNITS : PROFILE);
    host->profile->memory_mib = 4;
    host->guest_pid = GUEST_PID;
    host->end =
        mmap(NULL, sizeof *host->end, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    g_assert(host->end != MAP_FAILED);
    add_functions(host->kernel, shape->functions);
    tree_make(host->directory, "/var/lib");
    tree_make(host->directory, "/run/systemd/system");
    session_host_reset(host);
    return host;
}

void
session_host_free(SessionHost *host)
{
    if (host == NULL) {
        return;
    }
    munmap(host->end, sizeof *host->end);
    vr_profile_free(host->profile);
    fake_kernel_free(host->kernel);
    g_free(host);
}

FakeKernel *
session_host_kernel(SessionHost *host)
{
    return host->kernel;
}

/* --- the guest ---------------------------------------------------------------------------------*/

static char *
guest_file(const SessionHost *host, const char *name)
{
    return g_strdup_printf("%s/proc/%d%s%s", host->directory, (int) host->guest_pid,
                           name != NULL ? "/" : "", name != NULL ? name : "");
}

bool
session_host_guest_lives(const SessionHost *host)
{
    g_autofree char *directory = guest_file(host, NULL);
    return g_file_test(directory, G_FILE_TEST_EXISTS);
}

void
session_host_start_guest(SessionHost *host)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/", (int) host->guest_pid);
    g_autofree char *stat = g_strconcat(path, "stat", NULL);
    g_autofree char *text = g_strdup_printf(
        "%d (qemu) S 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 4242 1 1", (int) host->guest_pid);
    g_autofree char *log = g_strdup("/var/log/libvirt/qemu/gaming.log");
    system_calls_note("guest on");
    tree_write(host->directory, stat, text);
    tree_write(host->directory, log, "shutting down, reason=shutdown");
    if (host->shape.others) {
        g_autofree char *pages = vr_sysroot_read(host->root, SESSION_POOL, NULL);
        set_pool(host, (unsigned) atoi(pages) + host->shape.pages_others);
    }
}

void
session_host_kill_guest(SessionHost *host)
{
    if (session_host_guest_lives(host)) {
        tree_remove(guest_file(host, NULL));
        system_calls_note("guest off");
    }
}

/* --- children ----------------------------------------------------------------------------------*/

static int
code_of(bool done, const GError *error)
{
    if (!done) {
        g_debug("%s", error->message);
    }
    return done ? 0 : error->code;
}

static void
run_session(SessionHost *host)
{
    g_autoptr(GError) error = NULL;
    bool done = vr_session_run(host->root, host->profile, NULL, &error);
    host->end->code = code_of(done, error);
}

static void
run_recovery(SessionHost *host)
{
    VrRecoveryOptions options = {0};
    g_autoptr(GError) error = NULL;
    bool done =
        vr_recover(host->root, "gaming", &options, NULL, &host->end->recovery, NULL, &error);
    host->end->code = code_of(done, error);
}

static SessionEnd
in_child(SessionHost *host, void (*work)(SessionHost *), SystemCallFate fate, unsigned n)
{
    int status = 0;
    *host->end = (SessionEnd){0};
    system_calls_begin(fate, n, 0, NULL);
    pid_t child = fork();
    if (child == 0) {
        session_host_stand_in(host);
        system_calls_set_root(host->directory);
        work(host);
        _exit(0);
    }
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    host->end->died = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    g_assert_true(host->end->died || (WIFEXITED(status) && WEXITSTATUS(status) == 0));
    host->end->calls = system_calls_end();
    fake_kernel_reload(host->kernel);
    return *host->end;
}

SessionEnd
session_host_run(SessionHost *host, SystemCallFate fate, unsigned n)
{
    return in_child(host, run_session, fate, n);
}

SessionEnd
session_host_recover(SessionHost *host, SystemCallFate fate, unsigned n)
{
    return in_child(host, run_recovery, fate, n);
}

/* --- what is there -----------------------------------------------------------------------------*/

static int
compare_lines(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *) a, *(const char *const *) b);
}

static char *
join_sorted(GPtrArray *lines)
{
    GString *text = g_string_new(NULL);
    g_ptr_array_sort(lines, compare_lines);
    for (guint i = 0; i < lines->len; i++) {
        g_string_append_printf(text, "%s\n", (const char *) g_ptr_array_index(lines, i));
    }
    return g_string_free(text, FALSE);
}

static void
add_device_lines(const SessionHost *host, const FakeDevice *device, GPtrArray *lines)
{
    static const char *const names[] = {"driver_override", "power/control", "d3cold_allowed",
                                        "vendor", "device"};
    g_autofree char *path = g_strdup_printf("/sys/bus/pci/devices/%s/driver", device->address);
    g_autofree char *driver = vr_sysroot_link_name(host->root, path, NULL);
    if (driver != NULL) {
        g_ptr_array_add(lines, g_strdup_printf("%s driver %s", device->address, driver));
    }
    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *file =
            g_strdup_printf("/sys/bus/pci/devices/%s/%s", device->address, names[i]);
        g_autofree char *value = vr_sysroot_read(host->root, file, NULL);
        g_ptr_array_add(lines, g_strdup_printf("%s %s %s", device->address, names[i], value));
    }
}

char *
session_host_snapshot(const SessionHost *host)
{
    g_autoptr(GPtrArray) lines = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *pages = vr_sysroot_read(host->root, SESSION_POOL, NULL);
    bool active = fake_kernel_unit_is_active(host->kernel, SESSION_UNIT);
    for (guint i = 0; i < host->kernel->devices->len; i++) {
        add_device_lines(host, g_ptr_array_index(host->kernel->devices, i), lines);
    }
    g_ptr_array_add(lines, g_strdup_printf("host " SESSION_POOL " %s", pages));
    g_ptr_array_add(lines, g_strdup_printf("unit " SESSION_UNIT " %s", active ? "on" : "off"));
    return join_sorted(lines);
}

char *
session_host_journal(const SessionHost *host)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(VrJournal) journal = vr_journal_read(host->root, "gaming", &error);
    if (journal != NULL) {
        return g_strdup(vr_phase_name(journal->phase));
    }
    return g_strdup(g_error_matches(error, VR_ERROR, VR_ERROR_NOT_FOUND) ? "none" : "corrupt");
}

bool
session_host_locks_are_free(const SessionHost *host)
{
    return !vr_lock_is_held(host->root, "gaming", NULL) && !vr_lock_is_held(host->root, NULL, NULL);
}

static void
add_files(const SessionHost *host, const char *path, GPtrArray *lines)
{
    g_autoptr(GPtrArray) names = vr_sysroot_list(host->root, path, NULL);
    if (names == NULL) {
        g_ptr_array_add(lines, g_strdup(path));
    }
    for (guint i = 0; names != NULL && i < names->len; i++) {
        g_autofree char *below = g_strconcat(path, "/", g_ptr_array_index(names, i), NULL);
        add_files(host, below, lines);
    }
}

char *
session_host_files(const SessionHost *host)
{
    g_autoptr(GPtrArray) lines = g_ptr_array_new_with_free_func(g_free);
    if (vr_sysroot_exists(host->root, "/var/lib/vmrun")) {
        add_files(host, "/var/lib/vmrun", lines);
    }
    if (vr_sysroot_exists(host->root, "/run/vmrun")) {
        add_files(host, "/run/vmrun", lines);
    }
    return join_sorted(lines);
}
