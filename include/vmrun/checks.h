/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The checks: tables of pure functions from facts to findings. `doctor` runs those of the host,
 * `plan` and `run` those of a profile, too.
 */
#pragma once

#include <vmrun/device_choice.h>
#include <vmrun/gpu_users.h>
#include <vmrun/host_facts.h>
#include <vmrun/profile.h>
#include <vmrun/report.h>

#include <glib.h>
#include <stdbool.h>

/* A disk or cdrom of the profile, as the host sees it. Read by host/disk_facts.c. */
typedef struct {
    const VrProfileDisk *disk; /* lent */
    bool exists, is_block, readable;
    char *resolved;   /* every link followed */
    char *mounted_at; /* it, a partition of it or a loop device on it is mounted, is swap or is part
                         of a volume: where; NULL */
    char *used_by;    /* "qemu-system-x86 (pid 812)": a process has it open for writing; NULL */
    char *error;      /* could not be looked at */
} VrDiskFact;

GPtrArray *vr_disk_facts_load(const VrHostFacts *facts, const VrProfile *profile);

typedef struct {
    const VrHostFacts *facts;
    const VrProfile *profile;     /* NULL: the host alone */
    const GPtrArray *gpus;        /* VrGpu of the host */
    const GPtrArray *devices;     /* VrChosenDevice, with a profile */
    const VrHolders *holders;     /* of the chosen devices, with a profile */
    const GPtrArray *disks;       /* VrDiskFact, with a profile */
    const GPtrArray *busy_groups; /* of char *: "13": /dev/vfio/13 answered EBUSY */
    bool have_root; /* what a normal user cannot read is no finding against the host */
} VrCheckInput;

/* One row of the table; `id` is what findings carry, documented in README.md and tested. */
typedef struct {
    const char *id;
    bool needs_profile;
    void (*check)(const VrCheckInput *input, VrReport *report);
} VrCheck;

/* All checks, NULL-terminated by id. */
const VrCheck *vr_checks(void);

/* Run those that apply to `input`, in order. Never NULL. */
VrReport *vr_checks_run(const VrCheckInput *input);

/* Units known to hold a card, stopped before and started after without being named:
 * NULL-terminated. */
const char *const *vr_known_gpu_units(void);
