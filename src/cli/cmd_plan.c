/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli.h"
#include "print.h"

#include <vmrun/preparation.h>
#include <vmrun/text.h>

static void
json_step(JsonBuilder *builder, const VrStep *step)
{
    g_autofree char *address = step->has_device ? vr_pci_address_format(step->device) : NULL;
    json_builder_begin_object(builder);
    vr_print_json_text(builder, "op", vr_step_kind_name(step->kind));
    vr_print_json_text(builder, "device", address);
    vr_print_json_text(builder, "path", step->path);
    vr_print_json_text(builder, "from", step->from);
    vr_print_json_text(builder, "to", step->value);
    json_builder_end_object(builder);
}

static void
print_json(const VrPreparation *preparation)
{
    JsonBuilder *builder = vr_print_json_begin("plan");
    vr_print_json_text(builder, "profile", preparation->inspection->profile->name);
    json_builder_set_member_name(builder, "steps");
    json_builder_begin_array(builder);
    for (guint i = 0; i < preparation->plan->steps->len; i++) {
        json_step(builder, g_ptr_array_index(preparation->plan->steps, i));
    }
    json_builder_end_array(builder);
    vr_print_json_report(builder, preparation->inspection->report);
    vr_print_json_text(builder, "domain", preparation->inspection->xml);
    vr_print_json_end(builder);
}

static void
print_steps(const VrPlan *plan, const char *when_empty)
{
    if (plan->steps->len == 0) {
        vr_print("  %s", when_empty);
    }
    for (guint i = 0; i < plan->steps->len; i++) {
        g_autofree char *line = vr_step_describe(g_ptr_array_index(plan->steps, i));
        g_autofree char *shown = vr_text_printable(line);
        vr_print("  %2u  %s", i + 1, shown);
    }
}

static void
print_text(const VrOptions *options, const VrPreparation *preparation)
{
    g_autofree char *out = vr_print_bold(options, "On the way out");
    g_autofree char *run = vr_print_bold(options, "Then");
    g_autofree char *back = vr_print_bold(options, "On the way back");
    vr_print_report(options, preparation->inspection->report, options->verbose);
    vr_print("%s", out);
    print_steps(preparation->plan, preparation->before != NULL
                                       ? "nothing to write"
                                       : "not worked out: see what is marked above");
    if (preparation->before != NULL) {
        g_autoptr(VrPlan) undo = vr_plan_between(preparation->wanted, preparation->before);
        vr_print("%s\n      the domain '%s' starts at %s (see it: vmrun xml %s)\n"
                 "      while it runs, sleep and the lid switch are blocked",
                 run, preparation->inspection->profile->name, preparation->inspection->uri,
                 preparation->inspection->profile->name);
        vr_print("%s", back);
        print_steps(undo, "nothing to write");
    }
}

int
vr_cmd_plan(const VrOptions *options)
{
    g_autoptr(VrProfile) profile = NULL;
    g_autoptr(GError) error = NULL;
    int status = vr_cli_load_profile(options, options->arguments[0], false, &profile);
    if (status != 0) {
        return status;
    }
    g_autoptr(VrPreparation) preparation = vr_preparation_look(options->root, profile, &error);
    if (preparation == NULL) {
        return vr_print_error(options, error);
    }
    status = vr_report_exit_status(preparation->inspection->report);
    if (options->json) {
        print_json(preparation);
        return status;
    }
    print_text(options, preparation);
    vr_say(options,
           status == 0 ? "nothing was changed; start it with: vmrun %s"
                       : "nothing was changed; '%s' cannot start yet: see what is marked above",
           profile->name);
    return status;
}
