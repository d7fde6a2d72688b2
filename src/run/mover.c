/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Steps in a worker, each with its deadline; the journal knows what hangs. */
#include "run/worker_private.h"

#include <vmrun/error.h>
#include <vmrun/process.h>

/* Reading driver_override waits for the device's lock, asking systemd for 20 s at most. */
#define OBSERVE_TIMEOUT_MS 30000
/* Long enough that no healthy step is mentioned. */
#define SLOW_MS 10000

struct _VrMover {
    VrSysroot *root;
    const VrListener *listener;
    VrJournal *journal;
    VrWorker *worker; /* NULL: none runs */
    VrScout *scout;   /* looks at what the worker waits for */
    char **program;   /* NULL: this same one */
    char *profile;    /* NULL: of none */
    char *left;       /* the driver that the function on its way was just unbound from */
    GArray *stuck;    /* VrStuck: of this mover, in the journal, too, if there is one */
    VrExecutor over;  /* does the work instead of a worker; execute NULL: none */
    struct {
        bool set;
        VrPciAddress device;
        unsigned slow_ms, deadline_ms;
    } hurry;           /* tests */
    VrStuck pretended; /* tests */
    VrExecutor executor;
};

static void
say(const VrMover *mover, VrStage stage, const char *text)
{
    if (mover->listener != NULL && mover->listener->stage != NULL) {
        mover->listener->stage(mover->listener->data, stage, text);
    }
}

/* What an abandoned worker did late is done: then the device is like any other. */
static bool
is_stuck(const VrMover *mover, VrPciAddress address)
{
    for (guint i = 0; i < mover->stuck->len; i++) {
        const VrStuck *stuck = &g_array_index(mover->stuck, VrStuck, i);
        if (vr_pci_address_equal(stuck->address, address) &&
            vr_process_is_alive(mover->root, stuck->pid, stuck->start_time)) {
            return true;
        }
    }
    return mover->journal != NULL && vr_journal_stuck(mover->journal, address) != NULL;
}

static bool
start_worker(VrMover *mover, GError **error)
{
    if (mover->worker != NULL) {
        return true;
    }
    mover->worker = vr_worker_start_for(mover->root, mover->profile,
                                        (const char *const *) mover->program, error);
    return mover->worker != NULL;
}

static void
drop_worker(VrMover *mover)
{
    vr_worker_stop(mover->worker);
    mover->worker = NULL;
}

/* Name in the journal what must not be touched until that process has ended. */
static void
record_stuck(VrMover *mover, const VrPciAddress *address, const GError *why)
{
    g_autoptr(GError) error = NULL;
    VrJournal *journal = mover->journal;
    if (address == NULL) {
        return;
    }
    VrStuck stuck = mover->pretended;
    if (mover->worker != NULL) {
        stuck.pid = vr_worker_pid(mover->worker);
        stuck.start_time = vr_worker_start_time(mover->worker);
    }
    stuck.address = *address;
    g_array_append_val(mover->stuck, stuck);
    if (journal == NULL) {
        return;
    }
    vr_journal_set_stuck(journal, stuck);
    g_free(journal->message);
    journal->message = g_strdup(why->message);
    if (!vr_journal_write(mover->root, journal, &error)) {
        say(mover, VR_STAGE_WARNING, error->message);
    }
}

/* After a call that failed: a worker that hangs is left alone, one that died is replaced. */
static void
look_after(VrMover *mover, const VrPciAddress *address, const GError *why)
{
    if (g_error_matches(why, VR_ERROR, VR_ERROR_STUCK)) {
        record_stuck(mover, address, why);
        vr_worker_abandon(mover->worker, false);
        drop_worker(mover);
    } else if (vr_worker_is_lost(mover->worker)) {
        drop_worker(mover);
    }
}

/* A step that may take long: who uses its device has to be known before it begins, because the
 * nodes are gone from sysfs as soon as the driver has begun to go. */
typedef struct {
    const VrMover *mover;
    const char *description;
    GPtrArray *nodes; /* NULL: not known */
} Slow;

/* An unbind is what waits for others. Not to know its nodes is no reason not to go on. */
static GPtrArray *
nodes_of(const VrMover *mover, const VrStep *step, const VrBinding *binding)
{
    g_autoptr(GPtrArray) one = g_ptr_array_new();
    if (step->kind != VR_STEP_UNBIND || binding == NULL) {
        return NULL;
    }
    VrPciFunction function = {.address = step->device,
                              .class_code = binding->class_code,
                              .group = binding->group,
                              .driver = step->from};
    g_ptr_array_add(one, &function);
    return vr_scout_nodes(mover->scout, one, NULL);
}

/* "process 812 is in state D in snd_card_free; held by sleep (process 700) through /dev/snd/…" */
static char *
explain_wait(const Slow *slow)
{
    int pid = vr_worker_pid(slow->mover->worker);
    g_autofree char *where = vr_process_where(slow->mover->root, pid);
    if (slow->nodes == NULL) {
        return g_strdup_printf("process %d, %s", pid, where);
    }
    g_autoptr(VrHolders) found = vr_scout_scan(slow->mover->scout, slow->nodes, NULL);
    if (found != NULL) {
        vr_holders_forget_inputs(found);
    }
    g_autofree char *who = found != NULL ? vr_holders_describe(found) : NULL;
    if (who != NULL) {
        return g_strdup_printf("process %d, %s; held by %s", pid, where, who);
    }
    return g_strdup_printf("process %d, %s; %s", pid, where,
                           found != NULL ? "no process has one of its nodes open, so what holds it "
                                           "cannot be seen (a file on its way between two "
                                           "processes, or the kernel itself)"
                                         : "who holds it could not be found out");
}

static void
say_slow(void *data)
{
    const Slow *slow = data;
    g_autofree char *why = explain_wait(slow);
    g_autofree char *text =
        g_strdup_printf("still waiting for the kernel: %s (%s)", slow->description, why);
    say(slow->mover, VR_STAGE_NOTE, text);
}

static bool
execute_over(VrMover *mover, const VrStep *step, const VrHostState *wanted, GError **error)
{
    GError *failure = NULL;
    bool done = mover->over.execute(mover->over.data, step, wanted, &failure);
    if (!done) {
        if (g_error_matches(failure, VR_ERROR, VR_ERROR_STUCK)) {
            record_stuck(mover, step->has_device ? &step->device : NULL, failure);
        }
        g_propagate_error(error, failure);
    }
    return done;
}

static bool
execute(void *data, const VrStep *step, const VrHostState *wanted, GError **error)
{
    VrMover *mover = data;
    g_autofree char *description = vr_step_describe(step);
    GError *failure = NULL;
    if (step->has_device && is_stuck(mover, step->device)) {
        return vr_error_set(error, VR_ERROR_STUCK, "%s: an earlier step still hangs in the kernel",
                            description);
    }
    if (mover->over.execute != NULL) {
        return execute_over(mover, step, wanted, error);
    }
    if (!start_worker(mover, error)) {
        return vr_error_prefix(error, "%s", description);
    }
    const VrBinding *binding =
        step->has_device ? vr_host_state_binding(wanted, step->device) : NULL;
    bool hurries = mover->hurry.set && step->has_device &&
                   vr_pci_address_equal(step->device, mover->hurry.device);
    unsigned timeout_ms = hurries ? mover->hurry.deadline_ms : vr_step_timeout_ms(step, wanted);
    g_autoptr(GPtrArray) nodes = nodes_of(mover, step, binding);
    Slow slow = {mover, description, nodes};
    VrWorkerWatch watch = {
        .after_ms = hurries ? mover->hurry.slow_ms : SLOW_MS, .slow = say_slow, .data = &slow};
    g_autoptr(JsonObject) answer = vr_worker_call_watched(
        mover->worker, vr_worker_step_request(step, binding), timeout_ms, &watch, &failure);
    if (answer != NULL) {
        return true;
    }
    if (g_error_matches(failure, VR_ERROR, VR_ERROR_STUCK)) {
        g_autofree char *why = explain_wait(&slow);
        g_clear_error(&failure);
        vr_error_set(&failure, VR_ERROR_STUCK, "%s: still hangs in the kernel after %u s (%s)",
                     description, timeout_ms / 1000, why);
    }
    look_after(mover, step->has_device ? &step->device : NULL, failure);
    g_propagate_error(error, failure);
    return false;
}

static VrHostState *
observe(void *data, const VrHostState *shape, GError **error)
{
    VrMover *mover = data;
    GError *failure = NULL;
    if (mover->over.execute != NULL) {
        return mover->over.observe(mover->over.data, shape, error);
    }
    if (!start_worker(mover, error)) {
        return NULL;
    }
    JsonObject *request = vr_worker_request("observe");
    g_autofree char *text = vr_host_state_to_text(shape);
    json_object_set_string_member(request, "shape", text);
    g_autoptr(JsonObject) answer =
        vr_worker_call(mover->worker, request, OBSERVE_TIMEOUT_MS, &failure);
    if (answer == NULL) {
        const VrBinding *only =
            shape->bindings->len == 1 ? g_ptr_array_index(shape->bindings, 0) : NULL;
        look_after(mover, only != NULL ? &only->address : NULL, failure);
        g_propagate_error(error, failure);
        return NULL;
    }
    const char *state = json_object_get_string_member_with_default(answer, "state", "");
    return vr_host_state_from_text(state, error);
}

/* Worth a line of its own: what changes the host for others. */
static bool
is_notable(const VrStep *step)
{
    return step->kind == VR_STEP_STOP_UNIT || step->kind == VR_STEP_START_UNIT ||
           (step->kind == VR_STEP_ATTRIBUTE && !step->has_device);
}

/* A function's way from one driver to the next ends with the bind: one line for all of it. */
static void
say_moved(const VrMover *mover, const VrStep *step)
{
    g_autofree char *address = vr_pci_address_format(step->device);
    g_autofree char *text = g_strdup_printf("%s  %s -> %s", address, mover->left, step->value);
    say(mover, VR_STAGE_DONE, text);
}

static void
progress(void *data, const VrStep *step, bool done, const GError *error)
{
    VrMover *mover = data;
    g_autofree char *description = vr_step_describe(step);
    if (error != NULL) {
        say(mover, VR_STAGE_WARNING, error->message);
        return;
    }
    if (done && step->kind == VR_STEP_UNBIND) {
        g_free(mover->left);
        mover->left = g_strdup(step->from);
    }
    if (done && step->kind == VR_STEP_BIND && mover->left != NULL) {
        say_moved(mover, step);
        g_clear_pointer(&mover->left, g_free);
    } else if (!done) {
        say(mover, VR_STAGE_DETAIL, description);
    } else if (is_notable(step)) {
        say(mover, VR_STAGE_DONE, description);
    }
}

VrMover *
vr_mover_new_with(VrSysroot *root, const VrListener *listener, const char *const *argv)
{
    VrMover *mover = g_new0(VrMover, 1);
    mover->root = vr_sysroot_ref(root);
    mover->listener = listener;
    mover->program = g_strdupv((char **) argv);
    mover->scout = vr_scout_new_with(root, argv);
    mover->stuck = g_array_new(FALSE, TRUE, sizeof(VrStuck));
    mover->executor = (VrExecutor){execute, observe, progress, mover};
    return mover;
}

VrMover *
vr_mover_new_over(VrSysroot *root, const VrListener *listener, const VrExecutor *executor)
{
    VrMover *mover = vr_mover_new_with(root, listener, NULL);
    mover->over = *executor;
    return mover;
}

void
vr_mover_pretend_process(VrMover *mover, int pid, uint64_t start_time)
{
    mover->pretended = (VrStuck){.pid = pid, .start_time = start_time};
}

VrMover *
vr_mover_new(VrSysroot *root, const VrListener *listener)
{
    return vr_mover_new_with(root, listener, NULL);
}

void
vr_mover_hurry(VrMover *mover, VrPciAddress device, unsigned slow_ms, unsigned deadline_ms)
{
    mover->hurry.set = true;
    mover->hurry.device = device;
    mover->hurry.slow_ms = slow_ms;
    mover->hurry.deadline_ms = deadline_ms;
}

void
vr_mover_free(VrMover *mover)
{
    if (mover == NULL) {
        return;
    }
    vr_worker_stop(mover->worker);
    vr_scout_free(mover->scout);
    vr_sysroot_unref(mover->root);
    g_strfreev(mover->program);
    g_free(mover->profile);
    g_free(mover->left);
    g_array_unref(mover->stuck);
    g_free(mover);
}

void
vr_mover_set_profile(VrMover *mover, const char *profile)
{
    g_free(mover->profile);
    mover->profile = g_strdup(profile);
}

void
vr_mover_set_journal(VrMover *mover, VrJournal *journal)
{
    mover->journal = journal;
}

VrScout *
vr_mover_scout(VrMover *mover)
{
    return mover->scout;
}

const VrExecutor *
vr_mover_executor(VrMover *mover)
{
    return &mover->executor;
}
