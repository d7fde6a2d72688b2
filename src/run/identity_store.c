/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/identity.h>

#include <vmrun/error.h>
#include <vmrun/files.h>

#include <string.h>

/* The user that QEMU runs as passes through these on its way to the firmware variables, but need
 * not list them. */
#define PASSAGE_MODE 0711

static bool
is_kept(const VrSysroot *root, const char *path, const char *text)
{
    g_autofree char *kept = vr_sysroot_read_optional(root, path);
    size_t length = strlen(text);

    /* Reading removed the line break at the end. */
    return kept != NULL && length > 0 && strlen(kept) == length - 1 &&
           strncmp(kept, text, length - 1) == 0;
}

bool
vr_identity_store(const VrSysroot *root, const char *profile_name, const VrIdentity *identity,
                  GError **error)
{
    g_autofree char *path = vr_identity_path(profile_name);
    g_autofree char *directory = g_path_get_dirname(path);
    g_autofree char *text = vr_identity_to_text(identity);

    if (!vr_sysroot_make_directory(root, "/var/lib/vmrun", PASSAGE_MODE, error) ||
        !vr_sysroot_make_directory(root, "/var/lib/vmrun/nvram", PASSAGE_MODE, error) ||
        !vr_sysroot_make_directory(root, directory, 0755, error) ||
        (!is_kept(root, path, text) && !vr_sysroot_replace(root, path, text, 0644, error))) {
        return vr_error_prefix(error, "keep what the guest '%s' is known by", profile_name);
    }
    return true;
}
