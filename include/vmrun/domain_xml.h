/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The libvirt domain of a profile: first decided (VrDomainSpec), then written as an XML tree.
 */
#pragma once

#include <vmrun/device_choice.h>
#include <vmrun/host_facts.h>
#include <vmrun/identity.h>
#include <vmrun/profile.h>
#include <vmrun/report.h>

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* Where each vCPU and QEMU's own threads run. */
typedef struct {
    GArray *vcpus;           /* of unsigned: host CPU of each vCPU; empty: not pinned */
    GArray *emulator;        /* host CPUs of QEMU's own threads; empty: anywhere */
    unsigned count;          /* vCPUs */
    unsigned cores, threads; /* guest topology: count = cores * threads */
    int node;                /* NUMA node of the memory, -1: any */
    char *reason;            /* one sentence for `plan` */
} VrCpuPlacement;

VrCpuPlacement *vr_cpu_placement_choose(const VrProfile *profile, const VrHostFacts *facts,
                                        int gpu_node, VrReport *report);
void vr_cpu_placement_free(VrCpuPlacement *placement);

/* Everything the XML says that is not in the profile itself. Pointers are lent. */
typedef struct {
    const VrProfile *profile;
    const VrHostFacts *facts;
    const GPtrArray *devices; /* VrChosenDevice */
    const VrIdentity *identity;
    const VrCpuPlacement *placement;
    VrPages pages;               /* decided: NONE, 2M or 1G */
    const char *uri;             /* libvirt's: decides nothing but the place of the serial log */
    const char *state_directory; /* "/var/lib/vmrun" */
    bool default_network;        /* libvirt's network "default" can be used */
} VrDomainSpec;

/* libvirt's domain name: the profile's. Document as UTF-8 text, byte-stable for equal input. Owned,
 * never NULL. */
char *vr_domain_xml(const VrDomainSpec *spec);

/* The namespace of vmrun's metadata in a domain: only domains that carry it are vmrun's. */
#define VR_METADATA_NAMESPACE "https://vmrun.org/domain/1"
