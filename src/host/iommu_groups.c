/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/host_facts_private.h"

#include <vmrun/text.h>

#include <string.h>

#define GROUPS "/sys/kernel/iommu_groups"

/*
 * A group that VFIO made for a device without an IOMMU (CONFIG_VFIO_NOIOMMU, drivers/vfio/group.c,
 * vfio_noiommu_group_alloc): it isolates nothing.
 */
static bool
is_without_iommu(const VrSysroot *root, const char *group)
{
    g_autofree char *path = g_strconcat(GROUPS "/", group, "/name", NULL);
    g_autofree char *name = vr_sysroot_read_optional(root, path);

    return name != NULL && strcmp(name, "vfio-noiommu") == 0;
}

static bool
is_listed(const VrSysroot *root, const char *directory)
{
    g_autoptr(GPtrArray) names = vr_sysroot_list(root, directory, NULL);

    return names != NULL && names->len > 0;
}

static bool
lacks_group(const VrPciFunction *function)
{
    return function->group < 0 && (function->unreadable & VR_PCI_UNREADABLE_GROUP) == 0;
}

static void
take_members(VrHostFacts *facts, const char *group)
{
    uint64_t number = 0;
    g_autofree char *path = g_strconcat(GROUPS "/", group, "/devices", NULL);
    g_autoptr(GPtrArray) members = vr_sysroot_list(facts->root, path, NULL);

    if (members == NULL || !vr_text_to_uint(group, 0, G_MAXINT, &number)) {
        return;
    }
    for (guint i = 0; i < members->len; i++) {
        VrPciAddress address = {0};
        VrPciFunction *function = NULL;

        if (vr_pci_address_parse(g_ptr_array_index(members, i), &address)) {
            function = (VrPciFunction *) vr_host_facts_function(facts, address);
        }
        if (function != NULL && lacks_group(function)) {
            function->group = (int) number;
        }
    }
}

static void
forget_group(VrHostFacts *facts, int group)
{
    for (guint i = 0; i < facts->functions->len; i++) {
        VrPciFunction *function = g_ptr_array_index(facts->functions, i);

        if (function->group == group) {
            function->group = -1;
        }
    }
}

/* The groups' own list of members fills what the functions' links did not tell. */
static void
fill_groups(VrHostFacts *facts, const GPtrArray *groups)
{
    bool is_needed = false;

    for (guint i = 0; i < facts->functions->len && !is_needed; i++) {
        is_needed = lacks_group(g_ptr_array_index(facts->functions, i));
    }
    for (guint i = 0; i < groups->len && is_needed; i++) {
        take_members(facts, g_ptr_array_index(groups, i));
    }
}

/* Without an IOMMU in /sys/class/iommu the groups may be VFIO's own. */
static void
drop_false_groups(VrHostFacts *facts, const GPtrArray *groups)
{
    for (guint i = 0; i < groups->len; i++) {
        uint64_t number = 0;
        const char *group = g_ptr_array_index(groups, i);

        if (vr_text_to_uint(group, 0, G_MAXINT, &number) && is_without_iommu(facts->root, group)) {
            forget_group(facts, (int) number);
        }
    }
}

/* A link to a group that cannot be read is still one. */
static bool
has_a_group(const VrHostFacts *facts)
{
    for (guint i = 0; i < facts->functions->len; i++) {
        const VrPciFunction *function = g_ptr_array_index(facts->functions, i);

        if (function->group >= 0 || (function->unreadable & VR_PCI_UNREADABLE_GROUP) != 0) {
            return true;
        }
    }
    return false;
}

void
vr_iommu_groups_load(VrHostFacts *facts)
{
    g_autoptr(GPtrArray) groups = vr_sysroot_list(facts->root, GROUPS, NULL);
    bool has_unit = is_listed(facts->root, "/sys/class/iommu");

    if (groups != NULL) {
        fill_groups(facts, groups);
        if (!has_unit) {
            drop_false_groups(facts, groups);
        }
    }
    facts->iommu = has_unit || has_a_group(facts);
    facts->iommu_in_firmware_tables =
        vr_sysroot_exists(facts->root, "/sys/firmware/acpi/tables/DMAR") ||
        vr_sysroot_exists(facts->root, "/sys/firmware/acpi/tables/IVRS");
}
