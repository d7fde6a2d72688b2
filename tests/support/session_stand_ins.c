/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the linker puts in the place of libvirt, systemd, the worker and the inspection, once
 * session_host_stand_in() was called; until then everything is as it is. */
#include "host/process_scan.h"
#include "run/worker_private.h"
#include "session_host_private.h"

#include <vmrun/device_choice.h>
#include <vmrun/domain.h>
#include <vmrun/error.h>
#include <vmrun/gpu_users.h>
#include <vmrun/inspect.h>
#include <vmrun/process.h>
#include <vmrun/scout.h>

#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define JOURNAL "/var/lib/vmrun/journal"

static SessionHost *stand_in; /* NULL: nobody */

VrInspection *__real_vr_inspect(VrSysroot *root, const VrProfile *profile, VrScout *scout,
                                unsigned patience_ms, GError **error);
VrInspection *__wrap_vr_inspect(VrSysroot *root, const VrProfile *profile, VrScout *scout,
                                unsigned patience_ms, GError **error);
VrHolders *__real_vr_scout_users_patiently(VrScout *scout, const VrHostFacts *facts,
                                           const GPtrArray *functions, const char *const *units,
                                           unsigned wait_ms, GError **error);
VrHolders *__wrap_vr_scout_users_patiently(VrScout *scout, const VrHostFacts *facts,
                                           const GPtrArray *functions, const char *const *units,
                                           unsigned wait_ms, GError **error);
bool __real_vr_scout_find_domain(VrScout *scout, const char *uuid, int *out_pid, bool *out_creator,
                                 GError **error);
bool __wrap_vr_scout_find_domain(VrScout *scout, const char *uuid, int *out_pid, bool *out_creator,
                                 GError **error);
GPtrArray *__real_vr_worker_capabilities(const VrSysroot *root, const GArray *addresses,
                                         GError **error);
GPtrArray *__wrap_vr_worker_capabilities(const VrSysroot *root, const GArray *addresses,
                                         GError **error);
VrMover *__real_vr_mover_new(VrSysroot *root, const VrListener *listener);
VrMover *__wrap_vr_mover_new(VrSysroot *root, const VrListener *listener);
int __real_vr_process_open(const VrSysroot *root, int pid, uint64_t start_time, GError **error);
int __wrap_vr_process_open(const VrSysroot *root, int pid, uint64_t start_time, GError **error);
bool __real_vr_sysroot_is_live(const VrSysroot *root);
bool __wrap_vr_sysroot_is_live(const VrSysroot *root);
bool __real_vr_host_is_stopping(const VrSysroot *root);
bool __wrap_vr_host_is_stopping(const VrSysroot *root);
bool __real_vr_domain_check_free(VrDomain *domain, const GArray *addresses, GError **error);
bool __wrap_vr_domain_check_free(VrDomain *domain, const GArray *addresses, GError **error);
bool __real_vr_domain_start(VrDomain *domain, const char *xml, unsigned timeout_ms, int *out_pid,
                            GError **error);
bool __wrap_vr_domain_start(VrDomain *domain, const char *xml, unsigned timeout_ms, int *out_pid,
                            GError **error);
bool __real_vr_domain_state(VrDomain *domain, VrDomainState *out_state, int *out_pid,
                            GError **error);
bool __wrap_vr_domain_state(VrDomain *domain, VrDomainState *out_state, int *out_pid,
                            GError **error);
bool __real_vr_domain_settle(VrDomain *domain, unsigned timeout_ms, GError **error);
bool __wrap_vr_domain_settle(VrDomain *domain, unsigned timeout_ms, GError **error);
bool __real_vr_domain_destroy(VrDomain *domain, GError **error);
bool __wrap_vr_domain_destroy(VrDomain *domain, GError **error);

/* Everything that the journal on disk claims, in the oracle's words. */
static void
note_durable(void)
{
    g_autoptr(VrJournal) journal = vr_journal_read(stand_in->root, "gaming", NULL);
    g_autoptr(GString) line = g_string_new(NULL);
    if (journal == NULL) {
        return;
    }
    g_string_append_printf(line, "durable %s %s", journal->profile, vr_phase_name(journal->phase));
    for (guint i = 0; i < journal->before->bindings->len; i++) {
        const VrBinding *binding = g_ptr_array_index(journal->before->bindings, i);
        g_autofree char *address = vr_pci_address_format(binding->address);
        g_string_append_printf(line, " %s", address);
    }
    for (guint i = 0; i < journal->before->attributes->len; i++) {
        const VrAttribute *attribute = g_ptr_array_index(journal->before->attributes, i);
        if (!attribute->has_device) {
            g_string_append_printf(line, " %s", attribute->path);
        }
    }
    for (guint i = 0; i < journal->before->units->len; i++) {
        const VrUnitState *unit = g_ptr_array_index(journal->before->units, i);
        g_string_append_printf(line, " %s", unit->name);
    }
    system_calls_note("%s", line->str);
}

static void
observe_call(void *data, const char *line)
{
    (void) data;
    if (g_str_equal(line, "sync " JOURNAL)) {
        note_durable();
    } else if (g_str_has_prefix(line, "rename " JOURNAL "/gaming.conf " JOURNAL "/done/")) {
        system_calls_note("closed gaming");
    }
}

void
session_host_stand_in(SessionHost *host)
{
    stand_in = host;
    system_calls_set_observer(observe_call, NULL);
}

VrInspection *
__wrap_vr_inspect(VrSysroot *root, const VrProfile *profile, VrScout *scout, unsigned patience_ms,
                  GError **error)
{
    if (stand_in == NULL) {
        return __real_vr_inspect(root, profile, scout, patience_ms, error);
    }
    VrInspection *inspection = g_new0(VrInspection, 1);
    inspection->profile = profile;
    inspection->facts = vr_host_facts_load(root, VR_FACTS_PCI);
    inspection->facts->iommu = true;
    inspection->facts->boot_id = vr_sysroot_read_optional(root, "/proc/sys/kernel/random/boot_id");
    inspection->report = vr_report_new();
    inspection->devices = vr_devices_choose(profile, inspection->facts, inspection->report);
    inspection->identity = vr_identity_load(root, profile, error);
    inspection->pages = stand_in->shape.others ? VR_PAGES_2M : VR_PAGES_NONE;
    inspection->uri = g_strdup("qemu:///system");
    inspection->xml = g_strdup("<domain/>");
    return inspection;
}

VrHolders *
__wrap_vr_scout_users_patiently(VrScout *scout, const VrHostFacts *facts,
                                const GPtrArray *functions, const char *const *units,
                                unsigned wait_ms, GError **error)
{
    return stand_in == NULL
               ? __real_vr_scout_users_patiently(scout, facts, functions, units, wait_ms, error)
               : vr_gpu_users_find(facts, functions);
}

bool
__wrap_vr_scout_find_domain(VrScout *scout, const char *uuid, int *out_pid, bool *out_creator,
                            GError **error)
{
    if (stand_in == NULL) {
        return __real_vr_scout_find_domain(scout, uuid, out_pid, out_creator, error);
    }
    vr_process_find_domain(stand_in->root, uuid, getpid(), out_pid, out_creator);
    return true;
}

GPtrArray *
__wrap_vr_worker_capabilities(const VrSysroot *root, const GArray *addresses, GError **error)
{
    if (stand_in == NULL) {
        return __real_vr_worker_capabilities(root, addresses, error);
    }
    vr_error_set(error, VR_ERROR_FAILED, "not asked in this test");
    return NULL;
}

VrMover *
__wrap_vr_mover_new(VrSysroot *root, const VrListener *listener)
{
    return stand_in == NULL ? __real_vr_mover_new(root, listener)
                            : vr_mover_new_over(root, listener, &stand_in->executor);
}

/* Whoever waits for the guest's end finds it ended: readable, as a pidfd is then. */
int
__wrap_vr_process_open(const VrSysroot *root, int pid, uint64_t start_time, GError **error)
{
    if (stand_in == NULL) {
        return __real_vr_process_open(root, pid, start_time, error);
    }
    if (!vr_process_is_alive(root, pid, start_time)) {
        vr_error_set(error, VR_ERROR_GONE, "process %d has ended", pid);
        return -1;
    }
    return eventfd(1, EFD_CLOEXEC);
}

bool
__wrap_vr_sysroot_is_live(const VrSysroot *root)
{
    return stand_in != NULL || __real_vr_sysroot_is_live(root);
}

bool
__wrap_vr_host_is_stopping(const VrSysroot *root)
{
    return stand_in == NULL && __real_vr_host_is_stopping(root);
}

bool
__wrap_vr_domain_check_free(VrDomain *domain, const GArray *addresses, GError **error)
{
    return stand_in != NULL || __real_vr_domain_check_free(domain, addresses, error);
}

bool
__wrap_vr_domain_start(VrDomain *domain, const char *xml, unsigned timeout_ms, int *out_pid,
                       GError **error)
{
    if (stand_in == NULL) {
        return __real_vr_domain_start(domain, xml, timeout_ms, out_pid, error);
    }
    system_calls_pause();
    session_host_start_guest(stand_in);
    system_calls_resume();
    *out_pid = (int) stand_in->guest_pid;
    return true;
}

bool
__wrap_vr_domain_state(VrDomain *domain, VrDomainState *out_state, int *out_pid, GError **error)
{
    if (stand_in == NULL) {
        return __real_vr_domain_state(domain, out_state, out_pid, error);
    }
    bool lives = session_host_guest_lives(stand_in);
    *out_state = lives ? VR_DOMAIN_RUNNING : VR_DOMAIN_ABSENT;
    *out_pid = lives ? (int) stand_in->guest_pid : 0;
    return true;
}

bool
__wrap_vr_domain_settle(VrDomain *domain, unsigned timeout_ms, GError **error)
{
    if (stand_in == NULL) {
        return __real_vr_domain_settle(domain, timeout_ms, error);
    }
    session_host_kill_guest(stand_in);
    return true;
}

bool
__wrap_vr_domain_destroy(VrDomain *domain, GError **error)
{
    if (stand_in == NULL) {
        return __real_vr_domain_destroy(domain, error);
    }
    session_host_kill_guest(stand_in);
    return true;
}
