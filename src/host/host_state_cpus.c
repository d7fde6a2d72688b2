/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which processors the host's own control groups may use. */
#include "host/host_state_rules.h"

#include <vmrun/error.h>
#include <vmrun/text.h>

#include <string.h>

/* Documentation/admin-guide/cgroup-v2.rst, "Cpuset Interface Files" */
#define GROUPS "/sys/fs/cgroup/"
#define EFFECTIVE "cpuset.cpus.effective"

/* All of the host that is not a guest: those of systemd's groups at the top that are no machine's
 * (systemd.special(7)). */
static const char *const units[] = {"init.scope", "system.slice", "user.slice", NULL};

const char *const *
vr_host_units(void)
{
    return units;
}

char *
vr_host_unit_path(const char *unit)
{
    return g_strconcat(GROUPS, unit, "/" EFFECTIVE, NULL);
}

const char *
vr_attribute_path_unit(const char *path)
{
    for (const char *const *unit = units; *unit != NULL; unit++) {
        g_autofree char *known = vr_host_unit_path(*unit);
        if (g_strcmp0(path, known) == 0) {
            return *unit;
        }
    }
    return NULL;
}

/* In the one form that the kernel writes; NULL: it is not, or there is none. */
static GArray *
parse(const char *text)
{
    g_autoptr(GArray) cpus = text[0] != '\0' ? vr_text_to_cpu_list(text) : NULL;
    g_autofree char *again = cpus != NULL ? vr_text_from_cpu_list(cpus) : NULL;
    return g_strcmp0(again, text) == 0 ? g_steal_pointer(&cpus) : NULL;
}

static bool
is_list(const char *text)
{
    g_autoptr(GArray) cpus = parse(text);
    return cpus != NULL;
}

bool
vr_rule_is_cpus(const char *value)
{
    g_auto(GStrv) parts = g_strsplit(value, "/", 3);
    guint count = g_strv_length(parts);
    if (value[0] == '!') {
        return is_list(value + 1);
    }
    return (count == 1 || count == 2) && is_list(parts[0]) && (count == 1 || is_list(parts[1]));
}

static bool
contains(const GArray *cpus, unsigned cpu)
{
    for (guint i = 0; i < cpus->len; i++) {
        if (g_array_index(cpus, unsigned, i) == cpu) {
            return true;
        }
    }
    return false;
}

/* Those of the first list that are in the second one, or are not. NULL: none, or one is wrong. */
static char *
keep_if(const char *list, const char *other, bool in_other)
{
    g_autoptr(GArray) cpus = parse(list);
    g_autoptr(GArray) others = parse(other);
    if (cpus == NULL || others == NULL) {
        return NULL;
    }
    for (guint i = cpus->len; i-- > 0;) {
        if (contains(others, g_array_index(cpus, unsigned, i)) != in_other) {
            g_array_remove_index(cpus, i);
        }
    }
    return cpus->len > 0 ? vr_text_from_cpu_list(cpus) : NULL;
}

static char *
add(const char *list, const char *other)
{
    g_autofree char *both = g_strconcat(list, ",", other, NULL);
    g_autoptr(GArray) cpus = vr_text_to_cpu_list(both);
    return cpus != NULL ? vr_text_from_cpu_list(cpus) : NULL;
}

/* The part of a claim behind the slash, or NULL. */
static const char *
taken_part(const char *claim)
{
    const char *slash = strchr(claim, '/');
    return slash != NULL ? slash + 1 : NULL;
}

char *
vr_cpus_target(const char *wanted, const char *now)
{
    const char *taken = taken_part(wanted);
    if (wanted[0] == '!') {
        return keep_if(now, wanted + 1, false);
    }
    if (taken == NULL) {
        return g_strdup(wanted);
    }
    g_autofree char *original = g_strndup(wanted, (gsize) (taken - wanted - 1));
    g_autofree char *back = keep_if(original, taken, true);
    return back != NULL ? add(now, back) : g_strdup(now);
}

char *
vr_cpus_claim(const char *found, const char *wanted)
{
    g_autofree char *original = g_strndup(found, strcspn(found, "/"));
    const char *taken = wanted[0] == '!' ? wanted + 1 : taken_part(wanted);
    return taken != NULL ? g_strdup_printf("%s/%s", original, taken) : g_strdup(original);
}

char *
vr_cpus_leave(const char *claim, const char *other)
{
    const char *theirs = taken_part(other);
    const char *ours = taken_part(claim);
    if (theirs == NULL || ours == NULL) {
        return g_strdup(claim);
    }
    g_autofree char *rest = keep_if(ours, theirs, false);
    g_autofree char *original = g_strndup(claim, (gsize) (ours - claim - 1));
    return rest != NULL ? g_strdup_printf("%s/%s", original, rest) : NULL;
}

/* What systemd will give a group that is not there, because nothing runs in it: the drop-in that
 * `systemctl set-property --runtime` leaves (systemd.unit(5)), its last line. NULL: everything. */
static char *
read_drop_in(const VrSysroot *root, const char *unit)
{
    g_autofree char *path =
        g_strconcat("/run/systemd/system.control/", unit, ".d/50-AllowedCPUs.conf", NULL);
    g_autofree char *text = vr_sysroot_read_optional(root, path);
    g_auto(GStrv) lines = g_strsplit(text != NULL ? text : "", "\n", -1);
    const char *value = "";
    for (char **line = lines; *line != NULL; line++) {
        if (g_str_has_prefix(*line, "AllowedCPUs=")) {
            value = strchr(*line, '=') + 1;
        }
    }
    return value[0] != '\0' ? g_strdelimit(g_strdup(value), " ", ',') : NULL;
}

/* Of the group; where it has no limit of its own, its parent's, which is everything that is online
 * (cgroup-v2.rst: a controller that is not enabled for a group shows no files in it). */
static char *
read_list(const VrSysroot *root, const char *path)
{
    g_autofree char *group = g_path_get_dirname(path);
    char *own = vr_sysroot_exists(root, group) ? vr_sysroot_read_optional(root, path)
                                               : read_drop_in(root, vr_attribute_path_unit(path));
    if (own != NULL && own[0] != '\0') {
        return own;
    }
    g_free(own);
    return vr_sysroot_read_optional(root, GROUPS EFFECTIVE);
}

bool
vr_cpus_read(const VrSysroot *root, const char *path, char **out_list, GError **error)
{
    g_autofree char *text = read_list(root, path);
    *out_list = NULL;
    if (text == NULL || text[0] == '\0') {
        return true;
    }
    g_autoptr(GArray) cpus = vr_text_to_cpu_list(text);
    if (cpus == NULL || cpus->len == 0) {
        return vr_error_set(error, VR_ERROR_CORRUPT, "%s: \"%s\" is no list of processors", path,
                            text);
    }
    *out_list = vr_text_from_cpu_list(cpus);
    return true;
}

bool
vr_cpus_are_all(const VrSysroot *root, const char *list)
{
    g_autofree char *all = vr_sysroot_read_optional(root, GROUPS EFFECTIVE);
    g_autofree char *missing = all != NULL && all[0] != '\0' ? keep_if(all, list, false) : NULL;
    return all != NULL && missing == NULL;
}
