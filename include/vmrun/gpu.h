/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Judgement over the PCI functions of a host: which of them are graphics cards, which functions go
 * together, what shares their IOMMU groups, and whether vmrun can hand a card over.
 *
 * Pure: everything is computed from VrHostFacts. The rules are those that README.md lists under
 * "How a card is judged".
 */
#pragma once

#include <vmrun/host_facts.h>
#include <vmrun/pci.h>

#include <glib.h>
#include <stdbool.h>

typedef struct {
    const VrPciFunction *function;
    char *reason; /* what the host loses or risks if this endpoint went along */
} VrNeighbour;

typedef struct {
    const VrPciFunction *display; /* lent by the facts */
    GPtrArray *functions;    /* const VrPciFunction *, that go together, sorted, display included */
    GArray *groups;          /* int, sorted, distinct */
    GPtrArray *bridges;      /* const VrPciFunction * (0600, 0604) in those groups */
    GPtrArray *in_the_way;   /* VrNeighbour: endpoints of those groups that do not go together */
    VrTristate isolated;     /* nothing in the way; unknown when a group is unknown */
    VrTristate boot_display; /* the firmware's console */
    bool integrated;         /* part of the processor or chipset */
    bool ids_ambiguous;      /* a function that goes has the same vendor:device as one that stays:
                                only an address tells them apart */
    GPtrArray *problems;     /* static strings, in a fixed order */
} VrGpu;

/*
 * Every display function of the host except virtual functions, sorted by address. Problems are any
 * of unreadable no-iommu no-group shared-group boot-display only-gpu management-console
 * virtual-machine dead-device sriov-active. Owned array of VrGpu; it lends from `facts`, which must
 * outlive it.
 */
GPtrArray *vr_gpus_judge(const VrHostFacts *facts);

void vr_gpu_free(VrGpu *gpu);

/* No problem is known. */
bool vr_gpu_is_usable(const VrGpu *gpu);
bool vr_gpu_has_problem(const VrGpu *gpu, const char *problem);

/* One sentence for people about a problem of vr_gpu_has_problem(), and what to do. Static; never
 * NULL. */
const char *vr_gpu_problem_meaning(const char *problem);
const char *vr_gpu_problem_advice(const char *problem);

/*
 * The same judgement for any other function that a profile names under [pci NAME]: the function
 * goes with all endpoints of its group; in the way are a graphics card among them and what the host
 * cannot lose (critical uses, if the facts have them). A display is judged as a card. Owned; NULL
 * if there is no such address.
 */
VrGpu *vr_gpu_judge_function(const VrHostFacts *facts, VrPciAddress address);
