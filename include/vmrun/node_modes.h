/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The fence: while a function is on its way to vfio-pci its device nodes are closed to everybody
 * but root, so that nobody opens one between the look for holders and the unbind. The mode is one
 * of the values that a session changes and gives back (host_state.h, VR_ATTRIBUTE_NODE).
 *
 * A value is the text "c 226:1 0660": type, numbers, mode. A closed node has mode 0000, which
 * neither the kernel nor udev ever gives: so a node that is closed was closed by vmrun and gets its
 * mode back; one with any other mode was made anew, or somebody has set it, and is left alone. With
 * an access control list the group's bits are its mask (acl(5)): closing and opening them closes
 * and opens the list.
 */
#pragma once

#include <vmrun/pci.h>
#include <vmrun/sysroot.h>

#include <glib.h>
#include <stdbool.h>

/* Is it one of the nodes that may be closed? DRM, ALSA, i2c, hidraw, DisplayPort's AUX, CEC,
 * framebuffers, video. */
bool vr_node_path_is_allowed(const char *path);

bool vr_node_value_is_valid(const char *value);
bool vr_node_value_is_closed(const char *value);

/* The same node, closed. Owned. */
char *vr_node_value_closed(const char *value);

/* Is it to be written? Both are of the same node, and one of them is closed. NULL: there is no
 * node. */
bool vr_node_value_differs(const char *now, const char *wanted);

/*
 * The value now; *out_value NULL when nothing is there, or when it is not a node of that function
 * (any more): whose it is the kernel says (/sys/dev/char). In a recorded tree a node is a file
 * that holds the text.
 */
bool vr_node_mode_read(const VrSysroot *root, const char *path, VrPciAddress device,
                       char **out_value, GError **error);

/* Set the mode that `value` says, if the node is still the one that it names; else nothing is done,
 * and that is fine. */
bool vr_node_mode_write(const VrSysroot *root, const char *path, VrPciAddress device,
                        const char *value, GError **error);
