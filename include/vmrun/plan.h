/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A plan: the ordered writes that lead from one host state to another. There is no undo code: going
 * back is the plan from the state observed now to the state in the journal.
 */
#pragma once

#include <vmrun/host_state.h>

#include <glib.h>

typedef enum {
    VR_STEP_LOAD_MODULE, /* value: module */
    VR_STEP_STOP_UNIT,   /* value: unit */
    VR_STEP_START_UNIT,
    VR_STEP_ATTRIBUTE, /* path, value */
    VR_STEP_OVERRIDE,  /* value: driver name, or NULL to clear */
    VR_STEP_UNBIND,    /* from: the driver */
    VR_STEP_BIND,      /* value: the driver */
    VR_STEP_RESET,     /* never planned: what the way back tries once when a bind failed */
    VR_STEP_PROBE,     /* never planned: when the driver is not to be had any more, any driver */
} VrStepKind;

typedef struct {
    VrStepKind kind;
    bool has_device;
    VrPciAddress device;
    char *path;  /* the file that is written, NULL for units and modules */
    char *from;  /* what is there before, NULL: nothing */
    char *value; /* what is there afterwards, NULL: nothing */
} VrStep;

typedef struct {
    GPtrArray *steps; /* VrStep, in the order of execution */
} VrPlan;

void vr_step_free(VrStep *step);
VrPlan *vr_plan_new(void);
void vr_plan_free(VrPlan *plan);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VrPlan, vr_plan_free)

/*
 * Work out the writes that lead from `now` to `wanted`; empty if there is nothing to do.
 *
 * Order: vfio-pci's module, units stop, pools, governors and processors, functions one by one,
 * units start (last stopped, first started). Functions that come back go first, displays first of
 * all; then those that leave for vfio-pci: audio, USB, UCSI, others, displays last. Each as
 * override, unbind, bind, override; attributes before it leaves and after it came back.
 * power/control is written after every bind: both drivers change it themselves (pm_runtime_allow
 * and _forbid in probe and remove).
 *
 * No step for a function that is not there, has other ids than wanted, or, on the way back, is on a
 * third driver: vr_binding_obstacle() says so. Modules of drivers to be bound that are not there
 * are loaded by the executor, not planned, except vfio-pci.
 * Pure: reads nothing, writes nothing. Never NULL.
 */
VrPlan *vr_plan_between(const VrHostState *now, const VrHostState *wanted);

/*
 * Why a function must not be touched, or NULL: "is not there any more", "has other ids …", "is on
 * nouveau, which neither vmrun nor its journal put there". Owned. `back`: somebody else's driver is
 * an obstacle even where vfio-pci is wanted (a function that was there from the start).
 */
char *vr_binding_obstacle(const VrBinding *now, const VrBinding *wanted, bool back);

/* The override that keeps a function that had no driver from getting one while it moves. */
#define VR_NO_DRIVER "vmrun-none"

/* The wanted state of a session: every binding of `now` on vfio-pci with that override, awake
 * (power/control on, d3cold_allowed 0), every unit of `now` stopped. Attributes without a
 * device (shared.h) are left as they are: the caller sets them. */
VrHostState *vr_host_state_wanted(const VrHostState *now);

/* A step of its own for one device: a reset of the function, or letting the kernel choose a driver.
 * Owned. */
VrStep *vr_step_new_for(VrStepKind kind, VrPciAddress device, const char *from, const char *value);

/* "override", "unbind", "bind", "attribute", "stop-unit", "start-unit", "load-module", "reset",
 * "probe": the words of the JSON and the worker. */
const char *vr_step_kind_name(VrStepKind kind);
bool vr_step_kind_from_name(const char *name, VrStepKind *out_kind);

/* One line for people: "0000:01:00.0  unbind from nvidia". Owned. */
char *vr_step_describe(const VrStep *step);
