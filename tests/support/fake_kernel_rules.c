/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What Linux does with a write. The functions return 0 or an errno, as the kernel would. */
#include "fake_kernel_private.h"

#include "system_calls.h"
#include "tree.h"

#include <vmrun/error.h>
#include <vmrun/text.h>

#include <glib/gstdio.h>

#include <errno.h>
#include <string.h>

#define DEVICES "/sys/bus/pci/devices/"
#define DRIVERS "/sys/bus/pci/drivers/"
#define POOL "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"

static bool
is_vfio(const FakeDriver *driver)
{
    return driver != NULL && g_str_equal(driver->name, "vfio-pci");
}

static char *
device_file(const FakeDevice *device, const char *name)
{
    return g_strdup_printf("/sys/devices/pci0000:00/%s/%s", device->address, name);
}

void
fake_node_free(gpointer data)
{
    FakeNode *node = data;
    g_free(node->path);
    g_free(node->place);
    g_free(node->value);
    g_free(node);
}

void
fake_kernel_add_node(FakeKernel *kernel, const char *address, const char *path, const char *place,
                     const char *value)
{
    FakeDevice *device = fake_find_device(kernel, address);
    FakeNode *node = g_new0(FakeNode, 1);
    g_assert_nonnull(device);
    node->path = g_strdup(path);
    node->place = g_strdup(place);
    node->value = g_strdup(value);
    g_ptr_array_add(device->nodes, node);
}

/* The driver makes the node, with its number in sysfs; when it goes the node goes. */
static void
show_node(FakeKernel *kernel, const FakeDevice *device, const FakeNode *node, bool shown)
{
    g_auto(GStrv) parts = g_strsplit(node->value, " ", 3);
    g_autofree char *directory = device_file(device, node->place);
    g_autofree char *dev = g_strconcat(directory, "/dev", NULL);
    g_autofree char *link = g_strconcat("/sys/dev/char/", parts[1], NULL);
    g_autofree char *uevent = g_strconcat(directory, "/uevent", NULL);
    g_autofree char *name = g_strconcat("DEVNAME=", node->path + strlen("/dev/"), NULL);
    const char *const paths[] = {dev, uevent, link, node->path};
    if (shown) {
        fake_store(kernel, dev, parts[1]);
        fake_store(kernel, uevent, name);
        tree_link(kernel->directory, link, directory);
        fake_store(kernel, node->path, node->value);
    }
    for (guint i = 0; !shown && i < G_N_ELEMENTS(paths); i++) {
        g_autofree char *full = g_strconcat(kernel->directory, paths[i], NULL);
        g_unlink(full);
    }
}

void
fake_set_driver(FakeKernel *kernel, FakeDevice *device, FakeDriver *driver)
{
    bool shown = driver != NULL && !is_vfio(driver);
    for (guint i = 0; i < device->nodes->len; i++) {
        show_node(kernel, device, g_ptr_array_index(device->nodes, i), shown);
    }
    g_autofree char *link = device_file(device, "driver");
    g_autofree char *full = g_strconcat(kernel->directory, link, NULL);
    g_unlink(full);
    if (driver != NULL) {
        g_autofree char *target = g_strconcat("../../../bus/pci/drivers/", driver->name, NULL);
        tree_link(kernel->directory, link, target);
    }
    device->driver = driver;
}

void
fake_set_override(FakeKernel *kernel, FakeDevice *device, const char *override)
{
    g_autofree char *path = device_file(device, "driver_override");
    char *copy = g_strdup(override);
    g_free(device->override);
    device->override = copy;
    fake_store(kernel, path, override != NULL ? override : "(null)");
}

void
fake_set_power(FakeKernel *kernel, FakeDevice *device, const char *value)
{
    g_autofree char *path = device_file(device, "power/control");
    fake_store(kernel, path, value);
}

void
fake_set_pool(FakeKernel *kernel, unsigned pages)
{
    g_autofree char *text = g_strdup_printf("%u", pages);
    fake_store(kernel, POOL, text);
}

/* pci_match_device(): an override lets only the driver of that name in, whatever its ids. vfio-pci
 * takes nothing by itself (PCI_DRIVER_OVERRIDE_DEVICE_VFIO). */
static bool
may_have(const FakeDriver *driver, const FakeDevice *device)
{
    if (!driver->loaded) {
        return false;
    }
    if (device->override != NULL) {
        return g_str_equal(device->override, driver->name);
    }
    return strstr(driver->ids, device->id) != NULL;
}

/* iommu_device_use_default_domain(): a driver that uses DMA is refused while the group has another
 * owner. vfio-pci owns nothing until a user opens the group, but it needs one. */
static int
probe(FakeKernel *kernel, FakeDriver *driver, FakeDevice *device)
{
    if (is_vfio(driver) && device->group < 0) {
        return EINVAL;
    }
    if (!is_vfio(driver) && device->group >= 0 && device->group == kernel->owned_group) {
        if (kernel->owned_binds-- > 0) {
            return EBUSY;
        }
        kernel->owned_group = -1;
    }
    if (!is_vfio(driver) && device->needs_reset) {
        return EIO;
    }
    if (driver->probe_failures > 0) {
        driver->probe_failures--;
        return driver->probe_errno;
    }
    fake_set_driver(kernel, device, driver);
    if (driver->probe_power != NULL) {
        fake_set_power(kernel, device, driver->probe_power);
    }
    return 0;
}

void
fake_probe_all(FakeKernel *kernel, FakeDriver *driver)
{
    for (guint i = 0; i < kernel->devices->len; i++) {
        FakeDevice *device = g_ptr_array_index(kernel->devices, i);
        if (device->driver == NULL && may_have(driver, device)) {
            probe(kernel, driver, device);
        }
    }
}

/* bind_store() and device_driver_attach(): the true errno */
static int
bind(FakeKernel *kernel, FakeDriver *driver, const char *address)
{
    FakeDevice *device = fake_find_device(kernel, address);
    if (device == NULL || !may_have(driver, device)) {
        return ENODEV;
    }
    if (device->driver != NULL) {
        return EBUSY;
    }
    return kernel->silent ? 0 : probe(kernel, driver, device);
}

static int
unbind(FakeKernel *kernel, const FakeDriver *driver, const char *address)
{
    FakeDevice *device = fake_find_device(kernel, address);
    if (device == NULL || device->driver != driver) {
        return ENODEV;
    }
    fake_set_driver(kernel, device, NULL);
    if (is_vfio(driver)) {
        fake_set_power(kernel, device, "on"); /* pm_runtime_forbid in its remove */
    }
    FakeDriver *grabber = fake_find_driver(kernel, kernel->grabber);
    if (grabber != NULL && may_have(grabber, device)) {
        probe(kernel, grabber, device);
    }
    return 0;
}

static int
driver_write(FakeKernel *kernel, const char *rest, const char *text)
{
    g_auto(GStrv) parts = g_strsplit(rest, "/", 2);
    FakeDriver *driver = fake_find_driver(kernel, parts[0]);
    g_autofree char *address = g_strchomp(g_strdup(text));
    if (driver == NULL || !driver->loaded) {
        return ENOENT;
    }
    if (g_strcmp0(parts[1], "bind") == 0) {
        return bind(kernel, driver, address);
    }
    return g_strcmp0(parts[1], "unbind") == 0 ? unbind(kernel, driver, address) : EACCES;
}

/* driver_set_override(): up to the first newline; nothing before it clears it */
static int
override_write(FakeKernel *kernel, FakeDevice *device, const char *text)
{
    g_autofree char *value = g_strndup(text, strcspn(text, "\n"));
    if (strlen(text) >= 4095) {
        return EINVAL;
    }
    fake_set_override(kernel, device, value[0] != '\0' ? value : NULL);
    return 0;
}

/* reset_store(): only "1", and only where the kernel has a method */
static int
reset_write(FakeKernel *kernel, FakeDevice *device, const char *value)
{
    g_autofree char *path = device_file(device, "reset_method");
    g_autofree char *methods = vr_sysroot_read_optional(kernel->root, path);
    if (methods == NULL || methods[0] == '\0') {
        return ENOENT;
    }
    if (!g_str_equal(value, "1")) {
        return EINVAL;
    }
    device->needs_reset = false;
    device->resets++;
    return 0;
}

static int
device_write(FakeKernel *kernel, const char *rest, const char *text)
{
    g_auto(GStrv) parts = g_strsplit(rest, "/", 2);
    FakeDevice *device = fake_find_device(kernel, parts[0]);
    g_autofree char *value = g_strchomp(g_strdup(text));
    if (device == NULL) {
        return ENOENT;
    }
    if (g_strcmp0(parts[1], "driver_override") == 0) {
        return override_write(kernel, device, text);
    }
    if (g_strcmp0(parts[1], "reset") == 0) {
        return reset_write(kernel, device, value);
    }
    if (g_strcmp0(parts[1], "power/control") == 0) {
        if (!g_str_equal(value, "on") && !g_str_equal(value, "auto")) {
            return EINVAL;
        }
        fake_set_power(kernel, device, value);
        return 0;
    }
    if (g_strcmp0(parts[1], "d3cold_allowed") == 0) {
        g_autofree char *path = device_file(device, "d3cold_allowed");
        if (!g_str_equal(value, "0") && !g_str_equal(value, "1")) {
            return EINVAL;
        }
        fake_store(kernel, path, value);
        return 0;
    }
    return EACCES;
}

/* drivers_probe: success whether or not anybody wanted it (bus_rescan_devices_helper) */
static int
probe_write(FakeKernel *kernel, const char *text)
{
    g_autofree char *address = g_strchomp(g_strdup(text));
    FakeDevice *device = fake_find_device(kernel, address);
    if (device == NULL) {
        return ENODEV;
    }
    for (guint i = 0; i < kernel->drivers->len && device->driver == NULL; i++) {
        FakeDriver *driver = g_ptr_array_index(kernel->drivers, i);
        if (may_have(driver, device)) {
            probe(kernel, driver, device);
        }
    }
    return 0;
}

/* As many pages as there are, and success; those in use stay (mm/hugetlb.c, set_max_huge_pages:
 * they become surplus). */
static int
pool_write(FakeKernel *kernel, const char *text)
{
    uint64_t pages = 0;
    if (!vr_text_to_uint(text, 0, G_MAXUINT, &pages)) {
        return EINVAL;
    }
    fake_set_pool(kernel, MAX(MIN((unsigned) pages, kernel->pool_limit), kernel->pool_used));
    return 0;
}

/* drivers/cpufreq/cpufreq.c, store_scaling_governor() */
static int
governor_write(FakeKernel *kernel, const char *path, const char *text)
{
    g_autofree char *there = vr_sysroot_read_optional(kernel->root, path);
    if (there == NULL) {
        return ENOENT;
    }
    if (!g_str_equal(text, "performance") && !g_str_equal(text, "powersave")) {
        return EINVAL;
    }
    fake_store(kernel, path, text);
    return 0;
}

static int
answer(FakeKernel *kernel, const char *path, const char *text)
{
    if (g_str_has_prefix(path, DRIVERS)) {
        return driver_write(kernel, path + strlen(DRIVERS), text);
    }
    if (g_str_has_prefix(path, DEVICES)) {
        return device_write(kernel, path + strlen(DEVICES), text);
    }
    if (g_str_equal(path, "/sys/bus/pci/drivers_probe")) {
        return probe_write(kernel, text);
    }
    if (g_str_equal(path, POOL)) {
        return pool_write(kernel, text);
    }
    if (g_str_has_prefix(path, "/sys/devices/system/cpu/cpufreq/policy")) {
        return governor_write(kernel, path, text);
    }
    if (g_str_has_prefix(path, "/dev/")) { /* chmod(2), as vr_node_mode_write() puts it here */
        fake_store(kernel, path, text);
        return 0;
    }
    if (g_str_has_prefix(path, "/sys/fs/cgroup/")) {
        return fake_cpus_write(kernel, path, text);
    }
    return g_str_equal(path, "/proc/sys/vm/compact_memory") ? 0 : ENOENT;
}

/* Is this the write that goes wrong? Once less from now on. */
static bool
takes_fault(FakeKernel *kernel, const char *path, const char *value)
{
    FakeFault *fault = &kernel->fault;
    if (fault->file == NULL || fault->times == 0 || !g_str_has_suffix(path, fault->file) ||
        (strstr(path, fault->address) == NULL && !g_str_equal(value, fault->address)) ||
        (fault->text != NULL && !g_str_equal(value, fault->text))) {
        return false;
    }
    fault->times -= fault->times != G_MAXUINT;
    kernel->faults++;
    return true;
}

static bool
fail(FakeKernel *kernel, const char *path, const char *text, GError **error)
{
    kernel->writes++;
    if (kernel->fault.is_short) { /* as vr_fd_write_once() says it */
        return vr_error_set(error, VR_ERROR_IO,
                            "write \"%s\" to %s: only 1 of %zu bytes were taken", text, path,
                            strlen(text));
    }
    return kernel->fault.errno_value == 0 ||
           vr_error_set_errno(error, kernel->fault.errno_value, "write \"%s\" to %s", text, path);
}

static int
number_and_answer(FakeKernel *kernel, const char *path, const char *text)
{
    int number = (int) kernel->writes++;
    return number == kernel->fail_at ? kernel->fail_errno : answer(kernel, path, text);
}

bool
fake_kernel_write(void *data, const char *path, const char *text, GError **error)
{
    FakeKernel *kernel = data;
    g_autofree char *value = g_strchomp(g_strdup(text));
    g_autofree char *line = g_strdup_printf("kernel %s %s", path, value);
    if (kernel->crash_at >= 0 && (int) kernel->writes >= kernel->crash_at) {
        return vr_error_set(error, VR_ERROR_FAILED, "the program is dead");
    }
    if (takes_fault(kernel, path, value)) {
        return fail(kernel, path, text, error);
    }
    int result = system_call_enter(line);
    if (result == 0) {
        result = number_and_answer(kernel, path, text);
        system_call_leave(line, result);
    }
    return result == 0 || vr_error_set_errno(error, result, "write \"%s\" to %s", text, path);
}
