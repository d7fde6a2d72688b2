/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The domain's XML: whole documents beside tests/golden/xml/PROFILE@HOST.xml, each checked against
 * libvirt's schema, and the properties that matter one by one. GOLDEN_UPDATE=1 rewrites the files.
 */
#include <vmrun/domain_xml.h>

#include "plan/domain_xml_read.h"

#include "../support/plan_host.h"

#include <libxml/parser.h>
#include <libxml/xpath.h>
#include <libxml/xpathInternals.h>

#include <glib/gstdio.h>
#include <string.h>

typedef struct {
    VrHostFacts *facts;
    VrProfile *profile;
    VrReport *report;
    GPtrArray *devices;
    VrIdentity *identity;
    VrCpuPlacement *placement;
    VrDomainSpec spec;
} Guest;

/* --- hosts --- */

static VrHostFacts *
intel_desktop(void)
{
    VrHostFacts *facts = plan_host_with_card();

    plan_host_add_cpus(facts, 1, 1, 8, 2);
    facts->cpu_is_intel = facts->cpu_has_invariant_tsc = true;
    return facts;
}

static VrHostFacts *
amd_desktop(void)
{
    VrHostFacts *facts = plan_host_with_card();

    plan_host_add_cpus(facts, 1, 2, 8, 2);
    facts->cpu_is_amd = facts->cpu_has_topoext = facts->cpu_has_invariant_tsc = true;
    facts->apic_virtualisation = true;
    g_ptr_array_add(facts->bridges, g_strdup("virbr0"));
    return facts;
}

/* A card with USB and UCSI functions, as NVIDIA's Turing has them. */
static VrHostFacts *
four_functions(void)
{
    VrHostFacts *facts = intel_desktop();

    plan_host_add(facts, "0000:01:00.2", 0x0c0330, 0x10de1ad8, 12);
    plan_host_add(facts, "0000:01:00.3", 0x0c8000, 0x10de1ad9, 12);
    return facts;
}

/* Two nodes, two cards on the second one, a bridge. */
static VrHostFacts *
server(void)
{
    VrHostFacts *facts = plan_host_new();

    plan_host_add(facts, "0000:03:00.0", 0x030000, 0x1a032000, 5)->boot_vga = VR_YES;
    plan_host_add(facts, "0000:41:00.0", 0x030200, 0x10de20b0, 30)->numa_node = 1;
    plan_host_add(facts, "0000:c1:00.0", 0x030200, 0x10de20b0, 31)->numa_node = 1;
    plan_host_add(facts, "0000:e1:00.0", 0x010802, 0x144da80a, 40);
    plan_host_add_cpus(facts, 2, 2, 8, 2);
    facts->cpu_is_amd = facts->cpu_has_topoext = facts->cpu_has_invariant_tsc = true;
    g_ptr_array_add(facts->bridges, g_strdup("br0"));
    g_ptr_array_add(facts->bridges, g_strdup("docker0"));
    return facts;
}

static VrHostFacts *
small_host(void)
{
    VrHostFacts *facts = plan_host_with_card();

    plan_host_add_cpus(facts, 1, 1, 2, 1);
    facts->cpu_is_amd = true;
    return facts;
}

/* --- guests --- */

static VrIdentity *
identity_new(const VrProfile *profile)
{
    VrIdentity *identity = g_new0(VrIdentity, 1);

    identity->uuid = g_strdup("2fcc1bd8-0c9a-5f9e-8b9c-0d6f5a4b3c2d");
    identity->macs = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    for (guint i = 0; i < profile->networks->len; i++) {
        const VrProfileNetwork *network = profile->networks->pdata[i];

        g_hash_table_insert(identity->macs, g_strdup(network->name),
                            g_strdup_printf("52:54:00:12:34:%02x", i + 1));
    }
    return identity;
}

/* Takes the facts. */
static Guest
guest_new(VrHostFacts *facts, const char *name, const char *text)
{
    Guest guest = {.facts = facts, .profile = plan_profile(name, text)};

    guest.report = vr_report_new();
    guest.devices = vr_devices_choose(guest.profile, facts, guest.report);
    guest.identity = identity_new(guest.profile);

    const VrChosenDevice *first = guest.devices->len > 0 ? guest.devices->pdata[0] : NULL;

    guest.placement = vr_cpu_placement_choose(
        guest.profile, facts, first != NULL ? first->gpu->display->numa_node : -1, guest.report);
    guest.spec = (VrDomainSpec){
        .profile = guest.profile,
        .facts = facts,
        .devices = guest.devices,
        .identity = guest.identity,
        .placement = guest.placement,
        .pages = VR_PAGES_NONE,
        .uri = "qemu:///system",
        .state_directory = "/var/lib/vmrun",
    };
    return guest;
}

static void
guest_free(Guest *guest)
{
    vr_cpu_placement_free(guest->placement);
    vr_identity_free(guest->identity);
    g_ptr_array_unref(guest->devices);
    vr_report_free(guest->report);
    vr_profile_free(guest->profile);
    vr_host_facts_free(guest->facts);
}

/* --- reading back --- */

/* The text that an expression finds, or NULL. Owned. */
static char *
find(const char *xml, const char *expression)
{
    xmlDoc *document = xmlReadMemory(xml, (int) strlen(xml), NULL, NULL, XML_PARSE_NONET);

    g_assert_nonnull(document);

    xmlXPathContext *context = xmlXPathNewContext(document);

    xmlXPathRegisterNs(context, (const xmlChar *) "vmrun", (const xmlChar *) VR_METADATA_NAMESPACE);
    xmlXPathRegisterNs(context, (const xmlChar *) "qemu",
                       (const xmlChar *) "http://libvirt.org/schemas/domain/qemu/1.0");

    xmlXPathObject *found = xmlXPathEvalExpression((const xmlChar *) expression, context);
    char *text = NULL;

    g_assert_nonnull(found);
    if (found->type != XPATH_NODESET) {
        xmlChar *value = xmlXPathCastToString(found);

        text = g_strdup((const char *) value);
        xmlFree(value);
    } else if (found->nodesetval != NULL && found->nodesetval->nodeNr > 0) {
        xmlChar *value = xmlXPathCastNodeToString(found->nodesetval->nodeTab[0]);

        text = g_strdup((const char *) value);
        xmlFree(value);
    }
    xmlXPathFreeObject(found);
    xmlXPathFreeContext(context);
    xmlFreeDoc(document);
    return text;
}

static void
assert_found(const char *xml, const char *expression, const char *expected)
{
    g_autofree char *text = find(xml, expression);

    if (g_strcmp0(text, expected) != 0) {
        g_test_message("%s: '%s', not '%s'", expression, text, expected);
        g_test_fail();
    }
}

/* --- whole documents --- */

typedef struct {
    const char *profile, *host;
    VrHostFacts *(*facts)(void);
    const char *text;
    VrPages pages;
    const char *uri; /* NULL: the system's */
    bool default_network;
} Golden;

static const Golden goldens[] = {
    {"gaming", "intel-desktop", intel_desktop,
     "[profile]\ndescription=Games\nguest=windows\n[machine]\ncpus=8\nmemory=16G\n[gpu]\n"
     "[disk system]\npath=/dev/disk/by-id/nvme-WDC\n[cdrom install]\npath=/srv/iso/win11.iso\n",
     VR_PAGES_2M, NULL, true},
    {"gaming", "amd-desktop", amd_desktop,
     "[profile]\nguest=windows\n[machine]\ncpus=8\nmemory=16G\n[gpu]\nrom=/srv/rom/card.rom\n"
     "[disk system]\npath=/srv/images/system.qcow2\n[disk games]\npath=/srv/images/games.raw\n"
     "bus=sata\n",
     VR_PAGES_NONE, NULL, true},
    {"steam", "amd-desktop", amd_desktop,
     "[machine]\nmemory=8G\n[gpu]\nhide-hypervisor=no\n[disk system]\n"
     "path=/srv/images/system.qcow2\nboot-order=1\n[network lan]\nmode=macvtap\nsource=enp5s0\n",
     VR_PAGES_NONE, NULL, false},
    {"four-functions", "intel-desktop", four_functions,
     "[machine]\nmemory=4G\npin=none\n[gpu]\n[disk system]\npath=/srv/images/a.raw\n"
     "read-only=yes\n",
     VR_PAGES_NONE, "qemu:///embed?root=/var/lib/vmrun/embed/0123abcd", false},
    {"llm-train", "server", server,
     "[machine]\nmemory=256G\n[gpu]\ndevice=all\nhide-hypervisor=no\n[pci scratch]\n"
     "device=0000:e1:00.0\n[disk system]\npath=/dev/vg/llm\n[disk data]\npath=/dev/vg/data\n",
     VR_PAGES_1G, NULL, false},
    {"direct", "small-host", small_host,
     "[machine]\nmemory=512M\n[gpu]\n[boot]\nkernel=/srv/vmlinuz\ninitrd=/srv/initrd\n"
     "cmdline=console=ttyS0 root=/dev/vda \"quiet\" <&>\n[network net]\nmode=none\n",
     VR_PAGES_NONE, NULL, false},
};

static char *
source_path(const char *path)
{
    const char *source = g_getenv("VMRUN_TEST_SOURCE");

    return g_build_filename(source != NULL ? source : ".", path, NULL);
}

/* libvirt's schemas are those that a start with VIR_DOMAIN_START_VALIDATE uses. */
static void
assert_valid(const char *xml)
{
    g_autofree char *path = NULL;
    int fd = g_file_open_tmp("vmrun-XXXXXX.xml", &path, NULL);
    g_autofree char *output = NULL;
    int status = -1;

    g_assert_cmpint(fd, >=, 0);
    g_close(fd, NULL);
    g_assert_true(g_file_set_contents(path, xml, -1, NULL));

    char *arguments[] = {(char *) "virt-xml-validate", path, (char *) "domain", NULL};

    g_assert_true(g_spawn_sync(NULL, arguments, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL,
                               &output, &status, NULL));
    if (status != 0) {
        g_test_message("%s", output);
        g_test_fail();
    }
    g_remove(path);
}

static void
test_golden(gconstpointer data)
{
    const Golden *golden = data;
    Guest guest = guest_new(golden->facts(), golden->profile, golden->text);
    g_autofree char *name =
        g_strdup_printf("tests/golden/xml/%s@%s.xml", golden->profile, golden->host);
    g_autofree char *path = source_path(name);
    g_autofree char *expected = NULL;

    /* The digest changes with every new key of profiles. */
    g_free(guest.profile->digest);
    guest.profile->digest = g_strnfill(64, 'd');
    guest.spec.pages = golden->pages;
    guest.spec.uri = golden->uri != NULL ? golden->uri : "qemu:///system";
    guest.spec.default_network = golden->default_network;
    g_assert_cmpuint(plan_count_blockers(guest.report), ==, 0);

    g_autofree char *xml = vr_domain_xml(&guest.spec);

    if (g_getenv("GOLDEN_UPDATE") != NULL) {
        g_assert_true(g_file_set_contents(path, xml, -1, NULL));
    }
    assert_valid(xml);
    g_assert_true(g_file_get_contents(path, &expected, NULL, NULL));
    g_assert_cmpstr(xml, ==, expected);
    guest_free(&guest);
}

/* --- single properties --- */

static char *
xml_of(VrHostFacts *facts, const char *text)
{
    Guest guest = guest_new(facts, "gaming", text);
    char *xml = vr_domain_xml(&guest.spec);

    guest_free(&guest);
    return xml;
}

static void
test_same_input_same_text(void)
{
    g_autofree char *first = xml_of(intel_desktop(), "[gpu]\n");
    g_autofree char *second = xml_of(intel_desktop(), "[gpu]\n");

    g_assert_cmpstr(first, ==, second);
}

static void
test_kvm_is_hidden_by_default(void)
{
    g_autofree char *xml = xml_of(intel_desktop(), "[gpu]\n");

    assert_found(xml, "/domain/features/kvm/hidden/@state", "on");
    assert_found(xml, "/domain/features/hyperv/vendor_id/@value", "vmrun-domain");
    assert_found(xml, "/domain/cpu/feature[@name='invtsc']/@policy", "require");
    assert_found(xml, "count(/domain/features/kvm/hint-dedicated)", "0");
}

static void
test_features_follow_the_host(void)
{
    g_autofree char *xml = xml_of(small_host(), "[profile]\nguest=windows\n[gpu]\n");

    assert_found(xml, "count(/domain/cpu/feature)", "0");
    assert_found(xml, "count(/domain/features/hyperv/avic)", "0");
    assert_found(xml, "/domain/features/hyperv/synic/@state", "on");
}

static void
test_cards_are_alone_on_their_ports(void)
{
    Guest guest = guest_new(server(), "train", "[gpu]\ndevice=all\n");
    g_autofree char *xml = vr_domain_xml(&guest.spec);

    assert_found(xml, "count(/domain/devices/hostdev)", "2");
    assert_found(xml, "count(/domain/devices/hostdev[@managed='yes'])", "2");
    assert_found(xml, "/domain/devices/hostdev[1]/address/@bus", "0x01");
    assert_found(xml, "/domain/devices/hostdev[2]/address/@bus", "0x02");
    assert_found(xml, "/domain/devices/hostdev[2]/source/address/@bus", "0xc1");
    assert_found(xml, "count(/domain/devices/controller[@model='pcie-root-port'])", "2");
    guest_free(&guest);
}

static void
test_firmware_variables_by_kind(void)
{
    g_autofree char *plain = xml_of(small_host(), "[machine]\nfirmware=uefi\n[gpu]\n");
    g_autofree char *secure = xml_of(small_host(), "[machine]\nfirmware=uefi-secure\n[gpu]\n");

    assert_found(plain, "/domain/os/nvram", "/var/lib/vmrun/nvram/gaming.fd");
    assert_found(plain, "/domain/os/firmware/feature[@name='secure-boot']/@enabled", "no");
    assert_found(secure, "/domain/os/nvram", "/var/lib/vmrun/nvram/gaming.secure.fd");
    assert_found(secure, "/domain/os/firmware/feature[@name='enrolled-keys']/@enabled", "yes");
}

static void
test_nvme_stays_libvirts_disk(void)
{
    g_autofree char *xml =
        xml_of(small_host(), "[gpu]\n[disk system]\npath=/srv/a.raw\nbus=nvme\n");

    assert_found(xml, "/domain/devices/disk/target/@bus", "virtio");
    assert_found(xml, "/domain/devices/disk/alias/@name", "ua-nvme0");
    assert_found(xml,
                 "/domain/qemu:override/qemu:device[@alias='ua-nvme0']/qemu:frontend/"
                 "qemu:property[@name='driver']/@value",
                 "nvme");
    assert_found(xml, "count(/domain/iothreads)", "0");
    assert_found(xml, "count(/domain/devices/disk/driver/@queues)", "0");
}

static void
test_boot_follows_the_profile(void)
{
    static const char text[] = "[gpu]\n[cdrom a]\npath=/srv/a.iso\n[disk b]\npath=/srv/b.raw\n"
                               "[disk c]\npath=/srv/c.raw\n";
    g_autofree char *ordered = g_strconcat(text, "boot-order=1\n", NULL);
    g_autofree char *plain = xml_of(small_host(), text);
    g_autofree char *explicit = xml_of(small_host(), ordered);

    assert_found(plain, "/domain/devices/disk[source/@file='/srv/b.raw']/boot/@order", "1");
    assert_found(plain, "/domain/devices/disk[source/@file='/srv/c.raw']/boot/@order", "2");
    assert_found(plain, "/domain/devices/disk[source/@file='/srv/a.iso']/boot/@order", "3");
    assert_found(explicit, "count(/domain/devices/disk/boot)", "1");
    assert_found(explicit, "/domain/devices/disk[source/@file='/srv/c.raw']/boot/@order", "1");
}

static void
test_buffered_disks_use_the_page_cache(void)
{
    Guest guest = guest_new(small_host(), "gaming", "[gpu]\n[disk a]\npath=/tmp/a.raw\n");
    g_autoptr(GPtrArray) buffered = g_ptr_array_new();

    g_ptr_array_add(buffered, guest.profile->disks->pdata[0]);
    guest.spec.buffered = buffered;

    g_autofree char *xml = vr_domain_xml(&guest.spec);

    assert_found(xml, "/domain/devices/disk/driver/@cache", "writeback");
    assert_found(xml, "/domain/devices/disk/driver/@io", "threads");
    guest_free(&guest);
}

static void
test_no_display_and_a_logged_console(void)
{
    g_autofree char *xml = xml_of(small_host(), "[gpu]\n");

    assert_found(xml, "/domain/devices/video/model/@type", "none");
    assert_found(xml, "count(/domain/devices/graphics)", "0");
    assert_found(xml, "/domain/devices/memballoon/@model", "none");
    assert_found(xml, "/domain/devices/serial/log/@file",
                 "/var/log/libvirt/qemu/gaming.serial.log");
    assert_found(xml, "/domain/devices/serial/log/@append", "on");
}

static void
test_metadata_marks_it_as_ours(void)
{
    g_autofree char *xml = xml_of(small_host(), "[gpu]\n");
    g_autofree char *digest = find(xml, "/domain/metadata/vmrun:domain/@digest");

    assert_found(xml, "/domain/metadata/vmrun:domain/@profile", "gaming");
    g_assert_cmpuint(strlen(digest), ==, 64);
}

/* --- networks --- */

static void
test_networks_resolve(void)
{
    static const struct {
        VrNetworkMode mode;
        const char *source, *bridge;
        bool default_network;
        VrNetworkMode expected;
        const char *expected_source;
    } rows[] = {
        {VR_NETWORK_AUTO, NULL, "br0", true, VR_NETWORK_BRIDGE, "br0"},
        {VR_NETWORK_AUTO, NULL, "virbr0", true, VR_NETWORK_NAT, "default"},
        {VR_NETWORK_AUTO, NULL, "docker0", false, VR_NETWORK_USER, NULL},
        {VR_NETWORK_AUTO, NULL, NULL, false, VR_NETWORK_USER, NULL},
        {VR_NETWORK_NAT, NULL, NULL, false, VR_NETWORK_NAT, "default"},
        {VR_NETWORK_NAT, "lab", NULL, false, VR_NETWORK_NAT, "lab"},
        {VR_NETWORK_BRIDGE, "br7", "br0", false, VR_NETWORK_BRIDGE, "br7"},
        {VR_NETWORK_MACVTAP, "eth0", NULL, false, VR_NETWORK_MACVTAP, "eth0"},
        {VR_NETWORK_NONE, NULL, "br0", true, VR_NETWORK_NONE, NULL},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        VrHostFacts *facts = plan_host_new();
        VrProfileNetwork network = {.mode = rows[i].mode, .source = (char *) rows[i].source};
        const char *source = "unset";

        if (rows[i].bridge != NULL) {
            g_ptr_array_add(facts->bridges, g_strdup(rows[i].bridge));
        }
        g_assert_cmpint(vr_network_resolve(&network, facts, rows[i].default_network, &source), ==,
                        rows[i].expected);
        g_assert_cmpstr(source, ==, rows[i].expected_source);
        vr_host_facts_free(facts);
    }
}

/* --- hostile strings --- */

/* Set one string of the profile directly: what a parser may refuse today it may accept tomorrow. */
static void
set_text(char **member, const char *text)
{
    g_free(*member);
    *member = g_strdup(text);
}

static void
test_hostile_texts_stay_texts(void)
{
    static const char *const texts[] = {
        "</description><devices><disk/></devices>",
        "a & b < c > d \" e ' f",
        "&lt;not&#x3e; &unknown; ]]> <![CDATA[x]]>",
        "<!-- --> <?xml?> -->",
        "tab\tnew\nline",
        "Grüße, 日本 \xf0\x9f\x8e\xae",
    };

    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
        Guest guest = guest_new(small_host(), "gaming",
                                "[gpu]\nrom=/srv/x.rom\n[boot]\nkernel=/srv/k\ncmdline=x\n"
                                "[disk a]\npath=/srv/a.raw\n[network n]\nmode=nat\nsource=x\n");
        VrProfileDisk *disk = guest.profile->disks->pdata[0];
        VrProfileNetwork *network = guest.profile->networks->pdata[0];
        VrProfileDevice *device = guest.profile->devices->pdata[0];

        set_text(&guest.profile->description, texts[i]);
        set_text(&guest.profile->cmdline, texts[i]);
        set_text(&guest.profile->kernel, texts[i]);
        set_text(&disk->path, texts[i]);
        set_text(&disk->name, texts[i]);
        set_text(&network->source, texts[i]);
        set_text(&device->rom, texts[i]);

        g_autofree char *xml = vr_domain_xml(&guest.spec);

        assert_found(xml, "/domain/description", texts[i]);
        assert_found(xml, "/domain/os/cmdline", texts[i]);
        assert_found(xml, "/domain/os/kernel", texts[i]);
        assert_found(xml, "/domain/devices/disk/source/@file", texts[i]);
        assert_found(xml, "/domain/devices/interface/source/@network", texts[i]);
        assert_found(xml, "/domain/devices/hostdev/rom/@file", texts[i]);
        assert_found(xml, "count(/domain/devices/disk)", "1");
        assert_found(xml, "string-length(/domain/devices/disk/serial) <= 20", "true");
        guest_free(&guest);
    }
}

static void
test_impossible_bytes_are_replaced(void)
{
    Guest guest = guest_new(small_host(), "gaming", "[gpu]\n");

    set_text(&guest.profile->description, "bell\a escape\x1b broken\xff\xc3");

    g_autofree char *xml = vr_domain_xml(&guest.spec);

    assert_found(xml, "/domain/description",
                 "bell\xef\xbf\xbd escape\xef\xbf\xbd broken\xef\xbf\xbd\xef\xbf\xbd");
    guest_free(&guest);
}

/* --- reading a living domain's XML --- */

static void
test_assigned_functions_are_read(void)
{
    static const char xml[] =
        "<domain><devices>"
        "<hostdev mode='subsystem' type='pci'><source><address domain='0x0000' bus='0x01' "
        "slot='0x00' function='0x1'/></source></hostdev>"
        "<hostdev mode='subsystem' type='usb'><source><address bus='1' device='2'/></source>"
        "</hostdev>"
        "<hostdev type='pci'><source><address domain='no' bus='0x01' slot='0x00' function='0x1'/>"
        "</source></hostdev>"
        "<disk type='nvme'><source type='pci'><address domain='0x0000' bus='0x03' slot='0x00' "
        "function='0x0'/></source></disk></devices></domain>";
    g_autoptr(GArray) addresses = vr_domain_xml_assigned(xml);
    g_autoptr(GArray) none = vr_domain_xml_assigned("<domain");

    g_assert_cmpuint(addresses->len, ==, 2);
    g_assert_cmpuint(none->len, ==, 0);

    g_autofree char *first = vr_pci_address_format(g_array_index(addresses, VrPciAddress, 0));

    g_assert_cmpstr(first, ==, "0000:01:00.1");
}

static void
test_agent_counts_only_when_connected(void)
{
    g_assert_true(vr_domain_xml_agent_is_connected(
        "<domain><devices><channel><target type='virtio' name='org.qemu.guest_agent.0' "
        "state='connected'/></channel></devices></domain>"));
    g_assert_false(vr_domain_xml_agent_is_connected(
        "<domain><devices><channel><target type='virtio' name='org.qemu.guest_agent.0' "
        "state='disconnected'/></channel></devices></domain>"));
    g_assert_false(vr_domain_xml_agent_is_connected("no XML"));
}

int
main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } tests[] = {
        {"same-input-same-text", test_same_input_same_text},
        {"kvm-is-hidden-by-default", test_kvm_is_hidden_by_default},
        {"features-follow-the-host", test_features_follow_the_host},
        {"cards-are-alone-on-their-ports", test_cards_are_alone_on_their_ports},
        {"firmware-variables-by-kind", test_firmware_variables_by_kind},
        {"nvme-stays-libvirts-disk", test_nvme_stays_libvirts_disk},
        {"boot-follows-the-profile", test_boot_follows_the_profile},
        {"buffered-disks-use-the-page-cache", test_buffered_disks_use_the_page_cache},
        {"no-display-and-a-logged-console", test_no_display_and_a_logged_console},
        {"metadata-marks-it-as-ours", test_metadata_marks_it_as_ours},
        {"networks-resolve", test_networks_resolve},
        {"hostile-texts-stay-texts", test_hostile_texts_stay_texts},
        {"impossible-bytes-are-replaced", test_impossible_bytes_are_replaced},
        {"assigned-functions-are-read", test_assigned_functions_are_read},
        {"agent-counts-only-when-connected", test_agent_counts_only_when_connected},
    };

    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(goldens); i++) {
        g_autofree char *path =
            g_strdup_printf("/domain-xml/golden/%s@%s", goldens[i].profile, goldens[i].host);

        g_test_add_data_func(path, &goldens[i], test_golden);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strconcat("/domain-xml/", tests[i].name, NULL);

        g_test_add_func(path, tests[i].run);
    }
    return g_test_run();
}
