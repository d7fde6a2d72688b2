/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The worker's end of a scout's questions (scout.c). */
#include "run/worker_private.h"

#include "host/gpu_nodes.h"
#include "host/gpu_users_private.h"
#include "host/process_scan.h"

#include <vmrun/error.h>

#include <unistd.h>

static bool
read_function(JsonObject *object, VrPciFunction *function, GError **error)
{
    const char *address = json_object_get_string_member_with_default(object, "address", "");
    gint64 class_code = json_object_get_int_member_with_default(object, "class", -1);
    gint64 group = json_object_get_int_member_with_default(object, "group", -1);
    if (!vr_pci_address_parse(address, &function->address) || class_code < 0 ||
        class_code > 0xffffff || group < -1 || group > G_MAXINT) {
        return vr_error_set(error, VR_ERROR_FAILED, "a function that cannot be");
    }
    function->class_code = (uint32_t) class_code;
    function->group = (int) group;
    function->driver = g_strdup(json_object_get_string_member_with_default(object, "driver", NULL));
    return true;
}

/* NULL with an error. */
static JsonArray *
need_array(JsonObject *request, const char *name, GError **error)
{
    JsonNode *node = json_object_get_member(request, name);
    if (node == NULL || !JSON_NODE_HOLDS_ARRAY(node)) {
        vr_error_set(error, VR_ERROR_FAILED, "the request has no \"%s\"", name);
        return NULL;
    }
    return json_node_get_array(node);
}

static GPtrArray *
read_functions(JsonObject *request, GError **error)
{
    JsonArray *objects = need_array(request, "functions", error);
    g_autoptr(GPtrArray) functions =
        g_ptr_array_new_with_free_func((GDestroyNotify) vr_pci_function_free);
    if (objects == NULL) {
        return NULL;
    }
    for (guint i = 0; i < json_array_get_length(objects); i++) {
        JsonNode *element = json_array_get_element(objects, i);
        VrPciFunction *function = g_new0(VrPciFunction, 1);
        g_ptr_array_add(functions, function);
        if (!JSON_NODE_HOLDS_OBJECT(element)) {
            vr_error_set(error, VR_ERROR_FAILED, "a function that is none");
            return NULL;
        }
        if (!read_function(json_node_get_object(element), function, error)) {
            return NULL;
        }
    }
    return g_steal_pointer(&functions);
}

bool
vr_worker_serve_nodes(VrWorkerService *service, JsonObject *request, JsonObject *answer,
                      GError **error)
{
    g_autoptr(GPtrArray) functions = read_functions(request, error);
    if (functions == NULL) {
        return false;
    }
    g_autoptr(GPtrArray) nodes = vr_device_nodes_find(service->root, functions);
    JsonArray *lines = json_array_new();
    for (guint i = 0; i < nodes->len; i++) {
        g_autofree char *line = vr_device_node_to_text(g_ptr_array_index(nodes, i));
        json_array_add_string_element(lines, line);
    }
    json_object_set_array_member(answer, "nodes", lines);
    return true;
}

static GPtrArray *
read_nodes(JsonObject *request, GError **error)
{
    JsonArray *lines = need_array(request, "nodes", error);
    g_autoptr(GPtrArray) nodes =
        g_ptr_array_new_with_free_func((GDestroyNotify) vr_device_node_free);
    for (guint i = 0; lines != NULL && i < json_array_get_length(lines); i++) {
        JsonNode *element = json_array_get_element(lines, i);
        bool is_text =
            JSON_NODE_HOLDS_VALUE(element) && json_node_get_value_type(element) == G_TYPE_STRING;
        VrDeviceNode *node =
            is_text ? vr_device_node_from_text(json_node_get_string(element)) : NULL;
        if (node == NULL) {
            vr_error_set(error, VR_ERROR_FAILED, "a device node that cannot be");
            return NULL;
        }
        g_ptr_array_add(nodes, node);
    }
    return lines != NULL ? g_steal_pointer(&nodes) : NULL;
}

static JsonObject *
describe(const VrHolder *holder)
{
    JsonObject *object = json_object_new();
    g_autofree char *device = vr_pci_address_format(holder->device);
    json_object_set_int_member(object, "kind", holder->kind);
    json_object_set_string_member(object, "device", device);
    json_object_set_int_member(object, "pid", holder->pid);
    json_object_set_int_member(object, "start-time", (gint64) holder->start_time);
    json_object_set_string_member(object, "node", holder->node);
    if (holder->command != NULL) {
        json_object_set_string_member(object, "command", holder->command);
    }
    if (holder->unit != NULL) {
        json_object_set_string_member(object, "unit", holder->unit);
    }
    return object;
}

bool
vr_worker_serve_scan(VrWorkerService *service, JsonObject *request, JsonObject *answer,
                     GError **error)
{
    g_autoptr(GPtrArray) nodes = read_nodes(request, error);
    if (nodes == NULL) {
        return false;
    }
    VrHolders *found = vr_holders_new();
    found->unreadable_processes = vr_gpu_users_scan(service->root, nodes, found->holders);
    JsonArray *holders = json_array_new();
    for (guint i = 0; i < found->holders->len; i++) {
        json_array_add_object_element(holders, describe(g_ptr_array_index(found->holders, i)));
    }
    json_object_set_array_member(answer, "holders", holders);
    json_object_set_int_member(answer, "unreadable", found->unreadable_processes);
    vr_holders_free(found);
    return true;
}

bool
vr_worker_serve_group(VrWorkerService *service, JsonObject *request, JsonObject *answer,
                      GError **error)
{
    gint64 group = json_object_get_int_member_with_default(request, "group", -1);
    if (group < 0 || group > G_MAXINT) {
        return vr_error_set(error, VR_ERROR_FAILED, "the request has no \"group\"");
    }
    json_object_set_int_member(answer, "busy", vr_vfio_group_is_busy(service->root, (int) group));
    return true;
}

bool
vr_worker_serve_domain(VrWorkerService *service, JsonObject *request, JsonObject *answer,
                       GError **error)
{
    const char *uuid = json_object_get_string_member_with_default(request, "uuid", NULL);
    bool creator = false;
    int pid = 0;
    (void) error;
    vr_process_find_domain(service->root, uuid, getppid(), &pid, &creator);
    json_object_set_int_member(answer, "pid", pid);
    json_object_set_boolean_member(answer, "creator", creator);
    return true;
}
