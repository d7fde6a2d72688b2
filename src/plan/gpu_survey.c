/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "plan/gpu_private.h"

enum { VENDOR_INTEL = 0x8086, CLASS_HDA = 0x0403 };

static gpointer
id_key(const VrPciFunction *function)
{
    return GUINT_TO_POINTER((guint) function->vendor << 16 | function->device);
}

static void
index_group(VrSurvey *survey, const VrPciFunction *function)
{
    GPtrArray *members = NULL;

    if (function->group < 0) {
        return;
    }
    members = g_hash_table_lookup(survey->groups, GINT_TO_POINTER(function->group));
    if (members == NULL) {
        members = g_ptr_array_new();
        g_hash_table_insert(survey->groups, GINT_TO_POINTER(function->group), members);
    }
    g_ptr_array_add(members, (gpointer) function);
}

static void
index_id(VrSurvey *survey, const VrPciFunction *function)
{
    guint seen = GPOINTER_TO_UINT(g_hash_table_lookup(survey->ids, id_key(function)));

    g_hash_table_insert(survey->ids, id_key(function), GUINT_TO_POINTER(seen + 1));
}

VrSurvey *
vr_survey_new(const VrHostFacts *facts)
{
    VrSurvey *survey = g_new0(VrSurvey, 1);

    survey->facts = facts;
    survey->groups = g_hash_table_new_full(g_direct_hash, g_direct_equal, NULL,
                                           (GDestroyNotify) g_ptr_array_unref);
    survey->ids = g_hash_table_new(g_direct_hash, g_direct_equal);
    survey->empty = g_ptr_array_new();
    for (guint i = 0; i < facts->functions->len; i++) {
        const VrPciFunction *function = g_ptr_array_index(facts->functions, i);

        index_group(survey, function);
        index_id(survey, function);
    }
    return survey;
}

void
vr_survey_free(VrSurvey *survey)
{
    if (survey != NULL) {
        g_hash_table_unref(survey->groups);
        g_hash_table_unref(survey->ids);
        g_ptr_array_unref(survey->empty);
        g_free(survey);
    }
}

const GPtrArray *
vr_survey_group(const VrSurvey *survey, int group)
{
    const GPtrArray *members =
        group < 0 ? NULL : g_hash_table_lookup(survey->groups, GINT_TO_POINTER(group));

    return members != NULL ? members : survey->empty;
}

static const VrPciFunction *
function_at(const VrSurvey *survey, guint index)
{
    return g_ptr_array_index(survey->facts->functions, index);
}

VrSlot
vr_survey_slot(const VrSurvey *survey, guint index)
{
    const VrPciFunction *function = function_at(survey, index);
    guint first = index, last = index;

    while (first > 0 &&
           vr_pci_address_same_slot(function_at(survey, first - 1)->address, function->address)) {
        first--;
    }
    while (last + 1 < survey->facts->functions->len &&
           vr_pci_address_same_slot(function_at(survey, last + 1)->address, function->address)) {
        last++;
    }
    return (VrSlot){
        .functions = (const VrPciFunction *const *) survey->facts->functions->pdata + first,
        .count = last - first + 1,
    };
}

guint
vr_survey_index(const VrSurvey *survey, const VrPciFunction *function)
{
    guint index = 0;

    g_ptr_array_find(survey->facts->functions, function, &index);
    return index;
}

bool
vr_survey_ids_are_shared(const VrSurvey *survey, const GPtrArray *functions)
{
    for (guint i = 0; i < functions->len; i++) {
        gpointer key = id_key(g_ptr_array_index(functions, i));
        guint in_host = GPOINTER_TO_UINT(g_hash_table_lookup(survey->ids, key));
        guint among_them = 0;

        for (guint j = 0; j < functions->len; j++) {
            among_them += id_key(g_ptr_array_index(functions, j)) == key ? 1 : 0;
        }
        if (in_host > among_them) {
            return true;
        }
    }
    return false;
}

/* The upstream port of the switch below which a function sits, if the tree tells that much. */
static const VrPciFunction *
switch_of(const VrSurvey *survey, const VrPciFunction *function)
{
    const VrPciFunction *port =
        function->has_parent ? vr_host_facts_function(survey->facts, function->parent) : NULL;

    return port != NULL && port->has_parent ? vr_host_facts_function(survey->facts, port->parent)
                                            : NULL;
}

static bool
is_arc_audio(const VrSurvey *survey, const VrPciFunction *display, const VrPciFunction *function)
{
    const VrPciFunction *own = switch_of(survey, display);

    return function->vendor == VENDOR_INTEL && function->class_code >> 8 == CLASS_HDA &&
           !function->is_virtual && switch_of(survey, function) == own &&
           (own == NULL || own->vendor == VENDOR_INTEL);
}

/*
 * An Arc card is a switch with two ports: the display behind one, its audio behind the next. So the
 * audio is the first function on the next bus that is in use. Intel's other audio functions are the
 * chipset's, on bus 0. Where the capture does not tell parents, the place alone decides.
 */
const VrPciFunction *
vr_survey_arc_audio(const VrSurvey *survey, const VrPciFunction *display)
{
    if (display->vendor != VENDOR_INTEL || display->address.bus == 0) {
        return NULL;
    }

    guint index = vr_survey_index(survey, display);

    while (index < survey->facts->functions->len) {
        const VrPciFunction *function = function_at(survey, index);

        if (function->address.domain != display->address.domain) {
            return NULL;
        }
        if (function->address.bus != display->address.bus) {
            return is_arc_audio(survey, display, function) ? function : NULL;
        }
        index++;
    }
    return NULL;
}
