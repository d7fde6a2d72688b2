/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/pci.h>

static void
test_parse_and_format(void)
{
    static const struct {
        const char *text;
        const char *wanted; /* NULL: refused */
    } cases[] = {
        {"0000:01:00.0", "0000:01:00.0"},
        {"01:00.0", "0000:01:00.0"},
        {"10000:e1:1f.7", "10000:e1:1f.7"},
        {"FFFFFFFF:FF:1F.7", "ffffffff:ff:1f.7"},
        {"00000:01:00.0", "0000:01:00.0"},
        {"", NULL},
        {"0000:01:00", NULL},
        {"0000:01:00.", NULL},
        {"0000:01:00.8", NULL},
        {"0000:01:20.0", NULL},
        {"0000:1:00.0", NULL},
        {"000:01:00.0", NULL},
        {"123456789:01:00.0", NULL},
        {"0000:01:00.0 ", NULL},
        {" 0000:01:00.0", NULL},
        {"0000:01:00.0\n", NULL},
        {"0000:01:00.00", NULL},
        {"0000:01:00:0", NULL},
        {"0000.01.00.0", NULL},
        {"0x00:01:00.0", NULL},
        {"0000:0x:00.0", NULL},
        {"0000:01:-1.0", NULL},
        {"0000:+1:00.0", NULL},
        {"0000::01:00.0", NULL},
        {":01:00.0", NULL},
        {"1:00.0", NULL},
        {"../../01:00.0", NULL},
        {"gggg:01:00.0", NULL},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        const VrPciAddress untouched = {.domain = 9, .bus = 9, .slot = 9, .function = 1};
        VrPciAddress address = untouched;
        bool ok = vr_pci_address_parse(cases[i].text, &address);
        g_autofree char *text = vr_pci_address_format(address);

        g_test_message("\"%s\"", cases[i].text);
        g_assert_cmpint(ok, ==, cases[i].wanted != NULL);
        g_assert_cmpstr(text, ==, ok ? cases[i].wanted : "0009:09:09.1");
    }
}

static VrPciAddress
address(const char *text)
{
    VrPciAddress parsed = {0};

    g_assert_true(vr_pci_address_parse(text, &parsed));
    return parsed;
}

static void
test_order_is_by_number(void)
{
    static const char *const sorted[] = {
        "0000:01:00.0", "0000:01:00.1",  "0000:01:01.0",     "0000:02:00.0",     "0000:ff:1f.7",
        "0001:00:00.0", "10000:00:00.0", "80000000:00:00.0", "ffffffff:00:00.0",
    };

    for (size_t i = 0; i < G_N_ELEMENTS(sorted); i++) {
        for (size_t j = 0; j < G_N_ELEMENTS(sorted); j++) {
            int order = vr_pci_address_compare(address(sorted[i]), address(sorted[j]));

            g_assert_cmpint((order > 0) - (order < 0), ==, (i > j) - (i < j));
            g_assert_cmpint(vr_pci_address_equal(address(sorted[i]), address(sorted[j])), ==,
                            i == j);
        }
    }
}

static void
test_same_slot(void)
{
    VrPciAddress gpu = address("0001:01:00.0");

    g_assert_true(vr_pci_address_same_slot(gpu, address("0001:01:00.3")));
    g_assert_false(vr_pci_address_same_slot(gpu, address("0001:01:01.0")));
    g_assert_false(vr_pci_address_same_slot(gpu, address("0001:02:00.0")));
    g_assert_false(vr_pci_address_same_slot(gpu, address("0000:01:00.0")));
}

static void
test_classes(void)
{
    static const struct {
        uint32_t class_code;
        bool is_display, is_bridge;
    } cases[] = {
        {0x030000, true, false},  {0x030200, true, false},  {0x038000, true, false},
        {0x040300, false, false}, {0x060000, false, true},  {0x060400, false, true},
        {0x060401, false, true},  {0x060100, false, false}, {0x068000, false, false},
        {0x000300, false, false}, {0xff0300, false, false},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        const VrPciFunction function = {.class_code = cases[i].class_code};

        g_assert_cmpint(vr_pci_function_is_display(&function), ==, cases[i].is_display);
        g_assert_cmpint(vr_pci_function_is_bridge(&function), ==, cases[i].is_bridge);
    }
}

static void
test_id_and_free(void)
{
    VrPciFunction *function = g_new0(VrPciFunction, 1);

    function->vendor = 0x10de;
    function->device = 0x0284;
    function->driver = g_strdup("nvidia");
    g_autofree char *id = vr_pci_function_id(function);
    g_assert_cmpstr(id, ==, "10de:0284");
    vr_pci_function_free(function);
    vr_pci_function_free(NULL);
}

static void
test_contain(void)
{
    g_autoptr(GArray) addresses = g_array_new(FALSE, FALSE, sizeof(VrPciAddress));
    VrPciAddress card = {0, 1, 0, 0};
    VrPciAddress sound = {0, 1, 0, 1};
    g_assert_false(vr_pci_addresses_contain(addresses, card));
    g_array_append_val(addresses, card);
    g_assert_true(vr_pci_addresses_contain(addresses, card));
    g_assert_false(vr_pci_addresses_contain(addresses, sound));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/host/pci-address/parse-and-format", test_parse_and_format);
    g_test_add_func("/host/pci-address/order-is-by-number", test_order_is_by_number);
    g_test_add_func("/host/pci-address/same-slot", test_same_slot);
    g_test_add_func("/host/pci-address/contain", test_contain);
    g_test_add_func("/host/pci-address/classes", test_classes);
    g_test_add_func("/host/pci-address/id-and-free", test_id_and_free);
    return g_test_run();
}
