/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "commands.h"
#include "print.h"

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

int
vr_command_help(const VrCommand *command)
{
    vr_print("vmrun %s %s", command->name, command->arguments);
    if (command->summary != NULL) {
        vr_print("    %s", command->summary);
    }
    return 0;
}

static void
print_overview(void)
{
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
}

int
vr_cmd_help(const VrOptions *options)
{
    if (options->arguments[0] == NULL) {
        print_overview();
        return 0;
    }
    const VrCommand *command = vr_command_find(options->arguments[0]);
    if (command == NULL) {
        g_autoptr(GError) error = NULL;
        vr_error_set(&error, VR_ERROR_USAGE, "help: there is no command '%s'; the list: vmrun help",
                     options->arguments[0]);
        return vr_print_error(options, error);
    }
    return vr_command_help(command);
}
