/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli.h"
#include "print.h"

#include <vmrun/journal.h>
#include <vmrun/status.h>
#include <vmrun/text.h>

/* What `list` and `status` know of one profile. */
typedef struct {
    char *name;
    VrProfile *profile; /* NULL: it has mistakes, or it is gone while its session is not */
    VrStatus *status;
} Row;

static void
row_free(Row *row)
{
    g_free(row->name);
    vr_profile_free(row->profile);
    vr_status_free(row->status);
    g_free(row);
}

static Row *
row_new(const VrOptions *options, const char *name)
{
    Row *row = g_new0(Row, 1);
    g_autoptr(GPtrArray) mistakes =
        g_ptr_array_new_with_free_func((GDestroyNotify) vr_profile_mistake_free);
    row->name = g_strdup(name);
    row->profile =
        vr_profile_load(options->root, name, false, options->user_profiles, mistakes, NULL);
    row->status = vr_status_find(options->root, name);
    if (row->profile == NULL && row->status->state == VR_STATE_STOPPED) {
        row->status->state = VR_STATE_INVALID;
    }
    return row;
}

/* Profiles, and sessions whose profile was removed meanwhile. */
static GPtrArray *
all_rows(const VrOptions *options)
{
    g_autoptr(GPtrArray) names = vr_profile_names(options->root, options->user_profiles);
    g_autoptr(GPtrArray) journals = vr_journal_profiles(options->root, NULL);
    GPtrArray *rows = g_ptr_array_new_with_free_func((GDestroyNotify) row_free);
    for (guint i = 0; i < names->len; i++) {
        g_ptr_array_add(rows, row_new(options, g_ptr_array_index(names, i)));
    }
    for (guint i = 0; journals != NULL && i < journals->len; i++) {
        const char *name = g_ptr_array_index(journals, i);
        if (!g_ptr_array_find_with_equal_func(names, name, g_str_equal, NULL)) {
            g_ptr_array_add(rows, row_new(options, name));
        }
    }
    return rows;
}

/* RFC 3339, UTC. NULL: not known. Owned. */
static char *
format_since(int64_t since)
{
    if (since <= 0) {
        return NULL;
    }
    g_autoptr(GDateTime) time = g_date_time_new_from_unix_utc(since);
    return time != NULL ? g_date_time_format(time, "%Y-%m-%dT%H:%M:%SZ") : NULL;
}

static char *
join_devices(const VrStatus *status)
{
    g_autoptr(GPtrArray) list = g_ptr_array_new();
    for (guint i = 0; i < status->devices->len; i++) {
        g_ptr_array_add(list, g_ptr_array_index(status->devices, i));
    }
    g_ptr_array_add(list, NULL);
    return g_strjoinv(" ", (char **) list->pdata);
}

/* "auto", "0000:01:00.0", "10de:2484", of all [gpu] sections. */
static char *
describe_gpus(const VrProfile *profile)
{
    g_autoptr(GString) text = g_string_new(NULL);
    for (guint i = 0; profile != NULL && i < profile->values->len; i++) {
        const VrProfileValue *value = g_ptr_array_index(profile->values, i);
        bool is_gpu = g_str_equal(value->group, "gpu") || g_str_has_prefix(value->group, "gpu ");
        if (is_gpu && g_str_equal(value->key, "device")) {
            g_string_append_printf(text, "%s%s", text->len > 0 ? ", " : "", value->value);
        }
    }
    return g_string_free(g_steal_pointer(&text), FALSE);
}

static void
json_row(JsonBuilder *builder, const Row *row, bool is_list)
{
    g_autofree char *since = format_since(row->status->since);
    bool active = row->status->state != VR_STATE_STOPPED && row->status->state != VR_STATE_INVALID;
    json_builder_begin_object(builder);
    vr_print_json_text(builder, "name", row->name);
    vr_print_json_text(builder, "state", vr_state_name(row->status->state));
    if (is_list) {
        g_autofree char *gpus = describe_gpus(row->profile);
        vr_print_json_text(builder, "description",
                           row->profile != NULL ? row->profile->description : NULL);
        vr_print_json_text(builder, "gpu", row->profile != NULL ? gpus : NULL);
    } else {
        vr_print_json_text(builder, "since", active ? since : NULL);
        vr_print_json_text(builder, "domain", active ? row->status->domain : NULL);
        json_builder_set_member_name(builder, "devices");
        json_builder_begin_array(builder);
        for (guint i = 0; i < row->status->devices->len; i++) {
            json_builder_add_string_value(builder, g_ptr_array_index(row->status->devices, i));
        }
        json_builder_end_array(builder);
        vr_print_json_text(builder, "message", row->status->message);
    }
    json_builder_end_object(builder);
}

static int
print_json(const GPtrArray *rows, const char *kind)
{
    JsonBuilder *builder = vr_print_json_begin(kind);
    json_builder_set_member_name(builder, "profiles");
    json_builder_begin_array(builder);
    for (guint i = 0; i < rows->len; i++) {
        json_row(builder, g_ptr_array_index(rows, i), g_str_equal(kind, "list"));
    }
    json_builder_end_array(builder);
    vr_print_json_end(builder);
    return 0;
}

static void
add_columns(struct libscols_table *table, const char *const *names)
{
    for (guint i = 0; names[i] != NULL; i++) {
        scols_table_new_column(table, names[i], 0.1, names[i + 1] == NULL ? SCOLS_FL_TRUNC : 0);
    }
}

static void
add_line(struct libscols_table *table, const char *const *cells, unsigned count)
{
    struct libscols_line *line = scols_table_new_line(table, NULL);
    for (unsigned i = 0; i < count; i++) {
        g_autofree char *shown = vr_text_printable(cells[i] != NULL ? cells[i] : "");
        scols_line_set_data(line, i, shown);
    }
}

static int
say_no_profiles(const VrOptions *options)
{
    vr_say(options, "no profiles yet; copy one from %s to /etc/vmrun/profiles and edit it",
           VR_PROFILE_DIR);
    return 0;
}

int
vr_cmd_list(const VrOptions *options)
{
    g_autoptr(GPtrArray) rows = all_rows(options);
    if (options->json) {
        return print_json(rows, "list");
    }
    if (rows->len == 0) {
        return say_no_profiles(options);
    }
    static const char *const names[] = {"NAME", "STATE", "GPU", "DESCRIPTION", NULL};
    struct libscols_table *table = vr_print_table_new(options);
    add_columns(table, names);
    for (guint i = 0; i < rows->len; i++) {
        const Row *row = g_ptr_array_index(rows, i);
        g_autofree char *gpus = describe_gpus(row->profile);
        g_autofree char *description =
            row->profile != NULL ? g_strdup(row->profile->description)
                                 : g_strdup_printf("has mistakes; see: vmrun show %s", row->name);
        const char *cells[] = {row->name, vr_state_name(row->status->state), gpus, description};
        add_line(table, cells, G_N_ELEMENTS(cells));
    }
    vr_print_table(table);
    return 0;
}

static void
print_item(const char *title, const char *text, const char *remark)
{
    g_autofree char *shown = vr_text_printable(text);

    vr_print("  %-11s %s%s", title, shown, remark);
}

static int
print_detail(const Row *row)
{
    g_autofree char *since = format_since(row->status->since);
    g_autofree char *devices = join_devices(row->status);
    bool active = row->status->state != VR_STATE_STOPPED && row->status->state != VR_STATE_INVALID;
    vr_print("%s: %s%s%s", row->name, vr_state_name(row->status->state),
             active && since != NULL ? " since " : "", active && since != NULL ? since : "");
    if (active && row->status->devices->len > 0) {
        print_item("devices", devices, "");
    }
    if (active && row->status->domain != NULL) {
        print_item("domain", row->status->domain, row->status->qemu_pid > 0 ? "" : " (no QEMU)");
    }
    if (active) {
        vr_print("  supervisor  %s",
                 row->status->supervised ? "yes" : "none: it died or was killed");
    }
    if (row->status->message != NULL) {
        print_item("message", row->status->message, "");
    }
    if (row->status->state == VR_STATE_STUCK) {
        vr_print("  next        end what holds the card, then: vmrun restore %s", row->name);
    } else if (row->status->state == VR_STATE_NEEDS_RESTORE) {
        vr_print("  next        vmrun restore %s", row->name);
    } else if (row->status->state == VR_STATE_RUNNING && !row->status->supervised) {
        vr_print("  next        vmrun run %s (takes the guest over) or vmrun stop %s", row->name,
                 row->name);
    }
    return 0;
}

/* A name that is neither a profile nor on record. */
static int
unknown_name(const VrOptions *options, const char *name)
{
    g_autoptr(VrProfile) profile = NULL;
    int status = vr_cli_load_profile(options, name, false, &profile);
    return status;
}

static int
status_of_one(const VrOptions *options, const char *name)
{
    g_autoptr(GPtrArray) names = vr_profile_names(options->root, options->user_profiles);
    g_autoptr(GPtrArray) rows = g_ptr_array_new_with_free_func((GDestroyNotify) row_free);
    if (!vr_text_is_profile_name(name)) {
        return unknown_name(options, name);
    }
    Row *row = row_new(options, name);
    g_ptr_array_add(rows, row);
    bool known = g_ptr_array_find_with_equal_func(names, name, g_str_equal, NULL);
    if (!known && row->status->state == VR_STATE_INVALID) {
        return unknown_name(options, name);
    }
    return options->json ? print_json(rows, "status") : print_detail(row);
}

int
vr_cmd_status(const VrOptions *options)
{
    if (options->arguments[0] != NULL) {
        return status_of_one(options, options->arguments[0]);
    }
    g_autoptr(GPtrArray) rows = all_rows(options);
    if (options->json) {
        return print_json(rows, "status");
    }
    if (rows->len == 0) {
        return say_no_profiles(options);
    }
    static const char *const names[] = {"NAME", "STATE", "SINCE", "DEVICES", "MESSAGE", NULL};
    struct libscols_table *table = vr_print_table_new(options);
    add_columns(table, names);
    for (guint i = 0; i < rows->len; i++) {
        const Row *row = g_ptr_array_index(rows, i);
        bool active =
            row->status->state != VR_STATE_STOPPED && row->status->state != VR_STATE_INVALID;
        g_autofree char *since = active ? format_since(row->status->since) : NULL;
        g_autofree char *devices = join_devices(row->status);
        const char *cells[] = {row->name, vr_state_name(row->status->state), since, devices,
                               row->status->message};
        add_line(table, cells, G_N_ELEMENTS(cells));
    }
    vr_print_table(table);
    return 0;
}
