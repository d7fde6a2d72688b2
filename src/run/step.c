/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One step of a plan, done here and verified. */
#include "run/step_private.h"

#include "host/host_state_rules.h"

#include <vmrun/error.h>
#include <vmrun/gpu_users.h>
#include <vmrun/node_modes.h>
#include <vmrun/spawn.h>
#include <vmrun/text.h>

#include <string.h>

#define VFIO_PCI "vfio-pci"

/* Deadlines inside of the worker; those of vr_step_timeout_ms() are longer. */
#define MODULE_TIMEOUT_MS 60000
/* systemd itself gives a unit 90 s by default (DefaultTimeoutStopSec). */
#define UNIT_TIMEOUT_MS 100000
/* The owner of a group is gone only when the last reference to a dead QEMU is. */
#define BUSY_TIMEOUT_MS 10000
#define BUSY_RETRY_MS 50
/* A minute is what it took where memory is fragmented (OpenShift's performance operator, 279). */
#define POOL_TIMEOUT_MS 45000
#define POOL_RETRY_MS 200
#define POOL_CHUNKS 8
/* Programs that look at a node for a moment (udev's helpers, a sound server) are gone after it. */
#define HOLDER_TIMEOUT_MS 2000
#define HOLDER_RETRY_MS 20
/* systemd answers before it has written (core/cgroup.c, a queue). */
#define CPUS_TIMEOUT_MS 10000

/*
 * modprobe and not libkmod: nvidia and others come with `install` lines and soft dependencies in
 * modprobe.d that only modprobe obeys in full, and a driver whose initialisation hangs then hangs
 * a process that is not ours.
 */
static bool
load_module(void *data, const VrSysroot *root, const char *module, GError **error)
{
    const char *const argv[] = {"modprobe", "--", module, NULL};
    (void) data;
    if (!vr_sysroot_is_live(root)) {
        return vr_error_set(error, VR_ERROR_NOT_FOUND,
                            "the module %s can be loaded on the running system only", module);
    }
    return vr_spawn_check(argv, MODULE_TIMEOUT_MS, error);
}

static bool
run_systemctl(const VrSysroot *root, const char *verb, const char *unit, GError **error)
{
    /* systemctl refuses to start or stop anything with --root: never this computer's units */
    g_autofree char *elsewhere = g_strdup_printf("--root=%s", vr_sysroot_directory(root));
    const char *const here[] = {"systemctl", verb, "--", unit, NULL};
    const char *const there[] = {"systemctl", elsewhere, verb, "--", unit, NULL};
    return vr_spawn_check(vr_sysroot_is_live(root) ? here : there, UNIT_TIMEOUT_MS, error);
}

static bool
switch_unit(void *data, const VrSysroot *root, const char *verb, const char *unit, GError **error)
{
    g_autoptr(GError) ignored = NULL;
    (void) data;
    /* A unit that was started often counts as failed (nvidia-powerd: StartLimitBurst=5); one that
     * has not failed is not loaded perhaps, and then this is an error that says nothing. */
    if (g_str_equal(verb, "start") && !run_systemctl(root, "reset-failed", unit, &ignored)) {
        g_debug("%s", ignored->message);
    }
    return run_systemctl(root, verb, unit, error);
}

static const VrStepTools real_tools = {
    .load_module = load_module,
    .switch_unit = switch_unit,
    .set_cpus = vr_step_set_cpus,
    .busy_timeout_ms = BUSY_TIMEOUT_MS,
    .pool_timeout_ms = POOL_TIMEOUT_MS,
    .holder_timeout_ms = HOLDER_TIMEOUT_MS,
    .cpus_timeout_ms = CPUS_TIMEOUT_MS,
};

static bool
id_is(const VrSysroot *root, VrPciAddress address, const char *name, uint16_t expected,
      GError **error)
{
    g_autofree char *path = vr_pci_device_path(address, name);
    g_autofree char *text = vr_sysroot_read(root, path, error);
    uint64_t id = 0;
    if (text == NULL) {
        return vr_error_recode(error, VR_ERROR_GONE);
    }
    if (!vr_text_to_hex(text, 0xffff, &id) || id != expected) {
        return vr_error_set(error, VR_ERROR_GONE, "%s is %s, expected was 0x%04x", path, text,
                            expected);
    }
    return true;
}

static bool
check_identity(const VrSysroot *root, const VrStep *step, const VrBinding *binding, GError **error)
{
    if (binding == NULL || !vr_pci_address_equal(binding->address, step->device)) {
        return vr_error_set(error, VR_ERROR_FAILED, "nothing is known about the device");
    }
    return id_is(root, step->device, "vendor", binding->vendor, error) &&
           id_is(root, step->device, "device", binding->device, error);
}

/* *out_driver NULL: none. */
static bool
read_driver(const VrSysroot *root, VrPciAddress address, char **out_driver, GError **error)
{
    g_autofree char *path = vr_pci_device_path(address, "driver");
    g_autoptr(GError) failure = NULL;
    *out_driver = vr_sysroot_link_name(root, path, &failure);
    if (*out_driver == NULL && !g_error_matches(failure, VR_ERROR, VR_ERROR_NOT_FOUND)) {
        g_propagate_error(error, g_steal_pointer(&failure));
        return false;
    }
    return true;
}

/* drivers/base/driver.c, driver_set_override: only a newline clears it; an empty write never
 * reaches the kernel. */
static bool
execute_override(const VrSysroot *root, const VrStep *step, GError **error)
{
    g_autofree char *path = vr_pci_device_path(step->device, "driver_override");
    if (step->value != NULL && !vr_rule_is_override(step->value)) {
        return vr_error_set(error, VR_ERROR_CORRUPT, "not a text for driver_override");
    }
    if (!vr_sysroot_write(root, path, step->value != NULL ? step->value : "\n", error)) {
        return false;
    }
    g_autofree char *now = vr_sysroot_read(root, path, error);
    if (now == NULL) {
        return false;
    }
    bool none = now[0] == '\0' || g_str_equal(now, "(null)");
    return g_strcmp0(none ? NULL : now, step->value) == 0 ||
           vr_error_set(error, VR_ERROR_FAILED, "%s is \"%s\" after the write", path, now);
}

static VrHolders *
holders_of(const VrSysroot *root, const VrPciFunction *function)
{
    g_autoptr(GPtrArray) one = g_ptr_array_new();
    g_ptr_array_add(one, (gpointer) function);
    return vr_gpu_users_processes(root, one);
}

/*
 * Unbinding a function that a guest uses would pull it out of the guest, or block until QEMU ends
 * (drivers/vfio/vfio_main.c, vfio_unregister_group_dev): the group is asked first.
 */
static bool
check_group_is_free(const VrSysroot *root, VrPciAddress address, GError **error)
{
    g_autofree char *path = vr_pci_device_path(address, "iommu_group");
    g_autofree char *name = vr_sysroot_link_name(root, path, NULL);
    uint64_t group = 0;
    if (name == NULL || !vr_text_to_uint(name, 0, G_MAXINT, &group) ||
        vr_vfio_group_is_busy(root, (int) group) != VR_YES) {
        return true;
    }
    VrPciFunction function = {.address = address, .group = (int) group};
    g_autoptr(VrHolders) found = holders_of(root, &function);
    g_autofree char *who = vr_holders_describe(found);
    g_autofree char *text = vr_pci_address_format(address);
    return vr_error_set(error, VR_ERROR_DEVICE_BUSY,
                        "/dev/vfio/%s is in use by %s; find out more: vmrun who %s", name,
                        who != NULL ? who : "something that has no open file", text);
}

/* What the search for its nodes needs to know; the class tells a display of NVIDIA's. */
static VrHolders *
find_holders(const VrSysroot *root, const VrStep *step)
{
    g_autofree char *path = vr_pci_device_path(step->device, "class");
    g_autofree char *text = vr_sysroot_read_optional(root, path);
    uint64_t class_code = 0;
    VrPciFunction function = {.address = step->device, .group = -1, .driver = step->from};
    if (text != NULL && vr_text_to_hex(text, 0xffffff, &class_code)) {
        function.class_code = (uint32_t) class_code;
    }
    return holders_of(root, &function);
}

/*
 * A driver's remove waits for the users of its nodes, for ever if need be (sound/core/init.c,
 * snd_card_free) or goes on under them (drm_dev_unplug): whoever came after the checks is found
 * here, as late as can be. Who only looks is given a moment to go.
 */
static bool
check_nobody_holds(const VrSysroot *root, const VrStepTools *tools, const VrStep *step,
                   GError **error)
{
    int64_t deadline = g_get_monotonic_time() + (int64_t) tools->holder_timeout_ms * 1000;
    for (;;) {
        g_autoptr(VrHolders) found = find_holders(root, step);
        vr_holders_forget_inputs(found);
        g_autofree char *who = vr_holders_describe(found);
        if (who == NULL) {
            return true;
        }
        if (g_get_monotonic_time() >= deadline) {
            return vr_error_set(error, VR_ERROR_DEVICE_BUSY, "it is held by %s; end that first",
                                who);
        }
        g_usleep(MIN(HOLDER_RETRY_MS, tools->holder_timeout_ms) * 1000);
    }
}

static bool
execute_unbind(const VrSysroot *root, const VrStepTools *tools, const VrStep *step, GError **error)
{
    g_autofree char *before = NULL;
    g_autofree char *after = NULL;
    if (!vr_rule_is_driver_name(step->from)) {
        return vr_error_set(error, VR_ERROR_CORRUPT, "not the name of a driver");
    }
    if (!read_driver(root, step->device, &before, error)) {
        return false;
    }
    if (before == NULL) {
        return true; /* done already */
    }
    if (!g_str_equal(before, step->from)) {
        return vr_error_set(error, VR_ERROR_FAILED, "it is on %s by now", before);
    }
    if (!(g_str_equal(before, VFIO_PCI) ? check_group_is_free(root, step->device, error)
                                        : check_nobody_holds(root, tools, step, error))) {
        return false;
    }
    g_autofree char *path = vr_pci_driver_path(step->from, "unbind");
    g_autofree char *address = vr_pci_address_format(step->device);
    if (!vr_sysroot_write(root, path, address, error) ||
        !read_driver(root, step->device, &after, error)) {
        return false;
    }
    return g_strcmp0(after, step->from) != 0 ||
           vr_error_set(error, VR_ERROR_FAILED, "it is still on %s after the write", after);
}

/* `module` NULL: none is known. */
static bool
ensure_driver(const VrSysroot *root, const VrStepTools *tools, const char *driver,
              const char *module, GError **error)
{
    if (!vr_rule_is_driver_name(driver)) {
        return vr_error_set(error, VR_ERROR_CORRUPT, "not the name of a driver");
    }
    g_autofree char *directory = vr_pci_driver_path(driver, NULL);
    if (vr_sysroot_exists(root, directory)) {
        return true;
    }
    if (module == NULL) {
        return vr_error_set(error, VR_ERROR_NOT_FOUND,
                            "the driver %s is not there, and no module of it is known", driver);
    }
    if (!vr_rule_is_driver_name(module) || !tools->load_module(tools->data, root, module, error)) {
        /* Whatever modprobe did not like: the driver is not to be had. */
        vr_error_recode(error, VR_ERROR_NOT_FOUND);
        return vr_error_prefix(error, "load the module %s", module);
    }
    return vr_sysroot_exists(root, directory) ||
           vr_error_set(error, VR_ERROR_NOT_FOUND, "the module %s came without a driver %s", module,
                        driver);
}

/*
 * A host driver gets EBUSY while a dead QEMU's group still has an owner (drivers/iommu/iommu.c,
 * iommu_device_use_default_domain): that ends by itself. vfio-pci gets it for reasons that stay.
 */
static bool
write_bind(const VrSysroot *root, const VrStepTools *tools, const VrStep *step, GError **error)
{
    g_autofree char *path = vr_pci_driver_path(step->value, "bind");
    g_autofree char *address = vr_pci_address_format(step->device);
    bool patient = !g_str_equal(step->value, VFIO_PCI);
    int64_t deadline = g_get_monotonic_time() + (int64_t) tools->busy_timeout_ms * 1000;
    for (;;) {
        g_autoptr(GError) failure = NULL;
        if (vr_sysroot_write(root, path, address, &failure)) {
            return true;
        }
        if (!patient || !g_error_matches(failure, VR_ERROR, VR_ERROR_DEVICE_BUSY) ||
            g_get_monotonic_time() >= deadline) {
            g_propagate_error(error, g_steal_pointer(&failure));
            return false;
        }
        g_usleep(BUSY_RETRY_MS * 1000);
    }
}

static bool
execute_bind(const VrSysroot *root, const VrStepTools *tools, const VrStep *step,
             const VrBinding *binding, GError **error)
{
    g_autofree char *driver = NULL;
    if (!ensure_driver(root, tools, step->value, binding->module, error) ||
        !read_driver(root, step->device, &driver, error)) {
        return false;
    }
    if (g_strcmp0(driver, step->value) == 0) {
        return true; /* its module took it while loading: the override let nobody else */
    }
    if (!write_bind(root, tools, step, error)) {
        return vr_error_recode(error, VR_ERROR_FAILED);
    }
    g_clear_pointer(&driver, g_free);
    if (!read_driver(root, step->device, &driver, error)) {
        return false;
    }
    return g_strcmp0(driver, step->value) == 0 ||
           vr_error_set(error, VR_ERROR_FAILED, "the kernel reported success, but it is on %s",
                        driver != NULL ? driver : "no driver");
}

/*
 * A card that a guest left in a bad state may refuse its driver until it was reset. Only while
 * nobody has the function: neither a driver nor a user of its group. A function that the kernel
 * cannot reset alone has no file for it, or no method (drivers/pci/pci-sysfs.c, reset_store;
 * drivers/pci/pci.c, pci_reset_supported): then nothing is done.
 */
static bool
execute_reset(const VrSysroot *root, const VrStep *step, GError **error)
{
    g_autofree char *methods_path = vr_pci_device_path(step->device, "reset_method");
    g_autofree char *path = vr_pci_device_path(step->device, "reset");
    g_autofree char *methods = vr_sysroot_read_optional(root, methods_path);
    g_autofree char *driver = NULL;
    if (!read_driver(root, step->device, &driver, error)) {
        return false;
    }
    if (driver != NULL || methods == NULL || methods[0] == '\0') {
        return true;
    }
    return check_group_is_free(root, step->device, error) &&
           vr_sysroot_write(root, path, "1", error);
}

/* It reports success whether or not a driver wanted the function: who asks looks afterwards. */
static bool
execute_probe(const VrSysroot *root, const VrStep *step, GError **error)
{
    g_autofree char *address = vr_pci_address_format(step->device);
    return vr_sysroot_write(root, "/sys/bus/pci/drivers_probe", address, error);
}

static bool
execute_text(const VrSysroot *root, const VrStep *step, GError **error)
{
    if (!vr_sysroot_write(root, step->path, step->value, error)) {
        return false;
    }
    g_autofree char *now = vr_sysroot_read(root, step->path, error);
    return now != NULL &&
           (g_str_equal(now, step->value) ||
            vr_error_set(error, VR_ERROR_FAILED, "it is \"%s\" after the write", now));
}

static bool
read_count(const VrSysroot *root, const char *path, uint64_t *out_count, GError **error)
{
    g_autofree char *text = vr_sysroot_read(root, path, error);
    if (text == NULL) {
        return false;
    }
    return vr_text_to_uint(text, 0, UINT64_MAX, out_count) ||
           vr_error_set(error, VR_ERROR_CORRUPT, "%s: \"%s\" is no number", path, text);
}

static bool
write_count(const VrSysroot *root, const char *path, uint64_t count, GError **error)
{
    g_autofree char *text = g_strdup_printf("%" G_GUINT64_FORMAT, count);
    return vr_sysroot_write(root, path, text, error);
}

/* Documentation/admin-guide/sysctl/vm.rst: whole blocks of memory are put together. Only a help. */
static void
compact_memory(const VrSysroot *root)
{
    g_autoptr(GError) ignored = NULL;
    if (!vr_sysroot_write(root, "/proc/sys/vm/compact_memory", "1", &ignored)) {
        g_debug("%s", ignored->message);
    }
}

/*
 * The kernel gives what it finds and reports success, so the count is read after each write. In
 * parts, so that a deadline can end it. What was added stays when it fails: the way back takes it.
 */
static bool
grow_pool(const VrSysroot *root, const VrStepTools *tools, const char *path, uint64_t wanted,
          GError **error)
{
    int64_t deadline = g_get_monotonic_time() + (int64_t) tools->pool_timeout_ms * 1000;
    uint64_t now = 0;
    if (!read_count(root, path, &now, error)) {
        return false;
    }
    uint64_t missing = now < wanted ? wanted - now : 0;
    uint64_t part = MAX(missing / POOL_CHUNKS, 1);
    deadline += (int64_t) MIN(missing / 4, 1000000) * 1000; /* 2 MiB pages: 1/8 s a GiB */
    while (now < wanted) {
        uint64_t before = now;
        if (!write_count(root, path, MIN(now + part, wanted), error) ||
            !read_count(root, path, &now, error)) {
            return false;
        }
        if (g_get_monotonic_time() >= deadline && now < wanted) {
            return vr_error_set(error, VR_ERROR_FAILED,
                                "the kernel found %" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT
                                " pages; memory is too full or too fragmented: end other programs, "
                                "or reserve the pages at boot",
                                now, wanted);
        }
        if (now <= before) {
            compact_memory(root);
            g_usleep(MIN(POOL_RETRY_MS, tools->pool_timeout_ms) * 1000);
        }
    }
    return true;
}

static bool
shrink_pool(const VrSysroot *root, const char *path, uint64_t wanted, GError **error)
{
    uint64_t now = 0;
    if (!write_count(root, path, wanted, error) || !read_count(root, path, &now, error)) {
        return false;
    }
    return now <= wanted ||
           vr_error_set(error, VR_ERROR_FAILED,
                        "%" G_GUINT64_FORMAT " pages are still in use; %" G_GUINT64_FORMAT
                        " were wanted",
                        now, wanted);
}

static bool
execute_attribute(const VrSysroot *root, const VrStepTools *tools, const VrStep *step,
                  GError **error)
{
    uint64_t wanted, ignored, now;
    const VrAttribute attribute = {
        .kind = vr_rule_kind_of_path(step->path),
        .has_device = step->has_device,
        .device = step->device,
        .path = step->path,
        .value = step->value,
    };
    /* The device whose ids were compared must be the one that the file belongs to. */
    if (step->value == NULL || !vr_rule_is_attribute(&attribute)) {
        return vr_error_set(error, VR_ERROR_CORRUPT, "not a file that vmrun may change");
    }
    if (attribute.kind == VR_ATTRIBUTE_NODE) {
        return vr_node_mode_write(root, step->path, step->device, step->value, error);
    }
    if (attribute.kind == VR_ATTRIBUTE_CPUS) {
        return vr_step_execute_cpus(root, tools, step, error);
    }
    if (attribute.kind == VR_ATTRIBUTE_TEXT) {
        return execute_text(root, step, error);
    }
    if (!vr_count_parse(step->value, &wanted, &ignored)) {
        return vr_error_set(error, VR_ERROR_CORRUPT, "not a number of pages");
    }
    if (!read_count(root, step->path, &now, error)) {
        return false;
    }
    return now < wanted ? grow_pool(root, tools, step->path, wanted, error)
                        : shrink_pool(root, step->path, wanted, error);
}

static bool
execute_unit(const VrSysroot *root, const VrStepTools *tools, const VrStep *step, GError **error)
{
    if (!vr_rule_is_unit_name(step->value)) {
        return vr_error_set(error, VR_ERROR_CORRUPT, "not the name of a unit");
    }
    return tools->switch_unit(tools->data, root, step->kind == VR_STEP_STOP_UNIT ? "stop" : "start",
                              step->value, error);
}

static bool
execute(const VrSysroot *root, const VrStepTools *tools, const VrStep *step,
        const VrBinding *binding, GError **error)
{
    if (step->has_device && !check_identity(root, step, binding, error)) {
        return false;
    }
    switch (step->kind) {
    case VR_STEP_LOAD_MODULE:
        return ensure_driver(root, tools, step->value, step->value, error);
    case VR_STEP_STOP_UNIT:
    case VR_STEP_START_UNIT:
        return execute_unit(root, tools, step, error);
    case VR_STEP_ATTRIBUTE:
        return execute_attribute(root, tools, step, error);
    case VR_STEP_OVERRIDE:
        return execute_override(root, step, error);
    case VR_STEP_UNBIND:
        return execute_unbind(root, tools, step, error);
    case VR_STEP_BIND:
        return execute_bind(root, tools, step, binding, error);
    case VR_STEP_RESET:
        return execute_reset(root, step, error);
    case VR_STEP_PROBE:
        return execute_probe(root, step, error);
    }
    g_return_val_if_reached(false);
}

bool
vr_step_execute_with(const VrSysroot *root, const VrStepTools *tools, const VrStep *step,
                     const VrBinding *binding, GError **error)
{
    if (execute(root, tools, step, binding, error)) {
        return true;
    }
    g_autofree char *goal = vr_step_describe(step);
    return vr_error_prefix(error, "%s", goal);
}

bool
vr_step_execute(const VrSysroot *root, const VrStep *step, const VrBinding *binding, GError **error)
{
    return vr_step_execute_with(root, &real_tools, step, binding, error);
}

static bool
shares_slot_with_ucsi(const VrHostState *wanted, VrPciAddress address)
{
    for (guint i = 0; wanted != NULL && i < wanted->bindings->len; i++) {
        const VrBinding *binding = g_ptr_array_index(wanted->bindings, i);
        if (vr_pci_address_same_slot(binding->address, address) &&
            binding->class_code >> 8 == 0x0c80) { /* other serial bus controller */
            return true;
        }
    }
    return false;
}

static unsigned
attribute_timeout_ms(const VrStep *step)
{
    uint64_t from = 0;
    uint64_t to = 0;
    uint64_t ignored;
    if (!vr_attribute_path_is_count(step->path)) {
        return 75000; /* may wake the device: PCIE_RESET_READY_POLL_MS is a minute */
    }
    if (step->from == NULL || step->value == NULL || !vr_count_parse(step->from, &from, &ignored) ||
        !vr_count_parse(step->value, &to, &ignored)) {
        return 60000;
    }
    uint64_t pages = to > from ? to - from : from - to;
    return (unsigned) MIN(60000 + pages / 2, 3600000); /* 2 MiB pages: half a second a GiB */
}

unsigned
vr_step_timeout_ms(const VrStep *step, const VrHostState *wanted)
{
    switch (step->kind) {
    case VR_STEP_LOAD_MODULE:
        return MODULE_TIMEOUT_MS + 15000;
    case VR_STEP_STOP_UNIT:
    case VR_STEP_START_UNIT:
        return 2 * UNIT_TIMEOUT_MS + 15000; /* reset-failed and start */
    case VR_STEP_ATTRIBUTE:
        return attribute_timeout_ms(step);
    case VR_STEP_OVERRIDE:
        return 10000; /* waits for the device's lock only */
    case VR_STEP_UNBIND:
        if (g_strcmp0(step->from, VFIO_PCI) == 0) {
            return 90000; /* closing resets: a minute */
        }
        /* three minutes were seen with i2c_nvidia_gpu (system76-power, 71) */
        return shares_slot_with_ucsi(wanted, step->device) ? 240000 : 120000;
    case VR_STEP_RESET:
    case VR_STEP_PROBE:
        return 300000; /* a minute per reset method; a driver's probe may reset, too */
    case VR_STEP_BIND:
        return 300000 + MODULE_TIMEOUT_MS +
               BUSY_TIMEOUT_MS; /* a minute per reset method, and the card's firmware */
    }
    g_return_val_if_reached(60000);
}
