/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "commands.h"
#include "print.h"

#include <vmrun/text.h>
#include <vmrun/worker.h>

int
vr_cmd_worker(const VrOptions *options)
{
    return vr_worker_main(options->root);
}

static const VrCommand commands[] = {
    {"run", "NAME [--foreground] [--dry-run]", "start a profile, follow it, give everything back",
     1, 1, vr_cmd_run},
    {"stop", "NAME [--force] [--timeout SEC]",
     "ask the guest to shut down and wait for the way back", 1, 1, vr_cmd_stop},
    {"status", "[NAME]", "what runs, and what a session holds", 0, 1, vr_cmd_status},
    {"list", "", "the profiles", 0, 0, vr_cmd_list},
    {"doctor", "[NAME]", "check this computer, or what one profile needs of it (reads only)", 0, 1,
     vr_cmd_doctor},
    {"gpus", "", "this computer's graphics cards, and what is in the way", 0, 0, vr_cmd_gpus},
    {"topology", "", "the PCI tree with its IOMMU groups", 0, 1, vr_cmd_topology},
    {"who", "GPU", "which programs hold a card", 1, 1, vr_cmd_who},
    {"plan", "NAME", "the writes that a start would make, with their undo", 1, 1, vr_cmd_plan},
    {"xml", "NAME", "the libvirt domain of a profile", 1, 1, vr_cmd_xml},
    {"show", "NAME [--origin]", "the effective profile, and where each value was set", 1, 1,
     vr_cmd_show},
    {"changes", "[NAME] [--accept]",
     "what is different on this computer since a profile last started well", 0, 1, vr_cmd_changes},
    {"restore", "[NAME] [--all] [--dry-run] [--if-idle]", "give back what a dead session left", 0,
     1, vr_cmd_restore},
    {"help", "[COMMAND]", "this text", 0, 1, vr_cmd_help},
    {"worker", "", NULL, 0, 0, vr_cmd_worker},
    {NULL, NULL, NULL, 0, 0, NULL},
};

const VrCommand *
vr_command_find(const char *name)
{
    for (const VrCommand *row = commands; row->name != NULL; row++) {
        if (g_str_equal(row->name, name)) {
            return row;
        }
    }
    return NULL;
}

const char *
vr_command_nearest(const char *word)
{
    const char *names[G_N_ELEMENTS(commands)] = {NULL};
    size_t count = 0;

    for (const VrCommand *row = commands; row->name != NULL; row++) {
        if (row->summary != NULL) {
            names[count++] = row->name;
        }
    }
    return vr_text_nearest(word, names);
}

/* `only` NULL: all that are not hidden. */
static int
print_json(const VrCommand *only)
{
    JsonBuilder *builder = vr_print_json_begin("help");

    json_builder_set_member_name(builder, "commands");
    json_builder_begin_array(builder);
    for (const VrCommand *row = commands; row->name != NULL; row++) {
        if (only != NULL ? row != only : row->summary == NULL) {
            continue;
        }
        json_builder_begin_object(builder);
        vr_print_json_text(builder, "name", row->name);
        vr_print_json_text(builder, "arguments", row->arguments);
        vr_print_json_text(builder, "summary", row->summary);
        json_builder_end_object(builder);
    }
    json_builder_end_array(builder);
    vr_print_json_end(builder);
    return 0;
}

int
vr_command_help(const VrOptions *options, const VrCommand *command)
{
    if (options->json) {
        return print_json(command);
    }
    vr_print("vmrun %s%s%s", command->name, command->arguments[0] != '\0' ? " " : "",
             command->arguments);
    if (command->summary != NULL) {
        vr_print("    %s", command->summary);
    }
    return 0;
}

static int
print_overview(const VrOptions *options)
{
    if (options->json) {
        return print_json(NULL);
    }
    vr_print(
        "vmrun gives a graphics card to a virtual machine, and takes it back when the guest ends.");
    vr_print("\n    vmrun NAME           start the profile NAME (same as: vmrun run NAME)\n");
    for (const VrCommand *row = commands; row->name != NULL; row++) {
        if (row->summary != NULL) {
            vr_print("    vmrun %-14s %s", row->name, row->summary);
        }
    }
    vr_print("\nOptions, anywhere: --json --verbose --quiet --yes --color=auto|always|never --root "
             "DIR --help "
             "--version");
    vr_print("Profiles are in /etc/vmrun/profiles. New here? Begin with: vmrun doctor");
    return 0;
}

static int
unknown_command(const VrOptions *options, const char *word)
{
    g_autoptr(GError) error = NULL;
    const char *nearest = vr_command_nearest(word);

    vr_error_set(&error, VR_ERROR_USAGE, "help: there is no command '%s'; %s%s", word,
                 nearest != NULL ? "did you mean: vmrun help " : "the list: vmrun help",
                 nearest != NULL ? nearest : "");
    return vr_print_error(options, error);
}

int
vr_cmd_help(const VrOptions *options)
{
    const char *word = options->arguments[0];
    const VrCommand *command = word != NULL ? vr_command_find(word) : NULL;

    if (word == NULL) {
        return print_overview(options);
    }
    return command != NULL ? vr_command_help(options, command) : unknown_command(options, word);
}
