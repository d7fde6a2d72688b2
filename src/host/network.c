/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/host_facts_private.h"

#include <string.h>

#define INTERFACES "/sys/class/net"

enum { NESTING_LIMIT = 8 }; /* bridge, VLAN, bond, team, … */

static void
add_name(GHashTable *names, const char *name)
{
    if (name != NULL && name[0] != '\0' && strchr(name, '/') == NULL && strcmp(name, "lo") != 0) {
        g_hash_table_add(names, g_strdup(name));
    }
}

/* Columns of /proc/net/route: interface, destination, gateway, flags, …, mask (7). */
static void
take_route(GHashTable *names, const char *line)
{
    g_auto(GStrv) columns = g_strsplit(line, "\t", -1);

    if (g_strv_length(columns) >= 8 && strcmp(columns[1], "00000000") == 0 &&
        strcmp(columns[7], "00000000") == 0) {
        add_name(names, columns[0]);
    }
}

/* Columns of /proc/net/ipv6_route: destination, its length, …, flags, interface (the last). */
static void
take_ipv6_route(GHashTable *names, const char *line)
{
    static const char any[] = "00000000000000000000000000000000 00 ";
    const char *last = strrchr(line, ' ');

    if (g_str_has_prefix(line, any) && last != NULL) {
        add_name(names, last + 1);
    }
}

/* Interfaces that the default routes go through, by name. */
static GHashTable *
routed_interfaces(const VrSysroot *root)
{
    GHashTable *names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autofree char *four = vr_sysroot_read_optional(root, "/proc/net/route");
    g_autofree char *six = vr_sysroot_read_optional(root, "/proc/net/ipv6_route");
    g_auto(GStrv) four_lines = g_strsplit(four != NULL ? four : "", "\n", -1);
    g_auto(GStrv) six_lines = g_strsplit(six != NULL ? six : "", "\n", -1);

    for (guint i = 0; four_lines[i] != NULL; i++) {
        take_route(names, four_lines[i]);
    }
    for (guint i = 0; six_lines[i] != NULL; i++) {
        take_ipv6_route(names, six_lines[i]);
    }
    return names;
}

/* An interface and all that it stands on: the kernel links them as lower_NAME. */
static void
add_with_lower(const VrSysroot *root, GHashTable *names, const char *interface, int depth)
{
    g_autofree char *path = g_strconcat(INTERFACES "/", interface, NULL);
    g_autoptr(GPtrArray) entries = depth < NESTING_LIMIT ? vr_sysroot_list(root, path, NULL) : NULL;

    g_hash_table_add(names, g_strdup(interface));
    for (guint i = 0; entries != NULL && i < entries->len; i++) {
        const char *entry = g_ptr_array_index(entries, i);

        if (g_str_has_prefix(entry, "lower_")) {
            add_with_lower(root, names, entry + strlen("lower_"), depth + 1);
        }
    }
}

static GHashTable *
critical_interfaces(const VrSysroot *root)
{
    GHashTable *names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr(GHashTable) routed = routed_interfaces(root);
    GHashTableIter iterator;
    gpointer name = NULL;

    g_hash_table_iter_init(&iterator, routed);
    while (g_hash_table_iter_next(&iterator, &name, NULL)) {
        add_with_lower(root, names, name, 0);
    }
    return names;
}

/* Up, or in a state that virtual interfaces are in for good. */
static bool
is_up(const VrSysroot *root, const char *interface)
{
    g_autofree char *path = g_strconcat(INTERFACES "/", interface, "/operstate", NULL);
    g_autofree char *state = vr_sysroot_read_optional(root, path);

    return state == NULL || strcmp(state, "down") != 0;
}

static void
load_interface(VrHostFacts *facts, GHashTable *critical, const char *name)
{
    VrPciAddress address = {0};
    g_autofree char *bridge = g_strconcat(INTERFACES "/", name, "/bridge", NULL);
    g_autofree char *device = g_strconcat(INTERFACES "/", name, "/device", NULL);
    g_autofree char *path = vr_sysroot_resolve(facts->root, device, NULL);
    bool is_critical = g_hash_table_contains(critical, name);

    g_ptr_array_add(facts->interfaces, g_strdup(name));
    if (vr_sysroot_exists(facts->root, bridge) && is_up(facts->root, name)) {
        g_ptr_array_add(facts->bridges, g_strdup(name));
    }
    if (path != NULL && vr_pci_address_in_path(path, &address)) {
        vr_host_facts_add_use(
            facts, address,
            g_strdup_printf("%s (%s)", is_critical ? "default route" : "network interface", name),
            is_critical);
    }
}

void
vr_network_load(VrHostFacts *facts)
{
    g_autoptr(GHashTable) critical = critical_interfaces(facts->root);
    g_autoptr(GPtrArray) names = vr_sysroot_list(facts->root, INTERFACES, NULL);

    for (guint i = 0; names != NULL && i < names->len; i++) {
        load_interface(facts, critical, g_ptr_array_index(names, i));
    }
}
