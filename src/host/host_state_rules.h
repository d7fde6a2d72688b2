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

/* A list of processors, or what else vr_cpus_target() understands. */
bool vr_rule_is_cpus(const char *value);

/* The processors that a control group has now, or will have once something runs in it; NULL: nobody
 * limits processors here (Documentation/admin-guide/cgroup-v2.rst). */
bool vr_cpus_read(const VrSysroot *root, const char *path, char **out_list, GError **error);

/* Are these all processors that are online? */
bool vr_cpus_are_all(const VrSysroot *root, const char *list);

/* The kind that the attribute of an allowed path has. */
VrAttributeKind vr_rule_kind_of_path(const char *path);

/* Path, kind, device and value of an attribute fit together. */
bool vr_rule_is_attribute(const VrAttribute *attribute);
