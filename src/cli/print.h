/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Talking to people and to programs: colours and glyphs by the rules of contract.md section 3, JSON
 * documents of section 5.
 */
#pragma once

#include "cli.h"

#include <json-glib/json-glib.h>
#include <libsmartcols/libsmartcols.h>

typedef enum {
    VR_GLYPH_OK,
    VR_GLYPH_INFO,
    VR_GLYPH_WARNING,
    VR_GLYPH_UNKNOWN,
    VR_GLYPH_BLOCKER,
    VR_GLYPH_STEP
} VrGlyph;

/* A finished glyph with its colour, for standard output: "✔" or "ok"; static text. */
const char *vr_print_glyph(const VrOptions *options, VrGlyph glyph);
VrGlyph vr_print_glyph_of(VrSeverity severity);

/* Bold and dim text for headings; the same text without colours. Owned. */
char *vr_print_bold(const VrOptions *options, const char *text);
char *vr_print_dim(const VrOptions *options, const char *text);

/* One line on standard output / standard error, newline added. vr_say is silent with --quiet; both
 * are silent on stdout with --json. */
void vr_print(const char *format, ...) G_GNUC_PRINTF(1, 2);
void vr_say(const VrOptions *options, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* Say what went wrong (text, or the JSON error document) and return its exit status. */
int vr_print_error(const VrOptions *options, const GError *error);

/* The same with the findings that led to it in the document: a node of vr_print_json_findings, or
 * NULL. */
int vr_print_error_findings(const VrOptions *options, const GError *error, JsonNode *findings);

/* The mistakes of a profile, a line each, or the JSON error document with details. Returns
 * VR_ERROR_USAGE. */
int vr_print_mistakes(const VrOptions *options, const GPtrArray *mistakes);

/* Findings for people: one line each with glyph and message; evidence with --verbose or when not
 * ok; advice below. `everything`: ok ones, too; with --quiet only warnings and worse. */
void vr_print_report(const VrOptions *options, const VrReport *report, bool everything);

/* A builder that stands inside the document {"schema":1,"kind":KIND, …}; vr_print_json_end closes
 * it, prints it and frees it. */
JsonBuilder *vr_print_json_begin(const char *kind);
void vr_print_json_end(JsonBuilder *builder);

/* Members: "name": "text" or null; the findings of a report as an array "findings". */
void vr_print_json_text(JsonBuilder *builder, const char *name, const char *text_or_null);
void vr_print_json_tristate(JsonBuilder *builder, const char *name, int tristate);
void vr_print_json_report(JsonBuilder *builder, const VrReport *report);

/* The findings as an array of their own, to be kept until there is a document to put it into.
 * Owned. */
JsonNode *vr_print_json_findings(const VrReport *report);

/* A table or tree of libsmartcols with our rules for width, colours and glyphs. Printed and freed
 * by vr_print_table. */
struct libscols_table *vr_print_table_new(const VrOptions *options);
void vr_print_table(struct libscols_table *table);
