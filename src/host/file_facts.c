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
    g_free(fact);
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
    if (fact->is_regular && read(fd, fact->start, sizeof fact->start) < 0) {
        fact->error = g_strdup_printf("read %s: %s", fact->path, g_strerror(errno));
    }
}

static void
add_file(GPtrArray *files, const VrSysroot *root, const char *key, const char *path)
{
    if (path == NULL) {
        return;
    }
    VrFileFact *fact = g_new0(VrFileFact, 1);
    fact->key = key;
    fact->path = path;
    look_at(root, fact);
    g_ptr_array_add(files, fact);
}

GPtrArray *
vr_file_facts_load(const VrHostFacts *facts, const VrProfile *profile)
{
    GPtrArray *files = g_ptr_array_new_with_free_func(file_fact_free);

    add_file(files, facts->root, "kernel", profile->kernel);
    add_file(files, facts->root, "initrd", profile->initrd);
    for (guint i = 0; i < profile->devices->len; i++) {
        const VrProfileDevice *device = g_ptr_array_index(profile->devices, i);
        add_file(files, facts->root, "rom", device->rom);
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
