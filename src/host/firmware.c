/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/host_facts_private.h"

#include <string.h>

#define DMI "/sys/class/dmi/id"
/* EFI_GLOBAL_VARIABLE, UEFI Specification 2.10, 3.3. */
#define SECURE_BOOT "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"

/* What hypervisors write into DMI, as systemd-detect-virt knows them. */
static bool
is_hypervisor_vendor(const char *text)
{
    static const char *const vendors[] = {"QEMU",       "KVM",        "VMware",    "innotek",
                                          "VirtualBox", "Parallels",  "Xen",       "Bochs",
                                          "BHYVE",      "Amazon EC2", "OpenStack", "Hyper-V"};

    for (gsize i = 0; i < G_N_ELEMENTS(vendors); i++) {
        if (strstr(text, vendors[i]) != NULL) {
            return true;
        }
    }
    return false;
}

/* Hyper-V names itself by vendor and product together; Microsoft also builds computers. */
static bool
dmi_says_hypervisor(const char *vendor, const char *product)
{
    return is_hypervisor_vendor(vendor) || is_hypervisor_vendor(product) ||
           (strcmp(vendor, "Microsoft Corporation") == 0 &&
            strcmp(product, "Virtual Machine") == 0);
}

/* CPUID 1, ECX bit 31, which every hypervisor sets for its guests (and Hyper-V for its host). */
static bool
cpu_says_hypervisor(const VrSysroot *root)
{
    g_autofree char *text = vr_sysroot_read_optional(root, "/proc/cpuinfo");
    const char *flags = text == NULL ? NULL : strstr(text, "\nflags");
    size_t length = flags == NULL ? 0 : strcspn(flags + 1, "\n") + 1;
    g_autofree char *line = g_strndup(flags != NULL ? flags : "", length);

    return strstr(line, " hypervisor") != NULL;
}

static VrTristate
read_secure_boot(const VrSysroot *root)
{
    /* Four bytes of attributes, then the value (Documentation/filesystems/efivarfs.rst). */
    g_autoptr(GBytes) bytes = vr_sysroot_read_bytes(root, SECURE_BOOT, 16, NULL);
    gsize size_bytes = 0;
    const guint8 *data = bytes == NULL ? NULL : g_bytes_get_data(bytes, &size_bytes);

    if (data == NULL || size_bytes < 5) {
        return VR_UNKNOWN;
    }
    return data[4] == 1 ? VR_YES : VR_NO;
}

void
vr_firmware_load(VrHostFacts *facts)
{
    const VrSysroot *root = facts->root;
    g_autofree char *vendor = vr_sysroot_read_optional(root, DMI "/sys_vendor");
    g_autofree char *product = vr_sysroot_read_optional(root, DMI "/product_name");

    if (vendor != NULL || product != NULL) {
        g_autofree char *both =
            g_strconcat(vendor != NULL ? vendor : "", " ", product != NULL ? product : "", NULL);

        facts->computer = g_strdup(g_strstrip(both));
    }
    facts->bios_version = vr_sysroot_read_optional(root, DMI "/bios_version");
    facts->bios_date = vr_sysroot_read_optional(root, DMI "/bios_date");
    facts->uefi = vr_sysroot_exists(root, "/sys/firmware/efi");
    facts->secure_boot = facts->uefi ? read_secure_boot(root) : VR_NO;
    facts->is_virtual_machine =
        dmi_says_hypervisor(vendor != NULL ? vendor : "", product != NULL ? product : "") ||
        cpu_says_hypervisor(root);
}
