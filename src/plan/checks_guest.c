/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "plan/check_rows.h"

#include <vmrun/domain_xml.h>

static const char *
kvm_evidence(const VrHostFacts *facts)
{
    return facts->kvm_evidence != NULL ? facts->kvm_evidence : "/dev/kvm";
}

static char *
kvm_missing_advice(const VrHostFacts *facts)
{
    if (facts->cpu_has_virtualisation) {
        return g_strdup_printf("modprobe %s, and read what the kernel says in dmesg if that fails",
                               facts->cpu_is_amd ? "kvm_amd" : "kvm_intel");
    }
    if (facts->is_virtual_machine) {
        return g_strdup("switch on nested virtualisation for this virtual machine on its host");
    }
    return g_strdup_printf("switch on %s in the BIOS set-up",
                           facts->cpu_is_amd     ? "\"SVM Mode\""
                           : facts->cpu_is_intel ? "\"Intel Virtualization Technology\" (VT-x)"
                                                 : "virtualisation");
}

static void
check_kvm_usable(const VrHostFacts *facts, VrReport *report)
{
    const char *user = facts->qemu_user != NULL ? facts->qemu_user : "?";

    if (facts->kvm_usable == VR_YES) {
        vr_check_ok(report, "kvm", g_strdup_printf("KVM is there, and open to the user %s", user),
                    g_strdup(kvm_evidence(facts)));
    } else if (facts->kvm_usable == VR_NO) {
        vr_report_add(
            report, "kvm", VR_SEVERITY_BLOCKER, VR_REMEDY_OS, NULL,
            g_strdup_printf("KVM is there, but not open to the user %s that QEMU runs as", user),
            g_strdup(kvm_evidence(facts)),
            g_strdup_printf("give the node back to the group kvm (chgrp kvm /dev/kvm; "
                            "chmod 0660 /dev/kvm) and put %s into it (usermod -aG kvm %s); "
                            "udev does the former at boot",
                            user, user));
    } else {
        vr_report_add(report, "kvm", VR_SEVERITY_UNKNOWN, VR_REMEDY_OS, NULL,
                      g_strdup("whether QEMU may use KVM could not be found out"),
                      g_strdup(kvm_evidence(facts)), g_strdup("run this as root"));
    }
}

void
vr_check_kvm(const VrCheckInput *input, VrReport *report)
{
    const VrHostFacts *facts = input->facts;

    if (!vr_check_knows(input, VR_FACTS_VIRTUALISATION)) {
        return;
    }
    if (facts->kvm == VR_YES) {
        check_kvm_usable(facts, report);
    } else if (facts->kvm == VR_NO) {
        bool knows_cpu = vr_check_knows(input, VR_FACTS_CPU);
        vr_report_add(report, "kvm", VR_SEVERITY_BLOCKER,
                      facts->cpu_has_virtualisation ? VR_REMEDY_OS : VR_REMEDY_FIRMWARE, NULL,
                      g_strdup("KVM is missing: guests cannot run on the processor itself"),
                      g_strdup_printf("%s%s", kvm_evidence(facts),
                                      !knows_cpu ? ""
                                      : facts->cpu_has_virtualisation
                                          ? "; /proc/cpuinfo has svm or vmx"
                                          : "; /proc/cpuinfo has neither "
                                            "svm nor vmx"),
                      kvm_missing_advice(facts));
    } else {
        vr_report_add(report, "kvm", VR_SEVERITY_UNKNOWN, VR_REMEDY_OS, NULL,
                      g_strdup("whether KVM is there could not be found out"),
                      g_strdup(kvm_evidence(facts)), g_strdup("run this as root"));
    }
}

void
vr_check_qemu(const VrCheckInput *input, VrReport *report)
{
    if (!vr_check_knows(input, VR_FACTS_VIRTUALISATION)) {
        return;
    }
    if (input->facts->qemu_binary != NULL) {
        vr_check_ok(report, "qemu", g_strdup("QEMU is installed"),
                    g_strdup(input->facts->qemu_binary));
        return;
    }
    vr_report_add(report, "qemu", VR_SEVERITY_BLOCKER, VR_REMEDY_OS, NULL,
                  g_strdup("QEMU is not installed"),
                  g_strdup("no qemu-system-x86_64 or qemu-kvm where distributions put it"),
                  g_strdup_printf(VR_CHECK_INSTALL, "qemu-system-x86", "qemu-system-x86"));
}

void
vr_check_guest_firmware(const VrCheckInput *input, VrReport *report)
{
    if (!vr_check_knows(input, VR_FACTS_VIRTUALISATION)) {
        return;
    }
    if (input->facts->ovmf) {
        vr_check_ok(report, "guest-firmware", g_strdup("UEFI firmware for guests is installed"),
                    g_strdup("/usr/share/qemu/firmware: a descriptor of OVMF"));
        return;
    }
    vr_report_add(report, "guest-firmware", VR_SEVERITY_BLOCKER, VR_REMEDY_OS, NULL,
                  g_strdup("UEFI firmware for guests (OVMF) is not installed"),
                  g_strdup("/usr/share/qemu/firmware, /etc/qemu/firmware: no descriptor of it"),
                  g_strdup_printf(VR_CHECK_INSTALL, "ovmf", "ovmf"));
}

void
vr_check_secure_firmware(const VrCheckInput *input, VrReport *report)
{
    if (!vr_check_knows(input, VR_FACTS_VIRTUALISATION)) {
        return;
    }
    bool wanted = input->profile != NULL && input->profile->firmware == VR_FIRMWARE_UEFI_SECURE;
    if (input->facts->ovmf_secure) {
        vr_check_ok(report, "secure-firmware", g_strdup("guests can have Secure Boot"),
                    g_strdup("/usr/share/qemu/firmware: a descriptor with secure-boot and "
                             "enrolled-keys"));
    } else if (wanted || input->profile == NULL) {
        vr_report_add(report, "secure-firmware", wanted ? VR_SEVERITY_BLOCKER : VR_SEVERITY_INFO,
                      VR_REMEDY_OS, NULL,
                      g_strdup("no firmware with Secure Boot for guests is installed"),
                      g_strdup("/usr/share/qemu/firmware: no descriptor with secure-boot and "
                               "enrolled-keys"),
                      wanted ? g_strdup("install it (Debian: apt install ovmf), or write "
                                        "firmware=uefi under [machine]")
                             : g_strdup("Windows 11 wants it: apt install ovmf on Debian"));
    }
}

void
vr_check_tpm_emulator(const VrCheckInput *input, VrReport *report)
{
    if (!vr_check_knows(input, VR_FACTS_VIRTUALISATION)) {
        return;
    }
    bool wanted = input->profile != NULL && input->profile->tpm;
    if (input->facts->swtpm) {
        vr_check_ok(report, "tpm-emulator", g_strdup("guests can have a TPM"),
                    g_strdup("swtpm and swtpm_setup are installed"));
    } else if (wanted || input->profile == NULL) {
        vr_report_add(report, "tpm-emulator", wanted ? VR_SEVERITY_BLOCKER : VR_SEVERITY_INFO,
                      VR_REMEDY_OS, NULL, g_strdup("no TPM for guests is installed"),
                      g_strdup("swtpm and swtpm_setup are not both there"),
                      wanted ? g_strdup("install it (Debian: apt install swtpm swtpm-tools), or "
                                        "write tpm=no under [machine]")
                             : g_strdup("Windows 11 wants it: apt install swtpm swtpm-tools on "
                                        "Debian"));
    }
}

static void
add_libvirt_needed(const VrHostFacts *facts, VrReport *report)
{
    VrFinding *finding = vr_report_add(
        report, "libvirt", VR_SEVERITY_BLOCKER, VR_REMEDY_OS, NULL,
        g_strdup("the profile wants libvirt's system service, which does not listen"),
        g_strdup_printf("%s: no socket", facts->libvirt_socket_path != NULL
                                             ? facts->libvirt_socket_path
                                             : "/run/libvirt"),
        g_strdup("install and start it (Debian: apt install libvirt-daemon-system; systemctl start "
                 "libvirtd), or write hypervisor=auto under [machine]"));
    finding->status = VR_ERROR_UNREACHABLE;
}

void
vr_check_libvirt(const VrCheckInput *input, VrReport *report)
{
    const VrHostFacts *facts = input->facts;

    if (!vr_check_knows(input, VR_FACTS_VIRTUALISATION)) {
        return;
    }
    if (input->profile != NULL && (input->profile->hypervisor == VR_HYPERVISOR_EMBEDDED ||
                                   input->profile->hypervisor == VR_HYPERVISOR_URI)) {
        return;
    }
    if (facts->libvirt_system_socket) {
        vr_check_ok(report, "libvirt", g_strdup("libvirt's system service listens"),
                    g_strdup_printf("%s: a socket", facts->libvirt_socket_path != NULL
                                                        ? facts->libvirt_socket_path
                                                        : "/run/libvirt"));
    } else if (input->profile != NULL && input->profile->hypervisor == VR_HYPERVISOR_SYSTEM) {
        add_libvirt_needed(facts, report);
    } else {
        vr_report_add(
            report, "libvirt", VR_SEVERITY_INFO, VR_REMEDY_NONE, NULL,
            g_strdup("libvirt's system service does not run: vmrun starts libvirt's driver "
                     "inside of itself"),
            g_strdup("/run/libvirt: no socket"), NULL);
    }
}

void
vr_check_hidden_kvm(const VrCheckInput *input, VrReport *report)
{
    if (input->profile->guest != VR_GUEST_LINUX || !input->profile->hide_hypervisor) {
        return;
    }
    vr_report_add(report, "hidden-kvm", VR_SEVERITY_INFO, VR_REMEDY_PROFILE, NULL,
                  g_strdup("KVM is hidden from a Linux guest, which then does without its faster "
                           "clock and interrupts"),
                  g_strdup("[gpu] hide-hypervisor=yes (the default), guest=linux"),
                  g_strdup("write hide-hypervisor=no under [gpu] if the guest's driver does not "
                           "mind: those of Linux seldom do"));
}

/* An empty list: the interfaces could not be read. */
static bool
is_missing(const VrHostFacts *facts, const char *interface)
{
    return interface != NULL && facts->interfaces->len > 0 &&
           !g_ptr_array_find_with_equal_func(facts->interfaces, interface, g_str_equal, NULL);
}

void
vr_check_network_source(const VrCheckInput *input, VrReport *report)
{
    for (guint i = 0; i < input->profile->networks->len; i++) {
        const VrProfileNetwork *network = g_ptr_array_index(input->profile->networks, i);
        bool is_bridge = network->mode == VR_NETWORK_BRIDGE;
        if ((!is_bridge && network->mode != VR_NETWORK_MACVTAP) ||
            !vr_check_knows(input, VR_FACTS_NETWORK) ||
            !is_missing(input->facts, network->source)) {
            continue;
        }
        vr_report_add(report, "network-source", VR_SEVERITY_BLOCKER, VR_REMEDY_PROFILE,
                      g_strdup(network->name),
                      g_strdup_printf("this computer has no %s '%s'",
                                      is_bridge ? "bridge" : "network interface", network->source),
                      g_strdup_printf("/sys/class/net: no %s", network->source),
                      g_strdup_printf("correct source= under [network %s], or set the %s up",
                                      network->name, is_bridge ? "bridge" : "interface"));
    }
}

void
vr_check_network_reach(const VrCheckInput *input, VrReport *report)
{
    for (guint i = 0; i < input->profile->networks->len; i++) {
        const VrProfileNetwork *network = g_ptr_array_index(input->profile->networks, i);
        const char *source = NULL;
        bool falls_back =
            network->mode == VR_NETWORK_AUTO && vr_check_knows(input, VR_FACTS_NETWORK) &&
            vr_network_resolve(network, input->facts, false, &source) == VR_NETWORK_USER;
        if (network->mode != VR_NETWORK_USER && !falls_back) {
            continue;
        }
        vr_report_add(
            report, "network-reach", VR_SEVERITY_INFO, VR_REMEDY_PROFILE, g_strdup(network->name),
            g_strdup_printf("the guest can reach out, but nothing outside can reach it%s",
                            falls_back ? ", unless libvirt's network \"default\" runs" : ""),
            falls_back ? g_strdup("[network] mode=auto, and no bridge is up")
                       : g_strdup("[network] mode=user"),
            g_strdup("write mode=bridge and source= with the name of a bridge to change "
                     "that"));
    }
}
