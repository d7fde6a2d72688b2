/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "print.h"

#include <vmrun/checks.h>
#include <vmrun/journal.h>
#include <vmrun/preparation.h>
#include <vmrun/scout.h>
#include <vmrun/text.h>

#include <string.h>
#include <unistd.h>

enum {
    WORD_COLUMNS = 8,
    TITLE_COLUMNS = 22,
    TEXT_INDENT = 2 + WORD_COLUMNS + 1 + TITLE_COLUMNS + 1,
    EVIDENCE_INDENT = 2 + WORD_COLUMNS + 1 + 6,
    ADVICE_INDENT = 4,
    DEFAULT_COLUMNS = 100,
    GROUP_TIMEOUT_MS = 3000, /* one that does not answer is being opened, closed or reset */
};

/* Cards that something on record keeps on vfio-pci. NULL: the journals cannot be read. */
static GArray *
find_claimed(const VrHostFacts *facts)
{
    g_autoptr(GPtrArray) profiles = vr_journal_profiles(facts->root, NULL);
    g_autoptr(GArray) claimed = vr_kept_addresses_load(facts);

    for (guint i = 0; profiles != NULL && i < profiles->len; i++) {
        g_autoptr(VrJournal) journal =
            vr_journal_read(facts->root, g_ptr_array_index(profiles, i), NULL);
        if (journal == NULL) {
            return NULL;
        }
        for (guint n = 0; n < journal->before->bindings->len; n++) {
            const VrBinding *binding = g_ptr_array_index(journal->before->bindings, n);
            g_array_append_val(claimed, binding->address);
        }
    }
    return profiles != NULL ? g_steal_pointer(&claimed) : NULL;
}

/*
 * Only groups of cards that are on vfio-pci: asking opens the group for a moment, in which nobody
 * else can.
 */
static GPtrArray *
find_busy_groups(VrScout *scout, const GPtrArray *gpus)
{
    GPtrArray *busy = g_ptr_array_new_with_free_func(g_free);

    for (guint i = 0; i < gpus->len; i++) {
        const VrPciFunction *display = ((const VrGpu *) g_ptr_array_index(gpus, i))->display;
        if (g_strcmp0(display->driver, "vfio-pci") == 0 && display->group >= 0 &&
            vr_scout_group_is_busy(scout, display->group, GROUP_TIMEOUT_MS) == VR_YES) {
            g_ptr_array_add(busy, g_strdup_printf("%d", display->group));
        }
    }
    return busy;
}

static VrReport *
check_host(const VrOptions *options, const VrHostFacts *facts)
{
    g_autoptr(GPtrArray) gpus = vr_gpus_judge(facts);
    g_autoptr(VrScout) scout = vr_scout_new(options->root);
    g_autoptr(GPtrArray) busy_groups = find_busy_groups(scout, gpus);
    g_autoptr(GArray) claimed = find_claimed(facts);
    VrCheckInput input = {
        .facts = facts,
        .gpus = gpus,
        .busy_groups = busy_groups,
        .claimed = claimed,
        .have_root = geteuid() == 0 || options->has_root_option,
    };

    return vr_checks_run(&input);
}

/* "IOMMU" for "iommu-enabled"; a finding that comes from elsewhere is called by its id. */
static char *
title_of(const char *id)
{
    for (const VrCheck *row = vr_checks(); row->id != NULL; row++) {
        if (g_str_equal(row->id, id)) {
            return g_strdup(row->title);
        }
    }
    char *title = g_strdelimit(g_strdup(id), "-", ' ');
    title[0] = g_ascii_toupper(title[0]);
    return title;
}

static char *
text_of(const VrFinding *finding)
{
    g_autofree char *text = finding->subject == NULL
                                ? g_strdup(finding->message)
                                : g_strdup_printf("%s: %s", finding->subject, finding->message);

    return vr_text_printable(text);
}

static void
print_computer(const VrHostFacts *facts)
{
    g_autofree char *line = g_strdup_printf(
        "%s, BIOS %s, %s, kernel %s", facts->computer != NULL ? facts->computer : "Computer",
        facts->bios_version != NULL ? facts->bios_version : "not told",
        facts->cpu_model != NULL ? facts->cpu_model : "processor not told",
        facts->kernel_release != NULL ? facts->kernel_release : "not told");
    g_autofree char *shown = vr_text_printable(line);

    vr_print("%s\n", shown);
}

static size_t
text_columns(void)
{
    uint64_t columns = 0;
    const char *text = g_getenv("COLUMNS");

    return vr_text_to_uint(text != NULL ? text : "", 40, 1000, &columns) ? columns
                                                                         : DEFAULT_COLUMNS;
}

/* Words in lines of the terminal's width. What `first` shows in front of the first line is `indent`
 * columns wide, and so is the space before the others. */
static void
print_wrapped(const char *first, size_t indent, const char *text)
{
    g_auto(GStrv) words = g_strsplit(text, " ", -1);
    g_autoptr(GString) line = g_string_new(first);
    size_t used = indent, columns = text_columns();

    for (guint i = 0; words[i] != NULL; i++) {
        size_t width = (size_t) g_utf8_strlen(words[i], -1);
        if (used > indent && used + 1 + width > columns) {
            vr_print("%s", line->str);
            g_string_printf(line, "%*s", (int) indent, "");
            used = indent;
        }
        g_string_append_printf(line, "%s%s", used > indent ? " " : "", words[i]);
        used += width + (used > indent ? 1 : 0);
    }
    vr_print("%s", line->str);
}

static void
print_finding(const VrOptions *options, const VrFinding *finding)
{
    g_autofree char *title = title_of(finding->id);
    g_autofree char *text = text_of(finding);
    bool detailed = options->verbose || finding->severity >= VR_SEVERITY_WARNING;
    g_autofree char *first = g_strdup_printf(
        "%s %-*s %-*s ", vr_print_glyph(options, vr_print_glyph_of(finding->severity)),
        WORD_COLUMNS, vr_severity_name(finding->severity), TITLE_COLUMNS, title);

    print_wrapped(first, TEXT_INDENT, text);
    if (detailed && finding->evidence != NULL) {
        g_autofree char *evidence = vr_text_printable(finding->evidence);
        g_autofree char *label = g_strdup_printf("%*sseen: ", EVIDENCE_INDENT - 6, "");
        print_wrapped(label, EVIDENCE_INDENT, evidence);
    }
}

static void
print_advice(const VrReport *report)
{
    unsigned number = 0;

    for (guint i = 0; i < report->findings->len; i++) {
        const VrFinding *finding = g_ptr_array_index(report->findings, i);
        if (finding->severity < VR_SEVERITY_WARNING || finding->advice == NULL) {
            continue;
        }
        if (++number == 1) {
            vr_print("\nWhat to do");
        }
        g_autofree char *title = title_of(finding->id);
        g_autofree char *text = g_strdup_printf("%s: %s", title, finding->advice);
        g_autofree char *shown = vr_text_printable(text);
        g_autofree char *first = g_strdup_printf("%2u  ", number);
        print_wrapped(first, ADVICE_INDENT, shown);
    }
}

static void
append_count(GString *text, unsigned count, const char *one, const char *many)
{
    if (count > 0) {
        g_string_append_printf(text, "%s%u %s", text->len > 0 ? ", " : "", count,
                               count == 1 ? one : many);
    }
}

static void
print_summary(const VrReport *report, const char *profile_name)
{
    unsigned counts[VR_SEVERITY_BLOCKER + 1] = {0};
    g_autoptr(GString) text = g_string_new(NULL);

    for (guint i = 0; i < report->findings->len; i++) {
        counts[((const VrFinding *) g_ptr_array_index(report->findings, i))->severity]++;
    }
    append_count(text, counts[VR_SEVERITY_BLOCKER], "problem", "problems");
    append_count(text, counts[VR_SEVERITY_WARNING], "warning", "warnings");
    append_count(text, counts[VR_SEVERITY_UNKNOWN], "answer unknown", "answers unknown");
    append_count(text, counts[VR_SEVERITY_OK], "check passed", "checks passed");
    vr_print("\n%s. Nothing was changed.", text->str);
    if (!vr_report_has_blocker(report)) {
        vr_print("Ready. %s%s",
                 profile_name != NULL ? "Start it with: vmrun "
                                      : "This computer can "
                                        "give a card away.",
                 profile_name != NULL ? profile_name : "");
    }
}

static int
print_answer(const VrOptions *options, const VrHostFacts *facts, const VrReport *report)
{
    int status = vr_report_exit_status(report);

    if (options->json) {
        JsonBuilder *builder = vr_print_json_begin("doctor");
        json_builder_set_member_name(builder, "ready");
        json_builder_add_boolean_value(builder, status == 0);
        vr_print_json_report(builder, report);
        vr_print_json_end(builder);
        return status;
    }
    print_computer(facts);
    for (guint i = 0; i < report->findings->len; i++) {
        const VrFinding *finding = g_ptr_array_index(report->findings, i);
        if (!options->quiet || finding->severity != VR_SEVERITY_OK) {
            print_finding(options, finding);
        }
    }
    print_advice(report);
    print_summary(report, options->arguments[0]);
    return status;
}

static int
doctor_for_profile(const VrOptions *options)
{
    g_autoptr(VrProfile) profile = NULL;
    g_autoptr(GError) error = NULL;
    bool trusted_only = geteuid() == 0 && !options->has_root_option;
    int status = vr_cli_load_profile(options, options->arguments[0], trusted_only, &profile);

    if (status != 0) {
        return status;
    }
    /* Not the inspection alone: what other sessions claim decides, too. */
    g_autoptr(VrPreparation) preparation = vr_preparation_look(options->root, profile, &error);
    if (preparation == NULL) {
        return vr_print_error(options, error);
    }
    return print_answer(options, preparation->inspection->facts, preparation->inspection->report);
}

int
vr_cmd_doctor(const VrOptions *options)
{
    if (options->arguments[0] != NULL) {
        return doctor_for_profile(options);
    }
    g_autoptr(VrHostFacts) facts = vr_host_facts_load(options->root, VR_FACTS_ALL);
    g_autoptr(VrReport) report = check_host(options, facts);
    return print_answer(options, facts, report);
}
