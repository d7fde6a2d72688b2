/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/pci_capabilities.h>

#include "../support/tree.h"

#include <string.h>

#define GPU "0000:01:00.0"
#define DIRECTORY "/sys/devices/pci0000:00/0000:00:01.0/" GPU

/* Bytes that differ from zero: where, and which. The capabilities begin at the byte in 0x34. */
typedef struct {
    unsigned at, value;
} Byte;

typedef struct {
    const char *name;
    Byte bytes[16]; /* up to the first 0, 0 */
    unsigned fill, length;
    VrTristate dead, function_reset, power_reset;
} Config;

#define LIST                                                                                       \
    {0x06, 0x10},                                                                                  \
    {                                                                                              \
        0x34, 0x40                                                                                 \
    } /* status: there are capabilities; the first one */
#define NONE VR_NO, VR_NO, VR_NO
#define UNREAD VR_UNKNOWN, VR_UNKNOWN, VR_UNKNOWN

static const Config configs[] = {
    {"express-flr", {LIST, {0x40, 0x10}, {0x47, 0x10}}, 0, 256, VR_NO, VR_YES, VR_NO},
    {"express-without-flr", {LIST, {0x40, 0x10}, {0x47, 0xef}}, 0, 256, NONE},
    {"advanced-features", {LIST, {0x40, 0x13}, {0x43, 0x03}}, 0, 256, VR_NO, VR_YES, VR_NO},
    {"advanced-features-half", {LIST, {0x40, 0x13}, {0x43, 0x02}}, 0, 256, NONE},
    {"power", {LIST, {0x40, 0x01}}, 0, 256, VR_NO, VR_NO, VR_YES},
    {"power-keeps-state", {LIST, {0x40, 0x01}, {0x44, 0x08}}, 0, 256, NONE},
    {"both",
     {LIST, {0x40, 1}, {0x41, 0x50}, {0x50, 0x10}, {0x57, 0x10}},
     0,
     4096,
     VR_NO,
     VR_YES,
     VR_YES},
    {"no-list", {{0x34, 0x40}, {0x40, 0x10}, {0x47, 0x10}}, 0, 256, NONE},
    {"virtual-function", {{0, 0xff}, {1, 0xff}, {2, 0xff}, {3, 0xff}}, 0, 256, NONE},
    /* dead */
    {"all-ones", {{0, 0}}, 0xff, 4096, VR_YES, VR_UNKNOWN, VR_UNKNOWN},
    {"all-ones-for-a-user", {{0, 0}}, 0xff, 64, VR_YES, VR_UNKNOWN, VR_UNKNOWN},
    {"header-type-7f", {{0x0e, 0x7f}}, 0, 256, VR_YES, VR_UNKNOWN, VR_UNKNOWN},
    /* hostile */
    {"loop-of-one", {LIST, {0x40, 0x05}, {0x41, 0x40}}, 0, 256, NONE},
    {"loop-of-two", {LIST, {0x40, 5}, {0x41, 0x80}, {0x80, 5}, {0x81, 0x40}}, 0, 256, NONE},
    {"list-in-the-header", {{0x06, 0x10}, {0x34, 0x04}}, 0, 256, NONE},
    {"list-is-odd",
     {{0x06, 0x10}, {0x34, 0x43}, {0x40, 0x10}, {0x47, 0x10}},
     0,
     256,
     VR_NO,
     VR_YES,
     VR_NO},
    {"express-at-the-end",
     {{0x06, 0x10}, {0x34, 0xfc}, {0xfc, 0x10}},
     0,
     256,
     VR_NO,
     VR_UNKNOWN,
     VR_NO},
    {"express-over-the-end",
     {{0x06, 0x10}, {0x34, 0xfc}, {0xfc, 0x10}, {0x103, 0x10}},
     0,
     4096,
     VR_NO,
     VR_UNKNOWN,
     VR_NO},
    /* short */
    {"header-only", {LIST}, 0, 64, VR_NO, VR_UNKNOWN, VR_UNKNOWN},
    {"cut-in-a-capability", {LIST, {0x40, 0x10}}, 0, 0x42, VR_NO, VR_UNKNOWN, VR_UNKNOWN},
    {"cut-in-the-header", {{0x06, 0x10}}, 0, 10, UNREAD},
    {"empty", {{0, 0}}, 0, 0, UNREAD},
};

static void
write_config(const char *directory, const Config *config)
{
    unsigned char content[4096];
    g_autofree char *path = g_strconcat(directory, DIRECTORY "/config", NULL);
    memset(content, (int) config->fill, sizeof content);
    for (guint i = 0; i < G_N_ELEMENTS(config->bytes); i++) {
        if (config->bytes[i].value != 0) {
            content[config->bytes[i].at] = (unsigned char) config->bytes[i].value;
        }
    }
    g_assert_true(g_file_set_contents(path, (const char *) content, config->length, NULL));
}

static char *
tree_with_card(void)
{
    char *directory = tree_new();
    tree_pci(directory, "pci0000:00/0000:00:01.0/" GPU, "030000 10de:2484", NULL, 1);
    return directory;
}

/* Takes the tree. */
static GPtrArray *
read_card(char *directory)
{
    g_autoptr(VrSysroot) root = tree_root(directory);
    g_autoptr(GArray) addresses = g_array_new(FALSE, FALSE, sizeof(VrPciAddress));
    VrPciAddress address = {0, 1, 0, 0};
    g_array_append_val(addresses, address);
    GPtrArray *read = vr_pci_capabilities_read(root, addresses);
    g_assert_cmpuint(read->len, ==, 1);
    tree_remove(directory);
    return read;
}

static void
test_config(gconstpointer data)
{
    const Config *config = data;
    char *directory = tree_with_card();
    write_config(directory, config);
    g_autoptr(GPtrArray) read = read_card(directory);
    const VrPciCapabilities *card = g_ptr_array_index(read, 0);
    g_assert_cmpint(card->is_dead, ==, config->dead);
    g_assert_cmpint(card->function_reset, ==, config->function_reset);
    g_assert_cmpint(card->power_reset, ==, config->power_reset);
    g_assert_null(card->reset_methods);
}

static void
test_missing_is_unknown(void)
{
    g_autoptr(GPtrArray) read = read_card(tree_with_card());
    const VrPciCapabilities *card = g_ptr_array_index(read, 0);
    g_assert_cmpint(card->is_dead, ==, VR_UNKNOWN);
    g_assert_cmpint(card->function_reset, ==, VR_UNKNOWN);
}

static void
test_tells_the_methods_of_the_kernel(void)
{
    char *directory = tree_with_card();
    tree_write(directory, DIRECTORY "/reset_method", "flr bus");
    g_autoptr(GPtrArray) read = read_card(directory);
    const VrPciCapabilities *card = g_ptr_array_index(read, 0);
    g_assert_cmpstr(card->reset_methods, ==, "flr bus");
}

/* libpci would follow the link. */
static void
test_reads_nothing_outside_of_the_tree(void)
{
    char *directory = tree_with_card();
    char *outside = tree_with_card();
    g_autofree char *target = g_strconcat(outside, DIRECTORY "/config", NULL);
    write_config(outside, &configs[0]);
    tree_link(directory, DIRECTORY "/config", target);
    g_autoptr(GPtrArray) read = read_card(directory);
    const VrPciCapabilities *card = g_ptr_array_index(read, 0);
    g_assert_cmpint(card->is_dead, ==, VR_UNKNOWN);
    tree_remove(outside);
}

static void
test_keeps_the_order_and_a_wide_domain(void)
{
    char *tree = tree_with_card();
    g_autoptr(VrSysroot) root = tree_root(tree);
    g_autoptr(GArray) addresses = g_array_new(FALSE, FALSE, sizeof(VrPciAddress));
    VrPciAddress wide = {0xfffffffe, 1, 0, 0}, card = {0, 1, 0, 0};
    write_config(tree, &configs[0]);
    g_array_append_val(addresses, wide);
    g_array_append_val(addresses, card);
    g_autoptr(GPtrArray) read = vr_pci_capabilities_read(root, addresses);
    const VrPciCapabilities *first = g_ptr_array_index(read, 0);
    const VrPciCapabilities *second = g_ptr_array_index(read, 1);
    g_assert_true(vr_pci_address_equal(first->address, wide));
    g_assert_cmpint(first->is_dead, ==, VR_UNKNOWN);
    g_assert_cmpint(second->function_reset, ==, VR_YES);
    tree_remove(tree);
}

/* Device Serial Number, an extended capability: id 3, version 1, then the number, lowest byte
 * first.
 */
static const Config with_serial = {
    "serial",
    {LIST, {0x40, 0x10}, {0x100, 0x03}, {0x102, 0x01}, {0x104, 0x11}, {0x107, 0x22}, {0x10b, 0xab}},
    0,
    4096,
    NONE};

static void
test_serial_number(void)
{
    char *directory = tree_with_card();
    write_config(directory, &with_serial);
    g_autoptr(GPtrArray) read = read_card(directory);
    const VrPciCapabilities *capabilities = g_ptr_array_index(read, 0);
    g_assert_cmpstr(capabilities->serial, ==, "ab00000022000011");
}

static void
test_serial_number_is_for_root(void)
{
    char *directory = tree_with_card();
    Config header = with_serial;
    header.length = 64;
    write_config(directory, &header);
    g_autoptr(GPtrArray) read = read_card(directory);
    const VrPciCapabilities *capabilities = g_ptr_array_index(read, 0);
    g_assert_null(capabilities->serial);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(configs); i++) {
        g_autofree char *name = g_strconcat("/pci-capabilities/config/", configs[i].name, NULL);
        g_test_add_data_func(name, &configs[i], test_config);
    }
    g_test_add_func("/pci-capabilities/missing-is-unknown", test_missing_is_unknown);
    g_test_add_func("/pci-capabilities/tells-the-methods-of-the-kernel",
                    test_tells_the_methods_of_the_kernel);
    g_test_add_func("/pci-capabilities/reads-nothing-outside-of-the-tree",
                    test_reads_nothing_outside_of_the_tree);
    g_test_add_func("/pci-capabilities/keeps-the-order-and-a-wide-domain",
                    test_keeps_the_order_and_a_wide_domain);
    g_test_add_func("/pci-capabilities/serial-number", test_serial_number);
    g_test_add_func("/pci-capabilities/serial-number-for-root", test_serial_number_is_for_root);
    return g_test_run();
}
