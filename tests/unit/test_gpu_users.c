/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/gpu_users.h>

#include "../support/tree.h"
#include "host/gpu_nodes.h"
#include "host/gpu_users_private.h"

#include <vmrun/process.h>

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define CARD "/sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0"

/* A computer with one function, in a temporary directory. */
typedef struct {
    char *directory;
    VrPciFunction *function;
    GPtrArray *functions;
    VrHostFacts *facts;
} Computer;

static Computer
computer_new(const char *driver)
{
    Computer computer = {.directory = tree_new()};

    tree_make(computer.directory, "/proc");
    tree_make(computer.directory, CARD);
    tree_link(computer.directory, "/sys/bus/pci/devices/0000:01:00.0",
              "../../../devices/pci0000:00/0000:00:01.0/0000:01:00.0");
    computer.function = g_new0(VrPciFunction, 1);
    g_assert_true(vr_pci_address_parse("0000:01:00.0", &computer.function->address));
    computer.function->class_code = 0x030000;
    computer.function->group = 12;
    computer.function->driver = g_strdup(driver);
    computer.functions = g_ptr_array_new();
    g_ptr_array_add(computer.functions, computer.function);
    g_autoptr(VrSysroot) root = tree_root(computer.directory);
    computer.facts = vr_host_facts_load(root, 0);
    return computer;
}

static void
computer_clear(Computer *computer)
{
    vr_host_facts_free(computer->facts);
    g_ptr_array_unref(computer->functions);
    vr_pci_function_free(computer->function);
    tree_remove(computer->directory);
}
#define auto_computer __attribute__((cleanup(computer_clear))) Computer

/* A device node below the function: "drm/card1", "226:1". */
static void
add_node(const Computer *computer, const char *place, const char *numbers, const char *devname)
{
    g_autofree char *dev = g_strdup_printf("%s/%s/dev", CARD, place);
    g_autofree char *uevent = g_strdup_printf("%s/%s/uevent", CARD, place);
    g_autofree char *text = g_strdup_printf("MAJOR=1\nDEVNAME=%s\n", devname);

    tree_write(computer->directory, dev, numbers);
    if (devname != NULL) {
        tree_write(computer->directory, uevent, text);
    }
}

static void
write_of(const Computer *computer, int pid, const char *file, const char *text)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/%s", pid, file);

    tree_write(computer->directory, path, text);
}

static void
add_process(const Computer *computer, int pid, const char *command, const char *cgroup)
{
    g_autofree char *stat = g_strdup_printf("%d (%s) S 1 1 1 0 -1 4194560 1 1 1 1 1 1 1 1 20 0 1 0 "
                                            "%d 1 1",
                                            pid, command, pid * 10);

    write_of(computer, pid, "stat", stat);
    write_of(computer, pid, "comm", command);
    write_of(computer, pid, "cgroup", cgroup);
}

static void
add_open(const Computer *computer, int pid, const char *fd, const char *target)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/fd/%s", pid, fd);

    tree_link(computer->directory, path, target);
}

static const VrHolder *
find_node(const VrHolders *found, int pid, const char *node)
{
    for (guint i = 0; i < found->holders->len; i++) {
        const VrHolder *holder = g_ptr_array_index(found->holders, i);
        if (holder->pid == pid && g_str_equal(holder->node, node)) {
            return holder;
        }
    }
    return NULL;
}

static const VrHolder *
require_node(const VrHolders *found, int pid, const char *node)
{
    const VrHolder *holder = find_node(found, pid, node);

    if (holder == NULL) {
        g_error("process %d does not hold %s", pid, node);
    }
    return holder;
}

static void
test_recorded_holder_is_named(void)
{
    auto_computer computer = computer_new("nouveau");

    add_node(&computer, "drm/card1", "226:1", "dri/card1");
    add_process(&computer, 812, "Xorg (x) y", "0::/system.slice/display-manager.service");
    add_open(&computer, 812, "3", "/dev/null");
    add_open(&computer, 812, "5", "/dev/dri/card1");
    add_open(&computer, 812, "6", "/dev/dri/card1");
    add_process(&computer, 813, "innocent", "0::/init.scope");
    add_open(&computer, 813, "5", "/dev/dri/card0");
    g_autoptr(VrHolders) found = vr_gpu_users_find(computer.facts, computer.functions);
    g_assert_cmpuint(found->holders->len, ==, 1);
    const VrHolder *holder = g_ptr_array_index(found->holders, 0);
    g_assert_cmpint(holder->pid, ==, 812);
    g_assert_cmpuint(holder->start_time, ==, 8120);
    g_assert_cmpstr(holder->command, ==, "Xorg (x) y");
    g_assert_cmpstr(holder->unit, ==, "display-manager.service");
    g_assert_cmpstr(holder->node, ==, "/dev/dri/card1");
    g_assert_cmpint((int) holder->kind, ==, (int) VR_HOLDER_PROCESS);
    g_assert_cmpuint(found->unreadable_processes, ==, 0);
}

typedef struct {
    const char *driver, *place, *numbers, *devname, *open;
    VrHolderKind kind;
} NodeCase;

static void
test_every_kind_of_node_is_found(void)
{
    static const NodeCase cases[] = {
        {"amdgpu", "drm/renderD129", "226:129", NULL, "/dev/dri/renderD129", VR_HOLDER_PROCESS},
        {"i915", "drm/card0/card0-DP-1/drm_dp_aux0", "240:0", NULL, "/dev/drm_dp_aux0",
         VR_HOLDER_PROCESS},
        {"amdgpu", "i2c-4/i2c-dev/i2c-4", "89:4", "i2c-4", "/dev/i2c-4", VR_HOLDER_PROCESS},
        {"snd_hda_intel", "sound/card1/controlC1", "116:9", NULL, "/dev/snd/controlC1",
         VR_HOLDER_PROCESS},
        {"snd_hda_intel", "sound/card1/pcmC1D3p", "116:8", "snd/pcmC1D3p", "/dev/snd/pcmC1D3p",
         VR_HOLDER_PROCESS},
        {"xhci_hcd", "usb3/3-1", "189:257", NULL, "/dev/bus/usb/003/002", VR_HOLDER_PROCESS},
        {"xhci_hcd", "usb3/3-1/3-1:1.0/0003:046D:C31C.0001/hidraw/hidraw2", "242:2", NULL,
         "/dev/hidraw2", VR_HOLDER_PROCESS},
        {"xhci_hcd", "usb3/3-1/3-1:1.0/input/input9/event7", "13:71", "input/event7",
         "/dev/input/event7", VR_HOLDER_INPUT},
        {"nvme", "nvme/nvme0/nvme0n1/block/nvme0n1", "259:0", "nvme0n1", "/dev/nvme0n1",
         VR_HOLDER_PROCESS},
        {"amdgpu", "power", "1:1", NULL, "/dev/kfd", VR_HOLDER_PROCESS},
        {"nvidia", "power", "1:1", NULL, "/dev/nvidia3", VR_HOLDER_PROCESS},
        {"vfio-pci", "vfio-dev/vfio0", "511:0", "vfio/devices/vfio0", "/dev/vfio/devices/vfio0",
         VR_HOLDER_VFIO},
        {"vfio-pci", "power", "1:1", NULL, "/dev/vfio/12", VR_HOLDER_VFIO},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        auto_computer computer = computer_new(cases[i].driver);
        add_node(&computer, cases[i].place, cases[i].numbers, cases[i].devname);
        tree_write(computer.directory, "/proc/driver/nvidia/gpus/0000:01:00.0/information",
                   "Model: \t\t x\nDevice Minor: \t 3\nExcluded:\t No");
        add_process(&computer, 7, "holder", "");
        add_open(&computer, 7, "9", cases[i].open);
        g_autoptr(VrHolders) found = vr_gpu_users_find(computer.facts, computer.functions);
        const VrHolder *holder = require_node(found, 7, cases[i].open);
        g_assert_cmpint((int) holder->kind, ==, (int) cases[i].kind);
    }
}

static void
test_nodes_of_other_functions_do_not_count(void)
{
    auto_computer computer = computer_new("pcieport");

    add_node(&computer, "0000:02:00.0/drm/card1", "226:1", "dri/card1");
    add_process(&computer, 7, "holder", "");
    add_open(&computer, 7, "9", "/dev/dri/card1");
    g_autoptr(VrHolders) found = vr_gpu_users_find(computer.facts, computer.functions);
    g_assert_cmpuint(found->holders->len, ==, 0);
}

static void
test_nvidia_without_minor_suspects_every_card(void)
{
    auto_computer computer = computer_new("nvidia");

    add_process(&computer, 7, "cuda", "");
    add_open(&computer, 7, "9", "/dev/nvidia1");
    add_process(&computer, 8, "only-control", "");
    add_open(&computer, 8, "9", "/dev/nvidiactl");
    add_open(&computer, 8, "10", "/dev/nvidia-uvm");
    g_autoptr(VrHolders) found = vr_gpu_users_find(computer.facts, computer.functions);
    g_assert_cmpuint(found->holders->len, ==, 1);
    g_assert_nonnull(find_node(found, 7, "/dev/nvidia*"));
}

static void
test_mapping_outlives_descriptor(void)
{
    auto_computer computer = computer_new("nouveau");

    add_node(&computer, "drm/card1", "226:1", "dri/card1");
    add_process(&computer, 7, "mapper", "");
    add_open(&computer, 7, "9", "/dev/null");
    write_of(&computer, 7, "maps",
             "55d0-55d1 r-xp 00000000 fe:01 11 /usr/bin/x\n"
             "7f00-7f01 rw-s 00010000 00:05 412                        /dev/dri/card1\n"
             "7f01-7f02 rw-p 00000000 00:00 0 ");
    g_autoptr(VrHolders) found = vr_gpu_users_find(computer.facts, computer.functions);
    g_assert_nonnull(find_node(found, 7, "/dev/dri/card1"));
}

static void
test_uses_without_process_are_holders(void)
{
    auto_computer computer = computer_new("xhci_hcd");
    static const struct {
        const char *use;
        bool critical;
        int kind; /* -1: no holder */
    } cases[] = {{"/mnt (sdb1)", true, VR_HOLDER_MOUNT},
                 {"/mnt/keyboard/default route (sdb3)", true, VR_HOLDER_MOUNT},
                 {"swap (sdb2)", true, VR_HOLDER_MOUNT},
                 {"disk sdc, not mounted", false, -1},
                 {"default route (enp1s0)", true, VR_HOLDER_NETWORK},
                 {"network interface (enp2s0)", false, -1},
                 {"the only keyboard (ACME)", true, VR_HOLDER_INPUT},
                 {"keyboard (ACME)", false, VR_HOLDER_INPUT}};

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        VrDeviceUse *use = g_new0(VrDeviceUse, 1);
        use->address = computer.function->address;
        use->use = g_strdup(cases[i].use);
        use->critical = cases[i].critical;
        g_ptr_array_add(computer.facts->uses, use);
    }
    g_autoptr(VrHolders) found = vr_gpu_users_find(computer.facts, computer.functions);
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        const VrHolder *holder = find_node(found, 0, cases[i].use);
        g_assert_cmpint(holder != NULL ? (int) holder->kind : -1, ==, cases[i].kind);
    }
}

static void
test_hostile_processes_are_survived(void)
{
    auto_computer computer = computer_new("nouveau");

    add_node(&computer, "drm/card1", "226:1", "dri/card1");
    add_node(&computer, "drm/card2", "226:x", "dri/card2");
    add_process(&computer, 9, "\033[2Jevil\n", "0::/system.slice/\033evil.service");
    add_open(&computer, 9, "1", "/dev/dri/card1");
    add_open(&computer, 9, "name", "/dev/dri/card1");
    write_of(&computer, 9, "maps", "no such line /dev/\n/dev/dri/card1\n /dev/dri/card1");
    tree_make(computer.directory, "/proc/99999999999999999999/fd");
    tree_make(computer.directory, "/proc/10");
    g_autoptr(VrHolders) found = vr_gpu_users_find(computer.facts, computer.functions);
    const VrHolder *holder = require_node(found, 9, "/dev/dri/card1");
    g_assert_null(strchr(holder->command, '\033'));
    g_assert_null(strchr(holder->unit, '\033'));
}

/* The running system: by device number, whatever the node is called. */
static GPtrArray *
find_live(const char *place, const char *numbers, const char *devname)
{
    auto_computer computer = computer_new("nouveau");
    g_autoptr(GError) error = NULL;
    g_autoptr(VrSysroot) live = vr_sysroot_new("/", &error);
    g_autoptr(VrSysroot) root = tree_root(computer.directory);
    /* Freed with the holders: the pointers that the caller sees are its own. */
    GPtrArray *holders = g_ptr_array_new();

    g_assert_no_error(error);
    add_node(&computer, place, numbers, devname);
    computer.function->group = -1;
    g_autoptr(GPtrArray) nodes = vr_device_nodes_find(root, computer.functions);
    g_assert_cmpuint(nodes->len, ==, 1);
    vr_gpu_users_scan(live, nodes, holders);
    return holders;
}

static void
holders_clear(GPtrArray *holders)
{
    VrHolders *found = g_new0(VrHolders, 1);

    found->holders = holders;
    for (guint i = 0; i < holders->len; i++) {
        VrHolder *holder = g_ptr_array_index(holders, i);
        g_free(holder->command);
        g_free(holder->unit);
        g_free(holder->node);
        g_free(holder);
    }
    vr_holders_free(found);
}

static bool
has_pid(const GPtrArray *holders, pid_t pid)
{
    for (guint i = 0; i < holders->len; i++) {
        const VrHolder *holder = g_ptr_array_index(holders, i);
        if (holder->pid == pid && g_str_equal(holder->node, "/dev/renamed")) {
            g_assert_cmpuint(holder->start_time, >, 0);
            return true;
        }
    }
    return false;
}

/* A child that does one thing, says so, and lives until its standard input closes. */
static pid_t
start_child(void (*act)(void), int *out_end)
{
    int ready[2], stay[2];
    char byte = 0;

    g_assert_cmpint(pipe(ready), ==, 0);
    g_assert_cmpint(pipe(stay), ==, 0);
    pid_t child = fork();
    g_assert_cmpint(child, >=, 0);
    if (child == 0) {
        close(stay[1]);
        act();
        bool told = write(ready[1], "x", 1) == 1;
        _exit(told && read(stay[0], &byte, 1) == 0 ? 0 : 1);
    }
    close(stay[0]);
    close(ready[1]);
    g_assert_cmpint(read(ready[0], &byte, 1), ==, 1);
    close(ready[0]);
    *out_end = stay[1];
    return child;
}

static void
end_child(pid_t child, int end)
{
    int status = -1;

    close(end);
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    g_assert_cmpint(status, ==, 0);
}

static void
hold_full(void)
{
    if (open("/dev/full", O_RDWR) < 0) {
        _exit(2);
    }
}

static void
test_living_process_is_found_by_number(void)
{
    int end = -1;
    pid_t child = start_child(hold_full, &end);
    GPtrArray *holders = find_live("misc/full", "1:7", "renamed"); /* /dev/full */

    g_assert_true(has_pid(holders, child));
    g_assert_false(has_pid(holders, getpid()));
    holders_clear(holders);
    end_child(child, end);
    holders = find_live("misc/full", "1:7", "renamed");
    g_assert_false(has_pid(holders, child));
    holders_clear(holders);
}

static void
map_zero(void)
{
    int fd = open("/dev/zero", O_RDWR);

    if (fd < 0 || mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED) {
        _exit(2);
    }
    close(fd);
}

static void
test_living_mapping_is_found(void)
{
    int end = -1;
    pid_t child = start_child(map_zero, &end);
    GPtrArray *holders = find_live("misc/zero", "1:5", "zero"); /* /dev/zero */
    bool found = false;

    for (guint i = 0; i < holders->len; i++) {
        found = found || ((const VrHolder *) g_ptr_array_index(holders, i))->pid == child;
    }
    g_assert_true(found);
    holders_clear(holders);
    end_child(child, end);
}

static void
count_nothing(void *data, const VrOpenFile *file)
{
    (void) data;
    (void) file;
}

/* Somebody who is nobody cannot look into the first process, and must not believe it empty. */
static void
test_closed_processes_are_counted(void)
{
    pid_t child = fork();
    int status = -1;

    g_assert_cmpint(child, >=, 0);
    if (child == 0) {
        g_autoptr(VrSysroot) live = vr_sysroot_new("/", NULL);
        if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0)) {
            _exit(2);
        }
        _exit(vr_process_scan(live, false, count_nothing, NULL) > 0 ? 0 : 1);
    }
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    g_assert_cmpint(status, ==, 0);
}

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void
test_unit_of_a_cgroup(void)
{
    static const struct {
        const char *text, *unit;
    } cases[] = {
        {"0::/system.slice/nvidia-persistenced.service", "nvidia-persistenced.service"},
        {"0::/system.slice/system-getty.slice/getty@tty1.service", "getty@tty1.service"},
        {"0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-x.scope",
         "app-x.scope (user 1000)"},
        {"0::/user.slice/user-0.slice/session-3.scope", "session-3.scope (user 0)"},
        {"0::/user.slice/user-1000.slice/user@1000.service/nvidia-persistenced.service",
         "nvidia-persistenced.service (user 1000)"},
        {"0::/system.slice/docker-" ID ".scope", "container 0123456789ab"},
        {"0::/machine.slice/libpod-" ID ".scope/container", "container 0123456789ab"},
        {"12:cpu:/\n1:name=systemd:/docker/" ID "\n", "container 0123456789ab"},
        {"0::/docker/" ID "/system.slice/nvidia-persistenced.service", "container 0123456789ab"},
        {"0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-" ID ".scope",
         "container 0123456789ab"},
        {"0::/lxc.payload.web/system.slice/x.service", "container web"},
        {"0::/machine.slice/machine-qemu\\x2d1\\x2dwin.scope/libvirt/vcpu0",
         "machine-qemu\\x2d1\\x2dwin.scope"},
        {"11:devices:/x\n1:name=systemd:/system.slice/ssh.service\n0::/", "ssh.service"},
        {"0::/", NULL},
        {"", NULL},
        {"rubbish", NULL},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *unit = vr_process_unit_from_cgroup(cases[i].text);
        g_assert_cmpstr(unit, ==, cases[i].unit);
    }
}

static void
test_group_without_node_is_free(void)
{
    auto_computer computer = computer_new("nouveau");

    g_assert_cmpint((int) vr_vfio_group_is_busy(computer.facts->root, 12), ==, (int) VR_NO);
    tree_write(computer.directory, "/dev/vfio/12", "");
    g_assert_cmpint((int) vr_vfio_group_is_busy(computer.facts->root, 12), ==, (int) VR_NO);
}

static void
test_group_that_cannot_be_asked_is_unknown(void)
{
    auto_computer computer = computer_new("nouveau");

    /* A directory cannot be opened for writing: an answer that is none. */
    tree_make(computer.directory, "/dev/vfio/12");
    g_assert_cmpint((int) vr_vfio_group_is_busy(computer.facts->root, 12), ==, (int) VR_UNKNOWN);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/host/gpu-users/recorded-holder-is-named", test_recorded_holder_is_named);
    g_test_add_func("/host/gpu-users/every-kind-of-node-is-found",
                    test_every_kind_of_node_is_found);
    g_test_add_func("/host/gpu-users/nodes-of-other-functions-do-not-count",
                    test_nodes_of_other_functions_do_not_count);
    g_test_add_func("/host/gpu-users/nvidia-without-minor-suspects-every-card",
                    test_nvidia_without_minor_suspects_every_card);
    g_test_add_func("/host/gpu-users/mapping-outlives-descriptor",
                    test_mapping_outlives_descriptor);
    g_test_add_func("/host/gpu-users/uses-without-process-are-holders",
                    test_uses_without_process_are_holders);
    g_test_add_func("/host/gpu-users/hostile-processes-are-survived",
                    test_hostile_processes_are_survived);
    g_test_add_func("/host/gpu-users/living-process-is-found-by-number",
                    test_living_process_is_found_by_number);
    g_test_add_func("/host/gpu-users/living-mapping-is-found", test_living_mapping_is_found);
    g_test_add_func("/host/gpu-users/closed-processes-are-counted",
                    test_closed_processes_are_counted);
    g_test_add_func("/host/gpu-users/unit-of-a-cgroup", test_unit_of_a_cgroup);
    g_test_add_func("/host/gpu-users/group-without-node-is-free", test_group_without_node_is_free);
    g_test_add_func("/host/gpu-users/group-that-cannot-be-asked-is-unknown",
                    test_group_that_cannot_be_asked_is_unknown);
    return g_test_run();
}
