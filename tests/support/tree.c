/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tree.h"

#include <vmrun/pci.h>

#include <glib/gstdio.h>

#include <string.h>
#include <unistd.h>

static char *
place(const char *directory, const char *path)
{
    g_assert_cmpint(path[0], ==, '/');
    char *full = g_strconcat(directory, path, NULL);
    g_autofree char *above = g_path_get_dirname(full);

    g_assert_no_errno(g_mkdir_with_parents(above, 0755));
    return full;
}

char *
tree_new(void)
{
    g_autoptr(GError) error = NULL;
    char *directory = g_dir_make_tmp("vmrun-test-XXXXXX", &error);

    g_assert_no_error(error);
    return directory;
}

static void
remove_below(const char *path)
{
    if (!g_file_test(path, G_FILE_TEST_IS_SYMLINK) && g_file_test(path, G_FILE_TEST_IS_DIR)) {
        GDir *entries = g_dir_open(path, 0, NULL);
        const char *name = NULL;

        while (entries != NULL && (name = g_dir_read_name(entries)) != NULL) {
            g_autofree char *below = g_build_filename(path, name, NULL);

            remove_below(below);
        }
        g_clear_pointer(&entries, g_dir_close);
    }
    g_assert_no_errno(g_remove(path));
}

void
tree_remove(char *directory)
{
    remove_below(directory);
    g_free(directory);
}

void
tree_write(const char *directory, const char *path, const char *text)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *full = place(directory, path);
    g_autofree char *line = g_strconcat(text, "\n", NULL);

    g_file_set_contents(full, line, -1, &error);
    g_assert_no_error(error);
}

void
tree_link(const char *directory, const char *path, const char *target)
{
    g_autofree char *full = place(directory, path);

    g_unlink(full);
    g_assert_no_errno(symlink(target, full));
}

void
tree_make(const char *directory, const char *path)
{
    g_autofree char *full = place(directory, path);

    g_assert_no_errno(g_mkdir_with_parents(full, 0755));
}

typedef struct {
    const char *directory;
    TreeShape shape;
    char *current; /* path of the last 'd' line */
} Unpacking;

/* /sys/devices/…/0000:01:00.0 in the flat shape: /sys/bus/pci/devices/0000:01:00.0 */
static char *
shaped_directory(const Unpacking *unpacking, const char *path)
{
    VrPciAddress address = {0};
    const char *name = strrchr(path, '/') + 1;

    if (unpacking->shape == TREE_FLAT && vr_pci_address_parse(name, &address)) {
        return g_strconcat("/sys/bus/pci/devices/", name, NULL);
    }
    return g_strdup(path);
}

static bool
is_left_out(const Unpacking *unpacking, const char *path)
{
    VrPciAddress address = {0};
    g_autofree char *above = g_path_get_dirname(path);
    bool is_link_of_bus = strcmp(above, "/sys/bus/pci/devices") == 0 &&
                          vr_pci_address_parse(strrchr(path, '/') + 1, &address);

    return unpacking->shape == TREE_FLAT && (is_link_of_bus || g_str_has_suffix(path, "/uevent") ||
                                             g_str_has_suffix(path, "/iommu_group"));
}

static void
unpack_entry(Unpacking *unpacking, char kind, const char *path, const char *value)
{
    g_autofree char *text = g_strcompress(value);

    if (is_left_out(unpacking, path)) {
        return;
    }
    if (kind == 'd') {
        g_free(unpacking->current);
        unpacking->current = shaped_directory(unpacking, path);
        tree_make(unpacking->directory, unpacking->current);
    } else if (kind == 'f') {
        tree_write(unpacking->directory, path, text);
    } else if (unpacking->shape != TREE_FLAT || !g_str_has_prefix(path, "/sys/bus/pci/devices/") ||
               g_str_has_prefix(path, unpacking->current)) {
        g_assert_cmpint(kind, ==, 'l');
        tree_link(unpacking->directory, path, text);
    }
}

static void
unpack_line(Unpacking *unpacking, const char *line)
{
    const char *start = line + strspn(line, " ");
    g_auto(GStrv) words = g_strsplit(start, " ", 3);

    if (words[0] == NULL || words[0][0] == '#' || words[1] == NULL) {
        return;
    }

    bool is_below = start > line;
    g_autofree char *path =
        is_below ? g_strconcat(unpacking->current, "/", words[1], NULL) : g_strdup(words[1]);

    unpack_entry(unpacking, words[0][0], path, words[2] != NULL ? words[2] : "");
}

void
tree_unpack(const char *directory, const char *file, TreeShape shape)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *hosts = tree_hosts();
    g_autofree char *path = g_build_filename(hosts, file, NULL);
    g_autofree char *text = NULL;
    Unpacking unpacking = {.directory = directory, .shape = shape, .current = g_strdup("/")};

    g_file_get_contents(path, &text, NULL, &error);
    g_assert_no_error(error);

    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (guint i = 0; lines[i] != NULL; i++) {
        unpack_line(&unpacking, lines[i]);
    }
    g_free(unpacking.current);
}

/* "030000 10de:2484" -> the attributes of the same names. */
static void
write_ids(const char *directory, const char *base, const char *class_and_id)
{
    static const char *const names[] = {"/class", "/vendor", "/device"};
    g_auto(GStrv) values = g_strsplit_set(class_and_id, " :", 3);

    for (guint i = 0; i < G_N_ELEMENTS(names) && values[i] != NULL; i++) {
        g_autofree char *path = g_strconcat(base, names[i], NULL);
        g_autofree char *text = g_strconcat("0x", values[i], NULL);

        tree_write(directory, path, text);
    }
}

void
tree_pci(const char *directory, const char *path, const char *class_and_id, const char *driver,
         int group)
{
    const char *name = strrchr(path, '/') + 1;
    g_autofree char *base = g_strconcat("/sys/devices/", path, NULL);
    g_autofree char *bus = g_strconcat("/sys/bus/pci/devices/", name, NULL);
    g_autofree char *target = g_strconcat("../../../devices/", path, NULL);

    write_ids(directory, base, class_and_id);
    tree_link(directory, bus, target);
    if (driver != NULL) {
        g_autofree char *link = g_strconcat(base, "/driver", NULL);
        g_autofree char *text = g_strconcat("/sys/bus/pci/drivers/", driver, NULL);

        tree_link(directory, link, text);
    }
    if (group >= 0) {
        g_autofree char *link = g_strconcat(base, "/iommu_group", NULL);
        g_autofree char *text = g_strdup_printf("/sys/kernel/iommu_groups/%d", group);

        tree_link(directory, link, text);
        tree_make(directory, text);
    }
}

VrSysroot *
tree_root(const char *directory)
{
    g_autoptr(GError) error = NULL;
    VrSysroot *root = vr_sysroot_new(directory, &error);

    g_assert_no_error(error);
    return root;
}

char *
tree_hosts(void)
{
    const char *source = g_getenv("VMRUN_TEST_SOURCE");

    return g_build_filename(source != NULL ? source : ".", "tests", "hosts", NULL);
}
