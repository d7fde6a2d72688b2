/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli.h"
#include "print.h"

static void
json_value(JsonBuilder *builder, const VrProfileValue *value)
{
    json_builder_begin_object(builder);
    vr_print_json_text(builder, "group", value->group);
    vr_print_json_text(builder, "key", value->key);
    vr_print_json_text(builder, "value", value->value);
    vr_print_json_text(builder, "file", value->origin.file);
    json_builder_set_member_name(builder, "line");
    if (value->origin.file != NULL) {
        json_builder_add_int_value(builder, value->origin.line);
    } else {
        json_builder_add_null_value(builder);
    }
    json_builder_end_object(builder);
}

static void
print_json(const VrProfile *profile)
{
    JsonBuilder *builder = vr_print_json_begin("show");

    vr_print_json_text(builder, "profile", profile->name);
    vr_print_json_text(builder, "digest", profile->digest);
    json_builder_set_member_name(builder, "values");
    json_builder_begin_array(builder);
    for (guint i = 0; i < profile->values->len; i++) {
        json_value(builder, g_ptr_array_index(profile->values, i));
    }
    json_builder_end_array(builder);
    vr_print_json_end(builder);
}

/* A key file again: it can be saved as a profile that needs no other one. */
static void
print_key_file(const VrProfile *profile)
{
    const char *group = NULL;

    for (guint i = 0; i < profile->values->len; i++) {
        const VrProfileValue *value = g_ptr_array_index(profile->values, i);
        g_autofree char *written = vr_profile_value_write(value);

        if (g_strcmp0(group, value->group) != 0) {
            vr_print("%s[%s]", group != NULL ? "\n" : "", value->group);
            group = value->group;
        }
        vr_print("%s", written);
    }
}

/* A line per value, in the form of the mistakes: editors jump to it. */
static void
print_origins(const VrProfile *profile)
{
    for (guint i = 0; i < profile->values->len; i++) {
        const VrProfileValue *value = g_ptr_array_index(profile->values, i);
        g_autofree char *written = vr_profile_value_write(value);

        if (value->origin.file == NULL) {
            vr_print("default: [%s] %s", value->group, written);
        } else {
            vr_print("%s:%u: [%s] %s", value->origin.file, value->origin.line, value->group,
                     written);
        }
    }
}

int
vr_cmd_show(const VrOptions *options)
{
    g_autoptr(VrProfile) profile = NULL;
    int status = vr_cli_load_profile(options, options->arguments[0], false, &profile);

    if (status != 0) {
        return status;
    }
    if (options->json) {
        print_json(profile);
    } else if (options->origin) {
        print_origins(profile);
    } else {
        print_key_file(profile);
    }
    return 0;
}
