/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Small computers in memory, and profiles from text, for the tests of what is decided from both.
 * Functions of PCI and processors are added one by one; a mistake in a profile ends the test.
 */
#pragma once

#include <vmrun/host_facts.h>
#include <vmrun/profile.h>
#include <vmrun/report.h>

#include <glib.h>

/* With an IOMMU and no devices, no processors. */
VrHostFacts *plan_host_new(void);

/* vendor:device as one number: 0x10de2484. `class_code` with 24 bits. */
VrPciFunction *plan_host_add(VrHostFacts *facts, const char *address, uint32_t class_code,
                             uint32_t id, int group);

/* Processor graphics at 00:02.0, the boot display, and a card of two functions at 01:00, group 12.
 */
VrHostFacts *plan_host_with_card(void);

/*
 * Processors: `nodes` x `caches` L3 groups each x `cores` each x `threads` each. Numbered as Linux
 * does on most computers: all first threads, then all second ones.
 */
void plan_host_add_cpus(VrHostFacts *facts, unsigned nodes, unsigned caches, unsigned cores,
                        unsigned threads);

VrCpu *plan_host_cpu(VrHostFacts *facts, unsigned id);

VrProfile *plan_profile(const char *name, const char *text);

/* The first blocking finding with that id, or NULL. */
const VrFinding *plan_blocker(const VrReport *report, const char *id);
unsigned plan_count_blockers(const VrReport *report);
