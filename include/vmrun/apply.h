/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Execute a plan, one step at a time, each with a deadline and each verified by reading back what
 * the kernel says.
 */
#pragma once

#include <vmrun/host_state.h>
#include <vmrun/plan.h>
#include <vmrun/sysroot.h>

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * Do one step on `root` in this process, and verify it. Blocks for as long as the kernel does:
 * called by the worker, and by the tests on the fake kernel. `binding` (of the wanted state; NULL
 * for steps without a device) has the ids, compared first (VR_ERROR_GONE if they differ), and the
 * module to load when the driver is not there.
 */
bool vr_step_execute(const VrSysroot *root, const VrStep *step, const VrBinding *binding,
                     GError **error);

/* The deadline of a step in milliseconds (kernel resets take up to a minute per method; see README,
 * "Deadlines"). `wanted` tells which functions share a slot: a UCSI controller makes unbinds slow.
 */
unsigned vr_step_timeout_ms(const VrStep *step, const VrHostState *wanted);

typedef struct {
    /* Executes one step in another process; `wanted` is the state that the plan leads to.
     * VR_ERROR_STUCK: the deadline passed, the device must not be touched again. */
    bool (*execute)(void *data, const VrStep *step, const VrHostState *wanted, GError **error);
    /* Observe in another process. */
    VrHostState *(*observe)(void *data, const VrHostState *shape, GError **error);
    /* A step begins (error NULL, done false), is done (done true) or failed (error set). May be
     * NULL. */
    void (*progress)(void *data, const VrStep *step, bool done, const GError *error);
    void *data;
} VrExecutor;

/* What could not be brought to its wanted state, and why. */
typedef struct {
    VrPciAddress address;
    bool is_device; /* false: a unit or an attribute of the host */
    bool stuck;
    char *message; /* a whole sentence, it names the device */
} VrLeftOver;

void vr_left_over_free(VrLeftOver *left);

/*
 * Go from the state observed now to `wanted`, and verify it by observing again; what is not there
 * yet is tried once more.
 * stop_at_first: on the way out: the first failure ends it (false with that error).
 * Otherwise, on the way back: a failure ends that device's steps only; everything that could not be
 * brought to `wanted` is appended to left_over (VrLeftOver; may be NULL) and the function returns
 * false with the first error. A device that is gone, has other ids, is on somebody else's driver or
 * got stuck is not written to.
 */
bool vr_apply(const VrExecutor *executor, const VrHostState *wanted, bool stop_at_first,
              GPtrArray *left_over, GError **error);
