/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/profile.h>

#include <string.h>

static void
mistake_free(void *mistake)
{
    vr_profile_mistake_free(mistake);
}

static GPtrArray *
new_mistakes(void)
{
    return g_ptr_array_new_with_free_func(mistake_free);
}

/* All mistakes as they are shown, one per line. */
static char *
shown(const GPtrArray *mistakes)
{
    GString *text = g_string_new(NULL);

    for (guint i = 0; i < mistakes->len; i++) {
        g_autofree char *line = vr_profile_mistake_format(g_ptr_array_index(mistakes, i));

        g_string_append_printf(text, "%s\n", line);
    }
    return g_string_free(text, FALSE);
}

/* Parse up to three texts, weakest first: "a.conf", then drop-ins of it. NULL ends the list. */
static VrProfile *
parse(const char *const *texts, char **out_mistakes)
{
    static const char *const files[] = {"a.conf", "b.conf", "c.conf"};
    VrProfileText given[3] = {0};
    size_t count = 0;

    for (; texts[count] != NULL; count++) {
        given[count].file = files[count];
        given[count].text = texts[count];
        given[count].size_bytes = strlen(texts[count]);
        given[count].starts_file = count == 0;
    }

    g_autoptr(GPtrArray) mistakes = new_mistakes();
    VrProfile *profile = vr_profile_parse("gaming", given, count, mistakes);

    g_assert_true((profile == NULL) == (mistakes->len > 0));
    *out_mistakes = shown(mistakes);
    return profile;
}

static VrProfile *
parse_good(const char *text)
{
    const char *const texts[] = {text, NULL};
    g_autofree char *mistakes = NULL;
    VrProfile *profile = parse(texts, &mistakes);

    g_assert_cmpstr(mistakes, ==, "");
    return profile;
}

static VrProfile *
parse_layers(const char *first, const char *second, const char *third)
{
    const char *const texts[] = {first, second, third, NULL};
    g_autofree char *mistakes = NULL;
    VrProfile *profile = parse(texts, &mistakes);

    g_assert_cmpstr(mistakes, ==, "");
    return profile;
}

static void
assert_mistakes(const char *text, const char *wanted)
{
    const char *const texts[] = {text, NULL};
    g_autofree char *mistakes = NULL;
    g_autoptr(VrProfile) profile = parse(texts, &mistakes);

    g_assert_cmpstr(mistakes, ==, wanted);
    g_assert_null(profile);
}

/* Exactly one mistake, in the last line of the text, that has these words. */
static void
assert_one_mistake(const char *text, const char *words)
{
    const char *const texts[] = {text, NULL};
    g_autofree char *mistakes = NULL;
    g_autoptr(VrProfile) profile = parse(texts, &mistakes);
    const char *newline = strchr(mistakes, '\n');

    if (newline == NULL || newline[1] != '\0' || strstr(mistakes, words) == NULL) {
        g_test_message("%s\n-> %s", text, mistakes);
    }
    g_assert_null(profile);
    g_assert_nonnull(newline);
    g_assert_cmpstr(newline, ==, "\n");
    g_assert_nonnull(strstr(mistakes, words));
}

static const VrProfileValue *
find_value(const VrProfile *profile, const char *group, const char *key)
{
    for (guint i = 0; i < profile->values->len; i++) {
        const VrProfileValue *value = g_ptr_array_index(profile->values, i);

        if (strcmp(value->group, group) == 0 && strcmp(value->key, key) == 0) {
            return value;
        }
    }
    return NULL;
}

static void
assert_origin(const VrProfile *profile, const char *group, const char *key, const char *text,
              const char *file, unsigned line)
{
    const VrProfileValue *value = find_value(profile, group, key);

    g_assert_nonnull(value);
    g_assert_cmpstr(value->value, ==, text);
    g_assert_cmpstr(value->origin.file, ==, file);
    g_assert_cmpuint(value->origin.line, ==, line);
}

static void
test_empty_has_defaults(void)
{
    g_autoptr(VrProfile) profile = parse_good("");
    const VrProfileDevice *gpu = g_ptr_array_index(profile->devices, 0);
    const VrProfileNetwork *network = g_ptr_array_index(profile->networks, 0);

    g_assert_cmpstr(profile->name, ==, "gaming");
    g_assert_cmpstr(profile->description, ==, "");
    g_assert_cmpint(profile->guest, ==, VR_GUEST_LINUX);
    g_assert_cmpuint(profile->cpus, ==, 0);
    g_assert_cmpuint(profile->memory_mib, ==, 16384);
    g_assert_cmpint(profile->firmware, ==, VR_FIRMWARE_UEFI);
    g_assert_false(profile->tpm);
    g_assert_true(profile->hide_hypervisor);
    g_assert_null(profile->vendor_id);
    g_assert_cmpuint(profile->devices->len, ==, 1);
    g_assert_cmpint(gpu->choice, ==, VR_DEVICE_AUTO);
    g_assert_true(gpu->is_gpu);
    g_assert_cmpstr(gpu->name, ==, "");
    g_assert_null(gpu->functions);
    g_assert_cmpuint(profile->networks->len, ==, 1);
    g_assert_cmpint(network->mode, ==, VR_NETWORK_AUTO);
    g_assert_cmpuint(profile->start_timeout_s, ==, 0);
    g_assert_cmpuint(profile->stop_timeout_s, ==, 120);
    g_assert_cmpuint(profile->stop_units->len, ==, 0);
    assert_origin(profile, "machine", "memory", "16G", NULL, 0);
}

static void
test_windows_has_its_defaults(void)
{
    g_autoptr(VrProfile) profile =
        parse_good("[profile]\nguest=windows\n[disk a]\npath=/a\n[disk b]\npath=/b\nbus=virtio\n");
    const VrProfileDisk *a = g_ptr_array_index(profile->disks, 0);
    const VrProfileDisk *b = g_ptr_array_index(profile->disks, 1);

    g_assert_cmpint(profile->firmware, ==, VR_FIRMWARE_UEFI_SECURE);
    g_assert_true(profile->tpm);
    g_assert_cmpint(a->bus, ==, VR_BUS_NVME);
    g_assert_cmpint(b->bus, ==, VR_BUS_VIRTIO);
}

static void
test_machine_is_read(void)
{
    g_autoptr(VrProfile) profile =
        parse_good("[machine]\ncpus = 4\nmemory=24G\npin=10-11,2,3\nhugepages=1G\nnuma=none\n"
                   "firmware=uefi-secure\ntpm=yes\nhypervisor=qemu:///embed?root=/var/lib/x\n");

    g_assert_cmpuint(profile->cpus, ==, 4);
    g_assert_cmpuint(profile->memory_mib, ==, 24576);
    g_assert_cmpint(profile->pin, ==, VR_LISTED);
    g_assert_cmpuint(profile->pin_cpus->len, ==, 4);
    g_assert_cmpuint(g_array_index(profile->pin_cpus, unsigned, 0), ==, 10);
    g_assert_cmpuint(g_array_index(profile->pin_cpus, unsigned, 2), ==, 2);
    g_assert_cmpint(profile->hugepages, ==, VR_PAGES_1G);
    g_assert_cmpint(profile->numa, ==, VR_NONE);
    g_assert_cmpint(profile->hypervisor, ==, VR_HYPERVISOR_URI);
    g_assert_cmpstr(profile->hypervisor_uri, ==, "qemu:///embed?root=/var/lib/x");
}

static void
test_pin_list_says_how_many(void)
{
    g_autoptr(VrProfile) profile = parse_good("[machine]\npin=0-5\n");

    g_assert_cmpuint(profile->cpus, ==, 6);
}

static void
test_devices_are_read(void)
{
    g_autoptr(VrProfile) profile =
        parse_good("[pci usb]\ndevice=pci_0000_03_00_0\n[gpu]\ndevice=0000:01:00.0\n"
                   "functions=01:00.0 01:00.1\nrom=/a.rom\nallow-boot-display=yes\n"
                   "[gpu two]\ndevice=10DE:2484\nhide-hypervisor=no\nvendor-id=abc\n");
    const VrProfileDevice *first = g_ptr_array_index(profile->devices, 0);
    const VrProfileDevice *second = g_ptr_array_index(profile->devices, 1);
    const VrProfileDevice *usb = g_ptr_array_index(profile->devices, 2);

    g_assert_cmpuint(profile->devices->len, ==, 3);
    g_assert_cmpint(first->choice, ==, VR_DEVICE_ADDRESS);
    g_assert_cmpuint(first->address.bus, ==, 1);
    g_assert_cmpuint(first->functions->len, ==, 2);
    g_assert_cmpstr(first->rom, ==, "/a.rom");
    g_assert_true(first->allow_boot_display);
    g_assert_cmpstr(first->origin.file, ==, "a.conf");
    g_assert_cmpuint(first->origin.line, ==, 3);
    g_assert_cmpint(second->choice, ==, VR_DEVICE_ID);
    g_assert_cmphex(second->vendor, ==, 0x10de);
    g_assert_cmphex(second->device, ==, 0x2484);
    g_assert_cmpstr(second->name, ==, "two");
    g_assert_false(usb->is_gpu);
    g_assert_cmpuint(usb->address.bus, ==, 3);
    g_assert_false(profile->hide_hypervisor);
    g_assert_cmpstr(profile->vendor_id, ==, "abc");
}

static void
test_pci_alone_has_no_gpu(void)
{
    g_autoptr(VrProfile) profile = parse_good("[pci usb]\ndevice=03:00.0\n");

    g_assert_cmpuint(profile->devices->len, ==, 1);
    g_assert_true(profile->hide_hypervisor);
}

static void
test_disks_networks_session_are_read(void)
{
    g_autoptr(VrProfile) profile = parse_good(
        "[boot]\nkernel=/k\ninitrd=/i\ncmdline=a b=\"c\" <&>\n"
        "[cdrom c]\npath=/c.iso\nboot-order=2\n[disk d]\npath=/d é.qcow2\nformat=raw\n"
        "boot-order=1\nread-only=yes\nbus=sata\n"
        "[network n]\nmode=bridge\nsource=br0.7\nmac=52:54:00:AB:cd:01\n[network o]\nmode=none\n"
        "[session]\nstart-timeout=90\nstop-timeout=5min\nafter-stop=keep\n"
        "stop-units=a.service;b@x.socket c\\\\x2d.timer\n");
    const VrProfileDisk *disk = g_ptr_array_index(profile->disks, 0);
    const VrProfileDisk *cdrom = g_ptr_array_index(profile->disks, 1);
    const VrProfileNetwork *network = g_ptr_array_index(profile->networks, 0);

    g_assert_cmpstr(profile->cmdline, ==, "a b=\"c\" <&>");
    g_assert_cmpstr(disk->path, ==, "/d é.qcow2");
    g_assert_cmpstr(disk->format, ==, "raw");
    g_assert_cmpuint(disk->boot_order, ==, 1);
    g_assert_true(disk->read_only);
    g_assert_false(disk->is_cdrom);
    g_assert_cmpint(disk->bus, ==, VR_BUS_SATA);
    g_assert_true(cdrom->is_cdrom);
    g_assert_cmpint(cdrom->bus, ==, VR_BUS_SATA);
    g_assert_cmpint(network->mode, ==, VR_NETWORK_BRIDGE);
    g_assert_cmpstr(network->source, ==, "br0.7");
    g_assert_cmpstr(network->mac, ==, "52:54:00:ab:cd:01");
    g_assert_cmpuint(profile->networks->len, ==, 2);
    g_assert_cmpuint(profile->start_timeout_s, ==, 90);
    g_assert_cmpuint(profile->stop_timeout_s, ==, 300);
    g_assert_cmpint(profile->after_stop, ==, VR_AFTER_KEEP);
    g_assert_cmpuint(profile->stop_units->len, ==, 3);
    g_assert_cmpstr(g_ptr_array_index(profile->stop_units, 2), ==, "c\\x2d.timer");
}

static void
test_five_mistakes_are_five_lines(void)
{
    assert_mistakes("[profile]\n"
                    "guest=windws\n"
                    "[machine]\n"
                    "memory=16GB\n"
                    "[gpu]\n"
                    "devise=auto\n"
                    "[sesion]\n"
                    "stop-timeout=1\n"
                    "[disk system]\n"
                    "path=../x.img\n",
                    "a.conf:2: [profile] guest: \"windws\" is none of: linux, windows (did you "
                    "mean \"windows\"?)\n"
                    "a.conf:4: [machine] memory: \"16GB\" is not an amount of memory; write a "
                    "number with its unit, 256M to 16T, as in 16G or 16384M\n"
                    "a.conf:6: [gpu] devise: unknown key (did you mean \"device\"?)\n"
                    "a.conf:7: [sesion] unknown group (did you mean [session]?)\n"
                    "a.conf:10: [disk system] path: \"../x.img\" is not a path; write an absolute "
                    "path without \"..\", at most 1024 bytes\n");
}

static void
test_one_mistake_each(void)
{
    static const struct {
        const char *text, *words;
    } cases[] = {
        /* lines */
        {"memory=1G\n", "before the first [group]"},
        {"[machine]\nmemory=1G # enough\n", "[machine] memory: a comment stands behind"},
        {"[machine]\nmemory=1G ;enough\n", "a comment stands behind"},
        {"[machine]\nmemory=#1G\n", "a comment stands behind"},
        {"[machine] # the machine\n", "a comment needs a line of its own"},
        {"; old style\n", "a.conf:1: a comment begins with \"#\""},
        {"[machine]\nmemory\n", "neither a [group] nor key=value"},
        {"[machine]\n=1G\n", "neither a [group] nor key=value"},
        {"[machine\n", "not a group"},
        {"[]\n", "not a group"},
        {"[[machine]]\n", "not a group"},
        {"[machine]\nmemory=1G\nmemory=2G\n",
         "a.conf:3: [machine] memory: is already set in line 2"},
        {"[machine]\n[gpu]\n[machine]\n", "a.conf:3: [machine] this group is already in line 1"},
        {"[profile]\ndescription=a\\qb\n", "unknown escape"},
        {"[profile]\ndescription=a\\\n", "unknown escape"},
        {"[profile]\ndescription=a\\nb\n", "control character"},
        {"[profile]\ndescription=a\x1b[31mb\n", "control character"},
        {"[profile]\ndescription=a\rb\n", "control character"},
        {"# \x7f\n", "a.conf:1: the line has a control character"},
        {"[profile]\ndescription=\xff\xfe\n", "a.conf:2: the line is not valid UTF-8"},
        {"\xef\xbb\xbf[profile]\n", "a.conf:1: the file begins with a byte order mark"},
        /* groups */
        {"[machine big]\n", "has no name"},
        {"[disk]\n", "needs a name, as in [disk one]"},
        {"[disk ../x]\n", "a section's name"},
        {"[disk  x]\n", "a section's name"},
        {"[disk x y]\n", "a section's name"},
        {"[disk <x>]\n", "a section's name"},
        {"[disk -x]\n", "a section's name"},
        {"[disk aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa]\n", "a section's name"},
        {"[Machine]\n", "unknown group"},
        {"[disk x]\n", "a.conf:1: [disk x] path: is needed here"},
        {"[disk x]\npath=\nbus=sata\n", "path: is needed here"},
        /* keys and values */
        {"[machine]\ngovernor=keep\n", "unknown key (it belongs in [session])"},
        {"[machine]\nMemory=1G\n", "unknown key (did you mean \"memory\"?)"},
        {"[machine]\ncpus=0\n", "number of processors"},
        {"[machine]\ncpus=513\n", "number of processors"},
        {"[machine]\nmemory=255M\n", "amount of memory"},
        {"[machine]\nmemory=17T\n", "amount of memory"},
        {"[machine]\nmemory=99999999999999999999G\n", "amount of memory"},
        {"[machine]\npin=1,2,1\n", "list of processors"},
        {"[machine]\npin=3-1\n", "list of processors"},
        {"[machine]\npin=1,,2\n", "list of processors"},
        {"[machine]\npin=0-4294967295\n", "list of processors"},
        {"[machine]\ncpus=3\npin=0-3\n", "pin: names 4 processors for cpus=3"},
        {"[machine]\nmemory=1500M\nhugepages=1G\n", "is not made of whole pages of 1G"},
        {"[machine]\ntpm=true\n", "\"true\" is not yes or no"},
        {"[machine]\nhypervisor=qemu+ssh://host/system\n", "is not a hypervisor"},
        {"[machine]\nhypervisor=qemu:///embed?root=relative\n", "is not a hypervisor"},
        {"[machine]\nhypervisor=qemu:///embed?root=/a/../b\n", "is not a hypervisor"},
        {"[machine]\nhypervisor=qemu:///embed?root=/a&keyfile=/b\n", "is not a hypervisor"},
        {"[machine]\nhypervisor=qemu:///embed?root=/a23456789b123456789c123456789d123456789e\n",
         "is not a hypervisor"},
        {"[gpu]\ndevice=0000:01:00.8\n", "is not a card"},
        {"[gpu]\ndevice=10de:24\n", "is not a card"},
        {"[gpu]\ndevice=pci_0000_01_00\n", "is not a card"},
        {"[pci a]\ndevice=auto\n", "is not a PCI device"},
        {"[gpu]\nfunctions=01:00.0 01:00.0\n", "list of functions"},
        {"[gpu]\ndevice=01:00.0\nfunctions=01:00.1\n", "the card itself (device) is missing"},
        {"[gpu]\ndevice=all\nfunctions=01:00.1\n", "cannot go with device=all"},
        {"[gpu]\nvendor-id=1234567890123\n", "vendor id"},
        {"[gpu]\nvendor-id=a'/>b\n", "vendor id"},
        {"[gpu]\nrom=/a/../../etc/shadow\n", "is not a path"},
        {"[gpu]\ndevice=01:00.0\n[gpu b]\ndevice=0000:01:00.0\n",
         "a.conf:4: [gpu b] device: \"0000:01:00.0\" is already taken by [gpu]"},
        {"[gpu]\ndevice=01:00.0\n[pci b]\ndevice=0000:01:00.0\n", "is already taken by [gpu]"},
        {"[gpu]\nhide-hypervisor=no\n[gpu b]\nhide-hypervisor=yes\n",
         "a.conf:4: [gpu b] hide-hypervisor: \"yes\" holds for the whole guest, but [gpu] says"},
        {"[gpu]\nvendor-id=a\n[gpu b]\nvendor-id=b\n", "holds for the whole guest"},
        {"[gpu b]\n[gpu]\ndevice=all\n", "\"all\" takes every card"},
        {"[boot]\ninitrd=/i\n", "means nothing without kernel"},
        {"[boot]\ncmdline=quiet\n", "means nothing without kernel"},
        {"[disk a]\npath=/a\nboot-order=1\n[cdrom b]\npath=/b\nboot-order=1\n",
         "[cdrom b] boot-order: \"1\" is already taken by [disk a]"},
        {"[disk a]\npath=/a\n[disk b]\npath=/a\n", "is already taken by [disk a]"},
        {"[disk a]\npath=/\n", "is not a path"},
        {"[disk a]\npath=/a\nboot-order=0\n", "place in the order"},
        {"[disk a]\npath=/a\nformat=vmdk\n", "\"vmdk\" is none of: raw, qcow2"},
        {"[network a]\nmode=bridge\n", "\"bridge\" needs source="},
        {"[network a]\nmode=user\nsource=br0\n", "means nothing with mode=user"},
        {"[network a]\nmode=bridge\nsource=abcdefghijklmnop\n", "at most 15 characters"},
        {"[network a]\nmode=nat\nsource=a b\n", "name of an interface"},
        {"[network a]\nmac=01:00:5e:00:00:01\n", "address of one network card"},
        {"[network a]\nmac=00:00:00:00:00:00\n", "address of one network card"},
        {"[network a]\nmac=52:54:00:00:00:01\n[network b]\nmac=52:54:00:00:00:01\n",
         "is already taken by [network a]"},
        {"[session]\nstop-units=docker\n", "list of units"},
        {"[session]\nstop-units=a.service a.service\n", "list of units"},
        {"[session]\nstop-units=--now.service\n", "list of units"},
        {"[session]\nstop-units=$(reboot).service\n", "list of units"},
        {"[session]\nstop-timeout=0\n", "is not a time"},
        {"[session]\nstop-timeout=auto\n", "is not a time"},
        {"[session]\nstop-timeout=25h\n", "is not a time"},
        {"[profile]\nextends=../../etc/passwd\n", "is not the name of a profile"},
        /* valid, but without an effect */
        {"[session]\nisolate-cpus=maybe\n", "is not yes or no"},
        {"[session]\nuntrusted-guest=yes\n", "is valid, but this version of vmrun does not build"},
        {"[session]\ngovernor=ondemand\n", "performance"},
        {"[session]\nalive=ping\n", "is none of"},
        {"[session]\nalive-timeout=29s\n", "is too short"},
        {"[session]\non-host-sleep=stop\n", "does not build"},
        {"[session]\nuntrusted-guest=yes\n", "does not build"},
        {"[audio]\nbackend=pipewire\n", "does not build"},
        {"[share data]\npath=/srv\n", "does not build"},
        {"[share data]\npath=srv\n", "is not a path"},
        {"[usb pad]\ndevice=046d:c52b\n", "does not build"},
        {"[usb pad]\ndevice=1-2.3\n", "does not build"},
        {"[usb pad]\ndevice=1--2\n", "is not a USB device"},
        {"[input kbd]\nevdev=/dev/input/by-id/a\n", "does not build"},
        {"[input kbd]\nevdev=/etc/passwd\n", "is not an input device"},
        {"[looking-glass]\n", "remove the group"},
        {"[looking-glass]\nsize=64M\n", "does not build"},
        {"[looking-glass]\nsize=65M\n", "size of shared memory"},
        {"[xml]\noverlay=/a.xml\n", "does not build"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        assert_one_mistake(cases[i].text, cases[i].words);
    }
}

static void
test_nul_and_size_are_mistakes(void)
{
    static const char nul[] = "[profile]\ndescription=a\0b\n";
    g_autofree char *large = g_strnfill(64 * 1024 + 1, '#');
    g_autofree char *line = g_strnfill(4097, '#');
    const VrProfileText with_nul = {.file = "a.conf", .text = nul, .size_bytes = sizeof nul - 1};
    g_autoptr(GPtrArray) mistakes = new_mistakes();

    g_assert_null(vr_profile_parse("a", &with_nul, 1, mistakes));
    g_autofree char *text = shown(mistakes);
    g_assert_cmpstr(text, ==, "a.conf:2: the line has a NUL byte in it\n");
    assert_one_mistake(large, "a.conf: larger than 64 KiB");
    assert_one_mistake(line, "a.conf:1: the line is longer than 4096 bytes");
}

static void
test_neutral_values_are_accepted(void)
{
    g_autoptr(VrProfile) profile = parse_good("[audio]\nbackend=none\n[session]\nalive=none\n"
                                              "untrusted-guest=no\n");

    g_assert_null(find_value(profile, "session", "untrusted-guest"));
}

static void
test_blanks_and_crlf_do_not_count(void)
{
    g_autoptr(VrProfile) profile = parse_good("  # a\r\n\r\n [machine] \r\n\tmemory = 1G \t\r\n"
                                              "[profile]\ndescription=\\s#1 \\\\\\s;x\\s");

    g_assert_cmpuint(profile->memory_mib, ==, 1024);
    g_assert_cmpstr(profile->description, ==, " #1 \\ ;x ");
}

static void
test_stronger_text_wins(void)
{
    g_autoptr(VrProfile) profile =
        parse_layers("[machine]\nmemory=1G\ncpus=2\n[disk a]\npath=/a\nbus=sata\n",
                     "# b\n[machine]\nmemory=2G\n[disk a]\nbus=nvme\n", "[machine]\nmemory=3G\n");
    const VrProfileDisk *disk = g_ptr_array_index(profile->disks, 0);

    g_assert_cmpuint(profile->memory_mib, ==, 3072);
    g_assert_cmpuint(profile->cpus, ==, 2);
    g_assert_cmpint(disk->bus, ==, VR_BUS_NVME);
    g_assert_cmpstr(disk->origin.file, ==, "b.conf");
    g_assert_cmpuint(disk->origin.line, ==, 4);
    assert_origin(profile, "machine", "memory", "3G", "c.conf", 2);
    assert_origin(profile, "machine", "cpus", "2", "a.conf", 3);
    assert_origin(profile, "disk a", "bus", "nvme", "b.conf", 5);
    assert_origin(profile, "disk a", "path", "/a", "a.conf", 5);
    assert_origin(profile, "machine", "numa", "auto", NULL, 0);
}

static void
test_empty_value_unsets(void)
{
    g_autoptr(VrProfile) profile = parse_layers(
        "[machine]\nmemory=1G\n[disk a]\npath=/a\n[disk b]\npath=/b\n[gpu]\nvendor-id=x\n"
        "[session]\nisolate-cpus=yes\n",
        "[machine]\nmemory=\n[disk b]\npath=\n[gpu]\nvendor-id=\n[session]\nisolate-cpus=\n", NULL);

    g_assert_cmpuint(profile->memory_mib, ==, 16384);
    g_assert_cmpuint(profile->disks->len, ==, 1);
    g_assert_null(profile->vendor_id);
    assert_origin(profile, "machine", "memory", "16G", NULL, 0);
}

static void
test_mistakes_come_by_text_and_line(void)
{
    const char *const texts[] = {"[machine]\ncpus=x\n[boot]\ninitrd=/i\n",
                                 "[profile]\nextends=other\n[machine]\ncpus=y\n", NULL};
    g_autofree char *mistakes = NULL;

    g_assert_null(parse(texts, &mistakes));
    g_assert_cmpstr(mistakes, ==,
                    "a.conf:2: [machine] cpus: \"x\" is not a number of processors; write auto or "
                    "1 to 512\n"
                    "a.conf:4: [boot] initrd: means nothing without kernel; set it, or remove this "
                    "line\n"
                    "b.conf:2: [profile] extends: belongs in the profile itself, not in a drop-in\n"
                    "b.conf:4: [machine] cpus: \"y\" is not a number of processors; write auto or "
                    "1 to 512\n");
}

static void
test_missing_parent_hides_what_it_might_have_set(void)
{
    static const char text[] = "[profile]\nextends=b\n[disk a]\nbus=nvme\n[boot]\ninitrd=/i\n";
    const VrProfileText given = {.file = "a.conf",
                                 .text = text,
                                 .size_bytes = sizeof text - 1,
                                 .starts_file = true,
                                 .extends_problem = "there is no b"};
    g_autoptr(GPtrArray) mistakes = new_mistakes();

    g_assert_null(vr_profile_parse("a", &given, 1, mistakes));
    g_autofree char *lines = shown(mistakes);
    g_assert_cmpstr(lines, ==, "a.conf:2: [profile] extends: there is no b\n");
}

static void
test_hidden_hypervisor_holds_for_all_cards(void)
{
    g_autoptr(VrProfile) profile =
        parse_good("[gpu a]\ndevice=01:00.0\n[gpu b]\ndevice=02:00.0\nhide-hypervisor=no\n");

    g_assert_false(profile->hide_hypervisor);
    assert_origin(profile, "gpu a", "hide-hypervisor", "no", "a.conf", 5);
}

static void
test_extends_is_found_in_any_text(void)
{
    static const struct {
        const char *text, *wanted;
    } cases[] = {
        {"", NULL},
        {"extends=a\n", NULL},
        {"[profile]\nextends=a\n", "a"},
        {"[gpu]\nextends=a\n", NULL},
        {"rubbish\n[profile\n[profile]\n\xff\nextends = a", "a"},
        {"[profile]\nextends=\n", NULL},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *found = vr_profile_text_extends(cases[i].text, strlen(cases[i].text));

        g_assert_cmpstr(found, ==, cases[i].wanted);
    }
}

/* The effective values, written down, are a profile that means the same. */
static void
test_shown_profile_reads_back(void)
{
    g_autoptr(VrProfile) profile = parse_layers(
        "[profile]\nguest=windows\ndescription=\\sa \\\\ \\s#\n[gpu a]\ndevice=01:00.0\n"
        "[gpu b]\ndevice=10de:1234\nhide-hypervisor=no\n[disk x]\npath=/x y\n[cdrom y]\npath=/y\n",
        "[session]\nstop-units=a.service\n", NULL);
    g_autoptr(GString) text = g_string_new(NULL);

    for (guint i = 0; i < profile->values->len; i++) {
        const VrProfileValue *value = g_ptr_array_index(profile->values, i);
        const VrProfileValue *before = i > 0 ? g_ptr_array_index(profile->values, i - 1) : NULL;
        g_autofree char *line = vr_profile_value_write(value);

        if (before == NULL || strcmp(before->group, value->group) != 0) {
            g_string_append_printf(text, "[%s]\n", value->group);
        }
        g_string_append_printf(text, "%s\n", line);
    }

    g_autoptr(VrProfile) again = parse_good(text->str);
    g_assert_cmpstr(again->digest, ==, profile->digest);
    g_assert_cmpstr(again->description, ==, " a \\  #");
}

static void
test_digest_follows_values(void)
{
    g_autoptr(VrProfile) one = parse_good("[machine]\nmemory=1G\n");
    g_autoptr(VrProfile) same = parse_good("# x\n\n[machine]\ncpus=\nmemory=1G\n");
    g_autoptr(VrProfile) other = parse_good("[machine]\nmemory=2G\n");

    g_assert_cmpstr(one->digest, ==, same->digest);
    g_assert_cmpstr(one->digest, !=, other->digest);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/plan/profile/empty-has-defaults", test_empty_has_defaults);
    g_test_add_func("/plan/profile/windows-has-its-defaults", test_windows_has_its_defaults);
    g_test_add_func("/plan/profile/machine-is-read", test_machine_is_read);
    g_test_add_func("/plan/profile/pin-list-says-how-many", test_pin_list_says_how_many);
    g_test_add_func("/plan/profile/devices-are-read", test_devices_are_read);
    g_test_add_func("/plan/profile/pci-alone-has-no-gpu", test_pci_alone_has_no_gpu);
    g_test_add_func("/plan/profile/disks-networks-session-are-read",
                    test_disks_networks_session_are_read);
    g_test_add_func("/plan/profile/five-mistakes-are-five-lines",
                    test_five_mistakes_are_five_lines);
    g_test_add_func("/plan/profile/one-mistake-each", test_one_mistake_each);
    g_test_add_func("/plan/profile/nul-and-size-are-mistakes", test_nul_and_size_are_mistakes);
    g_test_add_func("/plan/profile/neutral-values-are-accepted", test_neutral_values_are_accepted);
    g_test_add_func("/plan/profile/blanks-and-crlf-do-not-count",
                    test_blanks_and_crlf_do_not_count);
    g_test_add_func("/plan/profile/stronger-text-wins", test_stronger_text_wins);
    g_test_add_func("/plan/profile/empty-value-unsets", test_empty_value_unsets);
    g_test_add_func("/plan/profile/mistakes-come-by-text-and-line",
                    test_mistakes_come_by_text_and_line);
    g_test_add_func("/plan/profile/missing-parent-hides-what-it-might-have-set",
                    test_missing_parent_hides_what_it_might_have_set);
    g_test_add_func("/plan/profile/hidden-hypervisor-holds-for-all-cards",
                    test_hidden_hypervisor_holds_for_all_cards);
    g_test_add_func("/plan/profile/extends-is-found-in-any-text",
                    test_extends_is_found_in_any_text);
    g_test_add_func("/plan/profile/shown-profile-reads-back", test_shown_profile_reads_back);
    g_test_add_func("/plan/profile/digest-follows-values", test_digest_follows_values);
    return g_test_run();
}
