/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files that a profile names and that root hands to libvirt: disks, CD images, kernel, initrd,
 * option ROM. libvirt gives such a file to QEMU's user (its DAC driver calls chown(2)), so a path
 * that somebody else can aim elsewhere, or that names a file of the system, gives the system away.
 *
 * Facts only: every directory and link on the way and what is at its end. vr_path_judge() in
 * checks.h judges.
 */
#pragma once

#include <vmrun/host_facts.h>
#include <vmrun/profile.h>

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum { VR_PATH_DISK, VR_PATH_BOOT, VR_PATH_ROM } VrPathUse;

typedef enum {
    VR_PATH_IS_FILE,
    VR_PATH_IS_DIRECTORY,
    VR_PATH_IS_LINK,
    VR_PATH_IS_BLOCK_DEVICE,
    VR_PATH_IS_OTHER,
} VrPathKind;

/* One directory or link on the way, or what is at the end of it. */
typedef struct {
    char *path; /* no component above it is a link */
    unsigned user, group;
    VrPathKind kind;
    unsigned mode; /* permissions: 0755 */
} VrPathStep;

typedef struct {
    VrPathUse use;
    char *title;      /* "path= under [disk system]" */
    char *path;       /* as the profile, or the image above it, names it */
    GPtrArray *steps; /* VrPathStep, from "/" on; the last one is the file if `resolved` */
    char *resolved;   /* no component is a link; NULL: missing, or see `error` */
    uint64_t links, size_bytes, device, inode;
    char *error;     /* could not be looked at */
    char *bad_image; /* what the header of a qcow2 image asks for and may not have, or NULL */
} VrPathFact;

/* A directory that the administrator allows (/etc/vmrun/vmrun.conf), and whose it is. */
typedef struct {
    char *directory;
    unsigned user;
} VrAllowedPlace;

typedef struct {
    unsigned root_user, root_group; /* 0; on a recorded computer whoever it belongs to */
    int64_t qemu_user;              /* -1: not known */
    GArray *groups;                 /* unsigned: QEMU's, libvirt, vmrun: may write to an image */
    int64_t libvirt_group;          /* its members are root's equals; -1: there is none */
    GPtrArray *places;              /* VrAllowedPlace */
    char *error;                    /* vmrun.conf was not believed: why */
} VrPathRules;

typedef struct {
    VrPathRules rules;
    GPtrArray *facts; /* VrPathFact: of every file that the profile names, backing files too */
} VrPathFacts;

/*
 * Walk to every file that `profile` names. Follows links itself, one by one, so that each is seen;
 * opens what is at the end without following any. Never NULL; when a file system does not answer
 * within 15 s, each fact has an error that says so.
 */
VrPathFacts *vr_path_facts_load(const VrHostFacts *facts, const VrProfile *profile);

void vr_path_facts_free(VrPathFacts *paths);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VrPathFacts, vr_path_facts_free)
