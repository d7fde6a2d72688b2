/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/host_state.h>

#include "host/gpu_nodes.h"
#include "host/host_state_rules.h"

#include <vmrun/error.h>
#include <vmrun/node_modes.h>
#include <vmrun/spawn.h>
#include <vmrun/text.h>

#include <string.h>

#define UNITS_TIMEOUT_MS 20000

static void
attribute_free(VrAttribute *attribute)
{
    g_free(attribute->path);
    g_free(attribute->value);
    g_free(attribute);
}

static void
unit_free(VrUnitState *unit)
{
    g_free(unit->name);
    g_free(unit);
}

VrHostState *
vr_host_state_new(void)
{
    VrHostState *state = g_new0(VrHostState, 1);
    state->bindings = g_ptr_array_new_with_free_func((GDestroyNotify) vr_binding_free);
    state->attributes = g_ptr_array_new_with_free_func((GDestroyNotify) attribute_free);
    state->units = g_ptr_array_new_with_free_func((GDestroyNotify) unit_free);
    return state;
}

void
vr_host_state_free(VrHostState *state)
{
    if (state == NULL) {
        return;
    }
    g_ptr_array_unref(state->bindings);
    g_ptr_array_unref(state->attributes);
    g_ptr_array_unref(state->units);
    g_free(state);
}

VrBinding *
vr_binding_new(VrPciAddress address)
{
    VrBinding *binding = g_new0(VrBinding, 1);
    binding->address = address;
    binding->group = -1;
    return binding;
}

VrBinding *
vr_binding_copy(const VrBinding *binding)
{
    VrBinding *copy = g_new(VrBinding, 1);
    *copy = *binding;
    copy->driver = g_strdup(binding->driver);
    copy->module = g_strdup(binding->module);
    copy->driver_override = g_strdup(binding->driver_override);
    return copy;
}

void
vr_binding_free(VrBinding *binding)
{
    if (binding == NULL) {
        return;
    }
    g_free(binding->driver);
    g_free(binding->module);
    g_free(binding->driver_override);
    g_free(binding);
}

VrHostState *
vr_host_state_copy(const VrHostState *state)
{
    VrHostState *copy = vr_host_state_new();
    for (guint i = 0; i < state->bindings->len; i++) {
        vr_host_state_add_binding(copy, vr_binding_copy(g_ptr_array_index(state->bindings, i)));
    }
    for (guint i = 0; i < state->attributes->len; i++) {
        const VrAttribute *attribute = g_ptr_array_index(state->attributes, i);
        vr_host_state_set_attribute(copy, attribute->kind,
                                    attribute->has_device ? &attribute->device : NULL,
                                    attribute->path, attribute->value);
    }
    for (guint i = 0; i < state->units->len; i++) {
        const VrUnitState *unit = g_ptr_array_index(state->units, i);
        vr_host_state_set_unit(copy, unit->name, unit->active);
    }
    return copy;
}

void
vr_host_state_add_binding(VrHostState *state, VrBinding *binding)
{
    guint at = 0;
    while (at < state->bindings->len) {
        const VrBinding *other = g_ptr_array_index(state->bindings, at);
        int order = vr_pci_address_compare(other->address, binding->address);
        if (order == 0) {
            g_ptr_array_remove_index(state->bindings, at);
        }
        if (order >= 0) {
            break;
        }
        at++;
    }
    g_ptr_array_insert(state->bindings, (gint) at, binding);
}

VrBinding *
vr_host_state_binding(const VrHostState *state, VrPciAddress address)
{
    for (guint i = 0; i < state->bindings->len; i++) {
        VrBinding *binding = g_ptr_array_index(state->bindings, i);
        if (vr_pci_address_equal(binding->address, address)) {
            return binding;
        }
    }
    return NULL;
}

VrAttribute *
vr_host_state_attribute(const VrHostState *state, const char *path)
{
    for (guint i = 0; i < state->attributes->len; i++) {
        VrAttribute *attribute = g_ptr_array_index(state->attributes, i);
        if (g_str_equal(attribute->path, path)) {
            return attribute;
        }
    }
    return NULL;
}

void
vr_host_state_drop_device(VrHostState *state, VrPciAddress address)
{
    for (guint i = state->bindings->len; i-- > 0;) {
        const VrBinding *binding = g_ptr_array_index(state->bindings, i);
        if (vr_pci_address_equal(binding->address, address)) {
            g_ptr_array_remove_index(state->bindings, i);
        }
    }
    for (guint i = state->attributes->len; i-- > 0;) {
        const VrAttribute *attribute = g_ptr_array_index(state->attributes, i);
        if (attribute->has_device && vr_pci_address_equal(attribute->device, address)) {
            g_ptr_array_remove_index(state->attributes, i);
        }
    }
}

static guint
attribute_place(const VrHostState *state, const char *path)
{
    guint at = 0;
    while (at < state->attributes->len) {
        const VrAttribute *other = g_ptr_array_index(state->attributes, at);
        if (strcmp(other->path, path) > 0) {
            break;
        }
        at++;
    }
    return at;
}

void
vr_host_state_set_attribute(VrHostState *state, VrAttributeKind kind, const VrPciAddress *device,
                            const char *path, const char *value)
{
    VrAttribute *attribute = vr_host_state_attribute(state, path);
    if (attribute == NULL) {
        attribute = g_new0(VrAttribute, 1);
        attribute->path = g_strdup(path);
        g_ptr_array_insert(state->attributes, (gint) attribute_place(state, path), attribute);
    }
    attribute->kind = kind;
    attribute->has_device = device != NULL;
    if (device != NULL) {
        attribute->device = *device;
    }
    char *old = attribute->value;
    attribute->value = g_strdup(value);
    g_free(old);
}

void
vr_host_state_set_unit(VrHostState *state, const char *name, bool active)
{
    for (guint i = 0; i < state->units->len; i++) {
        VrUnitState *unit = g_ptr_array_index(state->units, i);
        if (g_str_equal(unit->name, name)) {
            unit->active = active;
            return;
        }
    }
    VrUnitState *unit = g_new0(VrUnitState, 1);
    unit->name = g_strdup(name);
    unit->active = active;
    g_ptr_array_add(state->units, unit);
}

bool
vr_host_state_equal(const VrHostState *a, const VrHostState *b)
{
    g_autofree char *text_a = vr_host_state_to_text(a);
    g_autofree char *text_b = vr_host_state_to_text(b);
    return g_str_equal(text_a, text_b);
}

bool
vr_count_parse(const char *value, uint64_t *out_first, uint64_t *out_second)
{
    /* the kernel holds the pages of a pool in an unsigned long; no host has 2^40 of them */
    const uint64_t limit = (uint64_t) 1 << 40;
    const char *sign = strpbrk(value, "+-");
    g_autofree char *first = sign != NULL ? g_strndup(value, (gsize) (sign - value)) : NULL;
    *out_second = 0;
    return vr_text_to_uint(first != NULL ? first : value, 0, limit, out_first) &&
           (sign == NULL || (vr_text_to_uint(sign + 1, 0, limit, out_second) &&
                             (*sign == '+' || *out_second <= *out_first)));
}

uint64_t
vr_count_target(const char *wanted, uint64_t now)
{
    uint64_t first = 0;
    uint64_t second = 0;
    if (wanted == NULL || !vr_count_parse(wanted, &first, &second)) {
        return now;
    }
    if (strchr(wanted, '-') != NULL) {
        return now >= first ? now - second : now; /* less than there were: taken already */
    }
    if (strchr(wanted, '+') == NULL) {
        return first;
    }
    if (now <= first) {
        return now; /* given back already, or somebody else took pages away */
    }
    return MAX(first, now - MIN(now, second));
}

void
vr_host_state_begin_counts(VrHostState *before, const VrHostState *now)
{
    for (guint i = 0; i < before->attributes->len; i++) {
        VrAttribute *attribute = g_ptr_array_index(before->attributes, i);
        const VrAttribute *pool = vr_host_state_attribute(now, attribute->path);
        uint64_t pages, ignored;
        if (attribute->kind != VR_ATTRIBUTE_COUNT || attribute->value == NULL || pool == NULL ||
            pool->value == NULL || strchr(attribute->value, '+') == NULL ||
            !vr_count_parse(pool->value, &pages, &ignored)) {
            continue;
        }
        uint64_t surplus = pages - vr_count_target(attribute->value, pages);
        g_free(attribute->value);
        attribute->value =
            g_strdup_printf("%" G_GUINT64_FORMAT "-%" G_GUINT64_FORMAT, pages, surplus);
    }
}

bool
vr_host_state_has_counts(const VrHostState *state)
{
    for (guint i = 0; i < state->attributes->len; i++) {
        const VrAttribute *attribute = g_ptr_array_index(state->attributes, i);
        if (attribute->kind == VR_ATTRIBUTE_COUNT) {
            return true;
        }
    }
    return false;
}

void
vr_host_state_drop_counts(VrHostState *state)
{
    for (guint i = state->attributes->len; i-- > 0;) {
        const VrAttribute *attribute = g_ptr_array_index(state->attributes, i);
        if (attribute->kind == VR_ATTRIBUTE_COUNT) {
            g_ptr_array_remove_index(state->attributes, i);
        }
    }
}

void
vr_host_state_claim_counts(VrHostState *before, const VrHostState *wanted)
{
    for (guint i = 0; i < before->attributes->len; i++) {
        VrAttribute *attribute = g_ptr_array_index(before->attributes, i);
        const VrAttribute *target = vr_host_state_attribute(wanted, attribute->path);
        uint64_t original, target_count, ignored;
        if (attribute->value == NULL || target == NULL || target->value == NULL) {
            continue;
        }
        if (attribute->kind == VR_ATTRIBUTE_CPUS) {
            g_autofree char *found = attribute->value;
            attribute->value = vr_cpus_claim(found, target->value);
            continue;
        }
        if (attribute->kind != VR_ATTRIBUTE_COUNT ||
            !vr_count_parse(attribute->value, &original, &ignored) ||
            !vr_count_parse(target->value, &target_count, &ignored)) {
            continue;
        }
        uint64_t added = target_count > original ? target_count - original : 0;
        g_free(attribute->value);
        attribute->value =
            g_strdup_printf("%" G_GUINT64_FORMAT "+%" G_GUINT64_FORMAT, original, added);
    }
}

VrHostState *
vr_host_state_shape(const GArray *addresses)
{
    VrHostState *shape = vr_host_state_new();
    for (guint i = 0; i < addresses->len; i++) {
        VrPciAddress address = g_array_index(addresses, VrPciAddress, i);
        g_autofree char *control = vr_pci_device_path(address, "power/control");
        g_autofree char *cold = vr_pci_device_path(address, "d3cold_allowed");
        vr_host_state_add_binding(shape, vr_binding_new(address));
        vr_host_state_set_attribute(shape, VR_ATTRIBUTE_TEXT, &address, control, NULL);
        vr_host_state_set_attribute(shape, VR_ATTRIBUTE_TEXT, &address, cold, NULL);
    }
    return shape;
}

void
vr_host_state_shape_nodes(VrHostState *shape, const VrSysroot *root, VrPciAddress address)
{
    g_autoptr(GPtrArray) nodes = vr_device_nodes_below(root, address);
    for (guint i = 0; i < nodes->len; i++) {
        const VrDeviceNode *node = g_ptr_array_index(nodes, i);
        if (vr_node_path_is_allowed(node->path)) {
            vr_host_state_set_attribute(shape, VR_ATTRIBUTE_NODE, &address, node->path, NULL);
        }
    }
}

bool
vr_attribute_differs(VrAttributeKind kind, const char *now, const char *wanted)
{
    if (kind == VR_ATTRIBUTE_NODE) {
        return vr_node_value_differs(now, wanted);
    }
    return now != NULL && wanted != NULL && !g_str_equal(now, wanted);
}

/* Absent is an answer (*out_text NULL), everything else that goes wrong is an error. */
static bool
read_if_there(const VrSysroot *root, const char *path, char **out_text, GError **error)
{
    g_autoptr(GError) failure = NULL;
    *out_text = vr_sysroot_read(root, path, &failure);
    if (*out_text != NULL || g_error_matches(failure, VR_ERROR, VR_ERROR_NOT_FOUND)) {
        return true;
    }
    g_propagate_error(error, g_steal_pointer(&failure));
    return false;
}

static bool
link_if_there(const VrSysroot *root, const char *path, char **out_name, GError **error)
{
    g_autoptr(GError) failure = NULL;
    *out_name = vr_sysroot_link_name(root, path, &failure);
    if (*out_name != NULL || g_error_matches(failure, VR_ERROR, VR_ERROR_NOT_FOUND)) {
        return true;
    }
    g_propagate_error(error, g_steal_pointer(&failure));
    return false;
}

static bool
read_hex(const VrSysroot *root, const char *directory, const char *name, uint64_t maximum,
         uint64_t *out_value, GError **error)
{
    g_autofree char *path = g_strdup_printf("%s/%s", directory, name);
    g_autofree char *text = vr_sysroot_read(root, path, error);
    if (text == NULL) {
        return false;
    }
    return vr_text_to_hex(text, maximum, out_value) ||
           vr_error_set(error, VR_ERROR_CORRUPT, "%s: \"%s\" is no hexadecimal number", path, text);
}

static bool
observe_ids(const VrSysroot *root, const char *directory, VrBinding *binding, GError **error)
{
    uint64_t vendor, device, class_code;
    if (!read_hex(root, directory, "vendor", 0xffff, &vendor, error) ||
        !read_hex(root, directory, "device", 0xffff, &device, error) ||
        !read_hex(root, directory, "class", 0xffffff, &class_code, error)) {
        return false;
    }
    binding->vendor = (uint16_t) vendor;
    binding->device = (uint16_t) device;
    binding->class_code = (uint32_t) class_code;
    return true;
}

static bool
observe_group(const VrSysroot *root, const char *directory, VrBinding *binding, GError **error)
{
    g_autofree char *path = g_strdup_printf("%s/iommu_group", directory);
    g_autofree char *name = NULL;
    uint64_t group;
    if (!link_if_there(root, path, &name, error)) {
        return false;
    }
    if (name != NULL && vr_text_to_uint(name, 0, G_MAXINT, &group)) {
        binding->group = (int) group;
    }
    return true;
}

/* The kernel shows "(null)" for no override (drivers/pci/pci-sysfs.c, driver_override_show). */
static bool
observe_override(const VrSysroot *root, const char *directory, VrBinding *binding, GError **error)
{
    g_autofree char *path = g_strdup_printf("%s/driver_override", directory);
    g_autofree char *text = NULL;
    if (!read_if_there(root, path, &text, error)) {
        return false;
    }
    if (text == NULL || text[0] == '\0' || g_str_equal(text, "(null)")) {
        return true;
    }
    if (!vr_rule_is_override(text)) {
        return vr_error_set(error, VR_ERROR_CORRUPT, "%s: no text that could be put back", path);
    }
    binding->driver_override = g_steal_pointer(&text);
    return true;
}

static bool
observe_driver(const VrSysroot *root, const char *directory, VrBinding *binding, GError **error)
{
    g_autofree char *path = g_strdup_printf("%s/driver", directory);
    g_autofree char *module_path = g_strdup_printf("%s/driver/module", directory);
    if (!link_if_there(root, path, &binding->driver, error) ||
        !link_if_there(root, module_path, &binding->module, error)) {
        return false;
    }
    if ((binding->driver != NULL && !vr_rule_is_driver_name(binding->driver)) ||
        (binding->module != NULL && !vr_rule_is_driver_name(binding->module))) {
        return vr_error_set(error, VR_ERROR_CORRUPT, "%s: not the name of a driver", path);
    }
    return true;
}

static VrBinding *
observe_binding(const VrSysroot *root, VrPciAddress address, GError **error)
{
    g_autofree char *text = vr_pci_address_format(address);
    g_autofree char *directory = vr_pci_device_path(address, NULL);
    VrBinding *binding = vr_binding_new(address);
    binding->present = vr_sysroot_exists(root, directory);
    if (!binding->present || (observe_ids(root, directory, binding, error) &&
                              observe_driver(root, directory, binding, error) &&
                              observe_group(root, directory, binding, error) &&
                              observe_override(root, directory, binding, error))) {
        return binding;
    }
    vr_binding_free(binding);
    if (!vr_sysroot_exists(root, directory)) { /* it left while we looked */
        g_clear_error(error);
        return vr_binding_new(address);
    }
    vr_error_prefix(error, "look at %s", text);
    return NULL;
}

static bool
observe_attribute(const VrSysroot *root, const VrAttribute *shape, VrHostState *state,
                  GError **error)
{
    VrAttribute now = *shape;
    g_autofree char *value = NULL;
    if (!vr_attribute_path_is_allowed(shape->path)) {
        return vr_error_set(error, VR_ERROR_CORRUPT, "%s: not a file that vmrun may change",
                            shape->path);
    }
    bool read = shape->kind == VR_ATTRIBUTE_NODE
                    ? vr_node_mode_read(root, shape->path, shape->device, &value, error)
                : shape->kind == VR_ATTRIBUTE_CPUS
                    ? vr_cpus_read(root, shape->path, &value, error)
                    : read_if_there(root, shape->path, &value, error);
    if (!read) {
        return false;
    }
    now.value = value;
    if (!vr_rule_is_attribute(&now)) {
        return vr_error_set(error, VR_ERROR_CORRUPT, "%s: unexpected value \"%s\"", shape->path,
                            value != NULL ? value : "");
    }
    vr_host_state_set_attribute(state, shape->kind, shape->has_device ? &shape->device : NULL,
                                shape->path, value);
    return true;
}

/* Words of `systemctl is-active`: a unit on its way up counts as active, it would be started again.
 */
static bool
is_active_word(const char *word)
{
    static const char *const words[] = {"active", "reloading", "activating", "refreshing", NULL};
    return g_strv_contains(words, word);
}

static bool
take_unit_words(const GPtrArray *units, const VrSpawnResult *result, VrHostState *state,
                GError **error)
{
    g_auto(GStrv) words = g_strsplit(g_strchomp(result->standard_output), "\n", -1);
    if (g_strv_length(words) != units->len || g_strv_contains((const char *const *) words, "")) {
        g_auto(GStrv) lines = g_strsplit(result->standard_error, "\n", 2);
        return vr_error_set(error, VR_ERROR_UNREACHABLE, "ask systemd about units: %s",
                            lines[0] != NULL ? lines[0] : "no answer");
    }
    for (guint i = 0; i < units->len; i++) {
        const VrUnitState *unit = g_ptr_array_index(units, i);
        vr_host_state_set_unit(state, unit->name, is_active_word(words[i]));
    }
    return true;
}

static bool
observe_units(const VrSysroot *root, const GPtrArray *units, VrHostState *state, GError **error)
{
    if (units->len == 0) {
        return true;
    }
    g_autofree char *elsewhere = g_strdup_printf("--root=%s", vr_sysroot_directory(root));
    g_autoptr(GPtrArray) argv = g_ptr_array_new();
    g_ptr_array_add(argv, (gpointer) "systemctl");
    if (!vr_sysroot_is_live(root)) { /* never ask about the units of another computer here */
        g_ptr_array_add(argv, elsewhere);
    }
    g_ptr_array_add(argv, (gpointer) "is-active");
    g_ptr_array_add(argv, (gpointer) "--");
    for (guint i = 0; i < units->len; i++) {
        const VrUnitState *unit = g_ptr_array_index(units, i);
        if (!vr_rule_is_unit_name(unit->name)) {
            return vr_error_set(error, VR_ERROR_CORRUPT, "\"%s\" is not the name of a unit",
                                unit->name);
        }
        g_ptr_array_add(argv, unit->name);
    }
    g_ptr_array_add(argv, NULL);
    g_autoptr(VrSpawnResult) result =
        vr_spawn((const char *const *) argv->pdata, UNITS_TIMEOUT_MS, error);
    if (result == NULL) {
        vr_error_recode(error, VR_ERROR_UNREACHABLE);
        return vr_error_prefix(error, "ask systemd about units");
    }
    return take_unit_words(units, result, state, error);
}

VrHostState *
vr_host_state_observe(const VrSysroot *root, const VrHostState *shape, GError **error)
{
    g_autoptr(VrHostState) state = vr_host_state_new();
    for (guint i = 0; i < shape->bindings->len; i++) {
        const VrBinding *wanted = g_ptr_array_index(shape->bindings, i);
        VrBinding *binding = observe_binding(root, wanted->address, error);
        if (binding == NULL) {
            return NULL;
        }
        vr_host_state_add_binding(state, binding);
    }
    for (guint i = 0; i < shape->attributes->len; i++) {
        if (!observe_attribute(root, g_ptr_array_index(shape->attributes, i), state, error)) {
            return NULL;
        }
    }
    if (!observe_units(root, shape->units, state, error)) {
        return NULL;
    }
    return g_steal_pointer(&state);
}
