/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/host_facts.h>

#include "host/host_facts_private.h"

#include <string.h>

static void
parameter_free(gpointer data)
{
    VrKernelParameter *parameter = data;

    g_free(parameter->key);
    g_free(parameter->value);
    g_free(parameter);
}

static void
cpu_free(gpointer data)
{
    VrCpu *cpu = data;

    g_array_unref(cpu->siblings);
    g_free(cpu);
}

static void
use_free(gpointer data)
{
    VrDeviceUse *use = data;

    g_free(use->use);
    g_free(use);
}

static VrHostFacts *
facts_new(VrSysroot *root)
{
    VrHostFacts *facts = g_new0(VrHostFacts, 1);

    facts->root = vr_sysroot_ref(root);
    facts->functions = g_ptr_array_new_with_free_func((GDestroyNotify) vr_pci_function_free);
    facts->names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    facts->parameters = g_ptr_array_new_with_free_func(parameter_free);
    facts->interrupt_remapping = VR_UNKNOWN;
    facts->secure_boot = VR_UNKNOWN;
    facts->cpus = g_ptr_array_new_with_free_func(cpu_free);
    facts->hugepages = g_ptr_array_new_with_free_func(g_free);
    facts->kvm = VR_UNKNOWN;
    facts->kvm_usable = VR_UNKNOWN;
    facts->uses = g_ptr_array_new_with_free_func(use_free);
    facts->mounted = g_ptr_array_new_with_free_func(g_free);
    facts->bridges = g_ptr_array_new_with_free_func(g_free);
    facts->interfaces = g_ptr_array_new_with_free_func(g_free);
    return facts;
}

typedef struct {
    VrFactsMask part;
    void (*load)(VrHostFacts *facts);
} Part;

/* In this order: groups want the functions, modules the command line. */
static const Part parts[] = {
    {VR_FACTS_PCI, vr_pci_devices_load},   {VR_FACTS_PCI, vr_iommu_groups_load},
    {VR_FACTS_KERNEL, vr_cmdline_load},    {VR_FACTS_KERNEL, vr_modules_load},
    {VR_FACTS_FIRMWARE, vr_firmware_load}, {VR_FACTS_CPU, vr_cpu_topology_load},
    {VR_FACTS_MEMORY, vr_memory_load},     {VR_FACTS_VIRTUALISATION, vr_virtualisation_load},
    {VR_FACTS_STORAGE, vr_storage_load},   {VR_FACTS_STORAGE, vr_keyboards_load},
    {VR_FACTS_NETWORK, vr_network_load},
};

void
vr_host_facts_load_more(VrHostFacts *facts, unsigned mask)
{
    if ((mask & (VR_FACTS_NAMES | VR_FACTS_STORAGE | VR_FACTS_NETWORK)) != 0) {
        mask |= VR_FACTS_PCI;
    }

    unsigned missing = mask & ~facts->mask;

    facts->mask |= mask;
    for (gsize i = 0; i < G_N_ELEMENTS(parts); i++) {
        if ((missing & (unsigned) parts[i].part) != 0) {
            parts[i].load(facts);
        }
    }
    if ((missing & VR_FACTS_NAMES) != 0) {
        facts->name_database = vr_pci_names_open();
    }
}

VrHostFacts *
vr_host_facts_load(VrSysroot *root, unsigned mask)
{
    VrHostFacts *facts = facts_new(root);

    vr_host_facts_load_more(facts, mask);
    return facts;
}

void
vr_host_facts_free(VrHostFacts *facts)
{
    if (facts == NULL) {
        return;
    }
    g_ptr_array_unref(facts->functions);
    g_hash_table_unref(facts->names);
    vr_pci_names_free(facts->name_database);
    g_ptr_array_unref(facts->parameters);
    g_ptr_array_unref(facts->cpus);
    g_ptr_array_unref(facts->hugepages);
    g_ptr_array_unref(facts->uses);
    g_ptr_array_unref(facts->mounted);
    g_ptr_array_unref(facts->bridges);
    g_ptr_array_unref(facts->interfaces);
    g_clear_pointer(&facts->qemu_settings, g_ptr_array_unref);
    g_clear_pointer(&facts->open_vfio_nodes, g_ptr_array_unref);
    char *const texts[] = {
        facts->functions_error, facts->kernel_release, facts->vfio_pci_ids,
        facts->boot_id,         facts->computer,       facts->bios_version,
        facts->bios_date,       facts->cpu_model,      facts->kvm_evidence,
        facts->qemu_user,       facts->qemu_binary,    facts->libvirt_socket_path,
        facts->qemu_conf_error,
    };
    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_free(texts[i]);
    }
    vr_sysroot_unref(facts->root);
    g_free(facts);
}

const VrPciFunction *
vr_host_facts_function(const VrHostFacts *facts, VrPciAddress address)
{
    guint first = 0, last = facts->functions->len;

    while (first < last) {
        guint middle = first + (last - first) / 2;
        const VrPciFunction *function = g_ptr_array_index(facts->functions, middle);
        int order = vr_pci_address_compare(function->address, address);

        if (order == 0) {
            return function;
        }
        if (order < 0) {
            first = middle + 1;
        } else {
            last = middle;
        }
    }
    return NULL;
}

const char *
vr_host_facts_name(const VrHostFacts *facts, const VrPciFunction *function)
{
    g_autofree char *id = vr_pci_function_id(function);
    const char *known = g_hash_table_lookup(facts->names, id);

    if (known != NULL) {
        return known;
    }

    char *name = vr_pci_names_lookup(facts->name_database, function);

    if (name == NULL) {
        name = g_strdup(id);
    }
    g_hash_table_insert(facts->names, g_steal_pointer(&id), name);
    return name;
}

GPtrArray *
vr_host_facts_group(const VrHostFacts *facts, int group)
{
    GPtrArray *members = g_ptr_array_new();

    for (guint i = 0; i < facts->functions->len && group >= 0; i++) {
        VrPciFunction *function = g_ptr_array_index(facts->functions, i);

        if (function->group == group) {
            g_ptr_array_add(members, function);
        }
    }
    return members;
}

/* The kernel takes '-' and '_' for the same in names (kernel/params.c, dash2underscore). */
static bool
is_same_key(const char *a, const char *b)
{
    while (*a != '\0' && (*a == '-' ? '_' : *a) == (*b == '-' ? '_' : *b)) {
        a++;
        b++;
    }
    return *a == *b;
}

const char *
vr_host_facts_parameter(const VrHostFacts *facts, const char *key)
{
    for (guint i = facts->parameters->len; i > 0; i--) {
        const VrKernelParameter *parameter = g_ptr_array_index(facts->parameters, i - 1);

        if (is_same_key(parameter->key, key)) {
            return parameter->value != NULL ? parameter->value : "";
        }
    }
    return NULL;
}

void
vr_host_facts_add_use(VrHostFacts *facts, VrPciAddress address, char *use, bool critical)
{
    for (guint i = 0; i < facts->uses->len; i++) {
        const VrDeviceUse *known = g_ptr_array_index(facts->uses, i);

        if (vr_pci_address_equal(known->address, address) && strcmp(known->use, use) == 0) {
            g_free(use);
            return;
        }
    }

    VrDeviceUse *added = g_new0(VrDeviceUse, 1);

    added->address = address;
    added->use = use;
    added->critical = critical;
    g_ptr_array_add(facts->uses, added);
}
