/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli.h"
#include "print.h"

#include <vmrun/lock.h>
#include <vmrun/process.h>
#include <vmrun/session.h>
#include <vmrun/status.h>
#include <vmrun/text.h>
#include <vmrun/unit.h>

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

/* Who looks on while a session runs. */
typedef struct {
    const VrOptions *options;
    JsonNode *findings; /* of a start, for the document at the end; NULL: not needed */
} Follower;

/* How a session's progress looks: one line per stage, the same on a terminal and in a log. */
static void
show_stage(const VrOptions *options, VrStage stage, const char *text)
{
    static const VrGlyph glyphs[] = {
        [VR_STAGE_DETAIL] = VR_GLYPH_STEP,     [VR_STAGE_BEGIN] = VR_GLYPH_STEP,
        [VR_STAGE_DONE] = VR_GLYPH_OK,         [VR_STAGE_NOTE] = VR_GLYPH_INFO,
        [VR_STAGE_WARNING] = VR_GLYPH_WARNING, [VR_STAGE_FAILED] = VR_GLYPH_BLOCKER,
    };
    bool wanted =
        stage == VR_STAGE_DETAIL ? options->verbose : !options->quiet || stage >= VR_STAGE_WARNING;
    if (options->json || !wanted) {
        return;
    }
    g_autofree char *shown = vr_text_printable(text);
    vr_print("%s %s", vr_print_glyph(options, glyphs[stage]), shown);
}

static void
follow_stage(void *data, VrStage stage, const char *text)
{
    const Follower *follower = data;
    show_stage(follower->options, stage, text);
}

/* Before a start people need what is in the way and what to know; that everything else is fine is
 * one line. */
static void
follow_report(void *data, const VrReport *report)
{
    Follower *follower = data;
    if (follower->options->json) {
        g_clear_pointer(&follower->findings, json_node_unref);
        follower->findings = vr_print_json_findings(report);
    } else {
        vr_print_report(follower->options, report, follower->options->verbose);
    }
}

/* With --json everything that there is to say is in one document, at the end. */
static int
print_end(const VrOptions *options, const char *name)
{
    g_autoptr(VrStatus) status = options->json ? vr_status_find(options->root, name) : NULL;
    if (status != NULL) {
        JsonBuilder *builder = vr_print_json_begin(options->command);
        vr_print_json_text(builder, "profile", name);
        vr_print_json_text(builder, "state", vr_state_name(status->state));
        vr_print_json_end(builder);
    }
    return 0;
}

static bool
may_change_host(const VrOptions *options, const char *what, GError **error)
{
    if (options->has_root_option) {
        return vr_error_set(error, VR_ERROR_USAGE,
                            "--root is for commands that only read; '%s' changes the host", what);
    }
    if (geteuid() != 0) {
        return vr_error_set(error, VR_ERROR_NOT_AUTHORISED, "'%s' needs root: sudo vmrun %s %s",
                            what, what, options->arguments[0] != NULL ? options->arguments[0] : "");
    }
    return true;
}

/* A guest that runs must be stoppable, and adoptable, when its profile was broken or removed
 * meanwhile: then with the default deadline. */
static VrProfile *
profile_or_defaults(const VrOptions *options, const char *name)
{
    g_autoptr(GPtrArray) mistakes =
        g_ptr_array_new_with_free_func((GDestroyNotify) vr_profile_mistake_free);
    VrProfile *profile = vr_profile_load(options->root, name, true, NULL, mistakes, NULL);
    return profile != NULL ? profile : vr_profile_parse(name, NULL, 0, mistakes);
}

static int
load_for_run(const VrOptions *options, bool resume, VrProfile **out_profile)
{
    const char *name = options->arguments[0];
    if (resume) {
        *out_profile = profile_or_defaults(options, name);
        return 0;
    }
    return vr_cli_load_profile(options, name, geteuid() == 0, out_profile);
}

int
vr_cmd_run(const VrOptions *options)
{
    g_autoptr(VrProfile) profile = NULL;
    g_autoptr(GError) error = NULL;
    if (options->dry_run) {
        return vr_cmd_plan(options);
    }
    const char *name = options->arguments[0];
    bool resume = options->foreground && vr_text_is_profile_name(name) &&
                  vr_unit_is_restarted(options->root, name);
    int status = load_for_run(options, resume, &profile);
    if (status != 0) {
        return status;
    }
    if (!may_change_host(options, "run", &error)) {
        return vr_print_error(options, error);
    }
    Follower follower = {.options = options};
    VrListener listener = {.stage = follow_stage, .report = follow_report, .data = &follower};
    bool ran = resume ? vr_session_resume(options->root, profile, &listener, &error)
                      : vr_session_run(options->root, profile, &listener, &error);
    g_autoptr(JsonNode) findings = follower.findings;
    return ran ? print_end(options, profile->name)
               : vr_print_error_findings(options, error, findings);
}

/* Wait until the supervisor let go of its lock, which it does last of all. */
static bool
wait_for_supervisor(int pidfd, unsigned timeout_s)
{
    return vr_process_wait(pidfd, timeout_s * 1000);
}

/* How long the way back may take once the guest is off: resets and driver probes, see the deadlines
 * of the steps. */
#define WAY_BACK_S 600

/* The supervisor ended; whether everything is back stands in the journal, or rather in its absence.
 */
static int
result_of_session(const VrOptions *options, const char *name)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(VrStatus) status = vr_status_find(options->root, name);
    if (status->state == VR_STATE_STOPPED) {
        show_stage(options, VR_STAGE_DONE, "the guest is off and everything is back");
        return print_end(options, name);
    }
    vr_error_set(&error, VR_ERROR_RESTORE_INCOMPLETE, "'%s': %s; try: vmrun restore %s", name,
                 status->message != NULL ? status->message : "not everything was given back", name);
    return vr_print_error(options, error);
}

/* The guest had the time; the devices have their own. */
static bool
is_on_its_way_back(const VrOptions *options, const char *name)
{
    g_autoptr(VrStatus) now = vr_status_find(options->root, name);
    return now->qemu_pid == 0 ||
           !vr_process_is_alive(options->root, now->qemu_pid, now->qemu_start_time);
}

/* Ask; at the deadline leave it running, or power it off if that was asked for. */
static int
stop_supervised(const VrOptions *options, const VrProfile *profile, const VrLockOwner *owner)
{
    g_autoptr(GError) error = NULL;
    unsigned timeout_s = options->timeout_s != 0 ? options->timeout_s : profile->stop_timeout_s;
    int pidfd = vr_process_open(options->root, owner->pid, owner->start_time, &error);
    if (pidfd < 0) {
        return result_of_session(options, profile->name);
    }
    int status = 0;
    show_stage(options, VR_STAGE_BEGIN, "asking the guest to shut down");
    if (!vr_process_signal(options->root, owner->pid, owner->start_time, SIGTERM, &error)) {
        status = vr_print_error(options, error);
    } else if (wait_for_supervisor(pidfd, timeout_s) ||
               (is_on_its_way_back(options, profile->name) &&
                wait_for_supervisor(pidfd, WAY_BACK_S))) {
        status = result_of_session(options, profile->name);
    } else if (!options->force) {
        vr_error_set(&error, VR_ERROR_TIMED_OUT,
                     "the guest of '%s' did not shut down within %u s and was left running; to "
                     "power it off: vmrun "
                     "stop %s --force",
                     profile->name, timeout_s, profile->name);
        status = vr_print_error(options, error);
    } else {
        show_stage(options, VR_STAGE_BEGIN, "powering the guest off");
        if (!vr_process_signal(options->root, owner->pid, owner->start_time, SIGUSR1, &error)) {
            g_clear_error(&error); /* it ended this very moment */
        }
        if (wait_for_supervisor(pidfd, WAY_BACK_S)) {
            status = result_of_session(options, profile->name);
        } else {
            vr_error_set(&error, VR_ERROR_STOP_FAILED,
                         "the session of '%s' did not end within %d s after its guest was powered "
                         "off; see: vmrun "
                         "status %s",
                         profile->name, WAY_BACK_S, profile->name);
            status = vr_print_error(options, error);
        }
    }
    close(pidfd);
    return status;
}

/* Nobody supervises: a dead supervisor's guest is taken over for its end. */
static int
stop_unsupervised(const VrOptions *options, const VrProfile *profile)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(VrStatus) status = vr_status_find(options->root, profile->name);
    if (status->state == VR_STATE_STOPPED) {
        g_autofree char *text = g_strdup_printf("'%s' is not running", profile->name);
        show_stage(options, VR_STAGE_DONE, text);
        return print_end(options, profile->name);
    }
    unsigned timeout_s = options->timeout_s != 0 ? options->timeout_s : profile->stop_timeout_s;
    Follower follower = {.options = options};
    VrListener listener = {.stage = follow_stage, .data = &follower};
    if (!vr_session_finish(options->root, profile, options->force, timeout_s, &listener, &error)) {
        return vr_print_error(options, error);
    }
    return print_end(options, profile->name);
}

/* A lock without an owner is that of a restore: it ends by itself, and there is no guest then. */
static bool
wait_for_restore(const VrOptions *options, const char *name, GError **error)
{
    g_autoptr(VrLock) lock = vr_lock_take(options->root, name, WAY_BACK_S * 1000, NULL, error);
    return lock != NULL;
}

int
vr_cmd_stop(const VrOptions *options)
{
    g_autoptr(VrProfile) profile = NULL;
    g_autoptr(GError) error = NULL;
    VrLockOwner owner = {0};
    const char *name = options->arguments[0];
    if (!may_change_host(options, "stop", &error)) {
        return vr_print_error(options, error);
    }
    g_autoptr(VrStatus) now =
        vr_text_is_profile_name(name) ? vr_status_find(options->root, name) : NULL;
    if (now == NULL || (now->state == VR_STATE_STOPPED && !now->supervised)) {
        int status = vr_cli_load_profile(options, name, true, &profile);
        if (status != 0) {
            return status;
        }
    } else {
        profile = profile_or_defaults(options, name);
    }
    if (vr_lock_is_held(options->root, profile->name, &owner) && owner.pid != 0) {
        return stop_supervised(options, profile, &owner);
    }
    if (!wait_for_restore(options, profile->name, &error)) {
        return vr_print_error(options, error);
    }
    return stop_unsupervised(options, profile);
}
