/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the checks say about a host without a profile. */
#include "../support/check_host.h"

#include <string.h>

typedef struct {
    const char *name;
    void (*change)(CheckHost *host);
    const char *id;
    VrSeverity severity;
    VrRemedy remedy;
    const char *evidence, *advice; /* parts of the texts; NULL: not looked at */
} Case;

static void
iommu_off_in_firmware(CheckHost *host)
{
    host->facts->iommu = host->facts->iommu_in_firmware_tables = false;
}

static void
iommu_off_in_firmware_of_amd(CheckHost *host)
{
    iommu_off_in_firmware(host);
    host->facts->cpu_is_intel = false;
    host->facts->cpu_is_amd = true;
}

static void
iommu_off_in_virtual_machine(CheckHost *host)
{
    iommu_off_in_firmware(host);
    host->facts->is_virtual_machine = true;
}

static void
iommu_off_by_parameter(CheckHost *host)
{
    host->facts->iommu = false;
    check_host_add_parameter(host, "intel_iommu", "off");
}

static void
iommu_off_without_parameter(CheckHost *host)
{
    host->facts->iommu = false;
}

static void
iommu_off_on_amd(CheckHost *host)
{
    host->facts->iommu = host->facts->cpu_is_intel = false;
    host->facts->cpu_is_amd = true;
}

static void
functions_unlisted(CheckHost *host)
{
    host->facts->iommu = false;
    host->facts->functions_error = g_strdup("list /sys/bus/pci/devices: Permission denied");
}

static void
function_unreadable(CheckHost *host)
{
    check_host_function(host, "0000:01:00.1")->unreadable = VR_PCI_UNREADABLE_GROUP;
}

static void
no_remapping(CheckHost *host)
{
    host->facts->interrupt_remapping = VR_NO;
}

static void
remapping_switched_off(CheckHost *host)
{
    no_remapping(host);
    check_host_add_parameter(host, "intremap", "off");
}

static void
remapping_not_told(CheckHost *host)
{
    host->facts->interrupt_remapping = VR_UNKNOWN;
}

static void
unsafe_interrupts(CheckHost *host)
{
    no_remapping(host);
    host->facts->unsafe_interrupts = true;
}

static void
acs_override(CheckHost *host)
{
    check_host_add_parameter(host, "pcie_acs_override", "downstream,multifunction");
}

static void
vfio_missing(CheckHost *host)
{
    host->facts->vfio_pci = VR_MODULE_MISSING;
}

static void
vfio_blacklisted(CheckHost *host)
{
    host->facts->vfio_pci = VR_MODULE_BLACKLISTED;
}

static void
ids_of_card(CheckHost *host)
{
    host->facts->vfio_pci_ids = g_strdup("10de:2484,10de:228b");
}

static void
ids_of_nothing(CheckHost *host)
{
    check_host_add_parameter(host, "vfio_pci.ids", "1002:ffff");
}

static void
ids_that_are_none(CheckHost *host)
{
    check_host_add_parameter(host, "vfio-pci.ids", "rubbish%n");
}

static void
kvm_missing(CheckHost *host)
{
    host->facts->kvm = VR_NO;
}

static void
kvm_off_in_firmware(CheckHost *host)
{
    host->facts->kvm = VR_NO;
    host->facts->cpu_has_virtualisation = false;
}

static void
kvm_closed(CheckHost *host)
{
    host->facts->kvm_usable = VR_NO;
}

static void
kvm_not_told(CheckHost *host)
{
    host->facts->kvm_usable = VR_UNKNOWN;
}

static void
kvm_presence_not_told(CheckHost *host)
{
    host->facts->kvm = VR_UNKNOWN;
}

static void
qemu_missing(CheckHost *host)
{
    g_clear_pointer(&host->facts->qemu_binary, g_free);
}

static void
ovmf_missing(CheckHost *host)
{
    host->facts->ovmf = host->facts->ovmf_secure = false;
}

static void
swtpm_missing(CheckHost *host)
{
    host->facts->swtpm = false;
}

static void
socket_missing(CheckHost *host)
{
    host->facts->libvirt_system_socket = false;
}

static void
card_gone(CheckHost *host)
{
    g_ptr_array_set_size(host->facts->functions, 2);
}

static void
group_shared(CheckHost *host)
{
    check_host_add_function(host, "0000:02:00.0", 0x010802, 12);
}

static void
card_on_vfio(CheckHost *host)
{
    VrPciFunction *card = check_host_function(host, "0000:01:00.0");

    g_free(card->driver);
    card->driver = g_strdup("vfio-pci");
}

static void
card_on_vfio_busy(CheckHost *host)
{
    card_on_vfio(host);
    g_ptr_array_add(host->busy_groups, g_strdup("12"));
}

static void
card_on_vfio_claimed(CheckHost *host)
{
    card_on_vfio(host);
    g_array_append_val(host->claimed, check_host_function(host, "0000:01:00.0")->address);
}

static void
card_on_vfio_by_ids(CheckHost *host)
{
    card_on_vfio(host);
    check_host_add_parameter(host, "vfio-pci.ids", "10de:2484");
}

static void
card_on_vfio_unread(CheckHost *host)
{
    card_on_vfio(host);
    host->with_claimed = false;
}

static void
cpus_unknown(CheckHost *host)
{
    g_ptr_array_set_size(host->facts->cpus, 0);
}

static void
memory_unknown(CheckHost *host)
{
    host->facts->memory_total_mib = 0;
}

static void
csm_boot(CheckHost *host)
{
    host->facts->uefi = false;
}

static void
firmware_not_told(CheckHost *host)
{
    csm_boot(host);
    g_clear_pointer(&host->facts->computer, g_free);
    g_clear_pointer(&host->facts->bios_version, g_free);
}

static void
command_line_not_told(CheckHost *host)
{
    g_ptr_array_set_size(host->facts->parameters, 0);
}

static void
kernel_not_told(CheckHost *host)
{
    host->facts->vfio_pci = VR_MODULE_MISSING;
    g_clear_pointer(&host->facts->kernel_release, g_free);
}

static void
only_graphics(CheckHost *host)
{
    g_ptr_array_remove_index(host->facts->functions, 1);
    check_host_function(host, "0000:01:00.0")->boot_vga = VR_YES;
}

static void
only_integrated_is_free(CheckHost *host)
{
    check_host_function(host, "0000:00:02.0")->boot_vga = VR_NO;
    check_host_function(host, "0000:01:00.0")->boot_vga = VR_YES;
}

static void
virtual_machine(CheckHost *host)
{
    host->facts->is_virtual_machine = true;
}

static const Case cases[] = {
    {"firmware-iommu-names-vt-d", iommu_off_in_firmware, "iommu-enabled", VR_SEVERITY_BLOCKER,
     VR_REMEDY_FIRMWARE, "DMAR", "Intel VT-d"},
    {"firmware-iommu-names-amd-menu", iommu_off_in_firmware_of_amd, "iommu-enabled",
     VR_SEVERITY_BLOCKER, VR_REMEDY_FIRMWARE, "IVRS", "Enabled, not Auto"},
    {"iommu-of-virtual-machine-is-its-hosts", iommu_off_in_virtual_machine, "iommu-enabled",
     VR_SEVERITY_BLOCKER, VR_REMEDY_FIRMWARE, NULL, "settings of its host"},
    {"parameter-that-turns-iommu-off-is-named", iommu_off_by_parameter, "iommu-enabled",
     VR_SEVERITY_BLOCKER, VR_REMEDY_OS, "intel_iommu=off", "remove intel_iommu=off"},
    {"intel-kernel-needs-parameter", iommu_off_without_parameter, "iommu-enabled",
     VR_SEVERITY_BLOCKER, VR_REMEDY_OS, "DMAR", "intel_iommu=on"},
    {"amd-kernel-needs-none", iommu_off_on_amd, "iommu-enabled", VR_SEVERITY_BLOCKER, VR_REMEDY_OS,
     NULL, "AMD needs no kernel option"},
    {"unlisted-functions-are-unknown", functions_unlisted, "pci-functions", VR_SEVERITY_UNKNOWN,
     VR_REMEDY_OS, "Permission denied", NULL},
    {"iommu-unknown-without-functions", functions_unlisted, "iommu-enabled", VR_SEVERITY_UNKNOWN,
     VR_REMEDY_NONE, "Permission denied", NULL},
    {"unreadable-function-is-unknown", function_unreadable, "pci-functions", VR_SEVERITY_UNKNOWN,
     VR_REMEDY_OS, NULL, NULL},
    {"no-interrupt-remapping-blocks", no_remapping, "interrupt-remapping", VR_SEVERITY_BLOCKER,
     VR_REMEDY_FIRMWARE, "/proc/interrupts", NULL},
    {"remapping-switched-off-blocks", remapping_switched_off, "interrupt-remapping",
     VR_SEVERITY_BLOCKER, VR_REMEDY_OS, "/proc/cmdline", "intremap=off"},
    {"remapping-not-told-is-unknown", remapping_not_told, "interrupt-remapping",
     VR_SEVERITY_UNKNOWN, VR_REMEDY_NONE, "/proc/interrupts", NULL},
    {"remapping-unknown-while-iommu-off", iommu_off_in_firmware, "interrupt-remapping",
     VR_SEVERITY_UNKNOWN, VR_REMEDY_NONE, NULL, NULL},
    {"unsafe-interrupts-warn", unsafe_interrupts, "interrupt-remapping", VR_SEVERITY_WARNING,
     VR_REMEDY_OS, "allow_unsafe_interrupts", "remove"},
    {"acs-override-warns", acs_override, "acs-override", VR_SEVERITY_WARNING, VR_REMEDY_OS,
     "downstream,multifunction", NULL},
    {"vfio-missing-blocks", vfio_missing, "vfio-pci", VR_SEVERITY_BLOCKER, VR_REMEDY_OS,
     "6.1.0-37-amd64: missing", "linux-image-amd64"},
    {"vfio-blacklisted-blocks", vfio_blacklisted, "vfio-pci", VR_SEVERITY_BLOCKER, VR_REMEDY_OS,
     "blacklisted", "/etc/modprobe.d"},
    {"ids-name-the-card", ids_of_card, "vfio-ids", VR_SEVERITY_INFO, VR_REMEDY_OS, "10de:2484",
     NULL},
    {"ids-without-a-device-are-named", ids_of_nothing, "vfio-ids", VR_SEVERITY_INFO, VR_REMEDY_OS,
     "1002:ffff", "correct"},
    {"ids-that-are-none-are-shown", ids_that_are_none, "vfio-ids", VR_SEVERITY_INFO, VR_REMEDY_OS,
     "rubbish%n", NULL},
    {"kvm-missing-names-module", kvm_missing, "kvm", VR_SEVERITY_BLOCKER, VR_REMEDY_OS, "/dev/kvm",
     "modprobe kvm_intel"},
    {"kvm-off-names-bios-menu", kvm_off_in_firmware, "kvm", VR_SEVERITY_BLOCKER, VR_REMEDY_FIRMWARE,
     "neither", "VT-x"},
    {"kvm-closed-to-qemus-user-blocks", kvm_closed, "kvm", VR_SEVERITY_BLOCKER, VR_REMEDY_OS,
     "mode 0660", "libvirt-qemu"},
    {"kvm-access-not-told-is-unknown", kvm_not_told, "kvm", VR_SEVERITY_UNKNOWN, VR_REMEDY_OS, NULL,
     NULL},
    {"kvm-not-told-is-unknown", kvm_presence_not_told, "kvm", VR_SEVERITY_UNKNOWN, VR_REMEDY_OS,
     NULL, NULL},
    {"qemu-missing-blocks", qemu_missing, "qemu", VR_SEVERITY_BLOCKER, VR_REMEDY_OS, NULL,
     "apt install qemu-system-x86"},
    {"ovmf-missing-blocks", ovmf_missing, "guest-firmware", VR_SEVERITY_BLOCKER, VR_REMEDY_OS, NULL,
     "apt install ovmf"},
    {"secure-firmware-missing-is-a-hint", ovmf_missing, "secure-firmware", VR_SEVERITY_INFO,
     VR_REMEDY_OS, NULL, NULL},
    {"swtpm-missing-is-a-hint", swtpm_missing, "tpm-emulator", VR_SEVERITY_INFO, VR_REMEDY_OS, NULL,
     "swtpm"},
    {"no-libvirt-service-is-a-hint", socket_missing, "libvirt", VR_SEVERITY_INFO, VR_REMEDY_NONE,
     NULL, NULL},
    {"no-usable-card-blocks", card_gone, "graphics-cards", VR_SEVERITY_BLOCKER, VR_REMEDY_HARDWARE,
     "(PCI base class 03): 1", "allow-boot-display"},
    {"shared-group-blocks", group_shared, "graphics-cards", VR_SEVERITY_BLOCKER, VR_REMEDY_HARDWARE,
     NULL, "another slot"},
    {"card-left-on-vfio-warns", card_on_vfio, "card-left-on-vfio", VR_SEVERITY_WARNING,
     VR_REMEDY_OS, "/dev/vfio/12", "pci_0000_01_00_0"},
    {"card-in-use-on-vfio-is-no-fault", card_on_vfio_busy, "card-left-on-vfio", VR_SEVERITY_INFO,
     VR_REMEDY_NONE, "busy", NULL},
    {"card-of-a-journal-is-no-fault", card_on_vfio_claimed, "card-left-on-vfio", VR_SEVERITY_OK,
     VR_REMEDY_NONE, "journal", NULL},
    {"card-kept-by-ids-is-no-fault", card_on_vfio_by_ids, "card-left-on-vfio", VR_SEVERITY_OK,
     VR_REMEDY_NONE, "ids", NULL},
    {"unread-journals-leave-it-unknown", card_on_vfio_unread, "card-left-on-vfio",
     VR_SEVERITY_UNKNOWN, VR_REMEDY_OS, "journal", "root"},
    {"cpus-not-told-are-unknown", cpus_unknown, "cpus", VR_SEVERITY_UNKNOWN, VR_REMEDY_NONE, NULL,
     NULL},
    {"memory-not-told-is-unknown", memory_unknown, "memory", VR_SEVERITY_UNKNOWN, VR_REMEDY_NONE,
     NULL, NULL},
    {"csm-is-a-hint", csm_boot, "host-boot", VR_SEVERITY_INFO, VR_REMEDY_FIRMWARE, "missing",
     "CSM"},
    {"firmware-not-told-is-unknown", firmware_not_told, "host-boot", VR_SEVERITY_UNKNOWN,
     VR_REMEDY_NONE, "not told", NULL},
    {"computer-not-told-is-unknown", firmware_not_told, "inside-vm", VR_SEVERITY_UNKNOWN,
     VR_REMEDY_NONE, "not told", NULL},
    {"acs-unknown-without-command-line", command_line_not_told, "acs-override", VR_SEVERITY_UNKNOWN,
     VR_REMEDY_NONE, "/proc/cmdline", NULL},
    {"ids-unknown-without-command-line", command_line_not_told, "vfio-ids", VR_SEVERITY_UNKNOWN,
     VR_REMEDY_NONE, "/proc/cmdline", NULL},
    {"vfio-unknown-without-kernel", kernel_not_told, "vfio-pci", VR_SEVERITY_UNKNOWN,
     VR_REMEDY_NONE, NULL, NULL},
    {"only-graphics-needs-another", only_graphics, "graphics-cards", VR_SEVERITY_BLOCKER,
     VR_REMEDY_HARDWARE, NULL, "second card"},
    {"only-integrated-free-warns", only_integrated_is_free, "graphics-cards", VR_SEVERITY_WARNING,
     VR_REMEDY_PROFILE, NULL, "device="},
    {"virtual-machine-is-a-hint", virtual_machine, "inside-vm", VR_SEVERITY_INFO, VR_REMEDY_NONE,
     NULL, NULL},
};

static void
assert_part(const char *text, const char *part)
{
    if (part != NULL && (text == NULL || strstr(text, part) == NULL)) {
        g_test_message("\"%s\" does not say \"%s\"", text != NULL ? text : "(nothing)", part);
        g_test_fail();
    }
}

static void
test_case(gconstpointer data)
{
    const Case *row = data;
    g_autoptr(CheckHost) host = check_host_new();

    row->change(host);
    g_autoptr(VrReport) report = check_host_report(host);
    const VrFinding *finding = check_find(report, row->id, (int) row->severity);
    g_assert_nonnull(finding);
    g_assert_cmpint((int) finding->remedy, ==, (int) row->remedy);
    assert_part(finding->evidence, row->evidence);
    assert_part(finding->advice, row->advice);
    if (row->severity == VR_SEVERITY_BLOCKER) {
        g_assert_cmpint(vr_report_exit_status(report), ==, VR_ERROR_HOST_NOT_READY);
        g_assert_nonnull(finding->advice);
    }
}

/* Every check has something good to say about a good host, and no more than that. */
static void
test_good_host_passes(void)
{
    g_autoptr(CheckHost) host = check_host_new();
    g_autoptr(VrReport) report = check_host_report(host);

    g_assert_cmpint(vr_report_exit_status(report), ==, 0);
    for (guint i = 0; i < report->findings->len; i++) {
        const VrFinding *finding = g_ptr_array_index(report->findings, i);
        g_assert_cmpint((int) finding->severity, <=, (int) VR_SEVERITY_INFO);
        g_assert_nonnull(finding->evidence);
    }
    for (const VrCheck *row = vr_checks(); row->id != NULL; row++) {
        g_assert_cmpint(row->needs_profile, ==,
                        check_find(report, row->id, (int) VR_SEVERITY_OK) == NULL);
    }
}

static void
test_unasked_facts_are_not_judged(void)
{
    g_autoptr(CheckHost) host = check_host_new();

    host->facts->mask = 0;
    g_autoptr(VrReport) report = check_host_report(host);
    g_assert_cmpuint(report->findings->len, ==, 0);
}

static void
test_ids_are_distinct(void)
{
    for (const VrCheck *row = vr_checks(); row->id != NULL; row++) {
        g_assert_nonnull(row->title);
        g_assert_cmpuint(strlen(row->title), <=, 22);
        for (const VrCheck *other = row + 1; other->id != NULL; other++) {
            g_assert_cmpstr(row->id, !=, other->id);
        }
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/plan/checks/good-host-passes", test_good_host_passes);
    g_test_add_func("/plan/checks/unasked-facts-are-not-judged", test_unasked_facts_are_not_judged);
    g_test_add_func("/plan/checks/ids-are-distinct", test_ids_are_distinct);
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *path = g_strdup_printf("/plan/checks/host/%s", cases[i].name);
        g_test_add_data_func(path, &cases[i], test_case);
    }
    return g_test_run();
}
