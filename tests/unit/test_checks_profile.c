/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the checks say about a host for a profile. */
#include "../support/check_host.h"
#include "../support/rom.h"

#include <string.h>

typedef struct {
    const char *name;
    void (*change)(CheckHost *host);
    const char *id;
    VrSeverity severity;
    int exit_status;
    const char *text; /* a part of message, evidence or advice; NULL: not looked at */
} Case;

static void
nothing(CheckHost *host)
{
    (void) host;
}

static void
too_many_cpus(CheckHost *host)
{
    host->profile->cpus = 9;
}

static void
offline_cpus(CheckHost *host)
{
    host->profile->cpus = 8;
    ((VrCpu *) g_ptr_array_index(host->facts->cpus, 7))->online = false;
}

static void
all_cpus(CheckHost *host)
{
    host->profile->cpus = 8;
}

static void
more_memory_than_there_is(CheckHost *host)
{
    host->profile->memory_mib = 16384;
}

static void
more_memory_than_is_free(CheckHost *host)
{
    host->profile->memory_mib = 12000;
}

static void
memory_waits_in_pool(CheckHost *host)
{
    host->profile->memory_mib = 12288;
    host->profile->hugepages = VR_PAGES_2M;
    host->facts->memory_available_mib = 2000;
    check_host_add_pool(host, -1, 2048, 6144, 6144);
}

static void
auto_uses_whole_pool(CheckHost *host)
{
    memory_waits_in_pool(host);
    host->profile->hugepages = VR_PAGES_AUTO;
}

static void
auto_cannot_use_half_a_pool(CheckHost *host)
{
    host->profile->memory_mib = 12288;
    host->profile->hugepages = VR_PAGES_AUTO;
    check_host_add_pool(host, -1, 2048, 3000, 3000);
}

static void
pool_of_nodes_is_summed(CheckHost *host)
{
    host->profile->hugepages = VR_PAGES_2M;
    check_host_add_pool(host, 0, 2048, 2048, 2048);
    check_host_add_pool(host, 1, 2048, 2048, 2048);
}

static void
pool_is_not_counted_twice(CheckHost *host)
{
    host->profile->hugepages = VR_PAGES_2M;
    check_host_add_pool(host, -1, 2048, 2048, 2048);
    check_host_add_pool(host, 0, 2048, 2048, 2048);
}

static void
pool_can_grow(CheckHost *host)
{
    host->profile->hugepages = VR_PAGES_2M;
    check_host_add_pool(host, -1, 2048, 0, 0);
}

static void
large_pool_may_not_grow(CheckHost *host)
{
    host->profile->hugepages = VR_PAGES_1G;
    check_host_add_pool(host, -1, 1048576, 0, 0);
}

static void
pool_cannot_grow(CheckHost *host)
{
    host->profile->hugepages = VR_PAGES_2M;
    host->facts->memory_available_mib = 4000;
    check_host_add_pool(host, -1, 2048, 0, 0);
}

static void
no_such_pages(CheckHost *host)
{
    host->profile->hugepages = VR_PAGES_1G;
    check_host_add_pool(host, -1, 2048, 9999, 9999);
}

static void
held_by_program(CheckHost *host)
{
    check_host_add_holder(host, VR_HOLDER_PROCESS, 812, "/dev/dri/card1");
    check_host_add_holder(host, VR_HOLDER_PROCESS, 812, "/dev/dri/renderD129");
}

static void
held_by_service(CheckHost *host)
{
    check_host_add_holder(host, VR_HOLDER_PROCESS, 7, "/dev/nvidia0")->unit =
        g_strdup("ollama.service");
}

static void
held_by_container(CheckHost *host)
{
    check_host_add_holder(host, VR_HOLDER_PROCESS, 7, "/dev/nvidia0")->unit =
        g_strdup("container 0123456789ab");
}

static void
held_by_known_service(CheckHost *host)
{
    check_host_add_holder(host, VR_HOLDER_PROCESS, 7, "/dev/nvidia0")->unit =
        g_strdup("nvidia-persistenced.service");
}

static void
held_by_sound_server(CheckHost *host)
{
    check_host_add_holder(host, VR_HOLDER_PROCESS, 7, "/dev/snd/controlC1")->unit =
        g_strdup("wireplumber.service (user 1000)");
}

static void
held_by_unit_of_same_name_in_session(CheckHost *host)
{
    check_host_add_holder(host, VR_HOLDER_PROCESS, 7, "/dev/nvidia0")->unit =
        g_strdup("nvidia-persistenced.service (user 1000)");
}

static void
held_by_named_service(CheckHost *host)
{
    held_by_service(host);
    g_ptr_array_add(host->profile->stop_units, g_strdup("ollama"));
}

static void
held_by_vm(CheckHost *host)
{
    check_host_add_holder(host, VR_HOLDER_VFIO, 4711, "/dev/vfio/12");
}

static void
processes_unreadable(CheckHost *host)
{
    host->holders->unreadable_processes = 40;
    host->have_root = false;
}

static void
disk_on_usb_mounted(CheckHost *host)
{
    check_host_add_holder(host, VR_HOLDER_MOUNT, 0, "/mnt (sdb1)");
}

static void
default_route(CheckHost *host)
{
    check_host_add_holder(host, VR_HOLDER_NETWORK, 0, "default route (enp1s0)");
}

static void
last_keyboard(CheckHost *host)
{
    check_host_add_holder(host, VR_HOLDER_INPUT, 0, "keyboard");
    check_host_add_use(host, "keyboard", true);
}

static void
second_keyboard(CheckHost *host)
{
    check_host_add_holder(host, VR_HOLDER_INPUT, 0, "keyboard");
    check_host_add_holder(host, VR_HOLDER_INPUT, 500, "/dev/input/event7");
    check_host_add_use(host, "keyboard", false);
}

static void
busy_group(CheckHost *host)
{
    g_ptr_array_add(host->busy_groups, g_strdup("12"));
}

static void
kernel_there(CheckHost *host)
{
    check_host_add_file(host, "kernel", "/boot/vmlinuz");
}

static void
kernel_missing(CheckHost *host)
{
    check_host_add_file(host, "kernel", "/boot/vmlinuz-<x>")->exists = false;
}

static void
initrd_is_directory(CheckHost *host)
{
    check_host_add_file(host, "initrd", "/boot")->is_regular = false;
}

static void
kernel_unreadable(CheckHost *host)
{
    VrFileFact *fact = check_host_add_file(host, "kernel", "/root/vmlinuz");

    fact->exists = false;
    fact->error = g_strdup("open /root/vmlinuz: Permission denied");
}

/* A ROM of one image, and the card that it is for. */
static VrFileFact *
add_rom(CheckHost *host, uint16_t vendor, uint16_t device, uint8_t code)
{
    RomImage image = {.vendor = vendor, .device = device, .code = code};
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    VrFileFact *fact = check_host_add_file(host, "rom", "/card.rom");
    VrChosenDevice *chosen = g_new0(VrChosenDevice, 1);
    VrChosenFunction function = {check_host_function(host, "0000:01:00.0"), 0};

    rom_add(bytes, &image);
    fact->rom = vr_option_rom_parse(bytes->data, bytes->len);
    chosen->functions = g_array_new(FALSE, FALSE, sizeof(VrChosenFunction));
    g_array_append_val(chosen->functions, function);
    g_ptr_array_set_free_func(host->devices, (GDestroyNotify) vr_chosen_device_free);
    g_ptr_array_add(host->devices, chosen);
    return fact;
}

static void
rom_there(CheckHost *host)
{
    const VrPciFunction *card = check_host_function(host, "0000:01:00.0");

    add_rom(host, card->vendor, card->device, VR_ROM_EFI);
}

static void
rom_missing(CheckHost *host)
{
    check_host_add_file(host, "rom", "/card.rom")->exists = false;
}

static void
rom_is_something_else(CheckHost *host)
{
    VrFileFact *fact = check_host_add_file(host, "rom", "/card.rom");

    fact->rom = vr_option_rom_parse((const uint8_t *) "NVGI", 4);
}

static void
rom_of_another_card(CheckHost *host)
{
    add_rom(host, 0x1002, 0x73bf, VR_ROM_EFI);
}

static void
rom_without_efi(CheckHost *host)
{
    const VrPciFunction *card = check_host_function(host, "0000:01:00.0");

    add_rom(host, card->vendor, card->device, VR_ROM_X86);
}

static void
rom_of_processor_graphics(CheckHost *host)
{
    check_host_function(host, "0000:01:00.0")->vendor = 0x8086;
    add_rom(host, 0x8086, 0x0406, VR_ROM_EFI);
}

static void
disk_there(CheckHost *host)
{
    check_host_add_disk(host, "/vm/system.qcow2");
}

static void
disk_missing(CheckHost *host)
{
    check_host_add_disk(host, "/vm/system.qcow2")->exists = false;
}

static void
disk_is_directory(CheckHost *host)
{
    check_host_add_disk(host, "/vm")->is_regular = false;
}

static void
disk_mounted(CheckHost *host)
{
    VrDiskFact *fact = check_host_add_disk(host, "/dev/sdb");

    fact->is_regular = false;
    fact->is_block = true;
    fact->mounted_at = g_strdup("/dev/sdb1 is mounted at /home");
}

static void
disk_in_use(CheckHost *host)
{
    check_host_add_disk(host, "/vm/system.qcow2")->used_by = g_strdup("qemu-system-x86 (pid 812)");
}

static void
cdrom_mounted(CheckHost *host)
{
    VrDiskFact *fact = check_host_add_disk(host, "/iso/install.iso");

    ((VrProfileDisk *) g_ptr_array_index(host->profile->disks, 0))->is_cdrom = true;
    fact->mounted_at = g_strdup("it is behind loop device loop0");
}

static void
disk_unreadable(CheckHost *host)
{
    VrDiskFact *fact = check_host_add_disk(host, "/root/system.qcow2");

    fact->exists = false;
    fact->error = g_strdup("open /root/system.qcow2: Permission denied");
}

static void
disk_users_unreadable(CheckHost *host)
{
    check_host_add_disk(host, "/vm/system.qcow2")->unreadable_processes = 3;
}

static void
secure_wanted_and_missing(CheckHost *host)
{
    host->profile->firmware = VR_FIRMWARE_UEFI_SECURE;
    host->facts->ovmf_secure = false;
}

static void
tpm_wanted_and_missing(CheckHost *host)
{
    host->profile->tpm = true;
    host->facts->swtpm = false;
}

static void
system_service_wanted_and_missing(CheckHost *host)
{
    host->profile->hypervisor = VR_HYPERVISOR_SYSTEM;
    host->facts->libvirt_system_socket = false;
}

static void
system_service_missing_and_host_not_ready(CheckHost *host)
{
    system_service_wanted_and_missing(host);
    host->facts->kvm = VR_NO;
}

static void
linux_guest(CheckHost *host)
{
    host->profile->guest = VR_GUEST_LINUX;
}

static void
user_network(CheckHost *host)
{
    check_host_add_network(host, VR_NETWORK_USER);
}

static void
auto_network_without_bridge(CheckHost *host)
{
    check_host_add_network(host, VR_NETWORK_AUTO);
    g_ptr_array_set_size(host->facts->bridges, 0);
}

static void
bridge_of(CheckHost *host, const char *interface)
{
    VrProfileNetwork *network = check_host_add_network(host, VR_NETWORK_BRIDGE);

    g_free(network->source);
    network->source = g_strdup("br1");
    g_ptr_array_add(host->facts->interfaces, g_strdup(interface));
}

static void
bridge_missing(CheckHost *host)
{
    bridge_of(host, "br0");
}

static void
bridge_missing_on_an_unknown_host(CheckHost *host)
{
    bridge_of(host, "br0");
    g_ptr_array_set_size(host->facts->interfaces, 0);
    host->profile->guest = VR_GUEST_LINUX; /* only that is told */
}

static const Case cases[] = {
    {"cpus-fit", nothing, "cpus", VR_SEVERITY_OK, 0, "8 CPUs"},
    {"too-many-cpus-block", too_many_cpus, "cpus", VR_SEVERITY_BLOCKER, 6, "wants 9"},
    {"offline-cpus-do-not-count", offline_cpus, "cpus", VR_SEVERITY_BLOCKER, 6, "has 7"},
    {"all-cpus-warn", all_cpus, "cpus", VR_SEVERITY_WARNING, 0, "cpus=7"},
    {"memory-fits", nothing, "memory", VR_SEVERITY_OK, 0, "8192"},
    {"memory-beyond-total-blocks", more_memory_than_there_is, "memory", VR_SEVERITY_BLOCKER, 6,
     "MemTotal 16000"},
    {"memory-beyond-available-blocks", more_memory_than_is_free, "memory", VR_SEVERITY_BLOCKER, 6,
     "256 MiB more"},
    {"memory-in-pool-counts", memory_waits_in_pool, "memory", VR_SEVERITY_OK, 0, "12288"},
    {"auto-counts-a-whole-pool", auto_uses_whole_pool, "memory", VR_SEVERITY_OK, 0, NULL},
    {"auto-does-not-count-half-a-pool", auto_cannot_use_half_a_pool, "memory", VR_SEVERITY_BLOCKER,
     6, NULL},
    {"pages-of-nodes-are-summed", pool_of_nodes_is_summed, "hugepages", VR_SEVERITY_OK, 0, NULL},
    {"pages-are-not-counted-twice", pool_is_not_counted_twice, "hugepages", VR_SEVERITY_INFO, 0,
     "2048 huge pages are missing"},
    {"pool-that-grows-is-a-hint", pool_can_grow, "hugepages", VR_SEVERITY_INFO, 0, "4096"},
    {"pool-of-1g-that-grows-warns", large_pool_may_not_grow, "hugepages", VR_SEVERITY_WARNING, 0,
     "hugepages=8"},
    {"pool-that-cannot-grow-blocks", pool_cannot_grow, "hugepages", VR_SEVERITY_BLOCKER, 6, NULL},
    {"missing-page-size-blocks", no_such_pages, "hugepages", VR_SEVERITY_BLOCKER, 6, "1 GiB"},
    {"card-is-free", nothing, "device-held", VR_SEVERITY_OK, 0, "/proc/*/fd"},
    {"program-that-holds-is-busy", held_by_program, "device-held", VR_SEVERITY_BLOCKER, 7,
     "/proc/812/fd: /dev/dri/card1, /dev/dri/renderD129"},
    {"service-that-holds-is-busy", held_by_service, "device-held", VR_SEVERITY_BLOCKER, 7,
     "stop-units=ollama.service"},
    {"sound-server-is-told-what-to-do", held_by_sound_server, "device-held", VR_SEVERITY_BLOCKER, 7,
     "HDMI sound"},
    {"container-that-holds-is-busy", held_by_container, "device-held", VR_SEVERITY_BLOCKER, 7,
     "stop the container 0123456789ab"},
    {"known-service-is-stopped", held_by_known_service, "device-held", VR_SEVERITY_INFO, 0,
     "nvidia-persistenced.service"},
    {"unit-of-a-session-is-not-the-service", held_by_unit_of_same_name_in_session, "device-held",
     VR_SEVERITY_BLOCKER, 7, "user 1000"},
    {"named-service-is-stopped", held_by_named_service, "device-held", VR_SEVERITY_INFO, 0,
     "ollama.service"},
    {"machine-that-holds-is-busy", held_by_vm, "device-held", VR_SEVERITY_BLOCKER, 7,
     "virtual machine of process 4711"},
    {"unreadable-processes-are-unknown", processes_unreadable, "device-held", VR_SEVERITY_UNKNOWN,
     0, "40 processes"},
    {"mounted-disk-is-busy", disk_on_usb_mounted, "device-in-use", VR_SEVERITY_BLOCKER, 7,
     "/mnt (sdb1)"},
    {"default-route-blocks", default_route, "device-in-use", VR_SEVERITY_BLOCKER, 6, "enp1s0"},
    {"last-keyboard-blocks", last_keyboard, "device-in-use", VR_SEVERITY_BLOCKER, 6, "last"},
    {"second-keyboard-goes-along", second_keyboard, "device-in-use", VR_SEVERITY_INFO, 0,
     "keyboard"},
    {"open-input-is-not-held", second_keyboard, "device-held", VR_SEVERITY_OK, 0, NULL},
    {"nothing-of-the-host-in-use", nothing, "device-in-use", VR_SEVERITY_OK, 0, NULL},
    {"busy-group-is-busy", busy_group, "group-busy", VR_SEVERITY_BLOCKER, 7, "/dev/vfio/12"},
    {"free-groups", nothing, "group-busy", VR_SEVERITY_OK, 0, NULL},
    {"kernel-is-there", kernel_there, "boot-files", VR_SEVERITY_OK, 0, NULL},
    {"missing-kernel-blocks", kernel_missing, "boot-files", VR_SEVERITY_BLOCKER, 6,
     "/boot/vmlinuz-<x>"},
    {"initrd-that-is-no-file-blocks", initrd_is_directory, "boot-files", VR_SEVERITY_BLOCKER, 6,
     "not a regular file"},
    {"unreadable-kernel-is-unknown", kernel_unreadable, "boot-files", VR_SEVERITY_UNKNOWN, 0,
     "Permission denied"},
    {"rom-is-there", rom_there, "rom-file", VR_SEVERITY_OK, 0, "EFI"},
    {"missing-rom-blocks", rom_missing, "rom-file", VR_SEVERITY_BLOCKER, 6, "rom="},
    {"rom-without-signature-blocks", rom_is_something_else, "rom-file", VR_SEVERITY_BLOCKER, 6,
     "does not begin with 55 aa"},
    {"rom-of-another-card-blocks", rom_of_another_card, "rom-file", VR_SEVERITY_BLOCKER, 6,
     "1002:73bf EFI"},
    {"rom-without-efi-warns", rom_without_efi, "rom-file", VR_SEVERITY_WARNING, 0, "x86"},
    {"rom-of-processor-graphics-warns", rom_of_processor_graphics, "rom-file", VR_SEVERITY_WARNING,
     0, "8086:0406"},
    {"disk-is-there", disk_there, "disk", VR_SEVERITY_OK, 0, "[disk system]"},
    {"missing-disk-blocks", disk_missing, "disk", VR_SEVERITY_BLOCKER, 6, "qemu-img create"},
    {"disk-that-is-a-directory-blocks", disk_is_directory, "disk", VR_SEVERITY_BLOCKER, 6, NULL},
    {"mounted-disk-of-profile-is-busy", disk_mounted, "disk", VR_SEVERITY_BLOCKER, 7,
     "/dev/sdb1 is mounted at /home"},
    {"disk-with-a-writer-is-busy", disk_in_use, "disk", VR_SEVERITY_BLOCKER, 7, "pid 812"},
    {"mounted-medium-is-a-hint", cdrom_mounted, "disk", VR_SEVERITY_INFO, 0, "[cdrom system]"},
    {"unreadable-disk-is-unknown", disk_unreadable, "disk", VR_SEVERITY_UNKNOWN, 0,
     "Permission denied"},
    {"unread-writers-are-unknown", disk_users_unreadable, "disk", VR_SEVERITY_UNKNOWN, 0,
     "3 processes"},
    {"secure-firmware-missing-blocks", secure_wanted_and_missing, "secure-firmware",
     VR_SEVERITY_BLOCKER, 6, "firmware=uefi"},
    {"tpm-missing-blocks", tpm_wanted_and_missing, "tpm-emulator", VR_SEVERITY_BLOCKER, 6,
     "tpm=no"},
    {"system-service-missing-is-unreachable", system_service_wanted_and_missing, "libvirt",
     VR_SEVERITY_BLOCKER, 8, "hypervisor=auto"},
    {"unreachable-counts-only-alone", system_service_missing_and_host_not_ready, "libvirt",
     VR_SEVERITY_BLOCKER, 6, NULL},
    {"hidden-from-linux-is-a-hint", linux_guest, "hidden-kvm", VR_SEVERITY_INFO, 0,
     "hide-hypervisor=no"},
    {"bridge-missing-blocks", bridge_missing, "network-source", VR_SEVERITY_BLOCKER, 6,
     "no bridge 'br1'"},
    {"bridge-that-cannot-be-looked-for-is-none", bridge_missing_on_an_unknown_host, "hidden-kvm",
     VR_SEVERITY_INFO, 0, NULL},
    {"user-network-is-a-hint", user_network, "network-reach", VR_SEVERITY_INFO, 0,
     "nothing outside can reach it"},
    {"auto-network-may-fall-back", auto_network_without_bridge, "network-reach", VR_SEVERITY_INFO,
     0, "unless"},
};

static bool
says(const VrFinding *finding, const char *part)
{
    const char *texts[] = {finding->subject, finding->message, finding->evidence, finding->advice};

    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        if (texts[i] != NULL && strstr(texts[i], part) != NULL) {
            return true;
        }
    }
    return false;
}

static void
test_case(gconstpointer data)
{
    const Case *row = data;
    g_autoptr(CheckHost) host = check_host_new();

    host->with_profile = true;
    row->change(host);
    g_autoptr(VrReport) report = check_host_report(host);
    const VrFinding *finding = check_find(report, row->id, (int) row->severity);
    g_assert_nonnull(finding);
    g_assert_cmpint(vr_report_exit_status(report), ==, row->exit_status);
    if (row->text != NULL && !says(finding, row->text)) {
        g_test_message("\"%s\" does not say \"%s\"", finding->message, row->text);
        g_test_fail();
    }
}

/* What a profile does not ask for is not missing, and says nothing. */
static void
test_unwanted_parts_may_be_missing(void)
{
    static const char *const silent[] = {"secure-firmware", "tpm-emulator", "hugepages",
                                         "boot-files",      "rom-file",     "disk",
                                         "network-reach",   "hidden-kvm"};
    g_autoptr(CheckHost) host = check_host_new();

    host->with_profile = true;
    host->facts->ovmf_secure = host->facts->swtpm = false;
    check_host_add_network(host, VR_NETWORK_AUTO);
    check_host_add_network(host, VR_NETWORK_NONE);
    g_autoptr(VrReport) report = check_host_report(host);
    g_assert_cmpint(vr_report_exit_status(report), ==, 0);
    for (size_t i = 0; i < G_N_ELEMENTS(silent); i++) {
        g_assert_null(check_find(report, silent[i], -1));
    }
}

static void
test_one_process_is_one_finding(void)
{
    g_autoptr(CheckHost) host = check_host_new();
    unsigned count = 0;

    host->with_profile = true;
    held_by_program(host);
    check_host_add_holder(host, VR_HOLDER_PROCESS, 813, "/dev/dri/card1");
    g_autoptr(VrReport) report = check_host_report(host);
    for (guint i = 0; i < report->findings->len; i++) {
        const VrFinding *finding = g_ptr_array_index(report->findings, i);
        count += g_str_equal(finding->id, "device-held");
    }
    g_assert_cmpuint(count, ==, 2);
}

static void
test_other_drivers_of_libvirt_are_not_judged(void)
{
    g_autoptr(CheckHost) host = check_host_new();

    host->with_profile = true;
    host->facts->libvirt_system_socket = false;
    host->profile->hypervisor = VR_HYPERVISOR_EMBEDDED;
    g_autoptr(VrReport) report = check_host_report(host);
    g_assert_null(check_find(report, "libvirt", -1));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/plan/checks/unwanted-parts-may-be-missing",
                    test_unwanted_parts_may_be_missing);
    g_test_add_func("/plan/checks/one-process-is-one-finding", test_one_process_is_one_finding);
    g_test_add_func("/plan/checks/other-drivers-of-libvirt-are-not-judged",
                    test_other_drivers_of_libvirt_are_not_judged);
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *path = g_strdup_printf("/plan/checks/profile/%s", cases[i].name);
        g_test_add_data_func(path, &cases[i], test_case);
    }
    return g_test_run();
}
