/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How many system calls the protocol takes, worked out and not counted: from the plans of the way
 * out and of the way back, and from what each record on disk costs. Where this and a dry run
 * differ, the protocol is not what it is believed to be.
 */
#include "session_host_private.h"

#include <vmrun/journal.h>
#include <vmrun/plan.h>

#include <string.h>

/* What the building blocks of src/base/files.c and src/run/lock.c cost. */
enum {
    CALLS_REPLACE = 6,   /* create, mode, write, sync, rename, sync of the directory */
    CALLS_DIRECTORY = 3, /* mkdir, mode, sync of the directory above */
    CALLS_REMOVE = 2,    /* unlink, sync of the directory */
    CALLS_NOT_THERE = 1, /* unlink only */
    CALLS_CLOSE = 3,     /* rename, sync of both directories */
    CALLS_LOCK = 3,      /* create, truncate, write */
    CALLS_UNLOCK = 1,    /* truncate */
    CALLS_WORK = 1,      /* create: is a worker of the dead one still at it? */
    CALLS_SHARED = CALLS_LOCK + CALLS_UNLOCK + CALLS_REPLACE, /* what is taken away now */
};

/* Pools grow page by page here: of so few pages each part is one (step.c, POOL_CHUNKS). */
static unsigned
calls_of_step(const VrStep *step)
{
    uint64_t from, to, ignored;
    if (step->kind == VR_STEP_LOAD_MODULE) {
        return 0; /* the driver is there already */
    }
    if (step->kind != VR_STEP_ATTRIBUTE || step->has_device) {
        return 1;
    }
    g_assert_true(vr_count_parse(step->from, &from, &ignored));
    g_assert_true(vr_count_parse(step->value, &to, &ignored));
    return to > from ? (unsigned) (to - from) : 1;
}

static unsigned
calls_of_plan(const VrHostState *from, const VrHostState *to)
{
    g_autoptr(VrPlan) plan = vr_plan_between(from, to);
    unsigned calls = 0;
    for (guint i = 0; i < plan->steps->len; i++) {
        calls += calls_of_step(g_ptr_array_index(plan->steps, i));
    }
    return calls;
}

static VrHostState *
observe(const SessionHost *host, const VrHostState *shape)
{
    VrHostState *state = host->executor.observe(host->executor.data, shape, NULL);
    g_assert_nonnull(state);
    return state;
}

static VrHostState *
observe_card(const SessionHost *host)
{
    g_autoptr(GArray) addresses = g_array_new(FALSE, FALSE, sizeof(VrPciAddress));
    for (uint8_t i = 0; i < host->shape.functions; i++) {
        VrPciAddress address = {0, 1, 0, i};
        g_array_append_val(addresses, address);
    }
    g_autoptr(VrHostState) shape = vr_host_state_shape(addresses);
    if (host->shape.others) {
        vr_host_state_set_attribute(shape, VR_ATTRIBUTE_COUNT, NULL, SESSION_POOL, NULL);
        vr_host_state_set_unit(shape, SESSION_UNIT, true);
    }
    return observe(host, shape);
}

/* The pool of `state` with as many pages more. */
static void
add_pages(VrHostState *state, unsigned pages)
{
    const VrAttribute *pool = vr_host_state_attribute(state, SESSION_POOL);
    if (pool != NULL) {
        g_autofree char *value = g_strdup_printf("%u", (unsigned) atoi(pool->value) + pages);
        vr_host_state_set_attribute(state, VR_ATTRIBUTE_COUNT, NULL, SESSION_POOL, value);
    }
}

static unsigned
missing(const SessionHost *host, const char *directory)
{
    return vr_sysroot_exists(host->root, directory) ? 0 : CALLS_DIRECTORY;
}

static unsigned
calls_around_session(const SessionHost *host)
{
    unsigned locks = 2 * (CALLS_LOCK + CALLS_UNLOCK) + missing(host, "/run/vmrun") +
                     CALLS_NOT_THERE; /* the status file of an earlier session */
    unsigned identity = missing(host, "/var/lib/vmrun") + missing(host, "/var/lib/vmrun/nvram") +
                        missing(host, "/var/lib/vmrun/identity") + CALLS_REPLACE;
    unsigned journal = missing(host, "/var/lib/vmrun/journal") +
                       missing(host, "/var/lib/vmrun/journal/done") + CALLS_CLOSE;
    unsigned fingerprint = missing(host, "/var/lib/vmrun/fingerprint") + CALLS_REPLACE;
    /* taking, starting, running, restoring; taking the card, starting, running, giving back */
    unsigned records = 4 * CALLS_REPLACE + 4 * CALLS_REPLACE;
    unsigned pools = host->shape.others ? CALLS_SHARED : 0;
    return locks + identity + journal + fingerprint + records + pools + CALLS_REMOVE;
}

unsigned
session_host_expect_session(const SessionHost *host)
{
    g_autoptr(VrHostState) before = observe_card(host);
    g_autoptr(VrHostState) wanted = vr_host_state_wanted(before);
    add_pages(wanted, host->shape.others ? SESSION_PAGES : 0);
    g_autoptr(VrHostState) reached = vr_host_state_copy(wanted);
    return calls_around_session(host) + calls_of_plan(before, wanted) +
           calls_of_plan(reached, before);
}

/* What processes left that died while they replaced a file. */
static unsigned
count_temporaries(const SessionHost *host)
{
    g_autofree char *files = session_host_files(host);
    g_auto(GStrv) lines = g_strsplit(files, "\n", -1);
    unsigned count = 0;
    for (char **line = lines; *line != NULL; line++) {
        count += g_str_has_suffix(*line, ".new");
    }
    return count;
}

unsigned
session_host_expect_recovery(const SessionHost *host)
{
    unsigned calls = CALLS_LOCK + 2 * CALLS_UNLOCK + missing(host, "/run/vmrun");
    bool status = vr_sysroot_exists(host->root, "/run/vmrun/gaming.status");
    g_autoptr(VrJournal) journal = vr_journal_read(host->root, "gaming", NULL);
    calls += status ? CALLS_REMOVE : CALLS_NOT_THERE;
    calls += CALLS_REMOVE * count_temporaries(host);
    if (journal == NULL) {
        return calls;
    }
    g_autoptr(VrHostState) now = observe(host, journal->before);
    if (vr_host_state_attribute(journal->before, SESSION_POOL) != NULL) {
        calls += CALLS_SHARED;
    }
    return calls + CALLS_WORK + CALLS_REPLACE + calls_of_plan(now, journal->before) + CALLS_CLOSE +
           missing(host, "/var/lib/vmrun/journal/done");
}
