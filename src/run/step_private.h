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
    /* Give a systemd unit these processors until the next boot; "": forget it. */
    bool (*set_cpus)(void *data, const VrSysroot *root, const char *unit, const char *list,
                     GError **error);
    void *data;
    unsigned busy_timeout_ms;   /* how long a busy group is waited for when a host driver binds */
    unsigned pool_timeout_ms;   /* how long a pool of huge pages may grow */
    unsigned cpus_timeout_ms;   /* how long systemd may take to do what it was told */
    unsigned holder_timeout_ms; /* how long a user of the function is given to go by itself */
} VrStepTools;

/* step_cpus.c: the real one of the above, and the step. */
bool vr_step_set_cpus(void *data, const VrSysroot *root, const char *unit, const char *list,
                      GError **error);
bool vr_step_execute_cpus(const VrSysroot *root, const VrStepTools *tools, const VrStep *step,
                          GError **error);

bool vr_step_execute_with(const VrSysroot *root, const VrStepTools *tools, const VrStep *step,
                          const VrBinding *binding, GError **error);
