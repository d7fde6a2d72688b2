/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keep the host awake while a guest owns a card: a card does not survive the host's sleep under
 * vfio-pci, and its guest knows nothing of it. The inhibitor is systemd-logind's, "block" for sleep
 * and for the lid switch; whoever is told to ignore it can still sleep.
 */
#pragma once

#include <vmrun/sysroot.h>

#include <glib.h>
#include <stdbool.h>

/*
 * Ask logind, in a worker. The descriptor returned is the inhibitor: it holds until the last copy
 * is closed, so it ends with this process at the latest. -1 with VR_ERROR_UNREACHABLE where there
 * is no logind, and with its own words where it refuses.
 */
int vr_inhibitor_take(const VrSysroot *root, const char *profile, GError **error);
