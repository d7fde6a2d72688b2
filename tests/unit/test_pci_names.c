/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names out of pci.ids, where there is no hardware database. */
#include "host/host_facts_private.h"

#include "../support/tree.h"

#include <string.h>

static const char list[] = "# a comment\n"
                           "10de  NVIDIA Corporation\n"
                           "\t2484  GA104 [GeForce RTX 3070]\n"
                           "\t\t1462 3904  of a computer's maker\n"
                           "\n"
                           "C 03  Display controller\n"
                           "\t00  VGA compatible controller\n";

static void
assert_name(const char *text, uint16_t vendor, uint16_t device, unsigned unreadable,
            const char *expected)
{
    char *directory = tree_new();
    g_autofree char *path = g_build_filename(directory, "pci.ids", NULL);
    VrPciFunction function = {.vendor = vendor, .device = device, .unreadable = unreadable};
    if (text != NULL) {
        tree_write(directory, "/pci.ids", text);
    }
    VrPciNames *names = vr_pci_names_open_list(path);
    for (guint i = 0; i < 2; i++) { /* the second time it is in memory */
        g_autofree char *name = vr_pci_names_lookup(names, &function);
        g_assert_cmpstr(name, ==, expected);
    }
    vr_pci_names_free(names);
    tree_remove(directory);
}

static void
test_list_names_what_it_knows(void)
{
    assert_name(list, 0x10de, 0x2484, 0, "NVIDIA Corporation GA104 [GeForce RTX 3070]");
    assert_name(list, 0x10de, 0x9999, 0, "NVIDIA Corporation, device 9999");
    assert_name(list, 0x10de, 0, VR_PCI_UNREADABLE_IDS, "NVIDIA Corporation, unknown device");
    assert_name(list, 0x1002, 0x2484, 0, NULL);
}

static void
test_no_list_names_nothing(void)
{
    assert_name(NULL, 0x10de, 0x2484, 0, NULL);
    assert_name("", 0x10de, 0x2484, 0, NULL);
}

static void
test_long_names_are_whole(void)
{
    g_autofree char *name = g_strnfill(1000, 'x');
    g_autofree char *text = g_strdup_printf("10de  %s\n", name);
    g_autofree char *expected = g_strdup_printf("%s, device 2484", name);
    assert_name(text, 0x10de, 0x2484, 0, expected);
}

static void
test_a_mistake_in_the_list_ends_the_process(void)
{
    if (g_test_subprocess()) {
        assert_name("not a list\n", 0x10de, 0x2484, 0, NULL);
    }
    g_test_trap_subprocess(NULL, 0, 0);
    g_test_trap_assert_failed();
    g_test_trap_assert_stderr("*pci.ids, line 1*");
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/pci-names/list-names-what-it-knows", test_list_names_what_it_knows);
    g_test_add_func("/pci-names/no-list-names-nothing", test_no_list_names_nothing);
    g_test_add_func("/pci-names/long-names-are-whole", test_long_names_are_whole);
    g_test_add_func("/pci-names/a-mistake-in-the-list-ends-the-process",
                    test_a_mistake_in_the_list_ends_the_process);
    return g_test_run();
}
