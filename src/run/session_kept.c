/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "session_private.h"

#include <vmrun/recovery.h>

static const VrBinding *
kept_binding(const VrSession *session, VrPciAddress address)
{
    return session->kept != NULL ? vr_host_state_binding(session->kept->before, address) : NULL;
}

/* Does this session want every device that the last one kept? */
static bool
wants_all_kept(const VrSession *session)
{
    const VrHostState *before = session->preparation->before;
    for (guint i = 0; i < session->kept->before->bindings->len; i++) {
        const VrBinding *kept = g_ptr_array_index(session->kept->before->bindings, i);
        if (before == NULL || vr_host_state_binding(before, kept->address) == NULL) {
            return false;
        }
    }
    return true;
}

static bool
wants_any_of(const VrSession *session, const VrJournal *journal)
{
    const VrHostState *before = session->preparation->before;
    for (guint i = 0; before != NULL && i < journal->before->bindings->len; i++) {
        const VrBinding *binding = g_ptr_array_index(journal->before->bindings, i);
        if (vr_host_state_binding(before, binding->address) != NULL) {
            return true;
        }
    }
    return false;
}

static bool
release(VrSession *session, const char *name, bool have_lock, bool *out_moved, GError **error)
{
    VrRecovery recovery = VR_RECOVERY_NOTHING;
    VrRecoveryOptions options = {.have_lock = have_lock};
    vr_session_say(session, VR_STAGE_NOTE, "giving back first what '%s' had kept", name);
    *out_moved = true;
    return vr_recover(session->root, name, &options, session->listener, &recovery, NULL, error);
}

static bool
release_others(VrSession *session, bool *out_moved, GError **error)
{
    g_autoptr(GPtrArray) names = vr_journal_profiles(session->root, error);
    for (guint i = 0; names != NULL && i < names->len; i++) {
        const char *name = g_ptr_array_index(names, i);
        g_autoptr(VrJournal) journal = vr_journal_read(session->root, name, NULL);
        bool ours = g_str_equal(name, session->profile->name);
        if (!ours && journal != NULL && journal->phase == VR_PHASE_KEPT &&
            wants_any_of(session, journal) && !release(session, name, false, out_moved, error)) {
            return false;
        }
    }
    return names != NULL;
}

/* A profile that is not ready to start changes nothing, so then nothing is released either. */
bool
vr_session_release_kept(VrSession *session, bool *out_moved, GError **error)
{
    *out_moved = false;
    if (vr_report_exit_status(session->preparation->inspection->report) != 0) {
        return true;
    }
    if (session->kept != NULL && !wants_all_kept(session)) {
        g_clear_pointer(&session->kept, vr_journal_free);
        if (!release(session, session->profile->name, true, out_moved, error)) {
            return false;
        }
    }
    return release_others(session, out_moved, error);
}

static void
inherit_binding(VrBinding *binding, const VrBinding *kept)
{
    g_free(binding->driver);
    g_free(binding->module);
    g_free(binding->driver_override);
    binding->driver = g_strdup(kept->driver);
    binding->module = g_strdup(kept->module);
    binding->driver_override = g_strdup(kept->driver_override);
}

void
vr_session_inherit_kept(const VrSession *session, VrHostState *before)
{
    for (guint i = 0; i < before->bindings->len; i++) {
        VrBinding *binding = g_ptr_array_index(before->bindings, i);
        const VrBinding *kept = kept_binding(session, binding->address);
        if (kept != NULL) {
            inherit_binding(binding, kept);
        }
    }
    for (guint i = 0; session->kept != NULL && i < session->kept->before->attributes->len; i++) {
        const VrAttribute *kept = g_ptr_array_index(session->kept->before->attributes, i);
        if (vr_host_state_attribute(before, kept->path) != NULL) {
            vr_host_state_set_attribute(before, kept->kind, &kept->device, kept->path, kept->value);
        }
    }
}
