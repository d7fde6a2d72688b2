/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who uses a PCI function right now: processes with one of its device nodes open (DRM, ALSA, i2c,
 * hidraw, NVIDIA, KFD, VFIO), mounted disks and inputs on a USB controller, a console on its
 * framebuffer.
 *
 * Nodes are matched by device number (st_rdev of /proc/PID/fd/N), so containers and renamed nodes
 * are seen.
 */
#pragma once

#include <vmrun/host_facts.h>
#include <vmrun/pci.h>
#include <vmrun/sysroot.h>

#include <glib.h>
#include <stdint.h>

typedef enum {
    VR_HOLDER_PROCESS, /* an open file or a mapping */
    VR_HOLDER_MOUNT,   /* a disk on the card's USB controller is mounted or swap */
    VR_HOLDER_INPUT,   /* keyboard or mouse on the card's USB controller */
    VR_HOLDER_NETWORK, /* an interface with the default route */
    VR_HOLDER_VFIO,    /* a process that holds /dev/vfio/GROUP */
} VrHolderKind;

typedef struct {
    VrHolderKind kind;
    VrPciAddress device; /* the function it holds */
    int pid;             /* 0: not a process */
    uint64_t
        start_time; /* field 22 of /proc/PID/stat: pid and start time name a process for good */
    char *command;  /* printable; NULL if not a process */
    char *unit;     /* systemd unit or container from the cgroup, NULL: unknown */
    char *node;     /* "/dev/dri/card1", "/dev/snd/controlC1", a mount point, an interface */
} VrHolder;

typedef struct {
    GPtrArray *holders;            /* VrHolder, sorted by device, pid, node */
    unsigned unreadable_processes; /* how many could not be looked into: then an empty list proves
                                      nothing */
} VrHolders;

/* `functions`: array of const VrPciFunction *. Never fails as a whole. Looks at every process, in
 * this one: a program that must not block asks a scout instead (scout.h). */
VrHolders *vr_gpu_users_find(const VrHostFacts *facts, const GPtrArray *functions);

/* The processes among them; of a function only address, class, driver and group are looked at. */
VrHolders *vr_gpu_users_processes(const VrSysroot *root, const GPtrArray *functions);

/* Take out what a move does not wait for: inputs leave with the card as a plug that is pulled. */
void vr_holders_forget_inputs(VrHolders *holders);

/* "pipewire of user@1000.service (process 812) through /dev/snd/controlC1, … and 2 more"; NULL if
 * there are none. Owned. */
char *vr_holders_describe(const VrHolders *holders);

void vr_holders_free(VrHolders *holders);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VrHolders, vr_holders_free)

/*
 * Ask the kernel whether an IOMMU group is in use: open("/dev/vfio/GROUP") answers EBUSY for as
 * long as any group or device fd, or a mapping of one, lives (Linux drivers/vfio/vfio_main.c).
 * VR_NO as well when the node is not there. VR_UNKNOWN when not permitted to ask. While a device of
 * the group is being opened or closed, and is reset by that, the answer waits for it (group_rwsem):
 * a program that must not block asks a scout (scout.h).
 */
VrTristate vr_vfio_group_is_busy(const VrSysroot *root, int group);
