/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One value of a profile: is it what its key asks for, and what does it mean. */
#pragma once

#include "plan/profile_keys.h"

#include <vmrun/pci.h>
#include <vmrun/profile.h>

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * What is wrong with a value (not empty) of this key, as a sentence that says what to write
 * instead; NULL if nothing is. Owned.
 */
char *vr_value_problem(const VrProfileKey *key, const char *value);

/* "16G is in the manual": what a key takes, for the manual. Static. */
const char *vr_value_accepts(VrValueKind kind);

/* [A-Za-z0-9][A-Za-z0-9_-]{0,31}: the NAME in [disk NAME]. */
bool vr_value_is_section_name(const char *name);

/*
 * The two URIs of libvirt that vmrun ever opens. Others would let a text choose a program or a
 * socket (qemu+ext:///system?command=…). A journal is held to it, too.
 */
bool vr_value_is_uri(const char *value);

/* The meaning of a value. All return false, or NULL, when it has none, without touching `out_…`. */
bool vr_value_cpus(const char *value, unsigned *out_cpus); /* auto: 0 */
bool vr_value_memory(const char *value, uint64_t *out_mib);
bool vr_value_seconds(const char *value, unsigned *out_seconds);
bool vr_value_order(const char *value, unsigned *out_order);
bool vr_value_address(const char *value, VrPciAddress *out_address);
bool vr_value_ids(const char *value, uint16_t *out_first, uint16_t *out_second);

/* "2-5,10": array of unsigned in the order written, each once. */
GArray *vr_value_pin(const char *value);

/* Addresses: array of VrPciAddress, each once, not empty. */
GArray *vr_value_functions(const char *value);

/* Names of units: owned array of owned strings, each once. */
GPtrArray *vr_value_units(const char *value);

/* Lower case. Owned. */
char *vr_value_mac(const char *value);
