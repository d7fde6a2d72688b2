/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli.h"
#include "print.h"

#include <vmrun/recovery.h>
#include <vmrun/text.h>

#include <unistd.h>

static void
show_stage(void *data, VrStage stage, const char *text)
{
    const VrOptions *options = data;
    bool wanted =
        stage == VR_STAGE_DETAIL ? options->verbose : !options->quiet || stage >= VR_STAGE_WARNING;
    bool warning = stage == VR_STAGE_WARNING || stage == VR_STAGE_FAILED;
    VrGlyph glyph = warning                  ? VR_GLYPH_WARNING
                    : stage == VR_STAGE_DONE ? VR_GLYPH_OK
                                             : VR_GLYPH_STEP;
    g_autofree char *shown = vr_text_printable(text);
    if (!options->json && wanted) {
        vr_print("%s %s", vr_print_glyph(options, glyph), shown);
    }
}

/* What one profile's recovery came to. */
typedef struct {
    const char *name;
    VrRecovery recovery;
    int status;
    char *message;
} Outcome;

static void
outcome_free(Outcome *outcome)
{
    g_free(outcome->message);
    g_free(outcome);
}

static char *
describe(const VrOptions *options, const char *name, VrRecovery recovery)
{
    switch (recovery) {
    case VR_RECOVERY_NOTHING:
        return g_strdup_printf("%s: nothing to give back", name);
    case VR_RECOVERY_RESTORED:
        return options->dry_run
                   ? g_strdup_printf("%s: would be given back now; nothing was changed", name)
                   : g_strdup_printf("%s: everything is back as it was", name);
    case VR_RECOVERY_RESTARTED:
        return g_strdup_printf("%s: the computer was restarted since, so its devices have their "
                               "drivers again; nothing %s be put back",
                               name, options->dry_run ? "would have to" : "had to");
    case VR_RECOVERY_ALIVE:
    case VR_RECOVERY_KEPT:
        break;
    }
    return g_strdup_printf(
        "%s: its guest is running, so nothing was touched; end it with: vmrun stop %s", name, name);
}

static Outcome *
restore_one(const VrOptions *options, const char *name)
{
    g_autoptr(GError) error = NULL;
    Outcome *outcome = g_new0(Outcome, 1);
    VrListener listener = {.stage = show_stage, .data = (void *) options};
    VrRecoveryOptions how = {.dry_run = options->dry_run};
    outcome->name = name;
    if (!vr_recover(options->root, name, &how, &listener, &outcome->recovery, NULL, &error)) {
        outcome->status = vr_error_exit_status(error);
        outcome->message = g_strdup_printf("%s: %s", name, error->message);
    } else {
        outcome->status = outcome->recovery == VR_RECOVERY_ALIVE ? VR_ERROR_BUSY : 0;
        outcome->message = describe(options, name, outcome->recovery);
    }
    if (outcome->status == VR_ERROR_BUSY && options->if_idle) {
        outcome->status = 0;
    }
    return outcome;
}

/* Of several, the one that needs a person most. */
static int
worst_status(const GPtrArray *outcomes)
{
    int worst = 0;
    for (guint i = 0; i < outcomes->len; i++) {
        const Outcome *outcome = g_ptr_array_index(outcomes, i);
        bool worse = outcome->status == VR_ERROR_RESTORE_INCOMPLETE || worst == 0;
        worst = worse ? outcome->status : worst;
    }
    return worst;
}

static void
print_outcomes(const VrOptions *options, const GPtrArray *outcomes)
{
    static const char *const words[] = {
        [VR_RECOVERY_NOTHING] = "nothing",     [VR_RECOVERY_RESTORED] = "restored",
        [VR_RECOVERY_ALIVE] = "alive",         [VR_RECOVERY_KEPT] = "kept",
        [VR_RECOVERY_RESTARTED] = "restarted",
    };
    JsonBuilder *builder = options->json ? vr_print_json_begin("restore") : NULL;
    if (builder != NULL) {
        json_builder_set_member_name(builder, "profiles");
        json_builder_begin_array(builder);
    }
    for (guint i = 0; i < outcomes->len; i++) {
        const Outcome *outcome = g_ptr_array_index(outcomes, i);
        if (builder == NULL) {
            g_autofree char *shown = vr_text_printable(outcome->message);
            bool bad = outcome->status != 0;
            vr_print("%s %s", vr_print_glyph(options, bad ? VR_GLYPH_BLOCKER : VR_GLYPH_OK), shown);
            continue;
        }
        json_builder_begin_object(builder);
        vr_print_json_text(builder, "name", outcome->name);
        vr_print_json_text(builder, "result",
                           outcome->status != 0 && outcome->recovery != VR_RECOVERY_ALIVE
                               ? "failed"
                               : words[outcome->recovery]);
        json_builder_set_member_name(builder, "code");
        json_builder_add_int_value(builder, outcome->status);
        vr_print_json_text(builder, "message", outcome->message);
        json_builder_end_object(builder);
    }
    if (builder != NULL) {
        json_builder_end_array(builder);
        vr_print_json_end(builder);
    }
}

/* The profiles to look at: the named one, or all that left a journal. NULL with an error. */
static GPtrArray *
chosen_profiles(const VrOptions *options, GError **error)
{
    const char *name = options->arguments[0];
    if (name == NULL) {
        return vr_journal_profiles(options->root, error);
    }
    if (!vr_text_is_profile_name(name)) {
        vr_error_set(error, VR_ERROR_USAGE, "'%s' cannot be the name of a profile", name);
        return NULL;
    }
    GPtrArray *one = g_ptr_array_new_with_free_func(g_free);
    g_ptr_array_add(one, g_strdup(name));
    return one;
}

int
vr_cmd_restore(const VrOptions *options)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) outcomes = g_ptr_array_new_with_free_func((GDestroyNotify) outcome_free);
    if (options->arguments[0] != NULL && options->all) {
        vr_error_set(&error, VR_ERROR_USAGE, "restore: either a name or --all");
        return vr_print_error(options, error);
    }
    if (geteuid() != 0 && !(options->has_root_option && options->dry_run)) {
        vr_error_set(&error, VR_ERROR_NOT_AUTHORISED, "'restore' needs root: sudo vmrun restore");
        return vr_print_error(options, error);
    }
    if (options->has_root_option && !options->dry_run) {
        vr_error_set(&error, VR_ERROR_USAGE,
                     "--root is for commands that only read; use restore --dry-run with it");
        return vr_print_error(options, error);
    }
    g_autoptr(GPtrArray) names = chosen_profiles(options, &error);
    if (names == NULL) {
        return vr_print_error(options, error);
    }
    for (guint i = 0; i < names->len; i++) {
        g_ptr_array_add(outcomes, restore_one(options, g_ptr_array_index(names, i)));
    }
    if (names->len == 0) {
        vr_say(options, "nothing to give back: no session is on record");
    }
    print_outcomes(options, outcomes);
    return worst_status(outcomes);
}
