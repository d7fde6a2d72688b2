/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libvirt, and only what vmrun needs of it. Runs inside the worker alone: libvirt is opened with
 * dlopen(3) by the first call, so that no other command pays for its 57 shared objects, and nothing
 * else in the program includes its headers.
 *
 * Every function blocks for as long as libvirt does; the deadline is the supervisor's, on the
 * worker as a whole.
 */
#pragma once

#include <vmrun/alive.h>

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct _VrHypervisor VrHypervisor;

typedef enum {
    VR_DOMAIN_ABSENT,
    VR_DOMAIN_RUNNING,
    VR_DOMAIN_PAUSED,
    VR_DOMAIN_ENDING,
    VR_DOMAIN_OFF
} VrDomainState;

/*
 * Connect. For an embedded URI ("qemu:///embed?root=DIR") the root and its qemu.conf are made
 * first, its run/ is cleared if it was made under another boot id, and the driver lives as long as
 * this process. VR_ERROR_UNREACHABLE otherwise.
 */
VrHypervisor *vr_hypervisor_open(const char *uri, const char *boot_id, GError **error);
void vr_hypervisor_close(VrHypervisor *hypervisor);

/*
 * Create a transient domain, checked against libvirt's schema. Sets the pid of its QEMU (0 if it
 * could not be found out). Reading the schema takes longer than all else that is done here, so a
 * document that this very libvirt has found valid before is not checked again: `known` (or NULL) is
 * what an earlier start gave as *out_checked (owned).
 */
bool vr_hypervisor_start(VrHypervisor *hypervisor, const char *xml, const char *known,
                         char **out_checked, int *out_qemu_pid, GError **error);

bool vr_hypervisor_state(VrHypervisor *hypervisor, const char *uuid, VrDomainState *out_state,
                         int *out_qemu_pid, GError **error);

/* Ask the guest's agent for the time, for up to 5 s. */
bool vr_hypervisor_agent(VrHypervisor *hypervisor, const char *uuid, VrAgentSeen *out_seen,
                         GError **error);

/* Ask the guest to shut down: agent if it answers, else ACPI. Returns at once. */
bool vr_hypervisor_shutdown(VrHypervisor *hypervisor, const char *uuid, GError **error);

/* Power it off. A domain that is gone is success. */
bool vr_hypervisor_destroy(VrHypervisor *hypervisor, const char *uuid, GError **error);

/* Refuses a domain that does not carry vmrun's metadata. true and *out_name_taken when a domain of
 * that name or UUID that is not ours (or is running) exists. */
bool vr_hypervisor_name_taken(VrHypervisor *hypervisor, const char *name, const char *uuid,
                              bool *out_name_taken, GError **error);

/* Is libvirt's network "default" active? */
bool vr_hypervisor_default_network(VrHypervisor *hypervisor);

/* PCI addresses ("0000:01:00.0") that active domains of this connection use, with the domain's
 * name: "address domain". Owned strings. */
GPtrArray *vr_hypervisor_assigned(VrHypervisor *hypervisor, GError **error);
