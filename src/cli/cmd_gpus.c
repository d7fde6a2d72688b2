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

/* What the neighbours are used for is worth reading only where there are any. */
static VrHostFacts *
load_facts(const VrOptions *options)
{
    VrHostFacts *facts = vr_host_facts_load(options->root, VR_FACTS_NAMES);
    g_autoptr(GPtrArray) gpus = vr_gpus_judge(facts);

    if (!has_neighbours(gpus)) {
        return facts;
    }
    vr_host_facts_free(facts);
    return vr_host_facts_load(options->root, VR_FACTS_NAMES | VR_FACTS_STORAGE | VR_FACTS_NETWORK);
}

int
vr_cmd_gpus(const VrOptions *options)
{
    g_autoptr(VrHostFacts) facts = load_facts(options);

    if (facts->functions_error != NULL) {
        g_autoptr(GError) error = NULL;

        vr_error_set(&error, VR_ERROR_FAILED, "list the PCI devices: %s", facts->functions_error);
        return vr_print_error(options, error);
    }

    g_autoptr(GPtrArray) gpus = vr_gpus_judge(facts);

    if (options->json) {
        print_json(facts, gpus);
    }
    return 0;
}
