/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "print.h"

#include <vmrun/gpu.h>
#include <vmrun/gpu_users.h>
#include <vmrun/host_facts.h>
#include <vmrun/scout.h>
#include <vmrun/text.h>

#include <unistd.h>

static const char *
kind_word(VrHolderKind kind)
{
    static const char *const words[] = {
        [VR_HOLDER_PROCESS] = "process", [VR_HOLDER_MOUNT] = "mount", [VR_HOLDER_INPUT] = "input",
        [VR_HOLDER_NETWORK] = "network", [VR_HOLDER_VFIO] = "vfio",
    };

    return words[kind];
}

/* Does the word of the user mean this card? An address of any of its functions, or its id. */
static bool
is_meant(const VrGpu *gpu, const char *word)
{
    g_autofree char *id = vr_pci_function_id(gpu->display);
    VrPciAddress address = {0};

    if (g_ascii_strcasecmp(id, word) == 0) {
        return true;
    }
    for (guint i = 0; vr_pci_address_parse(word, &address) && i < gpu->functions->len; i++) {
        const VrPciFunction *function = g_ptr_array_index(gpu->functions, i);
        if (vr_pci_address_equal(function->address, address)) {
            return true;
        }
    }
    return g_str_equal(word, "auto") && !gpu->integrated;
}

static char *
list_cards(const VrHostFacts *facts, const GPtrArray *gpus)
{
    g_autoptr(GString) text = g_string_new(NULL);

    for (guint i = 0; i < gpus->len; i++) {
        const VrGpu *gpu = g_ptr_array_index(gpus, i);
        g_autofree char *address = vr_pci_address_format(gpu->display->address);
        g_string_append_printf(text, "%s%s (%s)", i > 0 ? ", " : "", address,
                               vr_host_facts_name(facts, gpu->display));
    }
    return text->len > 0 ? g_string_free(g_steal_pointer(&text), FALSE) : g_strdup("none");
}

/* The card, or NULL with an error that lists those there are. Lent by `gpus`. */
static const VrGpu *
choose_card(const VrHostFacts *facts, const GPtrArray *gpus, const char *word, GError **error)
{
    g_autofree char *cards = list_cards(facts, gpus);
    const VrGpu *chosen = NULL;

    for (guint i = 0; i < gpus->len; i++) {
        const VrGpu *gpu = g_ptr_array_index(gpus, i);
        if (is_meant(gpu, word) && chosen != NULL) {
            vr_error_set(error, VR_ERROR_USAGE,
                         "who: \"%s\" means more than one card; say which: %s", word, cards);
            return NULL;
        }
        chosen = is_meant(gpu, word) ? gpu : chosen;
    }
    if (chosen == NULL) {
        vr_error_set(error, VR_ERROR_USAGE,
                     "who: \"%s\" is no card of this computer; there are: %s", word, cards);
    }
    return chosen;
}

static void
add_json_holder(JsonBuilder *builder, const VrHolder *holder)
{
    g_autofree char *device = vr_pci_address_format(holder->device);

    json_builder_begin_object(builder);
    vr_print_json_text(builder, "kind", kind_word(holder->kind));
    vr_print_json_text(builder, "device", device);
    json_builder_set_member_name(builder, "pid");
    if (holder->pid > 0) {
        json_builder_add_int_value(builder, holder->pid);
    } else {
        json_builder_add_null_value(builder);
    }
    vr_print_json_text(builder, "command", holder->command);
    vr_print_json_text(builder, "unit", holder->unit);
    vr_print_json_text(builder, "node", holder->node);
    json_builder_end_object(builder);
}

static void
print_json(const VrGpu *gpu, const VrHolders *found)
{
    g_autofree char *address = vr_pci_address_format(gpu->display->address);
    JsonBuilder *builder = vr_print_json_begin("who");

    vr_print_json_text(builder, "gpu", address);
    json_builder_set_member_name(builder, "holders");
    json_builder_begin_array(builder);
    for (guint i = 0; i < found->holders->len; i++) {
        add_json_holder(builder, g_ptr_array_index(found->holders, i));
    }
    json_builder_end_array(builder);
    json_builder_set_member_name(builder, "unreadable_processes");
    json_builder_add_int_value(builder, found->unreadable_processes);
    vr_print_json_end(builder);
}

static void
set_cell(struct libscols_line *line, size_t column, const char *text)
{
    g_autofree char *shown = vr_text_printable(text != NULL ? text : "-");

    scols_line_set_data(line, column, shown);
}

static void
print_table(const VrOptions *options, const VrHolders *found)
{
    static const char *const titles[] = {"DEVICE", "PID", "COMMAND", "UNIT", "HOLDS"};
    struct libscols_table *table = vr_print_table_new(options);

    for (guint i = 0; i < G_N_ELEMENTS(titles); i++) {
        scols_table_new_column(table, titles[i], 0, 0);
    }
    for (guint i = 0; i < found->holders->len; i++) {
        const VrHolder *holder = g_ptr_array_index(found->holders, i);
        struct libscols_line *line = scols_table_new_line(table, NULL);
        g_autofree char *device = vr_pci_address_format(holder->device);
        g_autofree char *pid = holder->pid > 0 ? g_strdup_printf("%d", holder->pid) : NULL;
        set_cell(line, 0, device);
        set_cell(line, 1, pid);
        set_cell(line, 2, holder->command);
        set_cell(line, 3, holder->unit);
        set_cell(line, 4, holder->node);
    }
    vr_print_table(table);
}

static void
print_text(const VrOptions *options, const VrHostFacts *facts, const VrGpu *gpu,
           const VrHolders *found)
{
    g_autofree char *address = vr_pci_address_format(gpu->display->address);

    if (found->holders->len > 0) {
        print_table(options, found);
    } else {
        g_autofree char *name = vr_text_printable(vr_host_facts_name(facts, gpu->display));

        vr_print("Nobody %sholds %s (%s).",
                 found->unreadable_processes > 0 ? "that could be looked into " : "", address,
                 name);
    }
    if (found->unreadable_processes > 0) {
        vr_say(options, "%u processes could not be looked into%s", found->unreadable_processes,
               geteuid() == 0 ? "" : "; as root all of them can: sudo vmrun who");
    }
}

/* Any other function by its address, as [pci NAME] takes it: with its group. NULL: there is none.
 */
static VrGpu *
judge_other(const VrHostFacts *facts, const char *word)
{
    VrPciAddress address = {0};

    return vr_pci_address_parse(word, &address) ? vr_gpu_judge_function(facts, address) : NULL;
}

static int
answer(const VrOptions *options, const VrHostFacts *facts, const VrGpu *gpu)
{
    g_autoptr(VrScout) scout = vr_scout_new(options->root);
    g_autoptr(GError) blind = NULL;
    g_autoptr(VrHolders) found = vr_scout_users(scout, facts, gpu->functions, &blind);

    if (blind != NULL) {
        vr_print_error(options, blind);
        return VR_ERROR_FAILED;
    }
    if (options->json) {
        print_json(gpu, found);
    } else {
        print_text(options, facts, gpu, found);
    }
    return 0;
}

int
vr_cmd_who(const VrOptions *options)
{
    unsigned mask = VR_FACTS_PCI | VR_FACTS_NAMES | VR_FACTS_STORAGE | VR_FACTS_NETWORK;
    g_autoptr(VrHostFacts) facts = vr_host_facts_load(options->root, mask);
    g_autoptr(GPtrArray) gpus = vr_gpus_judge(facts);
    g_autoptr(GError) error = NULL;
    const VrGpu *gpu = choose_card(facts, gpus, options->arguments[0], &error);
    VrGpu *other = gpu == NULL ? judge_other(facts, options->arguments[0]) : NULL;

    if (gpu == NULL && other == NULL) {
        return vr_print_error(options, error);
    }
    int status = answer(options, facts, gpu != NULL ? gpu : other);
    vr_gpu_free(other);
    return status;
}
