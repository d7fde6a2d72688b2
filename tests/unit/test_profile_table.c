/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of keys, the dialect beside GKeyFile, and the profiles that are shipped. */
#include <vmrun/profile.h>

#include "../support/gkeyfile_agrees.h"
#include "../support/tree.h"

#include "plan/profile_keys.h"
#include "plan/profile_values.h"

#include <string.h>

static void
mistake_free(void *mistake)
{
    vr_profile_mistake_free(mistake);
}

/* A file of the source tree. */
static char *
read_source(const char *path)
{
    g_autofree char *hosts = tree_hosts();
    g_autofree char *full = g_build_filename(hosts, "..", "..", path, NULL);
    g_autoptr(GError) error = NULL;
    char *text = NULL;

    g_file_get_contents(full, &text, NULL, &error);
    g_assert_no_error(error);
    return text;
}

static void
test_rows_are_whole(void)
{
    for (const VrProfileKey *key = vr_profile_keys(); key->key != NULL; key++) {
        const char *const values[] = {key->default_value, key->windows_value, key->neutral};

        g_test_message("[%s] %s", key->group, key->key);
        g_assert_nonnull(vr_profile_group_find(key->group));
        g_assert_true(vr_profile_key_find(key->group, key->key) == key);
        g_assert_cmpuint(strlen(key->documentation), >, 5);
        g_assert_true((key->kind == VR_VALUE_CHOICE) == (key->choices != NULL));
        g_assert_true(key->choices != NULL || vr_value_accepts(key->kind) != NULL);
        g_assert_true(!key->needed || key->default_value == NULL);
        g_assert_true(!key->built || key->neutral == NULL);
        for (size_t i = 0; i < G_N_ELEMENTS(values); i++) {
            g_autofree char *problem = values[i] != NULL ? vr_value_problem(key, values[i]) : NULL;

            g_assert_null(problem);
        }
    }
}

static void
test_dialect_agrees_with_gkeyfile(void)
{
    static const char *const pieces[] = {
        "[machine]",
        "[disk a]",
        "[profile]",
        "[gpu]",
        "\n",
        "\n",
        "\n",
        "\r\n",
        " ",
        "\t",
        "# x",
        "memory=1G",
        "cpus = 2",
        "description=",
        "description= a = b ",
        "\\s",
        "\\\\",
        "path=/a b",
        "path\t=\t/é",
        "vendor-id=",
        "x",
        "=",
        ";",
        "\xc2\xa0",
        "\xff",
        "\\n",
    };
    unsigned accepted = 0;

    for (unsigned i = 0; i < 20000; i++) {
        g_autoptr(GString) text = g_string_new(NULL);
        int count = g_test_rand_int_range(1, 14);

        for (int j = 0; j < count; j++) {
            g_string_append(text, pieces[g_test_rand_int_range(0, G_N_ELEMENTS(pieces))]);
        }
        accepted += gkeyfile_agrees(text->str, text->len);
    }
    g_assert_cmpuint(accepted, >, 100);
}

static GPtrArray *
parse(const char *file, const char *text)
{
    const VrProfileText given = {
        .file = file, .text = text, .size_bytes = strlen(text), .starts_file = true};
    GPtrArray *mistakes = g_ptr_array_new_with_free_func(mistake_free);
    g_autoptr(VrProfile) profile = vr_profile_parse("shipped", &given, 1, mistakes);

    g_assert_true((profile != NULL) == (mistakes->len == 0));
    return mistakes;
}

/* "#key=value" or "#[group]", as the shipped profiles have their examples. */
static bool
is_example(const char *line)
{
    return line[0] == '#' && line[1] != '\0' && line[1] != ' ';
}

/* The lines with the example at `index` switched on: one key, or a group with all that follows. */
static char *
switch_on(const char *const *lines, guint index)
{
    GString *text = g_string_new(NULL);
    bool is_group = g_str_has_prefix(lines[index], "#[");
    bool on = false;

    for (guint i = 0; lines[i] != NULL; i++) {
        on = i == index || (on && is_group && is_example(lines[i]));
        g_string_append_printf(text, "%s\n", lines[i] + (on ? 1 : 0));
    }
    return g_string_free(text, FALSE);
}

/* Each is valid, or valid but not built yet. */
static void
assert_example(const char *file, const char *text, const char *line)
{
    g_autoptr(GPtrArray) mistakes = parse(file, text);

    for (guint i = 0; i < mistakes->len; i++) {
        const VrProfileMistake *mistake = g_ptr_array_index(mistakes, i);

        g_test_message("%s: %s", line, mistake->message);
        g_assert_nonnull(strstr(mistake->message, "does not build its effect yet"));
    }
}

static void
check_shipped(const char *file)
{
    g_autofree char *text = read_source(file);
    g_autoptr(GPtrArray) mistakes = parse(file, text);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    bool in_group = false;
    unsigned examples = 0;

    g_assert_cmpuint(mistakes->len, ==, 0);
    g_assert_true(gkeyfile_agrees(text, strlen(text)));
    for (guint i = 0; lines[i] != NULL; i++) {
        bool is_group = g_str_has_prefix(lines[i], "#[");

        if (is_example(lines[i]) && (is_group || !in_group)) {
            g_autofree char *with_example = switch_on((const char *const *) lines, i);

            assert_example(file, with_example, lines[i]);
            examples++;
        }
        in_group = is_example(lines[i]) && (is_group || in_group);
    }
    g_assert_cmpuint(examples, >, 5);
}

static void
test_gaming_is_right(void)
{
    check_shipped("profiles/gaming.conf");
}

static void
test_llm_train_is_right(void)
{
    check_shipped("profiles/llm-train.conf");
}

/* The part of README.md about one group: from its heading to the next one. */
static char *
manual_of(const char *manual, const VrProfileGroup *group)
{
    g_autofree char *heading = g_strdup_printf("\n### `[%s%s]`\n", group->name,
                                               group->naming == VR_NAMING_NEEDED ? " NAME" : "");
    const char *start = strstr(manual, heading);

    g_test_message("%s", heading);
    g_assert_nonnull(start);
    start += strlen(heading);
    const char *end = strstr(start, "\n#");
    return end != NULL ? g_strndup(start, (gsize) (end - start)) : g_strdup(start);
}

static guint
count_rows(const char *part)
{
    g_auto(GStrv) pieces = g_strsplit(part, "\n| `", -1);

    return g_strv_length(pieces) - 1;
}

static void
test_manual_has_every_key(void)
{
    g_autofree char *manual = read_source("README.md");

    for (const VrProfileGroup *group = vr_profile_groups(); group->name != NULL; group++) {
        g_autofree char *part = manual_of(manual, group);
        guint count = 0;

        for (const VrProfileKey *key = vr_profile_keys(); key->key != NULL; key++) {
            if (strcmp(key->group, group->name) != 0) {
                continue;
            }
            g_autofree char *row = g_strdup_printf("\n| `%s` |", key->key);
            g_test_message("[%s] %s", key->group, key->key);
            g_assert_nonnull(strstr(part, row));
            g_assert_nonnull(strstr(part, key->documentation));
            count++;
        }
        g_assert_cmpuint(count_rows(part), ==, count);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/plan/profile-table/rows-are-whole", test_rows_are_whole);
    g_test_add_func("/plan/profile-table/dialect-agrees-with-gkeyfile",
                    test_dialect_agrees_with_gkeyfile);
    g_test_add_func("/plan/profile-table/gaming-is-right", test_gaming_is_right);
    g_test_add_func("/plan/profile-table/llm-train-is-right", test_llm_train_is_right);
    g_test_add_func("/plan/profile-table/manual-has-every-key", test_manual_has_every_key);
    return g_test_run();
}
