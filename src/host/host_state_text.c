/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A host state as one JSON object. What is read is checked as if a stranger had written it. */
#include <vmrun/host_state.h>

#include "host/host_state_rules.h"

#include <vmrun/error.h>
#include <vmrun/text.h>

#include <json-glib/json-glib.h>

#include <string.h>

/* An object in an array in the object: json-glib reads by recursion, so depth is bounded first. */
#define DEPTH_LIMIT 3

static void
set_text(JsonObject *object, const char *name, const char *text)
{
    if (text != NULL) {
        json_object_set_string_member(object, name, text);
    } else {
        json_object_set_null_member(object, name);
    }
}

static void
set_hex(JsonObject *object, const char *name, unsigned digits, unsigned value)
{
    g_autofree char *text = g_strdup_printf("%0*x", (int) digits, value);
    json_object_set_string_member(object, name, text);
}

static void
set_address(JsonObject *object, const char *name, VrPciAddress address)
{
    g_autofree char *text = vr_pci_address_format(address);
    json_object_set_string_member(object, name, text);
}

static JsonObject *
binding_to_json(const VrBinding *binding)
{
    JsonObject *object = json_object_new();
    set_address(object, "address", binding->address);
    set_hex(object, "vendor", 4, binding->vendor);
    set_hex(object, "device", 4, binding->device);
    set_hex(object, "class", 6, binding->class_code);
    json_object_set_int_member(object, "group", binding->group);
    json_object_set_boolean_member(object, "present", binding->present);
    set_text(object, "driver", binding->driver);
    set_text(object, "module", binding->module);
    set_text(object, "override", binding->driver_override);
    return object;
}

static const char *const kind_names[] = {
    [VR_ATTRIBUTE_TEXT] = "text",
    [VR_ATTRIBUTE_NODE] = "node",
    [VR_ATTRIBUTE_COUNT] = "count",
    [VR_ATTRIBUTE_CPUS] = "cpus",
};

static bool
read_kind(const char *name, VrAttributeKind *out_kind)
{
    for (guint i = 0; i < G_N_ELEMENTS(kind_names); i++) {
        if (g_strcmp0(kind_names[i], name) == 0) {
            *out_kind = (VrAttributeKind) i;
            return true;
        }
    }
    return false;
}

static JsonObject *
attribute_to_json(const VrAttribute *attribute)
{
    JsonObject *object = json_object_new();
    json_object_set_string_member(object, "kind", kind_names[attribute->kind]);
    if (attribute->has_device) {
        set_address(object, "device", attribute->device);
    } else {
        json_object_set_null_member(object, "device");
    }
    set_text(object, "path", attribute->path);
    set_text(object, "value", attribute->value);
    return object;
}

static JsonObject *
unit_to_json(const VrUnitState *unit)
{
    JsonObject *object = json_object_new();
    set_text(object, "name", unit->name);
    json_object_set_boolean_member(object, "active", unit->active);
    return object;
}

typedef JsonObject *(*ToJson)(gconstpointer element);

static void
set_array(JsonObject *object, const char *name, const GPtrArray *elements, ToJson to_json)
{
    JsonArray *array = json_array_new();
    for (guint i = 0; i < elements->len; i++) {
        json_array_add_object_element(array, to_json(g_ptr_array_index(elements, i)));
    }
    json_object_set_array_member(object, name, array);
}

char *
vr_host_state_to_text(const VrHostState *state)
{
    JsonObject *object = json_object_new();
    set_array(object, "bindings", state->bindings, (ToJson) binding_to_json);
    set_array(object, "attributes", state->attributes, (ToJson) attribute_to_json);
    set_array(object, "units", state->units, (ToJson) unit_to_json);
    g_autoptr(JsonNode) node = json_node_new(JSON_NODE_OBJECT);
    json_node_take_object(node, object);
    return json_to_string(node, FALSE);
}

/* Exactly these members, no other: a name that is not known is a sign of another writer. */
static bool
has_members(JsonObject *object, const char *const *names, GError **error)
{
    for (const char *const *name = names; *name != NULL; name++) {
        if (!json_object_has_member(object, *name)) {
            return vr_error_set(error, VR_ERROR_CORRUPT, "host state: \"%s\" is missing", *name);
        }
    }
    if (json_object_get_size(object) != g_strv_length((char **) names)) {
        return vr_error_set(error, VR_ERROR_CORRUPT, "host state: a member that is not known");
    }
    return true;
}

static bool
wrong_member(GError **error, const char *name)
{
    return vr_error_set(error, VR_ERROR_CORRUPT, "host state: wrong value of \"%s\"", name);
}

static bool
get_text(JsonObject *object, const char *name, const char **out_text, GError **error)
{
    JsonNode *node = json_object_get_member(object, name);
    *out_text = NULL;
    if (JSON_NODE_HOLDS_NULL(node)) {
        return true;
    }
    if (!JSON_NODE_HOLDS_VALUE(node) || json_node_get_value_type(node) != G_TYPE_STRING) {
        return wrong_member(error, name);
    }
    *out_text = json_node_get_string(node);
    return true;
}

static bool
get_boolean(JsonObject *object, const char *name, bool *out_value, GError **error)
{
    JsonNode *node = json_object_get_member(object, name);
    if (!JSON_NODE_HOLDS_VALUE(node) || json_node_get_value_type(node) != G_TYPE_BOOLEAN) {
        return wrong_member(error, name);
    }
    *out_value = json_node_get_boolean(node);
    return true;
}

static bool
get_group(JsonObject *object, int *out_group, GError **error)
{
    JsonNode *node = json_object_get_member(object, "group");
    if (!JSON_NODE_HOLDS_VALUE(node) || json_node_get_value_type(node) != G_TYPE_INT64 ||
        json_node_get_int(node) < -1 || json_node_get_int(node) > G_MAXINT) {
        return wrong_member(error, "group");
    }
    *out_group = (int) json_node_get_int(node);
    return true;
}

static bool
get_hex(JsonObject *object, const char *name, size_t digits, uint32_t *out_value, GError **error)
{
    const char *text = NULL;
    uint64_t value = 0;
    if (!get_text(object, name, &text, error)) {
        return false;
    }
    if (text == NULL || strlen(text) != digits || strspn(text, "0123456789abcdef") != digits ||
        !vr_text_to_hex(text, 0xffffff, &value)) {
        return wrong_member(error, name);
    }
    *out_value = (uint32_t) value;
    return true;
}

static bool
get_address(JsonObject *object, const char *name, VrPciAddress *out_address, GError **error)
{
    const char *text = NULL;
    if (!get_text(object, name, &text, error)) {
        return false;
    }
    if (text == NULL || !vr_pci_address_parse(text, out_address)) {
        return wrong_member(error, name);
    }
    g_autofree char *formatted = vr_pci_address_format(*out_address);
    return g_str_equal(formatted, text) || wrong_member(error, name);
}

/* A text that a rule allows, or null. */
static bool
get_checked(JsonObject *object, const char *name, bool (*rule)(const char *), char **out_text,
            GError **error)
{
    const char *text = NULL;
    if (!get_text(object, name, &text, error)) {
        return false;
    }
    if (text != NULL && !rule(text)) {
        return wrong_member(error, name);
    }
    *out_text = g_strdup(text);
    return true;
}

static bool
read_binding(JsonObject *object, VrBinding *binding, GError **error)
{
    static const char *const names[] = {"address", "vendor", "device", "class",    "group",
                                        "present", "driver", "module", "override", NULL};
    uint32_t vendor, device;
    if (!has_members(object, names, error) ||
        !get_address(object, "address", &binding->address, error) ||
        !get_hex(object, "vendor", 4, &vendor, error) ||
        !get_hex(object, "device", 4, &device, error) ||
        !get_hex(object, "class", 6, &binding->class_code, error) ||
        !get_group(object, &binding->group, error) ||
        !get_boolean(object, "present", &binding->present, error) ||
        !get_checked(object, "driver", vr_rule_is_driver_name, &binding->driver, error) ||
        !get_checked(object, "module", vr_rule_is_driver_name, &binding->module, error) ||
        !get_checked(object, "override", vr_rule_is_override, &binding->driver_override, error)) {
        return false;
    }
    binding->vendor = (uint16_t) vendor;
    binding->device = (uint16_t) device;
    return true;
}

static bool
add_binding(VrHostState *state, JsonObject *object, GError **error)
{
    VrBinding *binding = vr_binding_new((VrPciAddress){0});
    bool fine =
        read_binding(object, binding, error) &&
        (vr_host_state_binding(state, binding->address) == NULL ||
         vr_error_set(error, VR_ERROR_CORRUPT, "host state: an address stands there twice"));
    if (!fine) {
        vr_binding_free(binding);
        return false;
    }
    vr_host_state_add_binding(state, binding);
    return true;
}

static bool
read_attribute(JsonObject *object, VrAttribute *attribute, GError **error)
{
    static const char *const names[] = {"kind", "device", "path", "value", NULL};
    const char *kind = NULL;
    const char *path = NULL;
    const char *value = NULL;
    if (!has_members(object, names, error) || !get_text(object, "kind", &kind, error) ||
        !get_text(object, "path", &path, error) || !get_text(object, "value", &value, error)) {
        return false;
    }
    attribute->has_device = !json_object_get_null_member(object, "device");
    if (attribute->has_device && !get_address(object, "device", &attribute->device, error)) {
        return false;
    }
    if (!read_kind(kind, &attribute->kind)) {
        return wrong_member(error, "kind");
    }
    attribute->path = (char *) path; /* lent by the object */
    attribute->value = (char *) value;
    return vr_rule_is_attribute(attribute) || wrong_member(error, "path");
}

static bool
add_attribute(VrHostState *state, JsonObject *object, GError **error)
{
    VrAttribute attribute = {0};
    if (!read_attribute(object, &attribute, error)) {
        return false;
    }
    if (vr_host_state_attribute(state, attribute.path) != NULL) {
        return vr_error_set(error, VR_ERROR_CORRUPT, "host state: a path stands there twice");
    }
    vr_host_state_set_attribute(state, attribute.kind,
                                attribute.has_device ? &attribute.device : NULL, attribute.path,
                                attribute.value);
    return true;
}

static bool
add_unit(VrHostState *state, JsonObject *object, GError **error)
{
    static const char *const names[] = {"name", "active", NULL};
    const char *name = NULL;
    bool active = false;
    if (!has_members(object, names, error) || !get_text(object, "name", &name, error) ||
        !get_boolean(object, "active", &active, error)) {
        return false;
    }
    if (!vr_rule_is_unit_name(name)) {
        return wrong_member(error, "name");
    }
    vr_host_state_set_unit(state, name, active);
    return true;
}

typedef bool (*AddElement)(VrHostState *state, JsonObject *object, GError **error);

static bool
add_all(VrHostState *state, JsonObject *object, const char *name, AddElement add, GError **error)
{
    JsonNode *node = json_object_get_member(object, name);
    if (!JSON_NODE_HOLDS_ARRAY(node)) {
        return wrong_member(error, name);
    }
    JsonArray *array = json_node_get_array(node);
    for (guint i = 0; i < json_array_get_length(array); i++) {
        JsonNode *element = json_array_get_element(array, i);
        if (!JSON_NODE_HOLDS_OBJECT(element)) {
            return wrong_member(error, name);
        }
        if (!add(state, json_node_get_object(element), error)) {
            return false;
        }
    }
    return true;
}

static bool
is_shallow(const char *text)
{
    bool in_string = false;
    int depth = 0;
    for (const char *at = text; *at != '\0'; at++) {
        if (in_string && *at == '\\' && at[1] != '\0') {
            at++;
        } else if (*at == '"') {
            in_string = !in_string;
        } else if (!in_string) {
            depth += (*at == '{' || *at == '[') - (*at == '}' || *at == ']');
        }
        if (depth > DEPTH_LIMIT) {
            return false;
        }
    }
    return true;
}

VrHostState *
vr_host_state_from_text(const char *text, GError **error)
{
    static const char *const names[] = {"bindings", "attributes", "units", NULL};
    g_autoptr(GError) cause = NULL;
    g_autoptr(VrHostState) state = vr_host_state_new();
    if (!is_shallow(text) || !g_utf8_validate(text, -1, NULL)) {
        vr_error_set(error, VR_ERROR_CORRUPT, "host state: not the text of one");
        return NULL;
    }
    g_autoptr(JsonNode) node = json_from_string(text, &cause);
    if (node == NULL || !JSON_NODE_HOLDS_OBJECT(node)) {
        vr_error_set(error, VR_ERROR_CORRUPT, "host state: not a JSON object%s%s",
                     cause != NULL ? ": " : "", cause != NULL ? cause->message : "");
        return NULL;
    }
    JsonObject *object = json_node_get_object(node);
    if (!has_members(object, names, error) ||
        !add_all(state, object, "bindings", add_binding, error) ||
        !add_all(state, object, "attributes", add_attribute, error) ||
        !add_all(state, object, "units", add_unit, error)) {
        return NULL;
    }
    return g_steal_pointer(&state);
}
