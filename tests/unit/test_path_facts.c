/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which files of a profile root may give to libvirt: places, links, owners, image headers. */
#include "plan/check_rows.h"

#include "../support/tree.h"

#include <vmrun/inspect.h>

#include <vmrun/error.h>

#include <glib/gstdio.h>

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct {
    char *tree;
    VrSysroot *root;
    VrHostFacts *facts;
    VrProfile profile;
    VrProfileDisk disk;
    VrProfileDevice device;
} Host;

static Host *
host_new(void)
{
    Host *host = g_new0(Host, 1);

    host->tree = tree_new();
    g_assert_no_errno(g_chmod(host->tree, 0755));
    host->root = tree_root(host->tree);
    host->facts = vr_host_facts_load(host->root, 0);
    host->profile.disks = g_ptr_array_new();
    host->profile.devices = g_ptr_array_new();
    return host;
}

static void
host_free(Host *host)
{
    g_ptr_array_unref(host->profile.disks);
    g_ptr_array_unref(host->profile.devices);
    vr_host_facts_free(host->facts);
    vr_sysroot_unref(host->root);
    tree_remove(host->tree);
    g_free(host);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Host, host_free)

static void
name_file(Host *host, VrPathUse use, const char *path)
{
    g_ptr_array_set_size(host->profile.disks, 0);
    g_ptr_array_set_size(host->profile.devices, 0);
    host->disk = (VrProfileDisk){.name = (char *) "a", .path = (char *) path};
    host->device.rom = (char *) path;
    host->profile.kernel = use == VR_PATH_BOOT ? (char *) path : NULL;
    if (use == VR_PATH_DISK) {
        g_ptr_array_add(host->profile.disks, &host->disk);
    } else if (use == VR_PATH_ROM) {
        g_ptr_array_add(host->profile.devices, &host->device);
    }
}

/* What the check says about the one file. */
static VrReport *
report_on(Host *host, VrPathUse use, const char *path)
{
    name_file(host, use, path);
    g_autoptr(VrPathFacts) paths = vr_path_facts_load(host->facts, &host->profile);
    VrCheckInput input = {.facts = host->facts, .profile = &host->profile, .paths = paths};
    VrReport *report = vr_report_new();

    vr_check_path_trust(&input, report);
    return report;
}

/* `words` NULL: fine; else a blocker whose message or evidence has them. */
static void
assert_judged(Host *host, VrPathUse use, const char *path, const char *words)
{
    g_autoptr(VrReport) report = report_on(host, use, path);
    g_assert_cmpuint(report->findings->len, >=, 1);
    const VrFinding *finding = g_ptr_array_index(report->findings, 0);

    g_test_message("%s: %s (%s)", path, finding->message, finding->evidence);
    g_assert_cmpint(finding->severity, ==, words == NULL ? VR_SEVERITY_OK : VR_SEVERITY_BLOCKER);
    g_assert_true(words == NULL || strstr(finding->message, words) != NULL ||
                  strstr(finding->evidence, words) != NULL);
    g_assert_true(words == NULL || finding->advice != NULL);
}

static void
test_places(void)
{
    static const struct {
        VrPathUse use;
        bool fine;
        const char *path;
    } cases[] = {
        {VR_PATH_DISK, true, "/var/lib/libvirt/images/a.img"},
        {VR_PATH_DISK, true, "/var/lib/libvirt/isos/a.iso"},
        {VR_PATH_DISK, true, "/var/lib/vmrun/images/a.img"},
        {VR_PATH_DISK, true, "/srv/a.img"},
        {VR_PATH_DISK, true, "/mnt/disk/a.img"},
        {VR_PATH_DISK, true, "/media/alice/stick/a.img"},
        {VR_PATH_DISK, true, "/home/VMS/a.img"},
        {VR_PATH_DISK, true, "/var/home/VMS/a.img"},
        {VR_PATH_DISK, true, "/opt/vm/a.img"},
        {VR_PATH_DISK, true, "/tank/vm/a.img"},
        {VR_PATH_DISK, true, "/data/a.img"},
        {VR_PATH_DISK, true, "/a.img"},
        {VR_PATH_DISK, true, "/etcetera/a.img"},
        {VR_PATH_DISK, true, "/dev/sdb"},
        {VR_PATH_DISK, true, "/dev/mapper/vg-a"},
        {VR_PATH_DISK, true, "/dev/zvol/tank/a"},
        {VR_PATH_DISK, false, "/etc/shadow"},
        {VR_PATH_DISK, false, "//etc/./shadow"},
        {VR_PATH_DISK, false, "/boot/vmlinuz"},
        {VR_PATH_DISK, false, "/root/.ssh/id"},
        {VR_PATH_DISK, false, "/usr/bin/sudo"},
        {VR_PATH_DISK, false, "/var/lib/vmrun/journal/a.conf"},
        {VR_PATH_DISK, false, "/var/lib/dpkg/status"},
        {VR_PATH_DISK, false, "/var/lib/libvirtx/a"},
        {VR_PATH_DISK, false, "/var/tmp/a.img"},
        {VR_PATH_DISK, false, "/tmp/a.img"},
        {VR_PATH_DISK, false, "/run/vmrun/lock"},
        {VR_PATH_DISK, false, "/proc/kcore"},
        {VR_PATH_DISK, false, "/sys/kernel/x"},
        {VR_PATH_DISK, false, "/dev/shm/a.img"},
        {VR_PATH_DISK, false, "/lib64/ld.so"},
        {VR_PATH_DISK, false, "/etc/vmrun/roms/card.rom"},
        {VR_PATH_DISK, false, "/usr/share/a.img"},
        {VR_PATH_BOOT, true, "/var/lib/libvirt/boot/vmlinuz"},
        {VR_PATH_BOOT, true, "/srv/vmlinuz"},
        {VR_PATH_BOOT, false, "/boot/vmlinuz-6.1"}, /* its owner would change */
        {VR_PATH_BOOT, false, "/dev/sdb"},
        {VR_PATH_ROM, true, "/etc/vmrun/roms/card.rom"},
        {VR_PATH_ROM, true, "/usr/share/vgabios/card.rom"},
        {VR_PATH_ROM, true, "/srv/card.rom"},
        {VR_PATH_ROM, false, "/etc/shadow"},
        {VR_PATH_ROM, false, "/etc/vmrun/profiles/a.conf"},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(Host) host = host_new();

        tree_write(host->tree, cases[i].path, "x");
        assert_judged(host, cases[i].use, cases[i].path, cases[i].fine ? NULL : "");
    }
}

static void
test_missing_file_is_for_others_to_say(void)
{
    g_autoptr(Host) host = host_new();
    assert_judged(host, VR_PATH_DISK, "/srv/none.img", NULL);
}

static void
test_links_of_root_are_followed_and_their_end_is_judged(void)
{
    g_autoptr(Host) host = host_new();

    tree_write(host->tree, "/tank/images/a.img", "x");
    tree_link(host->tree, "/var/lib/libvirt/images", "../../../tank/images");
    assert_judged(host, VR_PATH_DISK, "/var/lib/libvirt/images/a.img", NULL);

    tree_write(host->tree, "/dev/sdb", "x");
    tree_link(host->tree, "/dev/disk/by-id/ata-X", "../../sdb");
    assert_judged(host, VR_PATH_DISK, "/dev/disk/by-id/ata-X", NULL);

    tree_write(host->tree, "/etc/shadow", "x");
    tree_link(host->tree, "/srv/innocent.img", "../etc/shadow");
    assert_judged(host, VR_PATH_DISK, "/srv/innocent.img", "/etc/shadow");
    tree_link(host->tree, "/srv/round", "/srv/round");
    g_autoptr(VrReport) report = report_on(host, VR_PATH_DISK, "/srv/round");
    const VrFinding *finding = g_ptr_array_index(report->findings, 0);
    g_assert_cmpint(finding->severity, ==, VR_SEVERITY_UNKNOWN);
}

static void
set_mode(const Host *host, const char *path, mode_t mode)
{
    g_autofree char *full = g_strconcat(host->tree, path, NULL);
    g_assert_no_errno(g_chmod(full, mode));
}

static void
set_owner(const Host *host, const char *path, unsigned user, unsigned group)
{
    g_autofree char *full = g_strconcat(host->tree, path, NULL);
    g_assert_no_errno(lchown(full, user, group));
}

static void
test_modes_of_the_way(void)
{
    g_autoptr(Host) host = host_new();

    tree_write(host->tree, "/srv/vm/a.img", "x");
    set_mode(host, "/srv/vm", 0777);
    assert_judged(host, VR_PATH_DISK, "/srv/vm/a.img", "/srv/vm: ");
    set_mode(host, "/srv/vm", 01777); /* a stranger could have been there before the file */
    assert_judged(host, VR_PATH_DISK, "/srv/vm/a.img", "/srv/vm: ");
    set_mode(host, "/srv/vm", 0775); /* root's group */
    assert_judged(host, VR_PATH_DISK, "/srv/vm/a.img", NULL);
    set_mode(host, "/srv/vm/a.img", 0602);
    assert_judged(host, VR_PATH_DISK, "/srv/vm/a.img", "can be written by others");
}

/* Those that need root: an account of QEMU's, libvirt's group, a stranger. */
static void
test_owners(void)
{
    g_autoptr(Host) host = host_new();

    if (geteuid() != 0) {
        if (g_getenv("VMRUN_MUST_RUN") != NULL) {
            g_test_fail_printf("only root can give files away: run this as root");
        }
        g_test_skip("only root can give files away");
        return;
    }
    tree_write(host->tree, "/etc/passwd", "libvirt-qemu:x:64055:64055::/:/none");
    tree_write(host->tree, "/etc/group", "libvirt:x:120:alice\nvmrun:x:130:bob");
    tree_write(host->tree, "/srv/vm/a.img", "x");
    tree_write(host->tree, "/srv/card.rom", "x");
    set_owner(host, "/srv/vm/a.img", 64055, 64055);
    set_mode(host, "/srv/vm/a.img", 0660);
    assert_judged(host, VR_PATH_DISK, "/srv/vm/a.img", NULL);
    set_owner(host, "/srv/card.rom", 64055, 64055); /* QEMU never needs to write that */
    assert_judged(host, VR_PATH_ROM, "/srv/card.rom", "neither root nor QEMU's user");
    set_owner(host, "/srv/vm/a.img", 0, 130);
    assert_judged(host, VR_PATH_DISK, "/srv/vm/a.img", NULL);
    set_owner(host, "/srv/vm/a.img", 0, 1000);
    assert_judged(host, VR_PATH_DISK, "/srv/vm/a.img", "can be written by others");
    set_owner(host, "/srv/vm/a.img", 0, 0);

    set_mode(host, "/srv/vm", 0775);
    set_owner(host, "/srv/vm", 0, 120); /* root's equals by polkit */
    assert_judged(host, VR_PATH_DISK, "/srv/vm/a.img", NULL);
    set_owner(host, "/srv/vm", 0, 130); /* but vmrun's group is less than root */
    assert_judged(host, VR_PATH_DISK, "/srv/vm/a.img", "a directory on the way is open");
    set_owner(host, "/srv/vm", 64055, 0); /* a QEMU that was taken over could aim it elsewhere */
    assert_judged(host, VR_PATH_DISK, "/srv/vm/a.img", "aimed at another file");

    /* Until the administrator says that this user is as good as root. */
    tree_write(host->tree, "/home/ALICE/vm/a.img", "x");
    set_owner(host, "/home/ALICE", 1000, 1000);
    set_owner(host, "/home/ALICE/vm", 1000, 1000);
    set_owner(host, "/home/ALICE/vm/a.img", 1000, 1000);
    assert_judged(host, VR_PATH_DISK, "/home/ALICE/vm/a.img", "/home/ALICE: user 1000");
    tree_write(host->tree, "/etc/vmrun/vmrun.conf", "[paths]\nallow=/tank; /home/ALICE/vm");
    g_autoptr(VrReport) wrong = report_on(host, VR_PATH_DISK, "/home/ALICE/vm/a.img");
    g_assert_true(vr_report_has_blocker(wrong)); /* a mistake in the file: none of it counts */
    tree_make(host->tree, "/tank");
    assert_judged(host, VR_PATH_DISK, "/home/ALICE/vm/a.img", NULL);
    set_owner(host, "/home/ALICE/vm/a.img", 1001, 1000);
    assert_judged(host, VR_PATH_DISK, "/home/ALICE/vm/a.img", "neither root nor QEMU's user");
    set_owner(host, "/home/ALICE/vm/a.img", 1000, 1000);
    set_owner(host, "/etc/vmrun/vmrun.conf", 1000, 1000);
    g_autoptr(VrReport) report = report_on(host, VR_PATH_DISK, "/home/ALICE/vm/a.img");
    const VrFinding *finding = g_ptr_array_index(report->findings, 0);
    g_assert_cmpint(finding->severity, ==, VR_SEVERITY_WARNING);
    g_assert_nonnull(strstr(finding->evidence, "belongs to user 1000"));
    g_assert_true(vr_report_has_blocker(report));
}

static void
test_configuration_is_read_strictly(void)
{
    static const char *const texts[] = {
        "[paths]\nallow=tank",         "[paths]\nallow=/",
        "[paths]\nallow=/tank/../etc", "[paths]\nallow=/link",
        "[paths]\nallow=/none",        "[paths]\nalow=/tank",
        "[path]\nallow=/tank",         "allow=/tank",
        "[paths]\nallow=/tank/file",   "[paths]\nallow=/tank\xff/",
        "[paths]\nallow=/tank;x",
    };

    for (guint i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(Host) host = host_new();
        tree_write(host->tree, "/etc/vmrun/vmrun.conf", texts[i]);
        tree_write(host->tree, "/tank/file", "x");
        tree_link(host->tree, "/link", "/tank");
        g_autoptr(VrReport) report = report_on(host, VR_PATH_DISK, "/tank/file");
        const VrFinding *finding = g_ptr_array_index(report->findings, 0);

        g_test_message("%s", finding->evidence);
        g_assert_cmpstr(finding->id, ==, "path-trust");
        g_assert_cmpint(finding->severity, ==, VR_SEVERITY_WARNING);
        g_assert_cmpstr(finding->subject, ==, "/etc/vmrun/vmrun.conf");
    }
}

/* docs/interop/qcow2.txt of QEMU, version 3. */
static void
write_image(const Host *host, const char *path, const char *backing, guchar features)
{
    guchar image[256] = {'Q', 'F', 'I', 0xfb, 0, 0, 0, 3};
    g_autofree char *full = g_strconcat(host->tree, path, NULL);

    tree_write(host->tree, path, "");
    image[79] = features;
    if (backing != NULL) {
        image[15] = 128;
        image[19] = (guchar) strlen(backing);
        memcpy(image + 128, backing, strlen(backing));
    }
    g_assert_true(g_file_set_contents(full, (char *) image, sizeof image, NULL));
}

static void
test_images_are_judged_with_what_they_are_built_on(void)
{
    g_autoptr(Host) host = host_new();

    tree_write(host->tree, "/etc/shadow", "x");
    write_image(host, "/srv/base.qcow2", NULL, 0);
    write_image(host, "/srv/a.qcow2", "base.qcow2", 0);
    assert_judged(host, VR_PATH_DISK, "/srv/a.qcow2", NULL);
    write_image(host, "/srv/base.qcow2", "/etc/shadow", 0);
    assert_judged(host, VR_PATH_DISK, "/srv/a.qcow2", "/etc/shadow");
    write_image(host, "/srv/base.qcow2", "../etc/shadow", 0);
    assert_judged(host, VR_PATH_DISK, "/srv/a.qcow2", "/etc/shadow");
    write_image(host, "/srv/base.qcow2", "a.qcow2", 0);
    assert_judged(host, VR_PATH_DISK, "/srv/a.qcow2", "images are built on one another");
    write_image(host, "/srv/a.qcow2", "json:{\"file\":\"/etc/shadow\"}", 0);
    assert_judged(host, VR_PATH_DISK, "/srv/a.qcow2", "no plain file name");
    write_image(host, "/srv/a.qcow2", "nbd://host/x", 0);
    assert_judged(host, VR_PATH_DISK, "/srv/a.qcow2", "no plain file name");
    write_image(host, "/srv/a.qcow2", NULL, 4);
    assert_judged(host, VR_PATH_DISK, "/srv/a.qcow2", "external data file");
    write_image(host, "/srv/a.img", "/etc/shadow", 0); /* raw: nobody reads a header */
    assert_judged(host, VR_PATH_DISK, "/srv/a.img", NULL);
}

static void
test_swap_before_the_start_is_noticed(void)
{
    g_autoptr(Host) host = host_new();
    g_autoptr(GError) error = NULL;
    VrInspection inspection = {.facts = host->facts, .profile = &host->profile};

    tree_write(host->tree, "/srv/a.img", "x");
    tree_write(host->tree, "/srv/b.img", "x");
    tree_link(host->tree, "/srv/link.img", "a.img");
    name_file(host, VR_PATH_DISK, "/srv/link.img");
    inspection.paths = vr_path_facts_load(host->facts, &host->profile);
    g_assert_true(vr_inspection_check_paths(&inspection, &error));
    g_assert_no_error(error);

    g_autofree char *link = g_strconcat(host->tree, "/srv/link.img", NULL);
    g_assert_no_errno(g_unlink(link));
    tree_link(host->tree, "/srv/link.img", "b.img");
    g_assert_false(vr_inspection_check_paths(&inspection, &error));
    g_assert_error(error, VR_ERROR, VR_ERROR_START_FAILED);
    g_assert_nonnull(strstr(error->message, "another file"));
    g_clear_error(&error);

    g_assert_no_errno(g_unlink(link));
    tree_link(host->tree, "/srv/link.img", "a.img");
    set_mode(host, "/srv/a.img", 0666);
    g_assert_false(vr_inspection_check_paths(&inspection, &error));
    g_assert_nonnull(strstr(error->message, "can be written by others"));
    vr_path_facts_free(inspection.paths);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/host/path-facts/places", test_places);
    g_test_add_func("/host/path-facts/missing-file-is-for-others-to-say",
                    test_missing_file_is_for_others_to_say);
    g_test_add_func("/host/path-facts/links-of-root-are-followed",
                    test_links_of_root_are_followed_and_their_end_is_judged);
    g_test_add_func("/host/path-facts/modes-of-the-way", test_modes_of_the_way);
    g_test_add_func("/host/path-facts/owners", test_owners);
    g_test_add_func("/host/path-facts/configuration-is-read-strictly",
                    test_configuration_is_read_strictly);
    g_test_add_func("/host/path-facts/images-are-judged-with-what-they-are-built-on",
                    test_images_are_judged_with_what_they_are_built_on);
    g_test_add_func("/host/path-facts/swap-before-the-start-is-noticed",
                    test_swap_before_the_start_is_noticed);
    return g_test_run();
}
