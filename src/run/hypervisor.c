/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/hypervisor.h>

#include "plan/domain_xml_read.h"
#include "run/hypervisor_private.h"

#include <vmrun/domain_xml.h>
#include <vmrun/error.h>
#include <vmrun/text.h>

#include <dlfcn.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* A guest's agent that is there answers at once; libvirt's own limit is none. */
#define AGENT_TIMEOUT_S 5

struct _VrHypervisor {
    VrLibvirt libvirt;
    virConnectPtr connection;
    VrEventLoop *loop;   /* of the embedded driver, NULL */
    char *pid_directory; /* where libvirt notes QEMU's pids, NULL: not known for this URI */
};

/* --- finding the library --- */

#define VR_LIBVIRT_ROW(function) {#function, offsetof(VrLibvirt, function)},

static const struct {
    const char *name;
    size_t offset;
} functions[] = {VR_LIBVIRT_FUNCTIONS(VR_LIBVIRT_ROW)};

bool
vr_libvirt_load(VrLibvirt *libvirt, GError **error)
{
    void *library = dlopen("libvirt.so.0", RTLD_NOW | RTLD_LOCAL);

    if (library == NULL) {
        return vr_error_set(error, VR_ERROR_UNREACHABLE, "open libvirt: %s", dlerror());
    }
    for (gsize i = 0; i < G_N_ELEMENTS(functions); i++) {
        void *address = dlsym(library, functions[i].name);

        if (address == NULL) {
            return vr_error_set(error, VR_ERROR_UNREACHABLE,
                                "this libvirt is older than 9.0: it has no %s", functions[i].name);
        }
        memcpy((char *) libvirt + functions[i].offset, &address, sizeof(address));
    }
    return true;
}

/* --- errors --- */

/* libvirt prints its errors by default. */
static void
be_silent(void *data, virErrorPtr error)
{
    (void) data;
    (void) error;
}

static VrError
code_of(const virError *cause, VrError otherwise)
{
    int code = cause != NULL ? cause->code : VIR_ERR_OK;

    if (code == VIR_ERR_NO_DOMAIN) {
        return VR_ERROR_NOT_FOUND;
    }
    /* The daemon ended, or was restarted (libvirt src/rpc/virnetclient.c: "client socket is
     * closed", "End of file while reading data"): nothing is said about the domain by that. */
    if (code == VIR_ERR_RPC || code == VIR_ERR_NO_CONNECT || code == VIR_ERR_INVALID_CONN ||
        (cause != NULL && (cause->domain == VIR_FROM_RPC || cause->domain == VIR_FROM_REMOTE))) {
        return VR_ERROR_UNREACHABLE;
    }
    if (code == VIR_ERR_AUTH_FAILED || code == VIR_ERR_AUTH_CANCELLED ||
        code == VIR_ERR_AUTH_UNAVAILABLE || code == VIR_ERR_ACCESS_DENIED) {
        return VR_ERROR_NOT_AUTHORISED;
    }
    return otherwise;
}

/* The one place where libvirt's last error becomes ours. Returns false. */
static bool
set_error(VrHypervisor *hypervisor, VrError otherwise, const char *goal, GError **error)
{
    const virError *cause = hypervisor->libvirt.virGetLastError();
    const char *message = cause != NULL && cause->message != NULL ? cause->message : "no reason";
    g_autofree char *shown = vr_text_printable(message);

    vr_error_set(error, code_of(cause, otherwise), "%s: libvirt: %s", goal, shown);
    hypervisor->libvirt.virResetLastError();
    return false;
}

static bool
last_error_is(VrHypervisor *hypervisor, int code)
{
    const virError *cause = hypervisor->libvirt.virGetLastError();

    return cause != NULL && cause->code == code;
}

/* --- connecting --- */

static bool
connect_to(VrHypervisor *hypervisor, const char *uri, const char *boot_id, GError **error)
{
    g_autofree char *directory = vr_embedded_root(uri);

    if (directory != NULL) {
        if (!vr_embedded_prepare(directory, boot_id, error)) {
            return false;
        }
        /* As libvirtd has it: the driver makes directories that swtpm's user must pass through, and
         * a unit with UMask=0077 would close them. This process does nothing else. */
        umask(022);
        hypervisor->loop = vr_event_loop_start(&hypervisor->libvirt);
        hypervisor->pid_directory = g_strdup_printf("%s/run/qemu", directory);
    } else if (strcmp(uri, "qemu:///system") == 0) {
        hypervisor->pid_directory = g_strdup("/run/libvirt/qemu");
    }
    hypervisor->connection = hypervisor->libvirt.virConnectOpen(uri);
    if (hypervisor->connection == NULL) {
        g_autofree char *goal = g_strdup_printf("connect to %s", uri);

        return set_error(hypervisor, VR_ERROR_UNREACHABLE, goal, error);
    }
    return true;
}

VrHypervisor *
vr_hypervisor_open(const char *uri, const char *boot_id, GError **error)
{
    VrHypervisor *hypervisor = g_new0(VrHypervisor, 1);

    if (!vr_libvirt_load(&hypervisor->libvirt, error)) {
        g_free(hypervisor);
        return NULL;
    }
    hypervisor->libvirt.virSetErrorFunc(NULL, be_silent);
    if (!connect_to(hypervisor, uri, boot_id, error)) {
        vr_hypervisor_close(hypervisor);
        return NULL;
    }
    return hypervisor;
}

void
vr_hypervisor_close(VrHypervisor *hypervisor)
{
    if (hypervisor == NULL) {
        return;
    }
    if (hypervisor->connection != NULL) {
        hypervisor->libvirt.virConnectClose(hypervisor->connection);
    }
    vr_event_loop_stop(hypervisor->loop);
    g_free(hypervisor->pid_directory);
    g_free(hypervisor);
}

/* --- domains --- */

/* NULL without an error: there is no such domain. */
static virDomainPtr
find_domain(VrHypervisor *hypervisor, const char *uuid, GError **error)
{
    virDomainPtr domain =
        hypervisor->libvirt.virDomainLookupByUUIDString(hypervisor->connection, uuid);

    if (domain == NULL && !last_error_is(hypervisor, VIR_ERR_NO_DOMAIN)) {
        set_error(hypervisor, VR_ERROR_FAILED, "look for the domain", error);
    }
    return domain;
}

static bool
is_ours(VrHypervisor *hypervisor, virDomainPtr domain)
{
    char *metadata = hypervisor->libvirt.virDomainGetMetadata(domain, VIR_DOMAIN_METADATA_ELEMENT,
                                                              VR_METADATA_NAMESPACE, 0);
    bool ours = metadata != NULL;

    free(metadata);
    return ours;
}

static bool
check_ours(VrHypervisor *hypervisor, virDomainPtr domain, GError **error)
{
    if (is_ours(hypervisor, domain)) {
        return true;
    }
    return vr_error_set(error, VR_ERROR_BUSY,
                        "the domain '%s' was not made by vmrun and is left alone",
                        hypervisor->libvirt.virDomainGetName(domain));
}

/* A domain of ours; NULL with an error, or without one if it is gone. */
static virDomainPtr
find_our_domain(VrHypervisor *hypervisor, const char *uuid, GError **error)
{
    virDomainPtr domain = find_domain(hypervisor, uuid, error);

    if (domain != NULL && !check_ours(hypervisor, domain, error)) {
        hypervisor->libvirt.virDomainFree(domain);
        return NULL;
    }
    return domain;
}

/* The file may be an old one: only a process with the domain's UUID among its arguments counts. */
static bool
process_has_argument(int pid, const char *argument)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/cmdline", pid);
    g_autofree char *arguments = NULL;
    gsize size_bytes = 0;
    size_t length = strlen(argument) + 1;

    return g_file_get_contents(path, &arguments, &size_bytes, NULL) && size_bytes >= length &&
           memmem(arguments, size_bytes, argument, length) != NULL;
}

static int
find_qemu_pid(VrHypervisor *hypervisor, virDomainPtr domain)
{
    char uuid[VIR_UUID_STRING_BUFLEN] = "";
    uint64_t pid = 0;
    g_autofree char *text = NULL;

    if (hypervisor->pid_directory == NULL) {
        return 0;
    }

    g_autofree char *path = g_strdup_printf("%s/%s.pid", hypervisor->pid_directory,
                                            hypervisor->libvirt.virDomainGetName(domain));

    if (hypervisor->libvirt.virDomainGetUUIDString(domain, uuid) < 0 ||
        !g_file_get_contents(path, &text, NULL, NULL) ||
        !vr_text_to_uint(g_strstrip(text), 2, INT32_MAX, &pid) ||
        !process_has_argument((int) pid, uuid)) {
        hypervisor->libvirt.virResetLastError();
        return 0;
    }
    return (int) pid;
}

/* Names a document together with the libvirt that judges it. */
static char *
checked_digest(VrHypervisor *hypervisor, const char *xml)
{
    unsigned long version = 0;
    if (hypervisor->libvirt.virConnectGetLibVersion(hypervisor->connection, &version) < 0) {
        hypervisor->libvirt.virResetLastError();
        version = 0;
    }
    g_autofree char *text = g_strdup_printf("%lu\n%s", version, xml);
    return vr_text_digest(text);
}

bool
vr_hypervisor_start(VrHypervisor *hypervisor, const char *xml, const char *known,
                    char **out_checked, int *out_qemu_pid, GError **error)
{
    g_autofree char *checked = checked_digest(hypervisor, xml);
    unsigned flags = g_strcmp0(checked, known) == 0 ? 0 : VIR_DOMAIN_START_VALIDATE;
    virDomainPtr domain =
        hypervisor->libvirt.virDomainCreateXML(hypervisor->connection, xml, flags);

    if (domain == NULL) {
        return set_error(hypervisor, VR_ERROR_FAILED, "create the domain", error);
    }
    *out_qemu_pid = find_qemu_pid(hypervisor, domain);
    *out_checked = g_steal_pointer(&checked);
    hypervisor->libvirt.virDomainFree(domain);
    return true;
}

static VrDomainState
state_from_libvirt(int state)
{
    switch (state) {
    case VIR_DOMAIN_PAUSED:
    case VIR_DOMAIN_PMSUSPENDED:
        return VR_DOMAIN_PAUSED;
    case VIR_DOMAIN_SHUTDOWN:
        return VR_DOMAIN_ENDING;
    case VIR_DOMAIN_SHUTOFF:
    case VIR_DOMAIN_CRASHED:
        return VR_DOMAIN_OFF;
    default:
        return VR_DOMAIN_RUNNING;
    }
}

bool
vr_hypervisor_state(VrHypervisor *hypervisor, const char *uuid, VrDomainState *out_state,
                    int *out_qemu_pid, GError **error)
{
    GError *cause = NULL;
    virDomainPtr domain = find_domain(hypervisor, uuid, &cause);
    int state = 0;
    int reason = 0;

    if (domain == NULL && cause != NULL) {
        g_propagate_error(error, cause);
        return false;
    }
    if (domain == NULL) {
        hypervisor->libvirt.virResetLastError();
        *out_state = VR_DOMAIN_ABSENT;
        *out_qemu_pid = 0;
        return true;
    }

    bool known = hypervisor->libvirt.virDomainGetState(domain, &state, &reason, 0) == 0;

    /* Between our two questions the domain may have gone. */
    if (!known && !last_error_is(hypervisor, VIR_ERR_NO_DOMAIN)) {
        set_error(hypervisor, VR_ERROR_FAILED, "ask for the domain's state", error);
        hypervisor->libvirt.virDomainFree(domain);
        return false;
    }
    *out_state = known ? state_from_libvirt(state) : VR_DOMAIN_ABSENT;
    *out_qemu_pid = known ? find_qemu_pid(hypervisor, domain) : 0;
    hypervisor->libvirt.virDomainFree(domain);
    return true;
}

/* --- ending --- */

static bool
agent_is_connected(VrHypervisor *hypervisor, virDomainPtr domain)
{
    char *xml = hypervisor->libvirt.virDomainGetXMLDesc(domain, 0);
    bool connected = xml != NULL && vr_domain_xml_agent_is_connected(xml);

    free(xml);
    return connected;
}

/*
 * libvirt says "not responding" of an agent that lets the time pass, but also where it has itself
 * lost the channel and will not use it again (qemu_domain.c, qemuDomainAgentAvailable). That is no
 * silence of the guest's. Its messages are not translated here: the worker runs in the locale C.
 */
static bool
last_error_is_silence(VrHypervisor *hypervisor)
{
    const virError *cause = hypervisor->libvirt.virGetLastError();

    return last_error_is(hypervisor, VIR_ERR_AGENT_UNRESPONSIVE) &&
           (cause->message == NULL || strstr(cause->message, "due to an error") == NULL);
}

/* The channel is looked at before and after: a guest that boots closes its end of it. */
static VrAgentSeen
ask_agent(VrHypervisor *hypervisor, virDomainPtr domain)
{
    long long seconds = 0;
    unsigned nanoseconds = 0;

    if (!agent_is_connected(hypervisor, domain)) {
        return VR_AGENT_CLOSED;
    }
    hypervisor->libvirt.virDomainAgentSetResponseTimeout(domain, AGENT_TIMEOUT_S, 0);
    if (hypervisor->libvirt.virDomainGetTime(domain, &seconds, &nanoseconds, 0) == 0) {
        return VR_AGENT_ANSWERS;
    }
    if (!last_error_is_silence(hypervisor)) {
        return VR_AGENT_UNKNOWN;
    }
    return agent_is_connected(hypervisor, domain) ? VR_AGENT_SILENT : VR_AGENT_CLOSED;
}

bool
vr_hypervisor_agent(VrHypervisor *hypervisor, const char *uuid, VrAgentSeen *out_seen,
                    GError **error)
{
    GError *cause = NULL;
    virDomainPtr domain = find_our_domain(hypervisor, uuid, &cause);

    if (cause != NULL) {
        g_propagate_error(error, cause);
        return false;
    }
    *out_seen = domain != NULL ? ask_agent(hypervisor, domain) : VR_AGENT_UNKNOWN;
    if (domain != NULL) {
        hypervisor->libvirt.virDomainFree(domain);
    }
    hypervisor->libvirt.virResetLastError();
    return true;
}

static bool
shut_down_by(VrHypervisor *hypervisor, virDomainPtr domain, unsigned how)
{
    return hypervisor->libvirt.virDomainShutdownFlags(domain, how) == 0;
}

/* libvirt waits for the agent's answer, so it is asked only where one listens, and not for long. */
static bool
shut_down(VrHypervisor *hypervisor, virDomainPtr domain, GError **error)
{
    if (agent_is_connected(hypervisor, domain)) {
        hypervisor->libvirt.virDomainAgentSetResponseTimeout(domain, AGENT_TIMEOUT_S, 0);
        if (shut_down_by(hypervisor, domain, VIR_DOMAIN_SHUTDOWN_GUEST_AGENT)) {
            return true;
        }
    }
    if (shut_down_by(hypervisor, domain, VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN) ||
        shut_down_by(hypervisor, domain, VIR_DOMAIN_SHUTDOWN_DEFAULT)) {
        return true;
    }
    return set_error(hypervisor, VR_ERROR_FAILED, "ask the guest to shut down", error);
}

bool
vr_hypervisor_shutdown(VrHypervisor *hypervisor, const char *uuid, GError **error)
{
    GError *cause = NULL;
    virDomainPtr domain = find_our_domain(hypervisor, uuid, &cause);

    if (domain == NULL && cause == NULL) {
        return vr_error_set(error, VR_ERROR_NOT_FOUND, "the domain is not there any more");
    }
    if (domain == NULL) {
        g_propagate_error(error, cause);
        return false;
    }

    bool asked = shut_down(hypervisor, domain, error);

    hypervisor->libvirt.virDomainFree(domain);
    return asked;
}

bool
vr_hypervisor_destroy(VrHypervisor *hypervisor, const char *uuid, GError **error)
{
    GError *cause = NULL;
    virDomainPtr domain = find_our_domain(hypervisor, uuid, &cause);

    if (domain == NULL && cause != NULL) {
        g_propagate_error(error, cause);
        return false;
    }
    if (domain == NULL) {
        return true;
    }

    bool gone = hypervisor->libvirt.virDomainDestroy(domain) == 0;

    if (!gone) {
        set_error(hypervisor, VR_ERROR_STOP_FAILED, "power the guest off", &cause);
        /* It may have ended by itself between our two calls. */
        gone = g_error_matches(cause, VR_ERROR, VR_ERROR_NOT_FOUND) ||
               hypervisor->libvirt.virDomainIsActive(domain) == 0;
    }
    if (gone) {
        g_clear_error(&cause);
    } else {
        g_propagate_error(error, cause);
    }
    hypervisor->libvirt.virDomainFree(domain);
    return gone;
}

/* --- what else there is --- */

/* In the way: a stranger's domain, or one that runs. Frees the domain; NULL is not in the way. */
static bool
is_in_the_way(VrHypervisor *hypervisor, virDomainPtr domain)
{
    if (domain == NULL) {
        return false;
    }

    bool in_the_way =
        hypervisor->libvirt.virDomainIsActive(domain) != 0 || !is_ours(hypervisor, domain);

    hypervisor->libvirt.virDomainFree(domain);
    return in_the_way;
}

bool
vr_hypervisor_name_taken(VrHypervisor *hypervisor, const char *name, const char *uuid,
                         bool *out_name_taken, GError **error)
{
    GError *cause = NULL;
    virDomainPtr by_uuid = find_domain(hypervisor, uuid, &cause);

    if (cause != NULL) {
        g_propagate_error(error, cause);
        return false;
    }

    bool uuid_taken = is_in_the_way(hypervisor, by_uuid);
    virDomainPtr by_name = hypervisor->libvirt.virDomainLookupByName(hypervisor->connection, name);

    if (by_name == NULL && !last_error_is(hypervisor, VIR_ERR_NO_DOMAIN)) {
        return set_error(hypervisor, VR_ERROR_FAILED, "look for a domain of that name", error);
    }

    bool name_taken = is_in_the_way(hypervisor, by_name);

    hypervisor->libvirt.virResetLastError();
    *out_name_taken = uuid_taken || name_taken;
    return true;
}

bool
vr_hypervisor_default_network(VrHypervisor *hypervisor)
{
    virNetworkPtr network =
        hypervisor->libvirt.virNetworkLookupByName(hypervisor->connection, "default");
    bool active = network != NULL && hypervisor->libvirt.virNetworkIsActive(network) == 1;

    if (network != NULL) {
        hypervisor->libvirt.virNetworkFree(network);
    }
    hypervisor->libvirt.virResetLastError();
    return active;
}

static void
collect_assigned(VrHypervisor *hypervisor, virDomainPtr domain, GPtrArray *assigned)
{
    char *xml = hypervisor->libvirt.virDomainGetXMLDesc(domain, 0);

    /* A domain that ended meanwhile has nothing. */
    if (xml == NULL) {
        return;
    }

    g_autoptr(GArray) addresses = vr_domain_xml_assigned(xml);

    for (guint i = 0; i < addresses->len; i++) {
        g_autofree char *address = vr_pci_address_format(g_array_index(addresses, VrPciAddress, i));

        g_ptr_array_add(assigned, g_strdup_printf("%s %s", address,
                                                  hypervisor->libvirt.virDomainGetName(domain)));
    }
    free(xml);
}

GPtrArray *
vr_hypervisor_assigned(VrHypervisor *hypervisor, GError **error)
{
    virDomainPtr *domains = NULL;
    int count = hypervisor->libvirt.virConnectListAllDomains(hypervisor->connection, &domains,
                                                             VIR_CONNECT_LIST_DOMAINS_ACTIVE);

    if (count < 0) {
        set_error(hypervisor, VR_ERROR_FAILED, "list the running domains", error);
        return NULL;
    }

    GPtrArray *assigned = g_ptr_array_new_with_free_func(g_free);

    for (int i = 0; i < count; i++) {
        collect_assigned(hypervisor, domains[i], assigned);
        hypervisor->libvirt.virDomainFree(domains[i]);
    }
    free(domains);
    hypervisor->libvirt.virResetLastError();
    return assigned;
}
