/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whatever our reader accepts, GKeyFile reads the same: for the unit test and for the fuzzer, which
 * links without tests/support.
 */
#pragma once

#include "plan/profile_sections.h"

/* GKeyFile's reading of one value; blanks at its end dropped, the one difference. */
static inline char *
gkeyfile_value(GKeyFile *file, const char *group, const char *key)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *raw = g_key_file_get_value(file, group, key, &error);

    g_assert_no_error(error);
    g_key_file_set_value(file, group, key, g_strchomp(raw));

    char *value = g_key_file_get_string(file, group, key, &error);
    g_assert_no_error(error);
    return value;
}

/* true if the text was accepted, and then the two agree. */
static inline bool
gkeyfile_agrees(const char *text, size_t size_bytes)
{
    const VrProfileText given = {.file = "a.conf", .text = text, .size_bytes = size_bytes};
    g_autoptr(VrMistakes) mistakes = vr_mistakes_new();
    g_autoptr(GPtrArray) sections = vr_sections_read(&given, 1, mistakes);
    g_autoptr(GKeyFile) file = g_key_file_new();
    g_autoptr(GError) error = NULL;

    if (vr_mistakes_any(mistakes) || size_bytes == 0) {
        return false;
    }
    g_key_file_load_from_data(file, text, size_bytes, G_KEY_FILE_NONE, &error);
    g_assert_no_error(error);
    for (guint i = 0; i < sections->len; i++) {
        const VrSection *section = g_ptr_array_index(sections, i);

        g_assert_true(g_key_file_has_group(file, section->title));
        for (guint j = 0; j < section->settings->len; j++) {
            const VrSetting *setting = g_ptr_array_index(section->settings, j);
            g_autofree char *value = gkeyfile_value(file, section->title, setting->key->key);

            g_assert_cmpstr(setting->value, ==, value);
        }
    }
    return true;
}
