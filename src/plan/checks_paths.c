/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * May root give this file to libvirt? The place is one for guests' files, nobody but root could
 * have chosen or can change what the path leads to, and it is what it should be.
 */
#include "plan/check_rows.h"

#include <string.h>

#define ID "path-trust"
#define PLACE "/var/lib/libvirt/images"
#define ROM_PLACE "/etc/vmrun/roms"
#define CONFIGURATION "/etc/vmrun/vmrun.conf"

enum {
    ROM_LIMIT_MIB = 16,    /* PCI: the largest expansion ROM that a BAR can hold */
    BOOT_LIMIT_MIB = 2048, /* a kernel loads its initrd below 4 GiB */
    GROUP_WRITES = 0020,   /* of a mode */
    OTHERS_WRITE = 0002,
};

/* Everything else at the top of the tree was made by the administrator (or is /home, /media, /mnt,
 * /opt, /srv): file-hierarchy(7), FHS 3.0, and the stores of NixOS, Guix, ostree and snap. */
static const char *const system_directories[] = {
    "bin",   "boot",   "dev",     "efi",  "etc",  "gnu", "lib",    "lib32",
    "lib64", "libx32", "nix",     "proc", "root", "run", "ostree", "sbin",
    "snap",  "sys",    "sysroot", "tmp",  "usr",  "var", NULL};

/* Places inside of those; the last two letters of a row are what may lie there. */
typedef struct {
    const char *directory;
    bool rom_only;
} Place;

static const Place places[] = {
    {"/var/lib/libvirt/", false}, {"/var/lib/vmrun/images/", false},
    {"/var/home/", false},        {"/var/mnt/", false},
    {"/var/srv/", false},         {ROM_PLACE "/", true},
    {"/usr/share/", true},
};

/* What is wrong: in words, as seen, and what to do. The texts are handed over to the report. */
static void
refuse(const VrPathFact *fact, VrReport *report, const char *message, char *evidence, char *advice)
{
    vr_report_add(report, ID, VR_SEVERITY_BLOCKER, VR_REMEDY_PROFILE, g_strdup(fact->path),
                  g_strdup_printf("%s %s", fact->title, message), evidence, advice);
}

static char *
advise_to_move(const VrPathFact *fact)
{
    return g_strdup_printf("move the file to %s and correct the profile",
                           fact->use == VR_PATH_ROM ? ROM_PLACE : PLACE);
}

static bool
is_below(const char *path, const char *directory)
{
    size_t length = strlen(directory);

    return g_str_has_prefix(path, directory) && path[length] == '/' && path[length + 1] != '\0';
}

/* The administrator's word about a directory, or NULL. */
static const VrAllowedPlace *
allowed_place(const VrPathFact *fact, const VrPathRules *rules)
{
    for (guint i = 0; i < rules->places->len; i++) {
        const VrAllowedPlace *place = g_ptr_array_index(rules->places, i);

        if (is_below(fact->resolved, place->directory)) {
            return place;
        }
    }
    return NULL;
}

static bool
is_device_path(const char *resolved)
{
    return g_str_has_prefix(resolved, "/dev/") && !g_str_has_prefix(resolved, "/dev/shm/");
}

static bool
is_place(const VrPathFact *fact)
{
    g_auto(GStrv) parts = g_strsplit(fact->resolved, "/", 3);

    if (g_strv_length(parts) < 2 || !g_strv_contains(system_directories, parts[1])) {
        return true;
    }
    if (fact->use == VR_PATH_DISK && is_device_path(fact->resolved)) {
        return true;
    }
    for (gsize i = 0; i < G_N_ELEMENTS(places); i++) {
        if (g_str_has_prefix(fact->resolved, places[i].directory) &&
            (!places[i].rom_only || fact->use == VR_PATH_ROM)) {
            return true;
        }
    }
    return false;
}

static bool
has_group(const VrPathRules *rules, unsigned group)
{
    for (guint i = 0; i < rules->groups->len; i++) {
        if (g_array_index(rules->groups, unsigned, i) == group) {
            return true;
        }
    }
    return false;
}

static bool
is_roots_group(const VrPathRules *rules, unsigned group)
{
    return group == rules->root_group ||
           (rules->libvirt_group >= 0 && group == (unsigned) rules->libvirt_group);
}

static char *
describe_step(const VrPathStep *step)
{
    return g_strdup_printf("%s: user %u, group %u, mode %04o", step->path, step->user, step->group,
                           step->mode);
}

/* A directory or a link on the way: who can change it chooses the file. */
static bool
check_step(const VrPathFact *fact, const VrPathStep *step, const VrPathRules *rules,
           VrReport *report)
{
    const VrAllowedPlace *place = allowed_place(fact, rules);
    bool owned = step->user == rules->root_user || (place != NULL && step->user == place->user);
    bool link = step->kind == VR_PATH_IS_LINK;
    bool by_group = (step->mode & GROUP_WRITES) != 0 && !is_roots_group(rules, step->group);
    g_autofree char *directory = g_path_get_dirname(fact->resolved);

    if (!owned) {
        refuse(fact, report, "could be aimed at another file by somebody who is not root",
               describe_step(step),
               g_strdup_printf("move the file to " PLACE
                               "; or, if that user may do everything that "
                               "root may: allow=%s under [paths] in " CONFIGURATION,
                               directory));
        return false;
    }
    if (!link && ((step->mode & OTHERS_WRITE) != 0 || by_group)) {
        refuse(fact, report, "could be aimed at another file: a directory on the way is open",
               describe_step(step), g_strdup_printf("chmod go-w %s", step->path));
        return false;
    }
    return true;
}

static bool
is_owner(const VrPathFact *fact, unsigned user, const VrPathRules *rules)
{
    const VrAllowedPlace *place = allowed_place(fact, rules);

    return user == rules->root_user || (place != NULL && user == place->user) ||
           (fact->use != VR_PATH_ROM && rules->qemu_user >= 0 && user == rules->qemu_user);
}

static const char *const kind_names[] = {
    [VR_PATH_IS_FILE] = "plain file",
    [VR_PATH_IS_DIRECTORY] = "directory",
    [VR_PATH_IS_LINK] = "symbolic link",
    [VR_PATH_IS_BLOCK_DEVICE] = "block device",
    [VR_PATH_IS_OTHER] = "pipe, a socket or a character device",
};

static bool
check_kind(const VrPathFact *fact, const VrPathStep *file, VrReport *report)
{
    bool fits = file->kind == VR_PATH_IS_FILE ||
                (file->kind == VR_PATH_IS_BLOCK_DEVICE && fact->use == VR_PATH_DISK &&
                 is_device_path(fact->resolved));

    if (!fits) {
        refuse(fact, report,
               fact->use == VR_PATH_DISK ? "is neither a plain file nor a block device below /dev"
                                         : "is no plain file",
               g_strdup_printf("%s: a %s", file->path, kind_names[file->kind]),
               advise_to_move(fact));
    }
    return fits;
}

static bool
check_file(const VrPathFact *fact, const VrPathStep *file, const VrPathRules *rules,
           VrReport *report)
{
    bool is_block = file->kind == VR_PATH_IS_BLOCK_DEVICE;
    bool by_group = (file->mode & GROUP_WRITES) != 0 && !is_block &&
                    !has_group(rules, file->group) && file->group != rules->root_group;

    if (!is_owner(fact, file->user, rules)) {
        refuse(fact, report, "belongs to somebody who is neither root nor QEMU's user",
               describe_step(file),
               g_strdup_printf("look at it, then: chown root: %s", file->path));
        return false;
    }
    if ((file->mode & OTHERS_WRITE) != 0 || by_group) {
        refuse(fact, report, "can be written by others", describe_step(file),
               g_strdup_printf("look at it, then: chmod go-w %s", file->path));
        return false;
    }
    if (!is_block && fact->links > 1) {
        refuse(
            fact, report, "has a second name (a hard link), whose owner would change, too",
            g_strdup_printf("%s: %" G_GUINT64_FORMAT " names", file->path, fact->links),
            g_strdup_printf("make a copy: cp --sparse=always %s %s.copy", file->path, file->path));
        return false;
    }
    return true;
}

static bool
check_size(const VrPathFact *fact, VrReport *report)
{
    uint64_t limit_mib = fact->use == VR_PATH_ROM ? ROM_LIMIT_MIB : BOOT_LIMIT_MIB;

    if (fact->use == VR_PATH_DISK || fact->size_bytes <= limit_mib * 1024 * 1024) {
        return true;
    }
    refuse(fact, report, "is too large for what it should be",
           g_strdup_printf("%s: %" G_GUINT64_FORMAT " bytes, at most %" G_GUINT64_FORMAT " MiB",
                           fact->resolved, fact->size_bytes, limit_mib),
           g_strdup("correct the path in the profile"));
    return false;
}

/* Links there mean another file to each process that follows them: libvirt's would not be ours. */
static bool
check_no_proc(const VrPathFact *fact, const VrPathStep *step, VrReport *report)
{
    if (!g_str_has_prefix(step->path, "/proc/")) {
        return true;
    }
    refuse(fact, report, "goes through /proc, where every program finds another file",
           g_strdup(step->path), g_strdup_printf("write %s", fact->resolved));
    return false;
}

static bool
check_way(const VrPathFact *fact, const VrPathRules *rules, VrReport *report)
{
    for (guint i = 0; i + 1 < fact->steps->len; i++) {
        if (!check_no_proc(fact, g_ptr_array_index(fact->steps, i), report) ||
            !check_step(fact, g_ptr_array_index(fact->steps, i), rules, report)) {
            return false;
        }
    }
    return true;
}

static bool
check_place(const VrPathFact *fact, const VrPathRules *rules, VrReport *report)
{
    if (is_place(fact) || allowed_place(fact, rules) != NULL) {
        return true;
    }
    refuse(fact, report, "names a place of the system, whose files are not given away",
           g_strdup_printf(fact->use == VR_PATH_ROM ? "the guest would read %s"
                                                    : "QEMU's user would get %s",
                           fact->resolved),
           advise_to_move(fact));
    return false;
}

static bool
check_image(const VrPathFact *fact, VrReport *report)
{
    if (fact->bad_image == NULL) {
        return true;
    }
    refuse(fact, report, "is an image that asks for what it may not have",
           g_strdup(fact->bad_image),
           g_strdup("look at it with qemu-img info; qemu-img convert makes one image of it"));
    return false;
}

bool
vr_path_judge(const VrPathFact *fact, const VrPathRules *rules, VrReport *report)
{
    if (fact->error != NULL) {
        vr_report_add(report, ID, VR_SEVERITY_UNKNOWN, VR_REMEDY_OS, g_strdup(fact->path),
                      g_strdup_printf("%s: the way to it could not be looked at", fact->title),
                      g_strdup(fact->error), g_strdup("run this as root"));
        return false;
    }
    if (fact->resolved == NULL || fact->steps->len == 0) {
        return true; /* missing: the check of the file itself says so */
    }
    const VrPathStep *file = g_ptr_array_index(fact->steps, fact->steps->len - 1);
    return check_place(fact, rules, report) && check_way(fact, rules, report) &&
           check_kind(fact, file, report) && check_file(fact, file, rules, report) &&
           check_size(fact, report) && check_image(fact, report);
}

void
vr_check_path_trust(const VrCheckInput *input, VrReport *report)
{
    bool fine = true;

    if (input->paths == NULL) {
        return;
    }
    if (input->paths->rules.error != NULL) {
        vr_report_add(report, ID, VR_SEVERITY_WARNING, VR_REMEDY_OS, g_strdup(CONFIGURATION),
                      g_strdup("is not believed, so no directory is allowed by it"),
                      g_strdup(input->paths->rules.error),
                      g_strdup("correct it: [paths], then allow=/DIRECTORY;/DIRECTORY"));
    }
    for (guint i = 0; i < input->paths->facts->len; i++) {
        fine = vr_path_judge(g_ptr_array_index(input->paths->facts, i), &input->paths->rules,
                             report) &&
               fine;
    }
    if (fine && input->paths->facts->len > 0) {
        vr_check_ok(
            report, ID, g_strdup("only root chooses the files that the guest gets"),
            g_strdup_printf("%u paths, every directory on the way", input->paths->facts->len));
    }
}
