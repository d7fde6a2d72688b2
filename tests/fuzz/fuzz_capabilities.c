/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Configuration space as libpci sees it: chains that loop, all ones, files that end early. What
 * vmrun makes of it beside a second walk of the chain.
 */
#include "parts.h"

#include "../support/tree.h"

#include <vmrun/pci_capabilities.h>

#define CONFIG_BYTES 256

static const FuzzPlace places[] = {
    {'a', "/sys/devices/pci0000:00/0000:01:00.0/config", false},
    {0, NULL, false},
};

/* PCI Local Bus Specification 3.0, 6.7: where the capability with that id is; 0: nowhere. */
static unsigned
find(const uint8_t *config, uint8_t id)
{
    bool seen[CONFIG_BYTES] = {false};
    if ((config[0x06] & 0x10) == 0) { /* status: no list */
        return 0;
    }
    for (unsigned at = config[0x34] & 0xfc; at != 0 && !seen[at]; at = config[at + 1] & 0xfc) {
        seen[at] = true;
        if (config[at] == 0xff) {
            return 0;
        }
        if (config[at] == id) {
            return at;
        }
    }
    return 0;
}

static VrTristate
has(const uint8_t *config, uint8_t id, unsigned offset, uint8_t mask, uint8_t wanted)
{
    unsigned at = find(config, id);
    if (at == 0) {
        return VR_NO;
    }
    if ((at + (offset & ~3U)) + 4 > CONFIG_BYTES) {
        return VR_UNKNOWN; /* the double word that has the bits is cut off */
    }
    return (config[at + offset] & mask) == wanted ? VR_YES : VR_NO;
}

static VrTristate
either(VrTristate a, VrTristate b)
{
    return a == VR_YES || b == VR_YES           ? VR_YES
           : a == VR_UNKNOWN || b == VR_UNKNOWN ? VR_UNKNOWN
                                                : VR_NO;
}

static void
compare(const VrPciCapabilities *read, const uint8_t *config)
{
    bool dead = (config[0x0e] & 0x7f) == 0x7f;
    g_assert_cmpint(read->is_dead, ==, dead ? VR_YES : VR_NO);
    if (dead) {
        g_assert_cmpint(read->function_reset, ==, VR_UNKNOWN);
        return;
    }
    /* Device Capabilities bit 28; AF Capabilities, TP and FLR; PMCSR, No_Soft_Reset */
    g_assert_cmpint(read->function_reset, ==,
                    either(has(config, 0x10, 7, 0x10, 0x10), has(config, 0x13, 3, 0x03, 0x03)));
    g_assert_cmpint(read->power_reset, ==, has(config, 0x01, 4, 0x08, 0));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    const char *directory = fuzz_directory();
    VrPciAddress address = {0, 1, 0, 0};
    g_autoptr(VrSysroot) root = tree_root(directory);
    g_autoptr(GArray) addresses = g_array_new(FALSE, FALSE, sizeof address);

    if (!vr_sysroot_exists(root, "/sys/bus/pci/devices/0000:01:00.0")) {
        tree_pci(directory, "pci0000:00/0000:01:00.0", "030000 10de:2484", NULL, 1);
    }
    size_bytes = MIN(size_bytes, 4096);
    fuzz_fill(directory, places, NULL, 0);
    g_autofree char *path = g_strconcat(directory, places[0].path, NULL);
    g_assert_true(g_file_set_contents_full(path, (const char *) data, (gssize) size_bytes,
                                           G_FILE_SET_CONTENTS_NONE, 0644, NULL));
    g_array_append_val(addresses, address);
    g_autoptr(GPtrArray) read = vr_pci_capabilities_read(root, addresses);
    g_assert_cmpuint(read->len, ==, 1);
    if (size_bytes >= CONFIG_BYTES) {
        compare(g_ptr_array_index(read, 0), data);
    }
    return 0;
}
