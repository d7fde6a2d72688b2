/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is read of a host beside its PCI functions, on small trees made by hand. */
#include <vmrun/host_facts.h>

#include "../support/tree.h"

#include <glib/gstdio.h>

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

static char *
join_parameters(const VrHostFacts *facts)
{
    GString *text = g_string_new(NULL);

    for (guint i = 0; i < facts->parameters->len; i++) {
        const VrKernelParameter *parameter = g_ptr_array_index(facts->parameters, i);

        g_string_append_printf(text, "%s<%s%s%s>", i > 0 ? " " : "", parameter->key,
                               parameter->value != NULL ? "|" : "",
                               parameter->value != NULL ? parameter->value : "");
    }
    return g_string_free(text, FALSE);
}

static void
test_command_line(void)
{
    static const struct {
        const char *text, *wanted;
    } rows[] = {
        {"quiet ro", "<quiet> <ro>"},
        {"  a=1   b= \tc", "<a|1> <b|> <c>"},
        {"a=1 a=2", "<a|1> <a|2>"},
        {"x=\"two words\" y", "<x|two words> <y>"},
        {"\"x=two words\" y", "<x|two words> <y>"},
        {"x=a=b", "<x|a=b>"},
        {"x=\"open", "<x|open>"},
        {"\"", "<>"},
        {"a -- b=1 c", "<a>"},
        {"--a b", "<--a> <b>"},
        {"", ""},
        /* found by the fuzzer */
        {"a =b c", "<a> <=b> <c>"},
        {"\"=b=c\"", "<=b|c>"},
        {"a \"--\" b", "<a>"},
        {"a\vb\xa0"
         "c",
         "<a> <b> <c>"},
        {"\"a=\"b\" c", "<a|b\" c>"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        Host host = host_new();

        tree_write(host.tree, "/proc/cmdline", rows[i].text);
        g_autofree char *found = join_parameters(host_load(&host, VR_FACTS_KERNEL));

        g_assert_cmpstr(found, ==, rows[i].wanted);
        host_free(&host);
    }
}

static void
test_parameter(void)
{
    Host host = host_new();

    tree_write(host.tree, "/proc/cmdline", "quiet vfio_pci.ids=1 vfio-pci.ids=2 iommu=pt");
    const VrHostFacts *facts = host_load(&host, VR_FACTS_KERNEL);
    g_assert_cmpstr(vr_host_facts_parameter(facts, "vfio-pci.ids"), ==, "2");
    g_assert_cmpstr(vr_host_facts_parameter(facts, "vfio_pci.ids"), ==, "2");
    g_assert_cmpstr(vr_host_facts_parameter(facts, "quiet"), ==, "");
    g_assert_null(vr_host_facts_parameter(facts, "iomm"));
    g_assert_null(vr_host_facts_parameter(facts, "iommu_"));
    host_free(&host);
}

static void
test_interrupts(void)
{
    static const struct {
        const char *text;
        VrTristate wanted;
    } rows[] = {
        {"  24:  1  0  IR-PCI-MSI 327680-edge  xhci_hcd", VR_YES},
        {"  24:  1  0  IR-PCI-MSIX-0000:01:00.0  0-edge  nvme0q0", VR_YES},
        {"  24:  1  0  PCI-MSI 327680-edge  xhci_hcd", VR_NO},
        {"   1:  9  0  IO-APIC  1-edge  i8042", VR_NO},
        {"  60:  9  0  ITS-PCI-MSI-0000:01:00.0  0 Edge  nvme0q0", VR_YES},
        {"           CPU0", VR_UNKNOWN},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        Host host = host_new();

        tree_write(host.tree, "/proc/interrupts", rows[i].text);
        g_assert_cmpint(host_load(&host, VR_FACTS_KERNEL)->interrupt_remapping, ==, rows[i].wanted);
        host_free(&host);
    }
}

static void
test_kernel(void)
{
    Host host = host_new();

    g_assert_cmpint(host_load(&host, VR_FACTS_KERNEL)->interrupt_remapping, ==, VR_UNKNOWN);
    g_assert_cmpint(host.facts->vfio_pci, ==, VR_MODULE_MISSING);
    g_assert_null(host.facts->vfio_pci_ids);

    tree_write(host.tree, "/proc/sys/kernel/osrelease", "6.1.0-56-amd64");
    tree_write(host.tree, "/proc/sys/kernel/random/boot_id", "0f");
    tree_write(host.tree, "/sys/module/vfio_pci/initstate", "live");
    tree_write(host.tree, "/sys/module/vfio_pci/parameters/ids", "10de:2484");
    tree_write(host.tree, "/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts", "Y");
    const VrHostFacts *facts = host_load(&host, VR_FACTS_KERNEL);
    g_assert_cmpstr(facts->kernel_release, ==, "6.1.0-56-amd64");
    g_assert_cmpstr(facts->boot_id, ==, "0f");
    g_assert_cmpint(facts->vfio_pci, ==, VR_MODULE_LOADED);
    g_assert_cmpstr(facts->vfio_pci_ids, ==, "10de:2484");
    g_assert_true(facts->unsafe_interrupts);
    host_free(&host);
}

/* modules.dep.bin with one entry, as depmod writes it (kmod, libkmod/libkmod-index.h): magic,
 * version, offset of the root with the flags "has a prefix" and "has values", the prefix, one
 * value. */
static void
add_modules(const Host *host)
{
    static const char index[] = "\xb0\x07\xf4\x57\0\x02\0\x01\xc0\0\0\x0c"
                                "vfio_pci\0\0\0\0\x01\0\0\0\0"
                                "kernel/drivers/vfio/pci/vfio-pci.ko:";
    g_autofree char *file =
        g_strconcat(host->tree, "/lib/modules/9.9.9-test/modules.dep.bin", NULL);

    tree_write(host->tree, "/proc/sys/kernel/osrelease", "9.9.9-test");
    tree_make(host->tree, "/lib/modules/9.9.9-test");
    g_assert_true(g_file_set_contents(file, index, sizeof index, NULL));
}

static void
test_module_in_files(void)
{
    Host host = host_new();

    add_modules(&host);
    g_assert_cmpint(host_load(&host, VR_FACTS_KERNEL)->vfio_pci, ==, VR_MODULE_LOADABLE);
    tree_write(host.tree, "/proc/cmdline", "module_blacklist=nouveau,vfio-pci");
    g_assert_cmpint(host_load(&host, VR_FACTS_KERNEL)->vfio_pci, ==, VR_MODULE_BLACKLISTED);
    tree_write(host.tree, "/proc/cmdline", "quiet");
    tree_write(host.tree, "/etc/modprobe.d/no.conf", "blacklist vfio-pci");
    g_assert_cmpint(host_load(&host, VR_FACTS_KERNEL)->vfio_pci, ==, VR_MODULE_BLACKLISTED);
    host_free(&host);
}

static void
test_firmware(void)
{
    Host host = host_new();

    g_assert_cmpint(host_load(&host, VR_FACTS_FIRMWARE)->secure_boot, ==, VR_NO);
    tree_write(host.tree, "/sys/class/dmi/id/sys_vendor", "Micro-Star International Co., Ltd.");
    tree_write(host.tree, "/sys/class/dmi/id/product_name", "MS-7D91");
    tree_write(host.tree, "/sys/class/dmi/id/bios_version", "A.60");
    tree_make(host.tree, "/sys/firmware/efi/efivars");
    const VrHostFacts *facts = host_load(&host, VR_FACTS_FIRMWARE);
    g_assert_cmpstr(facts->computer, ==, "Micro-Star International Co., Ltd. MS-7D91");
    g_assert_cmpstr(facts->bios_version, ==, "A.60");
    g_assert_null(facts->bios_date);
    g_assert_true(facts->uefi);
    g_assert_cmpint(facts->secure_boot, ==, VR_UNKNOWN);
    g_assert_false(facts->is_virtual_machine);
    host_free(&host);
}

static void
test_secure_boot(void)
{
    Host host = host_new();
    g_autofree char *variable = g_strconcat(
        host.tree, "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c",
        NULL);

    tree_make(host.tree, "/sys/firmware/efi/efivars");
    g_assert_true(g_file_set_contents(variable, "\x06\0\0\0\x01", 5, NULL));
    g_assert_cmpint(host_load(&host, VR_FACTS_FIRMWARE)->secure_boot, ==, VR_YES);
    g_assert_true(g_file_set_contents(variable, "\x06\0\0\0\0", 5, NULL));
    g_assert_cmpint(host_load(&host, VR_FACTS_FIRMWARE)->secure_boot, ==, VR_NO);
    host_free(&host);
}

static void
test_virtual_machine(void)
{
    Host host = host_new();

    tree_write(host.tree, "/proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu svm hypervisor lm\n");
    g_assert_true(host_load(&host, VR_FACTS_FIRMWARE)->is_virtual_machine);
    tree_write(host.tree, "/proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu svm lm\n");
    g_assert_false(host_load(&host, VR_FACTS_FIRMWARE)->is_virtual_machine);
    tree_write(host.tree, "/sys/class/dmi/id/sys_vendor", "QEMU");
    g_assert_true(host_load(&host, VR_FACTS_FIRMWARE)->is_virtual_machine);
    host_free(&host);
}

#define CPUS "/sys/devices/system/cpu"

static void
add_cpu(const Host *host, unsigned id, const char *core, const char *siblings, const char *l3)
{
    const struct {
        const char *name, *text;
    } rows[] = {
        {"topology/physical_package_id", "0"},
        {"topology/core_id", core},
        {"topology/thread_siblings_list", siblings},
        {"cache/index0/level", "1"},
        {"cache/index3/level", "3"},
        {"cache/index3/shared_cpu_list", l3},
        {"cache/index3/size", "32768K"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *path = g_strdup_printf(CPUS "/cpu%u/%s", id, rows[i].name);

        tree_write(host->tree, path, rows[i].text);
    }
}

static void
test_cpus(void)
{
    Host host = host_new();

    tree_write(host.tree, CPUS "/present", "0-4");
    tree_write(host.tree, CPUS "/online", "0-3");
    tree_write(host.tree, CPUS "/isolated", "2-3");
    tree_write(host.tree, "/sys/devices/cpu_atom/cpus", "3");
    tree_write(host.tree, "/sys/devices/system/node/node0/cpulist", "0-1");
    tree_write(host.tree, "/sys/devices/system/node/node1/cpulist", "2-4");
    add_cpu(&host, 0, "0", "0,2", "0-1");
    add_cpu(&host, 1, "1", "1", "0-1");
    add_cpu(&host, 2, "0", "0,2", "2-3");
    add_cpu(&host, 3, "2", "3", "2-3");
    const VrHostFacts *facts = host_load(&host, VR_FACTS_CPU);
    const VrCpu *two = g_ptr_array_index(facts->cpus, 2);
    const VrCpu *three = g_ptr_array_index(facts->cpus, 3);
    const VrCpu *four = g_ptr_array_index(facts->cpus, 4);

    g_assert_cmpuint(facts->cpus->len, ==, 5);
    g_assert_cmpuint(facts->node_count, ==, 2);
    g_assert_true(two->online && two->isolated && !two->efficiency);
    g_assert_cmpint(two->node, ==, 1);
    g_assert_cmpint(two->l3, ==, 2);
    g_assert_cmpuint(two->l3_kib, ==, 32768);
    g_assert_cmpuint(two->siblings->len, ==, 2);
    g_assert_true(three->efficiency);
    g_assert_false(four->online);
    g_assert_cmpint(four->core, ==, -1);
    g_assert_cmpint(four->l3, ==, -1);
    g_assert_cmpuint(four->siblings->len, ==, 1);
    host_free(&host);
}

static void
test_cpu_features(void)
{
    Host host = host_new();

    tree_write(host.tree, "/proc/cpuinfo",
               "processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: AMD Ryzen 7\n"
               "flags\t\t: svm topoext constant_tsc nonstop_tsc\n"
               "address sizes\t: 48 bits physical, 48 bits virtual\n\nprocessor\t: 1\n");
    tree_write(host.tree, "/sys/module/kvm_amd/parameters/avic", "1");
    const VrHostFacts *facts = host_load(&host, VR_FACTS_CPU);
    g_assert_cmpstr(facts->cpu_model, ==, "AMD Ryzen 7");
    g_assert_true(facts->cpu_is_amd && !facts->cpu_is_intel);
    g_assert_true(facts->cpu_has_virtualisation && facts->cpu_has_topoext);
    g_assert_true(facts->cpu_has_invariant_tsc && facts->apic_virtualisation);
    g_assert_cmpuint(facts->physical_bits, ==, 48);
    host_free(&host);
}

static void
test_memory(void)
{
    Host host = host_new();

    tree_write(host.tree, "/proc/meminfo",
               "MemTotal:       33554432 kB\nMemFree: 5 kB\nMemAvailable:   16777216 kB");
#define POOL(node, size) "/sys/devices/system/node/node" node "/hugepages/hugepages-" size "kB"
    tree_write(host.tree, POOL("1", "2048") "/nr_hugepages", "512");
    tree_write(host.tree, POOL("1", "2048") "/free_hugepages", "500");
    tree_write(host.tree, POOL("0", "1048576") "/nr_hugepages", "4");
    const VrHostFacts *facts = host_load(&host, VR_FACTS_MEMORY);
    const VrHugepagePool *pool = g_ptr_array_index(facts->hugepages, 1);

    g_assert_cmpuint(facts->memory_total_mib, ==, 32768);
    g_assert_cmpuint(facts->memory_available_mib, ==, 16384);
    g_assert_cmpuint(facts->hugepages->len, ==, 2);
    g_assert_cmpint(pool->node, ==, 1);
    g_assert_cmpuint(pool->page_kib, ==, 2048);
    g_assert_cmpuint(pool->total, ==, 512);
    g_assert_cmpuint(pool->free, ==, 500);
    host_free(&host);
}

typedef struct {
    const char *name;
    unsigned mode;
    unsigned owner, group;
    const char *conf;
    VrTristate usable;
} Access;

static void
test_kvm_access(gconstpointer data)
{
    const Access *access = data;
    Host host = host_new();
    g_autofree char *passwd =
        g_strdup_printf("root:x:0:0::/root:/bin/sh\nlibvirt-qemu:x:64055:64055::/:/bin/false\n"
                        "owner:x:%u:%u::/:/bin/false",
                        access->owner, access->group);
    g_autofree char *groups = g_strdup_printf(
        "root:x:0:\nkvm:x:%u:other,libvirt-qemu\nlibvirt-qemu:x:64055:", access->group);
    g_autofree char *node = g_strconcat(host.tree, "/dev/kvm", NULL);

    tree_write(host.tree, "/dev/kvm", "");
    g_assert_no_errno(g_chmod(node, (int) access->mode));
    tree_write(host.tree, "/etc/passwd", passwd);
    tree_write(host.tree, "/etc/group",
               strcmp(access->name, "not-a-member") == 0 ? "root:x:0:" : groups);
    if (access->conf != NULL) {
        tree_write(host.tree, "/etc/libvirt/qemu.conf", access->conf);
    }
    host_load(&host, VR_FACTS_VIRTUALISATION);
    g_assert_cmpint(host.facts->kvm, ==, VR_YES);
    g_assert_cmpint(host.facts->kvm_usable, ==, access->usable);
    g_assert_nonnull(strstr(host.facts->kvm_evidence, host.facts->qemu_user));
    host_free(&host);
}

static void
test_no_kvm(void)
{
    Host host = host_new();

    host_load(&host, VR_FACTS_VIRTUALISATION);
    g_assert_cmpint(host.facts->kvm, ==, VR_NO);
    g_assert_cmpint(host.facts->kvm_usable, ==, VR_NO);
    g_assert_nonnull(host.facts->kvm_evidence);
    g_assert_null(host.facts->qemu_binary);
    g_assert_false(host.facts->libvirt_system_socket || host.facts->swtpm || host.facts->ovmf);
    host_free(&host);
}

#define DESCRIPTOR(features)                                                                       \
    "{\"interface-types\":[\"uefi\"],\"mapping\":{\"device\":\"flash\",\"executable\":"            \
    "{\"filename\":\"/usr/share/OVMF/CODE.fd\"}},\"targets\":[{\"architecture\":\"x86_64\","       \
    "\"machines\":[\"pc-q35-*\"]}],\"features\":[" features "]}"

static void
test_ovmf(void)
{
    Host host = host_new();

    tree_write(host.tree, "/usr/share/qemu/firmware/50-plain.json", DESCRIPTOR("\"acpi-s3\""));
    g_assert_false(host_load(&host, VR_FACTS_VIRTUALISATION)->ovmf); /* the file is not there */
    tree_write(host.tree, "/usr/share/OVMF/CODE.fd", "code");
    g_assert_true(host_load(&host, VR_FACTS_VIRTUALISATION)->ovmf);
    g_assert_false(host.facts->ovmf_secure);
    tree_write(host.tree, "/usr/share/qemu/firmware/40-secure.json",
               DESCRIPTOR("\"secure-boot\",\"enrolled-keys\",\"requires-smm\""));
    g_assert_true(host_load(&host, VR_FACTS_VIRTUALISATION)->ovmf_secure);
    tree_write(host.tree, "/etc/qemu/firmware/50-plain.json", ""); /* masks it */
    g_assert_false(host_load(&host, VR_FACTS_VIRTUALISATION)->ovmf);
    host_free(&host);
}

static void
test_hostile_descriptors(void)
{
    static const char *const texts[] = {
        "{",
        "[]",
        "null",
        "{\"interface-types\":\"uefi\"}",
        "{\"interface-types\":[\"uefi\"],"
        "\"targets\":[1,{\"architecture\":2,\"machines\":[3]}],\"mapping\":[],\"features\":[{}]}",
    };

    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
        Host host = host_new();

        tree_write(host.tree, "/usr/share/qemu/firmware/1.json", texts[i]);
        g_assert_false(host_load(&host, VR_FACTS_VIRTUALISATION)->ovmf);
        host_free(&host);
    }
}

static void
test_names(void)
{
    Host host = host_new();

    tree_pci(host.tree, "pci0000:00/0000:00:01.0", "020000 ffee:0001", NULL, -1);
    const VrHostFacts *facts = host_load(&host, VR_FACTS_NAMES);
    const VrPciFunction *function = g_ptr_array_index(facts->functions, 0);
    g_assert_cmpstr(vr_host_facts_name(facts, function), ==, "ffee:0001");
    g_assert_true(vr_host_facts_name(facts, function) == vr_host_facts_name(facts, function));
    host_free(&host);
}

static void
test_no_bus(void)
{
    Host host = host_new();

    g_assert_nonnull(host_load(&host, VR_FACTS_ALL)->functions_error);
    g_assert_cmpuint(host.facts->functions->len, ==, 0);
    g_assert_false(host.facts->iommu);
    host_free(&host);
}

static void
test_only_what_was_asked_for(void)
{
    Host host = host_new();

    tree_write(host.tree, "/proc/cmdline", "quiet");
    g_assert_cmpuint(host_load(&host, VR_FACTS_PCI)->parameters->len, ==, 0);
    host_free(&host);
}

/* On a living system uevent waits for a device that is being removed: modalias tells the same. */
static void
test_ids_from_modalias(void)
{
    Host host = host_new();
    const char *directory = "/sys/bus/pci/devices/0000:01:00.0";
    g_autofree char *modalias = g_strconcat(directory, "/modalias", NULL);
    g_autofree char *uevent = g_strconcat(directory, "/uevent", NULL);

    tree_pci(host.tree, "pci0000:00/0000:01:00.0", "030000 10de:2484", "nvidia", 1);
    tree_write(host.tree, modalias, "pci:v000010DEd00002204sv00001043sd000087B5bc03sc00i00");
    tree_write(host.tree, uevent, "PCI_CLASS=40300\nPCI_ID=8086:2668\nPCI_SUBSYS_ID=1:2");
    const VrHostFacts *facts = host_load(&host, VR_FACTS_PCI);
    const VrPciFunction *function = g_ptr_array_index(facts->functions, 0);

    g_assert_cmphex(function->vendor, ==, 0x10de);
    g_assert_cmphex(function->device, ==, 0x2204);
    g_assert_cmphex(function->subsystem_vendor, ==, 0x1043);
    g_assert_cmphex(function->subsystem_device, ==, 0x87b5);
    g_assert_cmphex(function->class_code, ==, 0x030000);
    g_assert_cmpuint(function->unreadable, ==, 0);
    host_free(&host);
}

/* Whatever lies in the directory of the bus, the scan ends and leaves out what is no function. */
static void
test_hostile_bus(void)
{
    Host host = host_new();

    tree_make(host.tree, "/sys/bus/pci/devices/not-an-address");
    tree_link(host.tree, "/sys/bus/pci/devices/0000:00:1f.7", "0000:00:1f.7");
    tree_write(host.tree, "/sys/bus/pci/devices/0000:00:03.0", "a file");
    tree_pci(host.tree, "pci0000:00/00000001:00:01.0", "030000 10de:2484", "../../x", 1);
    tree_write(host.tree, "/sys/bus/pci/devices/0000:00:04.0/uevent",
               "PCI_CLASS=zz\nPCI_ID=:\nPCI_ID=\nPCI_SUBSYS_ID=1:2:3\n=\n\nDRIVER");
    const VrHostFacts *facts = host_load(&host, VR_FACTS_PCI);

    g_assert_cmpuint(facts->functions->len, ==, 4);
    for (guint i = 0; i < 3; i++) {
        const VrPciFunction *function = g_ptr_array_index(facts->functions, i);

        g_assert_true((function->unreadable & VR_PCI_UNREADABLE_IDS) != 0);
    }
    const VrPciFunction *last = g_ptr_array_index(facts->functions, 3);
    g_assert_cmpstr(last->driver, ==, "x");
    g_assert_cmpuint(last->address.domain, ==, 1);
    host_free(&host);
}

int
main(int argc, char **argv)
{
    static const Access accesses[] = {
        {"group-member", 0660, 0, 0, NULL, VR_YES},
        {"not-a-member", 0660, 0, 0, NULL, VR_NO},
        {"mode-0600", 0600, 0, 0, NULL, VR_NO},
        {"mode-0666", 0666, 0, 0, NULL, VR_YES},
        {"root-owns-it", 0600, 0, 0, "#user = \"x\"\nuser = \"root\"  # all", VR_YES},
        {"by-number", 0600, 0, 0, "user = \"+0\"", VR_YES},
        {"configured-group", 0660, 0, 0, "user=\"libvirt-qemu\"\ngroup=\"root\"", VR_YES},
        {"unknown-user", 0660, 0, 0, "user = \"nobody-knows\"", VR_UNKNOWN},
    };

    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/host/cmdline/cuts-as-the-kernel-does", test_command_line);
    g_test_add_func("/host/cmdline/last-value-counts", test_parameter);
    g_test_add_func("/host/modules/interrupt-remapping", test_interrupts);
    g_test_add_func("/host/modules/running-kernel", test_kernel);
    g_test_add_func("/host/modules/state-in-files", test_module_in_files);
    g_test_add_func("/host/firmware/computer", test_firmware);
    g_test_add_func("/host/firmware/secure-boot", test_secure_boot);
    g_test_add_func("/host/firmware/virtual-machine", test_virtual_machine);
    g_test_add_func("/host/cpu/topology", test_cpus);
    g_test_add_func("/host/cpu/features", test_cpu_features);
    g_test_add_func("/host/memory/pools-per-node", test_memory);
    for (gsize i = 0; i < G_N_ELEMENTS(accesses); i++) {
        g_autofree char *path = g_strconcat("/host/kvm-access/", accesses[i].name, NULL);

        g_test_add_data_func(path, &accesses[i], test_kvm_access);
    }
    g_test_add_func("/host/virtualisation/nothing-installed", test_no_kvm);
    g_test_add_func("/host/ovmf/descriptors", test_ovmf);
    g_test_add_func("/host/ovmf/hostile-descriptors", test_hostile_descriptors);
    g_test_add_func("/host/pci-names/unknown-id-names-itself", test_names);
    g_test_add_func("/host/facts/no-pci-bus", test_no_bus);
    g_test_add_func("/host/facts/only-what-was-asked-for", test_only_what_was_asked_for);
    g_test_add_func("/host/pci-devices/hostile-bus", test_hostile_bus);
    g_test_add_func("/host/pci-devices/ids-from-modalias", test_ids_from_modalias);
    return g_test_run();
}
