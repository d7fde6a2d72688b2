/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/scout.h>

#include "host/gpu_users_private.h"
#include "host/process_scan.h"
#include "run/worker_private.h"

#include <vmrun/error.h>

#include <unistd.h>

/* A few hundred processes take milliseconds. Whoever asks waits for the answer. */
#define LOOK_TIMEOUT_MS 5000
#define LOOK_AGAIN_MS 20
/* A device's lock is free at once or is not to be waited for; systemd is given 20 s (host_state.c).
 */
#define OBSERVE_TIMEOUT_MS 5000
#define UNITS_TIMEOUT_MS 22000
#define ONE_TIMEOUT_MS 1500

struct _VrScout {
    VrSysroot *root;
    char **program;   /* NULL: this same one */
    VrWorker *worker; /* NULL: none runs */
};

VrScout *
vr_scout_new_with(VrSysroot *root, const char *const *argv)
{
    VrScout *scout = g_new0(VrScout, 1);
    scout->root = vr_sysroot_ref(root);
    scout->program = g_strdupv((char **) argv);
    return scout;
}

VrScout *
vr_scout_new(VrSysroot *root)
{
    return vr_scout_new_with(root, NULL);
}

static void
drop_worker(VrScout *scout)
{
    vr_worker_stop(scout->worker);
    scout->worker = NULL;
}

void
vr_scout_rest(VrScout *scout)
{
    drop_worker(scout);
}

void
vr_scout_free(VrScout *scout)
{
    if (scout != NULL) {
        drop_worker(scout);
        vr_sysroot_unref(scout->root);
        g_strfreev(scout->program);
        g_free(scout);
    }
}

/* What is recorded cannot block: it needs no other process. Tests give a program, to see it. */
static bool
looks_here(const VrScout *scout)
{
    return scout->program == NULL && !vr_sysroot_is_live(scout->root);
}

/* Takes the request over. A worker that failed to answer is not asked again. */
static JsonObject *
ask(VrScout *scout, JsonObject *request, unsigned timeout_ms, GError **error)
{
    GError *failure = NULL;
    if (scout->worker == NULL) {
        scout->worker =
            scout->program != NULL
                ? vr_worker_start_program(scout->root, (const char *const *) scout->program, error)
                : vr_worker_start(scout->root, NULL, error);
    }
    if (scout->worker == NULL) {
        json_object_unref(request);
        return NULL;
    }
    JsonObject *answer = vr_worker_call(scout->worker, request, timeout_ms, &failure);
    if (answer == NULL) {
        if (g_error_matches(failure, VR_ERROR, VR_ERROR_STUCK)) {
            vr_worker_abandon(scout->worker, true); /* it only looks */
        }
        drop_worker(scout);
        g_propagate_error(error, failure);
    }
    return answer;
}

static JsonObject *
function_object(const VrPciFunction *function)
{
    JsonObject *object = json_object_new();
    g_autofree char *address = vr_pci_address_format(function->address);
    json_object_set_string_member(object, "address", address);
    json_object_set_int_member(object, "class", function->class_code);
    json_object_set_int_member(object, "group", function->group);
    if (function->driver != NULL) {
        json_object_set_string_member(object, "driver", function->driver);
    }
    return object;
}

GPtrArray *
vr_scout_nodes(VrScout *scout, const GPtrArray *functions, GError **error)
{
    JsonObject *request = vr_worker_request("nodes");
    JsonArray *objects = json_array_new();
    for (guint i = 0; i < functions->len; i++) {
        json_array_add_object_element(objects, function_object(g_ptr_array_index(functions, i)));
    }
    json_object_set_array_member(request, "functions", objects);
    g_autoptr(JsonObject) answer = ask(scout, request, LOOK_TIMEOUT_MS, error);
    if (answer == NULL) {
        return NULL;
    }
    GPtrArray *nodes = g_ptr_array_new_with_free_func(g_free);
    JsonArray *lines = json_object_get_array_member(answer, "nodes");
    for (guint i = 0; lines != NULL && i < json_array_get_length(lines); i++) {
        g_ptr_array_add(nodes, g_strdup(json_array_get_string_element(lines, i)));
    }
    return nodes;
}

static VrHolder *
holder_from(JsonObject *object)
{
    VrHolder *holder = g_new0(VrHolder, 1);
    gint64 kind = json_object_get_int_member_with_default(object, "kind", VR_HOLDER_PROCESS);
    holder->kind = kind >= 0 && kind <= VR_HOLDER_VFIO ? (VrHolderKind) kind : VR_HOLDER_PROCESS;
    vr_pci_address_parse(json_object_get_string_member_with_default(object, "device", ""),
                         &holder->device);
    holder->pid = (int) json_object_get_int_member_with_default(object, "pid", 0);
    holder->start_time =
        (uint64_t) json_object_get_int_member_with_default(object, "start-time", 0);
    holder->node = g_strdup(json_object_get_string_member_with_default(object, "node", "?"));
    holder->command = g_strdup(json_object_get_string_member_with_default(object, "command", NULL));
    holder->unit = g_strdup(json_object_get_string_member_with_default(object, "unit", NULL));
    return holder;
}

VrHolders *
vr_scout_scan(VrScout *scout, const GPtrArray *nodes, GError **error)
{
    JsonObject *request = vr_worker_request("scan");
    JsonArray *lines = json_array_new();
    for (guint i = 0; i < nodes->len; i++) {
        json_array_add_string_element(lines, g_ptr_array_index(nodes, i));
    }
    json_object_set_array_member(request, "nodes", lines);
    g_autoptr(JsonObject) answer = ask(scout, request, LOOK_TIMEOUT_MS, error);
    if (answer == NULL) {
        return NULL;
    }
    VrHolders *found = vr_holders_new();
    JsonArray *holders = json_object_get_array_member(answer, "holders");
    for (guint i = 0; holders != NULL && i < json_array_get_length(holders); i++) {
        g_ptr_array_add(found->holders, holder_from(json_array_get_object_element(holders, i)));
    }
    found->unreadable_processes =
        (unsigned) json_object_get_int_member_with_default(answer, "unreadable", 0);
    vr_holders_sort(found);
    return found;
}

VrHolders *
vr_scout_processes(VrScout *scout, const GPtrArray *functions, GError **error)
{
    if (looks_here(scout)) {
        return vr_gpu_users_processes(scout->root, functions);
    }
    g_autoptr(GPtrArray) nodes = vr_scout_nodes(scout, functions, error);
    return nodes != NULL ? vr_scout_scan(scout, nodes, error) : NULL;
}

VrHolders *
vr_scout_users(VrScout *scout, const VrHostFacts *facts, const GPtrArray *functions, GError **error)
{
    VrHolders *found =
        functions->len > 0 ? vr_scout_processes(scout, functions, error) : vr_holders_new();
    if (found == NULL) {
        found = vr_holders_new();
    }
    vr_gpu_users_add_uses(facts, functions, found);
    vr_holders_sort(found);
    return found;
}

static bool
is_waited_for(const VrHolders *found, const char *const *units)
{
    for (guint i = 0; i < found->holders->len; i++) {
        const VrHolder *holder = g_ptr_array_index(found->holders, i);
        bool stopped =
            units != NULL && holder->unit != NULL && g_strv_contains(units, holder->unit);
        if (holder->pid > 0 && holder->kind == VR_HOLDER_PROCESS && !stopped) {
            return true;
        }
    }
    return false;
}

VrHolders *
vr_scout_users_patiently(VrScout *scout, const VrHostFacts *facts, const GPtrArray *functions,
                         const char *const *units, unsigned wait_ms, GError **error)
{
    int64_t deadline = g_get_monotonic_time() + (int64_t) wait_ms * 1000;
    for (;;) {
        g_autoptr(GError) failure = NULL;
        g_autoptr(VrHolders) found = vr_scout_users(scout, facts, functions, &failure);
        if (failure != NULL || !is_waited_for(found, units) || g_get_monotonic_time() >= deadline) {
            if (failure != NULL) {
                g_propagate_error(error, g_steal_pointer(&failure));
            }
            return g_steal_pointer(&found);
        }
        g_usleep(LOOK_AGAIN_MS * 1000);
    }
}

static VrHostState *
observe_once(VrScout *scout, const VrHostState *shape, unsigned timeout_ms, GError **error)
{
    g_autofree char *text = vr_host_state_to_text(shape);
    JsonObject *request = vr_worker_request("observe");
    json_object_set_string_member(request, "shape", text);
    g_autoptr(JsonObject) answer = ask(scout, request, timeout_ms, error);
    if (answer == NULL) {
        return NULL;
    }
    return vr_host_state_from_text(json_object_get_string_member_with_default(answer, "state", ""),
                                   error);
}

/* One by one: which of them is it? */
static char *
find_silent(VrScout *scout, const VrHostState *shape)
{
    g_autoptr(GString) silent = g_string_new(NULL);
    for (guint i = 0; i < shape->bindings->len; i++) {
        const VrBinding *binding = g_ptr_array_index(shape->bindings, i);
        g_autoptr(VrHostState) one = vr_host_state_new();
        g_autoptr(GError) failure = NULL;
        vr_host_state_add_binding(one, vr_binding_new(binding->address));
        g_autoptr(VrHostState) seen = observe_once(scout, one, ONE_TIMEOUT_MS, &failure);
        if (seen == NULL && g_error_matches(failure, VR_ERROR, VR_ERROR_STUCK)) {
            g_autofree char *address = vr_pci_address_format(binding->address);
            g_string_append_printf(silent, "%s%s", silent->len > 0 ? ", " : "", address);
        }
    }
    return silent->len > 0 ? g_string_free(g_steal_pointer(&silent), FALSE) : NULL;
}

VrHostState *
vr_scout_observe(VrScout *scout, const VrHostState *shape, GError **error)
{
    g_autoptr(GError) failure = NULL;
    if (looks_here(scout)) {
        return vr_host_state_observe(scout->root, shape, error);
    }
    unsigned timeout_ms = shape->units->len > 0 ? UNITS_TIMEOUT_MS : OBSERVE_TIMEOUT_MS;
    VrHostState *state = observe_once(scout, shape, timeout_ms, &failure);
    if (state != NULL || !g_error_matches(failure, VR_ERROR, VR_ERROR_STUCK)) {
        if (state == NULL) {
            g_propagate_error(error, g_steal_pointer(&failure));
        }
        return state;
    }
    g_autofree char *silent = find_silent(scout, shape);
    vr_error_set(error, VR_ERROR_STUCK,
                 "%s: the kernel does not answer, because something hangs there: see ps for a "
                 "process in state D",
                 silent != NULL ? silent : "the host's state");
    return NULL;
}

bool
vr_scout_find_domain(VrScout *scout, const char *uuid, int *out_pid, bool *out_creator,
                     GError **error)
{
    if (looks_here(scout)) {
        vr_process_find_domain(scout->root, uuid, getpid(), out_pid, out_creator);
        return true;
    }
    JsonObject *request = vr_worker_request("domain");
    if (uuid != NULL) {
        json_object_set_string_member(request, "uuid", uuid);
    }
    g_autoptr(JsonObject) answer = ask(scout, request, LOOK_TIMEOUT_MS, error);
    if (answer == NULL) {
        return false;
    }
    *out_pid = (int) json_object_get_int_member_with_default(answer, "pid", 0);
    *out_creator = json_object_get_boolean_member_with_default(answer, "creator", TRUE);
    return true;
}

VrTristate
vr_scout_group_is_busy(VrScout *scout, int group, unsigned timeout_ms)
{
    g_autofree char *path = g_strdup_printf("/dev/vfio/%d", group);
    g_autoptr(GError) error = NULL;
    if (looks_here(scout)) {
        return vr_vfio_group_is_busy(scout->root, group);
    }
    if (!vr_sysroot_exists(scout->root, path)) {
        return VR_NO;
    }
    JsonObject *request = vr_worker_request("group");
    json_object_set_int_member(request, "group", group);
    g_autoptr(JsonObject) answer = ask(scout, request, timeout_ms, &error);
    if (answer == NULL) {
        return g_error_matches(error, VR_ERROR, VR_ERROR_STUCK) ? VR_YES : VR_UNKNOWN;
    }
    gint64 busy = json_object_get_int_member_with_default(answer, "busy", VR_UNKNOWN);
    return busy == VR_YES || busy == VR_NO ? (VrTristate) busy : VR_UNKNOWN;
}
