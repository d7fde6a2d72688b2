/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/host_state_rules.h"

#include <vmrun/node_modes.h>
#include <vmrun/text.h>

#include <string.h>

#define DEVICE_PREFIX "/sys/bus/pci/devices/"
/* Documentation/admin-guide/mm/hugetlbpage.rst: one pool per page size, of the host or of a node */
#define POOL_PATTERN                                                                               \
    "^/sys/(devices/system/node/node[0-9]{1,4}|kernel/mm)/hugepages/hugepages-[0-9]{1,10}kB/"      \
    "nr_hugepages$"
/* Documentation/admin-guide/pm/cpufreq.rst; a name has at most 15 characters (CPUFREQ_NAME_LEN) */
#define GOVERNOR_PATTERN "^/sys/devices/system/cpu/cpufreq/policy[0-9]{1,5}/scaling_governor$"
#define UNIT_PATTERN                                                                               \
    "^[A-Za-z0-9:_@\\\\][A-Za-z0-9:_.@\\\\-]{0,200}\\."                                            \
    "(service|socket|timer|target|path|mount|slice|scope)$"

static bool
matches(const char *pattern, const char *text)
{
    return text != NULL && g_regex_match_simple(pattern, text, G_REGEX_DOLLAR_ENDONLY, 0);
}

char *
vr_pci_device_path(VrPciAddress address, const char *name)
{
    g_autofree char *text = vr_pci_address_format(address);
    return g_strconcat(DEVICE_PREFIX, text, name != NULL ? "/" : NULL, name, NULL);
}

char *
vr_pci_driver_path(const char *driver, const char *name)
{
    return g_strconcat("/sys/bus/pci/drivers/", driver, name != NULL ? "/" : NULL, name, NULL);
}

bool
vr_rule_is_driver_name(const char *text)
{
    return matches("^[A-Za-z0-9_][A-Za-z0-9_-]{0,62}$", text);
}

bool
vr_rule_is_override(const char *text)
{
    return matches("^[\\x21-\\x7e]([\\x20-\\x7e]{0,253}[\\x21-\\x7e])?$", text);
}

bool
vr_rule_is_unit_name(const char *text)
{
    return matches(UNIT_PATTERN, text);
}

/* The function that an allowed attribute belongs to; the address must be in its one full form. */
static bool
device_of_path(const char *path, VrPciAddress *out_address)
{
    static const char *const names[] = {"power/control", "d3cold_allowed", NULL};
    if (!g_str_has_prefix(path, DEVICE_PREFIX)) {
        return false;
    }
    const char *text = path + strlen(DEVICE_PREFIX);
    const char *slash = strchr(text, '/');
    if (slash == NULL || !g_strv_contains(names, slash + 1)) {
        return false;
    }
    g_autofree char *address = g_strndup(text, (gsize) (slash - text));
    if (!vr_pci_address_parse(address, out_address)) {
        return false;
    }
    g_autofree char *formatted = vr_pci_address_format(*out_address);
    return g_str_equal(formatted, address);
}

bool
vr_attribute_path_is_count(const char *path)
{
    return matches(POOL_PATTERN, path);
}

static bool
is_governor_path(const char *path)
{
    return matches(GOVERNOR_PATTERN, path);
}

bool
vr_attribute_path_is_allowed(const char *path)
{
    VrPciAddress address;
    return path != NULL && (device_of_path(path, &address) || vr_attribute_path_is_count(path) ||
                            is_governor_path(path) || vr_node_path_is_allowed(path) ||
                            vr_attribute_path_unit(path) != NULL);
}

/* power/control: Documentation/ABI/testing/sysfs-devices-power; d3cold_allowed: sysfs-bus-pci */
static bool
is_device_value(const char *path, const char *value)
{
    static const char *const control[] = {"auto", "on", NULL};
    static const char *const flag[] = {"0", "1", NULL};
    return g_strv_contains(g_str_has_suffix(path, "/power/control") ? control : flag, value);
}

VrAttributeKind
vr_rule_kind_of_path(const char *path)
{
    if (vr_attribute_path_is_count(path)) {
        return VR_ATTRIBUTE_COUNT;
    }
    if (vr_attribute_path_unit(path) != NULL) {
        return VR_ATTRIBUTE_CPUS;
    }
    return vr_node_path_is_allowed(path) ? VR_ATTRIBUTE_NODE : VR_ATTRIBUTE_TEXT;
}

bool
vr_rule_is_attribute(const VrAttribute *attribute)
{
    VrPciAddress address;
    uint64_t original, added;
    if (vr_attribute_path_is_count(attribute->path)) {
        return attribute->kind == VR_ATTRIBUTE_COUNT && !attribute->has_device &&
               (attribute->value == NULL || vr_count_parse(attribute->value, &original, &added));
    }
    if (is_governor_path(attribute->path)) {
        return attribute->kind == VR_ATTRIBUTE_TEXT && !attribute->has_device &&
               (attribute->value == NULL || matches("^[a-z_]{1,15}$", attribute->value));
    }
    if (vr_node_path_is_allowed(attribute->path)) {
        return attribute->kind == VR_ATTRIBUTE_NODE && attribute->has_device &&
               (attribute->value == NULL || vr_node_value_is_valid(attribute->value));
    }
    if (vr_attribute_path_unit(attribute->path) != NULL) {
        return attribute->kind == VR_ATTRIBUTE_CPUS && !attribute->has_device &&
               (attribute->value == NULL || vr_rule_is_cpus(attribute->value));
    }
    return attribute->path != NULL && device_of_path(attribute->path, &address) &&
           attribute->kind == VR_ATTRIBUTE_TEXT && attribute->has_device &&
           vr_pci_address_equal(address, attribute->device) &&
           (attribute->value == NULL || is_device_value(attribute->path, attribute->value));
}
