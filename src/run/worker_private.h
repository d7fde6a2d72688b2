/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shared by worker.c, worker_verbs.c, mover.c and their tests. */
#pragma once

#include <vmrun/hypervisor.h>
#include <vmrun/scout.h>
#include <vmrun/worker.h>

/* Start another program as worker (a test starts itself). argv[0] is its path. */
VrWorker *vr_worker_start_program(const VrSysroot *root, const char *const *argv, GError **error);

/* The same with a share in the work for a profile (lock.h), if it is not NULL. argv NULL: this same
 * program. */
VrWorker *vr_worker_start_for(const VrSysroot *root, const char *profile, const char *const *argv,
                              GError **error);

VrMover *vr_mover_new_with(VrSysroot *root, const VrListener *listener, const char *const *argv);

/* Over an executor that works in this process (the fake kernel's): no worker is ever started. Its
 * `progress` is not called: the mover's own tells the listener. What hangs is recorded as stuck,
 * without a process. `executor` is copied, its data is lent. */
VrMover *vr_mover_new_over(VrSysroot *root, const VrListener *listener, const VrExecutor *executor);
/* Unless it is recorded with this one. */
void vr_mover_pretend_process(VrMover *mover, int pid, uint64_t start_time);

/* For tests: the steps of this device are told after slow_ms, and end after deadline_ms. */
void vr_mover_hurry(VrMover *mover, VrPciAddress device, unsigned slow_ms, unsigned deadline_ms);

/* Told once, when an answer takes longer than `after_ms`. */
typedef struct {
    unsigned after_ms;
    void (*slow)(void *data);
    void *data;
} VrWorkerWatch;

JsonObject *vr_worker_call_watched(VrWorker *worker, JsonObject *request, unsigned timeout_ms,
                                   const VrWorkerWatch *watch, GError **error);

/* What a worker keeps between requests. */
typedef struct {
    VrSysroot *root;
    VrHypervisor *hypervisor; /* NULL: not connected */
    bool has_fd;              /* the answer brings a descriptor; it is closed once sent */
    int fd;
} VrWorkerService;

/* The answer to a request, whatever it says. */
JsonObject *vr_worker_serve(VrWorkerService *service, JsonObject *request);

/* The verb "capabilities" (worker_capabilities.c), and the call of it. */
bool vr_worker_serve_capabilities(VrWorkerService *service, JsonObject *request, JsonObject *answer,
                                  GError **error);
GPtrArray *vr_worker_ask_capabilities(VrWorker *worker, const GArray *addresses,
                                      unsigned timeout_ms, GError **error);

/* The verbs "nodes", "scan", "group" and "domain" (worker_look.c), which a scout asks. */
bool vr_worker_serve_nodes(VrWorkerService *service, JsonObject *request, JsonObject *answer,
                           GError **error);
bool vr_worker_serve_scan(VrWorkerService *service, JsonObject *request, JsonObject *answer,
                          GError **error);
bool vr_worker_serve_group(VrWorkerService *service, JsonObject *request, JsonObject *answer,
                           GError **error);
bool vr_worker_serve_domain(VrWorkerService *service, JsonObject *request, JsonObject *answer,
                            GError **error);
VrScout *vr_scout_new_with(VrSysroot *root, const char *const *argv);

/* The verb "inhibit" (inhibitor.c), and the call of it: a descriptor, or -1. */
bool vr_worker_serve_inhibit(VrWorkerService *service, JsonObject *request, JsonObject *answer,
                             GError **error);
int vr_worker_ask_inhibitor(VrWorker *worker, const char *profile, GError **error);

/* The descriptor that came with the last answer, now the caller's; -1: none. */
int vr_worker_take_fd(VrWorker *worker);

/* A whole line to the other side, and with it a descriptor (-1: none). False: nobody listens. */
bool vr_worker_send(int output, const char *text, int fd);

/* Requests for the verbs of worker_verbs.c. `binding` NULL: a step without a device. */
JsonObject *vr_worker_request(const char *verb);
JsonObject *vr_worker_step_request(const VrStep *step, const VrBinding *binding);

/* One object as a line with its newline. Owned. */
char *vr_worker_line(JsonObject *object);

/* The object in a line, or NULL. Owned. */
JsonObject *vr_worker_parse(const char *line);
