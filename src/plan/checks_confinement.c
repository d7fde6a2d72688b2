/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libvirt keeps a guest's QEMU apart from the host and from other guests: another user, its own
 * /dev, a list of devices, no capabilities, a system call filter. What the administrator took away
 * of that is said; it is his decision, so it blocks nothing.
 */
#include "plan/check_rows.h"

#include <vmrun/text.h>

#include <string.h>

#define ID "qemu-confinement"

typedef bool (*IsDowngrade)(const VrQemuSetting *setting);

static bool
is_zero(const VrQemuSetting *setting)
{
    return g_strcmp0(setting->values[0], "0") == 0;
}

static bool
is_one(const VrQemuSetting *setting)
{
    return g_strcmp0(setting->values[0], "1") == 0;
}

/* "+0" is a number for sure, "root" a name, and "0" is looked up as a name first. */
static bool
is_root(const VrQemuSetting *setting)
{
    static const char *const names[] = {"root", "+0", "0", NULL};

    return setting->values[0] != NULL && g_strv_contains(names, setting->values[0]);
}

static bool
has_none(const VrQemuSetting *setting)
{
    return g_strv_contains((const char *const *) setting->values, "none");
}

static bool
is_without_mount(const VrQemuSetting *setting)
{
    return !g_strv_contains((const char *const *) setting->values, "mount");
}

static bool
is_without_devices(const VrQemuSetting *setting)
{
    return !g_strv_contains((const char *const *) setting->values, "devices");
}

/* Beyond libvirt's own list (src/qemu/qemu_cgroup.c, defaultDeviceACL) and what sound needs. */
static bool
has_more_devices(const VrQemuSetting *setting)
{
    static const char *const known[] = {
        "/dev/null", "/dev/full", "/dev/zero", "/dev/random",      "/dev/urandom",   "/dev/ptmx",
        "/dev/kvm",  "/dev/rtc",  "/dev/hpet", "/dev/userfaultfd", "/dev/vfio/vfio", NULL};

    for (char **value = setting->values; *value != NULL; value++) {
        if (!g_strv_contains(known, *value)) {
            return true;
        }
    }
    return false;
}

static const struct {
    const char *key;
    IsDowngrade is_downgrade;
    const char *effect;
} downgrades[] = {
    {"user", is_root,
     "QEMU runs as root: a guest that breaks out of it has the host, and every other guest"},
    {"security_driver", has_none, "no AppArmor or SELinux around QEMU"},
    {"seccomp_sandbox", is_zero, "no filter for QEMU's system calls"},
    {"clear_emulator_capabilities", is_zero, "QEMU keeps root's capabilities"},
    {"namespaces", is_without_mount,
     "QEMU sees the whole /dev, with the cards of other guests: guests are not kept apart"},
    {"cgroup_controllers", is_without_devices,
     "QEMU may open every device: guests are not kept apart"},
    {"cgroup_device_acl", has_more_devices, "QEMU may open more devices than libvirt lets it"},
    {"relaxed_acs_check", is_one, "libvirt takes cards that are not isolated from others"},
};

/* The last setting of a key in a file counts. */
static bool
is_overruled(const GPtrArray *settings, guint index)
{
    const VrQemuSetting *setting = g_ptr_array_index(settings, index);

    for (guint i = index + 1; i < settings->len; i++) {
        const VrQemuSetting *later = g_ptr_array_index(settings, i);

        if (g_str_equal(later->key, setting->key) && g_str_equal(later->file, setting->file)) {
            return true;
        }
    }
    return false;
}

static void
add_downgrade(const VrQemuSetting *setting, const char *effect, VrReport *report)
{
    g_autofree char *values = g_strjoinv(", ", setting->values);
    g_autofree char *shown = vr_text_printable(values);

    vr_report_add(
        report, ID, VR_SEVERITY_WARNING, VR_REMEDY_OS, g_strdup(setting->key), g_strdup(effect),
        g_strdup_printf("%s:%u: %s = %s", setting->file, setting->line, setting->key, shown),
        g_strdup_printf("remove the line: libvirt's default is the safe one; vmrun needs "
                        "no such change. Then: systemctl restart libvirtd"));
}

static bool
judge(const VrQemuSetting *setting, VrReport *report)
{
    for (gsize i = 0; i < G_N_ELEMENTS(downgrades); i++) {
        if (g_str_equal(downgrades[i].key, setting->key) && downgrades[i].is_downgrade(setting)) {
            add_downgrade(setting, downgrades[i].effect, report);
            return false;
        }
    }
    return true;
}

static bool
judge_nodes(const GPtrArray *nodes, VrReport *report)
{
    for (guint i = 0; i < nodes->len; i++) {
        vr_report_add(report, ID, VR_SEVERITY_WARNING, VR_REMEDY_OS, NULL,
                      g_strdup("others than root can open a card's group: who does has the card, "
                               "and its DMA"),
                      g_strdup(g_ptr_array_index(nodes, i)),
                      g_strdup("remove the udev rule that does it: libvirt gives QEMU the node"));
    }
    return nodes->len == 0;
}

void
vr_check_qemu_confinement(const VrCheckInput *input, VrReport *report)
{
    const VrHostFacts *facts = input->facts;
    bool fine = true;

    if (!vr_check_knows(input, VR_FACTS_VIRTUALISATION) || facts->qemu_settings == NULL) {
        return;
    }
    for (guint i = 0; i < facts->qemu_settings->len; i++) {
        if (!is_overruled(facts->qemu_settings, i)) {
            fine = judge(g_ptr_array_index(facts->qemu_settings, i), report) && fine;
        }
    }
    fine = judge_nodes(facts->open_vfio_nodes, report) && fine;
    if (facts->qemu_conf_error != NULL) {
        vr_report_add(report, ID, VR_SEVERITY_UNKNOWN, VR_REMEDY_OS, NULL,
                      g_strdup("how libvirt confines QEMU could not be read"),
                      g_strdup(facts->qemu_conf_error), g_strdup("run this as root"));
    } else if (fine) {
        vr_check_ok(report, ID, g_strdup("libvirt confines QEMU as it does by default"),
                    g_strdup("/etc/libvirt/qemu.conf: nothing that weakens it"));
    }
}
