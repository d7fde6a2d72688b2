/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/domain.h>

#include "run/domain_private.h"
#include "run/worker_private.h"

#include <vmrun/error.h>
#include <vmrun/files.h>
#include <vmrun/pci.h>
#include <vmrun/process.h>
#include <vmrun/worker.h>

#include <json-glib/json-glib.h>
#include <string.h>

/* Opening may start libvirtd by its socket and probe QEMU for the first time, which takes seconds.
 */
#define CONNECT_TIMEOUT_MS 60000
/* Any question that needs no work of the guest or of QEMU. */
#define ASK_TIMEOUT_MS 20000
/* libvirt itself gives QEMU 40 s, and 2 s more for each assigned device (qemu_process.c). */
#define DESTROY_TIMEOUT_MS 90000

/* libvirt has no event for the very end of its work on a domain. */
#define SETTLE_POLL_MS 20

#define EMBEDDED_PREFIX "qemu:///embed?root="

struct _VrDomain {
    const VrSysroot *root;
    char *uri, *name, *uuid, *boot_id;
    VrWorker *worker;           /* NULL: not connected */
    const char *const *program; /* NULL: this same one */
    unsigned limit_ms;          /* of each call, 0: none */
};

VrDomain *
vr_domain_new(const VrSysroot *root, const char *uri, const char *name, const char *uuid,
              const char *boot_id)
{
    VrDomain *domain = g_new0(VrDomain, 1);
    domain->root = root;
    domain->uri = g_strdup(uri);
    domain->name = g_strdup(name);
    domain->uuid = g_strdup(uuid);
    domain->boot_id = g_strdup(boot_id);
    return domain;
}

void
vr_domain_use(VrDomain *domain, const char *const *argv, unsigned limit_ms)
{
    domain->program = argv;
    domain->limit_ms = limit_ms;
}

unsigned
vr_domain_patience_ms(const VrDomain *domain, unsigned timeout_ms)
{
    return domain->limit_ms != 0 ? MIN(domain->limit_ms, timeout_ms) : timeout_ms;
}

void
vr_domain_free(VrDomain *domain)
{
    if (domain == NULL) {
        return;
    }
    vr_worker_stop(domain->worker);
    g_free(domain->uri);
    g_free(domain->name);
    g_free(domain->uuid);
    g_free(domain->boot_id);
    g_free(domain);
}

static bool
is_embedded(const VrDomain *domain)
{
    return g_str_has_prefix(domain->uri, EMBEDDED_PREFIX);
}

static JsonObject *
request_new(const char *verb)
{
    JsonObject *request = json_object_new();
    json_object_set_string_member(request, "verb", verb);
    return request;
}

/* A worker that died or hangs is of no use for the next call. Killing is safe: it is inside
 * libvirt, not in the kernel. */
static void
drop_worker(VrDomain *domain, const GError *error)
{
    if (g_error_matches(error, VR_ERROR, VR_ERROR_STUCK)) {
        vr_worker_abandon(domain->worker, true);
    }
    vr_worker_stop(domain->worker);
    domain->worker = NULL;
}

static JsonObject *
call_worker(VrDomain *domain, JsonObject *request, unsigned timeout_ms, GError **error)
{
    GError *cause = NULL;
    unsigned wait_ms = vr_domain_patience_ms(domain, timeout_ms);
    JsonObject *answer = vr_worker_call(domain->worker, request, wait_ms, &cause);
    if (answer == NULL) {
        /* A connection that was lost does not come back by itself either. */
        if (g_error_matches(cause, VR_ERROR, VR_ERROR_STUCK) ||
            g_error_matches(cause, VR_ERROR, VR_ERROR_UNREACHABLE) ||
            vr_worker_is_lost(domain->worker)) {
            drop_worker(domain, cause);
        }
        g_propagate_error(error, cause);
    }
    return answer;
}

bool
vr_domain_connect(VrDomain *domain, GError **error)
{
    if (domain->worker != NULL) {
        return true;
    }
    domain->worker = vr_worker_start_for(
        domain->root, domain->program == NULL ? domain->name : NULL, domain->program, error);
    if (domain->worker == NULL) {
        return false;
    }
    JsonObject *request = request_new("open");
    json_object_set_string_member(request, "uri", domain->uri);
    json_object_set_string_member(request, "boot_id",
                                  domain->boot_id != NULL ? domain->boot_id : "");
    g_autoptr(JsonObject) answer = call_worker(domain, request, CONNECT_TIMEOUT_MS, error);
    if (answer != NULL) {
        return true;
    }
    vr_worker_stop(domain->worker);
    domain->worker = NULL;
    vr_error_recode(error, VR_ERROR_UNREACHABLE);
    return vr_error_prefix(error, "connect to libvirt at %s", domain->uri);
}

static JsonObject *
ask_once(VrDomain *domain, const char *verb, unsigned timeout_ms, GError **error)
{
    if (!vr_domain_connect(domain, error)) {
        return NULL;
    }
    JsonObject *request = request_new(verb);
    json_object_set_string_member(request, "uuid", domain->uuid);
    json_object_set_string_member(request, "name", domain->name);
    return call_worker(domain, request, timeout_ms, error);
}

/* Questions can be put twice, and so can a wish that a domain be gone: once more over another
 * connection, when the daemon was restarted under this one. */
static JsonObject *
ask(VrDomain *domain, const char *verb, unsigned timeout_ms, GError **error)
{
    g_autoptr(GError) failure = NULL;
    bool was_connected = domain->worker != NULL;
    JsonObject *answer = ask_once(domain, verb, timeout_ms, &failure);
    if (answer != NULL) {
        return answer;
    }
    if (was_connected && g_error_matches(failure, VR_ERROR, VR_ERROR_UNREACHABLE)) {
        return ask_once(domain, verb, timeout_ms, error);
    }
    g_propagate_error(error, g_steal_pointer(&failure));
    return NULL;
}

static bool
check_name(VrDomain *domain, GError **error)
{
    g_autoptr(JsonObject) answer = ask(domain, "name-taken", ASK_TIMEOUT_MS, error);
    if (answer == NULL) {
        return false;
    }
    if (json_object_get_boolean_member_with_default(answer, "taken", FALSE)) {
        return vr_error_set(
            error, VR_ERROR_BUSY,
            "libvirt already has a domain called '%s' at %s; stop or rename it (virsh list --all), "
            "or give the profile another name",
            domain->name, domain->uri);
    }
    return true;
}

/* An entry of `assigned` is "ADDRESS DOMAIN". */
static bool
check_assigned(const char *entry, const GArray *addresses, GError **error)
{
    g_auto(GStrv) words = g_strsplit(entry, " ", 2);
    VrPciAddress address;
    if (g_strv_length(words) != 2 || !vr_pci_address_parse(words[0], &address) ||
        !vr_pci_addresses_contain(addresses, address)) {
        return true;
    }
    return vr_error_set(error, VR_ERROR_BUSY,
                        "%s belongs to the running domain '%s'; shut that down first", words[0],
                        words[1]);
}

bool
vr_domain_check_free(VrDomain *domain, const GArray *addresses, GError **error)
{
    if (!vr_domain_connect(domain, error) || !check_name(domain, error)) {
        return false;
    }
    g_autoptr(JsonObject) answer = ask(domain, "assigned", ASK_TIMEOUT_MS, error);
    if (answer == NULL) {
        return false;
    }
    JsonArray *devices = json_object_get_array_member(answer, "devices");
    for (guint i = 0; devices != NULL && i < json_array_get_length(devices); i++) {
        if (!check_assigned(json_array_get_string_element(devices, i), addresses, error)) {
            return false;
        }
    }
    return true;
}

/* The digest of the last document that libvirt's schema was found to allow. */
static char *
checked_path(const VrDomain *domain)
{
    return g_strdup_printf("/var/lib/vmrun/identity/%s.checked", domain->name);
}

/* Not being able to remember it costs time at the next start, and nothing else. */
static void
remember_checked(const VrDomain *domain, const char *path, const char *checked)
{
    g_autoptr(GError) error = NULL;
    vr_sysroot_remove_temporaries(domain->root, path);
    if (!vr_sysroot_replace(domain->root, path, checked, 0600, &error)) {
        g_debug("%s", error->message);
    }
}

bool
vr_domain_start(VrDomain *domain, const char *xml, unsigned timeout_ms, int *out_pid,
                GError **error)
{
    if (!vr_domain_connect(domain, error)) {
        return false;
    }
    JsonObject *request = request_new("start");
    g_autofree char *stamp = checked_path(domain);
    g_autofree char *known = vr_sysroot_read_optional(domain->root, stamp);
    json_object_set_string_member(request, "xml", xml);
    json_object_set_string_member(request, "checked", known != NULL ? known : "");
    g_autoptr(JsonObject) answer = call_worker(domain, request, timeout_ms, error);
    if (answer == NULL) {
        return false;
    }
    int pid = (int) json_object_get_int_member_with_default(answer, "pid", 0);
    if (pid <= 0) {
        return vr_error_set(error, VR_ERROR_FAILED,
                            "libvirt started the domain, but its QEMU process was not found");
    }
    remember_checked(domain, stamp,
                     json_object_get_string_member_with_default(answer, "checked", ""));
    *out_pid = pid;
    return true;
}

static VrDomainState
state_from_name(const char *name)
{
    static const char *const names[] = {
        [VR_DOMAIN_ABSENT] = "absent", [VR_DOMAIN_RUNNING] = "running",
        [VR_DOMAIN_PAUSED] = "paused", [VR_DOMAIN_ENDING] = "ending",
        [VR_DOMAIN_OFF] = "off",
    };
    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        if (g_strcmp0(names[i], name) == 0) {
            return (VrDomainState) i;
        }
    }
    return VR_DOMAIN_RUNNING; /* a word of a newer libvirt: anything but gone */
}

bool
vr_domain_state(VrDomain *domain, VrDomainState *out_state, int *out_pid, GError **error)
{
    g_autoptr(JsonObject) answer = ask(domain, "state", ASK_TIMEOUT_MS, error);
    if (answer == NULL) {
        return false;
    }
    *out_state = state_from_name(json_object_get_string_member_with_default(answer, "state", NULL));
    *out_pid = (int) json_object_get_int_member_with_default(answer, "pid", 0);
    return true;
}

bool
vr_domain_agent(VrDomain *domain, VrAgentSeen *out_seen, GError **error)
{
    g_autoptr(JsonObject) answer = ask(domain, "agent", ASK_TIMEOUT_MS, error);
    if (answer == NULL) {
        return false;
    }
    *out_seen =
        vr_agent_seen_from_name(json_object_get_string_member_with_default(answer, "agent", NULL));
    return true;
}

bool
vr_domain_shutdown(VrDomain *domain, GError **error)
{
    g_autoptr(JsonObject) answer = ask(domain, "shutdown", ASK_TIMEOUT_MS, error);
    return answer != NULL;
}

bool
vr_domain_destroy(VrDomain *domain, GError **error)
{
    g_autoptr(JsonObject) answer = ask(domain, "destroy", DESTROY_TIMEOUT_MS, error);
    return answer != NULL;
}

bool
vr_domain_settle(VrDomain *domain, unsigned timeout_ms, GError **error)
{
    int64_t deadline = g_get_monotonic_time() + (int64_t) timeout_ms * 1000;
    VrDomainState state = VR_DOMAIN_RUNNING;
    int pid = 0;
    for (;;) {
        if (!vr_domain_state(domain, &state, &pid, error)) {
            return false;
        }
        if (state == VR_DOMAIN_ABSENT) {
            return true;
        }
        if (g_get_monotonic_time() >= deadline) {
            return vr_error_set(error, VR_ERROR_TIMED_OUT,
                                "libvirt still knows the domain '%s' after %u s", domain->name,
                                timeout_ms / 1000);
        }
        g_usleep(SETTLE_POLL_MS * 1000);
    }
}

void
vr_domain_rest(VrDomain *domain)
{
    if (!is_embedded(domain)) {
        vr_worker_stop(domain->worker);
        domain->worker = NULL;
    }
}

static char *
log_path(const VrDomain *domain)
{
    return is_embedded(domain)
               ? g_strdup_printf("%s/log/qemu/%s.log", domain->uri + strlen(EMBEDDED_PREFIX),
                                 domain->name)
               : g_strdup_printf("/var/log/libvirt/qemu/%s.log", domain->name);
}

int64_t
vr_domain_log_size(const VrDomain *domain)
{
    g_autofree char *path = log_path(domain);
    g_autofree char *text = vr_sysroot_read_optional(domain->root, path);
    return text != NULL ? (int64_t) strlen(text) : 0;
}

/* libvirt writes "shutting down, reason=WORD" when a domain ends (qemu_process.c, qemuProcessStop).
 */
char *
vr_domain_end_reason(const VrDomain *domain, int64_t log_offset)
{
    g_autofree char *path = log_path(domain);
    g_autofree char *text = vr_sysroot_read_optional(domain->root, path);
    if (text == NULL) {
        return NULL;
    }
    if ((int64_t) strlen(text) < log_offset) {
        log_offset = 0; /* rotated meanwhile */
    }
    const char *mark = "shutting down, reason=";
    const char *found = g_strrstr(text + log_offset, mark);
    if (found == NULL) {
        return NULL;
    }
    const char *word = found + strlen(mark);
    return g_strndup(word, strspn(word, "abcdefghijklmnopqrstuvwxyz-"));
}
