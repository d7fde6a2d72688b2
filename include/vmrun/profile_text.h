/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What goes into a profile, and what comes out when it is wrong: the texts of its files, and the
 * mistakes in them with file and line.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

/* One mistake. */
typedef struct {
    char *file;
    unsigned line; /* 0: the file as a whole */
    char *group;   /* NULL outside of a group */
    char *key;     /* NULL: the group or line as a whole */
    char *message;
} VrProfileMistake;

void vr_profile_mistake_free(VrProfileMistake *mistake);

/* "gaming.conf:14: [gpu] devise: unknown key (did you mean "device"?)". Owned. */
char *vr_profile_mistake_format(const VrProfileMistake *mistake);

/* One file's text on its way into a profile. Layers are given from the weakest to the strongest. */
typedef struct {
    const char *file; /* shown in messages */
    const char *text; /* size_bytes long, need not be NUL-terminated or UTF-8 */
    size_t size_bytes;
    bool starts_file; /* false: a drop-in of the file before it; `extends` is refused there */
    const char *extends_problem; /* why the profile that it extends is not among the texts, or NULL:
                                    becomes a mistake at that line */
} VrProfileText;

/* The value of [profile] extends in one text, or NULL. Tolerates every mistake: the parser reports
 * them later. Owned. */
char *vr_profile_text_extends(const char *text, size_t size_bytes);
