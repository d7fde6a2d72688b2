/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Between the choice of devices and the words about what is wrong with the chosen ones. */
#pragma once

#include <vmrun/device_choice.h>

#include <glib.h>
#include <stdbool.h>

/* "[gpu]", "[pci usb]". Owned. */
char *vr_device_section_title(const VrProfileDevice *section);

/* Is it one of the chosen functions? */
bool vr_devices_include(const GPtrArray *devices, const VrPciFunction *function);

/* Does the section allow this problem of a card? */
bool vr_device_problem_is_allowed(const VrProfileDevice *section, const char *problem);

/* A finding for everything that speaks against the chosen devices. */
void vr_devices_report_problems(const GPtrArray *devices, const VrHostFacts *facts,
                                VrReport *report);
