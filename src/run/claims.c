/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/claims.h>

#include <vmrun/journal.h>
#include <vmrun/pci.h>
#include <vmrun/status.h>
#include <vmrun/text.h>

#include <string.h>

#define STATUS_SUFFIX ".status"

/* Sessions that left a journal (root can see those) or a status file (everybody can). Sorted is not
 * needed. */
static GPtrArray *
session_names(const VrSysroot *root)
{
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) journals = vr_journal_profiles(root, NULL);
    g_autoptr(GPtrArray) files = vr_sysroot_list(root, "/run/vmrun", NULL);
    for (guint i = 0; journals != NULL && i < journals->len; i++) {
        g_ptr_array_add(names, g_strdup(g_ptr_array_index(journals, i)));
    }
    for (guint i = 0; files != NULL && i < files->len; i++) {
        const char *file = g_ptr_array_index(files, i);
        g_autofree char *name = g_str_has_suffix(file, STATUS_SUFFIX)
                                    ? g_strndup(file, strlen(file) - strlen(STATUS_SUFFIX))
                                    : NULL;
        if (name != NULL && vr_text_is_profile_name(name) &&
            !g_ptr_array_find_with_equal_func(names, name, g_str_equal, NULL)) {
            g_ptr_array_add(names, g_steal_pointer(&name));
        }
    }
    return names;
}

static void
add_busy(VrReport *report, const char *id, char *subject, char *message, char *evidence,
         char *advice)
{
    VrFinding *finding = vr_report_add(report, id, VR_SEVERITY_BLOCKER, VR_REMEDY_OS, subject,
                                       message, evidence, advice);
    finding->status = VR_ERROR_BUSY;
}

static void
check_own(const VrSysroot *root, const char *profile, VrReport *report)
{
    g_autoptr(VrStatus) status = vr_status_find(root, profile);
    if (status->state == VR_STATE_STOPPED) {
        return;
    }
    if (status->state == VR_STATE_STUCK) {
        add_busy(
            report, "session-running", NULL,
            g_strdup_printf("a step of an earlier session of '%s' hangs in the kernel", profile),
            g_strdup(status->message),
            g_strdup_printf("look at it with: vmrun status %s; restarting the computer frees it",
                            profile));
        return;
    }
    if (status->state == VR_STATE_NEEDS_RESTORE) {
        vr_report_add(report, "session-running", VR_SEVERITY_INFO, VR_REMEDY_OS, NULL,
                      g_strdup_printf("an earlier session of '%s' is given back first", profile),
                      g_strdup_printf("its state is %s", vr_state_name(status->state)), NULL);
        return;
    }
    add_busy(report, "session-running", NULL, g_strdup_printf("'%s' is running already", profile),
             g_strdup_printf("its state is %s", vr_state_name(status->state)),
             g_strdup_printf("look at it with: vmrun status %s; end it with: vmrun stop %s",
                             profile, profile));
}

static bool
holds(const VrStatus *status, VrPciAddress address)
{
    g_autofree char *text = vr_pci_address_format(address);
    return g_ptr_array_find_with_equal_func(status->devices, text, g_str_equal, NULL);
}

static void
check_other(const VrSysroot *root, const char *other, const GArray *addresses, VrReport *report)
{
    g_autoptr(VrStatus) status = vr_status_find(root, other);
    if (status->state == VR_STATE_STOPPED) {
        return;
    }
    if (status->devices->len == 0 && !status->supervised) {
        add_busy(report, "session-claim", NULL,
                 g_strdup_printf("a session of '%s' is on record that may hold the card", other),
                 g_strdup(status->message),
                 g_strdup_printf("look at it with: vmrun restore %s", other));
    }
    for (guint i = 0; i < addresses->len; i++) {
        VrPciAddress address = g_array_index(addresses, VrPciAddress, i);
        if (holds(status, address)) {
            add_busy(report, "session-claim", vr_pci_address_format(address),
                     g_strdup_printf("it belongs to the session of '%s'", other),
                     g_strdup_printf("'%s' is %s", other, vr_state_name(status->state)),
                     g_strdup_printf(
                         "end that session first: vmrun stop %s; if it is dead: vmrun restore %s",
                         other, other));
        }
    }
}

bool
vr_claims_hang(const VrSysroot *root, const GArray *addresses)
{
    g_autoptr(GPtrArray) names = session_names(root);
    for (guint i = 0; i < names->len; i++) {
        g_autoptr(VrStatus) status = vr_status_find(root, g_ptr_array_index(names, i));
        for (guint j = 0; status->state == VR_STATE_STUCK && j < addresses->len; j++) {
            if (holds(status, g_array_index(addresses, VrPciAddress, j))) {
                return true;
            }
        }
    }
    return false;
}

void
vr_claims_check(const VrSysroot *root, const char *profile, bool have_lock, const GArray *addresses,
                VrReport *report)
{
    g_autoptr(GPtrArray) names = session_names(root);
    if (!have_lock) {
        check_own(root, profile, report);
    }
    for (guint i = 0; i < names->len; i++) {
        const char *other = g_ptr_array_index(names, i);
        if (!g_str_equal(other, profile)) {
            check_other(root, other, addresses, report);
        }
    }
}
