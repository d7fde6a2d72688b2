/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The texts of a profile, laid over each other: which sections there are, and which text has the
 * last word on each key. Inside of plan/profile*.c only.
 */
#pragma once

#include "plan/profile_keys.h"
#include "plan/profile_lines.h"

#include <vmrun/profile.h>

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

/* A key as the strongest text that mentions it has it. */
typedef struct {
    const VrProfileKey *key;
    char *value; /* "": unset again */
    bool valid;
    VrPlace place;
} VrSetting;

typedef struct {
    const VrProfileGroup *group;
    char *name;          /* NAME of [disk NAME], or "" */
    char *title;         /* "disk NAME" */
    VrPlace place;       /* of its header in the strongest text that has it; file NULL: made up */
    GPtrArray *settings; /* VrSetting */
} VrSection;

/*
 * Lay `texts` over each other. Every line of every text is checked for itself; what is wrong goes
 * to `mistakes`. Owned array of VrSection in order of appearance.
 */
GPtrArray *vr_sections_read(const VrProfileText *texts, size_t text_count, VrMistakes *mistakes);

/* Add what a profile has without saying so: the bare groups, a card, a network card. */
void vr_sections_complete(GPtrArray *sections);

/* The setting of a key if it is set to something, valid or not; else NULL. */
const VrSetting *vr_section_setting(const VrSection *section, const char *key);

/* The section of a bare group; vr_sections_complete has made sure of it. */
const VrSection *vr_sections_find(const GPtrArray *sections, const char *group);

bool vr_section_is(const VrSection *section, const char *group);

/* Its value if it is set and valid, else the default for this guest, else NULL. */
const char *vr_section_value(const VrSection *section, const char *key, VrGuest guest);

/* Give every [gpu] section the value of a key that holds for the whole guest. */
void vr_sections_spread(GPtrArray *sections, const char *group, const char *key);
