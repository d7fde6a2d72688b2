/* SPDX-License-Identifier: GPL-2.0-or-later */
/* libvirt's own test driver in place of QEMU, and the root of the embedded driver on a temporary
 * directory. What needs a real QEMU is tested in the emulated host. */
#include <vmrun/hypervisor.h>

#include "run/hypervisor_private.h"

#include <vmrun/domain_xml.h>
#include <vmrun/error.h>

#include "../support/tree.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEST_URI "test:///default"

/* The domain that libvirt's test driver always has; nobody marked it as vmrun's. */
#define STRANGER_NAME "test"
#define STRANGER_UUID "6695eb01-f6a4-8304-79aa-97f2502e193f"

#define OUR_UUID "11111111-2222-5333-8444-555555555555"

static const char our_xml[] =
    "<domain type='test'><name>gaming</name><uuid>" OUR_UUID "</uuid>"
    "<metadata><vmrun:domain xmlns:vmrun='" VR_METADATA_NAMESPACE "' profile='gaming'/></metadata>"
    "<memory unit='MiB'>64</memory><vcpu>1</vcpu><os><type>hvm</type></os>"
    "<devices><hostdev mode='subsystem' type='pci' managed='yes'><source>"
    "<address domain='0x0000' bus='0x01' slot='0x00' function='0x0'/></source></hostdev></devices>"
    "</domain>";

static VrHypervisor *
open_test(void)
{
    g_autoptr(GError) error = NULL;
    VrHypervisor *hypervisor = vr_hypervisor_open(TEST_URI, "boot", &error);

    g_assert_no_error(error);
    return hypervisor;
}

static void
start_ours(VrHypervisor *hypervisor)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *checked = NULL;
    int pid = -1;

    g_assert_true(vr_hypervisor_start(hypervisor, our_xml, NULL, &checked, &pid, &error));
    g_assert_no_error(error);
    g_assert_cmpint(pid, ==, 0);
}

static VrDomainState
state_of(VrHypervisor *hypervisor, const char *uuid)
{
    g_autoptr(GError) error = NULL;
    VrDomainState state = VR_DOMAIN_ENDING;
    int pid = -1;

    g_assert_true(vr_hypervisor_state(hypervisor, uuid, &state, &pid, &error));
    g_assert_cmpint(pid, ==, 0);
    return state;
}

static bool
is_taken(VrHypervisor *hypervisor, const char *name, const char *uuid)
{
    g_autoptr(GError) error = NULL;
    bool taken = false;

    g_assert_true(vr_hypervisor_name_taken(hypervisor, name, uuid, &taken, &error));
    return taken;
}

static void
test_a_domain_comes_and_goes(void)
{
    VrHypervisor *hypervisor = open_test();
    g_autoptr(GError) error = NULL;

    g_assert_cmpint(state_of(hypervisor, OUR_UUID), ==, VR_DOMAIN_ABSENT);
    g_assert_false(is_taken(hypervisor, "gaming", OUR_UUID));
    start_ours(hypervisor);
    g_assert_cmpint(state_of(hypervisor, OUR_UUID), ==, VR_DOMAIN_RUNNING);
    g_assert_true(is_taken(hypervisor, "gaming", OUR_UUID));
    g_assert_true(is_taken(hypervisor, "other", OUR_UUID));
    g_assert_true(vr_hypervisor_destroy(hypervisor, OUR_UUID, &error));
    g_assert_cmpint(state_of(hypervisor, OUR_UUID), ==, VR_DOMAIN_ABSENT);
    vr_hypervisor_close(hypervisor);
}

static void
test_shutdown_is_asked_for(void)
{
    VrHypervisor *hypervisor = open_test();
    g_autoptr(GError) error = NULL;

    start_ours(hypervisor);
    g_assert_true(vr_hypervisor_shutdown(hypervisor, OUR_UUID, &error));
    g_assert_no_error(error);
    /* The test driver's guest obeys at once. */
    g_assert_cmpint(state_of(hypervisor, OUR_UUID), ==, VR_DOMAIN_ABSENT);
    vr_hypervisor_close(hypervisor);
}

static void
test_gone_is_destroyed_already(void)
{
    VrHypervisor *hypervisor = open_test();
    g_autoptr(GError) error = NULL;

    g_assert_true(vr_hypervisor_destroy(hypervisor, OUR_UUID, &error));
    g_assert_false(vr_hypervisor_shutdown(hypervisor, OUR_UUID, &error));
    g_assert_error(error, VR_ERROR, VR_ERROR_NOT_FOUND);
    vr_hypervisor_close(hypervisor);
}

static void
test_strangers_are_left_alone(void)
{
    VrHypervisor *hypervisor = open_test();
    g_autoptr(GError) error = NULL;
    g_autoptr(GError) second = NULL;

    g_assert_true(is_taken(hypervisor, STRANGER_NAME, OUR_UUID));
    g_assert_false(vr_hypervisor_destroy(hypervisor, STRANGER_UUID, &error));
    g_assert_error(error, VR_ERROR, VR_ERROR_BUSY);
    g_assert_false(vr_hypervisor_shutdown(hypervisor, STRANGER_UUID, &second));
    g_assert_error(second, VR_ERROR, VR_ERROR_BUSY);
    g_assert_cmpint(state_of(hypervisor, STRANGER_UUID), ==, VR_DOMAIN_RUNNING);
    vr_hypervisor_close(hypervisor);
}

static void
test_assigned_functions_are_listed(void)
{
    VrHypervisor *hypervisor = open_test();
    g_autoptr(GError) error = NULL;

    start_ours(hypervisor);

    g_autoptr(GPtrArray) assigned = vr_hypervisor_assigned(hypervisor, &error);

    g_assert_no_error(error);
    g_assert_cmpuint(assigned->len, ==, 1);
    g_assert_cmpstr(assigned->pdata[0], ==, "0000:01:00.0 gaming");
    g_assert_true(vr_hypervisor_destroy(hypervisor, OUR_UUID, &error));
    vr_hypervisor_close(hypervisor);
}

static void
test_default_network_is_seen(void)
{
    VrHypervisor *hypervisor = open_test();

    g_assert_true(vr_hypervisor_default_network(hypervisor));
    vr_hypervisor_close(hypervisor);
}

static void
test_wrong_xml_is_refused(void)
{
    VrHypervisor *hypervisor = open_test();
    g_autoptr(GError) error = NULL;
    g_autofree char *checked = NULL;
    int pid = -1;

    g_assert_false(
        vr_hypervisor_start(hypervisor, "<domain type='test'/>", NULL, &checked, &pid, &error));
    g_assert_error(error, VR_ERROR, VR_ERROR_FAILED);
    g_assert_true(g_str_has_prefix(error->message, "create the domain: libvirt: "));
    vr_hypervisor_close(hypervisor);
}

/* The schema is left out only for the very document that it allowed before. */
static void
test_schema_is_checked_unless_known(void)
{
    VrHypervisor *hypervisor = open_test();
    g_autoptr(GError) error = NULL;
    g_autofree char *first = NULL;
    g_autofree char *second = NULL;
    g_autofree char *third = NULL;
    int pid = -1;
    g_autoptr(GString) strange = g_string_new(our_xml);

    g_assert_true(vr_hypervisor_start(hypervisor, our_xml, "not known", &first, &pid, &error));
    g_assert_true(vr_hypervisor_destroy(hypervisor, OUR_UUID, &error));
    g_assert_true(vr_hypervisor_start(hypervisor, our_xml, first, &second, &pid, &error));
    g_assert_cmpstr(first, ==, second);
    g_assert_true(vr_hypervisor_destroy(hypervisor, OUR_UUID, &error));
    g_string_replace(strange, "</domain>", "<nonsense/></domain>", 1);
    g_assert_false(vr_hypervisor_start(hypervisor, strange->str, first, &third, &pid, &error));
    g_assert_error(error, VR_ERROR, VR_ERROR_FAILED);
    g_assert_null(third);
    vr_hypervisor_close(hypervisor);
}

static void
test_unreachable_is_said(void)
{
    static const char *const uris[] = {
        "nosuch:///default",
        "qemu:///embed?root=relative",
        "qemu:///embed?root=/a/path/that/is/longer/than/forty/characters",
    };

    for (gsize i = 0; i < G_N_ELEMENTS(uris); i++) {
        g_autoptr(GError) error = NULL;

        g_assert_null(vr_hypervisor_open(uris[i], "boot", &error));
        g_assert_error(error, VR_ERROR, VR_ERROR_UNREACHABLE);
    }
}

/* --- the embedded driver's root --- */

static void
test_embedded_root_is_read_from_the_uri(void)
{
    g_autofree char *plain = vr_embedded_root("qemu:///embed?root=/var/lib/x");
    g_autofree char *escaped = vr_embedded_root("qemu:///embed?root=/var/lib/a%20b");
    g_autofree char *none = vr_embedded_root("qemu:///system");

    g_assert_cmpstr(plain, ==, "/var/lib/x");
    g_assert_cmpstr(escaped, ==, "/var/lib/a b");
    g_assert_null(none);
}

static char *
short_directory(void)
{
    char *directory = g_strdup("/tmp/vmrun-XXXXXX");

    g_assert_nonnull(g_mkdtemp(directory));
    return directory;
}

static void
prepare(const char *directory, const char *boot_id)
{
    g_autoptr(GError) error = NULL;

    g_assert_true(vr_embedded_prepare(directory, boot_id, &error));
    g_assert_no_error(error);
}

static bool
is_there(const char *directory, const char *name)
{
    g_autofree char *path = g_build_filename(directory, name, NULL);

    return g_file_test(path, G_FILE_TEST_EXISTS);
}

static void
test_embedded_root_is_prepared(void)
{
    g_autofree char *directory = short_directory();
    g_autofree char *path = g_build_filename(directory, "etc/qemu.conf", NULL);
    g_autofree char *text = NULL;
    mode_t before = umask(077);
    struct stat status;

    prepare(directory, "boot-1");
    umask(before);
    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    g_assert_nonnull(strstr(text, "stdio_handler = \"file\"\n"));
    g_assert_cmpint(stat(directory, &status), ==, 0);

    g_autofree char *log = g_build_filename(directory, "log/qemu", NULL);

    g_assert_cmpint(stat(log, &status), ==, 0);
    g_assert_cmphex(status.st_mode & 0777, ==, 0711);
    tree_remove(directory);
    g_steal_pointer(&directory);
}

static void
test_embedded_run_lasts_one_boot(void)
{
    g_autofree char *directory = short_directory();

    prepare(directory, "boot-1");
    tree_write(directory, "/run/qemu/gaming.pid", "812");
    tree_write(directory, "/run/qemu/dbus/deep", "x");
    tree_write(directory, "/lib/qemu/keep", "x");
    prepare(directory, "boot-1");
    g_assert_true(is_there(directory, "run/qemu/gaming.pid"));
    prepare(directory, "boot-2");
    g_assert_false(is_there(directory, "run/qemu"));
    g_assert_true(is_there(directory, "run"));
    g_assert_true(is_there(directory, "lib/qemu/keep"));
    tree_remove(directory);
    g_steal_pointer(&directory);
}

static void
test_clearing_follows_no_link(void)
{
    g_autofree char *directory = short_directory();
    g_autofree char *elsewhere = short_directory();

    prepare(directory, "boot-1");
    tree_write(elsewhere, "/precious", "x");
    tree_link(directory, "/run/trap", elsewhere);
    prepare(directory, "boot-2");
    g_assert_false(is_there(directory, "run/trap"));
    g_assert_true(is_there(elsewhere, "precious"));
    tree_remove(elsewhere);
    g_steal_pointer(&elsewhere);
    tree_remove(directory);
    g_steal_pointer(&directory);
}

int
main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } tests[] = {
        {"domain/comes-and-goes", test_a_domain_comes_and_goes},
        {"domain/shutdown-is-asked-for", test_shutdown_is_asked_for},
        {"domain/gone-is-destroyed-already", test_gone_is_destroyed_already},
        {"domain/strangers-are-left-alone", test_strangers_are_left_alone},
        {"domain/assigned-functions-are-listed", test_assigned_functions_are_listed},
        {"domain/wrong-xml-is-refused", test_wrong_xml_is_refused},
        {"domain/schema-is-checked-unless-known", test_schema_is_checked_unless_known},
        {"network/default-is-seen", test_default_network_is_seen},
        {"open/unreachable-is-said", test_unreachable_is_said},
        {"embedded/root-is-read-from-the-uri", test_embedded_root_is_read_from_the_uri},
        {"embedded/root-is-prepared", test_embedded_root_is_prepared},
        {"embedded/run-lasts-one-boot", test_embedded_run_lasts_one_boot},
        {"embedded/clearing-follows-no-link", test_clearing_follows_no_link},
    };

    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strconcat("/hypervisor/", tests[i].name, NULL);

        g_test_add_func(path, tests[i].run);
    }
    return g_test_run();
}
