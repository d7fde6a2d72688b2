/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/sysroot.h>

#include "base/sysroot_private.h"

#include <vmrun/error.h>
#include <vmrun/spawn.h>

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct {
    char *directory; /* holds "root" (the tree) and "secret" beside it */
    VrSysroot *root;
} Fixture;

static void
make_file(const Fixture *fixture, const char *path, const char *data, gssize size_bytes)
{
    g_autofree char *full = g_build_filename(fixture->directory, path, NULL);
    g_autofree char *parent = g_path_get_dirname(full);

    g_assert_cmpint(g_mkdir_with_parents(parent, 0755), ==, 0);
    g_assert_true(g_file_set_contents(full, data, size_bytes, NULL));
}

static void
make_link(const Fixture *fixture, const char *path, const char *target)
{
    g_autofree char *full = g_build_filename(fixture->directory, path, NULL);
    g_autofree char *parent = g_path_get_dirname(full);

    g_assert_cmpint(g_mkdir_with_parents(parent, 0755), ==, 0);
    g_assert_cmpint(symlink(target, full), ==, 0);
}

static void
set_up(Fixture *fixture, gconstpointer data)
{
    (void) data;
    fixture->directory = g_dir_make_tmp("vmrun-XXXXXX", NULL);
    make_file(fixture, "secret", "outside", -1);
    make_file(fixture, "root/secret", "inside", -1);
    make_file(fixture, "root/sys/vendor", "0x10de \n\n", -1);
    make_file(fixture, "root/sys/nul", "a\0b", 3);
    make_file(fixture, "root/sys/empty", "", -1);
    make_file(fixture, "root/sys/devices/gpu/id", "7", -1);
    make_file(fixture, "root/sys/drivers/vfio-pci/x", "", -1);
    make_link(fixture, "root/sys/bus", "devices/gpu");
    make_link(fixture, "root/sys/devices/gpu/driver", "../../drivers/vfio-pci");
    make_link(fixture, "root/sys/up", "../../../../../../../../secret");
    make_link(fixture, "root/sys/absolute", "/secret");
    make_link(fixture, "root/sys/loop", "loop");
    make_link(fixture, "root/sys/dangling", "nowhere/at-all");
    g_autofree char *tree = g_build_filename(fixture->directory, "root", NULL);
    fixture->root = vr_sysroot_new(tree, NULL);
    g_assert_nonnull(fixture->root);
}

static void
tear_down(Fixture *fixture, gconstpointer data)
{
    const char *const argv[] = {"rm", "-rf", fixture->directory, NULL};

    (void) data;
    vr_sysroot_unref(fixture->root);
    g_assert_true(vr_spawn_check(argv, 10000, NULL));
    g_free(fixture->directory);
}

static void
assert_reads(const Fixture *fixture, const char *path, const char *wanted)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *text = vr_sysroot_read(fixture->root, path, &error);

    g_assert_no_error(error);
    g_assert_cmpstr(text, ==, wanted);
}

static void
assert_fails(const Fixture *fixture, const char *path, VrError code)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *text = vr_sysroot_read(fixture->root, path, &error);
    g_autofree char *optional = vr_sysroot_read_optional(fixture->root, path);

    g_assert_null(text);
    g_assert_null(optional);
    g_assert_error(error, VR_ERROR, (int) code);
    g_assert_nonnull(strstr(error->message, path));
}

static void
test_reads_text(Fixture *fixture, gconstpointer data)
{
    (void) data;
    assert_reads(fixture, "/sys/vendor", "0x10de");
    assert_reads(fixture, "/sys/empty", "");
    assert_reads(fixture, "/sys/bus/id", "7");
    assert_fails(fixture, "/sys/missing", VR_ERROR_NOT_FOUND);
    assert_fails(fixture, "/sys/vendor/below-a-file", VR_ERROR_NOT_FOUND);
    assert_fails(fixture, "/sys/dangling", VR_ERROR_NOT_FOUND);
    assert_fails(fixture, "/sys/nul", VR_ERROR_CORRUPT);
    assert_fails(fixture, "/sys/devices", VR_ERROR_IO);
    assert_fails(fixture, "/sys/loop", VR_ERROR_IO);
    assert_fails(fixture, "sys/vendor", VR_ERROR_IO);
}

static void
test_links_stay_inside(Fixture *fixture, gconstpointer data)
{
    (void) data;
    assert_reads(fixture, "/sys/up", "inside");
    assert_reads(fixture, "/sys/absolute", "inside");
    assert_reads(fixture, "/../../secret", "inside");
    assert_reads(fixture, "/sys/../../../secret", "inside");
}

static void
test_long_names(Fixture *fixture, gconstpointer data)
{
    (void) data;
    g_autofree char *name = g_strnfill(300, 'a');
    g_autofree char *long_name = g_strconcat("/sys/", name, NULL);
    g_autoptr(GString) deep = g_string_new(NULL);

    for (int i = 0; i < 3000; i++) {
        g_string_append(deep, "/sys");
    }
    assert_fails(fixture, long_name, VR_ERROR_IO);
    assert_fails(fixture, deep->str, VR_ERROR_IO);
}

static void
test_a_fifo_does_not_block(Fixture *fixture, gconstpointer data)
{
    (void) data;
    g_autofree char *path = g_build_filename(fixture->directory, "root/sys/fifo", NULL);

    g_assert_cmpint(mkfifo(path, 0600), ==, 0);
    assert_reads(fixture, "/sys/fifo", "");
}

static void
test_bytes_are_limited(Fixture *fixture, gconstpointer data)
{
    (void) data;
    g_autoptr(GBytes) some = vr_sysroot_read_bytes(fixture->root, "/sys/nul", 2, NULL);
    g_autoptr(GBytes) all = vr_sysroot_read_bytes(fixture->root, "/sys/nul", 4096, NULL);

    g_assert_cmpuint(g_bytes_get_size(some), ==, 2);
    g_assert_cmpmem(g_bytes_get_data(all, NULL), g_bytes_get_size(all), "a\0b", 3);
}

static void
test_a_large_file_is_refused(Fixture *fixture, gconstpointer data)
{
    (void) data;
    g_autofree char *path = g_build_filename(fixture->directory, "root/large", NULL);

    make_file(fixture, "root/large", "", -1);
    g_assert_cmpint(truncate(path, 16 * 1024 * 1024 + 1), ==, 0);
    assert_fails(fixture, "/large", VR_ERROR_IO);
}

static void
test_link_name(Fixture *fixture, gconstpointer data)
{
    (void) data;
    g_autoptr(GError) error = NULL;
    g_autoptr(GError) no_link = NULL;
    g_autofree char *driver = vr_sysroot_link_name(fixture->root, "/sys/bus/driver", NULL);

    g_assert_cmpstr(driver, ==, "vfio-pci");
    g_assert_null(vr_sysroot_link_name(fixture->root, "/sys/bus/missing", &error));
    g_assert_error(error, VR_ERROR, VR_ERROR_NOT_FOUND);
    g_assert_null(vr_sysroot_link_name(fixture->root, "/sys/vendor", &no_link));
    g_assert_error(no_link, VR_ERROR, VR_ERROR_NOT_FOUND);
    /* Where a link leads to need not be there. */
    g_autofree char *dangling = vr_sysroot_link_name(fixture->root, "/sys/dangling", NULL);
    g_assert_cmpstr(dangling, ==, "at-all");
}

static void
test_resolve(Fixture *fixture, gconstpointer data)
{
    (void) data;
    g_autofree char *device = vr_sysroot_resolve(fixture->root, "/sys/bus/driver/..", NULL);
    g_autofree char *top = vr_sysroot_resolve(fixture->root, "/sys/../..", NULL);
    g_autofree char *escape = vr_sysroot_resolve(fixture->root, "/sys/up", NULL);
    g_autoptr(GError) error = NULL;

    g_assert_cmpstr(device, ==, "/sys/drivers");
    g_assert_cmpstr(top, ==, "/");
    g_assert_cmpstr(escape, ==, "/secret");
    g_assert_null(vr_sysroot_resolve(fixture->root, "/sys/dangling", &error));
    g_assert_error(error, VR_ERROR, VR_ERROR_NOT_FOUND);
}

static void
test_list_is_sorted(Fixture *fixture, gconstpointer data)
{
    (void) data;
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) names = vr_sysroot_list(fixture->root, "/sys/bus", &error);

    g_assert_no_error(error);
    g_assert_cmpuint(names->len, ==, 2);
    g_assert_cmpstr(names->pdata[0], ==, "driver");
    g_assert_cmpstr(names->pdata[1], ==, "id");
    g_assert_null(vr_sysroot_list(fixture->root, "/sys/vendor", &error));
    g_assert_error(error, VR_ERROR, VR_ERROR_NOT_FOUND);
}

static void
test_exists(Fixture *fixture, gconstpointer data)
{
    (void) data;
    g_assert_true(vr_sysroot_exists(fixture->root, "/"));
    g_assert_true(vr_sysroot_exists(fixture->root, "/sys/bus/id"));
    g_assert_false(vr_sysroot_exists(fixture->root, "/sys/dangling"));
    g_assert_false(vr_sysroot_exists(fixture->root, "/sys/missing"));
}

static void
test_write_needs_an_attribute(Fixture *fixture, gconstpointer data)
{
    (void) data;
    g_autoptr(GError) error = NULL;

    g_assert_true(vr_sysroot_write(fixture->root, "/sys/vendor", "x", NULL));
    assert_reads(fixture, "/sys/vendor", "x");
    g_assert_false(vr_sysroot_write(fixture->root, "/sys/missing", "x", &error));
    g_assert_error(error, VR_ERROR, VR_ERROR_NOT_FOUND);
    g_assert_false(vr_sysroot_exists(fixture->root, "/sys/missing"));
}

static void
test_write_tells_the_errno(Fixture *fixture, gconstpointer data)
{
    (void) data;
    g_autoptr(VrSysroot) live = vr_sysroot_new("/", NULL);
    g_autoptr(GError) error = NULL;

    g_assert_true(vr_sysroot_is_live(live));
    g_assert_false(vr_sysroot_is_live(fixture->root));
    g_assert_false(vr_sysroot_write(live, "/dev/full", "0000:01:00.0\n", &error));
    g_assert_error(error, VR_ERROR, VR_ERROR_IO);
    g_assert_cmpstr(error->message, ==,
                    "write \"0000:01:00.0\" to /dev/full: No space left on device");
}

static bool
refuse(void *data, const char *path, const char *text, GError **error)
{
    GString *log = data;

    g_string_append_printf(log, "%s=%s;", path, text);
    return vr_error_set_errno(error, EBUSY, "write to %s", path);
}

static void
test_write_hook_stands_in(Fixture *fixture, gconstpointer data)
{
    (void) data;
    g_autoptr(GString) log = g_string_new(NULL);
    g_autoptr(GError) error = NULL;

    vr_sysroot_set_write_hook(fixture->root, refuse, log);
    g_assert_false(vr_sysroot_write(fixture->root, "/sys/vendor", "x", &error));
    g_assert_error(error, VR_ERROR, VR_ERROR_DEVICE_BUSY);
    g_assert_cmpstr(log->str, ==, "/sys/vendor=x;");
    assert_reads(fixture, "/sys/vendor", "0x10de");
}

static void
record(void *data, const char *path)
{
    GString *log = data;

    g_string_append_printf(log, "%s;", path);
}

static void
test_read_hook_hears_everything(Fixture *fixture, gconstpointer data)
{
    (void) data;
    g_autoptr(GString) log = g_string_new(NULL);

    vr_sysroot_set_read_hook(fixture->root, record, log);
    g_free(vr_sysroot_read_optional(fixture->root, "/a"));
    vr_sysroot_exists(fixture->root, "/b");
    g_free(vr_sysroot_link_name(fixture->root, "/c", NULL));
    g_free(vr_sysroot_resolve(fixture->root, "/d", NULL));
    g_assert_null(vr_sysroot_list(fixture->root, "/e", NULL));
    g_assert_null(vr_sysroot_read_bytes(fixture->root, "/f", 1, NULL));
    g_assert_cmpstr(log->str, ==, "/a;/b;/c;/d;/e;/f;");
}

/* What openat2 says (through the root) and what the walk says must be the same inode or errno. */
static void
test_walk_agrees_with_the_kernel(Fixture *fixture, gconstpointer data)
{
    (void) data;
    static const char *const paths[] = {
        "/",          "/sys",         "/sys/",        "//sys//vendor", "/sys/./vendor",
        "/sys/bus",   "/sys/bus/",    "/sys/bus/id",  "/sys/bus/..",   "/sys/bus/driver/../..",
        "/sys/up",    "/sys/up/",     "/sys/vendor/", "/sys/vendor/.", "/sys/vendor/..",
        "/..",        "/../../sys",   "/sys/loop",    "/sys/dangling", "/sys/dangling/x",
        "/sys/bus/x", "/sys/bus/x/y", "/sys/absolute"};
    static const int flags[] = {O_PATH, O_PATH | O_NOFOLLOW, O_RDONLY | O_DIRECTORY};
    g_autofree char *tree = g_build_filename(fixture->directory, "root", NULL);
    int root_fd = open(tree, O_PATH | O_DIRECTORY);

    for (size_t i = 0; i < 2 * G_N_ELEMENTS(paths) * G_N_ELEMENTS(flags); i++) {
        const char *path = paths[i / 2 / G_N_ELEMENTS(flags)];
        bool follows_links = i / G_N_ELEMENTS(flags) % 2 == 0;
        int flag = flags[i % G_N_ELEMENTS(flags)] | O_CLOEXEC;
        g_autoptr(GError) error = NULL;
        struct stat kernel = {0}, walked = {0};
        int kernel_fd = follows_links ? vr_sysroot_open(fixture->root, path, flag, &error)
                                      : vr_sysroot_open_plain(fixture->root, path, flag, &error);
        errno = 0;
        int walk_fd = vr_sysroot_walk(root_fd, path, flag, follows_links);
        g_autofree char *walk_error = g_strdup_printf("open %s: %s", path, g_strerror(errno));

        g_test_message("%s with %x, %d", path, (unsigned) flag, follows_links);
        g_assert_cmpstr(error == NULL ? walk_error : error->message, ==, walk_error);
        g_assert_cmpint(kernel_fd < 0, ==, walk_fd < 0);
        if (walk_fd >= 0) {
            g_assert_cmpint(fstat(kernel_fd, &kernel) | fstat(walk_fd, &walked), ==, 0);
            g_assert_cmpuint(kernel.st_ino, ==, walked.st_ino);
            close(kernel_fd);
            close(walk_fd);
        }
    }
    close(root_fd);
}

static void
test_root_must_be_a_directory(Fixture *fixture, gconstpointer data)
{
    (void) data;
    g_autoptr(GError) error = NULL;
    g_autofree char *file = g_build_filename(fixture->directory, "secret", NULL);

    g_assert_null(vr_sysroot_new(file, &error));
    g_assert_error(error, VR_ERROR, VR_ERROR_NOT_FOUND);
    vr_sysroot_unref(NULL);
    vr_sysroot_unref(vr_sysroot_ref(fixture->root));
    g_assert_true(g_str_has_suffix(vr_sysroot_directory(fixture->root), "/root"));
}

int
main(int argc, char **argv)
{
    static const struct {
        const char *path;
        void (*test)(Fixture *, gconstpointer);
    } tests[] = {
        {"/base/sysroot/reads-text", test_reads_text},
        {"/base/sysroot/links-stay-inside", test_links_stay_inside},
        {"/base/sysroot/long-names-are-errors", test_long_names},
        {"/base/sysroot/a-fifo-does-not-block", test_a_fifo_does_not_block},
        {"/base/sysroot/bytes-are-limited", test_bytes_are_limited},
        {"/base/sysroot/a-large-file-is-refused", test_a_large_file_is_refused},
        {"/base/sysroot/link-name", test_link_name},
        {"/base/sysroot/resolve-is-below-root", test_resolve},
        {"/base/sysroot/list-is-sorted", test_list_is_sorted},
        {"/base/sysroot/exists", test_exists},
        {"/base/sysroot/write-needs-an-attribute", test_write_needs_an_attribute},
        {"/base/sysroot/write-tells-the-errno", test_write_tells_the_errno},
        {"/base/sysroot/write-hook-stands-in", test_write_hook_stands_in},
        {"/base/sysroot/read-hook-hears-everything", test_read_hook_hears_everything},
        {"/base/sysroot/walk-agrees-with-the-kernel", test_walk_agrees_with_the_kernel},
        {"/base/sysroot/root-must-be-a-directory", test_root_must_be_a_directory},
    };

    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_test_add(tests[i].path, Fixture, NULL, set_up, tests[i].test, tear_down);
    }
    return g_test_run();
}
