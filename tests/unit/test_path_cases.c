/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ways in which a path can lead root astray, each tried on a profile, on a disk and on an
 * option ROM: every one of four components replaced by each kind of link, then wrong owners, modes
 * and kinds, sizes, and a swap between the look and the use. Needs root: files are given away.
 */
#include <vmrun/checks.h>
#include <vmrun/inspect.h>

#include "../support/tree.h"

#include <vmrun/error.h>

#include <glib/gstdio.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { COMPONENTS = 4, LINK_KINDS = 4, OTHERS = 8, STRANGER = 65534 };

typedef struct {
    const char *name;
    VrPathUse use; /* of a file that is given to libvirt */
    bool is_profile;
    const char *path; /* of four components */
    bool may_be_large;
} Target;

static const Target targets[] = {
    {"profile", VR_PATH_DISK, true, "/etc/vmrun/profiles/a.conf", false},
    {"disk", VR_PATH_DISK, false, "/srv/vm/guest/disk.img", true},
    {"rom", VR_PATH_ROM, false, "/etc/vmrun/roms/card.rom", false},
};

typedef struct {
    char *tree;
    VrSysroot *root;
    const Target *target;
    VrInspection inspection; /* as it was when the start was checked */
    VrProfile profile;
    VrProfileDisk disk;
    VrProfileDevice device;
    VrHostFacts *facts;
} Place;

static char *
full(const Place *place, const char *path)
{
    return g_strconcat(place->tree, path, NULL);
}

static void
make_profile(Place *place)
{
    VrProfile *profile = &place->profile;

    profile->disks = g_ptr_array_new();
    profile->devices = g_ptr_array_new();
    place->disk = (VrProfileDisk){.name = (char *) "a", .path = (char *) place->target->path};
    place->device.rom = (char *) place->target->path;
    if (place->target->use == VR_PATH_ROM) {
        g_ptr_array_add(profile->devices, &place->device);
    } else {
        g_ptr_array_add(profile->disks, &place->disk);
    }
    place->inspection.facts = place->facts;
    place->inspection.profile = profile;
    place->inspection.paths = vr_path_facts_load(place->facts, profile);
}

static Place *
place_new(const Target *target)
{
    Place *place = g_new0(Place, 1);

    place->target = target;
    place->tree = tree_new();
    g_assert_no_errno(g_chmod(place->tree, 0755));
    tree_write(place->tree, target->path, "[machine]\ncpus=2");
    place->root = tree_root(place->tree);
    place->facts = vr_host_facts_load(place->root, 0);
    make_profile(place);
    return place;
}

static void
place_free(Place *place)
{
    vr_path_facts_free(place->inspection.paths);
    g_ptr_array_unref(place->profile.disks);
    g_ptr_array_unref(place->profile.devices);
    vr_host_facts_free(place->facts);
    vr_sysroot_unref(place->root);
    tree_remove(place->tree);
    g_free(place);
}

/* --- is it believed? --- */

static bool
believes_profile(const Place *place)
{
    g_autoptr(GPtrArray) mistakes =
        g_ptr_array_new_with_free_func((GDestroyNotify) vr_profile_mistake_free);
    g_autoptr(GError) error = NULL;
    g_autoptr(VrProfile) profile = vr_profile_load(place->root, "a", true, NULL, mistakes, &error);

    if (profile == NULL) {
        g_test_message("  %s", error->message);
    }
    return profile != NULL;
}

/* Both when the start is checked and right before libvirt opens the file. */
static bool
believes_file(const Place *place)
{
    g_autoptr(VrPathFacts) paths = vr_path_facts_load(place->facts, &place->profile);
    g_autoptr(VrReport) report = vr_report_new();
    const VrPathFact *fact = g_ptr_array_index(paths->facts, 0);
    bool fine = fact->resolved != NULL && vr_path_judge(fact, &paths->rules, report);

    if (report->findings->len > 0) {
        const VrFinding *finding = g_ptr_array_index(report->findings, 0);
        g_test_message("  %s (%s)", finding->message, finding->evidence);
    }
    return fine;
}

static bool
believes(const Place *place)
{
    return place->target->is_profile ? believes_profile(place) : believes_file(place);
}

/* --- the cases --- */

/* The first `count` components of the target. */
static char *
upper_part(const Place *place, guint count)
{
    g_auto(GStrv) parts = g_strsplit(place->target->path + 1, "/", COMPONENTS);
    GString *path = g_string_new(NULL);

    for (guint i = 0; i < count; i++) {
        g_string_append_printf(path, "/%s", parts[i]);
    }
    return g_string_free(path, FALSE);
}

typedef enum { LINK_TO_FILE, LINK_TO_TRUE_PLACE, MAGIC_LINK, HARD_LINK } LinkKind;

static void
give_away(const char *path)
{
    g_assert_no_errno(lchown(path, STRANGER, STRANGER));
}

/* The component moves aside, and a link of a stranger's stands in its place. */
static void
replace_by_link(const Place *place, guint component, LinkKind kind)
{
    g_autofree char *path = upper_part(place, component + 1);
    g_autofree char *here = full(place, path);
    g_autofree char *beside = g_strconcat(here, ".beside", NULL);
    g_autofree char *other = full(place, "/usr/other");
    g_autofree char *target = g_strconcat(path, ".beside", NULL);
    bool is_last = component == COMPONENTS - 1;

    g_assert_no_errno(g_rename(here, beside));
    tree_write(place->tree, "/usr/other", "[machine]\ncpus=3");
    if (kind == HARD_LINK) {
        /* No directory has one: a file stands in its place then. */
        g_assert_no_errno(link(is_last ? beside : other, here));
        return;
    }
    if (kind == MAGIC_LINK) {
        tree_link(place->tree, "/proc/self/fd/3", target);
    }
    g_assert_no_errno(symlink(kind == LINK_TO_FILE ? "/other"
                              : kind == MAGIC_LINK ? "/proc/self/fd/3"
                                                   : target,
                              here));
    if (kind == LINK_TO_TRUE_PLACE) {
        give_away(here);
    }
}

static void
wrong_owner(const Place *place)
{
    g_autofree char *path = full(place, place->target->path);
    give_away(path);
}

static void
wrong_owner_of_directory(const Place *place)
{
    g_autofree char *above = upper_part(place, 2);
    g_autofree char *path = full(place, above);
    give_away(path);
}

static void
wrong_mode(const Place *place)
{
    g_autofree char *path = full(place, place->target->path);
    g_assert_no_errno(g_chmod(path, 0666));
}

static void
make_node(const Place *place, mode_t mode)
{
    g_autofree char *path = full(place, place->target->path);
    g_assert_no_errno(g_unlink(path));
    g_assert_no_errno(mknod(path, mode, S_ISFIFO(mode) ? 0 : makedev(7, 250)));
}

static void
is_fifo(const Place *place)
{
    make_node(place, S_IFIFO | 0600);
}

/* A block device, which a disk may be: but not there. */
static void
is_device(const Place *place)
{
    make_node(place, S_IFBLK | 0600);
}

static void
is_huge(const Place *place)
{
    g_autofree char *path = full(place, place->target->path);
    g_autofree char *text = g_strnfill(17 * 1024 * 1024, '\n');
    g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

static void
is_sparse(const Place *place)
{
    g_autofree char *path = full(place, place->target->path);
    g_assert_no_errno(truncate(path, (off_t) 1 << 40));
}

/* The directory above is swapped while the file is read again and again: never a word of the other
 * one. For a file of libvirt's: what was checked is not what is there at the start. */

typedef struct {
    const Place *place;
    gint stop;
} Swapper;

static gpointer
swap_until_stopped(gpointer data)
{
    Swapper *swapper = data;
    g_autofree char *path = upper_part(swapper->place, 3);
    g_autofree char *here = full(swapper->place, path);
    g_autofree char *evil = g_strconcat(here, ".evil", NULL);

    while (!g_atomic_int_get(&swapper->stop)) {
        g_assert_no_errno(renameat2(AT_FDCWD, here, AT_FDCWD, evil, RENAME_EXCHANGE));
        g_usleep(20);
    }
    return NULL;
}

static bool
survives_swaps(const Place *place)
{
    Swapper swapper = {.place = place};
    g_autoptr(GPtrArray) mistakes =
        g_ptr_array_new_with_free_func((GDestroyNotify) vr_profile_mistake_free);
    bool fine = true;

    tree_write(place->tree, "/etc/vmrun/profiles.evil/a.conf", "[machine]\ncpus=3");
    g_autofree char *evil = full(place, "/etc/vmrun/profiles.evil/a.conf");
    give_away(evil);
    GThread *thread = g_thread_new("swapper", swap_until_stopped, &swapper);
    for (guint i = 0; i < 300; i++) {
        g_autoptr(VrProfile) profile =
            vr_profile_load(place->root, "a", true, NULL, mistakes, NULL);
        fine = fine && (profile == NULL || profile->cpus == 2);
    }
    g_atomic_int_set(&swapper.stop, 1);
    g_thread_join(thread);
    return fine;
}

static bool
notices_swap(const Place *place)
{
    g_autofree char *path = full(place, place->target->path);
    g_autofree char *other = g_strconcat(path, ".new", NULL);
    g_autoptr(GError) error = NULL;

    if (!vr_inspection_check_paths(&place->inspection, &error)) {
        g_test_message("  %s", error->message);
        return false;
    }
    g_assert_true(g_file_set_contents(other, "x", -1, NULL));
    g_assert_no_errno(g_rename(other, path));
    return !vr_inspection_check_paths(&place->inspection, &error) &&
           g_error_matches(error, VR_ERROR, VR_ERROR_START_FAILED);
}

/* --- counting --- */

typedef struct {
    guint cases, failed;
} Count;

static void
count(Count *sum, const Target *target, const char *name, bool fine)
{
    sum->cases++;
    if (!fine) {
        sum->failed++;
        g_test_message("FAILED: %s: %s", target->name, name);
    }
}

static void
try_links(Count *sum, const Target *target)
{
    static const char *const kinds[LINK_KINDS] = {"link to a file", "link of a stranger's",
                                                  "magic link", "hard link"};

    for (guint i = 0; i < COMPONENTS * LINK_KINDS; i++) {
        Place *place = place_new(target);
        g_autofree char *name =
            g_strdup_printf("component %u: %s", i / LINK_KINDS + 1, kinds[i % LINK_KINDS]);

        g_test_message("%s: %s", target->name, name);
        replace_by_link(place, i / LINK_KINDS, (LinkKind) (i % LINK_KINDS));
        count(sum, target, name, !believes(place));
        place_free(place);
    }
}

static void
try_others(Count *sum, const Target *target)
{
    static const struct {
        const char *name;
        void (*spoil)(const Place *place);
        bool is_size;
    } cases[OTHERS - 1] = {
        {"wrong owner", wrong_owner, false},
        {"wrong owner of a directory", wrong_owner_of_directory, false},
        {"wrong mode", wrong_mode, false},
        {"FIFO", is_fifo, false},
        {"device", is_device, false},
        {"huge", is_huge, true},
        {"sparse", is_sparse, true},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        Place *place = place_new(target);

        g_test_message("%s: %s", target->name, cases[i].name);
        g_assert_true(believes(place)); /* else the refusal would show nothing */
        cases[i].spoil(place);
        count(sum, target, cases[i].name,
              believes(place) == (cases[i].is_size && target->may_be_large));
        place_free(place);
    }
    Place *place = place_new(target);
    count(sum, target, "swapped between the look and the use",
          target->is_profile ? survives_swaps(place) : notices_swap(place));
    place_free(place);
}

static void
test_cases(void)
{
    Count sum = {0};

    if (geteuid() != 0) {
        if (g_getenv("VMRUN_MUST_RUN") != NULL) {
            g_test_fail_printf("only root can give files away: run this as root");
        }
        g_test_skip("only root can give files away");
        return;
    }
    for (guint i = 0; i < G_N_ELEMENTS(targets); i++) {
        try_links(&sum, &targets[i]);
        try_others(&sum, &targets[i]);
    }
    g_test_message("suite: paths cases=%u pass=%u fail=%u", sum.cases, sum.cases - sum.failed,
                   sum.failed);
    g_assert_cmpuint(sum.cases, ==, G_N_ELEMENTS(targets) * (COMPONENTS * LINK_KINDS + OTHERS));
    g_assert_cmpuint(sum.failed, ==, 0);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/paths/cases", test_cases);
    return g_test_run();
}
