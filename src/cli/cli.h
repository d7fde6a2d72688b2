/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the commands share: the options as parsed, and one function per command that calls the
 * library, prints the answer on standard output (talk goes to standard error) and returns the exit
 * status of include/vmrun/error.h.
 */
#pragma once

#include <vmrun/error.h>
#include <vmrun/profile.h>
#include <vmrun/report.h>
#include <vmrun/sysroot.h>

#include <glib.h>
#include <stdbool.h>

typedef struct {
    VrSysroot *root; /* --root DIR, else "/" */
    bool has_root_option;
    bool json, verbose, quiet, yes, color;
    bool dry_run, force, foreground, origin, all, if_idle, undo, accept, remove;
    unsigned timeout_s;  /* --timeout, 0: not given */
    char *gpu, *memory;  /* of `new` */
    const char *command; /* its name, for messages */
    char **arguments;    /* what follows the command, NULL-terminated */
    char *user_profiles; /* ~/.config/vmrun/profiles for users who are not root, NULL for root */
} VrOptions;

int vr_cmd_changes(const VrOptions *options);
int vr_cmd_doctor(const VrOptions *options);
int vr_cmd_gpus(const VrOptions *options);
int vr_cmd_help(const VrOptions *options);
int vr_cmd_list(const VrOptions *options);
int vr_cmd_plan(const VrOptions *options);
int vr_cmd_restore(const VrOptions *options);
int vr_cmd_run(const VrOptions *options);
int vr_cmd_show(const VrOptions *options);
int vr_cmd_status(const VrOptions *options);
int vr_cmd_stop(const VrOptions *options);
int vr_cmd_topology(const VrOptions *options);
int vr_cmd_who(const VrOptions *options);
int vr_cmd_worker(const VrOptions *options);
int vr_cmd_xml(const VrOptions *options);

/* Words that no profile can be called without `vmrun -- NAME`: all commands, built or to come. */
bool vr_cli_is_reserved(const char *word);

/* The words of vr_cli_is_reserved, NULL-terminated, for suggestions. */
const char *const *vr_cli_reserved_words(void);

/*
 * The only argument of a command that takes a profile: *out_profile, or the exit status after
 * having said what is wrong (no argument, no such profile, mistakes in it as file:line). 0 on
 * success.
 */
int vr_cli_load_profile(const VrOptions *options, const char *name, bool trusted_only,
                        VrProfile **out_profile);
