/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/disk_facts.h>

#include "base/fd.h"

#include <vmrun/error.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

static void
file_fact_free(gpointer data)
{
    VrFileFact *fact = data;

    g_free(fact->error);
    vr_option_rom_free(fact->rom);
    g_free(fact);
}

/* What is larger is no ROM; the first bytes are enough to say so. */
#define ROM_LIMIT_BYTES (16 * 1024 * 1024)

static void
read_rom(int fd, VrFileFact *fact)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) bytes = vr_fd_read_all(fd, fact->path, ROM_LIMIT_BYTES, true, &error);
    gsize size_bytes = 0;
    const uint8_t *data = bytes != NULL ? g_bytes_get_data(bytes, &size_bytes) : NULL;

    if (bytes == NULL) {
        fact->error = g_strdup(error->message);
        return;
    }
    fact->rom = vr_option_rom_parse(data, size_bytes);
}

static void
look_at(const VrSysroot *root, VrFileFact *fact)
{
    g_autoptr(GError) error = NULL;
    struct stat found = {0};
    vr_autofd int fd = vr_sysroot_open(root, fact->path, O_RDONLY | O_NONBLOCK | O_NOCTTY, &error);

    if (fd < 0 && g_error_matches(error, VR_ERROR, VR_ERROR_NOT_FOUND)) {
        return;
    }
    if (fd < 0 || fstat(fd, &found) != 0) {
        fact->error = g_strdup(error != NULL ? error->message : g_strerror(errno));
        return;
    }
    fact->exists = true;
    fact->is_regular = S_ISREG(found.st_mode);
    if (fact->is_regular && fact->section != NULL) {
        read_rom(fd, fact);
    }
}

static void
add_file(GPtrArray *files, const VrSysroot *root, const char *key, const char *path,
         const VrProfileDevice *section)
{
    if (path == NULL) {
        return;
    }
    VrFileFact *fact = g_new0(VrFileFact, 1);
    fact->key = key;
    fact->path = path;
    fact->section = section;
    look_at(root, fact);
    g_ptr_array_add(files, fact);
}

GPtrArray *
vr_file_facts_load(const VrHostFacts *facts, const VrProfile *profile)
{
    GPtrArray *files = g_ptr_array_new_with_free_func(file_fact_free);

    add_file(files, facts->root, "kernel", profile->kernel, NULL);
    add_file(files, facts->root, "initrd", profile->initrd, NULL);
    for (guint i = 0; i < profile->devices->len; i++) {
        const VrProfileDevice *device = g_ptr_array_index(profile->devices, i);
        add_file(files, facts->root, "rom", device->rom, device);
    }
    return files;
}

/* driverctl(8) keeps one file per device, named "pci-0000:01:00.0". */
GArray *
vr_kept_addresses_load(const VrHostFacts *facts)
{
    static const char prefix[] = "pci-";
    GArray *kept = g_array_new(FALSE, FALSE, sizeof(VrPciAddress));
    g_autoptr(GPtrArray) names = vr_sysroot_list(facts->root, "/etc/driverctl.d", NULL);

    for (guint i = 0; names != NULL && i < names->len; i++) {
        const char *name = g_ptr_array_index(names, i);
        VrPciAddress address = {0};
        if (g_str_has_prefix(name, prefix) &&
            vr_pci_address_parse(name + strlen(prefix), &address)) {
            g_array_append_val(kept, address);
        }
    }
    return kept;
}
