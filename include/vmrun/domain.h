/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The supervisor's hand on its domain: every call goes to a worker that alone has libvirt loaded,
 * with a deadline. A call that does not come back costs that worker, not the supervisor; the next
 * call starts another one.
 *
 * In system mode the worker ends between calls (vr_domain_rest). In embedded mode it holds
 * libvirt's driver for as long as the guest runs, because libvirt starts QEMU with -no-shutdown and
 * must be there to end it.
 */
#pragma once

#include <vmrun/alive.h>
#include <vmrun/hypervisor.h>
#include <vmrun/sysroot.h>

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct _VrDomain VrDomain;

/* Nothing is connected yet. */
VrDomain *vr_domain_new(const VrSysroot *root, const char *uri, const char *name, const char *uuid,
                        const char *boot_id);

/* Ends the worker: in embedded mode libvirt's driver closes, the guest goes on. */
void vr_domain_free(VrDomain *domain);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VrDomain, vr_domain_free)

/* Connect now. VR_ERROR_UNREACHABLE if libvirt does not answer in time. */
bool vr_domain_connect(VrDomain *domain, GError **error);

/*
 * May this domain be created: is its name free, and does no active domain have one of these
 * functions? VR_ERROR_BUSY names who has. `addresses`: array of VrPciAddress.
 */
bool vr_domain_check_free(VrDomain *domain, const GArray *addresses, GError **error);

/* Create it; on success *out_pid is its QEMU's (never 0). VR_ERROR_STUCK at the deadline: whether
 * it was created is not known. */
bool vr_domain_start(VrDomain *domain, const char *xml, unsigned timeout_ms, int *out_pid,
                     GError **error);

bool vr_domain_state(VrDomain *domain, VrDomainState *out_state, int *out_pid, GError **error);

/* What the guest's agent does when it is asked; up to 5 s long if it is silent. */
bool vr_domain_agent(VrDomain *domain, VrAgentSeen *out_seen, GError **error);

bool vr_domain_shutdown(VrDomain *domain, GError **error);
bool vr_domain_destroy(VrDomain *domain, GError **error);

/*
 * Wait until libvirt has finished with the ended domain: until it no longer knows it. Needed before
 * any function leaves vfio-pci: when libvirt ends a domain it resets those functions that it does
 * not find on vfio-pci, by a reset of the whole bus if need be (libvirt src/util/virpci.c,
 * virPCIDeviceReset), which under a host driver that just came back wipes the card's addresses.
 * VR_ERROR_TIMED_OUT, or that libvirt cannot be asked.
 */
bool vr_domain_settle(VrDomain *domain, unsigned timeout_ms, GError **error);

/* Let the worker go until the next call, unless it must stay (embedded). */
void vr_domain_rest(VrDomain *domain);

/* How libvirt says that the domain ended, read from its log of that domain: "shutdown",
 * "destroyed", "crashed", "failed"; NULL if it does not say (yet). `log_offset`: where this run
 * begins in the log (vr_domain_log_size before the start). Owned. */
char *vr_domain_end_reason(const VrDomain *domain, int64_t log_offset);
int64_t vr_domain_log_size(const VrDomain *domain);
