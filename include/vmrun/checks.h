/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The checks: tables of pure functions from facts to findings. `doctor` runs those of the host,
 * `plan` and `run` those of a profile, too.
 */
#pragma once

#include <vmrun/device_choice.h>
#include <vmrun/disk_facts.h>
#include <vmrun/gpu_users.h>
#include <vmrun/host_facts.h>
#include <vmrun/path_facts.h>
#include <vmrun/pci_capabilities.h>
#include <vmrun/profile.h>
#include <vmrun/report.h>

#include <glib.h>
#include <stdbool.h>

typedef struct {
    const VrHostFacts *facts;
    const VrProfile *profile;     /* NULL: the host alone */
    const GPtrArray *gpus;        /* VrGpu of the host */
    const GPtrArray *devices;     /* VrChosenDevice, with a profile */
    const VrHolders *holders;     /* of the chosen devices, with a profile */
    const char *holders_error;    /* why no process could be looked at, NULL: they were */
    const GPtrArray *disks;       /* VrDiskFact, with a profile */
    const GPtrArray *files;       /* VrFileFact, with a profile */
    const VrPathFacts *paths;     /* with a profile */
    const GPtrArray *busy_groups; /* of char *: "13": /dev/vfio/13 answered EBUSY */
    const GArray *claimed; /* VrPciAddress: named by a journal, or kept by the administrator; NULL:
                              could not be read. Of the host alone */
    bool have_root;        /* what a normal user cannot read is no finding against the host */
} VrCheckInput;

/* One row of the table; `id` is what findings carry, documented in README.md and tested. */
typedef struct {
    const char *id;
    const char *title; /* two or three words for people: "IOMMU" */
    bool needs_profile;
    void (*check)(const VrCheckInput *input, VrReport *report);
} VrCheck;

/* All checks, NULL-terminated by id. */
const VrCheck *vr_checks(void);

/* Run those that apply to `input`, in order. Never NULL. */
VrReport *vr_checks_run(const VrCheckInput *input);

/*
 * What chosen functions (VrChosenDevice) say of themselves: `dead-device`, `reset-method`.
 * `capabilities` (VrPciCapabilities) NULL: they could not be asked, `why` (or NULL) tells the
 * reason; VR_ERROR_STUCK: they did not answer.
 */
void vr_check_functions(const VrHostFacts *facts, const GPtrArray *devices,
                        const GPtrArray *capabilities, const GError *why, VrReport *report);

/*
 * May root give this file to libvirt? A finding `path-trust` in `report`, and false, if not; one of
 * severity unknown if it cannot be told. A file that is missing is fine here.
 */
bool vr_path_judge(const VrPathFact *fact, const VrPathRules *rules, VrReport *report);

/* Units known to hold a card, stopped before and started after without being named:
 * NULL-terminated. */
const char *const *vr_known_gpu_units(void);
