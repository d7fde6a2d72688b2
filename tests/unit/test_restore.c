/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One test per row of the table "What restore does". */
#include <vmrun/restore.h>

#define ALL_WELL .has_journal = true, .same_boot = true

typedef struct {
    const char *name;
    VrRestoreInput input;
    VrRestoreAction action;
} Row;

static const Row rows[] = {
    {"no-journal", {.same_boot = true}, VR_RESTORE_NOTHING},
    {"no-journal-but-locked", {.lock_held = true}, VR_RESTORE_NOTHING},
    {"supervisor-lives",
     {ALL_WELL, .lock_held = true, .domain = VR_DOMAIN_SEEN_RUNNING},
     VR_RESTORE_OWNED},
    {"supervisor-lives-guest-gone",
     {ALL_WELL, .lock_held = true, .domain = VR_DOMAIN_SEEN_GONE},
     VR_RESTORE_OWNED},
    {"guest-runs",
     {ALL_WELL, .qemu_alive = true, .domain = VR_DOMAIN_SEEN_RUNNING},
     VR_RESTORE_ALIVE},
    {"guest-runs-libvirt-silent",
     {ALL_WELL, .qemu_alive = true, .group_busy = true},
     VR_RESTORE_ALIVE},
    {"guest-runs-process-not-recorded",
     {ALL_WELL, .domain = VR_DOMAIN_SEEN_RUNNING},
     VR_RESTORE_ALIVE},
    {"guest-gone", {ALL_WELL, .domain = VR_DOMAIN_SEEN_GONE}, VR_RESTORE_NOW},
    {"guest-gone-libvirt-silent", {ALL_WELL}, VR_RESTORE_NOW},
    {"guest-gone-card-held",
     {ALL_WELL, .domain = VR_DOMAIN_SEEN_GONE, .group_busy = true},
     VR_RESTORE_HELD},
    {"libvirt-silent-card-held", {ALL_WELL, .group_busy = true}, VR_RESTORE_HELD},
    {"one-of-two-cards-held", {ALL_WELL, .group_busy = true, .some_free = true}, VR_RESTORE_NOW},
    {"one-of-two-cards-held-by-the-guest",
     {ALL_WELL, .qemu_alive = true, .group_busy = true, .some_free = true},
     VR_RESTORE_ALIVE},
    {"died-while-starting-libvirt-silent", {ALL_WELL, .may_come = true}, VR_RESTORE_UNSURE},
    {"died-while-starting-guest-runs",
     {ALL_WELL, .may_come = true, .domain = VR_DOMAIN_SEEN_RUNNING},
     VR_RESTORE_ALIVE},
    {"died-while-starting-nothing-came",
     {ALL_WELL, .may_come = true, .domain = VR_DOMAIN_SEEN_GONE},
     VR_RESTORE_NOW},
    {"another-boot", {.has_journal = true}, VR_RESTORE_CLOSE},
    {"another-boot-same-pid-lives", {.has_journal = true, .qemu_alive = true}, VR_RESTORE_CLOSE},
    {"not-believed", {.corrupt = true, .same_boot = true}, VR_RESTORE_REFUSE},
    {"not-believed-but-supervised", {.corrupt = true, .lock_held = true}, VR_RESTORE_OWNED},
};

static void
test_row(gconstpointer data)
{
    const Row *row = data;
    g_assert_cmpint(vr_restore_decide(&row->input), ==, row->action);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *path = g_strdup_printf("/restore/decide/%s", rows[i].name);
        g_test_add_data_func(path, &rows[i], test_row);
    }
    return g_test_run();
}
