/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The libvirt domain of a profile: first decided (VrDomainSpec), then written as an XML tree.
 */
#pragma once

#include <vmrun/cpu_placement.h>
#include <vmrun/device_choice.h>
#include <vmrun/host_facts.h>
#include <vmrun/identity.h>
#include <vmrun/profile.h>
#include <vmrun/report.h>

#include <glib.h>
#include <stdbool.h>

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
    const GPtrArray *buffered;   /* const VrProfileDisk *: disks whose file system has no O_DIRECT;
                                    NULL: none */
} VrDomainSpec;

/* libvirt's domain name: the profile's. Document as UTF-8 text, byte-stable for equal input. Owned,
 * never NULL. */
char *vr_domain_xml(const VrDomainSpec *spec);

/* The file that the guest's serial console is appended to. Owned. */
char *vr_domain_serial_log(const char *uri, const char *profile_name);

/* The file that holds the guest's firmware variables: one per kind of firmware, because variables
 * with enrolled keys do not fit the other kind. Owned. */
char *vr_domain_nvram(const char *state_directory, const VrProfile *profile);

/*
 * What a network of the profile is on this host: `auto` becomes an existing bridge, else libvirt's
 * network "default" if it can be used, else user networking. *out_source is lent, NULL where there
 * is none.
 */
VrNetworkMode vr_network_resolve(const VrProfileNetwork *network, const VrHostFacts *facts,
                                 bool default_network, const char **out_source);

/* The namespace of vmrun's metadata in a domain: only domains that carry it are vmrun's. */
#define VR_METADATA_NAMESPACE "https://vmrun.org/domain/1"
