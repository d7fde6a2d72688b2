/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli.h"
#include "print.h"

#include <vmrun/preparation.h>
#include <vmrun/text.h>

#include <unistd.h>

/* One profile beside what is on record of it. */
typedef struct {
    char *name;
    VrProfile *profile;
    VrPreparation *preparation; /* NULL: it could not be looked at */
    int status;
    char *problem; /* why not */
} Row;

static void
row_free(gpointer data)
{
    Row *row = data;
    vr_preparation_free(row->preparation);
    vr_profile_free(row->profile);
    g_free(row->problem);
    g_free(row->name);
    g_free(row);
}

static bool
needs_consent(const Row *row)
{
    return row->preparation != NULL && row->preparation->changes != NULL &&
           vr_changes_need_consent(row->preparation->changes);
}

/* `profile` is taken over. */
static Row *
row_new(const VrOptions *options, const char *name, VrProfile *profile)
{
    g_autoptr(GError) error = NULL;
    Row *row = g_new0(Row, 1);
    row->name = g_strdup(name);
    row->profile = profile;
    row->preparation = vr_preparation_look(options->root, profile, &error);
    if (row->preparation == NULL) {
        row->problem = g_strdup(error->message);
        row->status = vr_error_exit_status(error);
    } else if (needs_consent(row)) {
        row->status = VR_ERROR_HARDWARE_CHANGED;
    }
    return row;
}

/* Of all profiles, those with mistakes as well. */
static Row *
row_of_any(const VrOptions *options, const char *name)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) mistakes =
        g_ptr_array_new_with_free_func((GDestroyNotify) vr_profile_mistake_free);
    VrProfile *profile =
        vr_profile_load(options->root, name, false, options->user_profiles, mistakes, &error);
    if (profile != NULL) {
        return row_new(options, name, profile);
    }
    Row *row = g_new0(Row, 1);
    row->name = g_strdup(name);
    row->status = vr_error_exit_status(error);
    row->problem = g_strdup_printf("the profile has mistakes; see: vmrun show %s", name);
    return row;
}

/* --- showing -----------------------------------------------------------------------------------*/

static void
print_change(const VrChange *change)
{
    g_autofree char *from = vr_text_printable(change->from);
    g_autofree char *to = vr_text_printable(change->to);
    vr_print("  %-10s %s: %s -> %s", change->section != NULL ? change->section : "computer",
             change->what, from, to);
    if (change->remark != NULL) {
        g_autofree char *remark = vr_text_printable(change->remark);
        vr_print("  %-10s (%s)", "", remark);
    }
}

static void
print_row(const VrOptions *options, const Row *row)
{
    g_autofree char *title = vr_print_bold(options, row->name);
    if (row->preparation == NULL) {
        vr_print("%s: %s", title, row->problem);
        return;
    }
    const GPtrArray *changes = row->preparation->changes;
    if (changes == NULL) {
        vr_print("%s: it never started well on this computer, so there is nothing to compare with",
                 title);
        return;
    }
    if (changes->len == 0) {
        vr_print("%s: nothing changed since it last started well", title);
        return;
    }
    vr_print("%s: changed since it last started well", title);
    bool clear = true;
    for (guint i = 0; i < changes->len; i++) {
        const VrChange *change = g_ptr_array_index(changes, i);
        print_change(change);
        clear = clear && vr_change_is_clear(change);
    }
    if (needs_consent(row) && !clear) {
        vr_print("  name the device that is meant with device= in the profile; the list: vmrun "
                 "gpus");
    } else if (needs_consent(row)) {
        vr_print("  if this is right: vmrun changes %s --accept", row->name);
    }
}

static void
json_change(JsonBuilder *builder, const VrChange *change)
{
    json_builder_begin_object(builder);
    vr_print_json_text(builder, "section", change->section);
    vr_print_json_text(builder, "what", change->what);
    vr_print_json_text(builder, "from", change->from);
    vr_print_json_text(builder, "to", change->to);
    vr_print_json_text(builder, "remark", change->remark);
    json_builder_set_member_name(builder, "needs_consent");
    json_builder_add_boolean_value(builder, change->kind != VR_CHANGE_HOST);
    json_builder_end_object(builder);
}

static void
json_row(JsonBuilder *builder, const Row *row)
{
    const GPtrArray *changes = row->preparation != NULL ? row->preparation->changes : NULL;
    json_builder_begin_object(builder);
    vr_print_json_text(builder, "name", row->name);
    vr_print_json_text(builder, "problem", row->problem);
    json_builder_set_member_name(builder, "recorded");
    json_builder_add_boolean_value(builder, changes != NULL);
    json_builder_set_member_name(builder, "needs_consent");
    json_builder_add_boolean_value(builder, needs_consent(row));
    json_builder_set_member_name(builder, "changes");
    json_builder_begin_array(builder);
    for (guint i = 0; changes != NULL && i < changes->len; i++) {
        json_change(builder, g_ptr_array_index(changes, i));
    }
    json_builder_end_array(builder);
    json_builder_end_object(builder);
}

static void
show(const VrOptions *options, const GPtrArray *rows)
{
    if (!options->json) {
        for (guint i = 0; i < rows->len; i++) {
            print_row(options, g_ptr_array_index(rows, i));
        }
        return;
    }
    JsonBuilder *builder = vr_print_json_begin("changes");
    json_builder_set_member_name(builder, "profiles");
    json_builder_begin_array(builder);
    for (guint i = 0; i < rows->len; i++) {
        json_row(builder, g_ptr_array_index(rows, i));
    }
    json_builder_end_array(builder);
    vr_print_json_end(builder);
}

/* --- agreeing ----------------------------------------------------------------------------------*/

/* What was agreed to is what the profile now leads to. */
static bool
remember(const VrOptions *options, const char *name, GError **error)
{
    g_autoptr(GPtrArray) mistakes =
        g_ptr_array_new_with_free_func((GDestroyNotify) vr_profile_mistake_free);
    g_autoptr(VrProfile) profile =
        vr_profile_load(options->root, name, false, options->user_profiles, mistakes, error);
    g_autoptr(VrPreparation) preparation =
        profile != NULL ? vr_preparation_look(options->root, profile, error) : NULL;
    return preparation != NULL &&
           vr_fingerprint_store(options->root, name, preparation->fingerprint, error);
}

static int
accept(const VrOptions *options, const Row *row)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) none = g_ptr_array_new();
    const GPtrArray *changes = row->preparation->changes;
    g_autofree char *drop_in = NULL;
    if (geteuid() != 0) {
        vr_error_set(&error, VR_ERROR_NOT_AUTHORISED,
                     "'changes --accept' needs root: sudo vmrun changes %s --accept", row->name);
        return vr_print_error(options, error);
    }
    if (!vr_changes_accept(options->root, row->preparation->inspection,
                           changes != NULL ? changes : none, &drop_in, &error) ||
        !remember(options, row->name, &error)) {
        return vr_print_error(options, error);
    }
    if (drop_in != NULL) {
        vr_say(options, "%s: %s names the new place; the profile itself was not touched", row->name,
               drop_in);
    }
    vr_say(options, "%s: this is now what later changes are compared with", row->name);
    return 0;
}

static int
changes_of_one(const VrOptions *options)
{
    const char *name = options->arguments[0];
    VrProfile *profile = NULL;
    int status = vr_cli_load_profile(options, name, false, &profile);
    if (status != 0) {
        return status;
    }
    g_autoptr(GPtrArray) rows = g_ptr_array_new_with_free_func(row_free);
    Row *row = row_new(options, name, profile);
    g_ptr_array_add(rows, row);
    if (row->preparation == NULL) {
        g_autoptr(GError) error = NULL;
        vr_error_set(&error, (VrError) row->status, "%s", row->problem);
        return vr_print_error(options, error);
    }
    if (!options->accept) {
        show(options, rows);
        return row->status;
    }
    status = accept(options, row);
    if (status == 0) {
        show(options, rows);
    }
    return status;
}

int
vr_cmd_changes(const VrOptions *options)
{
    g_autoptr(GError) error = NULL;
    if (options->arguments[0] != NULL) {
        return changes_of_one(options);
    }
    if (options->accept) {
        vr_error_set(&error, VR_ERROR_USAGE,
                     "changes --accept: of which profile? vmrun changes NAME --accept");
        return vr_print_error(options, error);
    }
    g_autoptr(GPtrArray) names = vr_profile_names(options->root, options->user_profiles);
    g_autoptr(GPtrArray) rows = g_ptr_array_new_with_free_func(row_free);
    int worst = 0;
    for (guint i = 0; i < names->len; i++) {
        Row *row = row_of_any(options, g_ptr_array_index(names, i));
        g_ptr_array_add(rows, row);
        worst = MAX(worst, row->status);
    }
    show(options, rows);
    return worst;
}
