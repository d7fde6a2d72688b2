/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The tree of a domain, in the hands of domain_xml.c and domain_devices.c. */
#pragma once

#include <vmrun/domain_xml.h>

#include <libxml/tree.h>

/* A new element at the end of `parent`. */
xmlNode *vr_xml_add(xmlNode *parent, const char *name);

/* A new element with a text, of which any byte string is taken: what XML cannot hold becomes
 * U+FFFD. */
xmlNode *vr_xml_add_text(xmlNode *parent, const char *name, const char *text);

/* Attributes, taken in the same way. */
void vr_xml_set(xmlNode *node, const char *name, const char *value);
void vr_xml_set_number(xmlNode *node, const char *name, unsigned long long value);

/* An element with one attribute: <hpet present="no"/>. */
xmlNode *vr_xml_add_with(xmlNode *parent, const char *name, const char *attribute,
                         const char *value);

/* <devices> with all that is in it. */
void vr_domain_add_devices(xmlNode *domain, const VrDomainSpec *spec);

/* Disks of the profile that are put on a virtio bus, each of which gets a thread of its own. */
unsigned vr_domain_count_io_threads(const VrProfile *profile);

/* What libvirt 9.0 has no words for; only where it is needed. */
bool vr_domain_needs_override(const VrProfile *profile);
void vr_domain_add_override(xmlNode *domain, const VrProfile *profile, xmlNs *space);
