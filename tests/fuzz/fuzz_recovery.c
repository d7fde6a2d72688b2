/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any journal beside any state of the host: the way back touches only what the journal names with
 * the same ids, lets nobody grab a function in between, ends, and reaches the state of the journal
 * or says what it could not. A second one writes nothing.
 *
 * The input is read byte by byte: the functions (what the journal says, what is there), then what
 * goes wrong.
 */
#include "parts.h"

#include "../support/fake_kernel_private.h"
#include "base/sysroot_private.h"

#include <vmrun/journal.h>
#include <vmrun/plan.h>
#include <vmrun/restore.h>

#include <errno.h>
#include <string.h>

#define FUNCTIONS 3
#define POOL "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"
#define UNIT "nvidia-persistenced.service"
/* A function needs at most attributes (2), override, unbind, bind, override, attributes (2), in two
 * rounds; a bind that finds the group busy is tried again for a while. */
#define WRITES_LIMIT 1000

static const char *const addresses[] = {"0000:01:00.0", "0000:01:00.1", "0000:01:00.2"};
static const char *const kinds[] = {"030000 10de:2484", "040300 10de:228b", "0c0330 10de:1ada"};
static const char *const hosts[] = {"nvidia", "snd_hda_intel", "xhci_hcd"};
static const char *const overrides[] = {NULL, "vfio-pci", "nouveau", VR_NO_DRIVER, "somebody else"};

typedef struct {
    FakeKernel *kernel;
    VrJournal *journal;
    /* how each function was when nothing had been written yet */
    char *first_driver[FUNCTIONS], *first_override[FUNCTIONS];
    unsigned writes;
    GPtrArray *left;
    bool unit_wanted;
} Case;

static const char *
name_of(const FakeDevice *device)
{
    return device->driver != NULL ? device->driver->name : NULL;
}

static VrBinding *
recorded(const Case *test, const char *address)
{
    VrPciAddress parsed;
    g_assert_true(vr_pci_address_parse(address, &parsed));
    return vr_host_state_binding(test->journal->before, parsed);
}

/* --- while it goes ---------------------------------------------------------------------------*/

/* I2, I3: of the journal, there, and the same device. */
static const FakeDevice *
check_may_write(const Case *test, const char *address)
{
    const VrBinding *binding = recorded(test, address);
    const FakeDevice *device = fake_find_device(test->kernel, address);
    g_assert_nonnull(binding);
    g_assert_nonnull(device);
    g_autofree char *id = g_strdup_printf("%04x:%04x", binding->vendor, binding->device);
    g_assert_cmpstr(id, ==, device->id);
    return device;
}

static void
check_before(const Case *test, const char *path, const char *text)
{
    static const char devices[] = "/sys/bus/pci/devices/";
    static const char drivers[] = "/sys/bus/pci/drivers/";
    if (g_str_has_prefix(path, devices)) {
        g_auto(GStrv) parts = g_strsplit(path + strlen(devices), "/", 2);
        check_may_write(test, parts[0]);
    } else if (g_str_has_prefix(path, drivers)) {
        const FakeDevice *device = check_may_write(test, text);
        const VrBinding *binding = recorded(test, text);
        const char *aim = binding->driver != NULL ? binding->driver : VR_NO_DRIVER;
        g_assert_cmpstr(device->override, ==, aim); /* I6 */
        /* never away from a driver that neither the journal nor vmrun has put there */
        g_assert_true(device->driver == NULL || g_str_equal(name_of(device), "vfio-pci"));
    } else {
        g_assert_true(g_str_equal(path, POOL) || g_str_equal(path, "/proc/sys/vm/compact_memory"));
    }
}

/* I6: no function without driver and without vmrun's override, but one that was so before, or that
 * belongs so. */
static void
check_after(const Case *test)
{
    for (guint i = 0; i < FUNCTIONS; i++) {
        const FakeDevice *device = fake_find_device(test->kernel, addresses[i]);
        const VrBinding *binding = recorded(test, addresses[i]);
        if (device == NULL || binding == NULL || device->driver != NULL) {
            continue;
        }
        bool untouched = test->first_driver[i] == NULL &&
                         g_strcmp0(test->first_override[i], device->override) == 0;
        g_assert_true(untouched || binding->driver == NULL ||
                      g_strcmp0(device->override, binding->driver) == 0);
    }
}

static bool
watched_write(void *data, const char *path, const char *text, GError **error)
{
    Case *test = data;
    g_assert_cmpuint(++test->writes, <, WRITES_LIMIT);
    check_before(test, path, text);
    bool done = fake_kernel_write(test->kernel, path, text, error);
    check_after(test);
    return done;
}

/* --- what there is ---------------------------------------------------------------------------*/

static const char *
choose_driver(FuzzBytes *bytes, guint i)
{
    const char *const drivers[] = {hosts[i], "vfio-pci", NULL, i == 0 ? "nouveau" : hosts[i],
                                   "third"};
    return drivers[fuzz_choose(bytes, G_N_ELEMENTS(drivers))];
}

static void
place_function(Case *test, FuzzBytes *bytes, guint i)
{
    const char *driver = choose_driver(bytes, i);
    const char *override = overrides[fuzz_choose(bytes, G_N_ELEMENTS(overrides))];
    fake_kernel_place(test->kernel, addresses[i], driver, override,
                      fuzz_choose(bytes, 2) == 0 ? "auto" : "on");
    test->first_driver[i] = g_strdup(driver);
    test->first_override[i] = g_strdup(override);
}

static void
record_function(const Case *test, FuzzBytes *bytes, guint i)
{
    VrHostState *before = test->journal->before;
    VrBinding *binding = vr_host_state_binding(before, (VrPciAddress){0, 1, 0, (uint8_t) i});
    const char *driver = choose_driver(bytes, i);
    g_free(binding->driver);
    g_free(binding->module);
    g_free(binding->driver_override);
    binding->driver = g_strdup(driver);
    binding->module = g_strdup(driver);
    binding->driver_override = g_strdup(overrides[fuzz_choose(bytes, G_N_ELEMENTS(overrides))]);
    binding->vendor ^= fuzz_choose(bytes, 8) == 7 ? 1 : 0;
    binding->device ^= fuzz_choose(bytes, 8) == 7 ? 0x80 : 0;
    g_autofree char *control = vr_pci_device_path(binding->address, "power/control");
    g_autofree char *cold = vr_pci_device_path(binding->address, "d3cold_allowed");
    vr_host_state_set_attribute(before, VR_ATTRIBUTE_TEXT, &binding->address, control,
                                fuzz_choose(bytes, 2) == 0 ? "auto" : "on");
    vr_host_state_set_attribute(before, VR_ATTRIBUTE_TEXT, &binding->address, cold,
                                fuzz_choose(bytes, 2) == 0 ? "1" : "0");
}

static void
make_kernel(Case *test)
{
    test->kernel = fake_kernel_new();
    fake_kernel_add_driver(test->kernel, "nouveau", "10de:2484", "nouveau");
    fake_kernel_add_driver(test->kernel, "third", "", "third");
    for (guint i = 0; i < FUNCTIONS; i++) {
        fake_kernel_add_driver(test->kernel, hosts[i], kinds[i] + 7, hosts[i]);
        fake_kernel_add_device(test->kernel, addresses[i], kinds[i], 1);
    }
    fake_kernel_add_device(test->kernel, "0000:02:00.0", "030000 1002:73bf", 2);
    fake_kernel_add_unit(test->kernel, UNIT, false);
}

/* What a session of 1 to 3 functions would have written down, and then anything else. */
static void
make_journal(Case *test, FuzzBytes *bytes)
{
    g_autoptr(GArray) wanted = g_array_new(FALSE, FALSE, sizeof(VrPciAddress));
    guint count = 1 + fuzz_choose(bytes, FUNCTIONS);
    for (guint i = 0; i < count; i++) {
        VrPciAddress address = {0, 1, 0, (uint8_t) i};
        g_array_append_val(wanted, address);
    }
    g_autoptr(VrHostState) shape = vr_host_state_shape(wanted);
    g_autoptr(VrJournal) journal = vr_journal_new("gaming");
    vr_host_state_free(journal->before);
    g_autoptr(GError) error = NULL;
    journal->before = vr_host_state_observe(fake_kernel_root(test->kernel), shape, &error);
    g_assert_no_error(error);
    test->journal = journal;
    for (guint i = 0; i < count; i++) {
        record_function(test, bytes, i);
    }
    if (fuzz_choose(bytes, 2) == 1) {
        g_autofree char *claim =
            g_strdup_printf("%u+%u", fuzz_choose(bytes, 64), fuzz_choose(bytes, 64));
        vr_host_state_set_attribute(journal->before, VR_ATTRIBUTE_COUNT, NULL, POOL, claim);
        fake_kernel_add_pool(test->kernel, fuzz_choose(bytes, 160), 1000);
    }
    test->unit_wanted = fuzz_choose(bytes, 2) == 1;
    vr_host_state_set_unit(journal->before, UNIT, test->unit_wanted);
    g_autofree char *text = vr_journal_to_text(journal);
    test->journal = vr_journal_from_text(text, strlen(text), &error);
    g_assert_no_error(error);
}

static void
make_trouble(const Case *test, FuzzBytes *bytes)
{
    static const int errors[] = {ENODEV, EBUSY, EINVAL, EIO, EPERM, ENOMEM};
    uint8_t what = fuzz_take(bytes);
    fake_kernel_revive(test->kernel);
    if ((what & 1) != 0) {
        fake_kernel_set_grabber(test->kernel, "nouveau");
    }
    if ((what & 2) != 0) {
        fake_kernel_bind_in_silence(test->kernel, true);
    }
    if ((what & 4) != 0) {
        fake_kernel_fail_probe(test->kernel, hosts[fuzz_choose(bytes, FUNCTIONS)],
                               errors[fuzz_choose(bytes, G_N_ELEMENTS(errors))],
                               fuzz_choose(bytes, 5));
    }
    if ((what & 8) != 0) {
        fake_kernel_fail_at(test->kernel, fuzz_choose(bytes, 24),
                            errors[fuzz_choose(bytes, G_N_ELEMENTS(errors))]);
    }
    if ((what & 16) != 0) {
        fake_kernel_crash_at(test->kernel, fuzz_choose(bytes, 24));
    }
    if ((what & 32) != 0) {
        fake_kernel_remove_device(test->kernel, addresses[fuzz_choose(bytes, FUNCTIONS)]);
    }
    if ((what & 64) != 0) {
        fake_kernel_probe_sets_power(test->kernel, hosts[fuzz_choose(bytes, FUNCTIONS)], "auto");
    }
}

/* --- what comes of it ------------------------------------------------------------------------*/

static bool
is_left(const Case *test, VrPciAddress address)
{
    for (guint i = 0; i < test->left->len; i++) {
        const VrLeftOver *left = g_ptr_array_index(test->left, i);
        g_assert_nonnull(left->message);
        if (left->is_device && vr_pci_address_equal(left->address, address)) {
            return true;
        }
    }
    return false;
}

static bool
restore(Case *test)
{
    VrExecutor executor = fake_kernel_executor(test->kernel);
    g_autoptr(GError) error = NULL;
    g_ptr_array_set_size(test->left, 0);
    test->writes = 0;
    bool done = vr_apply(&executor, test->journal->before, false, test->left, &error);
    g_assert_cmpint(done, ==, error == NULL);
    g_assert_cmpint(done, ==, test->left->len == 0);
    return done;
}

/* I7, I13: each function is as it was, or is named. */
static void
check_functions(const Case *test)
{
    const VrHostState *before = test->journal->before;
    VrExecutor executor = fake_kernel_executor(test->kernel);
    g_autoptr(VrHostState) now = executor.observe(executor.data, before, NULL);
    for (guint i = 0; i < before->bindings->len; i++) {
        const VrBinding *wanted = g_ptr_array_index(before->bindings, i);
        const VrBinding *binding = vr_host_state_binding(now, wanted->address);
        if (is_left(test, wanted->address)) {
            continue;
        }
        g_assert_cmpstr(binding->driver, ==, wanted->driver);
        g_assert_cmpstr(binding->driver_override, ==, wanted->driver_override);
        g_autofree char *control = vr_pci_device_path(wanted->address, "power/control");
        g_assert_cmpstr(vr_host_state_attribute(now, control)->value, ==,
                        vr_host_state_attribute(before, control)->value);
    }
}

static void
check_all_back(Case *test)
{
    check_functions(test);
    if (test->unit_wanted) {
        g_assert_true(fake_kernel_unit_is_active(test->kernel, UNIT));
    }
    /* What is claimed was given back; the claim itself is spent when the journal closes. */
    for (guint i = test->journal->before->attributes->len; i-- > 0;) {
        const VrAttribute *attribute = g_ptr_array_index(test->journal->before->attributes, i);
        if (attribute->kind == VR_ATTRIBUTE_COUNT) {
            g_ptr_array_remove_index(test->journal->before->attributes, i);
        }
    }
    g_assert_true(restore(test));
    g_assert_cmpuint(test->writes, ==, 0); /* I8 */
}

static void
free_case(Case *test)
{
    for (guint i = 0; i < FUNCTIONS; i++) {
        g_free(test->first_driver[i]);
        g_free(test->first_override[i]);
    }
    g_ptr_array_unref(test->left);
    vr_journal_free(test->journal);
    fake_kernel_free(test->kernel);
}

/* The table of what restore does, with anything in it: it acts only when nobody else may. */
static void
check_decision(FuzzBytes *bytes)
{
    uint8_t flags = fuzz_take(bytes);
    VrRestoreInput input = {
        .has_journal = (flags & 1) != 0,
        .corrupt = (flags & 2) != 0,
        .lock_held = (flags & 4) != 0,
        .same_boot = (flags & 8) != 0,
        .qemu_alive = (flags & 16) != 0,
        .group_busy = (flags & 32) != 0,
        .may_come = (flags & 64) != 0,
        .domain = (VrDomainSeen) fuzz_choose(bytes, 3),
    };
    VrRestoreAction action = vr_restore_decide(&input);
    if (action == VR_RESTORE_NOW) {
        g_assert_true(input.has_journal && !input.corrupt && !input.lock_held && input.same_boot);
        g_assert_true(!input.qemu_alive && !input.group_busy);
        g_assert_cmpint(input.domain, !=, VR_DOMAIN_SEEN_RUNNING);
    }
    if (action == VR_RESTORE_CLOSE) { /* I17 */
        g_assert_true(!input.same_boot && !input.corrupt && !input.lock_held);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    FuzzBytes bytes = {data, size_bytes};
    Case test = {.left = g_ptr_array_new_with_free_func((GDestroyNotify) vr_left_over_free)};
    check_decision(&bytes);
    make_kernel(&test);
    make_journal(&test, &bytes);
    for (guint i = 0; i < FUNCTIONS; i++) {
        place_function(&test, &bytes, i);
    }
    make_trouble(&test, &bytes);
    vr_sysroot_set_write_hook(fake_kernel_root(test.kernel), watched_write, &test);

    bool done = restore(&test);
    check_functions(&test);
    if (!done) { /* once more, with the trouble over: what is still named is gone or is not ours */
        fake_kernel_revive(test.kernel);
        fake_kernel_bind_in_silence(test.kernel, false);
        for (guint i = 0; i < FUNCTIONS; i++) {
            fake_kernel_fail_probe(test.kernel, hosts[i], 0, 0);
        }
        done = restore(&test);
        check_functions(&test);
    }
    if (done) {
        check_all_back(&test);
    }
    free_case(&test);
    return 0;
}
