/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A profile's text gives a profile or mistakes, never both, never neither; and GKeyFile agrees. */
#include <vmrun/profile.h>

#include "../support/gkeyfile_agrees.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

static void
mistake_free(gpointer mistake)
{
    vr_profile_mistake_free(mistake);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    /* The first half as the file, the second as a drop-in of it. */
    size_t half = size_bytes / 2;
    const VrProfileText texts[] = {
        {.file = "fuzz.conf", .text = (const char *) data, .size_bytes = half, .starts_file = true},
        {.file = "10.conf", .text = (const char *) data + half, .size_bytes = size_bytes - half},
    };
    g_autoptr(GPtrArray) mistakes = g_ptr_array_new_with_free_func(mistake_free);
    g_free(vr_profile_text_extends((const char *) data, size_bytes));
    g_autoptr(VrProfile) profile = vr_profile_parse("fuzz", texts, G_N_ELEMENTS(texts), mistakes);

    g_assert_cmpint(profile == NULL, ==, mistakes->len > 0);
    for (guint i = 0; i < mistakes->len; i++) {
        g_autofree char *line = vr_profile_mistake_format(mistakes->pdata[i]);

        g_assert_true(g_utf8_validate(line, -1, NULL));
    }
    gkeyfile_agrees((const char *) data, size_bytes);
    return 0;
}
