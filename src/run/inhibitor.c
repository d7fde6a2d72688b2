/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/inhibitor.h>

#include "base/fd.h"
#include "run/worker_private.h"

#include <vmrun/error.h>
#include <vmrun/text.h>

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <systemd/sd-bus.h>

/* D-Bus may have to start logind first. */
#define TAKE_TIMEOUT_MS 10000
/* Where logind keeps what it knows of seats, from its start on: how sd_booted(3) and its like tell
 * that it is there, without waiting for anybody. */
#define LOGIND_DIRECTORY "/run/systemd/seats"

#define WHAT "sleep:handle-lid-switch"

/* Every function of libsystemd that vmrun calls. It is opened in the worker alone, like libvirt. */
#define BUS_FUNCTIONS(X)                                                                           \
    X(sd_bus_open_system)                                                                          \
    X(sd_bus_flush_close_unref)                                                                    \
    X(sd_bus_call_method)                                                                          \
    X(sd_bus_message_read)                                                                         \
    X(sd_bus_message_unref)                                                                        \
    X(sd_bus_error_free)

#define BUS_MEMBER(function) __typeof__(&(function)) function;
#define BUS_ROW(function) {#function, offsetof(Bus, function)},

typedef struct {
    BUS_FUNCTIONS(BUS_MEMBER)
} Bus;

static bool
load(Bus *bus, GError **error)
{
    static const struct {
        const char *name;
        size_t offset;
    } rows[] = {BUS_FUNCTIONS(BUS_ROW)};
    void *library = dlopen("libsystemd.so.0", RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        return vr_error_set(error, VR_ERROR_UNREACHABLE, "open libsystemd: %s", dlerror());
    }
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        void *address = dlsym(library, rows[i].name);
        if (address == NULL) {
            return vr_error_set(error, VR_ERROR_UNREACHABLE, "this libsystemd has no %s",
                                rows[i].name);
        }
        memcpy((char *) bus + rows[i].offset, &address, sizeof address);
    }
    return true;
}

/* org.freedesktop.login1(5), Inhibit(). The message owns its descriptor: ours is a copy. */
static int
inhibit(const Bus *bus, sd_bus *connection, const char *why, GError **error)
{
    sd_bus_error cause = {0};
    sd_bus_message *reply = NULL;
    int lent = -1;
    int fd = -1;
    int result =
        bus->sd_bus_call_method(connection, "org.freedesktop.login1", "/org/freedesktop/login1",
                                "org.freedesktop.login1.Manager", "Inhibit", &cause, &reply, "ssss",
                                WHAT, "vmrun", why, "block");
    if (result >= 0) {
        result = bus->sd_bus_message_read(reply, "h", &lent);
    }
    if (result >= 0) {
        fd = fcntl(lent, F_DUPFD_CLOEXEC, 3);
        result = fd >= 0 ? 0 : -errno;
    }
    if (result < 0) {
        g_autofree char *shown =
            vr_text_printable(cause.message != NULL ? cause.message : g_strerror(-result));
        vr_error_set(error, VR_ERROR_UNREACHABLE, "systemd-logind: %s", shown);
    }
    bus->sd_bus_error_free(&cause);
    bus->sd_bus_message_unref(reply);
    return fd;
}

bool
vr_worker_serve_inhibit(VrWorkerService *service, JsonObject *request, JsonObject *answer,
                        GError **error)
{
    Bus bus = {0};
    sd_bus *connection = NULL;
    const char *why = json_object_get_string_member_with_default(request, "why", "");
    (void) answer;
    if (!load(&bus, error)) {
        return false;
    }
    int result = bus.sd_bus_open_system(&connection);
    if (result < 0) {
        vr_error_set_errno(error, -result, "connect to the system's D-Bus");
        return vr_error_recode(error, VR_ERROR_UNREACHABLE);
    }
    int fd = inhibit(&bus, connection, why, error);
    bus.sd_bus_flush_close_unref(connection);
    service->has_fd = fd >= 0;
    service->fd = fd;
    return fd >= 0;
}

int
vr_worker_ask_inhibitor(VrWorker *worker, const char *profile, GError **error)
{
    JsonObject *request = vr_worker_request("inhibit");
    g_autofree char *why =
        g_strdup_printf("the guest of '%s' has a card of this computer", profile);
    json_object_set_string_member(request, "why", why);
    g_autoptr(JsonObject) answer = vr_worker_call(worker, request, TAKE_TIMEOUT_MS, error);
    vr_autofd int fd = vr_worker_take_fd(worker);
    if (answer == NULL) {
        return -1;
    }
    if (fd < 0) {
        vr_error_set(error, VR_ERROR_FAILED, "the worker's answer brings no inhibitor");
    }
    return vr_fd_steal(&fd);
}

int
vr_inhibitor_take(const VrSysroot *root, const char *profile, GError **error)
{
    if (!vr_sysroot_exists(root, LOGIND_DIRECTORY)) {
        vr_error_set(error, VR_ERROR_UNREACHABLE, "systemd-logind does not run");
        return -1;
    }
    g_autoptr(VrWorker) worker = vr_worker_start(root, NULL, error);
    int fd = worker != NULL ? vr_worker_ask_inhibitor(worker, profile, error) : -1;
    if (worker != NULL && fd < 0) {
        vr_worker_abandon(worker, true); /* it is inside D-Bus at most */
    }
    return fd;
}
