/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "plan/check_rows.h"

static char *
section_of(const VrProfileDisk *disk)
{
    const char *kind = disk->is_cdrom ? "cdrom" : "disk";

    return disk->name != NULL && disk->name[0] != '\0'
               ? g_strdup_printf("[%s %s]", kind, disk->name)
               : g_strdup_printf("[%s]", kind);
}

static void
add_missing(const VrDiskFact *fact, const char *section, VrReport *report)
{
    bool exists = fact->exists;

    vr_report_add(report, "disk", VR_SEVERITY_BLOCKER, VR_REMEDY_PROFILE,
                  g_strdup(fact->disk->path),
                  exists ? g_strdup_printf("%s names neither a file nor a disk", section)
                         : g_strdup_printf("%s is missing", section),
                  exists ? g_strdup("neither a regular file nor a block device")
                         : g_strdup("No such file or directory"),
                  fact->disk->is_cdrom || exists
                      ? g_strdup_printf("correct path= under %s", section)
                      : g_strdup_printf("correct path= under %s, or make one: qemu-img create -f "
                                        "qcow2 FILE 64G",
                                        section));
}

/* Reading a medium that nobody changes harms nobody. */
static bool
only_reads(const VrProfileDisk *disk)
{
    return disk->read_only || disk->is_cdrom;
}

static void
add_in_use(const VrDiskFact *fact, const char *section, VrReport *report)
{
    bool harmless = only_reads(fact->disk) && fact->used_by == NULL;
    char *message = fact->used_by != NULL
                        ? g_strdup_printf("%s is in use by %s", section, fact->used_by)
                        : g_strdup_printf("%s is in use by the host", section);
    VrFinding *finding =
        vr_report_add(report, "disk", harmless ? VR_SEVERITY_INFO : VR_SEVERITY_BLOCKER,
                      VR_REMEDY_OS, g_strdup(fact->disk->path), message,
                      fact->used_by != NULL ? g_strdup("/proc/*/fd: open for writing")
                                            : g_strdup(fact->mounted_at),
                      harmless ? NULL
                      : fact->used_by != NULL
                          ? g_strdup("end that program first: two writers destroy a disk")
                          : g_strdup("unmount it first (or swapoff, vgchange -an, losetup -d): "
                                     "two writers destroy a file system"));
    finding->status = VR_ERROR_BUSY;
}

static void
add_not_looked_at(const VrDiskFact *fact, const char *section, VrReport *report)
{
    vr_report_add(report, "disk", VR_SEVERITY_UNKNOWN, VR_REMEDY_OS, g_strdup(fact->disk->path),
                  g_strdup_printf("%s could not be looked at", section), g_strdup(fact->error),
                  g_strdup("run this as root"));
}

static void
add_fine(const VrDiskFact *fact, const char *section, VrReport *report)
{
    const char *kind = fact->is_block ? "block device" : "file";

    if (fact->unreadable_processes > 0) {
        vr_report_add(report, "disk", VR_SEVERITY_UNKNOWN, VR_REMEDY_OS, g_strdup(fact->disk->path),
                      g_strdup_printf("%s is there and not mounted; whether another program writes "
                                      "to it could not be found out",
                                      section),
                      g_strdup_printf("/proc/*/fd: %u processes could not be looked into",
                                      fact->unreadable_processes),
                      g_strdup("run this as root"));
        return;
    }
    vr_report_add(
        report, "disk", VR_SEVERITY_OK, VR_REMEDY_NONE, g_strdup(fact->disk->path),
        g_strdup_printf("%s is there, and nobody uses it", section),
        g_strdup_printf("a %s; not in /proc/self/mountinfo, /proc/swaps, /proc/*/fd", kind), NULL);
}

void
vr_check_disks(const VrCheckInput *input, VrReport *report)
{
    for (guint i = 0; input->disks != NULL && i < input->disks->len; i++) {
        const VrDiskFact *fact = g_ptr_array_index(input->disks, i);
        g_autofree char *section = section_of(fact->disk);
        if (fact->error != NULL) {
            add_not_looked_at(fact, section, report);
        } else if (!fact->exists || (!fact->is_block && !fact->is_regular)) {
            add_missing(fact, section, report);
        } else if (fact->mounted_at != NULL || fact->used_by != NULL) {
            add_in_use(fact, section, report);
        } else {
            add_fine(fact, section, report);
        }
    }
}
