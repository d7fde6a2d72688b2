/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "plan/check_rows.h"

#include <string.h>

/*
 * Services of the host that keep a card open for other programs' sake. All come back by themselves
 * when they are started again, and none loses data.
 */
static const char *const known_gpu_units[] = {
    "nvidia-persistenced.service", /* keeps the driver's state alive, no client needed */
    "nvidia-powerd.service",
    "nvidia-dcgm.service",
    "dcgm.service",
    "dcgm-exporter.service",
    "nvidia-dcgm-exporter.service",
    "nvidia-fabricmanager.service",
    NULL,
};

const char *const *
vr_known_gpu_units(void)
{
    return known_gpu_units;
}

static bool
is_same_unit(const char *unit, const char *wanted)
{
    g_autofree char *full =
        strchr(wanted, '.') != NULL ? g_strdup(wanted) : g_strdup_printf("%s.service", wanted);

    return g_str_equal(unit, full);
}

static bool
is_stopped_before(const VrProfile *profile, const char *unit)
{
    if (unit == NULL) {
        return false;
    }
    for (guint i = 0; profile->stop_units != NULL && i < profile->stop_units->len; i++) {
        if (is_same_unit(unit, g_ptr_array_index(profile->stop_units, i))) {
            return true;
        }
    }
    return g_strv_contains(known_gpu_units, unit);
}

/* Is an earlier entry of the same process? It has spoken for all. */
static bool
is_repeated(const GPtrArray *holders, guint index)
{
    const VrHolder *holder = g_ptr_array_index(holders, index);

    for (guint i = 0; i < index; i++) {
        const VrHolder *earlier = g_ptr_array_index(holders, i);
        if (earlier->pid == holder->pid && earlier->kind == holder->kind) {
            return true;
        }
    }
    return false;
}

static bool
is_earlier_node(const GPtrArray *nodes, const char *node)
{
    return g_ptr_array_find_with_equal_func((GPtrArray *) nodes, node, g_str_equal, NULL);
}

/* "/dev/dri/card1, /dev/snd/controlC1": everything that the process has. A group's node is every
 * function's of the group, and is told once. */
static char *
nodes_of(const GPtrArray *holders, const VrHolder *wanted)
{
    g_autoptr(GPtrArray) nodes = g_ptr_array_new();

    for (guint i = 0; i < holders->len; i++) {
        const VrHolder *holder = g_ptr_array_index(holders, i);
        if (holder->pid == wanted->pid && holder->kind == wanted->kind &&
            !is_earlier_node(nodes, holder->node)) {
            g_ptr_array_add(nodes, holder->node);
        }
    }
    g_ptr_array_add(nodes, NULL);
    return g_strjoinv(", ", (char **) nodes->pdata);
}

static bool
is_system_unit(const char *unit)
{
    return unit != NULL && g_str_has_suffix(unit, ".service");
}

static char *
advice_for(const VrHolder *holder)
{
    if (holder->kind == VR_HOLDER_VFIO) {
        return g_strdup_printf("shut down the virtual machine of process %d", holder->pid);
    }
    if (is_system_unit(holder->unit)) {
        return g_strdup_printf("systemctl stop %s, or let vmrun stop it and start it again: "
                               "stop-units=%s under [session]",
                               holder->unit, holder->unit);
    }
    if (g_str_has_prefix(holder->node, "/dev/snd/")) {
        /* A sound server keeps every card open; the driver's unbind then waits for ever. */
        return g_strdup("switch the card's HDMI sound off in the desktop's sound settings (its "
                        "profile: off), or stop the sound server of the session");
    }
    if (holder->unit != NULL && g_str_has_prefix(holder->unit, "container ")) {
        return g_strdup_printf("stop the %s", holder->unit);
    }
    return g_strdup_printf("close %s; if it is the desktop itself, let the desktop use other "
                           "graphics, or log out and start from a text console",
                           holder->command);
}

static void
add_process(const VrCheckInput *input, const VrHolder *holder, VrReport *report)
{
    char *subject = vr_pci_address_format(holder->device);
    g_autofree char *nodes = nodes_of(input->holders->holders, holder);
    const char *separator = holder->unit != NULL ? ", " : "";
    const char *unit = holder->unit != NULL ? holder->unit : "";
    char *evidence = g_strdup_printf("/proc/%d/fd: %s", holder->pid, nodes);

    if (is_stopped_before(input->profile, holder->unit)) {
        vr_report_add(
            report, "device-held", VR_SEVERITY_INFO, VR_REMEDY_NONE, subject,
            g_strdup_printf("%s holds it (pid %d); it is stopped before the card moves and "
                            "started again after",
                            holder->unit, holder->pid),
            evidence, NULL);
        return;
    }
    VrFinding *finding = vr_report_add(
        report, "device-held", VR_SEVERITY_BLOCKER, VR_REMEDY_OS, subject,
        g_strdup_printf("%s (pid %d%s%s) holds it", holder->command, holder->pid, separator, unit),
        evidence, advice_for(holder));
    finding->status = VR_ERROR_BUSY;
}

static void
add_unreadable(const VrCheckInput *input, VrReport *report)
{
    vr_report_add(report, "device-held", VR_SEVERITY_UNKNOWN, VR_REMEDY_OS, NULL,
                  g_strdup_printf("%u processes could not be looked into: one of them may hold the "
                                  "card",
                                  input->holders->unreadable_processes),
                  g_strdup("/proc/*/fd: permission denied, or a process that hangs (state D)"),
                  input->have_root
                      ? g_strdup("run this outside of the container that you are in; end what "
                                 "hangs, see ps for state D")
                      : g_strdup("run this as root"));
}

/* Inputs leave with the card as a plug that is pulled: nobody hangs, so they are not held. */
void
vr_check_device_held(const VrCheckInput *input, VrReport *report)
{
    guint before = report->findings->len;

    if (input->holders == NULL) {
        return;
    }
    const GPtrArray *holders = input->holders->holders;
    for (guint i = 0; i < holders->len; i++) {
        const VrHolder *holder = g_ptr_array_index(holders, i);
        if (holder->pid > 0 && holder->kind != VR_HOLDER_INPUT && !is_repeated(holders, i)) {
            add_process(input, holder, report);
        }
    }
    if (input->holders_error != NULL) {
        vr_report_add(report, "device-held", VR_SEVERITY_UNKNOWN, VR_REMEDY_OS, NULL,
                      g_strdup("who holds the card could not be found out: the look at the "
                               "processes did not come back"),
                      g_strdup(input->holders_error),
                      g_strdup("see with ps which process is in state D, and end what it waits "
                               "for"));
    }
    if (input->holders->unreadable_processes > 0) {
        add_unreadable(input, report);
    }
    if (report->findings->len == before) {
        vr_check_ok(report, "device-held", g_strdup("no program holds the chosen devices"),
                    g_strdup("/proc/*/fd, /proc/*/maps: none of their nodes is open"));
    }
}

static bool
is_critical(const VrHostFacts *facts, const VrHolder *holder)
{
    for (guint i = 0; facts->uses != NULL && i < facts->uses->len; i++) {
        const VrDeviceUse *use = g_ptr_array_index(facts->uses, i);
        if (use->critical && vr_pci_address_equal(use->address, holder->device) &&
            g_str_equal(use->use, holder->node)) {
            return true;
        }
    }
    return false;
}

static void
add_input(const VrCheckInput *input, const VrHolder *holder, VrReport *report)
{
    bool critical = is_critical(input->facts, holder);

    vr_report_add(
        report, "device-in-use", critical ? VR_SEVERITY_BLOCKER : VR_SEVERITY_INFO,
        VR_REMEDY_HARDWARE, vr_pci_address_format(holder->device),
        critical ? g_strdup("the last keyboard of this computer is plugged into it")
                 : g_strdup_printf("what is plugged into it goes to the guest: %s", holder->node),
        g_strdup_printf("/sys/class/input: %s", holder->node),
        critical ? g_strdup("plug the keyboard into a port of the mainboard") : NULL);
}

static void
add_mount(const VrHolder *holder, VrReport *report)
{
    VrFinding *finding =
        vr_report_add(report, "device-in-use", VR_SEVERITY_BLOCKER, VR_REMEDY_OS,
                      vr_pci_address_format(holder->device),
                      g_strdup_printf("the host would lose a disk that it uses: %s", holder->node),
                      g_strdup_printf("/proc/self/mountinfo, /proc/swaps: %s", holder->node),
                      g_strdup("unmount it (or swapoff), or plug it in elsewhere"));
    finding->status = VR_ERROR_BUSY;
}

/* What of the host hangs on the chosen functions, without a process to name. */
void
vr_check_device_in_use(const VrCheckInput *input, VrReport *report)
{
    guint before = report->findings->len;

    if (input->holders == NULL || !vr_check_knows(input, VR_FACTS_STORAGE | VR_FACTS_NETWORK)) {
        return;
    }
    for (guint i = 0; i < input->holders->holders->len; i++) {
        const VrHolder *holder = g_ptr_array_index(input->holders->holders, i);
        if (holder->pid > 0) {
            continue;
        }
        if (holder->kind == VR_HOLDER_INPUT) {
            add_input(input, holder, report);
        } else if (holder->kind == VR_HOLDER_NETWORK) {
            vr_report_add(report, "device-in-use", VR_SEVERITY_BLOCKER, VR_REMEDY_PROFILE,
                          vr_pci_address_format(holder->device),
                          g_strdup_printf("the host would lose its network: %s", holder->node),
                          g_strdup_printf("/proc/net/route: %s", holder->node),
                          g_strdup("give another device away, or route the host through another "
                                   "interface first"));
        } else {
            add_mount(holder, report);
        }
    }
    if (report->findings->len == before) {
        vr_check_ok(
            report, "device-in-use",
            g_strdup("no disk, network or keyboard of the host hangs on the chosen devices"),
            g_strdup("/proc/self/mountinfo, /proc/swaps, /proc/net/route, /sys/class/input"));
    }
}
