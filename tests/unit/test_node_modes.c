/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/node_modes.h>

#include "../support/tree.h"

#include <vmrun/error.h>
#include <vmrun/host_state.h>

#include <glib/gstdio.h>

#define GPU "0000:01:00.0"
#define OTHER "0000:02:00.0"
#define NODE "/dev/dri/card1"

static const VrPciAddress gpu = {0, 1, 0, 0};
static const VrPciAddress other = {0, 2, 0, 0};

typedef struct {
    char *directory;
    VrSysroot *root;
} Host;

static Host
host_new(void)
{
    Host host = {.directory = tree_new()};
    host.root = tree_root(host.directory);
    tree_pci(host.directory, "pci0000:00/" GPU, "030000 10de:2484", "nouveau", 1);
    tree_pci(host.directory, "pci0000:00/" OTHER, "030000 10de:2484", "nouveau", 2);
    tree_write(host.directory, "/sys/devices/pci0000:00/" GPU "/drm/card1/dev", "226:1");
    tree_write(host.directory, "/sys/devices/pci0000:00/" GPU "/drm/card1/uevent",
               "DEVNAME=dri/card1");
    tree_link(host.directory, "/sys/dev/char/226:1", "../../devices/pci0000:00/" GPU "/drm/card1");
    tree_write(host.directory, NODE, "c 226:1 0660");
    return host;
}

static void
host_clear(Host *host)
{
    vr_sysroot_unref(host->root);
    tree_remove(host->directory);
}
#define auto_host __attribute__((cleanup(host_clear))) Host

static char *
value_of(const Host *host, VrPciAddress device)
{
    g_autoptr(GError) error = NULL;
    char *value = NULL;
    g_assert_true(vr_node_mode_read(host->root, NODE, device, &value, &error));
    g_assert_no_error(error);
    return value;
}

static void
assert_value(const Host *host, const char *wanted)
{
    g_autofree char *value = value_of(host, gpu);
    g_assert_cmpstr(value, ==, wanted);
}

static void
set(const Host *host, VrPciAddress device, const char *value)
{
    g_autoptr(GError) error = NULL;
    g_assert_true(vr_node_mode_write(host->root, NODE, device, value, &error));
    g_assert_no_error(error);
}

static void
test_only_nodes_of_a_card(void)
{
    static const char *const fine[] = {"/dev/dri/card0",    "/dev/dri/renderD128",
                                       "/dev/snd/pcmC1D3p", "/dev/snd/controlC1",
                                       "/dev/i2c-7",        "/dev/drm_dp_aux0"};
    static const char *const refused[] = {
        "/dev/sda",        "/dev/null",          "/dev/dri/../sda", "/dev/dri/card",
        "/dev/snd/../mem", "/dev/vfio/1",        "/etc/passwd",     "/dev/dri/card1\n",
        "/dev/i2c-7/x",    "/sys/dev/dri/card1", "dri/card1",       "/dev/snd/controlC1 "};
    for (guint i = 0; i < G_N_ELEMENTS(fine); i++) {
        g_assert_true(vr_node_path_is_allowed(fine[i]));
    }
    for (guint i = 0; i < G_N_ELEMENTS(refused); i++) {
        g_assert_false(vr_node_path_is_allowed(refused[i]));
    }
    g_assert_false(vr_node_path_is_allowed(NULL));
}

static void
test_only_values_of_a_node(void)
{
    static const char *const refused[] = {"",
                                          "0660",
                                          "b 8:0 0660",
                                          "c 226:1 660",
                                          "c 226:1 0680",
                                          "c 226:1 0660\n",
                                          "c 226 0660",
                                          "c 226:1 00660",
                                          "c -1:1 0660"};
    g_assert_true(vr_node_value_is_valid("c 226:1 0660"));
    for (guint i = 0; i < G_N_ELEMENTS(refused); i++) {
        g_assert_false(vr_node_value_is_valid(refused[i]));
    }
}

/* Only what vmrun closed is opened again: another mode is udev's word, or somebody's. */
static void
test_what_is_written(void)
{
    static const struct {
        const char *now, *wanted;
        bool differs;
    } rows[] = {
        {"c 226:1 0660", "c 226:1 0000", true},   {"c 226:1 0000", "c 226:1 0660", true},
        {"c 226:1 0600", "c 226:1 0660", false},  {"c 226:1 0660", "c 226:1 0660", false},
        {"c 226:2 0000", "c 226:1 0660", false},  {"c 226:1 0000", "c 226:1 0000", false},
        {"c 226:11 0000", "c 226:1 0660", false}, {NULL, "c 226:1 0660", false},
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_assert_cmpint(vr_node_value_differs(rows[i].now, rows[i].wanted), ==, rows[i].differs);
    }
    g_autofree char *closed = vr_node_value_closed("c 226:1 0660");
    g_assert_cmpstr(closed, ==, "c 226:1 0000");
}

static void
test_closes_and_opens(void)
{
    auto_host host = host_new();
    assert_value(&host, "c 226:1 0660");
    set(&host, gpu, "c 226:1 0000");
    assert_value(&host, "c 226:1 0000");
    set(&host, gpu, "c 226:1 0660");
    assert_value(&host, "c 226:1 0660");
}

/* The number was given to another device's node, or the node is another one under the old name. */
static void
test_a_node_of_something_else_is_left_alone(void)
{
    auto_host host = host_new();
    g_assert_null(value_of(&host, other));
    set(&host, other, "c 226:1 0000");
    assert_value(&host, "c 226:1 0660");
    set(&host, gpu, "c 226:5 0000");
    assert_value(&host, "c 226:1 0660");
    tree_write(host.directory, NODE, "c 1:3 0666");
    set(&host, gpu, "c 226:1 0000");
    g_autofree char *text = vr_sysroot_read_optional(host.root, NODE);
    g_assert_cmpstr(text, ==, "c 1:3 0666");
}

static void
test_a_node_that_went_is_fine(void)
{
    auto_host host = host_new();
    g_autofree char *path = g_strconcat(host.directory, NODE, NULL);
    g_assert_cmpint(g_remove(path), ==, 0);
    g_assert_null(value_of(&host, gpu));
    set(&host, gpu, "c 226:1 0000");
    g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
}

static void
test_is_found_below_its_function(void)
{
    auto_host host = host_new();
    g_autoptr(VrHostState) shape = vr_host_state_new();
    g_autoptr(GError) error = NULL;
    vr_host_state_shape_nodes(shape, host.root, gpu);
    g_autoptr(VrHostState) state = vr_host_state_observe(host.root, shape, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(state->attributes->len, ==, 1);
    const VrAttribute *node = vr_host_state_attribute(state, NODE);
    g_assert_cmpint(node->kind, ==, VR_ATTRIBUTE_NODE);
    g_assert_cmpstr(node->value, ==, "c 226:1 0660");
    g_autofree char *text = vr_host_state_to_text(state);
    g_autoptr(VrHostState) back = vr_host_state_from_text(text, &error);
    g_assert_no_error(error);
    g_assert_true(vr_host_state_equal(state, back));
}

/* What a journal says is held to the same rules. */
static void
test_hostile_states_are_refused(void)
{
    static const char *const attributes[] = {
        "\"kind\":\"node\",\"device\":\"" GPU "\",\"path\":\"/dev/sda\",\"value\":\"c 8:0 0666\"",
        "\"kind\":\"node\",\"device\":\"" GPU "\",\"path\":\"" NODE "\",\"value\":\"0666\"",
        "\"kind\":\"node\",\"device\":null,\"path\":\"" NODE "\",\"value\":\"c 226:1 0660\"",
        "\"kind\":\"text\",\"device\":\"" GPU "\",\"path\":\"" NODE "\",\"value\":\"c 226:1 0660\"",
        "\"kind\":\"node\",\"device\":\"" GPU "\",\"path\":\"/sys/bus/pci/devices/" GPU
        "/power/control\",\"value\":\"on\"",
    };
    for (guint i = 0; i < G_N_ELEMENTS(attributes); i++) {
        g_autoptr(GError) error = NULL;
        g_autofree char *text =
            g_strdup_printf("{\"bindings\":[],\"attributes\":[{%s}],\"units\":[]}", attributes[i]);
        g_assert_null(vr_host_state_from_text(text, &error));
        g_assert_error(error, VR_ERROR, VR_ERROR_CORRUPT);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/node-modes/only-nodes-of-a-card", test_only_nodes_of_a_card);
    g_test_add_func("/node-modes/only-values-of-a-node", test_only_values_of_a_node);
    g_test_add_func("/node-modes/what-is-written", test_what_is_written);
    g_test_add_func("/node-modes/closes-and-opens", test_closes_and_opens);
    g_test_add_func("/node-modes/a-node-of-something-else-is-left-alone",
                    test_a_node_of_something_else_is_left_alone);
    g_test_add_func("/node-modes/a-node-that-went-is-fine", test_a_node_that_went_is_fine);
    g_test_add_func("/node-modes/is-found-below-its-function", test_is_found_below_its_function);
    g_test_add_func("/node-modes/hostile-states-are-refused", test_hostile_states_are_refused);
    return g_test_run();
}
