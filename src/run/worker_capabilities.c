/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Both ends of the question what functions say of themselves. */
#include "run/worker_private.h"

#include <vmrun/error.h>
#include <vmrun/pci_capabilities.h>

/* To wake a card takes a second or so. Refusing one that needs longer costs nothing: nothing was
 * written yet, and other starts wait for this one's claim meanwhile. */
#define TIMEOUT_MS 10000

/* --- the worker's end --------------------------------------------------------------------------*/

/* NULL with an error. Owned. */
static GArray *
read_addresses(JsonObject *request, GError **error)
{
    g_autoptr(GArray) addresses = g_array_new(FALSE, FALSE, sizeof(VrPciAddress));
    JsonNode *node = json_object_get_member(request, "addresses");
    JsonArray *texts =
        node != NULL && JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;
    if (texts == NULL) {
        vr_error_set(error, VR_ERROR_FAILED, "the request has no \"addresses\"");
        return NULL;
    }
    for (guint i = 0; i < json_array_get_length(texts); i++) {
        JsonNode *element = json_array_get_element(texts, i);
        const char *text = JSON_NODE_HOLDS_VALUE(element) ? json_node_get_string(element) : NULL;
        VrPciAddress address = {0};
        if (text == NULL || !vr_pci_address_parse(text, &address)) {
            vr_error_set(error, VR_ERROR_FAILED, "\"%s\" is no PCI address",
                         text != NULL ? text : "");
            return NULL;
        }
        g_array_append_val(addresses, address);
    }
    return g_steal_pointer(&addresses);
}

static JsonObject *
describe(const VrPciCapabilities *capabilities)
{
    JsonObject *object = json_object_new();
    g_autofree char *address = vr_pci_address_format(capabilities->address);
    json_object_set_string_member(object, "address", address);
    json_object_set_int_member(object, "dead", capabilities->is_dead);
    json_object_set_int_member(object, "function-reset", capabilities->function_reset);
    json_object_set_int_member(object, "power-reset", capabilities->power_reset);
    if (capabilities->reset_methods != NULL) {
        g_autofree char *methods = g_utf8_make_valid(capabilities->reset_methods, -1);
        json_object_set_string_member(object, "reset-methods", methods);
    }
    if (capabilities->serial != NULL) {
        json_object_set_string_member(object, "serial", capabilities->serial);
    }
    return object;
}

bool
vr_worker_serve_capabilities(VrWorkerService *service, JsonObject *request, JsonObject *answer,
                             GError **error)
{
    g_autoptr(GArray) addresses = read_addresses(request, error);
    if (addresses == NULL) {
        return false;
    }
    g_autoptr(GPtrArray) read = vr_pci_capabilities_read(service->root, addresses);
    JsonArray *functions = json_array_new();
    for (guint i = 0; i < read->len; i++) {
        json_array_add_object_element(functions, describe(g_ptr_array_index(read, i)));
    }
    json_object_set_array_member(answer, "functions", functions);
    return true;
}

/* --- the supervisor's end ----------------------------------------------------------------------*/

static VrTristate
get_tristate(JsonObject *object, const char *name)
{
    gint64 value = json_object_get_int_member_with_default(object, name, VR_UNKNOWN);
    return value == VR_YES || value == VR_NO ? (VrTristate) value : VR_UNKNOWN;
}

static VrPciCapabilities *
capabilities_from(JsonObject *object)
{
    VrPciCapabilities *capabilities = g_new0(VrPciCapabilities, 1);
    const char *address = json_object_get_string_member_with_default(object, "address", "");
    vr_pci_address_parse(address, &capabilities->address);
    capabilities->is_dead = get_tristate(object, "dead");
    capabilities->function_reset = get_tristate(object, "function-reset");
    capabilities->power_reset = get_tristate(object, "power-reset");
    capabilities->reset_methods =
        g_strdup(json_object_get_string_member_with_default(object, "reset-methods", NULL));
    capabilities->serial =
        g_strdup(json_object_get_string_member_with_default(object, "serial", NULL));
    return capabilities;
}

GPtrArray *
vr_worker_ask_capabilities(VrWorker *worker, const GArray *addresses, unsigned timeout_ms,
                           GError **error)
{
    JsonObject *request = vr_worker_request("capabilities");
    JsonArray *texts = json_array_new();
    for (guint i = 0; i < addresses->len; i++) {
        g_autofree char *text = vr_pci_address_format(g_array_index(addresses, VrPciAddress, i));
        json_array_add_string_element(texts, text);
    }
    json_object_set_array_member(request, "addresses", texts);
    g_autoptr(JsonObject) answer = vr_worker_call(worker, request, timeout_ms, error);
    if (answer == NULL) {
        return NULL;
    }
    GPtrArray *read = g_ptr_array_new_with_free_func((GDestroyNotify) vr_pci_capabilities_free);
    JsonArray *functions = json_object_get_array_member(answer, "functions");
    for (guint i = 0; functions != NULL && i < json_array_get_length(functions); i++) {
        g_ptr_array_add(read, capabilities_from(json_array_get_object_element(functions, i)));
    }
    return read;
}

GPtrArray *
vr_worker_capabilities(const VrSysroot *root, const GArray *addresses, GError **error)
{
    GError *failure = NULL;
    g_autoptr(VrWorker) worker = vr_worker_start(root, NULL, error);
    if (worker == NULL) {
        return NULL;
    }
    GPtrArray *read = vr_worker_ask_capabilities(worker, addresses, TIMEOUT_MS, &failure);
    if (g_error_matches(failure, VR_ERROR, VR_ERROR_STUCK)) {
        vr_worker_abandon(worker, true); /* it only reads */
        g_clear_error(&failure);
        vr_error_set(&failure, VR_ERROR_STUCK, "config space could not be read within %d s",
                     TIMEOUT_MS / 1000);
    }
    if (failure != NULL) {
        g_propagate_error(error, failure);
    }
    return read;
}
