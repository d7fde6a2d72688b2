/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/host_facts_private.h"

#include <json-glib/json-glib.h>

#include <string.h>

/* A text of an object's member; NULL if it is none. Lent. */
static const char *
member_text(JsonObject *object, const char *name)
{
    JsonNode *node = object == NULL ? NULL : json_object_get_member(object, name);

    return node != NULL && JSON_NODE_HOLDS_VALUE(node) ? json_node_get_string(node) : NULL;
}

static JsonObject *
member_object(JsonObject *object, const char *name)
{
    JsonNode *node = object == NULL ? NULL : json_object_get_member(object, name);

    return node != NULL && JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
}

static JsonArray *
member_array(JsonObject *object, const char *name)
{
    JsonNode *node = object == NULL ? NULL : json_object_get_member(object, name);

    return node != NULL && JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;
}

static bool
has_text(JsonArray *array, const char *text)
{
    for (guint i = 0; array != NULL && i < json_array_get_length(array); i++) {
        JsonNode *node = json_array_get_element(array, i);
        const char *value = JSON_NODE_HOLDS_VALUE(node) ? json_node_get_string(node) : NULL;

        if (value != NULL && strcmp(value, text) == 0) {
            return true;
        }
    }
    return false;
}

/* vmrun's guests are q35 machines of x86-64. */
static bool
is_for_q35(JsonObject *descriptor)
{
    JsonArray *targets = member_array(descriptor, "targets");

    for (guint i = 0; targets != NULL && i < json_array_get_length(targets); i++) {
        JsonNode *node = json_array_get_element(targets, i);
        JsonObject *target = JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
        const char *architecture = member_text(target, "architecture");
        JsonArray *machines = member_array(target, "machines");

        if (architecture == NULL || strcmp(architecture, "x86_64") != 0) {
            continue;
        }
        for (guint j = 0; machines != NULL && j < json_array_get_length(machines); j++) {
            JsonNode *machine = json_array_get_element(machines, j);
            const char *name =
                JSON_NODE_HOLDS_VALUE(machine) ? json_node_get_string(machine) : NULL;

            if (name != NULL && g_pattern_match_simple(name, "pc-q35-7.2")) {
                return true;
            }
        }
    }
    return false;
}

static bool
has_code(const VrSysroot *root, JsonObject *descriptor)
{
    JsonObject *mapping = member_object(descriptor, "mapping");
    JsonObject *executable = member_object(mapping, "executable");
    const char *file = member_text(executable != NULL ? executable : mapping, "filename");

    return file != NULL && file[0] == '/' && vr_sysroot_exists(root, file);
}

/* docs/interop/firmware.json of QEMU. */
static void
take_descriptor(VrHostFacts *facts, JsonObject *descriptor)
{
    JsonArray *features = member_array(descriptor, "features");
    bool is_secure = has_text(features, "secure-boot");
    bool has_keys = has_text(features, "enrolled-keys");

    if (!has_text(member_array(descriptor, "interface-types"), "uefi") || !is_for_q35(descriptor) ||
        !has_code(facts->root, descriptor)) {
        return;
    }
    facts->ovmf |= !is_secure && !has_keys;
    facts->ovmf_secure |= is_secure && has_keys;
}

static void
load_descriptor(VrHostFacts *facts, const char *path)
{
    g_autofree char *text = vr_sysroot_read_optional(facts->root, path);
    g_autoptr(JsonParser) parser = json_parser_new_immutable();

    /* An empty file of the same name in /etc masks one of the distribution. */
    if (text == NULL || text[0] == '\0' || !json_parser_load_from_data(parser, text, -1, NULL)) {
        return;
    }

    JsonNode *top = json_parser_get_root(parser);
    if (top != NULL && JSON_NODE_HOLDS_OBJECT(top)) {
        take_descriptor(facts, json_node_get_object(top));
    }
}

void
vr_ovmf_load(VrHostFacts *facts)
{
    static const char *const places[] = {"/etc/qemu/firmware", "/usr/share/qemu/firmware"};
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

    for (gsize i = 0; i < G_N_ELEMENTS(places); i++) {
        g_autoptr(GPtrArray) names = vr_sysroot_list(facts->root, places[i], NULL);

        for (guint j = 0; names != NULL && j < names->len; j++) {
            const char *name = g_ptr_array_index(names, j);
            g_autofree char *path = g_strconcat(places[i], "/", name, NULL);

            if (g_str_has_suffix(name, ".json") && g_hash_table_add(seen, g_strdup(name))) {
                load_descriptor(facts, path);
            }
        }
    }
}
