/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The device nodes through which programs use a PCI function: those that the kernel made below it,
 * and the ones of NVIDIA, KFD and VFIO that hang elsewhere.
 */
#pragma once

#include "host/process_scan.h"

#include <vmrun/gpu_users.h>
#include <vmrun/pci.h>

#include <glib.h>
#include <stdbool.h>

typedef struct {
    VrPciAddress device; /* the function that it belongs to */
    VrHolderKind kind;   /* what a process that has it open is */
    bool has_numbers;    /* major and minor are known */
    bool any_minor;      /* NVIDIA's minor is not known: any card of that driver counts */
    bool is_block;
    unsigned major, minor;
    char *path; /* "/dev/dri/card1" */
} VrDeviceNode;

/* Those that the kernel made below one function. Array as below. */
GPtrArray *vr_device_nodes_below(const VrSysroot *root, VrPciAddress address);

/* `functions`: array of const VrPciFunction *. Array of VrDeviceNode, owned. */
GPtrArray *vr_device_nodes_find(const VrSysroot *root, const GPtrArray *functions);

/*
 * One line for a pipe, "0000:01:00.1 0 c 116:5 /dev/snd/controlC0", and back: the nodes of a device
 * are gone from sysfs as soon as its driver begins to go, while their users are still there. Owned.
 * NULL: not such a line.
 */
char *vr_device_node_to_text(const VrDeviceNode *node);
VrDeviceNode *vr_device_node_from_text(const char *text);
void vr_device_node_free(VrDeviceNode *node);

/* Is `file` one of them open? By its numbers, in a recorded tree by its name. */
bool vr_device_node_matches(const VrDeviceNode *node, const VrOpenFile *file);
