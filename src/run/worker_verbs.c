/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a worker can be asked. One row per verb; a handler adds to the answer or sets an error. */
#include "run/worker_private.h"

#include <vmrun/apply.h>
#include <vmrun/error.h>

#include <string.h>

typedef bool (*Handler)(VrWorkerService *service, JsonObject *request, JsonObject *answer,
                        GError **error);

JsonObject *
vr_worker_request(const char *verb)
{
    JsonObject *request = json_object_new();
    json_object_set_string_member(request, "verb", verb);
    return request;
}

static void
set_text(JsonObject *object, const char *name, const char *text)
{
    if (text != NULL) {
        json_object_set_string_member(object, name, text);
    }
}

static const char *
get_text(JsonObject *object, const char *name)
{
    JsonNode *node = json_object_get_member(object, name);
    return node != NULL && JSON_NODE_HOLDS_VALUE(node) &&
                   json_node_get_value_type(node) == G_TYPE_STRING
               ? json_node_get_string(node)
               : NULL;
}

static const char *
need_text(JsonObject *object, const char *name, GError **error)
{
    const char *text = get_text(object, name);
    if (text == NULL) {
        vr_error_set(error, VR_ERROR_FAILED, "the request has no \"%s\"", name);
    }
    return text;
}

/* --- moving devices ----------------------------------------------------------------------------*/

JsonObject *
vr_worker_step_request(const VrStep *step, const VrBinding *binding)
{
    JsonObject *request = vr_worker_request("step");
    set_text(request, "kind", vr_step_kind_name(step->kind));
    set_text(request, "path", step->path);
    set_text(request, "from", step->from);
    set_text(request, "value", step->value);
    if (step->has_device && binding != NULL) {
        g_autofree char *address = vr_pci_address_format(step->device);
        set_text(request, "device", address);
        json_object_set_int_member(request, "vendor-id", binding->vendor);
        json_object_set_int_member(request, "device-id", binding->device);
        set_text(request, "module", binding->module);
    }
    return request;
}

static bool
read_id(JsonObject *request, const char *name, uint16_t *out_id, GError **error)
{
    gint64 value = json_object_get_int_member_with_default(request, name, -1);
    if (value < 0 || value > 0xffff) {
        return vr_error_set(error, VR_ERROR_FAILED, "the request has no \"%s\"", name);
    }
    *out_id = (uint16_t) value;
    return true;
}

/* Of a step without a device: NULL without an error. */
static bool
read_binding(JsonObject *request, VrStep *step, VrBinding **out_binding, GError **error)
{
    const char *address = get_text(request, "device");
    if (address == NULL) {
        return true;
    }
    if (!vr_pci_address_parse(address, &step->device)) {
        return vr_error_set(error, VR_ERROR_FAILED, "\"%s\" is no PCI address", address);
    }
    step->has_device = true;
    VrBinding *binding = vr_binding_new(step->device);
    *out_binding = binding;
    binding->module = g_strdup(get_text(request, "module"));
    return read_id(request, "vendor-id", &binding->vendor, error) &&
           read_id(request, "device-id", &binding->device, error);
}

/* The parts that a step of its kind cannot be without. */
static bool
is_complete(const VrStep *step)
{
    switch (step->kind) {
    case VR_STEP_LOAD_MODULE:
    case VR_STEP_STOP_UNIT:
    case VR_STEP_START_UNIT:
        return step->value != NULL;
    case VR_STEP_ATTRIBUTE:
        return step->path != NULL && step->value != NULL;
    case VR_STEP_OVERRIDE:
    case VR_STEP_RESET:
    case VR_STEP_PROBE:
        return step->has_device;
    case VR_STEP_UNBIND:
        return step->has_device && step->from != NULL;
    case VR_STEP_BIND:
        return step->has_device && step->value != NULL;
    }
    g_return_val_if_reached(false);
}

static bool
do_step(VrWorkerService *service, JsonObject *request, JsonObject *answer, GError **error)
{
    VrStep step = {0}; /* its texts are lent by the request */
    VrBinding *binding = NULL;
    (void) answer;
    if (!vr_step_kind_from_name(get_text(request, "kind"), &step.kind)) {
        return vr_error_set(error, VR_ERROR_FAILED, "a kind of step that is not known");
    }
    step.path = (char *) get_text(request, "path");
    step.from = (char *) get_text(request, "from");
    step.value = (char *) get_text(request, "value");
    bool done = read_binding(request, &step, &binding, error) &&
                (is_complete(&step) ||
                 vr_error_set(error, VR_ERROR_FAILED, "a part of the step is missing")) &&
                vr_step_execute(service->root, &step, binding, error);
    vr_binding_free(binding);
    return done;
}

static bool
observe(VrWorkerService *service, JsonObject *request, JsonObject *answer, GError **error)
{
    const char *text = need_text(request, "shape", error);
    g_autoptr(VrHostState) shape = text != NULL ? vr_host_state_from_text(text, error) : NULL;
    g_autoptr(VrHostState) state =
        shape != NULL ? vr_host_state_observe(service->root, shape, error) : NULL;
    if (state == NULL) {
        return false;
    }
    g_autofree char *seen = vr_host_state_to_text(state);
    set_text(answer, "state", seen);
    return true;
}

static bool
ping(VrWorkerService *service, JsonObject *request, JsonObject *answer, GError **error)
{
    (void) service, (void) request, (void) answer, (void) error;
    return true;
}

/* --- libvirt -----------------------------------------------------------------------------------*/

static bool
open_hypervisor(VrWorkerService *service, JsonObject *request, JsonObject *answer, GError **error)
{
    const char *uri = need_text(request, "uri", error);
    const char *boot_id = uri != NULL ? need_text(request, "boot_id", error) : NULL;
    (void) answer;
    if (boot_id == NULL) {
        return false;
    }
    vr_hypervisor_close(service->hypervisor);
    service->hypervisor = vr_hypervisor_open(uri, boot_id, error);
    return service->hypervisor != NULL;
}

static bool
start(VrWorkerService *service, JsonObject *request, JsonObject *answer, GError **error)
{
    const char *xml = need_text(request, "xml", error);
    const char *known = get_text(request, "checked");
    g_autofree char *checked = NULL;
    int pid = 0;
    if (xml == NULL ||
        !vr_hypervisor_start(service->hypervisor, xml, known, &checked, &pid, error)) {
        return false;
    }
    set_text(answer, "checked", checked);
    json_object_set_int_member(answer, "pid", pid);
    return true;
}

static const char *
state_name(VrDomainState state)
{
    switch (state) {
    case VR_DOMAIN_ABSENT:
        return "absent";
    case VR_DOMAIN_RUNNING:
        return "running";
    case VR_DOMAIN_PAUSED:
        return "paused";
    case VR_DOMAIN_ENDING:
        return "ending";
    case VR_DOMAIN_OFF:
        return "off";
    }
    g_return_val_if_reached("running");
}

static bool
state(VrWorkerService *service, JsonObject *request, JsonObject *answer, GError **error)
{
    const char *uuid = need_text(request, "uuid", error);
    VrDomainState found = VR_DOMAIN_ABSENT;
    int pid = 0;
    if (uuid == NULL || !vr_hypervisor_state(service->hypervisor, uuid, &found, &pid, error)) {
        return false;
    }
    set_text(answer, "state", state_name(found));
    json_object_set_int_member(answer, "pid", pid);
    return true;
}

static bool
agent(VrWorkerService *service, JsonObject *request, JsonObject *answer, GError **error)
{
    const char *uuid = need_text(request, "uuid", error);
    VrAgentSeen seen = VR_AGENT_UNKNOWN;
    if (uuid == NULL || !vr_hypervisor_agent(service->hypervisor, uuid, &seen, error)) {
        return false;
    }
    set_text(answer, "agent", vr_agent_seen_name(seen));
    return true;
}

static bool
shut_down(VrWorkerService *service, JsonObject *request, JsonObject *answer, GError **error)
{
    const char *uuid = need_text(request, "uuid", error);
    (void) answer;
    return uuid != NULL && vr_hypervisor_shutdown(service->hypervisor, uuid, error);
}

static bool
destroy(VrWorkerService *service, JsonObject *request, JsonObject *answer, GError **error)
{
    const char *uuid = need_text(request, "uuid", error);
    (void) answer;
    return uuid != NULL && vr_hypervisor_destroy(service->hypervisor, uuid, error);
}

static bool
name_taken(VrWorkerService *service, JsonObject *request, JsonObject *answer, GError **error)
{
    const char *name = need_text(request, "name", error);
    const char *uuid = name != NULL ? need_text(request, "uuid", error) : NULL;
    bool taken = false;
    if (uuid == NULL || !vr_hypervisor_name_taken(service->hypervisor, name, uuid, &taken, error)) {
        return false;
    }
    json_object_set_boolean_member(answer, "taken", taken);
    return true;
}

static bool
default_network(VrWorkerService *service, JsonObject *request, JsonObject *answer, GError **error)
{
    (void) request, (void) error;
    json_object_set_boolean_member(answer, "active",
                                   vr_hypervisor_default_network(service->hypervisor));
    return true;
}

static bool
assigned(VrWorkerService *service, JsonObject *request, JsonObject *answer, GError **error)
{
    g_autoptr(GPtrArray) found = vr_hypervisor_assigned(service->hypervisor, error);
    (void) request;
    if (found == NULL) {
        return false;
    }
    JsonArray *devices = json_array_new();
    for (guint i = 0; i < found->len; i++) {
        json_array_add_string_element(devices, g_ptr_array_index(found, i));
    }
    json_object_set_array_member(answer, "devices", devices);
    return true;
}

/* --- dispatch ----------------------------------------------------------------------------------*/

static const struct {
    const char *verb;
    bool needs_hypervisor;
    Handler handle;
} verbs[] = {
    {"ping", false, ping},
    {"step", false, do_step},
    {"observe", false, observe},
    {"capabilities", false, vr_worker_serve_capabilities},
    {"nodes", false, vr_worker_serve_nodes},
    {"scan", false, vr_worker_serve_scan},
    {"group", false, vr_worker_serve_group},
    {"inhibit", false, vr_worker_serve_inhibit},
    {"domain", false, vr_worker_serve_domain},
    {"open", false, open_hypervisor},
    {"start", true, start},
    {"state", true, state},
    {"agent", true, agent},
    {"shutdown", true, shut_down},
    {"destroy", true, destroy},
    {"name-taken", true, name_taken},
    {"default-network", true, default_network},
    {"assigned", true, assigned},
};

static bool
dispatch(VrWorkerService *service, JsonObject *request, JsonObject *answer, GError **error)
{
    const char *verb = request != NULL ? get_text(request, "verb") : NULL;
    for (guint i = 0; i < G_N_ELEMENTS(verbs); i++) {
        if (g_strcmp0(verbs[i].verb, verb) != 0) {
            continue;
        }
        if (verbs[i].needs_hypervisor && service->hypervisor == NULL) {
            return vr_error_set(error, VR_ERROR_UNREACHABLE, "libvirt was not opened");
        }
        return verbs[i].handle(service, request, answer, error);
    }
    return vr_error_set(error, VR_ERROR_FAILED, "a request that is not known");
}

JsonObject *
vr_worker_serve(VrWorkerService *service, JsonObject *request)
{
    JsonObject *answer = json_object_new();
    g_autoptr(GError) error = NULL;
    bool done = dispatch(service, request, answer, &error);
    json_object_set_boolean_member(answer, "ok", done);
    if (!done) {
        json_object_set_int_member(answer, "code", error->code);
        g_autofree char *message = g_utf8_make_valid(error->message, -1);
        json_object_set_string_member(answer, "message", message);
    }
    return answer;
}
