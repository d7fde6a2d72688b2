/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What may stand in a host state, whoever says so: the kernel, a journal or the worker. Shared by
 * host_state.c, which refuses to observe anything else, and host_state_text.c, which refuses to
 * read it.
 */
#pragma once

#include <vmrun/host_state.h>

#include <glib.h>
#include <stdbool.h>

/* A driver or a module: it becomes part of a path, or an argument of modprobe. */
bool vr_rule_is_driver_name(const char *text);

/* An override goes into one attribute and nowhere else: whatever its owner wrote on one line. */
bool vr_rule_is_override(const char *text);

/* A systemd unit with its suffix; no pattern, no path. */
bool vr_rule_is_unit_name(const char *text);

/* Path, kind, device and value of an attribute fit together. */
bool vr_rule_is_attribute(const VrAttribute *attribute);
