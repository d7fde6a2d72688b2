/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/disk_facts.h>

#include "../support/tree.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

/* A computer made of files, and a profile with one disk. */
typedef struct {
    char *directory;
    VrHostFacts *facts;
    VrProfileDisk disk;
    VrProfileDevice device;
    VrProfile profile;
} Computer;

static void
use_root(Computer *computer, VrSysroot *root)
{
    computer->facts = vr_host_facts_load(root, 0);
    computer->profile.disks = g_ptr_array_new();
    computer->profile.devices = g_ptr_array_new();
    g_ptr_array_add(computer->profile.disks, &computer->disk);
}

static Computer *
computer_new(const char *disk_path)
{
    Computer *computer = g_new0(Computer, 1);

    computer->directory = tree_new();
    computer->disk.path = g_strdup(disk_path);
    tree_make(computer->directory, "/proc");
    g_autoptr(VrSysroot) root = tree_root(computer->directory);
    use_root(computer, root);
    return computer;
}

static void
computer_free(Computer *computer)
{
    vr_host_facts_free(computer->facts);
    g_ptr_array_unref(computer->profile.disks);
    g_ptr_array_unref(computer->profile.devices);
    g_free(computer->disk.path);
    tree_remove(computer->directory);
    g_free(computer);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Computer, computer_free)

/* The array stays the caller's. */
static const VrDiskFact *
load(const Computer *computer, GPtrArray **out_disks)
{
    *out_disks = vr_disk_facts_load(computer->facts, &computer->profile);
    g_assert_cmpuint((*out_disks)->len, ==, 1);
    return g_ptr_array_index(*out_disks, 0);
}

static void
add_disk(const Computer *computer)
{
    tree_write(computer->directory, "/dev/sdb", "");
    tree_write(computer->directory, "/dev/sdb1", "");
    tree_write(computer->directory, "/sys/class/block/sdb/sdb1/partition", "1");
    tree_write(computer->directory, "/sys/class/block/sdb/queue/rotational", "0");
    tree_make(computer->directory, "/sys/class/block/sdb/holders");
    tree_make(computer->directory, "/sys/class/block/sdb1/holders");
    tree_link(computer->directory, "/dev/disk/by-id/ata-X", "../../sdb");
}

static void
test_missing_disk_does_not_exist(void)
{
    g_autoptr(Computer) computer = computer_new("/vm/none.qcow2");
    g_autoptr(GPtrArray) disks = NULL;
    const VrDiskFact *fact = load(computer, &disks);

    g_assert_false(fact->exists);
    g_assert_null(fact->error);
}

static void
test_free_image_is_free(void)
{
    g_autoptr(Computer) computer = computer_new("/vm/system.qcow2");
    g_autoptr(GPtrArray) disks = NULL;

    tree_write(computer->directory, "/vm/system.qcow2", "x");
    const VrDiskFact *fact = load(computer, &disks);
    g_assert_true(fact->exists && fact->is_regular && fact->readable && !fact->is_block);
    g_assert_cmpstr(fact->resolved, ==, "/vm/system.qcow2");
    g_assert_null(fact->mounted_at);
    g_assert_null(fact->used_by);
}

static void
test_free_disk_is_found_through_link(void)
{
    g_autoptr(Computer) computer = computer_new("/dev/disk/by-id/ata-X");
    g_autoptr(GPtrArray) disks = NULL;

    add_disk(computer);
    tree_write(computer->directory, "/proc/self/mountinfo",
               "21 1 8:1 / / rw - ext4 /dev/sda1 rw\n22 1 0:20 / /proc rw - proc proc rw");
    const VrDiskFact *fact = load(computer, &disks);
    g_assert_true(fact->exists && fact->is_block && !fact->is_regular);
    g_assert_cmpstr(fact->resolved, ==, "/dev/sdb");
    g_assert_null(fact->mounted_at);
}

static void
test_directory_is_neither(void)
{
    g_autoptr(Computer) computer = computer_new("/vm");
    g_autoptr(GPtrArray) disks = NULL;

    tree_make(computer->directory, "/vm");
    const VrDiskFact *fact = load(computer, &disks);
    g_assert_true(fact->exists && !fact->is_block && !fact->is_regular);
}

typedef struct {
    const char *name, *path, *text, *place;
} PlaceCase;

static const PlaceCase places[] = {
    {"mounted-partition", "/proc/self/mountinfo",
     "36 35 8:17 / /mnt/a\\040b rw,noatime shared:1 - ext4 /dev/sdb1 rw",
     "/dev/sdb1 is mounted at /mnt/a b"},
    {"mounted-whole", "/proc/self/mountinfo", "36 35 8:16 / /data rw - xfs /dev/sdb rw",
     "/dev/sdb is mounted at /data"},
    {"mounted-by-other-name", "/proc/self/mountinfo",
     "36 35 8:16 / /data rw - btrfs /dev/disk/by-id/ata-X rw", "/dev/sdb is mounted at /data"},
    {"swap", "/proc/swaps", "Filename Type Size Used Priority\n/dev/sdb1  partition 1 0 -2",
     "/dev/sdb1 is swap"},
    {"volume", "/sys/class/block/sdb1/holders/dm-0/x", "", "sdb1 is part of dm-0"},
    {"array", "/sys/class/block/sdb/holders/md0/x", "", "sdb is part of md0"},
};

static void
test_place(gconstpointer data)
{
    const PlaceCase *row = data;
    g_autoptr(Computer) computer = computer_new("/dev/disk/by-id/ata-X");
    g_autoptr(GPtrArray) disks = NULL;

    add_disk(computer);
    tree_write(computer->directory, row->path, row->text);
    g_assert_cmpstr(load(computer, &disks)->mounted_at, ==, row->place);
}

static void
test_volume_has_its_name(void)
{
    g_autoptr(Computer) computer = computer_new("/dev/sdb");
    g_autoptr(GPtrArray) disks = NULL;

    add_disk(computer);
    tree_write(computer->directory, "/sys/class/block/sdb1/holders/dm-0/x", "");
    tree_write(computer->directory, "/sys/class/block/dm-0/dm/name", "vg-root");
    g_assert_cmpstr(load(computer, &disks)->mounted_at, ==, "sdb1 is part of dm-0 (vg-root)");
}

static void
test_facts_that_know_it_mounted_count(void)
{
    g_autoptr(Computer) computer = computer_new("/dev/sdb");
    g_autoptr(GPtrArray) disks = NULL;

    add_disk(computer);
    g_ptr_array_add(computer->facts->mounted, g_strdup("/dev/sdb"));
    g_assert_nonnull(load(computer, &disks)->mounted_at);
}

static void
test_image_behind_loop_device(void)
{
    g_autoptr(Computer) computer = computer_new("/vm/system.img");
    g_autoptr(GPtrArray) disks = NULL;

    tree_write(computer->directory, "/vm/system.img", "x");
    tree_write(computer->directory, "/dev/loop3", "");
    tree_write(computer->directory, "/sys/class/block/loop3/loop/backing_file", "/vm/system.img");
    tree_write(computer->directory, "/proc/self/mountinfo",
               "36 35 7:3 / /mnt rw - ext4 /dev/loop3 rw");
    g_assert_cmpstr(load(computer, &disks)->mounted_at, ==,
                    "it is behind loop device loop3, and /dev/loop3 is mounted at /mnt");
}

static void
add_opener(const Computer *computer, const char *flags)
{
    tree_write(computer->directory, "/proc/812/comm", "qemu-system-x86");
    tree_write(computer->directory, "/proc/812/fdinfo/9", flags);
    tree_link(computer->directory, "/proc/812/fd/9", "/vm/system.img");
}

static void
test_writer_is_named_and_reader_is_not(void)
{
    static const struct {
        const char *flags, *used_by;
    } cases[] = {
        {"pos:\t0\nflags:\t0100002\nmnt_id:\t29", "qemu-system-x86 (pid 812)"},
        {"pos:\t0\nflags:\t0100001", "qemu-system-x86 (pid 812)"},
        {"pos:\t0\nflags:\t0100000\nmnt_id:\t29", NULL},
        {"rubbish", "qemu-system-x86 (pid 812)"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(Computer) computer = computer_new("/vm/system.img");
        g_autoptr(GPtrArray) disks = NULL;
        tree_write(computer->directory, "/vm/system.img", "x");
        add_opener(computer, cases[i].flags);
        g_assert_cmpstr(load(computer, &disks)->used_by, ==, cases[i].used_by);
    }
}

/* The running system: known by its inode, whatever name it was opened by. */
static void
test_living_writer_is_named(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(VrSysroot) live = vr_sysroot_new("/", &error);
    g_autofree char *path = NULL;
    int fd = g_file_open_tmp("vmrun-disk-XXXXXX", &path, &error);
    Computer computer = {.disk = {.path = path}};
    g_autofree char *self = g_strdup_printf("(pid %d)", (int) getpid());
    g_autoptr(GPtrArray) disks = NULL;

    g_assert_no_error(error);
    use_root(&computer, live);
    const VrDiskFact *fact = load(&computer, &disks);
    g_assert_true(fact->used_by != NULL && g_str_has_suffix(fact->used_by, self));
    g_clear_pointer(&disks, g_ptr_array_unref);
    close(fd);

    fd = open(path, O_RDONLY | O_CLOEXEC);
    g_assert_null(load(&computer, &disks)->used_by);
    close(fd);
    g_assert_cmpint(g_unlink(path), ==, 0);
    vr_host_facts_free(computer.facts);
    g_ptr_array_unref(computer.profile.disks);
    g_ptr_array_unref(computer.profile.devices);
}

static void
test_files_of_a_profile(void)
{
    g_autoptr(Computer) computer = computer_new("/vm/none");
    char kernel[] = "/boot/vmlinuz", initrd[] = "/boot", rom[] = "/card.rom";

    tree_write(computer->directory, "/card.rom", "MZ");
    tree_make(computer->directory, "/boot");
    computer->profile.kernel = kernel;
    computer->profile.initrd = initrd;
    computer->device.rom = rom;
    g_ptr_array_add(computer->profile.devices, &computer->device);
    g_autoptr(GPtrArray) files = vr_file_facts_load(computer->facts, &computer->profile);
    g_assert_cmpuint(files->len, ==, 3);
    const VrFileFact *facts[3] = {g_ptr_array_index(files, 0), g_ptr_array_index(files, 1),
                                  g_ptr_array_index(files, 2)};
    g_assert_cmpstr(facts[0]->key, ==, "kernel");
    g_assert_false(facts[0]->exists);
    g_assert_true(facts[1]->exists && !facts[1]->is_regular);
    g_assert_true(facts[2]->exists && facts[2]->is_regular);
    g_assert_nonnull(strstr(facts[2]->rom->error, "55 aa"));
    g_assert_null(facts[0]->error);
}

static void
test_addresses_that_driverctl_keeps(void)
{
    g_autoptr(Computer) computer = computer_new("/vm/none");

    tree_write(computer->directory, "/etc/driverctl.d/pci-0000:01:00.0", "vfio-pci");
    tree_write(computer->directory, "/etc/driverctl.d/pci-01:00.9", "vfio-pci");
    tree_write(computer->directory, "/etc/driverctl.d/README", "x");
    g_autoptr(GArray) kept = vr_kept_addresses_load(computer->facts);
    g_assert_cmpuint(kept->len, ==, 1);
    g_autofree char *address = vr_pci_address_format(g_array_index(kept, VrPciAddress, 0));
    g_assert_cmpstr(address, ==, "0000:01:00.0");
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/host/disk-facts/missing-disk-does-not-exist",
                    test_missing_disk_does_not_exist);
    g_test_add_func("/host/disk-facts/free-image-is-free", test_free_image_is_free);
    g_test_add_func("/host/disk-facts/free-disk-is-found-through-link",
                    test_free_disk_is_found_through_link);
    g_test_add_func("/host/disk-facts/directory-is-neither", test_directory_is_neither);
    g_test_add_func("/host/disk-facts/volume-has-its-name", test_volume_has_its_name);
    g_test_add_func("/host/disk-facts/facts-that-know-it-mounted-count",
                    test_facts_that_know_it_mounted_count);
    g_test_add_func("/host/disk-facts/image-behind-loop-device", test_image_behind_loop_device);
    g_test_add_func("/host/disk-facts/writer-is-named-and-reader-is-not",
                    test_writer_is_named_and_reader_is_not);
    g_test_add_func("/host/disk-facts/living-writer-is-named", test_living_writer_is_named);
    g_test_add_func("/host/file-facts/files-of-a-profile", test_files_of_a_profile);
    g_test_add_func("/host/file-facts/addresses-that-driverctl-keeps",
                    test_addresses_that_driverctl_keeps);
    for (size_t i = 0; i < G_N_ELEMENTS(places); i++) {
        g_autofree char *path = g_strdup_printf("/host/disk-facts/place/%s", places[i].name);
        g_test_add_data_func(path, &places[i], test_place);
    }
    return g_test_run();
}
