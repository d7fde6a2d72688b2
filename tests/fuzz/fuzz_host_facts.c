/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the kernel and its tools show below /sys, /proc and /etc, all parsers of it at once: from
 * the texts to facts, findings and the domain's XML. Nothing that they say ends vmrun, and what
 * comes out is text.
 */
#include "parts.h"

#include "../support/plan_host.h"
#include "../support/tree.h"

#include <vmrun/disk_facts.h>
#include <vmrun/inspect.h>
#include <vmrun/process.h>

#include "host/process_scan.h"

#include <libxml/parser.h>

#include <string.h>

#define CARD "/sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0"
#define CPU "/sys/devices/system/cpu"
#define NODE "/sys/devices/system/node/node0"
#define POOL NODE "/hugepages/hugepages-2048kB"

static const FuzzPlace places[] = {
    {'a', CARD "/uevent", false},
    {'b', CARD "/class", false},
    {'c', CARD "/vendor", false},
    {'d', CARD "/device", false},
    {'e', CARD "/revision", false},
    {'f', CARD "/numa_node", false},
    {'g', CARD "/boot_vga", false},
    {'h', CARD "/sriov_numvfs", false},
    {'i', CARD "/reset_method", false},
    {'j', CARD "/driver", true},
    {'k', CARD "/iommu_group", true},
    {'l', CARD "/physfn", true},
    {'m', CARD "/subsystem_vendor", false},
    {'n', CARD "/subsystem_device", false},
    {'o', CPU "/present", false},
    {'p', CPU "/online", false},
    {'q', CPU "/isolated", false},
    {'r', CPU "/cpu0/topology/thread_siblings_list", false},
    {'s', CPU "/cpu0/topology/core_id", false},
    {'t', CPU "/cpu0/cache/index3/size", false},
    {'u', CPU "/cpu0/cache/index3/shared_cpu_list", false},
    {'v', CPU "/cpu0/cache/index3/level", false},
    {'w', NODE "/cpulist", false},
    {'x', POOL "/nr_hugepages", false},
    {'y', POOL "/free_hugepages", false},
    {'z', "/proc/meminfo", false},
    {'A', "/proc/cpuinfo", false},
    {'B', "/proc/interrupts", false},
    {'C', "/proc/cmdline", false},
    {'D', "/proc/sys/kernel/osrelease", false},
    {'E', "/proc/self/mountinfo", false},
    {'F', "/proc/swaps", false},
    {'G', "/proc/net/route", false},
    {'H', "/proc/net/ipv6_route", false},
    {'I', "/proc/41/stat", false},
    {'J', "/proc/41/maps", false},
    {'K', "/proc/41/cgroup", false},
    {'L', "/proc/41/comm", false},
    {'M', "/proc/41/fdinfo/3", false},
    {'N', "/proc/41/fd/3", true},
    {'O', "/etc/passwd", false},
    {'P', "/etc/group", false},
    {'Q', "/etc/libvirt/qemu.conf", false},
    {'R', "/usr/share/qemu/firmware/40.json", false},
    {'S', "/sys/class/dmi/id/sys_vendor", false},
    {'T', "/sys/class/dmi/id/bios_version", false},
    {'U', "/sys/class/input/input0/capabilities/key", false},
    {'V', "/proc/driver/nvidia/gpus/0000:01:00.0/information", false},
    {'W', CARD "/drm/card1/dev", false},
    {'X', CARD "/drm/card1/uevent", false},
    {'Y', "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c", false},
    {'Z', "/sys/module/vfio_pci/parameters/ids", false},
    {'0', "/var/lib/vmrun/identity/gaming.conf", false},
    {'1', "/sys/class/input/input0/name", false},
    {'2', "/sys/block/sda/loop/backing_file", false},
    {'3', "/sys/class/net/eth0/device", true},
    {'4', CPU "/cpu0/topology/physical_package_id", false},
    {'5', "/etc/driverctl.d/pci-0000:01:00.0", false},
    {0, NULL, false},
};

static void
make_rest(const char *directory)
{
    tree_make(directory, "/sys/class/iommu/dmar0");
    tree_make(directory, "/sys/kernel/iommu_groups/12/devices");
    tree_make(directory, "/sys/class/net/eth0");
    tree_link(directory, "/sys/bus/pci/devices/0000:01:00.0", "../../../.." CARD);
    tree_pci(directory, "pci0000:00/0000:00:02.0", "030000 8086:4680", "i915", 1);
    tree_write(directory, "/dev/dri/card1", "");
    tree_write(directory, "/disk.img", "disk");
    tree_write(directory, "/etc/machine-id", "0123456789abcdef0123456789abcdef");
}

static void
check_xml(const char *xml)
{
    if (xml != NULL) {
        xmlDoc *document =
            xmlReadMemory(xml, (int) strlen(xml), NULL, NULL, XML_PARSE_NONET | XML_PARSE_NOERROR);
        g_assert_nonnull(document);
        xmlFreeDoc(document);
    }
}

static void
check_inspection(VrSysroot *root)
{
    static const char *const sections[] = {"[gpu]\n", "[gpu]\ndevice=0000:01:00.0\n"};
    for (guint i = 0; i < G_N_ELEMENTS(sections); i++) {
        g_autofree char *text =
            g_strconcat("[machine]\nmemory=2G\nhugepages=auto\npin=auto\n[disk a]\npath=/disk.img\n"
                        "[network n]\nmode=auto\n",
                        sections[i], NULL);
        g_autoptr(VrProfile) profile = plan_profile("gaming", text);
        g_autoptr(GError) error = NULL;
        g_autoptr(VrInspection) inspection = vr_inspect(root, profile, NULL, 0, &error);
        g_assert_cmpint(inspection == NULL, ==, error != NULL);
        for (guint j = 0; inspection != NULL && j < inspection->report->findings->len; j++) {
            const VrFinding *finding = g_ptr_array_index(inspection->report->findings, j);
            g_assert_nonnull(finding->message);
        }
        if (inspection != NULL) {
            check_xml(inspection->xml);
        }
    }
}

static void
check_processes(VrSysroot *root)
{
    g_autofree char *command = vr_process_command(root, 41);
    g_autofree char *unit = vr_process_unit(root, 41);
    g_assert_true(g_utf8_validate(command, -1, NULL));
    g_assert_true(unit == NULL || g_utf8_validate(unit, -1, NULL));
    vr_process_start_time(root, 41);
    vr_process_fd_can_write(root, 41, "3");
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    const char *directory = fuzz_directory();
    g_autoptr(VrSysroot) root = tree_root(directory);

    if (!vr_sysroot_exists(root, "/disk.img")) {
        make_rest(directory);
    }
    fuzz_fill(directory, places, data, size_bytes);
    check_inspection(root);
    check_processes(root);
    return 0;
}
