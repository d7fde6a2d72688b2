/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The mutable part of a host: all that vmrun ever changes, and nothing else. A plan is the
 * difference of two of these.
 */
#pragma once

#include <vmrun/pci.h>
#include <vmrun/sysroot.h>

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* How a PCI function is bound. */
typedef struct {
    VrPciAddress address;
    uint16_t vendor, device; /* guard against a renumbered bus: no write when they differ */
    uint32_t class_code;     /* orders the moves: displays leave last and come back first */
    int group;               /* IOMMU group of this boot, -1: none */
    bool present;            /* false: nothing at that address now */
    char *driver;            /* NULL: unbound */
    char *module; /* of the driver, from driver/module: never derived from the driver's name; NULL:
                     built in or unbound */
    char *driver_override; /* NULL: none */
} VrBinding;

typedef enum {
    VR_ATTRIBUTE_TEXT,  /* put back as it was */
    VR_ATTRIBUTE_NODE,  /* a device node's mode (node_modes.h) */
    VR_ATTRIBUTE_COUNT, /* a pool shared with others: what is put back is the difference */
    VR_ATTRIBUTE_CPUS,  /* processors of a control group: the same, see vr_cpus_target() */
} VrAttributeKind;

/* A value outside of the binding. `path` is one of an allow-list that host_state.c holds, checked
 * when read from a journal, too. */
typedef struct {
    VrAttributeKind kind;
    bool has_device;
    VrPciAddress device; /* the function it belongs to, if has_device: not written when that device
                            is gone */
    char *path;          /* "/sys/bus/pci/devices/0000:01:00.0/power/control" */
    char *value;         /* NULL: not there */
} VrAttribute;

/* A systemd unit. */
typedef struct {
    char *name;
    bool active;
} VrUnitState;

typedef struct {
    GPtrArray *bindings;   /* VrBinding, sorted by address */
    GPtrArray *attributes; /* VrAttribute, sorted by path */
    GPtrArray *units;      /* VrUnitState, in the order they are stopped */
} VrHostState;

VrHostState *vr_host_state_new(void);
VrHostState *vr_host_state_copy(const VrHostState *state);
void vr_host_state_free(VrHostState *state);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VrHostState, vr_host_state_free)

VrBinding *vr_binding_new(VrPciAddress address);
VrBinding *vr_binding_copy(const VrBinding *binding);
void vr_binding_free(VrBinding *binding);

/* Takes the binding over; replaces one of the same address. */
void vr_host_state_add_binding(VrHostState *state, VrBinding *binding);

/* Where the kernel has them: "/sys/bus/pci/devices/ADDRESS/NAME",
 * "/sys/bus/pci/drivers/DRIVER/NAME"; NAME NULL: the directory itself. Owned. */
char *vr_pci_device_path(VrPciAddress address, const char *name);
char *vr_pci_driver_path(const char *driver, const char *name);

/* Take a device out, its binding and its attributes: it is neither looked at nor written to. */
void vr_host_state_drop_device(VrHostState *state, VrPciAddress address);

/* The binding of an address, or NULL. */
VrBinding *vr_host_state_binding(const VrHostState *state, VrPciAddress address);
VrAttribute *vr_host_state_attribute(const VrHostState *state, const char *path);
bool vr_host_state_equal(const VrHostState *a, const VrHostState *b);

/* Add (or replace). Takes the strings' values, not the strings. */
void vr_host_state_set_attribute(VrHostState *state, VrAttributeKind kind,
                                 const VrPciAddress *device, const char *path, const char *value);
void vr_host_state_set_unit(VrHostState *state, const char *name, bool active);

/* Is this one of the few files that vmrun may ever write? (Besides driver_override, bind and
 * unbind.) */
bool vr_attribute_path_is_allowed(const char *path);

/* Is it a pool, whose attribute is of kind COUNT? */
bool vr_attribute_path_is_count(const char *path);

/*
 * A COUNT is a number of pages, "128", or, in a journal, a claim, "128+4096": there were 128, and
 * the session adds 4096. Giving a claim back takes away what was added and no more, so that pages
 * that somebody else added meanwhile stay. While it is given back it says what there is and what is
 * taken away, "4224-4096": whoever reads that after a crash sees whether it was done, and does not
 * do it twice.
 */
bool vr_count_parse(const char *value, uint64_t *out_first, uint64_t *out_second);

/* What a pool that has `now` pages must have for `wanted`: see above. */
uint64_t vr_count_target(const char *wanted, uint64_t now);

/* The host's control groups at the top whose processors a session may take, NULL-terminated; the
 * attribute of one ("/sys/fs/cgroup/user.slice/cpuset.cpus.effective", owned), and the group of
 * such a path, or NULL. */
const char *const *vr_host_units(void);
char *vr_host_unit_path(const char *unit);
const char *vr_attribute_path_unit(const char *path);

/*
 * CPUS is a list of processors, "0-7", which is what is observed; "!4-7", all but these, which a
 * session wants; or, in a journal, a claim, "0-7/4-7": there were 0-7, and the session takes 4-7
 * away. Giving a claim back adds what was taken and was there, and nothing else. The list that a
 * group must have when it has `now`; NULL: none would be left. Owned.
 */
char *vr_cpus_target(const char *wanted, const char *now);

/* The claim on what `wanted` (or a claim) takes away, with the original of `found`, a list or a
 * claim. Owned. */
char *vr_cpus_claim(const char *found, const char *wanted);

/* What a claim may give back while there is another one; NULL: nothing. Owned. */
char *vr_cpus_leave(const char *claim, const char *other);

/* Turn the counts and processors of `before` into claims on what `wanted` changes: call it before
 * the journal is written. */
void vr_host_state_claim_counts(VrHostState *before, const VrHostState *wanted);

/* Turn the claims of `before` into what is taken away now: call it before the journal is written
 * that announces it. */
void vr_host_state_begin_counts(VrHostState *before, const VrHostState *now);

bool vr_host_state_has_counts(const VrHostState *state);
void vr_host_state_drop_counts(VrHostState *state);

/*
 * Read now what `shape` names: for each of its bindings, attributes and units the current value.
 * Reading driver_override takes the device's lock in the kernel and blocks while a stuck unbind
 * holds it, so the session lets a worker observe.
 */
VrHostState *vr_host_state_observe(const VrSysroot *root, const VrHostState *shape, GError **error);

/* The shape to observe for a set of addresses: their bindings, power/control and d3cold_allowed. */
VrHostState *vr_host_state_shape(const GArray *addresses);

/* Add the device nodes of a function that may be closed while it moves, as they are now. */
void vr_host_state_shape_nodes(VrHostState *shape, const VrSysroot *root, VrPciAddress address);

/* Does an attribute have to be written to get from one value to the other? NULL: it is not there.
 */
bool vr_attribute_differs(VrAttributeKind kind, const char *now, const char *wanted);

/* As JSON text (one object) and back; the journal and the worker speak it. Parsing validates every
 * field. Owned. */
char *vr_host_state_to_text(const VrHostState *state);
VrHostState *vr_host_state_from_text(const char *text, GError **error);
