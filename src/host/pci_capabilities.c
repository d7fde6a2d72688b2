/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/pci_capabilities.h>

#include <vmrun/error.h>

#include <pci/pci.h>

#include <stdlib.h>
#include <unistd.h>

#define HEADER_BYTES 64  /* what the kernel shows to everybody */
#define CONFIG_BYTES 256 /* where the traditional capabilities are */

/* A bit or two in the double word at `offset` behind the start of a capability. */
typedef struct {
    unsigned id, offset;
    uint32_t mask, wanted;
} Flag;

/* The kernel's own conditions (drivers/pci/pci.c: pcie_reset_flr, pci_af_flr, pci_pm_reset). */
static const Flag express_reset = {PCI_CAP_ID_EXP, PCI_EXP_DEVCAP, PCI_EXP_DEVCAP_FLRESET,
                                   PCI_EXP_DEVCAP_FLRESET};
static const Flag advanced_reset = {PCI_CAP_ID_AF, 0, (PCI_AF_CAP_TP | PCI_AF_CAP_FLR) << 24,
                                    (PCI_AF_CAP_TP | PCI_AF_CAP_FLR) << 24};
static const Flag power_reset = {PCI_CAP_ID_PM, PCI_PM_CTRL, PCI_PM_CTRL_NO_SOFT_RST, 0};

void
vr_pci_capabilities_free(VrPciCapabilities *capabilities)
{
    if (capabilities != NULL) {
        g_free(capabilities->reset_methods);
        g_free(capabilities->serial);
        g_free(capabilities);
    }
}

/* libpci counts on this not to return. Whoever waits for the worker sees that it ended. */
static void G_GNUC_NORETURN
end_worker(char *format, ...)
{
    (void) format;
    _exit(VR_ERROR_FAILED);
}

/* A file that is missing or short: the results say so. */
static void
ignore(char *format, ...)
{
    (void) format;
}

static struct pci_access *
open_access(const VrSysroot *root)
{
    g_autofree char *path = g_build_filename(vr_sysroot_directory(root), "sys/bus/pci", NULL);
    struct pci_access *access = pci_alloc();
    access->method = PCI_ACCESS_SYS_BUS_PCI;
    access->error = end_worker;
    access->warning = ignore;
    access->debug = ignore;
    pci_set_param(access, (char *) "sysfs.path", path);
    pci_init(access);
    return access;
}

/* libpci follows links by itself: where one leads out of a recorded tree, nothing is read. */
static bool
has_config(const VrSysroot *root, const char *function)
{
    g_autofree char *path = g_strconcat(function, "/config", NULL);
    g_autofree char *below = vr_sysroot_resolve(root, path, NULL);
    g_autofree char *seen = g_build_filename(vr_sysroot_directory(root), path, NULL);
    g_autofree char *followed = realpath(seen, NULL);
    g_autofree char *top = realpath(vr_sysroot_directory(root), NULL);
    if (below == NULL || followed == NULL || top == NULL) {
        return false;
    }
    g_autofree char *inside = g_build_filename(top, below, NULL);
    return g_str_equal(inside, followed);
}

static VrTristate
ask(struct pci_dev *device, const Flag *flag)
{
    u8 bytes[4] = {0};
    const struct pci_cap *capability = pci_find_cap(device, flag->id, PCI_CAP_NORMAL);
    if (capability == NULL) {
        return VR_NO;
    }
    unsigned at = capability->addr + flag->offset;
    /* What would reach into the extended capabilities is not the one it says it is. */
    if (at + sizeof bytes > CONFIG_BYTES ||
        !pci_read_block(device, (int) at, bytes, sizeof bytes)) {
        return VR_UNKNOWN;
    }
    uint32_t value = (uint32_t) bytes[0] | (uint32_t) bytes[1] << 8 | (uint32_t) bytes[2] << 16 |
                     (uint32_t) bytes[3] << 24;
    return (value & flag->mask) == flag->wanted ? VR_YES : VR_NO;
}

static VrTristate
either(VrTristate a, VrTristate b)
{
    if (a == VR_YES || b == VR_YES) {
        return VR_YES;
    }
    return a == VR_UNKNOWN || b == VR_UNKNOWN ? VR_UNKNOWN : VR_NO;
}

/* PCI Express Base Specification 7.9.3: the lower double word of the number comes first. */
static char *
read_serial(struct pci_dev *device)
{
    const struct pci_cap *capability = pci_find_cap(device, PCI_EXT_CAP_ID_DSN, PCI_CAP_EXTENDED);
    u8 bytes[8] = {0};
    if (capability == NULL ||
        !pci_read_block(device, (int) (capability->addr + 4), bytes, sizeof bytes)) {
        return NULL;
    }
    GString *text = g_string_new(NULL);
    for (guint i = sizeof bytes; i-- > 0;) {
        g_string_append_printf(text, "%02x", bytes[i]);
    }
    return g_string_free(text, FALSE);
}

static void
read_config(struct pci_access *access, VrPciCapabilities *capabilities)
{
    u8 bytes[CONFIG_BYTES] = {0};
    VrPciAddress address = capabilities->address;
    struct pci_dev *device =
        pci_get_dev(access, (int) address.domain, address.bus, address.slot, address.function);
    /* Not the ids: those of a virtual function are all ones (SR-IOV 1.1, 3.4.1.1). Bit 7 tells of
     * further functions. */
    if (pci_read_block(device, 0, bytes, HEADER_BYTES)) {
        bool is_dead = (bytes[PCI_HEADER_TYPE] & 0x7f) == 0x7f;
        capabilities->is_dead = is_dead ? VR_YES : VR_NO;
    }
    if (capabilities->is_dead == VR_NO && pci_read_block(device, 0, bytes, CONFIG_BYTES)) {
        capabilities->function_reset =
            either(ask(device, &express_reset), ask(device, &advanced_reset));
        capabilities->power_reset = ask(device, &power_reset);
        capabilities->serial = read_serial(device);
    }
    pci_free_dev(device);
}

static VrPciCapabilities *
read_function(const VrSysroot *root, struct pci_access *access, VrPciAddress address)
{
    VrPciCapabilities *capabilities = g_new0(VrPciCapabilities, 1);
    g_autofree char *name = vr_pci_address_format(address);
    g_autofree char *directory = g_strconcat("/sys/bus/pci/devices/", name, NULL);
    g_autofree char *methods = g_strconcat(directory, "/reset_method", NULL);
    capabilities->address = address;
    capabilities->is_dead = VR_UNKNOWN;
    capabilities->function_reset = VR_UNKNOWN;
    capabilities->power_reset = VR_UNKNOWN;
    capabilities->reset_methods = vr_sysroot_read_optional(root, methods);
    if (has_config(root, directory)) {
        read_config(access, capabilities);
    }
    return capabilities;
}

GPtrArray *
vr_pci_capabilities_read(const VrSysroot *root, const GArray *addresses)
{
    GPtrArray *read = g_ptr_array_new_with_free_func((GDestroyNotify) vr_pci_capabilities_free);
    struct pci_access *access = open_access(root);
    for (guint i = 0; i < addresses->len; i++) {
        g_ptr_array_add(read,
                        read_function(root, access, g_array_index(addresses, VrPciAddress, i)));
    }
    pci_cleanup(access);
    return read;
}
