/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/plan.h>

#include <vmrun/node_modes.h>

#include <string.h>

#define VFIO_PCI "vfio-pci"

static const char *const kind_names[] = {
    [VR_STEP_LOAD_MODULE] = "load-module",
    [VR_STEP_STOP_UNIT] = "stop-unit",
    [VR_STEP_START_UNIT] = "start-unit",
    [VR_STEP_ATTRIBUTE] = "attribute",
    [VR_STEP_OVERRIDE] = "override",
    [VR_STEP_UNBIND] = "unbind",
    [VR_STEP_BIND] = "bind",
    [VR_STEP_RESET] = "reset",
    [VR_STEP_PROBE] = "probe",
};

void
vr_step_free(VrStep *step)
{
    if (step == NULL) {
        return;
    }
    g_free(step->path);
    g_free(step->from);
    g_free(step->value);
    g_free(step);
}

VrPlan *
vr_plan_new(void)
{
    VrPlan *plan = g_new0(VrPlan, 1);
    plan->steps = g_ptr_array_new_with_free_func((GDestroyNotify) vr_step_free);
    return plan;
}

void
vr_plan_free(VrPlan *plan)
{
    if (plan == NULL) {
        return;
    }
    g_ptr_array_unref(plan->steps);
    g_free(plan);
}

const char *
vr_step_kind_name(VrStepKind kind)
{
    return (guint) kind < G_N_ELEMENTS(kind_names) ? kind_names[kind] : NULL;
}

bool
vr_step_kind_from_name(const char *name, VrStepKind *out_kind)
{
    for (guint i = 0; i < G_N_ELEMENTS(kind_names); i++) {
        if (g_strcmp0(name, kind_names[i]) == 0) {
            *out_kind = (VrStepKind) i;
            return true;
        }
    }
    return false;
}

static VrStep *
add_step(VrPlan *plan, VrStepKind kind, const char *from, const char *value)
{
    VrStep *step = g_new0(VrStep, 1);
    step->kind = kind;
    step->from = g_strdup(from);
    step->value = g_strdup(value);
    g_ptr_array_add(plan->steps, step);
    return step;
}

static void
add_attribute_step(VrPlan *plan, const VrAttribute *now, const char *value)
{
    VrStep *step = add_step(plan, VR_STEP_ATTRIBUTE, now->value, value);
    step->path = g_strdup(now->path);
    step->has_device = now->has_device;
    step->device = now->device;
}

static char *
path_of_device_step(VrStepKind kind, VrPciAddress device, const char *from, const char *value)
{
    switch (kind) {
    case VR_STEP_OVERRIDE:
        return vr_pci_device_path(device, "driver_override");
    case VR_STEP_UNBIND:
        return vr_pci_driver_path(from, "unbind");
    case VR_STEP_BIND:
        return vr_pci_driver_path(value, "bind");
    case VR_STEP_RESET:
        return vr_pci_device_path(device, "reset");
    case VR_STEP_PROBE:
        return g_strdup("/sys/bus/pci/drivers_probe");
    case VR_STEP_LOAD_MODULE:
    case VR_STEP_STOP_UNIT:
    case VR_STEP_START_UNIT:
    case VR_STEP_ATTRIBUTE:
        break;
    }
    g_return_val_if_reached(NULL);
}

VrStep *
vr_step_new_for(VrStepKind kind, VrPciAddress device, const char *from, const char *value)
{
    VrStep *step = g_new0(VrStep, 1);
    step->kind = kind;
    step->has_device = true;
    step->device = device;
    step->from = g_strdup(from);
    step->value = g_strdup(value);
    step->path = path_of_device_step(kind, device, from, value);
    return step;
}

static void
add_device_step(VrPlan *plan, VrStepKind kind, VrPciAddress device, const char *from,
                const char *value)
{
    g_ptr_array_add(plan->steps, vr_step_new_for(kind, device, from, value));
}

static bool
is_vfio(const char *driver)
{
    return g_strcmp0(driver, VFIO_PCI) == 0;
}

char *
vr_binding_obstacle(const VrBinding *now, const VrBinding *wanted, bool back)
{
    if (now == NULL || !now->present) {
        return g_strdup(back ? "is not there any more (if it was taken out for good, the next "
                               "restart of the computer ends this)"
                             : "is not there any more");
    }
    if (now->vendor != wanted->vendor || now->device != wanted->device) {
        return g_strdup_printf("is another device now: %04x:%04x, it was %04x:%04x", now->vendor,
                               now->device, wanted->vendor, wanted->device);
    }
    bool expected =
        now->driver == NULL || is_vfio(now->driver) || g_strcmp0(now->driver, wanted->driver) == 0;
    if (!expected && (back || !is_vfio(wanted->driver))) {
        return g_strdup_printf("is on %s, which vmrun did not put there", now->driver);
    }
    return NULL;
}

/* One function that may be touched. */
typedef struct {
    const VrBinding *now;
    const VrBinding *wanted;
    bool leaves; /* for vfio-pci */
    int rank;
} Move;

/* PCI Code and ID Assignment: 04 multimedia, 0c03 USB, 0c80 other serial bus (UCSI), 03 display.
 * What fails harmlessly leaves first; a display, whose unbind may hang, last. */
static int
rank_of(uint32_t class_code)
{
    if (class_code >> 16 == 0x04) {
        return 0;
    }
    if (class_code >> 8 == 0x0c03) {
        return 1;
    }
    if (class_code >> 8 == 0x0c80) {
        return 2;
    }
    return class_code >> 16 == 0x03 ? 4 : 3;
}

static int
compare_moves(gconstpointer a, gconstpointer b)
{
    const Move *left = a;
    const Move *right = b;
    if (left->leaves != right->leaves) {
        return left->leaves ? 1 : -1;
    }
    int order = left->rank != right->rank
                    ? left->rank - right->rank
                    : vr_pci_address_compare(left->now->address, right->now->address);
    return left->leaves ? order : -order;
}

static GArray *
find_moves(const VrHostState *now, const VrHostState *wanted)
{
    GArray *moves = g_array_new(FALSE, TRUE, sizeof(Move));
    for (guint i = 0; i < wanted->bindings->len; i++) {
        const VrBinding *target = g_ptr_array_index(wanted->bindings, i);
        const VrBinding *binding = vr_host_state_binding(now, target->address);
        g_autofree char *obstacle = vr_binding_obstacle(binding, target, false);
        if (obstacle == NULL) {
            Move move = {binding, target, is_vfio(target->driver), rank_of(binding->class_code)};
            g_array_append_val(moves, move);
        }
    }
    g_array_sort(moves, compare_moves);
    return moves;
}

static void
add_binding_steps(VrPlan *plan, const Move *move)
{
    const VrBinding *now = move->now;
    const VrBinding *wanted = move->wanted;
    const char *override = now->driver_override;
    if (g_strcmp0(now->driver, wanted->driver) != 0) {
        const char *aim = wanted->driver != NULL ? wanted->driver : VR_NO_DRIVER;
        if (g_strcmp0(override, aim) != 0) {
            add_device_step(plan, VR_STEP_OVERRIDE, now->address, override, aim);
            override = aim;
        }
        if (now->driver != NULL) {
            add_device_step(plan, VR_STEP_UNBIND, now->address, now->driver, NULL);
        }
        if (wanted->driver != NULL) {
            add_device_step(plan, VR_STEP_BIND, now->address, NULL, wanted->driver);
        }
    }
    if (g_strcmp0(override, wanted->driver_override) != 0) {
        add_device_step(plan, VR_STEP_OVERRIDE, now->address, override, wanted->driver_override);
    }
}

/* A driver's probe and remove may leave power/control at any value. */
static bool
is_reset_by_drivers(const VrAttribute *attribute)
{
    return g_str_has_suffix(attribute->path, "/power/control");
}

static void
add_device_attributes(VrPlan *plan, const VrHostState *now, const VrHostState *wanted,
                      const Move *move, bool after_bind)
{
    bool moves = g_strcmp0(move->now->driver, move->wanted->driver) != 0;
    for (guint i = 0; i < wanted->attributes->len; i++) {
        const VrAttribute *target = g_ptr_array_index(wanted->attributes, i);
        const VrAttribute *attribute = vr_host_state_attribute(now, target->path);
        if (!target->has_device || !vr_pci_address_equal(target->device, move->now->address) ||
            target->value == NULL || attribute == NULL || attribute->value == NULL) {
            continue;
        }
        bool differs = vr_attribute_differs(target->kind, attribute->value, target->value);
        bool again = after_bind && moves && is_reset_by_drivers(target);
        if (again || (differs && after_bind != move->leaves)) {
            add_attribute_step(plan, attribute, target->value);
        }
    }
}

static void
add_moves(VrPlan *plan, const VrHostState *now, const VrHostState *wanted)
{
    g_autoptr(GArray) moves = find_moves(now, wanted);
    bool needs_vfio = false;
    for (guint i = 0; i < moves->len; i++) {
        const Move *move = &g_array_index(moves, Move, i);
        add_device_attributes(plan, now, wanted, move, false);
        add_binding_steps(plan, move);
        add_device_attributes(plan, now, wanted, move, true);
        needs_vfio = needs_vfio || (move->leaves && !is_vfio(move->now->driver));
    }
    if (needs_vfio) { /* first of all: it is what commonly fails, and it is no claim on anything */
        add_step(plan, VR_STEP_LOAD_MODULE, NULL, VFIO_PCI);
        VrStep *load = g_ptr_array_steal_index(plan->steps, plan->steps->len - 1);
        g_ptr_array_insert(plan->steps, 0, load);
    }
}

static void
add_counts(VrPlan *plan, const VrHostState *now, const VrHostState *wanted)
{
    for (guint i = 0; i < wanted->attributes->len; i++) {
        const VrAttribute *target = g_ptr_array_index(wanted->attributes, i);
        const VrAttribute *attribute = vr_host_state_attribute(now, target->path);
        uint64_t pages, ignored;
        if (target->kind != VR_ATTRIBUTE_COUNT || target->value == NULL || attribute == NULL ||
            attribute->value == NULL || !vr_count_parse(attribute->value, &pages, &ignored)) {
            continue;
        }
        uint64_t goal = vr_count_target(target->value, pages);
        if (goal != pages) {
            g_autofree char *value = g_strdup_printf("%" G_GUINT64_FORMAT, goal);
            add_attribute_step(plan, attribute, value);
        }
    }
}

static void
add_shared_texts(VrPlan *plan, const VrHostState *now, const VrHostState *wanted)
{
    for (guint i = 0; i < wanted->attributes->len; i++) {
        const VrAttribute *target = g_ptr_array_index(wanted->attributes, i);
        const VrAttribute *attribute = vr_host_state_attribute(now, target->path);
        if (target->kind == VR_ATTRIBUTE_TEXT && !target->has_device && target->value != NULL &&
            attribute != NULL && attribute->value != NULL &&
            !g_str_equal(attribute->value, target->value)) {
            add_attribute_step(plan, attribute, target->value);
        }
    }
}

static void
add_cpus(VrPlan *plan, const VrHostState *now, const VrHostState *wanted)
{
    for (guint i = 0; i < wanted->attributes->len; i++) {
        const VrAttribute *target = g_ptr_array_index(wanted->attributes, i);
        const VrAttribute *attribute = vr_host_state_attribute(now, target->path);
        if (target->kind != VR_ATTRIBUTE_CPUS || target->value == NULL || attribute == NULL ||
            attribute->value == NULL) {
            continue;
        }
        g_autofree char *list = vr_cpus_target(target->value, attribute->value);
        if (list != NULL && !g_str_equal(list, attribute->value)) {
            add_attribute_step(plan, attribute, list);
        }
    }
}

static bool
unit_is_active(const VrHostState *state, const char *name, bool otherwise)
{
    for (guint i = 0; i < state->units->len; i++) {
        const VrUnitState *unit = g_ptr_array_index(state->units, i);
        if (g_str_equal(unit->name, name)) {
            return unit->active;
        }
    }
    return otherwise;
}

static void
add_unit_steps(VrPlan *plan, const VrHostState *now, const VrHostState *wanted, bool start)
{
    guint count = wanted->units->len;
    for (guint i = 0; i < count; i++) {
        const VrUnitState *unit = g_ptr_array_index(wanted->units, start ? count - 1 - i : i);
        if (unit->active == start && unit_is_active(now, unit->name, start) != start) {
            add_step(plan, start ? VR_STEP_START_UNIT : VR_STEP_STOP_UNIT,
                     start ? "inactive" : "active", unit->name);
        }
    }
}

VrPlan *
vr_plan_between(const VrHostState *now, const VrHostState *wanted)
{
    VrPlan *plan = vr_plan_new();
    add_unit_steps(plan, now, wanted, false);
    add_counts(plan, now, wanted);
    add_shared_texts(plan, now, wanted);
    add_cpus(plan, now, wanted);
    add_moves(plan, now, wanted);
    add_unit_steps(plan, now, wanted, true);
    return plan;
}

VrHostState *
vr_host_state_wanted(const VrHostState *now)
{
    VrHostState *wanted = vr_host_state_copy(now);
    for (guint i = 0; i < wanted->bindings->len; i++) {
        VrBinding *binding = g_ptr_array_index(wanted->bindings, i);
        g_free(binding->driver);
        g_free(binding->module);
        g_free(binding->driver_override);
        binding->driver = g_strdup(VFIO_PCI);
        binding->module = g_strdup("vfio_pci");
        binding->driver_override = g_strdup(VFIO_PCI);
    }
    for (guint i = 0; i < wanted->attributes->len; i++) {
        VrAttribute *attribute = g_ptr_array_index(wanted->attributes, i);
        if (attribute->kind == VR_ATTRIBUTE_TEXT && attribute->has_device &&
            attribute->value != NULL) {
            g_free(attribute->value);
            attribute->value = g_strdup(is_reset_by_drivers(attribute) ? "on" : "0");
        } else if (attribute->kind == VR_ATTRIBUTE_NODE && attribute->value != NULL) {
            char *closed = vr_node_value_closed(attribute->value);
            g_free(attribute->value);
            attribute->value = closed;
        }
    }
    for (guint i = 0; i < wanted->units->len; i++) {
        VrUnitState *unit = g_ptr_array_index(wanted->units, i);
        unit->active = false;
    }
    return wanted;
}

static const char *
or_none(const char *text)
{
    return text != NULL ? text : "none";
}

static char *
describe_attribute(const VrStep *step, const char *address)
{
    if (vr_node_path_is_allowed(step->path)) {
        return g_strdup_printf("%s  %s %s (%s)", address,
                               vr_node_value_is_closed(step->value) ? "close to everybody but root"
                                                                    : "give its mode back to",
                               step->path, or_none(step->value));
    }
    const char *unit = vr_attribute_path_unit(step->path);
    if (unit != NULL) {
        return g_strdup_printf("keep %s on the processors %s (was %s)", unit, or_none(step->value),
                               or_none(step->from));
    }
    const char *device_path = strstr(step->path, address);
    const char *name =
        step->has_device && device_path != NULL ? device_path + strlen(address) + 1 : step->path;
    return g_strdup_printf("%s%sset %s to %s (was %s)", step->has_device ? address : "",
                           step->has_device ? "  " : "", name, or_none(step->value),
                           or_none(step->from));
}

char *
vr_step_describe(const VrStep *step)
{
    g_autofree char *address =
        step->has_device ? vr_pci_address_format(step->device) : g_strdup("");
    switch (step->kind) {
    case VR_STEP_LOAD_MODULE:
        return g_strdup_printf("load the module %s if it is not there", step->value);
    case VR_STEP_STOP_UNIT:
        return g_strdup_printf("stop %s", step->value);
    case VR_STEP_START_UNIT:
        return g_strdup_printf("start %s", step->value);
    case VR_STEP_ATTRIBUTE:
        return describe_attribute(step, address);
    case VR_STEP_OVERRIDE:
        return step->value != NULL
                   ? g_strdup_printf("%s  allow only %s (driver_override)", address, step->value)
                   : g_strdup_printf("%s  clear driver_override", address);
    case VR_STEP_UNBIND:
        return g_strdup_printf("%s  unbind from %s", address, step->from);
    case VR_STEP_BIND:
        return g_strdup_printf("%s  bind to %s", address, step->value);
    case VR_STEP_RESET:
        return g_strdup_printf("%s  reset, and try once more", address);
    case VR_STEP_PROBE:
        return g_strdup_printf("%s  let the kernel choose a driver", address);
    }
    g_return_val_if_reached(NULL);
}
