/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The way out: recover, inspect, journal, take. */
#include "session_private.h"

#include <vmrun/apply.h>
#include <vmrun/error.h>
#include <vmrun/files.h>
#include <vmrun/gpu_users.h>
#include <vmrun/recovery.h>
#include <vmrun/scout.h>
#include <vmrun/shared.h>

/* Two starts at the same moment: the second waits for the first one's claim, which takes well under
 * a second, or most of a minute when a card of the first does not answer (10 s for its config
 * space, 30 s for its state). */
#define CLAIM_TIMEOUT_MS 60000

static void
say_recovered(const VrSession *session, const char *profile, VrRecovery recovery)
{
    if (recovery == VR_RECOVERY_RESTORED) {
        vr_session_say(session, VR_STAGE_DONE, "gave back what a dead session of '%s' had left",
                       profile);
    } else if (recovery == VR_RECOVERY_RESTARTED) {
        vr_session_say(session, VR_STAGE_NOTE,
                       "the computer was restarted since the last session of '%s', so its devices "
                       "have their drivers again",
                       profile);
    }
}

/* Journals of other profiles whose session died may hold the very card: they go back first. A
 * failure is theirs, not ours. */
static void
recover_others(VrSession *session)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) profiles = vr_journal_profiles(session->root, &error);
    if (profiles == NULL) {
        vr_session_say(session, VR_STAGE_WARNING, "%s", error->message);
        return;
    }
    for (guint i = 0; i < profiles->len; i++) {
        const char *other = g_ptr_array_index(profiles, i);
        VrRecovery recovery = VR_RECOVERY_NOTHING;
        VrRecoveryOptions options = {.leave_kept = true};
        g_autoptr(GError) failure = NULL;
        if (g_str_equal(other, session->profile->name) ||
            vr_lock_is_held(session->root, other, NULL)) {
            continue;
        }
        if (!vr_recover(session->root, other, &options, session->listener, &recovery, NULL,
                        &failure)) {
            vr_session_say(session, VR_STAGE_WARNING, "%s: %s", other, failure->message);
        } else {
            say_recovered(session, other, recovery);
        }
    }
}

/* Everybody may know which devices are ours, above all the sessions of other profiles. */
static void
show_devices(VrSession *session)
{
    g_ptr_array_set_size(session->status->devices, 0);
    for (guint i = 0; i < session->journal->before->bindings->len; i++) {
        const VrBinding *binding = g_ptr_array_index(session->journal->before->bindings, i);
        g_ptr_array_add(session->status->devices, vr_pci_address_format(binding->address));
    }
}

/* Take over a guest whose supervisor died: the journal knows everything that the way back needs. */
static void
adopt(VrSession *session, VrJournal *journal)
{
    session->adopted = true;
    session->guest_ran = true;
    session->journal = journal;
    session->status->since = journal->since;
    session->domain = vr_domain_new(session->root, journal->uri, journal->profile,
                                    journal->domain_uuid, journal->boot_id);
    session->log_offset = vr_domain_log_size(session->domain);
    show_devices(session);
}

bool
vr_session_recover(VrSession *session, GError **error)
{
    VrRecovery recovery = VR_RECOVERY_NOTHING;
    VrRecoveryOptions options = {.have_lock = true, .leave_kept = true};
    VrJournal *journal = NULL;
    recover_others(session);
    if (!vr_recover(session->root, session->profile->name, &options, session->listener, &recovery,
                    &journal, error)) {
        return vr_error_prefix(error, "an earlier session of '%s'", session->profile->name);
    }
    if (recovery == VR_RECOVERY_ALIVE) {
        adopt(session, journal);
        vr_session_say(session, VR_STAGE_NOTE,
                       "the guest of '%s' is running already; taking it over",
                       session->profile->name);
        return true;
    }
    session->kept = journal;
    say_recovered(session, session->profile->name, recovery);
    return true;
}

static VrHostState *
observe_in_worker(void *data, const VrHostState *shape, GError **error)
{
    const VrExecutor *executor = vr_mover_executor(data);
    return executor->observe(executor->data, shape, error);
}

/* Blockers, all of them, end here. */
static bool
report_findings(VrSession *session, GError **error)
{
    const VrReport *report = session->preparation->inspection->report;
    if (session->listener != NULL && session->listener->report != NULL) {
        session->listener->report(session->listener->data, report);
    }
    int status = vr_report_exit_status(report);
    if (status == 0) {
        return true;
    }
    unsigned blockers = 0;
    for (guint i = 0; i < report->findings->len; i++) {
        const VrFinding *finding = g_ptr_array_index(report->findings, i);
        blockers += finding->severity == VR_SEVERITY_BLOCKER;
    }
    return vr_error_set(
        error, (VrError) status, "'%s' was not started: %u %s in the way; nothing was changed",
        session->profile->name, blockers, blockers == 1 ? "thing is" : "things are");
}

static VrJournal *
journal_for(const VrSession *session)
{
    const VrInspection *inspection = session->preparation->inspection;
    VrJournal *journal = vr_journal_new(session->profile->name);
    g_free(journal->boot_id);
    journal->boot_id = g_strdup(inspection->facts->boot_id);
    journal->uri = g_strdup(inspection->uri);
    journal->domain_uuid = g_strdup(inspection->identity->uuid);
    journal->since = session->status->since;
    journal->keep = session->profile->after_stop == VR_AFTER_KEEP;
    vr_host_state_free(journal->before);
    journal->before = vr_host_state_copy(session->preparation->before);
    vr_session_inherit_kept(session, journal->before);
    vr_host_state_claim_counts(journal->before, session->preparation->wanted);
    vr_shared_inherit(session->root, session->profile->name, journal->before);
    return journal;
}

/* Under the global lock: nobody else claims between our look and our record. */
static bool
claim(VrSession *session, GError **error)
{
    g_autoptr(GArray) addresses = vr_devices_addresses(session->preparation->inspection->devices);
    const VrInspection *inspection = session->preparation->inspection;
    session->domain = vr_domain_new(session->root, inspection->uri, session->profile->name,
                                    inspection->identity->uuid, inspection->facts->boot_id);
    if (!vr_domain_check_free(session->domain, addresses, error) ||
        !vr_identity_store(session->root, session->profile->name, inspection->identity, error)) {
        return false;
    }
    session->journal = journal_for(session);
    if (!vr_journal_write(session->root, session->journal, error)) {
        g_clear_pointer(&session->journal, vr_journal_free);
        vr_error_recode(error, VR_ERROR_FAILED);
        return vr_error_prefix(error, "the journal cannot be written, so nothing was changed");
    }
    return true;
}

static bool
make_preparation(VrSession *session, GError **error)
{
    VrReaders readers = {observe_in_worker, session->mover, vr_worker_capabilities,
                         vr_mover_scout(session->mover), VR_HOLDER_PATIENCE_MS};
    g_clear_pointer(&session->preparation, vr_preparation_free);
    session->preparation =
        vr_preparation_make(session->root, session->profile, true, &readers, error);
    return session->preparation != NULL;
}

/* What is kept for another use goes back first, and then the host is another one. */
static bool
prepare(VrSession *session, GError **error)
{
    bool moved = false;
    return make_preparation(session, error) && vr_session_release_kept(session, &moved, error) &&
           (!moved || make_preparation(session, error));
}

bool
vr_session_inspect(VrSession *session, GError **error)
{
    session->global = vr_lock_take(session->root, NULL, CLAIM_TIMEOUT_MS, NULL, error);
    if (session->global == NULL) {
        return vr_error_prefix(error, "wait for another start to claim its devices");
    }
    vr_session_say(session, VR_STAGE_BEGIN, "checking this computer for '%s'",
                   session->profile->name);
    session->mover = vr_mover_new(session->root, session->listener);
    vr_mover_set_profile(session->mover, session->profile->name);
    if (!prepare(session, error) || !report_findings(session, error)) {
        return false;
    }
    if (!vr_session_may_go_on(session, error) || !claim(session, error)) {
        return false;
    }
    vr_session_say(session, VR_STAGE_DONE, "checks passed; %u steps planned",
                   session->preparation->plan->steps->len);
    return true;
}

/* Stopping a daemon must really have freed the card, and nobody may have opened it since the
 * checks. Each function is looked at once more right before it moves (step.c). */
static bool
check_holders_again(const VrSession *session, GError **error)
{
    const VrInspection *inspection = session->preparation->inspection;
    g_autoptr(GPtrArray) functions = vr_devices_functions(inspection->devices);
    g_autoptr(GError) unknown = NULL;
    g_autoptr(VrHolders) holders =
        vr_scout_users_patiently(vr_mover_scout(session->mover), inspection->facts, functions, NULL,
                                 VR_HOLDER_PATIENCE_MS, &unknown);
    vr_holders_forget_inputs(holders);
    g_autofree char *who = vr_holders_describe(holders);
    if (unknown != NULL) {
        g_propagate_prefixed_error(error, g_steal_pointer(&unknown), "look who holds the card: ");
        return false;
    }
    return who == NULL ||
           vr_error_set(error, VR_ERROR_DEVICE_BUSY, "the card is held by %s; end that first", who);
}

/* The mover, asked before each step whether to go on. */

static bool
execute_if_wanted(void *data, const VrStep *step, const VrHostState *wanted, GError **error)
{
    VrSession *session = data;
    const VrExecutor *executor = vr_mover_executor(session->mover);
    return vr_session_may_go_on(session, error) &&
           executor->execute(executor->data, step, wanted, error);
}

static VrHostState *
observe(void *data, const VrHostState *shape, GError **error)
{
    VrSession *session = data;
    return observe_in_worker(session->mover, shape, error);
}

/* A step that was not wanted any more is not one that failed. */
static void
progress(void *data, const VrStep *step, bool done, const GError *error)
{
    VrSession *session = data;
    const VrExecutor *executor = vr_mover_executor(session->mover);
    if (!session->cancelled) {
        executor->progress(executor->data, step, done, error);
    }
}

/* What other sessions change, too: still under the lock of the claim, so that what is added is
 * added to what was looked at. */
static bool
take_shared(VrSession *session, const VrExecutor *executor, GError **error)
{
    g_autoptr(VrHostState) again = vr_shared_take_out(session->preparation->reserved);
    g_autoptr(VrHostState) shared = vr_shared_take_out(session->preparation->wanted);
    bool done = vr_apply(executor, shared, true, NULL, error);
    g_clear_pointer(&session->global, vr_lock_release);
    return done;
}

bool
vr_session_take(VrSession *session, GError **error)
{
    const VrPreparation *preparation = session->preparation;
    const VrExecutor executor = {execute_if_wanted, observe, progress, session};
    show_devices(session);
    vr_session_inhibit_sleep(session);
    vr_mover_set_journal(session->mover, session->journal);
    vr_session_set_state(session, VR_STATE_STARTING, "taking the card");
    return take_shared(session, &executor, error) &&
           vr_apply(&executor, preparation->reserved, true, NULL, error) &&
           check_holders_again(session, error) &&
           vr_apply(&executor, preparation->wanted, true, NULL, error);
}
