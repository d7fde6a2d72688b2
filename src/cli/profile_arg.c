/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli.h"
#include "print.h"

static void
mistake_free(void *mistake)
{
    vr_profile_mistake_free(mistake);
}

int
vr_cli_load_profile(const VrOptions *options, const char *name, bool trusted_only,
                    VrProfile **out_profile)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) mistakes = g_ptr_array_new_with_free_func(mistake_free);

    if (name == NULL) {
        vr_error_set(&error, VR_ERROR_USAGE, "%s: which profile? `vmrun list` shows them",
                     options->command);
        return vr_print_error(options, error);
    }
    *out_profile = vr_profile_load(options->root, name, trusted_only, options->user_profiles,
                                   mistakes, &error);
    if (*out_profile != NULL) {
        return 0;
    }
    if (mistakes->len > 0) {
        return vr_print_mistakes(options, mistakes);
    }
    return vr_print_error(options, error);
}
