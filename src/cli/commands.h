/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of commands: it drives dispatch, help, usage messages and suggestions. */
#pragma once

#include "cli.h"

typedef struct {
    const char *name;
    const char *arguments; /* "NAME [--force] [--timeout SEC]" */
    const char *summary;   /* one line; NULL: hidden */
    unsigned minimum, maximum;
    int (*run)(const VrOptions *options);
} VrCommand;

/* The row of a command that this version has, or NULL. */
const VrCommand *vr_command_find(const char *name);

/* The command that a word was probably meant to be, or NULL. Static. */
const char *vr_command_nearest(const char *word);

/* Print usage and summary of one command; returns 0. */
int vr_command_help(const VrOptions *options, const VrCommand *command);
