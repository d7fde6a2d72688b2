/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The recorded computers in tests/hosts: what vmrun judges about each display, beside what an
 * expert said. Every one is read twice: as the kernel shows it, and as a flat copy of it.
 */
#include <vmrun/gpu.h>

#include "../support/tree.h"

#include <string.h>

typedef struct {
    char *name; /* "49-laptop" */
    TreeShape shape;
} HostCase;

static void
host_case_free(gpointer data)
{
    HostCase *host = data;

    g_free(host->name);
    g_free(host);
}

static char *
join_functions(const GPtrArray *functions)
{
    g_autoptr(GPtrArray) words = g_ptr_array_new_with_free_func(g_free);

    for (guint i = 0; i < functions->len; i++) {
        const VrPciFunction *function = g_ptr_array_index(functions, i);

        g_ptr_array_add(words, vr_pci_address_format(function->address));
    }
    g_ptr_array_add(words, NULL);
    return g_strjoinv(" ", (char **) words->pdata);
}

static char *
join_neighbours(const VrGpu *gpu)
{
    g_autoptr(GPtrArray) functions = g_ptr_array_new();

    for (guint i = 0; i < gpu->in_the_way->len; i++) {
        const VrNeighbour *neighbour = g_ptr_array_index(gpu->in_the_way, i);

        g_assert_nonnull(neighbour->reason);
        g_ptr_array_add(functions, (gpointer) neighbour->function);
    }
    return join_functions(functions);
}

static char *
join_groups(const VrGpu *gpu)
{
    GString *text = g_string_new(NULL);

    for (guint i = 0; i < gpu->groups->len; i++) {
        g_string_append_printf(text, "%s%d", i > 0 ? " " : "", g_array_index(gpu->groups, int, i));
    }
    return g_string_free(text, FALSE);
}

static const char *
word(VrTristate value)
{
    return value == VR_UNKNOWN ? "unknown" : value == VR_YES ? "yes" : "no";
}

/* "8086:????" where the source did not know the device. */
static char *
shown_id(const VrGpu *gpu)
{
    if ((gpu->display->unreadable & VR_PCI_UNREADABLE_IDS) != 0) {
        return g_strdup_printf("%04x:????", (unsigned) gpu->display->vendor);
    }
    return vr_pci_function_id(gpu->display);
}

/* The problem that says the same as the expert's decision. */
static void
check_decision(const VrGpu *gpu, const char *decision)
{
    static const struct {
        const char *decision, *problem;
    } rows[] = {
        {"console", "management-console"}, {"virtual", "virtual-machine"}, {"no-iommu", "no-iommu"},
        {"shared", "shared-group"},        {"sriov", "sriov-active"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        bool is_said = strcmp(decision, rows[i].decision) == 0;

        if (is_said || i < 2) { /* the first two are said if and only if they are so */
            g_assert_cmpint(vr_gpu_has_problem(gpu, rows[i].problem), ==, is_said);
        }
    }
    if (strcmp(decision, "undecided") == 0) {
        g_assert_false(vr_gpu_is_usable(gpu));
    }
    if (strcmp(decision, "other") == 0) {
        bool is_last = vr_gpu_has_problem(gpu, "only-gpu") || gpu->boot_display == VR_YES;

        g_assert_cmpint(vr_gpu_is_usable(gpu), ==, !is_last);
    }
}

static void
check_line(const VrGpu *gpu, const char *key, const char *value)
{
    g_autofree char *id = shown_id(gpu);
    g_autofree char *functions = join_functions(gpu->functions);
    g_autofree char *groups = join_groups(gpu);
    g_autofree char *bridges = join_functions(gpu->bridges);
    g_autofree char *neighbours = join_neighbours(gpu);
    const struct {
        const char *key, *value;
    } rows[] = {
        {"id", id},
        {"functions", functions},
        {"groups", groups},
        {"bridges", bridges},
        {"in-the-way", neighbours},
        {"isolated", word(gpu->isolated)},
        {"integrated", word(gpu->integrated)},
        {"only-gpu", word(vr_gpu_has_problem(gpu, "only-gpu") ? VR_YES : VR_NO)},
        {"boot-display", word(gpu->boot_display)},
        {"ids-ambiguous", word(gpu->ids_ambiguous)},
    };

    if (strcmp(key, "decision") == 0) {
        check_decision(gpu, value);
        return;
    }
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        if (strcmp(rows[i].key, key) == 0) {
            /* An expert who does not know says nothing against what follows from the rest. */
            if (strcmp(key, "boot-display") != 0 || strcmp(value, "unknown") != 0) {
                g_assert_cmpstr(rows[i].value, ==, value);
            }
            return;
        }
    }
    g_error("unknown key \"%s\" in an .expect file", key);
}

static const VrGpu *
next_gpu(const GPtrArray *gpus, guint *index, const char *address)
{
    g_assert_cmpuint(*index, <, gpus->len);

    const VrGpu *gpu = g_ptr_array_index(gpus, (*index)++);
    g_autofree char *found = vr_pci_address_format(gpu->display->address);

    g_assert_cmpstr(found, ==, address);
    g_test_message("%s", found);
    return gpu;
}

static void
check_host(const VrHostFacts *facts, const GPtrArray *gpus, const char *expectation)
{
    const VrGpu *gpu = NULL;
    guint index = 0;
    g_auto(GStrv) lines = g_strsplit(expectation, "\n", -1);

    for (guint i = 0; lines[i] != NULL; i++) {
        g_auto(GStrv) words = g_strsplit(g_strstrip(lines[i]), " ", 2);
        const char *key = words[0], *value = key != NULL && words[1] != NULL ? words[1] : "";

        if (key == NULL || key[0] == '#') {
            continue;
        }
        if (strcmp(key, "iommu") == 0) {
            g_assert_cmpstr(word(facts->iommu ? VR_YES : VR_NO), ==, value);
        } else if (strcmp(key, "gpu") == 0) {
            gpu = next_gpu(gpus, &index, value);
        } else {
            g_assert_nonnull(gpu);
            check_line(gpu, key, value);
        }
    }
    g_assert_cmpuint(index, ==, gpus->len);
}

static void
test_host(gconstpointer data)
{
    const HostCase *host = data;
    g_autofree char *directory = tree_hosts();
    g_autofree char *file = g_strconcat(host->name, ".tree", NULL);
    g_autofree char *expect_path = g_strconcat(directory, "/", host->name, ".expect", NULL);
    g_autofree char *expectation = NULL;
    char *tree = tree_new();

    g_assert_true(g_file_get_contents(expect_path, &expectation, NULL, NULL));
    tree_unpack(tree, file, host->shape);

    g_autoptr(VrSysroot) root = tree_root(tree);
    g_autoptr(VrHostFacts) facts = vr_host_facts_load(root, VR_FACTS_PCI);
    g_autoptr(GPtrArray) gpus = vr_gpus_judge(facts);

    check_host(facts, gpus, expectation);
    tree_remove(tree);
}

static void
add_case(const char *name, TreeShape shape)
{
    HostCase *host = g_new0(HostCase, 1);
    g_autofree char *path =
        g_strconcat(shape == TREE_FLAT ? "/hosts/flat-copy/" : "/hosts/as-recorded/", name, NULL);

    host->name = g_strdup(name);
    host->shape = shape;
    g_test_add_data_func_full(path, host, test_host, host_case_free);
}

static gint
compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *) a, *(const char *const *) b);
}

static GPtrArray *
host_names(void)
{
    g_autofree char *directory = tree_hosts();
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    GDir *entries = g_dir_open(directory, 0, NULL);
    const char *name = NULL;

    while (entries != NULL && (name = g_dir_read_name(entries)) != NULL) {
        if (g_str_has_suffix(name, ".tree")) {
            g_ptr_array_add(names, g_strndup(name, strlen(name) - strlen(".tree")));
        }
    }
    g_clear_pointer(&entries, g_dir_close);
    g_ptr_array_sort(names, compare_names);
    return names;
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);

    g_autoptr(GPtrArray) names = host_names();

    g_assert_cmpuint(names->len, >=, 43);
    for (guint i = 0; i < names->len; i++) {
        add_case(g_ptr_array_index(names, i), TREE_AS_RECORDED);
        add_case(g_ptr_array_index(names, i), TREE_FLAT);
    }
    return g_test_run();
}
