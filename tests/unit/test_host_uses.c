/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What hangs on the PCI functions of a host: disks, networks, keyboards. */
#include <vmrun/host_facts.h>

#include "../support/tree.h"

#include <string.h>

typedef struct {
    char *tree;
    VrSysroot *root;
    VrHostFacts *facts;
} Host;

static Host
host_new(void)
{
    char *tree = tree_new();

    return (Host){.tree = tree, .root = tree_root(tree)};
}

static const VrHostFacts *
host_load(Host *host, unsigned mask)
{
    vr_host_facts_free(host->facts);
    host->facts = vr_host_facts_load(host->root, mask);
    return host->facts;
}

static void
host_free(Host *host)
{
    vr_host_facts_free(host->facts);
    vr_sysroot_unref(host->root);
    tree_remove(host->tree);
}

static void
assert_use(const VrHostFacts *facts, const char *address, const char *use, bool critical)
{
    for (guint i = 0; i < facts->uses->len; i++) {
        const VrDeviceUse *found = g_ptr_array_index(facts->uses, i);
        g_autofree char *text = vr_pci_address_format(found->address);

        if (strcmp(text, address) == 0 && strcmp(found->use, use) == 0) {
            g_assert_cmpint(found->critical, ==, critical);
            return;
        }
    }
    g_error("%s is not used as %s", address, use);
}

/* A block device below a PCI function, with its entries by name and by number. */
static void
add_block(const Host *host, const char *path, const char *number)
{
    const char *name = strrchr(path, '/') + 1;
    g_autofree char *full = g_strconcat("/sys/devices/", path, NULL);
    g_autofree char *by_number = g_strconcat("/sys/dev/block/", number, NULL);
    g_autofree char *by_name = g_strconcat("/sys/class/block/", name, NULL);

    tree_make(host->tree, full);
    tree_link(host->tree, by_number, full);
    tree_link(host->tree, by_name, full);
}

#define NVME "pci0000:00/0000:00:06.0/0000:02:00.0/nvme/nvme0/nvme0n1"
#define SATA "pci0000:00/0000:00:17.0/ata1/host0/target0:0:0/0:0:0:0/block"

static void
test_storage(void)
{
    Host host = host_new();

    add_block(&host, NVME, "259:0");
    add_block(&host, NVME "/nvme0n1p2", "259:2");
    add_block(&host, SATA "/sda", "8:0");
    add_block(&host, SATA "/sda/sda1", "8:1");
    add_block(&host, SATA "/sdb", "8:16");
    add_block(&host, "virtual/block/dm-0", "254:0");
    tree_link(host.tree, "/sys/devices/virtual/block/dm-0/slaves/sda1",
              "/sys/devices/" SATA "/sda/sda1");
    tree_link(host.tree, "/sys/block/sda", "/sys/devices/" SATA "/sda");
    tree_link(host.tree, "/sys/block/sdb", "/sys/devices/" SATA "/sdb");
    tree_write(host.tree, "/proc/self/mountinfo",
               "22 1 0:30 /@ / rw shared:1 - btrfs /dev/nvme0n1p2 rw\n"
               "23 1 0:30 /@home /home rw shared:1 - btrfs /dev/nvme0n1p2 rw\n"
               "24 1 254:0 / /srv/my\\040data rw - ext4 /dev/mapper/data rw\n"
               "25 1 0:22 / /proc rw - proc proc rw\nnonsense");
    tree_write(host.tree, "/proc/swaps", "Filename Type Size Used Priority\n/dev/dm-0 partition 1");
    const VrHostFacts *facts = host_load(&host, VR_FACTS_STORAGE);

    assert_use(facts, "0000:02:00.0", "/ (nvme0n1p2)", true);
    assert_use(facts, "0000:00:17.0", "swap (sda1)", true);
    assert_use(facts, "0000:00:17.0", "disk sdb, not mounted", false);
    g_assert_cmpuint(facts->uses->len, ==, 3);
    g_assert_cmpuint(facts->mounted->len, ==, 3); /* nvme0n1p2, dm-0, sda1 */
    host_free(&host);
}

static void
test_nvme_subsystem(void)
{
    Host host = host_new();

    add_block(&host, "virtual/nvme-subsystem/nvme-subsys0/nvme0n1", "259:0");
    tree_make(host.tree, "/sys/devices/pci0000:00/0000:01:00.0/nvme/nvme0");
    tree_link(host.tree, "/sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme0",
              "../../../pci0000:00/0000:01:00.0/nvme/nvme0");
    tree_write(host.tree, "/proc/self/mountinfo", "22 1 259:0 / / rw - ext4 /dev/root rw");
    assert_use(host_load(&host, VR_FACTS_STORAGE), "0000:01:00.0", "/ (nvme0n1)", true);
    host_free(&host);
}

static void
test_loop_file(void)
{
    Host host = host_new();

    add_block(&host, "virtual/block/loop0", "7:0");
    tree_write(host.tree, "/sys/devices/virtual/block/loop0/loop/backing_file", "/srv/disk.img");
    tree_write(host.tree, "/proc/self/mountinfo", "22 1 7:0 / /mnt rw - ext4 /dev/loop0 rw");
    const VrHostFacts *facts = host_load(&host, VR_FACTS_STORAGE);
    g_assert_cmpstr(g_ptr_array_index(facts->mounted, 0), ==, "/dev/loop0");
    g_assert_cmpstr(g_ptr_array_index(facts->mounted, 1), ==, "/srv/disk.img");
    host_free(&host);
}

static void
add_interface(const Host *host, const char *name, const char *function)
{
    g_autofree char *path = g_strconcat("/sys/class/net/", name, "/device", NULL);
    g_autofree char *target = g_strconcat("/sys/devices/pci0000:00/", function, NULL);

    tree_make(host->tree, target);
    tree_link(host->tree, path, target);
}

static void
test_network(void)
{
    Host host = host_new();

    add_interface(&host, "enp5s0", "0000:05:00.0");
    add_interface(&host, "enp6s0", "0000:06:00.0");
    tree_write(host.tree, "/sys/class/net/br0/operstate", "up");
    tree_make(host.tree, "/sys/class/net/br0/bridge");
    tree_link(host.tree, "/sys/class/net/br0/lower_enp5s0", "../enp5s0");
    tree_write(host.tree, "/sys/class/net/br1/operstate", "down");
    tree_make(host.tree, "/sys/class/net/br1/bridge");
    tree_write(host.tree, "/proc/net/route",
               "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\n"
               "br0\t00000000\t0100A8C0\t0003\t0\t0\t0\t00000000\t0\n"
               "enp6s0\t0000A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0");
    const VrHostFacts *facts = host_load(&host, VR_FACTS_NETWORK);

    assert_use(facts, "0000:05:00.0", "default route (enp5s0)", true);
    assert_use(facts, "0000:06:00.0", "network interface (enp6s0)", false);
    g_assert_cmpuint(facts->bridges->len, ==, 1);
    g_assert_cmpstr(g_ptr_array_index(facts->bridges, 0), ==, "br0");
    g_assert_true(g_ptr_array_find_with_equal_func(facts->interfaces, "br1", g_str_equal, NULL));
    host_free(&host);
}

static void
test_ipv6_route(void)
{
    Host host = host_new();

    add_interface(&host, "enp5s0", "0000:05:00.0");
    tree_write(host.tree, "/proc/net/ipv6_route",
               "00000000000000000000000000000000 00 00000000000000000000000000000000 00 "
               "fe800000000000000000000000000001 00000400 00000001 00000000 00000003   enp5s0\n"
               "00000000000000000000000000000000 00 00000000000000000000000000000000 00 "
               "00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo");
    assert_use(host_load(&host, VR_FACTS_NETWORK), "0000:05:00.0", "default route (enp5s0)", true);
    host_free(&host);
}

static void
add_keyboard(const Host *host, const char *input, const char *place, const char *keys)
{
    g_autofree char *path = g_strconcat("/sys/devices/", place, "/", input, NULL);
    g_autofree char *capabilities = g_strconcat(path, "/capabilities/key", NULL);
    g_autofree char *link = g_strconcat("/sys/class/input/", input, NULL);

    tree_write(host->tree, capabilities, keys);
    tree_link(host->tree, link, path);
}

#define KEYS "10000 7 ff9f207ac14057ff febeffdfffefffff fffffffffffffffe"

static void
test_last_keyboard(void)
{
    Host host = host_new();

    add_keyboard(&host, "input3", "pci0000:00/0000:00:14.0/usb1/1-2", KEYS);
    add_keyboard(&host, "input4", "LNXSYSTM:00/LNXPWRBN:00/input", "10000000000000 0");
    assert_use(host_load(&host, VR_FACTS_STORAGE), "0000:00:14.0", "the only keyboard", true);

    add_keyboard(&host, "input1", "platform/i8042/serio0/input", KEYS);
    assert_use(host_load(&host, VR_FACTS_STORAGE), "0000:00:14.0", "keyboard", false);
    host_free(&host);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/host/storage/mounts-swap-and-volumes", test_storage);
    g_test_add_func("/host/storage/nvme-subsystem", test_nvme_subsystem);
    g_test_add_func("/host/storage/file-behind-a-loop-device", test_loop_file);
    g_test_add_func("/host/network/default-route-through-a-bridge", test_network);
    g_test_add_func("/host/network/ipv6-route", test_ipv6_route);
    g_test_add_func("/host/keyboards/last-one-is-critical", test_last_keyboard);
    return g_test_run();
}
