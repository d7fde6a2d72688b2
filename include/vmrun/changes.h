/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The memory of what this computer was when a profile last started well (fingerprint.h), kept in
 * /var/lib/vmrun/fingerprint/NAME.conf.
 */
#pragma once

#include <vmrun/fingerprint.h>
#include <vmrun/inspect.h>
#include <vmrun/profile.h>
#include <vmrun/sysroot.h>

#include <glib.h>
#include <stdbool.h>

/* What is on record. NULL with VR_ERROR_NOT_FOUND: the profile was never started well. */
VrFingerprint *vr_fingerprint_load(const VrSysroot *root, const char *profile_name, GError **error);

/* Keep it, durably; nothing is written if it is on record already. */
bool vr_fingerprint_store(const VrSysroot *root, const char *profile_name,
                          const VrFingerprint *fingerprint, GError **error);

/* Remove what a process left that died while it did. */
void vr_fingerprint_tidy(const VrSysroot *root, const char *profile_name);

/* The host as inspected, with slots and reset methods; `capabilities` (VrPciCapabilities, NULL: not
 * asked) gives the serial numbers, which are kept as digests. Owned. */
VrFingerprint *vr_fingerprint_observe(const VrSysroot *root, const VrInspection *inspection,
                                      const GPtrArray *capabilities);

/*
 * Agree to the changes: a device that moved is named at its new place by a drop-in,
 * /etc/vmrun/profiles/NAME.conf.d/50-hardware.conf; the profile's own file is never touched.
 * *out_drop_in: its path, NULL if none was needed; owned. The caller loads the profile anew then
 * and stores what it observes. VR_ERROR_HARDWARE_CHANGED, with nothing written: it is not clear
 * which device is meant, or it cannot be given to a guest where it is now.
 */
bool vr_changes_accept(const VrSysroot *root, const VrInspection *inspection,
                       const GPtrArray *changes, char **out_drop_in, GError **error);
