/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every answer that the kernel can give to each write of the way out and of the way back, for each
 * of four functions, once and always. A start that fails has everything back and says its first
 * reason; a way back that fails names the one function that is left, has all others back, and can
 * be finished later.
 */
#include "../support/card_host.h"
#include "../support/suite.h"
#include "../support/system_calls.h"
#include "../support/tree.h"

#include <vmrun/error.h>

#include <glib/gstdio.h>

#include <errno.h>
#include <string.h>

typedef enum {
    ANSWER_ERRNO,
    ANSWER_SHORT,
    ANSWER_SILENCE, /* success, and nothing happened */
    ANSWER_NONE,    /* the step hangs until its deadline */
} Answer;

typedef struct {
    VrStepKind kind;
    bool second; /* the override that ends a way back */
    Answer answer;
    int errno_value;
} Row;

/* reliability.md, 7: the 16 rows of the way out. The way back has them, too. */
#define MOVE_ROWS                                                                                  \
    {VR_STEP_OVERRIDE, false, ANSWER_ERRNO, EACCES},                                               \
        {VR_STEP_OVERRIDE, false, ANSWER_ERRNO, ENOENT},                                           \
        {VR_STEP_OVERRIDE, false, ANSWER_ERRNO, ENODEV},                                           \
        {VR_STEP_OVERRIDE, false, ANSWER_ERRNO, ENOMEM},                                           \
        {VR_STEP_OVERRIDE, false, ANSWER_ERRNO, EINVAL},                                           \
        {VR_STEP_OVERRIDE, false, ANSWER_SHORT, 0}, {VR_STEP_UNBIND, false, ANSWER_ERRNO, ENODEV}, \
        {VR_STEP_UNBIND, false, ANSWER_ERRNO, ENOENT},                                             \
        {VR_STEP_UNBIND, false, ANSWER_ERRNO, EBUSY}, {VR_STEP_UNBIND, false, ANSWER_NONE, 0},     \
        {VR_STEP_BIND, false, ANSWER_ERRNO, ENODEV}, {VR_STEP_BIND, false, ANSWER_ERRNO, EBUSY},   \
        {VR_STEP_BIND, false, ANSWER_ERRNO, EINVAL}, {VR_STEP_BIND, false, ANSWER_ERRNO, EPERM},   \
        {VR_STEP_BIND, false, ANSWER_ERRNO, EAGAIN},                                               \
    {                                                                                              \
        VR_STEP_BIND, false, ANSWER_SILENCE, 0                                                     \
    }

static const Row out_rows[] = {MOVE_ROWS};
static const Row back_rows[] = {
    MOVE_ROWS,
    {VR_STEP_OVERRIDE, true, ANSWER_ERRNO, EACCES},
    {VR_STEP_OVERRIDE, true, ANSWER_ERRNO, ENOENT},
    {VR_STEP_OVERRIDE, true, ANSWER_ERRNO, ENODEV},
    {VR_STEP_OVERRIDE, true, ANSWER_ERRNO, ENOMEM},
    {VR_STEP_OVERRIDE, true, ANSWER_ERRNO, EINVAL},
    {VR_STEP_OVERRIDE, true, ANSWER_SHORT, 0},
};

typedef struct {
    const Row *row;
    guint function;
    bool back;
    bool always;
} Case;

static char *
describe(const Case *fault)
{
    return g_strdup_printf("%s, %s of %s%s: %s, %s", fault->back ? "back" : "out",
                           vr_step_kind_name(fault->row->kind), card_address(fault->function),
                           fault->row->second ? " (second)" : "",
                           fault->row->answer == ANSWER_ERRNO ? g_strerror(fault->row->errno_value)
                           : fault->row->answer == ANSWER_SHORT   ? "short"
                           : fault->row->answer == ANSWER_SILENCE ? "silence"
                                                                  : "hangs",
                           fault->always ? "always" : "once");
}

/* What the message must say for it. */
static const char *
word_for(const Row *row)
{
    switch (row->answer) {
    case ANSWER_ERRNO:
        return g_strerror(row->errno_value);
    case ANSWER_SHORT:
        return "only 1 of";
    case ANSWER_SILENCE:
        return "it is on no driver";
    case ANSWER_NONE:
        return "hangs";
    }
    g_return_val_if_reached(NULL);
}

/* The file of the step's write: that of the driver which is left, or taken. */
static char *
file_of(const Case *fault)
{
    const char *driver = card_driver(fault->function);
    if (fault->row->kind == VR_STEP_OVERRIDE) {
        return g_strdup("driver_override");
    }
    bool unbind = fault->row->kind == VR_STEP_UNBIND;
    return g_strdup_printf("/%s/%s", unbind == fault->back ? "vfio-pci" : driver,
                           unbind ? "unbind" : "bind");
}

static const char *
text_of(const Case *fault)
{
    if (fault->row->kind != VR_STEP_OVERRIDE) {
        return NULL;
    }
    if (fault->row->second) {
        return "";
    }
    return fault->back ? card_driver(fault->function) : "vfio-pci";
}

static void
set_fault(CardHost *host, const Case *fault, const char *file)
{
    FakeFault it = {
        .file = file,
        .address = card_address(fault->function),
        .text = text_of(fault),
        .errno_value = fault->row->errno_value,
        .is_short = fault->row->answer == ANSWER_SHORT,
        .times = fault->always ? G_MAXUINT : 1,
    };
    fake_kernel_set_fault(host->kernel, fault->row->answer != ANSWER_NONE ? &it : NULL);
}

/* --- a step that hangs -------------------------------------------------------------------------*/

/* Over the fake's executor: the deadline of one step passes. */
typedef struct {
    const CardHost *host;
    VrExecutor real;
    VrStepKind kind;
    VrPciAddress device;
    const char *from; /* of an unbind: only from this driver */
    guint hung, touched;
} Hanging;

static bool
execute_hanging(void *data, const VrStep *step, const VrHostState *wanted, GError **error)
{
    Hanging *hanging = data;
    if (step->has_device && vr_pci_address_equal(step->device, hanging->device)) {
        hanging->touched += hanging->hung > 0;
        if (step->kind == hanging->kind &&
            (hanging->from == NULL || g_strcmp0(step->from, hanging->from) == 0)) {
            g_autofree char *what = vr_step_describe(step);
            hanging->hung++;
            card_host_hang(hanging->host, true);
            return vr_error_set(error, VR_ERROR_STUCK, "%s: still hangs in the kernel", what);
        }
    }
    return hanging->real.execute(hanging->real.data, step, wanted, error);
}

static VrHostState *
observe_hanging(void *data, const VrHostState *shape, GError **error)
{
    Hanging *hanging = data;
    hanging->touched += hanging->hung > 0 && vr_host_state_binding(shape, hanging->device) != NULL;
    return hanging->real.observe(hanging->real.data, shape, error);
}

static Hanging
hanging_for(const CardHost *host, guint function, bool back)
{
    return (Hanging){
        .host = host,
        .real = fake_kernel_executor(host->kernel),
        .kind = VR_STEP_UNBIND,
        .device = card_pci_address(function),
        .from = back ? "vfio-pci" : card_driver(function),
    };
}

/* --- what must be true afterwards --------------------------------------------------------------*/

/* Exactly this function is named. */
static bool
names_only(const char *message, guint function)
{
    for (guint i = 0; i < CARD_FUNCTIONS; i++) {
        if ((strstr(message, card_address(i)) != NULL) != (i == function)) {
            return false;
        }
    }
    return true;
}

static bool
all_others_are_back(const CardHost *host, guint function)
{
    for (guint i = 0; i < CARD_FUNCTIONS; i++) {
        if (i != function && !card_host_is_back(host, i)) {
            return false;
        }
    }
    return fake_kernel_unit_is_active(host->kernel, CARD_UNIT);
}

static VrPhase
phase_on_record(const CardHost *host)
{
    g_autoptr(VrJournal) journal = vr_journal_read(host->root, CARD_PROFILE, NULL);
    return journal != NULL ? journal->phase : VR_PHASE_KEPT;
}

/* One function is left, and that is what is said. */
static bool
is_left_alone(const CardHost *host, const Case *fault, const GError *error)
{
    VrPhase phase = fault->row->answer == ANSWER_NONE ? VR_PHASE_STUCK : VR_PHASE_FAILED;
    bool fine = g_error_matches(error, VR_ERROR, VR_ERROR_RESTORE_INCOMPLETE) &&
                names_only(error->message, fault->function) &&
                strstr(error->message, word_for(fault->row)) != NULL &&
                all_others_are_back(host, fault->function) && phase_on_record(host) == phase;
    if (!fine) {
        g_test_message("phase %s: %s", vr_phase_name(phase_on_record(host)),
                       error != NULL ? error->message : "no error");
    }
    return fine;
}

/* With the fault gone a later recovery ends it, and a further one has nothing to do. */
static bool
can_be_finished(CardHost *host)
{
    g_autoptr(GError) error = NULL;
    fake_kernel_set_fault(host->kernel, NULL);
    card_host_hang(host, false);
    bool finished = card_host_recover(host, NULL, NULL, &error) && card_host_is_restored(host);
    fake_kernel_revive(host->kernel);
    if (error != NULL) {
        g_test_message("later: %s", error->message);
    }
    return finished && card_host_recover(host, NULL, NULL, NULL) &&
           fake_kernel_writes(host->kernel) == 0 && card_host_is_restored(host);
}

/* --- the way out -------------------------------------------------------------------------------*/

static bool
out_is_survived(const Case *fault)
{
    g_autoptr(CardHost) host = card_host_new();
    g_autofree char *file = file_of(fault);
    g_autoptr(GError) first = NULL;
    g_autoptr(GError) back = NULL;
    Hanging hanging = hanging_for(host, fault->function, false);
    VrExecutor executor = {execute_hanging, observe_hanging, NULL, &hanging};
    bool hangs = fault->row->answer == ANSWER_NONE;
    set_fault(host, fault, file);
    if (card_host_start(host, hangs ? &executor : NULL, &first, &back) ||
        fake_kernel_faults(host->kernel) + hanging.hung == 0) {
        return false;
    }
    bool told = names_only(first->message, fault->function) &&
                strstr(first->message, word_for(fault->row)) != NULL;
    if (!told) {
        g_test_message("told: %s", first->message);
    }
    bool restored = hangs ? is_left_alone(host, fault, back) && hanging.touched == 0
                          : back == NULL && card_host_is_restored(host);
    return told && restored && can_be_finished(host);
}

static void
test_out(void)
{
    Suite suite = {0};
    for (guint i = 0; i < G_N_ELEMENTS(out_rows) * CARD_FUNCTIONS * 2; i++) {
        Case fault = {&out_rows[i / (CARD_FUNCTIONS * 2)], i / 2 % CARD_FUNCTIONS, false,
                      i % 2 == 1};
        g_autofree char *what = describe(&fault);
        suite_count(&suite, out_is_survived(&fault), what);
    }
    suite_finish(&suite, "errno-take", 16 * CARD_FUNCTIONS * 2);
}

/* --- the way back ------------------------------------------------------------------------------*/

static bool
back_is_survived(const Case *fault)
{
    g_autoptr(CardHost) host = card_host_new();
    g_autofree char *file = file_of(fault);
    g_autoptr(GError) error = NULL;
    g_autoptr(GError) nothing = NULL;
    Hanging hanging = hanging_for(host, fault->function, true);
    VrExecutor executor = {execute_hanging, observe_hanging, NULL, &hanging};
    bool hangs = fault->row->answer == ANSWER_NONE;
    g_assert_true(card_host_start(host, NULL, &nothing, &nothing));
    set_fault(host, fault, file);
    bool done = card_host_recover(host, hangs ? &executor : NULL, NULL, &error);
    if (fake_kernel_faults(host->kernel) + hanging.hung == 0) {
        return false;
    }
    bool fine = fault->always || hangs
                    ? !done && is_left_alone(host, fault, error) && hanging.touched == 0
                    : done && card_host_is_restored(host);
    if (!fine && error != NULL) {
        g_test_message("%s", error->message);
    }
    return fine && can_be_finished(host);
}

static void
test_back(void)
{
    Suite suite = {0};
    for (guint i = 0; i < G_N_ELEMENTS(back_rows) * CARD_FUNCTIONS * 2; i++) {
        Case fault = {&back_rows[i / (CARD_FUNCTIONS * 2)], i / 2 % CARD_FUNCTIONS, true,
                      i % 2 == 1};
        g_autofree char *what = describe(&fault);
        suite_count(&suite, back_is_survived(&fault), what);
    }
    suite_finish(&suite, "errno-back", 22 * CARD_FUNCTIONS * 2);
}

/* --- who still writes, and who has the group ---------------------------------------------------*/

static void
set_process(const CardHost *host, int pid, guint64 start_time)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/stat", pid);
    g_autofree char *text = g_strdup_printf(
        "%d (vmrun-worker) D 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 %" G_GUINT64_FORMAT " 1 1", pid,
        start_time);
    tree_write(fake_kernel_directory(host->kernel), path, start_time != 0 ? text : "");
}

/* `lives`: for each function a bit, whether the process that hangs on it still does. */
static bool
only_the_unwritten_go_back(guint lives)
{
    g_autoptr(CardHost) host = card_host_new();
    g_autoptr(VrJournal) journal = card_host_journal(host);
    g_autoptr(GError) error = NULL;
    g_assert_true(card_host_start(host, NULL, &error, &error));
    journal->phase = VR_PHASE_STUCK;
    for (guint i = 0; i < CARD_FUNCTIONS; i++) {
        vr_journal_set_stuck(journal, (VrStuck){card_pci_address(i), 500 + (int) i, 1000 + i});
        set_process(host, 500 + (int) i, (lives & 1u << i) != 0 ? 1000 + i : 0);
    }
    card_host_record(host, journal);
    bool done = card_host_recover(host, NULL, NULL, &error);
    bool fine = done == (lives == 0);
    for (guint i = 0; i < CARD_FUNCTIONS; i++) {
        bool hangs = (lives & 1u << i) != 0;
        g_autofree char *pid = g_strdup_printf("%d", 500 + (int) i);
        fine = fine && card_host_is_back(host, i) == !hangs &&
               (!hangs || (strstr(error->message, card_address(i)) != NULL &&
                           strstr(error->message, pid) != NULL));
        set_process(host, 500 + (int) i, 0);
    }
    if (!fine && error != NULL) {
        g_test_message("%s", error->message);
    }
    return fine && can_be_finished(host);
}

/* The abandoned worker finishes its write after all; the device is looked at again then. */
static bool
late_completion_is_seen(guint function, bool back)
{
    g_autoptr(CardHost) host = card_host_new();
    g_autoptr(GError) first = NULL;
    g_autoptr(GError) left = NULL;
    Hanging hanging = hanging_for(host, function, back);
    VrExecutor executor = {execute_hanging, observe_hanging, NULL, &hanging};
    g_autofree char *path = vr_pci_driver_path(hanging.from, "unbind");
    if (back) {
        g_assert_true(card_host_start(host, NULL, &first, &left));
        g_assert_false(card_host_recover(host, &executor, NULL, &left));
    } else {
        g_assert_false(card_host_start(host, &executor, &first, &left));
    }
    g_autofree char *before = fake_kernel_driver(host->kernel, card_address(function));
    bool told = left != NULL && g_str_equal(before, hanging.from) &&
                strstr(left->message, card_address(function)) != NULL;
    g_clear_error(&left);
    fake_kernel_revive(host->kernel); /* while it lives nothing more is written to it */
    bool again = card_host_recover(host, NULL, NULL, &left);
    bool quiet = !again && fake_kernel_writes(host->kernel) == 0;
    g_assert_true(vr_sysroot_write(host->root, path, card_address(function), NULL));
    return told && quiet && hanging.touched == 0 && can_be_finished(host);
}

/* The holder lets go, and the node of its group goes with the last function on vfio-pci. */
static void
let_go(const CardHost *host, const char *node)
{
    g_autofree char *path = g_strconcat(fake_kernel_directory(host->kernel), node, NULL);
    system_calls_refuse(NULL, 0);
    g_assert_no_errno(g_unlink(path));
}

/* The group of one function has a user: the others go back, and that one when it is free. */
static bool
held_one_waits_alone(guint function)
{
    g_autoptr(CardHost) host = card_host_new_in_groups();
    g_autofree char *group = g_strdup_printf("vfio/%u", function + 1);
    g_autofree char *node = g_strdup_printf("/dev/%s", group);
    g_autoptr(GError) error = NULL;
    g_assert_true(card_host_start(host, NULL, &error, &error));
    tree_write(fake_kernel_directory(host->kernel), node, "");
    system_calls_refuse(group, EBUSY);
    bool done = card_host_recover(host, NULL, NULL, &error);
    g_autofree char *driver = fake_kernel_driver(host->kernel, card_address(function));
    g_autofree char *override = fake_kernel_override(host->kernel, card_address(function));
    bool fine = !done && g_error_matches(error, VR_ERROR, VR_ERROR_RESTORE_INCOMPLETE) &&
                names_only(error->message, function) && all_others_are_back(host, function) &&
                g_str_equal(driver, "vfio-pci") && g_str_equal(override, "vfio-pci");
    if (!fine && error != NULL) {
        g_test_message("%s", error->message);
    }
    let_go(host, node);
    return fine && can_be_finished(host);
}

/* All are in it: nothing can move, so nothing is written at all. */
static bool
held_card_is_busy(void)
{
    g_autoptr(CardHost) host = card_host_new();
    g_autoptr(GError) error = NULL;
    g_assert_true(card_host_start(host, NULL, &error, &error));
    tree_write(fake_kernel_directory(host->kernel), "/dev/vfio/1", "");
    system_calls_refuse("vfio/1", EBUSY);
    fake_kernel_revive(host->kernel);
    bool done = card_host_recover(host, NULL, NULL, &error);
    bool fine = !done && g_error_matches(error, VR_ERROR, VR_ERROR_BUSY) &&
                fake_kernel_writes(host->kernel) == 0;
    let_go(host, "/dev/vfio/1");
    return fine && can_be_finished(host);
}

static void
test_hang(void)
{
    Suite suite = {0};
    for (guint lives = 0; lives < 1u << CARD_FUNCTIONS; lives++) {
        g_autofree char *what = g_strdup_printf("writers that live: 0x%x", lives);
        suite_count(&suite, only_the_unwritten_go_back(lives), what);
    }
    for (guint i = 0; i < 2 * CARD_FUNCTIONS; i++) {
        g_autofree char *what =
            g_strdup_printf("%s done late, %s", card_address(i / 2), i % 2 == 1 ? "back" : "out");
        suite_count(&suite, late_completion_is_seen(i / 2, i % 2 == 1), what);
    }
    for (guint i = 0; i < CARD_FUNCTIONS; i++) {
        g_autofree char *what = g_strdup_printf("%s is held", card_address(i));
        suite_count(&suite, held_one_waits_alone(i), what);
    }
    suite_count(&suite, held_card_is_busy(), "the card is held");
    suite_finish(&suite, "stuck-and-held", (1u << CARD_FUNCTIONS) + 3 * CARD_FUNCTIONS + 1);
}

int
main(int argc, char **argv)
{
    if (card_host_is_worker(argc, argv)) {
        return 0;
    }
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/errno-faults/out", test_out);
    g_test_add_func("/errno-faults/back", test_back);
    g_test_add_func("/errno-faults/hang", test_hang);
    return g_test_run();
}
