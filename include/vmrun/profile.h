/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A profile: one virtual machine, described in key files.
 *
 * Text goes in, a checked VrProfile or the full list of mistakes comes out. Parsing is pure
 * (plan/profile.c); finding and reading the files is vr_profile_load() in host/profile_files.c. One
 * table of keys (plan/profile_keys.c) drives the parser, `show`, the manual, completion and the
 * tests.
 */
#pragma once

#include <vmrun/pci.h>
#include <vmrun/profile_text.h>
#include <vmrun/sysroot.h>

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum { VR_GUEST_LINUX, VR_GUEST_WINDOWS } VrGuest;
typedef enum { VR_AUTO, VR_NONE, VR_LISTED } VrChoice;
typedef enum { VR_PAGES_AUTO, VR_PAGES_NONE, VR_PAGES_2M, VR_PAGES_1G } VrPages;
typedef enum { VR_FIRMWARE_UEFI, VR_FIRMWARE_UEFI_SECURE } VrFirmware;
typedef enum {
    VR_HYPERVISOR_AUTO,
    VR_HYPERVISOR_SYSTEM,
    VR_HYPERVISOR_EMBEDDED,
    VR_HYPERVISOR_URI
} VrHypervisorChoice;
typedef enum { VR_DEVICE_AUTO, VR_DEVICE_ADDRESS, VR_DEVICE_ID, VR_DEVICE_ALL } VrDeviceChoice;
typedef enum { VR_BUS_VIRTIO, VR_BUS_NVME, VR_BUS_SATA } VrDiskBus;
typedef enum {
    VR_NETWORK_AUTO,
    VR_NETWORK_USER,
    VR_NETWORK_NAT,
    VR_NETWORK_BRIDGE,
    VR_NETWORK_MACVTAP,
    VR_NETWORK_NONE
} VrNetworkMode;
typedef enum { VR_AFTER_RESTORE, VR_AFTER_KEEP } VrAfterStop;
typedef enum { VR_GOVERNOR_PERFORMANCE, VR_GOVERNOR_KEEP } VrGovernor;

/* Where a value was set. */
typedef struct {
    char *file; /* as it is shown to the user */
    unsigned line;
} VrOrigin;

/* One [gpu], [gpu NAME] or [pci NAME]. */
typedef struct {
    char *name; /* "" for a bare [gpu] */
    bool is_gpu;
    VrDeviceChoice choice;
    VrPciAddress address;    /* VR_DEVICE_ADDRESS */
    uint16_t vendor, device; /* VR_DEVICE_ID */
    GArray *functions;       /* of VrPciAddress: only these; NULL: all that go together */
    char *rom;               /* option ROM file, NULL: the card's own */
    bool allow_boot_display;
    VrOrigin origin;
} VrProfileDevice;

typedef struct {
    char *name;
    char *path;
    VrDiskBus bus;
    char *format;        /* "raw", "qcow2"; NULL: by the file's name, .qcow2 else raw */
    unsigned boot_order; /* 0: none */
    bool read_only;
    bool is_cdrom;
    VrOrigin origin;
} VrProfileDisk;

typedef struct {
    char *name;
    VrNetworkMode mode;
    char *source; /* bridge, libvirt network or interface; NULL: by mode */
    char *mac;    /* NULL: kept in identity */
    VrOrigin origin;
} VrProfileNetwork;

/* One effective value, for `show --origin`. */
typedef struct {
    char *group; /* "gpu", "disk system" */
    char *key;
    char *value;
    VrOrigin origin; /* file NULL: the built-in default */
} VrProfileValue;

/* "key=value" as it stands in a profile, escapes put back. Owned. */
char *vr_profile_value_write(const VrProfileValue *value);

typedef struct {
    char *name;
    char *description; /* never NULL */
    VrGuest guest;

    unsigned cpus; /* 0: auto */
    uint64_t memory_mib;
    VrChoice pin;
    GArray *pin_cpus; /* of unsigned, VR_LISTED: host CPU of each vCPU in order */
    VrPages hugepages;
    VrChoice numa;
    VrFirmware firmware;
    bool tpm;
    VrHypervisorChoice hypervisor;
    char *hypervisor_uri; /* VR_HYPERVISOR_URI */

    GPtrArray *devices; /* VrProfileDevice, in file order, GPUs first */
    bool hide_hypervisor;
    char *vendor_id; /* Hyper-V vendor id, at most 12 characters; NULL: vmrun's own */

    char *kernel, *initrd, *cmdline; /* direct boot, or NULL */
    GPtrArray *disks;                /* VrProfileDisk, cdroms too */
    GPtrArray *networks;             /* VrProfileNetwork */

    unsigned start_timeout_s; /* 0: auto */
    unsigned stop_timeout_s;
    GPtrArray *stop_units; /* owned strings */
    VrAfterStop after_stop;
    VrGovernor governor;
    bool isolate_cpus;
    bool alive_agent; /* alive=agent */
    unsigned alive_timeout_s;

    GPtrArray *values; /* VrProfileValue: every key that has an effect, in the order of the table */
    char *digest;      /* SHA-256 over the effective values: names this very configuration */
} VrProfile;

void vr_profile_free(VrProfile *profile);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VrProfile, vr_profile_free)

/*
 * Parse and check. NULL if there is any mistake; all of them are then in `mistakes` (of
 * VrProfileMistake), in the order file, line. A key that is valid but whose effect this version
 * does not build is a mistake that says so.
 */
VrProfile *vr_profile_parse(const char *name, const VrProfileText *texts, size_t text_count,
                            GPtrArray *mistakes);

/*
 * Find NAME.conf (/etc/vmrun/profiles, then the installed profiles; `user_directory`, if not NULL,
 * before both), its `extends` chain and its drop-ins, and parse them. NULL with VR_ERROR_NO_PROFILE
 * (message names the places looked at and the profiles there are), VR_ERROR_USAGE (mistakes is
 * filled), VR_ERROR_NOT_AUTHORISED if `trusted_only` and a file or a directory on the way could be
 * written by somebody who is not root.
 */
VrProfile *vr_profile_load(const VrSysroot *root, const char *name, bool trusted_only,
                           const char *user_directory, GPtrArray *mistakes, GError **error);

/* Names of all profiles there are, sorted, without duplicates. Owned. */
GPtrArray *vr_profile_names(const VrSysroot *root, const char *user_directory);
