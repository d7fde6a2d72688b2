/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parts of a VrPathFacts. */
#pragma once

#include <vmrun/path_facts.h>

/* What holds on this host: accounts, and the administrator's /etc/vmrun/vmrun.conf. */
void vr_path_rules_load(VrPathRules *rules, const VrHostFacts *facts);
void vr_path_rules_clear(VrPathRules *rules);

/*
 * The file that a qcow2 image is built on, as an absolute path; NULL: none, or no qcow2 image.
 * *out_problem (owned, else untouched): it names something that is no file of this host, or cannot
 * be read. `resolved` has no link in it.
 */
char *vr_image_backing_file(const VrSysroot *root, const char *resolved, char **out_problem);

/* Is the way to a file of root's own (vmrun.conf, a profile) nobody else's? host/profile_files.c */
bool vr_trusted_way(const VrSysroot *root, const char *path, GError **error);
