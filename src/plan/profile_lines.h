/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Profile text -> lines that mean something, with their numbers, which GKeyFile does not keep.
 *
 * The dialect is GKeyFile's, narrowed: whatever is accepted here, GKeyFile reads the same (a test
 * holds this).
 *   - UTF-8 without byte order mark; no control characters but tab; lines end in LF or CR LF.
 *   - Blanks around a line and around the first "=" do not count.
 *   - A comment has a line of its own and begins with "#".
 *   - "[group]"; before the first one there are only comments.
 *   - "key=value"; in the value \s \n \t \r \\ stand for blank, newline, tab, return, backslash.
 * Narrowed: a value that looks as if a comment followed (blank, then "#" or ";") is refused, as are
 * lines over 4096 bytes and texts over 64 KiB. Blanks at the end of a value are dropped; GKeyFile
 * keeps them.
 */
#pragma once

#include <vmrun/profile.h>

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

enum { VR_PROFILE_LIMIT_BYTES = 64 * 1024, VR_PROFILE_LINE_LIMIT_BYTES = 4096 };

/* Where something stands in the texts of a profile. */
typedef struct {
    const char *file; /* lent; NULL: nowhere, a default */
    size_t layer;
    unsigned line; /* 0: the file as a whole */
} VrPlace;

/* Mistakes of several texts, in the order in which they were found. */
typedef struct _VrMistakes VrMistakes;

VrMistakes *vr_mistakes_new(void);
void vr_mistakes_free(VrMistakes *mistakes);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VrMistakes, vr_mistakes_free)
bool vr_mistakes_any(const VrMistakes *mistakes);

/* NULL for `mistakes` is fine: nobody wants to know. */
void vr_mistakes_add(VrMistakes *mistakes, VrPlace place, const char *group, const char *key,
                     const char *format, ...) G_GNUC_PRINTF(5, 6);

/* Move all to the end of `target` (of VrProfileMistake), sorted by layer and line. */
void vr_mistakes_move(VrMistakes *mistakes, GPtrArray *target);

/* One line: [group], or key=value. */
typedef struct {
    unsigned line;
    char *group; /* what stands between the brackets, or NULL */
    char *key;   /* NULL: a group */
    char *value; /* escapes resolved */
} VrProfileLine;

void vr_profile_line_free(VrProfileLine *line);

/* Owned array of VrProfileLine: every line that could be read. `text` need not end in NUL. */
GPtrArray *vr_profile_lines_read(const VrProfileText *text, size_t layer, VrMistakes *mistakes);

/* The value as it is written in a profile, so that reading gives it back. Owned. */
char *vr_profile_value_escape(const char *value);
