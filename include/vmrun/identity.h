/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What stays the same about a guest from start to start: UUID and MAC addresses. Made once, kept in
 * /var/lib/vmrun/identity/NAME.conf; a guest that sees a new machine each time loses its activation
 * and its lease.
 */
#pragma once

#include <vmrun/profile.h>
#include <vmrun/sysroot.h>

#include <glib.h>
#include <stdbool.h>

typedef struct {
    char *uuid;       /* lower case */
    GHashTable *macs; /* section name -> "52:54:00:xx:xx:xx" */
} VrIdentity;

/*
 * Read the identity; what is missing (no file yet, a new [network]) is derived from the profile
 * name and /etc/machine-id by hashing, so that `vmrun xml` before the first start shows what the
 * start will use. NULL only when a file is there and is wrong.
 */
VrIdentity *vr_identity_load(const VrSysroot *root, const VrProfile *profile, GError **error);

/* Where it is kept, and the text that is kept there. Owned. */
char *vr_identity_path(const char *profile_name);
char *vr_identity_to_text(const VrIdentity *identity);

/*
 * Keep it, durably, if the file does not say the same already. Makes the directories of what else
 * stays the same about a guest, too: its firmware variables in /var/lib/vmrun/nvram.
 */
bool vr_identity_store(const VrSysroot *root, const char *profile_name, const VrIdentity *identity,
                       GError **error);

void vr_identity_free(VrIdentity *identity);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VrIdentity, vr_identity_free)
