/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Indexes over the functions of a host, made once, so that judging many cards stays linear; and the
 * words about neighbours.
 */
#pragma once

#include <vmrun/host_facts.h>

#include <glib.h>
#include <stdbool.h>

typedef struct {
    const VrHostFacts *facts;
    GHashTable *groups; /* group number -> GPtrArray of const VrPciFunction * */
    GHashTable *ids;    /* vendor and device -> how many functions */
    GPtrArray *empty;   /* the members of no group */
    unsigned display_count, virtual_display_count; /* virtual: SR-IOV */
    unsigned card_count;                           /* displays that are no management console */
    unsigned vga_count;                            /* of class 0300 */
    bool has_boot_display, tells_boot_vga;
    bool has_demoted_display; /* an integrated display that the firmware did not make VGA */
} VrSurvey;

/* All functions of one slot, lent by the facts. */
typedef struct {
    const VrPciFunction *const *functions;
    guint count;
} VrSlot;

/* With the indexes made and everything else zero. */
VrSurvey *vr_survey_new(const VrHostFacts *facts);
void vr_survey_free(VrSurvey *survey);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VrSurvey, vr_survey_free)

/* Members of a group, sorted; empty for -1. Lent. */
const GPtrArray *vr_survey_group(const VrSurvey *survey, int group);

/* The slot of the function at an index of facts->functions. */
VrSlot vr_survey_slot(const VrSurvey *survey, guint index);

/* The index of a function that the facts have. */
guint vr_survey_index(const VrSurvey *survey, const VrPciFunction *function);

/* One of these shares vendor:device with a function that is none of them. */
bool vr_survey_ids_are_shared(const VrSurvey *survey, const GPtrArray *functions);

/* The audio function of an Intel Arc card, which has a bus of its own; NULL for any other card. */
const VrPciFunction *vr_survey_arc_audio(const VrSurvey *survey, const VrPciFunction *display);

/* What the host loses or risks if this endpoint went along. Owned. */
char *vr_neighbour_reason(const VrHostFacts *facts, const VrPciFunction *function);

/* A bridge or the IOMMU itself: no guest has a use for it, and the host cannot do without. */
bool vr_function_is_of_the_board(const VrPciFunction *function);

/* Something that the host cannot do without hangs on it, as far as the facts were loaded. */
bool vr_function_is_critical(const VrHostFacts *facts, const VrPciFunction *function);
