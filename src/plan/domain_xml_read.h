/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What vmrun wants to know of a living domain, from the XML that libvirt describes it with. */
#pragma once

#include <vmrun/pci.h>

#include <glib.h>
#include <stdbool.h>

/* PCI functions of the host that the domain has: hostdevs, assigned networks, NVMe controllers.
 * Array of VrPciAddress, in the order of the text. Owned; empty if the text is no XML. */
GArray *vr_domain_xml_assigned(const char *xml);

/* Does the guest's agent listen, as far as libvirt knows? */
bool vr_domain_xml_agent_is_connected(const char *xml);
