/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "print.h"

#include <vmrun/text.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct {
    const char *utf8, *ascii, *color;
} Glyph;

static const Glyph *
glyph_row(VrGlyph glyph)
{
    static const Glyph rows[] = {
        [VR_GLYPH_OK] = {"✔", "ok", "\033[32m"},      [VR_GLYPH_INFO] = {"·", "--", "\033[36m"},
        [VR_GLYPH_WARNING] = {"!", "!", "\033[33m"},  [VR_GLYPH_UNKNOWN] = {"?", "?", "\033[35m"},
        [VR_GLYPH_BLOCKER] = {"✘", "XX", "\033[31m"}, [VR_GLYPH_STEP] = {"→", "->", "\033[34m"},
    };
    return &rows[glyph];
}

const char *
vr_print_glyph(const VrOptions *options, VrGlyph glyph)
{
    const Glyph *row = glyph_row(glyph);
    const char *text = g_get_charset(NULL) ? row->utf8 : row->ascii;
    if (!options->color) {
        return text;
    }
    g_autofree char *painted = g_strdup_printf("%s%s\033[0m", row->color, text);
    return g_intern_string(painted);
}

VrGlyph
vr_print_glyph_of(VrSeverity severity)
{
    static const VrGlyph glyphs[] = {
        [VR_SEVERITY_OK] = VR_GLYPH_OK,           [VR_SEVERITY_INFO] = VR_GLYPH_INFO,
        [VR_SEVERITY_WARNING] = VR_GLYPH_WARNING, [VR_SEVERITY_UNKNOWN] = VR_GLYPH_UNKNOWN,
        [VR_SEVERITY_BLOCKER] = VR_GLYPH_BLOCKER,
    };
    return glyphs[severity];
}

static char *
painted(const VrOptions *options, const char *sequence, const char *text)
{
    return options->color ? g_strdup_printf("%s%s\033[0m", sequence, text) : g_strdup(text);
}

char *
vr_print_bold(const VrOptions *options, const char *text)
{
    return painted(options, "\033[1m", text);
}

char *
vr_print_dim(const VrOptions *options, const char *text)
{
    return painted(options, "\033[2m", text);
}

void
vr_print(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stdout, format, arguments);
    va_end(arguments);
    fputc('\n', stdout);
    fflush(stdout);
}

void
vr_say(const VrOptions *options, const char *format, ...)
{
    if (options->quiet) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

static void
json_error_begin(JsonBuilder *builder, int code, const char *message)
{
    json_builder_set_member_name(builder, "code");
    json_builder_add_int_value(builder, code);
    vr_print_json_text(builder, "message", message);
    json_builder_set_member_name(builder, "details");
    json_builder_begin_array(builder);
}

int
vr_print_error(const VrOptions *options, const GError *error)
{
    return vr_print_error_findings(options, error, NULL);
}

int
vr_print_error_findings(const VrOptions *options, const GError *error, JsonNode *findings)
{
    int status = vr_error_exit_status(error);
    g_autofree char *message =
        vr_text_printable(error != NULL ? error->message : "no reason given");
    if (options->json) {
        JsonBuilder *builder = vr_print_json_begin("error");
        json_error_begin(builder, status, message);
        json_builder_end_array(builder);
        if (findings != NULL) {
            json_builder_set_member_name(builder, "findings");
            json_builder_add_value(builder, json_node_copy(findings));
        }
        vr_print_json_end(builder);
    } else {
        fprintf(stderr, "vmrun: %s\n", message);
    }
    return status;
}

static void
json_mistake(JsonBuilder *builder, const VrProfileMistake *mistake)
{
    json_builder_begin_object(builder);
    vr_print_json_text(builder, "file", mistake->file);
    json_builder_set_member_name(builder, "line");
    json_builder_add_int_value(builder, mistake->line);
    vr_print_json_text(builder, "group", mistake->group);
    vr_print_json_text(builder, "key", mistake->key);
    vr_print_json_text(builder, "message", mistake->message);
    json_builder_end_object(builder);
}

int
vr_print_mistakes(const VrOptions *options, const GPtrArray *mistakes)
{
    if (options->json) {
        g_autofree char *message = g_strdup_printf("%u %s in the profile", mistakes->len,
                                                   mistakes->len == 1 ? "mistake" : "mistakes");
        JsonBuilder *builder = vr_print_json_begin("error");
        json_error_begin(builder, VR_ERROR_USAGE, message);
        for (guint i = 0; i < mistakes->len; i++) {
            json_mistake(builder, g_ptr_array_index(mistakes, i));
        }
        json_builder_end_array(builder);
        vr_print_json_end(builder);
        return VR_ERROR_USAGE;
    }
    for (guint i = 0; i < mistakes->len; i++) {
        g_autofree char *line = vr_profile_mistake_format(g_ptr_array_index(mistakes, i));
        g_autofree char *shown = vr_text_printable(line);
        fprintf(stderr, "%s\n", shown);
    }
    fprintf(stderr, "%u %s; nothing was changed\n", mistakes->len,
            mistakes->len == 1 ? "mistake" : "mistakes");
    return VR_ERROR_USAGE;
}

/* Lines after the first are set in by the width of a glyph and a blank. */
static void
print_below(const char *label, const char *text)
{
    g_autofree char *shown = vr_text_printable(text);
    vr_print("    %s%s", label, shown);
}

static void
print_finding(const VrOptions *options, const VrFinding *finding)
{
    bool details = options->verbose || finding->severity >= VR_SEVERITY_WARNING;
    g_autofree char *text =
        g_strdup_printf("%s%s%s", finding->subject != NULL ? finding->subject : "",
                        finding->subject != NULL ? ": " : "", finding->message);
    g_autofree char *shown = vr_text_printable(text);
    vr_print("%s %s", vr_print_glyph(options, vr_print_glyph_of(finding->severity)), shown);
    if (details && finding->evidence != NULL) {
        print_below("seen: ", finding->evidence);
    }
    if (details && finding->advice != NULL) {
        print_below("do:   ", finding->advice);
    }
}

void
vr_print_report(const VrOptions *options, const VrReport *report, bool everything)
{
    VrSeverity least = options->quiet ? VR_SEVERITY_WARNING
                       : everything   ? VR_SEVERITY_OK
                                      : VR_SEVERITY_INFO;
    for (guint i = 0; i < report->findings->len; i++) {
        const VrFinding *finding = g_ptr_array_index(report->findings, i);
        if (finding->severity >= least) {
            print_finding(options, finding);
        }
    }
}

JsonBuilder *
vr_print_json_begin(const char *kind)
{
    JsonBuilder *builder = json_builder_new();
    json_builder_begin_object(builder);
    json_builder_set_member_name(builder, "schema");
    json_builder_add_int_value(builder, 1);
    vr_print_json_text(builder, "kind", kind);
    return builder;
}

void
vr_print_json_end(JsonBuilder *builder)
{
    json_builder_end_object(builder);
    g_autoptr(JsonNode) document = json_builder_get_root(builder);
    g_autofree char *text = json_to_string(document, TRUE);
    vr_print("%s", text);
    g_object_unref(builder);
}

void
vr_print_json_text(JsonBuilder *builder, const char *name, const char *text_or_null)
{
    json_builder_set_member_name(builder, name);
    if (text_or_null == NULL) {
        json_builder_add_null_value(builder);
        return;
    }
    g_autofree char *valid = g_utf8_make_valid(text_or_null, -1);
    json_builder_add_string_value(builder, valid);
}

void
vr_print_json_tristate(JsonBuilder *builder, const char *name, int tristate)
{
    json_builder_set_member_name(builder, name);
    if (tristate < 0) {
        json_builder_add_null_value(builder);
    } else {
        json_builder_add_boolean_value(builder, tristate > 0);
    }
}

static void
json_finding(JsonBuilder *builder, const VrFinding *finding)
{
    json_builder_begin_object(builder);
    vr_print_json_text(builder, "id", finding->id);
    vr_print_json_text(builder, "severity", vr_severity_name(finding->severity));
    vr_print_json_text(builder, "subject", finding->subject);
    vr_print_json_text(builder, "message", finding->message);
    vr_print_json_text(builder, "evidence", finding->evidence != NULL ? finding->evidence : "");
    vr_print_json_text(builder, "advice", finding->advice);
    json_builder_end_object(builder);
}

JsonNode *
vr_print_json_findings(const VrReport *report)
{
    g_autoptr(JsonBuilder) builder = json_builder_new();
    json_builder_begin_array(builder);
    for (guint i = 0; i < report->findings->len; i++) {
        json_finding(builder, g_ptr_array_index(report->findings, i));
    }
    json_builder_end_array(builder);
    return json_builder_get_root(builder);
}

void
vr_print_json_report(JsonBuilder *builder, const VrReport *report)
{
    json_builder_set_member_name(builder, "findings");
    json_builder_add_value(builder, vr_print_json_findings(report));
}

/* COLUMNS counts when it is a sane number: people set it for scripts and for screenshots. */
static size_t
wanted_width(void)
{
    guint64 columns = 0;
    const char *text = g_getenv("COLUMNS");
    return vr_text_to_uint(text != NULL ? text : "", 40, 1000, &columns) ? columns : 0;
}

struct libscols_table *
vr_print_table_new(const VrOptions *options)
{
    struct libscols_table *table = scols_new_table();
    scols_table_enable_colors(table, options->color);
    scols_table_enable_ascii(table, !g_get_charset(NULL));
    if (wanted_width() > 0) {
        scols_table_set_termwidth(table, wanted_width());
        scols_table_set_termforce(table, SCOLS_TERMFORCE_ALWAYS);
    }
    return table;
}

void
vr_print_table(struct libscols_table *table)
{
    fflush(stdout);
    scols_print_table(table);
    scols_unref_table(table);
}
