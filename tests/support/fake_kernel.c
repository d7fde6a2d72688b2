/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fake_kernel.h"

#include "base/sysroot_private.h"
#include "fake_kernel_private.h"
#include "run/step_private.h"
#include "system_calls.h"
#include "tree.h"

#include <vmrun/error.h>

#include <glib/gstdio.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* In the tree, so that it outlives a process; nobody else looks there. */
#define UNITS "/fake/units"

static void
driver_free(gpointer data)
{
    FakeDriver *driver = data;
    g_free(driver->name);
    g_free(driver->ids);
    g_free(driver->module);
    g_free(driver->probe_power);
    g_free(driver);
}

static void
device_free(gpointer data)
{
    FakeDevice *device = data;
    g_free(device->address);
    g_free(device->id);
    g_free(device->override);
    g_ptr_array_unref(device->nodes);
    g_free(device);
}

/* Without the fsync that g_file_set_contents() makes: thousands of these are written. */
void
fake_store(const FakeKernel *kernel, const char *path, const char *text)
{
    g_autofree char *full = g_strconcat(kernel->directory, path, NULL);
    g_autofree char *above = g_path_get_dirname(full);
    g_autofree char *line = g_strconcat(text, "\n", NULL);
    g_assert_no_errno(g_mkdir_with_parents(above, 0755));
    int fd = open(full, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(write(fd, line, strlen(line)), ==, (ssize_t) strlen(line));
    close(fd);
}

FakeDriver *
fake_find_driver(const FakeKernel *kernel, const char *name)
{
    for (guint i = 0; i < kernel->drivers->len; i++) {
        FakeDriver *driver = g_ptr_array_index(kernel->drivers, i);
        if (g_strcmp0(driver->name, name) == 0) {
            return driver;
        }
    }
    return NULL;
}

FakeDevice *
fake_find_device(const FakeKernel *kernel, const char *address)
{
    for (guint i = 0; i < kernel->devices->len; i++) {
        FakeDevice *device = g_ptr_array_index(kernel->devices, i);
        if (g_strcmp0(device->address, address) == 0) {
            return device;
        }
    }
    return NULL;
}

static FakeDevice *
need_device(const FakeKernel *kernel, const char *address)
{
    FakeDevice *device = fake_find_device(kernel, address);
    g_assert(device != NULL);
    return device;
}

static FakeDriver *
need_driver(const FakeKernel *kernel, const char *name)
{
    FakeDriver *driver = fake_find_driver(kernel, name);
    g_assert(driver != NULL);
    return driver;
}

/* In memory where there is such a place: a sweep makes a hundred thousand small changes. */
static void
choose_fast_place(void)
{
    if (g_getenv("TMPDIR") == NULL && access("/dev/shm", W_OK) == 0) {
        g_setenv("TMPDIR", "/dev/shm", FALSE);
    }
}

FakeKernel *
fake_kernel_new(void)
{
    choose_fast_place();
    FakeKernel *kernel = g_new0(FakeKernel, 1);
    kernel->directory = tree_new();
    kernel->drivers = g_ptr_array_new_with_free_func(driver_free);
    kernel->devices = g_ptr_array_new_with_free_func(device_free);
    kernel->units = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    kernel->fail_at = -1;
    kernel->crash_at = -1;
    kernel->owned_group = -1;
    kernel->root = tree_root(kernel->directory);
    vr_sysroot_set_write_hook(kernel->root, fake_kernel_write, kernel);
    fake_kernel_add_driver(kernel, "vfio-pci", "", "vfio_pci");
    fake_kernel_probe_sets_power(kernel, "vfio-pci", "auto"); /* pm_runtime_allow in its probe */
    return kernel;
}

void
fake_kernel_free(FakeKernel *kernel)
{
    if (kernel == NULL) {
        return;
    }
    vr_sysroot_unref(kernel->root);
    tree_remove(kernel->directory);
    g_ptr_array_unref(kernel->drivers);
    g_ptr_array_unref(kernel->devices);
    g_hash_table_unref(kernel->units);
    g_free(kernel->grabber);
    g_free(kernel);
}

VrSysroot *
fake_kernel_root(FakeKernel *kernel)
{
    return kernel->root;
}

const char *
fake_kernel_directory(const FakeKernel *kernel)
{
    return kernel->directory;
}

static void
show_driver(const FakeKernel *kernel, const FakeDriver *driver)
{
    g_autofree char *path = g_strdup_printf("/sys/bus/pci/drivers/%s", driver->name);
    static const char *const files[] = {"bind", "unbind", "new_id"};
    for (guint i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autofree char *file = g_strdup_printf("%s/%s", path, files[i]);
        fake_store(kernel, file, "");
    }
    if (driver->module != NULL) {
        g_autofree char *link = g_strconcat(path, "/module", NULL);
        g_autofree char *target = g_strconcat("/sys/module/", driver->module, NULL);
        tree_make(kernel->directory, target);
        tree_link(kernel->directory, link, target);
    }
}

void
fake_kernel_add_driver(FakeKernel *kernel, const char *name, const char *ids, const char *module)
{
    FakeDriver *driver = g_new0(FakeDriver, 1);
    driver->name = g_strdup(name);
    driver->ids = g_strdup(ids);
    driver->module = g_strdup(module);
    driver->loaded = true;
    g_ptr_array_add(kernel->drivers, driver);
    show_driver(kernel, driver);
}

static void
remove_driver_directory(const FakeKernel *kernel, const FakeDriver *driver)
{
    static const char *const names[] = {"bind", "unbind", "new_id", "module", ""};
    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = g_strdup_printf("%s/sys/bus/pci/drivers/%s/%s", kernel->directory,
                                                driver->name, names[i]);
        g_assert_cmpint(g_remove(path), ==, 0);
    }
}

void
fake_kernel_unload(FakeKernel *kernel, const char *name)
{
    FakeDriver *driver = need_driver(kernel, name);
    for (guint i = 0; i < kernel->devices->len; i++) {
        const FakeDevice *device = g_ptr_array_index(kernel->devices, i);
        g_assert_true(device->driver != driver);
    }
    driver->loaded = false;
    remove_driver_directory(kernel, driver);
}

void
fake_kernel_add_device(FakeKernel *kernel, const char *address, const char *class_and_id, int group)
{
    FakeDevice *device = g_new0(FakeDevice, 1);
    g_autofree char *path = g_strconcat("pci0000:00/", address, NULL);
    g_autofree char *cold = g_strdup_printf("/sys/devices/%s/d3cold_allowed", path);
    device->nodes = g_ptr_array_new_with_free_func(fake_node_free);
    device->address = g_strdup(address);
    device->id = g_strdup(strchr(class_and_id, ' ') + 1);
    device->group = group;
    g_ptr_array_add(kernel->devices, device);
    tree_pci(kernel->directory, path, class_and_id, NULL, group);
    fake_store(kernel, cold, "1");
    fake_set_power(kernel, device, "on");
    fake_set_override(kernel, device, NULL);
}

void
fake_kernel_remove_device(FakeKernel *kernel, const char *address)
{
    g_autofree char *link =
        g_strdup_printf("%s/sys/bus/pci/devices/%s", kernel->directory, address);
    FakeDevice *device = need_device(kernel, address);
    fake_set_driver(kernel, device, NULL);
    g_assert_no_errno(g_unlink(link));
    g_ptr_array_remove(kernel->devices, device);
}

void
fake_kernel_place(FakeKernel *kernel, const char *address, const char *driver, const char *override,
                  const char *power_control)
{
    FakeDevice *device = need_device(kernel, address);
    fake_set_driver(kernel, device, driver != NULL ? need_driver(kernel, driver) : NULL);
    fake_set_override(kernel, device, override);
    fake_set_power(kernel, device, power_control);
}

void
fake_kernel_add_pool(FakeKernel *kernel, unsigned pages, unsigned limit)
{
    kernel->pool_limit = limit;
    fake_set_pool(kernel, pages);
}

void
fake_kernel_use_pages(FakeKernel *kernel, unsigned pages)
{
    kernel->pool_used = pages;
}

unsigned
fake_kernel_pages(const FakeKernel *kernel)
{
    g_autofree char *text = vr_sysroot_read_optional(
        kernel->root, "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages");
    return text != NULL ? (unsigned) g_ascii_strtoull(text, NULL, 10) : 0;
}

static char *
policy_file(unsigned number, const char *name)
{
    return g_strdup_printf("/sys/devices/system/cpu/cpufreq/policy%u/%s", number, name);
}

void
fake_kernel_add_policy(FakeKernel *kernel, unsigned number, const char *governor)
{
    g_autofree char *path = policy_file(number, "scaling_governor");
    g_autofree char *list = policy_file(number, "scaling_available_governors");
    fake_store(kernel, path, governor);
    fake_store(kernel, list, "performance powersave");
}

char *
fake_kernel_governor(const FakeKernel *kernel, unsigned number)
{
    g_autofree char *path = policy_file(number, "scaling_governor");
    return vr_sysroot_read_optional(kernel->root, path);
}

void
fake_kernel_add_unit(FakeKernel *kernel, const char *name, bool active)
{
    g_autofree char *path = g_strconcat(UNITS "/", name, NULL);
    g_hash_table_replace(kernel->units, g_strdup(name), GINT_TO_POINTER(active ? 1 : 0));
    fake_store(kernel, path, active ? "active" : "inactive");
}

bool
fake_kernel_unit_is_active(const FakeKernel *kernel, const char *name)
{
    return GPOINTER_TO_INT(g_hash_table_lookup(kernel->units, name)) != 0;
}

void
fake_kernel_own_group(FakeKernel *kernel, int group, unsigned binds)
{
    kernel->owned_group = group;
    kernel->owned_binds = binds;
}

void
fake_kernel_fail_probe(FakeKernel *kernel, const char *name, int errno_value, unsigned times)
{
    FakeDriver *driver = need_driver(kernel, name);
    driver->probe_errno = errno_value;
    driver->probe_failures = times;
}

void
fake_kernel_add_reset(FakeKernel *kernel, const char *address, const char *methods, bool needed)
{
    FakeDevice *device = need_device(kernel, address);
    g_autofree char *path = g_strdup_printf("/sys/devices/pci0000:00/%s/reset_method", address);
    fake_store(kernel, path, methods);
    device->needs_reset = needed;
}

unsigned
fake_kernel_resets(const FakeKernel *kernel, const char *address)
{
    return need_device(kernel, address)->resets;
}

void
fake_kernel_uninstall(FakeKernel *kernel, const char *name)
{
    FakeDriver *driver = need_driver(kernel, name);
    fake_kernel_unload(kernel, name);
    g_clear_pointer(&driver->module, g_free);
}

void
fake_kernel_set_fault(FakeKernel *kernel, const FakeFault *fault)
{
    kernel->fault = fault != NULL ? *fault : (FakeFault){0};
    kernel->faults = 0;
}

unsigned
fake_kernel_faults(const FakeKernel *kernel)
{
    return kernel->faults;
}

void
fake_kernel_bind_in_silence(FakeKernel *kernel, bool silent)
{
    kernel->silent = silent;
}

void
fake_kernel_set_grabber(FakeKernel *kernel, const char *driver)
{
    g_free(kernel->grabber);
    kernel->grabber = g_strdup(driver);
}

void
fake_kernel_probe_sets_power(FakeKernel *kernel, const char *name, const char *value)
{
    FakeDriver *driver = need_driver(kernel, name);
    g_free(driver->probe_power);
    driver->probe_power = g_strdup(value);
}

void
fake_kernel_fail_at(FakeKernel *kernel, unsigned n, int errno_value)
{
    kernel->fail_at = (int) n;
    kernel->fail_errno = errno_value;
}

void
fake_kernel_crash_at(FakeKernel *kernel, unsigned n)
{
    kernel->crash_at = (int) n;
}

void
fake_kernel_revive(FakeKernel *kernel)
{
    kernel->fail_at = -1;
    kernel->crash_at = -1;
    kernel->writes = 0;
}

unsigned
fake_kernel_writes(const FakeKernel *kernel)
{
    return kernel->writes;
}

static int
compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *) a, *(const char *const *) b);
}

static void
snapshot_entry(GString *text, const char *path, const char *shown)
{
    g_autofree char *target = g_file_read_link(path, NULL);
    g_autofree char *content = NULL;
    if (target != NULL) {
        g_string_append_printf(text, "%s -> %s\n", shown, target);
    } else if (g_file_get_contents(path, &content, NULL, NULL)) {
        g_string_append_printf(text, "%s = %s", shown, content);
    }
}

static void
snapshot_below(GString *text, const char *directory, const char *shown)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    GDir *entries = g_dir_open(directory, 0, NULL);
    const char *name = NULL;
    while (entries != NULL && (name = g_dir_read_name(entries)) != NULL) {
        g_ptr_array_add(names, g_strdup(name));
    }
    g_clear_pointer(&entries, g_dir_close);
    g_ptr_array_sort(names, compare_names);
    for (guint i = 0; i < names->len; i++) {
        const char *entry = g_ptr_array_index(names, i);
        g_autofree char *path = g_build_filename(directory, entry, NULL);
        g_autofree char *label = g_build_filename(shown, entry, NULL);
        if (g_file_test(path, G_FILE_TEST_IS_DIR) && !g_file_test(path, G_FILE_TEST_IS_SYMLINK)) {
            snapshot_below(text, path, label);
        } else {
            snapshot_entry(text, path, label);
        }
    }
}

char *
fake_kernel_snapshot(const FakeKernel *kernel)
{
    GString *text = g_string_new(NULL);
    static const char *const tops[] = {"/sys", "/dev"};
    for (guint i = 0; i < G_N_ELEMENTS(tops); i++) {
        g_autofree char *top = g_strconcat(kernel->directory, tops[i], NULL);
        snapshot_below(text, top, tops[i]);
    }
    return g_string_free(text, FALSE);
}

char *
fake_kernel_driver(const FakeKernel *kernel, const char *address)
{
    const FakeDevice *device = need_device(kernel, address);
    return g_strdup(device->driver != NULL ? device->driver->name : "none");
}

char *
fake_kernel_override(const FakeKernel *kernel, const char *address)
{
    const FakeDevice *device = need_device(kernel, address);
    return g_strdup(device->override != NULL ? device->override : "(null)");
}

static void
reload_device(const FakeKernel *kernel, FakeDevice *device)
{
    g_autofree char *path =
        g_strdup_printf("/sys/devices/pci0000:00/%s/driver_override", device->address);
    g_autofree char *link = g_strdup_printf("/sys/devices/pci0000:00/%s/driver", device->address);
    g_autofree char *driver = vr_sysroot_link_name(kernel->root, link, NULL);
    g_autofree char *override = vr_sysroot_read_optional(kernel->root, path);
    device->driver = driver != NULL ? need_driver(kernel, driver) : NULL;
    g_free(device->override);
    device->override = g_strcmp0(override, "(null)") != 0 ? g_steal_pointer(&override) : NULL;
}

static bool
unit_is_active_in_tree(const FakeKernel *kernel, const char *name)
{
    g_autofree char *path = g_strconcat(UNITS "/", name, NULL);
    g_autofree char *text = vr_sysroot_read_optional(kernel->root, path);
    return g_strcmp0(text, "active") == 0;
}

void
fake_kernel_reload(FakeKernel *kernel)
{
    GHashTableIter units;
    gpointer name;
    for (guint i = 0; i < kernel->drivers->len; i++) {
        FakeDriver *driver = g_ptr_array_index(kernel->drivers, i);
        g_autofree char *path = g_strconcat("/sys/bus/pci/drivers/", driver->name, NULL);
        driver->loaded = vr_sysroot_exists(kernel->root, path);
    }
    for (guint i = 0; i < kernel->devices->len; i++) {
        reload_device(kernel, g_ptr_array_index(kernel->devices, i));
    }
    g_hash_table_iter_init(&units, kernel->units);
    while (g_hash_table_iter_next(&units, &name, NULL)) {
        g_hash_table_iter_replace(&units, GINT_TO_POINTER(unit_is_active_in_tree(kernel, name)));
    }
}

static bool
find_and_load(FakeKernel *kernel, const char *module)
{
    for (guint i = 0; i < kernel->drivers->len; i++) {
        FakeDriver *driver = g_ptr_array_index(kernel->drivers, i);
        if (g_strcmp0(driver->module, module) == 0 && !driver->loaded) {
            driver->loaded = true;
            show_driver(kernel, driver);
            fake_probe_all(kernel, driver);
            return true;
        }
    }
    return false;
}

static bool
load_module(void *data, const VrSysroot *root, const char *module, GError **error)
{
    g_autofree char *line = g_strdup_printf("module %s", module);
    (void) root;
    int result = system_call_enter(line);
    if (result == 0) {
        result = find_and_load(data, module) ? 0 : ENOENT;
        system_call_leave(line, result);
    }
    return result == 0 ||
           vr_error_set(error, VR_ERROR_FAILED, "modprobe: module %s not found", module);
}

static bool
switch_unit(void *data, const VrSysroot *root, const char *verb, const char *unit, GError **error)
{
    FakeKernel *kernel = data;
    (void) root;
    if (!g_hash_table_contains(kernel->units, unit)) {
        return vr_error_set(error, VR_ERROR_FAILED, "unit %s not found", unit);
    }
    g_autofree char *line = g_strdup_printf("unit %s %s", verb, unit);
    int result = system_call_enter(line);
    if (result == 0) {
        fake_kernel_add_unit(kernel, unit, g_str_equal(verb, "start"));
        system_call_leave(line, 0);
    }
    return result == 0 || vr_error_set_errno(error, result, "%s %s", verb, unit);
}

static bool
execute(void *data, const VrStep *step, const VrHostState *wanted, GError **error)
{
    FakeKernel *kernel = data;
    VrStepTools tools = {load_module, switch_unit, fake_set_cpus, kernel, 200, 300, 1, 1};
    const VrBinding *binding =
        step->has_device ? vr_host_state_binding(wanted, step->device) : NULL;
    return vr_step_execute_with(kernel->root, &tools, step, binding, error);
}

/* Units are the fake's own; there is no systemd behind it. */
static VrHostState *
observe(void *data, const VrHostState *shape, GError **error)
{
    FakeKernel *kernel = data;
    g_autoptr(VrHostState) without = vr_host_state_copy(shape);
    g_ptr_array_set_size(without->units, 0);
    VrHostState *state = vr_host_state_observe(kernel->root, without, error);
    for (guint i = 0; state != NULL && i < shape->units->len; i++) {
        const VrUnitState *unit = g_ptr_array_index(shape->units, i);
        vr_host_state_set_unit(state, unit->name, fake_kernel_unit_is_active(kernel, unit->name));
    }
    return state;
}

VrExecutor
fake_kernel_executor(FakeKernel *kernel)
{
    return (VrExecutor){.execute = execute, .observe = observe, .data = kernel};
}
