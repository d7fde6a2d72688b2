/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A scout: a worker for looking. Whatever must be read and could block for ever (README, "What can
 * block") is asked of it, each question with a deadline. One that does not answer is let go, and
 * the next question gets a new one; so no command and no supervisor hangs with it.
 */
#pragma once

#include <vmrun/gpu_users.h>
#include <vmrun/host_state.h>
#include <vmrun/sysroot.h>

#include <glib.h>

typedef struct _VrScout VrScout;

/* No process is started before the first question. */
VrScout *vr_scout_new(VrSysroot *root);
void vr_scout_free(VrScout *scout);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VrScout, vr_scout_free)

/* Nothing is asked for a while: its process ends. */
void vr_scout_rest(VrScout *scout);

/*
 * The device nodes of these functions (const VrPciFunction *, of which address, class, driver and
 * group count), as lines for vr_scout_scan(): to be remembered where they may be gone later. Owned.
 * NULL with VR_ERROR_STUCK when there was no answer in time.
 */
GPtrArray *vr_scout_nodes(VrScout *scout, const GPtrArray *functions, GError **error);

/* The processes that have one of these nodes open or mapped. Errors as above. */
VrHolders *vr_scout_scan(VrScout *scout, const GPtrArray *nodes, GError **error);

/* Both. Without the uses that are no processes. */
VrHolders *vr_scout_processes(VrScout *scout, const GPtrArray *functions, GError **error);

/* vr_gpu_users_find(), in another process. Never NULL: without an answer no process is known, and
 * *error says so (may be NULL). */
VrHolders *vr_scout_users(VrScout *scout, const VrHostFacts *facts, const GPtrArray *functions,
                          GError **error);

/* The same, looked at again and again for up to wait_ms while somebody is there who is none of
 * `units` (NULL-terminated; NULL: none), which are going to be stopped: who only opens a node for a
 * moment does not keep a card from its guest. */
VrHolders *vr_scout_users_patiently(VrScout *scout, const VrHostFacts *facts,
                                    const GPtrArray *functions, const char *const *units,
                                    unsigned wait_ms, GError **error);

/*
 * vr_host_state_observe(), in another process. VR_ERROR_STUCK names the devices that do not answer.
 */
VrHostState *vr_scout_observe(VrScout *scout, const VrHostState *shape, GError **error);

/* The QEMU of a domain, *out_pid 0: there is none, and whether somebody lives who could create it.
 * `uuid` may be NULL. False: there was no answer. */
bool vr_scout_find_domain(VrScout *scout, const char *uuid, int *out_pid, bool *out_creator,
                          GError **error);

/* vr_vfio_group_is_busy(), in another process. No answer within timeout_ms counts as VR_YES: it is
 * being opened, closed or reset. VR_UNKNOWN: it could not be asked. */
VrTristate vr_scout_group_is_busy(VrScout *scout, int group, unsigned timeout_ms);
