/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What systemd and the kernel make of AllowedCPUs= (core/cgroup.c; kernel/cgroup/cpuset.c). */
#include "fake_kernel_private.h"

#include <vmrun/error.h>
#include <vmrun/host_state.h>

#include <errno.h>
#include <string.h>

#define ALL "/sys/fs/cgroup/cpuset.cpus.effective"
#define PROPERTY "/AllowedCPUs"
#define FORGOTTEN "none"

void
fake_kernel_add_cpus(FakeKernel *kernel, const char *all)
{
    fake_store(kernel, ALL, all);
    for (const char *const *unit = vr_host_units(); *unit != NULL; unit++) {
        g_autofree char *path = vr_host_unit_path(*unit);
        fake_store(kernel, path, ""); /* no limit of its own yet */
    }
}

void
fake_kernel_limit_unit(FakeKernel *kernel, const char *unit, const char *list)
{
    g_autofree char *path = vr_host_unit_path(unit);
    fake_store(kernel, path, list);
}

char *
fake_kernel_cpus(const FakeKernel *kernel, const char *unit)
{
    g_autofree char *path = vr_host_unit_path(unit);
    g_autofree char *own = vr_sysroot_read_optional(kernel->root, path);
    return own != NULL && own[0] != '\0' ? g_steal_pointer(&own)
                                         : vr_sysroot_read_optional(kernel->root, ALL);
}

/* A write of the fake's own, so that it is counted and can fail as every other. */
bool
fake_set_cpus(void *data, const VrSysroot *root, const char *unit, const char *list, GError **error)
{
    g_autofree char *path = g_strconcat("/sys/fs/cgroup/", unit, PROPERTY, NULL);
    (void) data;
    return vr_sysroot_write(root, path, list[0] != '\0' ? list : FORGOTTEN, error);
}

/* systemd issue 43846: the group keeps what it had when the setting is forgotten. */
int
fake_cpus_write(FakeKernel *kernel, const char *path, const char *text)
{
    g_autofree char *group = g_path_get_dirname(path);
    g_autofree char *file = g_strconcat(group, "/cpuset.cpus.effective", NULL);
    if (!g_str_has_suffix(path, PROPERTY) || vr_attribute_path_unit(file) == NULL) {
        return ENOENT;
    }
    if (!g_str_equal(text, FORGOTTEN)) {
        fake_store(kernel, file, text);
    }
    return 0;
}
