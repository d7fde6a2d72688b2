/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The files and disks that a profile names, as the host sees them. Facts only: the checks judge.
 */
#pragma once

#include <vmrun/host_facts.h>
#include <vmrun/option_rom.h>
#include <vmrun/profile.h>

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* A disk or cdrom of the profile, as the host sees it. Read by host/disk_facts.c. */
typedef struct {
    const VrProfileDisk *disk; /* lent */
    bool exists, is_block, is_regular, readable;
    char *resolved;   /* every link followed */
    char *mounted_at; /* it, a partition of it or a loop device on it is mounted, is swap or is part
                         of a volume: where; NULL */
    char *used_by;    /* "qemu-system-x86 (pid 812)": a process has it open for writing; NULL */
    char *error;      /* could not be looked at */
    unsigned unreadable_processes; /* could not be asked whether they use it */
} VrDiskFact;

/* Owned array; it lends from `profile`. */
GPtrArray *vr_disk_facts_load(const VrHostFacts *facts, const VrProfile *profile);

/* Another file that the profile names: kernel, initrd, option ROM. Read by host/file_facts.c. */
typedef struct {
    const char *key;  /* static: "kernel", "initrd", "rom" */
    const char *path; /* lent by the profile */
    bool exists;
    bool is_regular;
    const VrProfileDevice *section; /* of a ROM, lent: who it is for; NULL otherwise */
    VrOptionRom *rom;               /* of a ROM that could be read */
    char *error;                    /* could not be looked at */
} VrFileFact;

GPtrArray *vr_file_facts_load(const VrHostFacts *facts, const VrProfile *profile);

/* Functions that the administrator keeps on a driver of his choice (driverctl's files). Array of
 * VrPciAddress, owned. */
GArray *vr_kept_addresses_load(const VrHostFacts *facts);
