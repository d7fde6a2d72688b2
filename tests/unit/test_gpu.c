/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The judgement of graphics cards on small computers made by hand: what no recorded one shows. */
#include <vmrun/gpu.h>

#include "../support/tree.h"

#include <string.h>

typedef struct {
    char *tree;
    VrSysroot *root;
    VrHostFacts *facts;
    GPtrArray *gpus;
} Host;

static Host
host_new(void)
{
    return (Host){.tree = tree_new()};
}

static void
host_judge(Host *host, unsigned mask)
{
    host->root = tree_root(host->tree);
    host->facts = vr_host_facts_load(host->root, mask);
    host->gpus = vr_gpus_judge(host->facts);
}

static void
host_free(Host *host)
{
    g_ptr_array_unref(host->gpus);
    vr_host_facts_free(host->facts);
    vr_sysroot_unref(host->root);
    tree_remove(host->tree);
}

static void
add(const Host *host, const char *path, const char *class_and_id, int group)
{
    tree_pci(host->tree, path, class_and_id, NULL, group);
}

static void
set(const Host *host, const char *address, const char *name, const char *text)
{
    g_autofree char *path = g_strconcat("/sys/bus/pci/devices/", address, "/", name, NULL);
    g_autofree char *link = g_strconcat(host->tree, "/sys/bus/pci/devices/", address, NULL);
    g_autofree char *target = g_file_read_link(link, NULL);
    g_autofree char *real = g_strconcat("/sys/", target + strlen("../../../"), "/", name, NULL);

    tree_write(host->tree, real, text);
}

static const VrGpu *
gpu_at(const Host *host, const char *address)
{
    for (guint i = 0; i < host->gpus->len; i++) {
        const VrGpu *gpu = g_ptr_array_index(host->gpus, i);
        g_autofree char *text = vr_pci_address_format(gpu->display->address);

        if (strcmp(text, address) == 0) {
            return gpu;
        }
    }
    g_error("no display at %s", address);
}

static char *
problems_of(const Host *host, const char *address)
{
    const VrGpu *gpu = gpu_at(host, address);
    GString *text = g_string_new(NULL);

    for (guint i = 0; i < gpu->problems->len; i++) {
        const char *problem = g_ptr_array_index(gpu->problems, i);

        g_string_append_printf(text, "%s%s", i > 0 ? " " : "", problem);
        g_assert_cmpstr(vr_gpu_problem_meaning(problem), !=, problem);
        g_assert_cmpstr(vr_gpu_problem_advice(problem), !=, "");
    }
    return g_string_free(text, FALSE);
}

static void
assert_problems(const Host *host, const char *address, const char *wanted)
{
    g_autofree char *found = problems_of(host, address);

    g_assert_cmpstr(found, ==, wanted);
}

static void
assert_functions(const Host *host, const char *address, const char *wanted)
{
    const VrGpu *gpu = gpu_at(host, address);
    GString *text = g_string_new(NULL);

    for (guint i = 0; i < gpu->functions->len; i++) {
        const VrPciFunction *function = g_ptr_array_index(gpu->functions, i);
        g_autofree char *one = vr_pci_address_format(function->address);

        g_string_append_printf(text, "%s%s", i > 0 ? " " : "", one);
    }
    g_assert_cmpstr(text->str, ==, wanted);
    g_string_free(text, TRUE);
}

/* An integrated boot display and a card of two functions behind a port: the ordinary case. */
static Host
host_with_card(void)
{
    Host host = host_new();

    add(&host, "pci0000:00/0000:00:02.0", "030000 8086:4680", 0);
    set(&host, "0000:00:02.0", "boot_vga", "1");
    add(&host, "pci0000:00/0000:00:01.0", "060400 8086:460d", 1);
    add(&host, "pci0000:00/0000:00:01.0/0000:01:00.0", "030000 10de:2484", 1);
    add(&host, "pci0000:00/0000:00:01.0/0000:01:00.1", "040300 10de:228b", 1);
    set(&host, "0000:01:00.0", "boot_vga", "0");
    return host;
}

static void
test_ordinary(void)
{
    Host host = host_with_card();

    host_judge(&host, VR_FACTS_PCI);
    assert_problems(&host, "0000:01:00.0", "");
    assert_problems(&host, "0000:00:02.0", "boot-display");
    assert_functions(&host, "0000:01:00.0", "0000:01:00.0 0000:01:00.1");
    g_assert_cmpint(gpu_at(&host, "0000:01:00.0")->boot_display, ==, VR_NO);
    g_assert_cmpuint(gpu_at(&host, "0000:01:00.0")->bridges->len, ==, 1);
    g_assert_true(gpu_at(&host, "0000:00:02.0")->integrated);
    host_free(&host);
}

/* In the emulated host of the tests QEMU's displays stand in for cards. */
static void
test_emulated_card_is_a_card(void)
{
    Host host = host_new();

    add(&host, "pci0000:00/0000:00:02.0", "030000 1234:1111", 0);
    set(&host, "0000:00:02.0", "boot_vga", "1");
    add(&host, "pci0000:00/0000:00:04.0", "060400 1b36:000c", 1);
    add(&host, "pci0000:00/0000:00:04.0/0000:01:00.0", "038000 1234:1111", 2);
    add(&host, "pci0000:00/0000:00:04.0/0000:01:00.1", "040300 8086:2668", 2);
    add(&host, "pci0000:00/0000:00:05.0", "060400 1b36:000c", 3);
    add(&host, "pci0000:00/0000:00:05.0/0000:02:00.0", "030000 1234:1111", 4);
    set(&host, "0000:02:00.0", "boot_vga", "0");
    host_judge(&host, VR_FACTS_PCI);
    assert_problems(&host, "0000:00:02.0", "boot-display virtual-machine");
    assert_problems(&host, "0000:01:00.0", "");
    assert_problems(&host, "0000:02:00.0", "");
    assert_functions(&host, "0000:01:00.0", "0000:01:00.0 0000:01:00.1");
    host_free(&host);
}

static void
test_emulated_display_of_a_guest_is_none(void)
{
    static const char *const ids[] = {"030000 15ad:0405", "030000 1013:00b8", "030000 80ee:beef",
                                      "030000 1af4:1050", "030200 1414:008e", "038000 1b36:0100"};

    for (gsize i = 0; i < G_N_ELEMENTS(ids); i++) {
        Host host = host_new();

        add(&host, "pci0000:00/0000:00:02.0", ids[i], -1);
        host_judge(&host, VR_FACTS_PCI);
        assert_problems(&host, "0000:00:02.0", "no-iommu virtual-machine");
        g_assert_false(gpu_at(&host, "0000:00:02.0")->integrated);
        g_assert_cmpint(gpu_at(&host, "0000:00:02.0")->boot_display, ==, VR_UNKNOWN);
        host_free(&host);
    }
}

/* Behind a port, but the only display: it is the guest's own (virtio-gpu on arm64). */
static void
test_lone_emulated_display_is_the_guests_own(void)
{
    Host host = host_new();

    add(&host, "pci0000:00/0000:00:01.0", "060400 1b36:000c", 0);
    add(&host, "pci0000:00/0000:00:01.0/0000:01:00.0", "038000 1af4:1050", 1);
    host_judge(&host, VR_FACTS_PCI);
    assert_problems(&host, "0000:01:00.0", "virtual-machine");
    host_free(&host);
}

static void
test_management_console_does_not_count(void)
{
    Host host = host_new();

    add(&host, "pci0000:00/0000:00:1c.0/0000:03:00.0/0000:04:00.0", "030000 1a03:2000", 5);
    add(&host, "pci0000:00/0000:00:1c.0/0000:03:00.0/0000:04:00.1", "0c0300 1a03:2603", 5);
    set(&host, "0000:04:00.0", "boot_vga", "1");
    add(&host, "pci0000:00/0000:00:01.0/0000:01:00.0", "030200 10de:20b5", 6);
    host_judge(&host, VR_FACTS_PCI);
    assert_problems(&host, "0000:04:00.0", "shared-group boot-display management-console");
    assert_functions(&host, "0000:04:00.0", "0000:04:00.0");
    assert_problems(&host, "0000:01:00.0", "only-gpu");
    g_assert_cmpint(gpu_at(&host, "0000:01:00.0")->boot_display, ==, VR_NO);
    host_free(&host);
}

/* The audio of an Arc card has a bus of its own below the card's switch. */
static void
test_arc_takes_its_audio(void)
{
    Host host = host_with_card();

#define SWITCH "pci0000:00/0000:00:1c.0/0000:02:00.0"
    add(&host, "pci0000:00/0000:00:1c.0", "060400 8086:7ab8", 10);
    add(&host, SWITCH, "060400 8086:4fa1", 11);
    add(&host, SWITCH "/0000:03:01.0", "060400 8086:4fa4", 12);
    add(&host, SWITCH "/0000:03:04.0", "060400 8086:4fa4", 13);
    add(&host, SWITCH "/0000:03:01.0/0000:04:00.0", "030000 8086:56a0", 14);
    add(&host, SWITCH "/0000:03:04.0/0000:05:00.0", "040300 8086:4f90", 15);
    add(&host, "pci0000:00/0000:00:1f.3", "040300 8086:7ad0", 16);
    host_judge(&host, VR_FACTS_PCI);
    assert_functions(&host, "0000:04:00.0", "0000:04:00.0 0000:05:00.0");
    g_assert_cmpuint(gpu_at(&host, "0000:04:00.0")->groups->len, ==, 2);
    g_assert_false(gpu_at(&host, "0000:04:00.0")->integrated);
    assert_problems(&host, "0000:04:00.0", "");
    host_free(&host);
}

static void
test_arc_leaves_the_audio_of_another_switch(void)
{
    Host host = host_with_card();

    add(&host, SWITCH, "060400 8086:4fa1", 11);
    add(&host, SWITCH "/0000:03:01.0", "060400 8086:4fa4", 12);
    add(&host, SWITCH "/0000:03:01.0/0000:04:00.0", "038000 8086:5693", 14);
    add(&host, "pci0000:00/0000:00:1d.0", "060400 8086:7ab0", 17);
    add(&host, "pci0000:00/0000:00:1d.0/0000:05:00.0", "040300 8086:4f90", 15);
    host_judge(&host, VR_FACTS_PCI);
    assert_functions(&host, "0000:04:00.0", "0000:04:00.0");
    host_free(&host);
}

static void
test_apu_keeps_the_board_s_functions(void)
{
    Host host = host_new();

#define SLOT "pci0000:00/0000:00:08.1/0000:c4:00"
    add(&host, SLOT ".0", "030000 1002:15bf", 20);
    add(&host, SLOT ".1", "040300 1002:1640", 21);
    add(&host, SLOT ".4", "0c0330 1022:15ba", 22);
    add(&host, SLOT ".6", "040300 1022:15e3", 20);
    add(&host, "pci0000:00/0000:00:01.1/0000:03:00.0", "038000 1002:7480", 23);
    host_judge(&host, VR_FACTS_PCI);
    assert_functions(&host, "0000:c4:00.0", "0000:c4:00.0 0000:c4:00.1");
    g_assert_true(gpu_at(&host, "0000:c4:00.0")->integrated);
    g_assert_false(gpu_at(&host, "0000:03:00.0")->integrated);
    assert_problems(&host, "0000:c4:00.0", "shared-group");
    host_free(&host);
}

static void
test_virtual_functions(void)
{
    Host host = host_with_card();

    add(&host, "pci0000:00/0000:00:01.0/0000:01:00.2", "030200 10de:2484", 7);
    tree_link(host.tree, "/sys/devices/pci0000:00/0000:00:01.0/0000:01:00.2/physfn",
              "../0000:01:00.0");
    host_judge(&host, VR_FACTS_PCI);
    g_assert_cmpuint(host.gpus->len, ==, 2);
    assert_functions(&host, "0000:01:00.0", "0000:01:00.0 0000:01:00.1");
    assert_problems(&host, "0000:01:00.0", "sriov-active");
    g_assert_true(gpu_at(&host, "0000:01:00.0")->ids_ambiguous);
    host_free(&host);
}

static void
test_dead(void)
{
    Host host = host_with_card();

    set(&host, "0000:01:00.1", "revision", "0xff");
    host_judge(&host, VR_FACTS_PCI);
    assert_problems(&host, "0000:01:00.0", "dead-device");
    host_free(&host);
}

static void
test_no_iommu(void)
{
    Host host = host_new();

    add(&host, "pci0000:00/0000:00:02.0", "030000 8086:4680", -1);
    add(&host, "pci0000:00/0000:00:01.0/0000:01:00.0", "030000 10de:2484", -1);
    host_judge(&host, VR_FACTS_PCI);
    assert_problems(&host, "0000:01:00.0", "no-iommu");
    g_assert_cmpint(gpu_at(&host, "0000:01:00.0")->isolated, ==, VR_UNKNOWN);
    g_assert_cmpint(gpu_at(&host, "0000:01:00.0")->boot_display, ==, VR_UNKNOWN);
    host_free(&host);
}

static void
test_iommu_without_group(void)
{
    Host host = host_new();

    tree_make(host.tree, "/sys/class/iommu/dmar0");
    add(&host, "pci0000:00/0000:00:02.0", "030000 8086:4680", -1);
    add(&host, "pci0000:00/0000:00:01.0/0000:01:00.0", "030000 10de:2484", 1);
    host_judge(&host, VR_FACTS_PCI);
    assert_problems(&host, "0000:00:02.0", "no-group");
    assert_problems(&host, "0000:01:00.0", "");
    host_free(&host);
}

/* VFIO makes groups for devices that no IOMMU guards, if the administrator asks for it. */
static void
test_group_without_iommu(void)
{
    Host host = host_with_card();

    tree_write(host.tree, "/sys/kernel/iommu_groups/0/name", "vfio-noiommu");
    tree_write(host.tree, "/sys/kernel/iommu_groups/1/name", "vfio-noiommu");
    host_judge(&host, VR_FACTS_PCI);
    g_assert_false(host.facts->iommu);
    assert_problems(&host, "0000:01:00.0", "no-iommu");
    host_free(&host);
}

typedef struct {
    const char *name, *path, *text; /* text NULL: a directory where a file or link should be */
    bool is_link;
} Damage;

static void
test_unreadable(gconstpointer data)
{
    const Damage *damage = data;
    Host host = host_new();
    g_autofree char *path =
        g_strconcat("/sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0/", damage->path, NULL);

    add(&host, "pci0000:00/0000:00:02.0", "030000 8086:4680", 0);
    add(&host, "pci0000:00/0000:00:01.0/0000:01:00.0", "030000 10de:2484", -1);
    tree_make(host.tree, "/sys/class/iommu/dmar0");
    if (strcmp(damage->path, "iommu_group") != 0) {
        tree_link(host.tree, "/sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0/iommu_group",
                  "../../../../kernel/iommu_groups/1");
    }
    if (damage->text == NULL) {
        tree_make(host.tree, path);
    } else if (damage->is_link) {
        tree_link(host.tree, path, damage->text);
    } else {
        tree_write(host.tree, path, damage->text);
    }
    host_judge(&host, VR_FACTS_PCI);
    assert_problems(&host, "0000:01:00.0", "unreadable");
    g_assert_nonnull(gpu_at(&host, "0000:01:00.0")->display->error);
    if (strcmp(damage->path, "iommu_group") == 0) {
        g_assert_cmpint(gpu_at(&host, "0000:01:00.0")->isolated, ==, VR_UNKNOWN);
    }
    g_assert_cmpint(gpu_at(&host, "0000:01:00.0")->boot_display, ==, VR_UNKNOWN);
    host_free(&host);
}

static void
test_neighbour_tells_what_it_costs(void)
{
    Host host = host_with_card();

    add(&host, "pci0000:00/0000:00:17.0", "010601 8086:7ae2", 1);
    tree_make(host.tree, "/sys/devices/pci0000:00/0000:00:17.0/ata1/block/sda/sda2");
    tree_link(host.tree, "/sys/dev/block/8:2",
              "../../devices/pci0000:00/0000:00:17.0/ata1/block/sda/sda2");
    tree_write(host.tree, "/proc/self/mountinfo", "22 1 8:2 / / rw - ext4 /dev/sda2 rw");
    host_judge(&host, VR_FACTS_PCI | VR_FACTS_STORAGE);
    assert_problems(&host, "0000:01:00.0", "shared-group");

    const VrNeighbour *neighbour = g_ptr_array_index(gpu_at(&host, "0000:01:00.0")->in_the_way, 0);
    g_assert_cmpstr(neighbour->reason, ==,
                    "storage controller: the host would lose the disks on it; now: / (sda2)");
    host_free(&host);
}

static void
test_any_function(void)
{
    Host host = host_with_card();
    VrPciAddress address = {.slot = 0x14};

    add(&host, "pci0000:00/0000:00:14.0", "0c0330 8086:7ae0", 9);
    add(&host, "pci0000:00/0000:00:14.2", "050000 8086:7aa7", 9);
    host_judge(&host, VR_FACTS_PCI);

    g_autoptr(GPtrArray) judged = g_ptr_array_new_with_free_func((GDestroyNotify) vr_gpu_free);
    VrGpu *usb = vr_gpu_judge_function(host.facts, address);
    g_ptr_array_add(judged, usb);
    g_assert_true(vr_gpu_is_usable(usb));
    g_assert_cmpuint(usb->functions->len, ==, 2);

    address.slot = 1; /* the port: the card of its group is in the way */
    VrGpu *port = vr_gpu_judge_function(host.facts, address);
    g_ptr_array_add(judged, port);
    g_assert_true(vr_gpu_has_problem(port, "shared-group"));

    address.slot = 0x1e;
    g_assert_null(vr_gpu_judge_function(host.facts, address));
    host_free(&host);
}

int
main(int argc, char **argv)
{
    static const Damage damages[] = {
        {"group-is-a-directory", "iommu_group", NULL, false},
        {"group-is-no-number", "iommu_group", "../../../../kernel/iommu_groups/x1", true},
        {"driver-is-a-directory", "driver", NULL, false},
        {"boot-vga-is-a-directory", "boot_vga", NULL, false},
        {"boot-vga-is-no-flag", "boot_vga", "maybe", false},
        {"device-is-no-number", "device", "0x????", false},
    };

    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/plan/gpu/ordinary-card-is-usable", test_ordinary);
    g_test_add_func("/plan/gpu/emulated-card-behind-a-port-is-a-card",
                    test_emulated_card_is_a_card);
    g_test_add_func("/plan/gpu/display-of-a-guest-is-refused",
                    test_emulated_display_of_a_guest_is_none);
    g_test_add_func("/plan/gpu/lone-emulated-display-is-the-guests-own",
                    test_lone_emulated_display_is_the_guests_own);
    g_test_add_func("/plan/gpu/management-console-does-not-count",
                    test_management_console_does_not_count);
    g_test_add_func("/plan/gpu/arc-takes-its-audio", test_arc_takes_its_audio);
    g_test_add_func("/plan/gpu/arc-leaves-the-audio-of-another-switch",
                    test_arc_leaves_the_audio_of_another_switch);
    g_test_add_func("/plan/gpu/apu-keeps-the-boards-functions",
                    test_apu_keeps_the_board_s_functions);
    g_test_add_func("/plan/gpu/virtual-functions-never-go", test_virtual_functions);
    g_test_add_func("/plan/gpu/dead-card-is-refused", test_dead);
    g_test_add_func("/plan/gpu/no-iommu", test_no_iommu);
    g_test_add_func("/plan/gpu/iommu-on-but-no-group", test_iommu_without_group);
    g_test_add_func("/plan/gpu/group-without-iommu-is-none", test_group_without_iommu);
    g_test_add_func("/plan/gpu/neighbour-tells-what-it-costs", test_neighbour_tells_what_it_costs);
    g_test_add_func("/plan/gpu/any-function-goes-with-its-group", test_any_function);
    for (gsize i = 0; i < G_N_ELEMENTS(damages); i++) {
        g_autofree char *path = g_strconcat("/plan/gpu/unreadable/", damages[i].name, NULL);

        g_test_add_data_func(path, &damages[i], test_unreadable);
    }
    return g_test_run();
}
