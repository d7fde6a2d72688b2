/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/apply.h>

#include <vmrun/error.h>

#include <string.h>

/* Twice, because a bind that failed once may succeed, and because a driver's probe may change an
 * attribute behind us; after that only a last look. */
#define ROUNDS 2

#define VFIO_PCI "vfio-pci"

/* What went wrong with a device, a unit, a pool or a module. */
typedef struct {
    char *first;
    char *latest;
    VrStepKind kind; /* the latest */
    int code;
    bool was_reset;
} Failure;

/* One way, from beginning to end. */
typedef struct {
    const VrExecutor *executor;
    VrHostState *wanted; /* what cannot be brought back any more is taken out */
    bool stop_at_first;
    GPtrArray *left_over; /* VrLeftOver */
    GHashTable *failures; /* what a step is about (see subject_of) -> Failure */
    GError *first;
} Way;

void
vr_left_over_free(VrLeftOver *left)
{
    if (left != NULL) {
        g_free(left->message);
        g_free(left);
    }
}

static void
failure_free(gpointer data)
{
    Failure *failure = data;
    g_free(failure->first);
    g_free(failure->latest);
    g_free(failure);
}

static void
way_clear(Way *way)
{
    vr_host_state_free(way->wanted);
    g_ptr_array_unref(way->left_over);
    g_hash_table_unref(way->failures);
    g_clear_error(&way->first);
}

/* What fails together: a device, a unit, a pool, a module. Owned. */
static char *
subject_of(const VrStep *step)
{
    if (step->has_device) {
        return vr_pci_address_format(step->device);
    }
    return g_strdup(step->path != NULL ? step->path : step->value);
}

static void
remember_first(Way *way, const GError *error)
{
    if (way->first == NULL) {
        way->first = g_error_copy(error);
    }
}

static void
add_left_over(Way *way, const VrPciAddress *address, bool stuck, const char *message)
{
    VrLeftOver *left = g_new0(VrLeftOver, 1);
    if (address != NULL) {
        left->is_device = true;
        left->address = *address;
    }
    left->stuck = stuck;
    left->message = g_strdup(message);
    g_ptr_array_add(way->left_over, left);
    if (way->first == NULL) {
        way->first =
            g_error_new_literal(VR_ERROR, stuck ? VR_ERROR_STUCK : VR_ERROR_FAILED, message);
    }
}

static void
drop_pools(VrHostState *state)
{
    for (guint i = state->attributes->len; i-- > 0;) {
        const VrAttribute *attribute = g_ptr_array_index(state->attributes, i);
        if (!attribute->has_device) {
            g_ptr_array_remove_index(state->attributes, i);
        }
    }
}

static void
copy_attributes(const VrHostState *from, bool of_devices, const VrPciAddress *device,
                VrHostState *to)
{
    for (guint i = 0; i < from->attributes->len; i++) {
        const VrAttribute *attribute = g_ptr_array_index(from->attributes, i);
        if (attribute->has_device != of_devices ||
            (device != NULL && !vr_pci_address_equal(attribute->device, *device))) {
            continue;
        }
        vr_host_state_set_attribute(to, attribute->kind,
                                    attribute->has_device ? &attribute->device : NULL,
                                    attribute->path, attribute->value);
    }
}

static VrHostState *
observe_shape(const Way *way, const VrHostState *shape, GError **error)
{
    return way->executor->observe(way->executor->data, shape, error);
}

/* One function alone, so that another that cannot be looked at does not matter. */
static void
observe_device(Way *way, VrPciAddress address, VrHostState *now)
{
    g_autoptr(VrHostState) shape = vr_host_state_new();
    g_autoptr(GError) error = NULL;
    vr_host_state_add_binding(shape, vr_binding_new(address));
    copy_attributes(way->wanted, true, &address, shape);
    g_autoptr(VrHostState) seen = observe_shape(way, shape, &error);
    if (seen == NULL) {
        remember_first(way, error);
        add_left_over(way, &address, g_error_matches(error, VR_ERROR, VR_ERROR_STUCK),
                      error->message);
        vr_host_state_drop_device(way->wanted, address);
        return;
    }
    VrBinding *binding = vr_host_state_binding(seen, address);
    if (binding != NULL) {
        vr_host_state_add_binding(now, vr_binding_copy(binding));
    }
    copy_attributes(seen, true, &address, now);
}

static void
observe_pools(Way *way, VrHostState *now)
{
    g_autoptr(VrHostState) shape = vr_host_state_new();
    g_autoptr(GError) error = NULL;
    copy_attributes(way->wanted, false, NULL, shape);
    if (shape->attributes->len == 0) {
        return;
    }
    g_autoptr(VrHostState) seen = observe_shape(way, shape, &error);
    if (seen == NULL) {
        remember_first(way, error);
        add_left_over(way, NULL, false, error->message);
        drop_pools(way->wanted);
        return;
    }
    copy_attributes(seen, false, NULL, now);
}

static void
observe_units(Way *way, VrHostState *now)
{
    g_autoptr(VrHostState) shape = vr_host_state_new();
    g_autoptr(GError) error = NULL;
    for (guint i = 0; i < way->wanted->units->len; i++) {
        const VrUnitState *unit = g_ptr_array_index(way->wanted->units, i);
        vr_host_state_set_unit(shape, unit->name, unit->active);
    }
    if (shape->units->len == 0) {
        return;
    }
    g_autoptr(VrHostState) seen = observe_shape(way, shape, &error);
    if (seen == NULL) {
        remember_first(way, error);
        add_left_over(way, NULL, false, error->message);
        g_ptr_array_set_size(way->wanted->units, 0);
        return;
    }
    for (guint i = 0; i < seen->units->len; i++) {
        const VrUnitState *unit = g_ptr_array_index(seen->units, i);
        vr_host_state_set_unit(now, unit->name, unit->active);
    }
}

static VrHostState *
observe_in_parts(Way *way)
{
    VrHostState *now = vr_host_state_new();
    for (guint i = way->wanted->bindings->len; i-- > 0;) { /* backwards: entries may go */
        const VrBinding *binding = g_ptr_array_index(way->wanted->bindings, i);
        observe_device(way, binding->address, now);
    }
    observe_pools(way, now);
    observe_units(way, now);
    return now;
}

/* NULL only on the way out. */
static VrHostState *
look(Way *way, GError **error)
{
    g_autoptr(GError) failure = NULL;
    VrHostState *now = observe_shape(way, way->wanted, &failure);
    if (now != NULL) {
        return now;
    }
    if (way->stop_at_first) {
        g_propagate_error(error, g_steal_pointer(&failure));
        return NULL;
    }
    return observe_in_parts(way);
}

/* What must not be touched is told and taken out; false only on the way out. */
static bool
drop_obstacles(Way *way, const VrHostState *now, GError **error)
{
    for (guint i = way->wanted->bindings->len; i-- > 0;) {
        const VrBinding *wanted = g_ptr_array_index(way->wanted->bindings, i);
        const VrBinding *binding = vr_host_state_binding(now, wanted->address);
        g_autofree char *obstacle = vr_binding_obstacle(binding, wanted, !way->stop_at_first);
        if (obstacle == NULL) {
            continue;
        }
        VrPciAddress address = wanted->address;
        g_autofree char *text = vr_pci_address_format(address);
        if (way->stop_at_first) {
            return vr_error_set(error, VR_ERROR_GONE, "%s %s", text, obstacle);
        }
        g_autofree char *message = g_strdup_printf("%s %s", text, obstacle);
        add_left_over(way, &address, false, message);
        vr_host_state_drop_device(way->wanted, address);
    }
    return true;
}

static void
tell(const Way *way, const VrStep *step, bool done, const GError *error)
{
    if (way->executor->progress != NULL) {
        way->executor->progress(way->executor->data, step, done, error);
    }
}

static bool
execute(const Way *way, const VrStep *step, GError **error)
{
    GError *failure = NULL;
    tell(way, step, false, NULL);
    bool done = way->executor->execute(way->executor->data, step, way->wanted, &failure);
    tell(way, step, done, failure);
    if (!done) {
        g_propagate_error(error, failure);
    }
    return done;
}

static Failure *
find_failure(const Way *way, const VrStep *step)
{
    g_autofree char *subject = subject_of(step);
    return g_hash_table_lookup(way->failures, subject);
}

static void
record_failure(Way *way, const VrStep *step, const GError *error)
{
    Failure *failure = find_failure(way, step);
    if (failure == NULL) {
        failure = g_new0(Failure, 1);
        failure->first = g_strdup(error->message);
        g_hash_table_insert(way->failures, subject_of(step), failure);
    }
    g_free(failure->latest);
    failure->latest = g_strdup(error->message);
    failure->kind = step->kind;
    failure->code = error->code;
}

static void
note_failure(Way *way, const VrStep *step, const GError *error)
{
    remember_first(way, error);
    record_failure(way, step, error);
    if (g_error_matches(error, VR_ERROR, VR_ERROR_STUCK)) {
        add_left_over(way, step->has_device ? &step->device : NULL, true, error->message);
        if (step->has_device) {
            vr_host_state_drop_device(way->wanted, step->device);
        }
    }
}

/* A bind that the kernel refused, not one whose driver is not there. */
static bool
may_need_reset(const Way *way, const VrStep *step)
{
    const Failure *failure = find_failure(way, step);
    return !way->stop_at_first && step->kind == VR_STEP_BIND &&
           g_strcmp0(step->value, VFIO_PCI) != 0 && failure != NULL &&
           failure->kind == VR_STEP_BIND && !failure->was_reset &&
           failure->code != VR_ERROR_NOT_FOUND && failure->code != VR_ERROR_GONE;
}

/* Once for each function. That it cannot be reset is told, and the bind is tried all the same; only
 * a reset that hangs is an error. */
static bool
reset_first(Way *way, const VrStep *bind, GError **error)
{
    g_autoptr(GError) failure = NULL;
    VrStep *reset = vr_step_new_for(VR_STEP_RESET, bind->device, NULL, NULL);
    find_failure(way, bind)->was_reset = true;
    bool hangs =
        !execute(way, reset, &failure) && g_error_matches(failure, VR_ERROR, VR_ERROR_STUCK);
    vr_step_free(reset);
    if (hangs) {
        g_propagate_error(error, g_steal_pointer(&failure));
    }
    return !hangs;
}

static bool
execute_once_more(Way *way, const VrStep *step, GError **error)
{
    return (!may_need_reset(way, step) || reset_first(way, step, error)) &&
           execute(way, step, error);
}

/* All steps, but none of a device after one of it failed. False only on the way out. */
static bool
run(Way *way, const VrPlan *plan, GError **error)
{
    g_autoptr(GHashTable) failed = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (guint i = 0; i < plan->steps->len; i++) {
        const VrStep *step = g_ptr_array_index(plan->steps, i);
        g_autofree char *subject = subject_of(step);
        g_autoptr(GError) failure = NULL;
        if (g_hash_table_contains(failed, subject) || execute_once_more(way, step, &failure)) {
            continue;
        }
        if (way->stop_at_first) {
            g_propagate_error(error, g_steal_pointer(&failure));
            return false;
        }
        note_failure(way, step, failure);
        g_hash_table_add(failed, g_steal_pointer(&subject));
    }
    return true;
}

/* Clear the way for any driver, and let the kernel look for one. */
static bool
probe_plainly(Way *way, const VrBinding *now, const VrBinding *wanted, GError **error)
{
    VrStep *clear = vr_step_new_for(VR_STEP_OVERRIDE, now->address, now->driver_override,
                                    wanted->driver_override);
    VrStep *probe = vr_step_new_for(VR_STEP_PROBE, now->address, NULL, NULL);
    bool done = (g_strcmp0(now->driver_override, wanted->driver_override) == 0 ||
                 execute(way, clear, error)) &&
                execute(way, probe, error);
    vr_step_free(clear);
    vr_step_free(probe);
    return done;
}

/* Which driver the kernel gave it, "none", or what went wrong. Owned. */
static char *
probe_and_look(Way *way, const VrBinding *now, const VrBinding *wanted)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(VrHostState) shape = vr_host_state_new();
    vr_host_state_add_binding(shape, vr_binding_new(wanted->address));
    g_autoptr(VrHostState) after =
        probe_plainly(way, now, wanted, &error) ? observe_shape(way, shape, &error) : NULL;
    if (after == NULL) {
        return g_strdup(error->message);
    }
    const VrBinding *chosen = vr_host_state_binding(after, wanted->address);
    return g_strdup(chosen != NULL && chosen->driver != NULL ? chosen->driver : "none");
}

static void
let_the_kernel_choose(Way *way, const VrBinding *now, const VrBinding *wanted)
{
    g_autofree char *address = vr_pci_address_format(wanted->address);
    Failure *failure = g_hash_table_lookup(way->failures, address);
    if (failure == NULL || failure->kind != VR_STEP_BIND || failure->code != VR_ERROR_NOT_FOUND ||
        now == NULL || now->driver != NULL) {
        return;
    }
    g_autofree char *chosen = probe_and_look(way, now, wanted);
    g_autofree char *why = failure->first;
    g_free(failure->latest);
    failure->first = g_strdup_printf("%s lost its driver %s (%s); the kernel chose %s; restarting "
                                     "the computer sets its drivers anew",
                                     address, wanted->driver, why, chosen);
    failure->latest = g_strdup(failure->first);
}

/*
 * A driver that is not to be had any more: its module was replaced under us, perhaps. Any driver is
 * better than none for good, and which one it became is told.
 */
static void
replace_lost_drivers(Way *way, const VrHostState *now)
{
    for (guint i = 0; i < way->wanted->bindings->len; i++) {
        const VrBinding *wanted = g_ptr_array_index(way->wanted->bindings, i);
        let_the_kernel_choose(way, vr_host_state_binding(now, wanted->address), wanted);
    }
}

/* The first failure is the reported one; a later one of another kind is added. */
static char *
describe_failure(const Failure *failure)
{
    return g_str_equal(failure->first, failure->latest)
               ? g_strdup(failure->first)
               : g_strdup_printf("%s; when tried again: %s", failure->first, failure->latest);
}

/* The steps that are still needed after the last look are what could not be done. */
static void
give_up(Way *way, const VrPlan *rest)
{
    g_autoptr(GHashTable) told = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (guint i = 0; i < rest->steps->len; i++) {
        const VrStep *step = g_ptr_array_index(rest->steps, i);
        g_autofree char *subject = subject_of(step);
        g_autofree char *description = vr_step_describe(step);
        if (g_hash_table_contains(told, subject)) {
            continue;
        }
        const Failure *why = g_hash_table_lookup(way->failures, subject);
        g_autofree char *message =
            why != NULL ? describe_failure(why)
                        : g_strdup_printf("%s: it was done, but did not last", description);
        add_left_over(way, step->has_device ? &step->device : NULL, false, message);
        g_hash_table_add(told, g_steal_pointer(&subject));
    }
}

/* A claim says what to take away from the pool as it is now. Each further look at the claim would
 * take the same once more, from what others have added. */
static void
settle_claims(VrHostState *wanted, const VrHostState *now)
{
    for (guint i = 0; i < wanted->attributes->len; i++) {
        VrAttribute *target = g_ptr_array_index(wanted->attributes, i);
        const VrAttribute *pool = vr_host_state_attribute(now, target->path);
        uint64_t pages, ignored;
        if (target->kind != VR_ATTRIBUTE_COUNT || target->value == NULL || pool == NULL ||
            pool->value == NULL || !vr_count_parse(pool->value, &pages, &ignored)) {
            continue;
        }
        uint64_t goal = vr_count_target(target->value, pages);
        g_free(target->value);
        target->value = g_strdup_printf("%" G_GUINT64_FORMAT, goal);
    }
}

static bool
go(Way *way, GError **error)
{
    for (unsigned round = 0; round <= ROUNDS; round++) {
        g_autoptr(VrHostState) now = look(way, error);
        if (now == NULL || !drop_obstacles(way, now, error)) {
            return false;
        }
        if (round == 0) {
            settle_claims(way->wanted, now);
        }
        g_autoptr(VrPlan) plan = vr_plan_between(now, way->wanted);
        if (plan->steps->len == 0) {
            break;
        }
        if (round == ROUNDS && !way->stop_at_first) {
            replace_lost_drivers(way, now);
        }
        if (round == ROUNDS) {
            give_up(way, plan);
        } else if (!run(way, plan, error)) {
            return false;
        }
    }
    if (way->left_over->len == 0) {
        return true;
    }
    g_propagate_error(error, g_steal_pointer(&way->first));
    return false;
}

bool
vr_apply(const VrExecutor *executor, const VrHostState *wanted, bool stop_at_first,
         GPtrArray *left_over, GError **error)
{
    Way way = {
        .executor = executor,
        .wanted = vr_host_state_copy(wanted),
        .stop_at_first = stop_at_first,
        .left_over = g_ptr_array_new_with_free_func((GDestroyNotify) vr_left_over_free),
        .failures = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, failure_free),
    };
    bool done = go(&way, error);
    while (left_over != NULL && way.left_over->len > 0) {
        g_ptr_array_add(left_over, g_ptr_array_steal_index(way.left_over, 0));
    }
    way_clear(&way);
    return done;
}
