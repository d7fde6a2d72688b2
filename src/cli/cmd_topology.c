/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli.h"
#include "print.h"

#include <vmrun/host_facts.h>
#include <vmrun/text.h>

#include <string.h>

enum { COLUMN_ADDRESS, COLUMN_GROUP, COLUMN_DRIVER, COLUMN_DEVICE };

typedef struct {
    const VrHostFacts *facts;
    struct libscols_table *table;
    GHashTable *lines;   /* const VrPciFunction * -> its line; NULL while it is being made */
    GHashTable *roots;   /* "0000:00" -> the line of a root bus */
    GHashTable *members; /* IOMMU group -> a line of it, in groups that are drawn */
} Drawing;

static void
set_text(struct libscols_line *line, size_t column, const char *text)
{
    g_autofree char *shown = vr_text_printable(text);

    scols_line_set_data(line, column, shown);
}

static struct libscols_line *
root_line(Drawing *drawing, const VrPciFunction *function)
{
    g_autofree char *name = g_strdup_printf("%04x:%02x", (unsigned) function->address.domain,
                                            (unsigned) function->address.bus);
    struct libscols_line *line = g_hash_table_lookup(drawing->roots, name);

    if (line == NULL) {
        line = scols_table_new_line(drawing->table, NULL);
        set_text(line, COLUMN_ADDRESS, name);
        set_text(line, COLUMN_DEVICE, "PCI bus");
        g_hash_table_insert(drawing->roots, g_steal_pointer(&name), line);
    }
    return line;
}

static void
put_into_group(Drawing *drawing, struct libscols_line *line, int group)
{
    struct libscols_line *member = NULL;

    if (group < 0 || !g_hash_table_contains(drawing->members, GINT_TO_POINTER(group))) {
        return;
    }
    member = g_hash_table_lookup(drawing->members, GINT_TO_POINTER(group));
    if (member != NULL) {
        scols_table_group_lines(drawing->table, line, member, 0);
    }
    g_hash_table_insert(drawing->members, GINT_TO_POINTER(group), line);
}

/* A bracket ends in what hangs on it, else libsmartcols draws it on to the end of the table. */
static void
close_groups(Drawing *drawing)
{
    GHashTableIter iterator;
    gpointer group = NULL, member = NULL;

    g_hash_table_iter_init(&iterator, drawing->members);
    while (g_hash_table_iter_next(&iterator, &group, &member)) {
        struct libscols_line *line = scols_table_new_line(drawing->table, NULL);
        g_autofree char *text = g_strdup_printf("IOMMU group %d", GPOINTER_TO_INT(group));

        scols_line_link_group(line, member, 0);
        set_text(line, COLUMN_ADDRESS, text);
        set_text(line, COLUMN_DEVICE, "a guest gets all of it (bridges stay), or nothing");
    }
}

static struct libscols_line *line_of(Drawing *drawing, const VrPciFunction *function);

/* A capture could say that two functions are each above the other: the second stands alone then. */
static struct libscols_line *
line_above(Drawing *drawing, const VrPciFunction *function)
{
    const VrPciFunction *parent =
        function->has_parent ? vr_host_facts_function(drawing->facts, function->parent) : NULL;

    if (parent == NULL || (g_hash_table_contains(drawing->lines, parent) &&
                           g_hash_table_lookup(drawing->lines, parent) == NULL)) {
        return root_line(drawing, function);
    }
    return line_of(drawing, parent);
}

static struct libscols_line *
line_of(Drawing *drawing, const VrPciFunction *function)
{
    struct libscols_line *line = g_hash_table_lookup(drawing->lines, function);
    g_autofree char *address = vr_pci_address_format(function->address);
    g_autofree char *group =
        function->group < 0 ? g_strdup("") : g_strdup_printf("%d", function->group);

    if (line != NULL) {
        return line;
    }
    g_hash_table_insert(drawing->lines, (gpointer) function, NULL);
    line = scols_table_new_line(drawing->table, line_above(drawing, function));
    g_hash_table_insert(drawing->lines, (gpointer) function, line);
    set_text(line, COLUMN_ADDRESS, address);
    set_text(line, COLUMN_GROUP, group);
    set_text(line, COLUMN_DRIVER, function->driver != NULL ? function->driver : "");
    set_text(line, COLUMN_DEVICE, vr_host_facts_name(drawing->facts, function));
    return line;
}

/* Groups with a display and company are worth a bracket; the others are told by their number. */
static void
choose_groups(Drawing *drawing)
{
    const GPtrArray *functions = drawing->facts->functions;
    g_autoptr(GHashTable) seen = g_hash_table_new(g_direct_hash, g_direct_equal);
    g_autoptr(GHashTable) shared = g_hash_table_new(g_direct_hash, g_direct_equal);

    for (guint i = 0; i < functions->len; i++) {
        const VrPciFunction *function = g_ptr_array_index(functions, i);
        gpointer group = GINT_TO_POINTER(function->group);

        if (!g_hash_table_add(seen, group)) {
            g_hash_table_add(shared, group);
        }
    }
    for (guint i = 0; i < functions->len; i++) {
        const VrPciFunction *function = g_ptr_array_index(functions, i);
        gpointer group = GINT_TO_POINTER(function->group);

        if (vr_pci_function_is_display(function) && function->group >= 0 &&
            g_hash_table_contains(shared, group)) {
            g_hash_table_insert(drawing->members, group, NULL);
        }
    }
}

static void
draw(Drawing *drawing)
{
    const GPtrArray *functions = drawing->facts->functions;

    scols_table_new_column(drawing->table, "ADDRESS", 0, SCOLS_FL_TREE);
    scols_table_new_column(drawing->table, "GROUP", 0, SCOLS_FL_RIGHT);
    scols_table_new_column(drawing->table, "DRIVER", 0, 0);
    scols_table_new_column(drawing->table, "DEVICE", 0, SCOLS_FL_TRUNC);
    choose_groups(drawing);
    for (guint i = 0; i < functions->len; i++) {
        line_of(drawing, g_ptr_array_index(functions, i));
    }
    for (guint i = 0; i < functions->len; i++) {
        const VrPciFunction *function = g_ptr_array_index(functions, i);

        put_into_group(drawing, line_of(drawing, function), function->group);
    }
    close_groups(drawing);
}

static void
print_tree(const VrOptions *options, const VrHostFacts *facts)
{
    g_autoptr(GHashTable) lines = g_hash_table_new(g_direct_hash, g_direct_equal);
    g_autoptr(GHashTable) roots = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr(GHashTable) members = g_hash_table_new(g_direct_hash, g_direct_equal);
    Drawing drawing = {.facts = facts,
                       .table = vr_print_table_new(options),
                       .lines = lines,
                       .roots = roots,
                       .members = members};

    draw(&drawing);
    vr_print_table(drawing.table);
}

static void
json_function(JsonBuilder *builder, const VrHostFacts *facts, const VrPciFunction *function)
{
    g_autofree char *address = vr_pci_address_format(function->address);
    g_autofree char *class_code = g_strdup_printf("%06x", (unsigned) function->class_code);
    g_autofree char *id = vr_pci_function_id(function);
    g_autofree char *parent = function->has_parent ? vr_pci_address_format(function->parent) : NULL;

    json_builder_begin_object(builder);
    vr_print_json_text(builder, "address", address);
    vr_print_json_text(builder, "id", id);
    vr_print_json_text(builder, "class", class_code);
    vr_print_json_text(builder, "name", vr_host_facts_name(facts, function));
    vr_print_json_text(builder, "driver", function->driver);
    json_builder_set_member_name(builder, "group");
    if (function->group < 0) {
        json_builder_add_null_value(builder);
    } else {
        json_builder_add_int_value(builder, function->group);
    }
    vr_print_json_text(builder, "parent", parent);
    json_builder_end_object(builder);
}

static void
print_json(const VrHostFacts *facts)
{
    JsonBuilder *builder = vr_print_json_begin("topology");

    json_builder_set_member_name(builder, "iommu");
    json_builder_add_boolean_value(builder, facts->iommu);
    json_builder_set_member_name(builder, "functions");
    json_builder_begin_array(builder);
    for (guint i = 0; i < facts->functions->len; i++) {
        json_function(builder, facts, g_ptr_array_index(facts->functions, i));
    }
    json_builder_end_array(builder);
    vr_print_json_end(builder);
}

int
vr_cmd_topology(const VrOptions *options)
{
    if (options->arguments[0] != NULL) {
        g_autoptr(GError) error = NULL;

        vr_error_set(&error, VR_ERROR_USAGE,
                     "topology: pictures are not built yet, '%s' was not written; without a file "
                     "name the tree is printed as text",
                     options->arguments[0]);
        return vr_print_error(options, error);
    }

    g_autoptr(VrHostFacts) facts = vr_host_facts_load(options->root, VR_FACTS_NAMES);

    if (facts->functions_error != NULL) {
        vr_say(options, "vmrun: the PCI devices could not be listed: %s", facts->functions_error);
    }
    if (options->json) {
        print_json(facts);
    } else {
        print_tree(options, facts);
    }
    return 0;
}
