/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What this computer was when a profile last started well, and what changed since: a firmware
 * update or a new card renumbers buses, and an address that was a graphics card is then somebody
 * else's disk.
 *
 * A device is known by its ids and by its port: the way to it from the root bus, slot by slot,
 * which does not contain the numbers that the firmware gives to buses.
 */
#pragma once

#include <vmrun/device_choice.h>
#include <vmrun/host_facts.h>
#include <vmrun/report.h>

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* One device of a profile: its main function. */
typedef struct {
    char *section;   /* "[gpu]", "[pci disk]" */
    unsigned number; /* from 1; more than that only with device=all */
    char *wanted;    /* what the section said: "auto", "0000:01:00.0", "10de:2484", "all" */
    VrPciAddress address;
    uint32_t class_code;
    char *id;            /* "10de:2484" */
    char *subsystem;     /* "1458:3702", NULL: none */
    char *name;          /* for people */
    char *port;          /* "0000:00/03.1/00.0" */
    char *group;         /* ids of the endpoints of its IOMMU group, sorted; "" without one */
    char *slot;          /* what the board calls its slot, NULL: not told */
    char *serial;        /* PCI Express serial number, NULL: none or not asked */
    char *reset_methods; /* "flr bus", NULL: none or not told */
} VrDevicePrint;

typedef struct {
    char *computer, *bios, *kernel, *command_line; /* NULL: not told */
    GPtrArray *devices;                            /* VrDevicePrint */
} VrFingerprint;

VrFingerprint *vr_fingerprint_new(void);
void vr_fingerprint_free(VrFingerprint *fingerprint);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VrFingerprint, vr_fingerprint_free)

/* What device= of a section says. Owned. */
char *vr_fingerprint_wanted(const VrProfileDevice *section);

/* Of the host as it is now with the devices chosen (VrChosenDevice). What facts do not have (slot,
 * serial, reset methods) is for the caller to fill in. Owned. */
VrFingerprint *vr_fingerprint_make(const VrHostFacts *facts, const GPtrArray *devices);

/* One function as the facts show it, for section, number and wanted of `print`. Owned. */
VrDevicePrint *vr_device_print_at(const VrDevicePrint *print, const VrHostFacts *facts,
                                  const VrPciFunction *function);
void vr_device_print_free(VrDevicePrint *print);

/* As a key file and back. VR_ERROR_CORRUPT names what is wrong. */
char *vr_fingerprint_to_text(const VrFingerprint *fingerprint);
VrFingerprint *vr_fingerprint_from_text(const char *text, GError **error);

typedef enum {
    VR_CHANGE_HOST,      /* firmware, kernel, command line: a notice */
    VR_CHANGE_MOVED,     /* the same device at another address: `place` */
    VR_CHANGE_AMBIGUOUS, /* gone from its port, and several like it elsewhere */
    VR_CHANGE_REPLACED,  /* another device at its address */
    VR_CHANGE_GONE,      /* nothing like it anywhere, nothing at its address */
    VR_CHANGE_GROUP,     /* other endpoints share its IOMMU group */
    VR_CHANGE_RESET,     /* other ways to reset it */
} VrChangeKind;

typedef struct {
    VrChangeKind kind;
    char *section;      /* NULL: the host */
    char *what;         /* "BIOS", "address", "IOMMU group": one or two words */
    char *from, *to;    /* never NULL */
    char *remark;       /* what is worth knowing, NULL: nothing */
    VrPciAddress place; /* where the device is now; not of HOST, AMBIGUOUS, GONE */
} VrChange;

/*
 * What is different; empty: nothing. `now` is vr_fingerprint_make() of the same host, with what its
 * caller filled in; a serial number or reset method that one side does not know is no difference.
 * A section of the profile that was edited since is a person's decision and not compared. Owned
 * array of VrChange, sections first.
 */
GPtrArray *vr_fingerprint_compare(const VrFingerprint *before, const VrFingerprint *now,
                                  const VrHostFacts *facts, const VrProfile *profile);

/* Can a person agree to it? Not to a device that is gone, nor to one of several. */
bool vr_change_is_clear(const VrChange *change);

/* All but those of the host wait for a person to agree. */
bool vr_changes_need_consent(const GPtrArray *changes);

/* As findings, `hardware-changed` and `host-changed`; what the choice of devices says of a section
 * whose device moved becomes status 11, too. */
void vr_changes_report(const GPtrArray *changes, const char *profile_name, VrReport *report);
