/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The processors of the host's own programs, set by systemd and read back from the kernel. */
#include "run/step_private.h"

#include "host/host_state_rules.h"

#include <vmrun/error.h>
#include <vmrun/spawn.h>

#include <string.h>

/* systemd answers at once or is not to be counted on. */
#define SET_TIMEOUT_MS 20000
#define READ_BACK_MS 20

bool
vr_step_set_cpus(void *data, const VrSysroot *root, const char *unit, const char *list,
                 GError **error)
{
    g_autofree char *assignment = g_strconcat("AllowedCPUs=", list, NULL);
    const char *const argv[] = {"systemctl", "set-property", "--runtime", "--",
                                unit,        assignment,     NULL};
    (void) data;
    if (!vr_sysroot_is_live(root)) {
        return vr_error_set(error, VR_ERROR_NOT_FOUND,
                            "%s can be changed on the running system only", unit);
    }
    return vr_spawn_check(argv, SET_TIMEOUT_MS, error);
}

static bool
wait_for_list(const VrSysroot *root, const VrStepTools *tools, const VrStep *step, GError **error)
{
    int64_t deadline = g_get_monotonic_time() + (int64_t) tools->cpus_timeout_ms * 1000;
    for (;;) {
        g_autofree char *now = NULL;
        if (!vr_cpus_read(root, step->path, &now, error)) {
            return false;
        }
        if (g_strcmp0(now, step->value) == 0) {
            return true;
        }
        if (g_get_monotonic_time() >= deadline) {
            return vr_error_set(error, VR_ERROR_FAILED, "%s is \"%s\" after the change", step->path,
                                now != NULL ? now : "not there");
        }
        g_usleep(READ_BACK_MS * 1000);
    }
}

/*
 * The group has all processors back by being told all of them; only then is the setting forgotten.
 * Forgetting alone leaves the group where it was (systemd issue 43846: nothing is written for an
 * empty list). A forgetting that fails is tried no further: the group has what it had.
 */
bool
vr_step_execute_cpus(const VrSysroot *root, const VrStepTools *tools, const VrStep *step,
                     GError **error)
{
    const char *unit = vr_attribute_path_unit(step->path);
    if (unit == NULL || strpbrk(step->value, "!/") != NULL) {
        return vr_error_set(error, VR_ERROR_CORRUPT, "not a list of processors");
    }
    if (!tools->set_cpus(tools->data, root, unit, step->value, error) ||
        !wait_for_list(root, tools, step, error)) {
        return false;
    }
    if (!vr_cpus_are_all(root, step->value)) {
        return true;
    }
    return tools->set_cpus(tools->data, root, unit, "", error) &&
           wait_for_list(root, tools, step, error);
}
