/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "plan/check_rows.h"

#include <string.h>

/* "it …; it …", in the words of gpu.h. */
static char *
describe_problems(const VrGpu *gpu)
{
    g_autoptr(GString) text = g_string_new(NULL);

    for (guint i = 0; i < gpu->problems->len; i++) {
        const char *problem = g_ptr_array_index(gpu->problems, i);
        g_string_append_printf(text, "%s%s", i == 0 ? "" : "; ", vr_gpu_problem_meaning(problem));
    }
    return g_string_free(g_steal_pointer(&text), FALSE);
}

/* "0000:03:00.0: …; 0000:04:00.0: …" */
static char *
describe_neighbours(const VrGpu *gpu)
{
    g_autoptr(GString) text = g_string_new(NULL);

    for (guint i = 0; gpu->in_the_way != NULL && i < gpu->in_the_way->len; i++) {
        const VrNeighbour *neighbour = g_ptr_array_index(gpu->in_the_way, i);
        g_autofree char *address = vr_pci_address_format(neighbour->function->address);
        g_string_append_printf(text, "%s%s (%s)", i == 0 ? "" : ", ", address, neighbour->reason);
    }
    return text->len > 0 ? g_string_free(g_steal_pointer(&text), FALSE) : NULL;
}

static char *
describe_place(const VrGpu *gpu)
{
    g_autofree char *neighbours = describe_neighbours(gpu);
    const char *driver = gpu->display->driver != NULL ? gpu->display->driver : "no driver";
    g_autofree char *group = gpu->display->group >= 0
                                 ? g_strdup_printf("IOMMU group %d", gpu->display->group)
                                 : g_strdup("no IOMMU group");

    return neighbours != NULL ? g_strdup_printf("%s, %s, in the way: %s", driver, group, neighbours)
                              : g_strdup_printf("%s, %s", driver, group);
}

static void
add_card(const VrHostFacts *facts, const VrGpu *gpu, VrReport *report)
{
    const char *name = vr_host_facts_name(facts, gpu->display);
    char *subject = vr_pci_address_format(gpu->display->address);

    if (vr_gpu_is_usable(gpu)) {
        vr_report_add(
            report, "graphics-cards", VR_SEVERITY_OK, VR_REMEDY_NONE, subject,
            g_strdup_printf("%s can be given to a guest%s", name,
                            gpu->integrated ? " (part of the processor: only if named)" : ""),
            describe_place(gpu), NULL);
        return;
    }
    g_autofree char *problems = describe_problems(gpu);
    bool unread = vr_gpu_has_problem(gpu, "unreadable");
    vr_report_add(report, "graphics-cards", unread ? VR_SEVERITY_UNKNOWN : VR_SEVERITY_INFO,
                  VR_REMEDY_NONE, subject, g_strdup_printf("%s stays: %s", name, problems),
                  describe_place(gpu), NULL);
}

/* Of cards that cannot be used, the one that comes nearest: a card of its own, few problems. */
static const VrGpu *
nearest_card(const GPtrArray *gpus)
{
    const VrGpu *best = NULL;

    for (guint i = 0; i < gpus->len; i++) {
        const VrGpu *gpu = g_ptr_array_index(gpus, i);
        if (best == NULL || gpu->integrated < best->integrated ||
            (gpu->integrated == best->integrated && gpu->problems->len < best->problems->len)) {
            best = gpu;
        }
    }
    return best;
}

/* What to work on first. Another primary display is no advice where there is no other. */
static const char *
main_problem(const VrGpu *gpu)
{
    if (gpu == NULL || gpu->problems->len == 0) {
        return NULL;
    }
    const char *first = g_ptr_array_index(gpu->problems, 0);
    bool alone = g_str_equal(first, "boot-display") && vr_gpu_has_problem(gpu, "only-gpu");
    return alone ? "only-gpu" : first;
}

static void
add_no_usable_card(const GPtrArray *gpus, VrReport *report)
{
    const char *problem = main_problem(nearest_card(gpus));

    vr_report_add(
        report, "graphics-cards", VR_SEVERITY_BLOCKER, VR_REMEDY_HARDWARE, NULL,
        g_strdup("no graphics card of this computer can be given to a guest as it is"),
        g_strdup_printf("display functions (PCI base class 03): %u; vmrun gpus shows them",
                        gpus->len),
        g_strdup(problem != NULL ? vr_gpu_problem_advice(problem) : "add a graphics card"));
}

static void
add_only_integrated(VrReport *report)
{
    vr_report_add(report, "graphics-cards", VR_SEVERITY_WARNING, VR_REMEDY_PROFILE, NULL,
                  g_strdup("only the processor's own graphics can be given to a guest, and device="
                           "auto never takes those"),
                  g_strdup("vmrun gpus shows them"),
                  g_strdup("name it in the profile: device= with its address, under [gpu]"));
}

/* Of the host alone; with a profile the chosen cards are judged instead (device_choice.h). */
void
vr_check_graphics_cards(const VrCheckInput *input, VrReport *report)
{
    unsigned usable = 0, integrated = 0;

    if (!vr_check_knows(input, VR_FACTS_PCI) || input->profile != NULL || input->gpus == NULL ||
        input->facts->functions_error != NULL) {
        return;
    }
    for (guint i = 0; i < input->gpus->len; i++) {
        const VrGpu *gpu = g_ptr_array_index(input->gpus, i);
        add_card(input->facts, gpu, report);
        usable += vr_gpu_is_usable(gpu);
        integrated += vr_gpu_is_usable(gpu) && gpu->integrated;
    }
    if (usable == 0) {
        add_no_usable_card(input->gpus, report);
    } else if (usable == integrated) {
        add_only_integrated(report);
    }
}

static bool
is_busy(const VrCheckInput *input, int group)
{
    g_autofree char *name = g_strdup_printf("%d", group);

    for (guint i = 0; input->busy_groups != NULL && i < input->busy_groups->len; i++) {
        if (g_str_equal(g_ptr_array_index(input->busy_groups, i), name)) {
            return true;
        }
    }
    return false;
}

/* Does a list of ids (module parameter or command line) ask for it? */
static bool
is_kept_by_id(const VrHostFacts *facts, const VrPciFunction *function)
{
    static const char *const keys[] = {"vfio-pci.ids", "vfio_pci.ids"};
    g_autofree char *id = vr_pci_function_id(function);
    bool kept = facts->vfio_pci_ids != NULL && strstr(facts->vfio_pci_ids, id) != NULL;

    for (guint i = 0; i < G_N_ELEMENTS(keys); i++) {
        const char *ids = vr_host_facts_parameter(facts, keys[i]);
        kept = kept || (ids != NULL && strstr(ids, id) != NULL);
    }
    return kept;
}

static void
judge_card_on_vfio(const VrCheckInput *input, const VrPciFunction *function, VrReport *report)
{
    char *subject = vr_pci_address_format(function->address);

    if (input->claimed == NULL) {
        vr_report_add(report, "card-left-on-vfio", VR_SEVERITY_UNKNOWN, VR_REMEDY_OS, subject,
                      g_strdup("is on vfio-pci; whether that is on purpose could not be found out"),
                      g_strdup("/var/lib/vmrun/journal: cannot be read"),
                      g_strdup("run this as root"));
    } else if (is_busy(input, function->group)) {
        vr_report_add(report, "card-left-on-vfio", VR_SEVERITY_INFO, VR_REMEDY_NONE, subject,
                      g_strdup("a virtual machine has it now"),
                      g_strdup_printf("/dev/vfio/%d: busy", function->group), NULL);
    } else if (vr_pci_addresses_contain(input->claimed, function->address) ||
               is_kept_by_id(input->facts, function)) {
        vr_report_add(report, "card-left-on-vfio", VR_SEVERITY_OK, VR_REMEDY_NONE, subject,
                      g_strdup("is kept on vfio-pci on purpose"),
                      g_strdup("a journal of vmrun, driverctl, or the list of ids names it"), NULL);
    } else {
        g_autofree char *node_device = g_strdelimit(g_strdup(subject), ":.", '_');
        vr_report_add(
            report, "card-left-on-vfio", VR_SEVERITY_WARNING, VR_REMEDY_OS, subject,
            g_strdup("is on vfio-pci, but no virtual machine has it and nothing on record "
                     "keeps it there: another tool may have forgotten to give it back"),
            g_strdup_printf("driver vfio-pci; /dev/vfio/%d is free; no journal, no file "
                            "of driverctl, no ids=",
                            function->group),
            g_strdup_printf("virsh nodedev-reattach pci_%s gives it back to the host if "
                            "libvirt took it; a restart does so always",
                            node_device));
    }
}

/* Of the host alone: a profile takes a card from vfio-pci and leaves it there, as it found it. */
void
vr_check_card_left_on_vfio(const VrCheckInput *input, VrReport *report)
{
    guint before = report->findings->len;

    if (!vr_check_knows(input, VR_FACTS_PCI | VR_FACTS_KERNEL) || input->gpus == NULL ||
        input->profile != NULL) {
        return;
    }
    for (guint i = 0; i < input->gpus->len; i++) {
        const VrGpu *gpu = g_ptr_array_index(input->gpus, i);
        if (g_strcmp0(gpu->display->driver, "vfio-pci") == 0) {
            judge_card_on_vfio(input, gpu->display, report);
        }
    }
    if (report->findings->len == before) {
        vr_check_ok(report, "card-left-on-vfio", g_strdup("no card was left on vfio-pci"),
                    g_strdup("/sys/bus/pci/devices/*/driver"));
    }
}

void
vr_check_group_busy(const VrCheckInput *input, VrReport *report)
{
    if (input->busy_groups == NULL || input->devices == NULL) {
        return;
    }
    for (guint i = 0; i < input->busy_groups->len; i++) {
        const char *group = g_ptr_array_index(input->busy_groups, i);
        VrFinding *finding = vr_report_add(
            report, "group-busy", VR_SEVERITY_BLOCKER, VR_REMEDY_OS, NULL,
            g_strdup_printf("IOMMU group %s is in use by another virtual machine", group),
            g_strdup_printf("/dev/vfio/%s answers EBUSY", group),
            g_strdup("shut that machine down first: vmrun status shows those of vmrun, virsh list "
                     "those of libvirt, vmrun who the process"));
        finding->status = VR_ERROR_BUSY;
    }
    if (input->busy_groups->len == 0) {
        vr_check_ok(report, "group-busy", g_strdup("no virtual machine has the chosen devices"),
                    g_strdup("/dev/vfio: no group answers EBUSY"));
    }
}
