/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/inspect.h>

#include <vmrun/device_choice.h>
#include <vmrun/error.h>

#include "../support/plan_host.h"
#include "../support/tree.h"

#include <string.h>

typedef struct {
    char *directory;
    VrSysroot *root;
    VrProfile *profile;
    VrInspection *inspection;
} Host;

/* A desktop with processor graphics and one card of two functions. */
static Host
host_new(void)
{
    Host host = {.directory = tree_new()};

    tree_make(host.directory, "/sys/class/iommu/dmar0");
    tree_pci(host.directory, "pci0000:00/0000:00:02.0", "030000 8086:4680", "i915", 1);
    tree_write(host.directory, "/sys/devices/pci0000:00/0000:00:02.0/boot_vga", "1");
    tree_pci(host.directory, "pci0000:00/0000:00:01.0", "060400 8086:460d", "pcieport", 2);
    tree_pci(host.directory, "pci0000:00/0000:00:01.0/0000:01:00.0", "030000 10de:2484", "nouveau",
             12);
    tree_write(host.directory, "/sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0/boot_vga", "0");
    tree_pci(host.directory, "pci0000:00/0000:00:01.0/0000:01:00.1", "040300 10de:228b",
             "snd_hda_intel", 12);
    tree_write(host.directory, "/etc/machine-id", "0123456789abcdef0123456789abcdef");
    return host;
}

static const VrInspection *
inspect(Host *host, const char *text)
{
    g_autoptr(GError) error = NULL;

    host->profile = plan_profile("gaming", text);
    host->root = tree_root(host->directory);
    host->inspection = vr_inspect(host->root, host->profile, NULL, 0, &error);
    g_assert_no_error(error);
    return host->inspection;
}

static void
host_free(Host *host)
{
    vr_inspection_free(host->inspection);
    vr_sysroot_unref(host->root);
    vr_profile_free(host->profile);
    tree_remove(host->directory);
}

static void
test_finds_the_card_and_describes_the_domain(void)
{
    Host host = host_new();
    const VrInspection *inspection = inspect(&host, "[gpu]\n");
    g_autoptr(GArray) addresses = vr_devices_addresses(inspection->devices);

    g_assert_cmpuint(addresses->len, ==, 2);
    g_assert_nonnull(inspection->xml);
    g_assert_nonnull(strstr(inspection->xml, inspection->identity->uuid));
    g_assert_nonnull(inspection->holders);
    g_assert_cmpuint(inspection->gpus->len, ==, 2);
    host_free(&host);
}

static void
test_no_domain_without_its_device(void)
{
    Host host = host_new();
    const VrInspection *inspection = inspect(&host, "[gpu]\ndevice=0000:09:00.0\n");

    g_assert_null(inspection->xml);
    g_assert_nonnull(plan_blocker(inspection->report, "device-missing"));
    host_free(&host);
}

static void
test_writes_nothing(void)
{
    Host host = host_new();

    inspect(&host, "[gpu]\n");
    g_assert_false(vr_sysroot_exists(host.root, "/var/lib/vmrun"));
    host_free(&host);
}

static void
test_wrong_identity_is_an_error(void)
{
    Host host = host_new();
    g_autoptr(GError) error = NULL;

    tree_write(host.directory, "/var/lib/vmrun/identity/gaming.conf", "rubbish");
    host.profile = plan_profile("gaming", "[gpu]\n");
    host.root = tree_root(host.directory);
    g_assert_null(vr_inspect(host.root, host.profile, NULL, 0, &error));
    g_assert_error(error, VR_ERROR, VR_ERROR_CORRUPT);
    host_free(&host);
}

/* --- decisions --- */

static void
test_uri_follows_profile_and_socket(void)
{
    static const char embedded[] = "qemu:///embed?root=/var/lib/vmrun/embed/";
    static const struct {
        const char *machine;
        bool socket;
        const char *expected; /* NULL: the embedded driver */
    } rows[] = {
        {"hypervisor=auto", true, "qemu:///system"},
        {"hypervisor=auto", false, NULL},
        {"hypervisor=system", false, "qemu:///system"},
        {"hypervisor=embedded", true, NULL},
        {"hypervisor=qemu:///embed?root=/srv/v", true, "qemu:///embed?root=/srv/v"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *text = g_strconcat("[machine]\n", rows[i].machine, "\n", NULL);
        VrProfile *profile = plan_profile("a-profile-with-quite-a-long-name", text);
        VrHostFacts *facts = plan_host_new();

        facts->libvirt_system_socket = rows[i].socket;

        g_autofree char *uri = vr_inspect_uri(profile, facts);

        if (rows[i].expected != NULL) {
            g_assert_cmpstr(uri, ==, rows[i].expected);
        } else {
            g_assert_true(g_str_has_prefix(uri, embedded));
            g_assert_cmpuint(strlen(uri) - strlen("qemu:///embed?root="), <=, 40);
        }
        vr_profile_free(profile);
        vr_host_facts_free(facts);
    }
}

static void
test_huge_pages_are_used_when_free(void)
{
    static const struct {
        const char *machine, *free_2m, *free_1g;
        VrPages expected;
    } rows[] = {
        {"memory=2G", "1024", "0", VR_PAGES_2M},
        {"memory=2G", "1023", "0", VR_PAGES_NONE},
        {"memory=2G", "1024", "2", VR_PAGES_1G},
        {"memory=2560M", "0", "8", VR_PAGES_NONE},
        {"memory=2G\nhugepages=none", "1024", "2", VR_PAGES_NONE},
        {"memory=2G\nhugepages=2M", "0", "0", VR_PAGES_2M},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        Host host = host_new();
        g_autofree char *text = g_strconcat("[machine]\n", rows[i].machine, "\n[gpu]\n", NULL);

        tree_write(host.directory, "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages",
                   rows[i].free_2m);
        tree_write(host.directory, "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages",
                   rows[i].free_2m);
        tree_write(host.directory, "/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages",
                   rows[i].free_1g);
        tree_write(host.directory, "/sys/kernel/mm/hugepages/hugepages-1048576kB/free_hugepages",
                   rows[i].free_1g);
        inspect(&host, text);
        g_assert_cmpint(host.inspection->pages, ==, rows[i].expected);
        host_free(&host);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/inspect/finds-the-card-and-describes-the-domain",
                    test_finds_the_card_and_describes_the_domain);
    g_test_add_func("/inspect/no-domain-without-its-device", test_no_domain_without_its_device);
    g_test_add_func("/inspect/writes-nothing", test_writes_nothing);
    g_test_add_func("/inspect/wrong-identity-is-an-error", test_wrong_identity_is_an_error);
    g_test_add_func("/inspect/uri-follows-profile-and-socket", test_uri_follows_profile_and_socket);
    g_test_add_func("/inspect/huge-pages-are-used-when-free", test_huge_pages_are_used_when_free);
    return g_test_run();
}
