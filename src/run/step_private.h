/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The seam of step.c for tests: programs that it runs, and how patient it is. */
#pragma once

#include <vmrun/apply.h>

#include <glib.h>
#include <stdbool.h>

typedef struct {
    bool (*load_module)(void *data, const VrSysroot *root, const char *module, GError **error);
    /* `verb`: "stop" or "start" */
    bool (*switch_unit)(void *data, const VrSysroot *root, const char *verb, const char *unit,
                        GError **error);
    void *data;
    unsigned busy_timeout_ms;   /* how long a busy group is waited for when a host driver binds */
    unsigned pool_timeout_ms;   /* how long a pool of huge pages may grow */
    unsigned holder_timeout_ms; /* how long a user of the function is given to go by itself */
} VrStepTools;

bool vr_step_execute_with(const VrSysroot *root, const VrStepTools *tools, const VrStep *step,
                          const VrBinding *binding, GError **error);
