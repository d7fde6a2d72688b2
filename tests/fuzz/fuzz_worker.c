/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A hostile line to the worker. It answers with "ok" or with a reason, and writes only the few
 * files that a plan may name: those of a device only when the request has its address and ids.
 */
#include "parts.h"

#include "../support/fake_kernel_private.h"
#include "base/sysroot_private.h"
#include "run/worker_private.h"

#include <string.h>

#define DEVICES "/sys/bus/pci/devices/"
#define DRIVERS "/sys/bus/pci/drivers/"
#define POOLS "/sys/kernel/mm/hugepages/"
#define POLICIES "/sys/devices/system/cpu/cpufreq/policy"

typedef struct {
    FakeKernel *kernel;
    JsonObject *request;
} Watch;

static const char *
text_of(JsonObject *object, const char *name)
{
    const char *text = json_object_get_string_member_with_default(object, name, "");
    return text != NULL ? text : "";
}

/* The request names this function, by its one address and by its ids. */
static void
check_device(const Watch *watch, const char *address)
{
    VrPciAddress asked, written;
    const FakeDevice *device = fake_find_device(watch->kernel, address);
    g_assert_true(vr_pci_address_parse(address, &written));
    g_assert_true(vr_pci_address_parse(text_of(watch->request, "device"), &asked));
    g_assert_true(vr_pci_address_equal(asked, written));
    g_assert_nonnull(device);
    g_autofree char *id = g_strdup_printf(
        "%04x:%04x", (unsigned) json_object_get_int_member(watch->request, "vendor-id"),
        (unsigned) json_object_get_int_member(watch->request, "device-id"));
    g_assert_cmpstr(id, ==, device->id);
}

static bool
watched_write(void *data, const char *path, const char *text, GError **error)
{
    static const char *const files[] = {"driver_override", "power/control", "d3cold_allowed", NULL};
    const Watch *watch = data;
    g_auto(GStrv) parts = NULL;
    g_assert_null(strstr(path, ".."));
    g_assert_cmpstr(text_of(watch->request, "verb"), ==, "step");
    if (g_str_has_prefix(path, DEVICES)) {
        parts = g_strsplit(path + strlen(DEVICES), "/", 2);
        g_assert_true(g_strv_contains(files, parts[1]));
        check_device(watch, parts[0]);
        g_assert_true(g_str_equal(parts[1], "driver_override") || strlen(text) <= strlen("auto"));
    } else if (g_str_has_prefix(path, DRIVERS)) {
        parts = g_strsplit(path + strlen(DRIVERS), "/", 2);
        g_assert_true(g_str_equal(parts[1], "bind") || g_str_equal(parts[1], "unbind"));
        check_device(watch, text);
    } else if (g_str_has_prefix(path, POLICIES)) {
        g_assert_true(g_str_has_suffix(path, "/scaling_governor"));
        g_assert_cmpuint(text[strspn(text, "abcdefghijklmnopqrstuvwxyz_")], ==, '\0');
    } else {
        g_assert_true(g_str_has_prefix(path, POOLS) ||
                      g_str_equal(path, "/proc/sys/vm/compact_memory"));
        g_assert_cmpuint(text[strspn(text, "0123456789")], ==, '\0');
    }
    g_assert_null(strpbrk(text[0] != '\n' ? text : "", "\n"));
    return fake_kernel_write(watch->kernel, path, text, error);
}

static FakeKernel *
make_kernel(void)
{
    FakeKernel *kernel = fake_kernel_new();
    fake_kernel_add_driver(kernel, "nvidia", "10de:2484", "nvidia");
    fake_kernel_add_device(kernel, "0000:01:00.0", "030000 10de:2484", 1);
    fake_kernel_add_device(kernel, "0000:02:00.0", "030000 1002:73bf", 2);
    fake_kernel_place(kernel, "0000:01:00.0", "nvidia", NULL, "auto");
    fake_kernel_add_pool(kernel, 8, 100000000);
    fake_kernel_add_policy(kernel, 0, "powersave");
    return kernel;
}

/* libvirt is not what is tried here, and a URI might lead anywhere. Nor is patience: a pool that
 * cannot grow is waited for. */
static bool
is_left_out(JsonObject *request)
{
    const char *path = text_of(request, "path");
    return g_str_equal(text_of(request, "verb"), "open") ||
           (g_str_has_prefix(path, POOLS) && strlen(text_of(request, "value")) > 8);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    g_autofree char *line = g_strndup((const char *) data, size_bytes);
    g_setenv("PATH", "/nonexistent", TRUE); /* no systemctl is started */
    g_autoptr(JsonObject) request = vr_worker_parse(line);
    if (request != NULL && is_left_out(request)) {
        return 0;
    }
    g_autoptr(FakeKernel) kernel = make_kernel();
    Watch watch = {kernel, request};
    VrWorkerService service = {.root = fake_kernel_root(kernel)};
    vr_sysroot_set_write_hook(service.root, watched_write, &watch);

    g_autoptr(JsonObject) answer = vr_worker_serve(&service, request);
    g_assert_true(json_object_has_member(answer, "ok"));
    g_assert_true(json_object_get_boolean_member(answer, "ok") ||
                  json_object_has_member(answer, "message"));
    g_autofree char *text = vr_worker_line(answer);
    g_autoptr(JsonObject) again = vr_worker_parse(text);
    g_assert_nonnull(again);
    g_assert_null(service.hypervisor);
    return 0;
}
