/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli.h"
#include "print.h"

#include <vmrun/gpu.h>
#include <vmrun/text.h>

#include <string.h>

static void
json_address(JsonBuilder *builder, const VrPciFunction *function)
{
    g_autofree char *address = vr_pci_address_format(function->address);

    json_builder_add_string_value(builder, address);
}

static void
json_addresses(JsonBuilder *builder, const char *name, const GPtrArray *functions)
{
    json_builder_set_member_name(builder, name);
    json_builder_begin_array(builder);
    for (guint i = 0; i < functions->len; i++) {
        json_address(builder, g_ptr_array_index(functions, i));
    }
    json_builder_end_array(builder);
}

static void
json_class(JsonBuilder *builder, const VrPciFunction *function)
{
    g_autofree char *class_code = g_strdup_printf("%06x", (unsigned) function->class_code);

    vr_print_json_text(builder, "class", class_code);
}

/* What every function has. A name out of a fixture or the database is made valid UTF-8. */
static void
json_function(JsonBuilder *builder, const VrHostFacts *facts, const VrPciFunction *function)
{
    json_builder_set_member_name(builder, "address");
    json_address(builder, function);
    json_class(builder, function);
    vr_print_json_text(builder, "name", vr_host_facts_name(facts, function));
    vr_print_json_text(builder, "driver", function->driver);
}

static void
json_ids(JsonBuilder *builder, const VrPciFunction *display)
{
    bool is_known = (display->unreadable & VR_PCI_UNREADABLE_IDS) == 0;
    g_autofree char *id = is_known ? vr_pci_function_id(display) : NULL;
    g_autofree char *subsystem =
        display->has_subsystem ? g_strdup_printf("%04x:%04x", (unsigned) display->subsystem_vendor,
                                                 (unsigned) display->subsystem_device)
                               : NULL;

    vr_print_json_text(builder, "id", id);
    vr_print_json_text(builder, "subsystem", subsystem);
}

static void
json_groups(JsonBuilder *builder, const VrGpu *gpu)
{
    json_builder_set_member_name(builder, "group");
    if (gpu->display->group < 0) {
        json_builder_add_null_value(builder);
    } else {
        json_builder_add_int_value(builder, gpu->display->group);
    }
    json_builder_set_member_name(builder, "groups");
    json_builder_begin_array(builder);
    for (guint i = 0; i < gpu->groups->len; i++) {
        json_builder_add_int_value(builder, g_array_index(gpu->groups, int, i));
    }
    json_builder_end_array(builder);
}

static void
json_in_the_way(JsonBuilder *builder, const VrHostFacts *facts, const VrGpu *gpu)
{
    json_builder_set_member_name(builder, "in_the_way");
    json_builder_begin_array(builder);
    for (guint i = 0; i < gpu->in_the_way->len; i++) {
        const VrNeighbour *neighbour = g_ptr_array_index(gpu->in_the_way, i);

        json_builder_begin_object(builder);
        json_function(builder, facts, neighbour->function);
        vr_print_json_text(builder, "reason", neighbour->reason);
        json_builder_end_object(builder);
    }
    json_builder_end_array(builder);
}

static void
json_boolean(JsonBuilder *builder, const char *name, bool value)
{
    json_builder_set_member_name(builder, name);
    json_builder_add_boolean_value(builder, value);
}

static void
json_gpu(JsonBuilder *builder, const VrHostFacts *facts, const VrGpu *gpu)
{
    json_builder_begin_object(builder);
    json_function(builder, facts, gpu->display);
    json_ids(builder, gpu->display);
    json_groups(builder, gpu);
    json_addresses(builder, "functions", gpu->functions);
    json_addresses(builder, "bridges", gpu->bridges);
    json_in_the_way(builder, facts, gpu);
    vr_print_json_tristate(builder, "isolated", gpu->isolated);
    vr_print_json_tristate(builder, "boot_display", gpu->boot_display);
    json_boolean(builder, "integrated", gpu->integrated);
    json_boolean(builder, "usable", vr_gpu_is_usable(gpu));
    json_builder_set_member_name(builder, "problems");
    json_builder_begin_array(builder);
    for (guint i = 0; i < gpu->problems->len; i++) {
        json_builder_add_string_value(builder, g_ptr_array_index(gpu->problems, i));
    }
    json_builder_end_array(builder);
    json_builder_end_object(builder);
}

static void
print_json(const VrHostFacts *facts, const GPtrArray *gpus)
{
    JsonBuilder *builder = vr_print_json_begin("gpus");

    json_boolean(builder, "iommu", facts->iommu);
    json_builder_set_member_name(builder, "gpus");
    json_builder_begin_array(builder);
    for (guint i = 0; i < gpus->len; i++) {
        json_gpu(builder, facts, g_ptr_array_index(gpus, i));
    }
    json_builder_end_array(builder);
    vr_print_json_end(builder);
}

static bool
has_neighbours(const GPtrArray *gpus)
{
    for (guint i = 0; i < gpus->len; i++) {
        const VrGpu *gpu = g_ptr_array_index(gpus, i);

        if (gpu->in_the_way->len > 0) {
            return true;
        }
    }
    return false;
}

/* Columns of the table, in the order in which they are made. */
enum { COLUMN_ADDRESS, COLUMN_GROUP, COLUMN_DRIVER, COLUMN_ROLE, COLUMN_DEVICE };

static void
set_text(struct libscols_line *line, size_t column, const char *text)
{
    g_autofree char *shown = vr_text_printable(text);

    scols_line_set_data(line, column, shown);
}

static struct libscols_line *
add_line(struct libscols_table *table, struct libscols_line *above, const VrHostFacts *facts,
         const VrPciFunction *function, const char *role)
{
    struct libscols_line *line = scols_table_new_line(table, above);
    g_autofree char *address = vr_pci_address_format(function->address);
    g_autofree char *group =
        function->group < 0 ? g_strdup("-") : g_strdup_printf("%d", function->group);

    set_text(line, COLUMN_ADDRESS, address);
    set_text(line, COLUMN_GROUP, group);
    set_text(line, COLUMN_DRIVER, function->driver != NULL ? function->driver : "-");
    set_text(line, COLUMN_ROLE, role);
    set_text(line, COLUMN_DEVICE, vr_host_facts_name(facts, function));
    return line;
}

static void
add_gpu_lines(struct libscols_table *table, const VrHostFacts *facts, const VrGpu *gpu)
{
    struct libscols_line *line =
        add_line(table, NULL, facts, gpu->display, vr_gpu_is_usable(gpu) ? "usable" : "not usable");

    for (guint i = 0; i < gpu->functions->len; i++) {
        const VrPciFunction *function = g_ptr_array_index(gpu->functions, i);

        if (function != gpu->display) {
            add_line(table, line, facts, function, "goes along");
        }
    }
    for (guint i = 0; i < gpu->in_the_way->len; i++) {
        const VrNeighbour *neighbour = g_ptr_array_index(gpu->in_the_way, i);

        add_line(table, line, facts, neighbour->function, "in the way");
    }
}

static void
print_table(const VrOptions *options, const VrHostFacts *facts, const GPtrArray *gpus)
{
    struct libscols_table *table = vr_print_table_new(options);

    scols_table_new_column(table, "ADDRESS", 0, SCOLS_FL_TREE);
    scols_table_new_column(table, "GROUP", 0, SCOLS_FL_RIGHT);
    scols_table_new_column(table, "DRIVER", 0, 0);
    scols_table_new_column(table, "VERDICT", 0, 0);
    scols_table_new_column(table, "DEVICE", 0, SCOLS_FL_TRUNC);
    for (guint i = 0; i < gpus->len; i++) {
        add_gpu_lines(table, facts, g_ptr_array_index(gpus, i));
    }
    vr_print_table(table);
}

static void
print_neighbours(const VrGpu *gpu)
{
    for (guint i = 0; i < gpu->in_the_way->len; i++) {
        const VrNeighbour *neighbour = g_ptr_array_index(gpu->in_the_way, i);
        g_autofree char *address = vr_pci_address_format(neighbour->function->address);
        g_autofree char *reason = vr_text_printable(neighbour->reason);

        vr_print("      %s  %s", address, reason);
    }
}

static void
print_unreadable(const VrGpu *gpu)
{
    for (guint i = 0; i < gpu->functions->len; i++) {
        const VrPciFunction *function = g_ptr_array_index(gpu->functions, i);

        if (function->error != NULL) {
            g_autofree char *shown = vr_text_printable(function->error);

            vr_print("      %s", shown);
        }
    }
}

static void
print_problem(const VrOptions *options, const VrGpu *gpu, const char *problem)
{
    vr_print("  %s %s (%s)", vr_print_glyph(options, VR_GLYPH_BLOCKER),
             vr_gpu_problem_meaning(problem), problem);
    if (strcmp(problem, "shared-group") == 0) {
        print_neighbours(gpu);
    }
    if (strcmp(problem, "unreadable") == 0) {
        print_unreadable(gpu);
    }
    vr_print("    do: %s", vr_gpu_problem_advice(problem));
}

/* What is no problem, but good to know before one chooses. */
static void
print_hints(const VrOptions *options, const VrGpu *gpu)
{
    const char *glyph = vr_print_glyph(options, VR_GLYPH_INFO);

    if (gpu->integrated) {
        vr_print("  %s part of the processor: never chosen by device=auto", glyph);
    }
    if (gpu->groups->len > 1) {
        vr_print("  %s its functions are in %u IOMMU groups; all of them go together", glyph,
                 gpu->groups->len);
    }
    if (gpu->ids_ambiguous) {
        vr_print("  %s other devices have the same ids: vfio-pci.ids= would take those, too",
                 glyph);
    }
}

static void
print_verdict(const VrOptions *options, const VrHostFacts *facts, const VrGpu *gpu)
{
    g_autofree char *address = vr_pci_address_format(gpu->display->address);
    g_autofree char *bold = vr_print_bold(options, address);
    g_autofree char *name = vr_text_printable(vr_host_facts_name(facts, gpu->display));

    if (vr_gpu_is_usable(gpu)) {
        vr_print("%s %s %s: can be given to a guest", vr_print_glyph(options, VR_GLYPH_OK), bold,
                 name);
    } else {
        vr_print("%s %s %s: cannot be given to a guest", vr_print_glyph(options, VR_GLYPH_BLOCKER),
                 bold, name);
    }
    for (guint i = 0; i < gpu->problems->len; i++) {
        print_problem(options, gpu, g_ptr_array_index(gpu->problems, i));
    }
    print_hints(options, gpu);
}

static void
print_text(const VrOptions *options, const VrHostFacts *facts, const GPtrArray *gpus)
{
    if (gpus->len == 0) {
        vr_print("no graphics card found");
        return;
    }
    print_table(options, facts, gpus);
    for (guint i = 0; i < gpus->len; i++) {
        vr_print("%s", "");
        print_verdict(options, facts, g_ptr_array_index(gpus, i));
    }
}

int
vr_cmd_gpus(const VrOptions *options)
{
    g_autoptr(VrHostFacts) facts = vr_host_facts_load(options->root, VR_FACTS_NAMES);
    g_autoptr(GPtrArray) gpus = vr_gpus_judge(facts);

    /* What the neighbours are used for is worth reading only where there are any. */
    if (has_neighbours(gpus)) {
        g_ptr_array_unref(gpus);
        vr_host_facts_load_more(facts, VR_FACTS_STORAGE | VR_FACTS_NETWORK);
        gpus = vr_gpus_judge(facts);
    }
    if (facts->functions_error != NULL) {
        vr_say(options, "vmrun: the PCI devices could not be listed: %s", facts->functions_error);
    }
    if (options->json) {
        print_json(facts, gpus);
    } else {
        print_text(options, facts, gpus);
    }
    return 0;
}
