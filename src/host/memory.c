/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/host_facts_private.h"

#include <vmrun/text.h>

#include <string.h>

#define NODES "/sys/devices/system/node"

/* "MemTotal:       32768000 kB" -> MiB; 0 if it is not there. */
static uint64_t
meminfo_mib(const char *text, const char *key)
{
    uint64_t kib = 0;
    const char *line = text == NULL ? NULL : strstr(text, key);

    if (line == NULL) {
        return 0;
    }
    line += strlen(key);
    line += strspn(line, ": \t");

    g_autofree char *digits = g_strndup(line, strspn(line, "0123456789"));
    return vr_text_to_uint(digits, 0, UINT64_MAX, &kib) ? kib / 1024 : 0;
}

static uint64_t
read_count(const VrSysroot *root, const char *directory, const char *name)
{
    uint64_t count = 0;
    g_autofree char *path = g_strconcat(directory, "/", name, NULL);
    g_autofree char *text = vr_sysroot_read_optional(root, path);

    return text != NULL && vr_text_to_uint(text, 0, UINT64_MAX, &count) ? count : 0;
}

/* "hugepages-2048kB" -> 2048; 0: another name. */
static unsigned
page_kib_of(const char *name)
{
    uint64_t kib = 0;

    if (!g_str_has_prefix(name, "hugepages-") || !g_str_has_suffix(name, "kB")) {
        return 0;
    }

    const char *digits = name + strlen("hugepages-");
    g_autofree char *number = g_strndup(digits, strlen(digits) - strlen("kB"));
    return vr_text_to_uint(number, 1, G_MAXUINT, &kib) ? (unsigned) kib : 0;
}

/* The pools of one directory, "…/node0/hugepages"; false if there is none. */
static bool
load_pools(VrHostFacts *facts, const char *directory, int node)
{
    g_autoptr(GPtrArray) names = vr_sysroot_list(facts->root, directory, NULL);

    for (guint i = 0; names != NULL && i < names->len; i++) {
        const char *name = g_ptr_array_index(names, i);
        unsigned page_kib = page_kib_of(name);
        g_autofree char *path = g_strconcat(directory, "/", name, NULL);

        if (page_kib > 0) {
            VrHugepagePool *pool = g_new0(VrHugepagePool, 1);

            pool->node = node;
            pool->page_kib = page_kib;
            pool->total = read_count(facts->root, path, "nr_hugepages");
            pool->free = read_count(facts->root, path, "free_hugepages");
            g_ptr_array_add(facts->hugepages, pool);
        }
    }
    return names != NULL;
}

static gint
compare_pools(gconstpointer a, gconstpointer b)
{
    const VrHugepagePool *first = *(const VrHugepagePool *const *) a;
    const VrHugepagePool *second = *(const VrHugepagePool *const *) b;

    if (first->node != second->node) {
        return first->node - second->node;
    }
    return first->page_kib < second->page_kib ? -1 : first->page_kib > second->page_kib;
}

void
vr_memory_load(VrHostFacts *facts)
{
    bool has_nodes = false;
    g_autofree char *text = vr_sysroot_read_optional(facts->root, "/proc/meminfo");
    g_autoptr(GPtrArray) names = vr_sysroot_list(facts->root, NODES, NULL);

    facts->memory_total_mib = meminfo_mib(text, "MemTotal");
    facts->memory_available_mib = meminfo_mib(text, "MemAvailable");
    for (guint i = 0; names != NULL && i < names->len; i++) {
        uint64_t node = 0;
        const char *name = g_ptr_array_index(names, i);
        g_autofree char *path = g_strconcat(NODES "/", name, "/hugepages", NULL);

        if (g_str_has_prefix(name, "node") &&
            vr_text_to_uint(name + strlen("node"), 0, G_MAXINT, &node)) {
            has_nodes |= load_pools(facts, path, (int) node);
        }
    }
    if (!has_nodes) {
        load_pools(facts, "/sys/kernel/mm/hugepages", -1);
    }
    g_ptr_array_sort(facts->hugepages, compare_pools);
}
