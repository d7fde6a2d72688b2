/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "plan/check_rows.h"

static const char *
text_or_unknown(const char *text)
{
    return text != NULL ? text : "not told";
}

static const char *
secure_boot_words(VrTristate secure_boot)
{
    return secure_boot == VR_YES  ? "Secure Boot on"
           : secure_boot == VR_NO ? "Secure Boot off"
                                  : "Secure Boot not told";
}

void
vr_check_host_boot(const VrCheckInput *input, VrReport *report)
{
    const VrHostFacts *facts = input->facts;

    if (!vr_check_knows(input, VR_FACTS_FIRMWARE)) {
        return;
    }
    char *evidence =
        g_strdup_printf("/sys/class/dmi/id: BIOS %s of %s; /sys/firmware/efi: %s; %s",
                        text_or_unknown(facts->bios_version), text_or_unknown(facts->bios_date),
                        facts->uefi ? "there" : "missing", secure_boot_words(facts->secure_boot));
    if (facts->uefi) {
        vr_check_ok(report, "host-boot",
                    g_strdup_printf("%s, started by UEFI",
                                    facts->computer != NULL ? facts->computer : "this computer"),
                    evidence);
        return;
    }
    if (facts->computer == NULL && facts->bios_version == NULL) {
        vr_report_add(report, "host-boot", VR_SEVERITY_UNKNOWN, VR_REMEDY_NONE, NULL,
                      g_strdup("how this computer was started could not be found out"), evidence,
                      NULL);
        return;
    }
    vr_report_add(
        report, "host-boot", VR_SEVERITY_INFO, VR_REMEDY_FIRMWARE, NULL,
        g_strdup("this computer was started in the old BIOS way (CSM): the card that it "
                 "booted on may keep a used copy of its ROM, and may not start in a guest"),
        evidence, g_strdup("if a guest's screen stays black, switch CSM off in the BIOS set-up"));
}

void
vr_check_inside_virtual_machine(const VrCheckInput *input, VrReport *report)
{
    if (!vr_check_knows(input, VR_FACTS_FIRMWARE)) {
        return;
    }
    const char *computer = text_or_unknown(input->facts->computer);
    if (!input->facts->is_virtual_machine && input->facts->computer == NULL) {
        vr_report_add(report, "inside-vm", VR_SEVERITY_UNKNOWN, VR_REMEDY_NONE, NULL,
                      g_strdup("what kind of computer this is could not be found out"),
                      g_strdup("/sys/class/dmi/id: not told"), NULL);
        return;
    }
    if (!input->facts->is_virtual_machine) {
        vr_check_ok(report, "inside-vm", g_strdup("a real computer"),
                    g_strdup_printf("/sys/class/dmi/id: %s", computer));
        return;
    }
    vr_report_add(report, "inside-vm", VR_SEVERITY_INFO, VR_REMEDY_NONE, NULL,
                  g_strdup("this is a virtual machine itself: it can give away what its own host "
                           "gave it, if that host emulates an IOMMU and nested virtualisation"),
                  g_strdup_printf("/sys/class/dmi/id: %s; or the CPU flag hypervisor", computer),
                  NULL);
}

static void
add_bad_file(const char *id, const VrFileFact *file, const char *section, VrReport *report)
{
    if (file->error != NULL) {
        vr_report_add(
            report, id, VR_SEVERITY_UNKNOWN, VR_REMEDY_OS, g_strdup(file->path),
            g_strdup_printf("the file of %s= under %s could not be looked at", file->key, section),
            g_strdup(file->error), g_strdup("run this as root"));
    } else if (!file->exists) {
        vr_report_add(
            report, id, VR_SEVERITY_BLOCKER, VR_REMEDY_PROFILE, g_strdup(file->path),
            g_strdup_printf("the file of %s= under %s is missing", file->key, section),
            g_strdup_printf("%s: No such file or directory", file->path),
            g_strdup_printf("correct %s= in the profile, or put the file there", file->key));
    } else {
        vr_report_add(report, id, VR_SEVERITY_BLOCKER, VR_REMEDY_PROFILE, g_strdup(file->path),
                      g_strdup_printf("%s= under %s does not name a file", file->key, section),
                      g_strdup_printf("%s: not a regular file", file->path),
                      g_strdup_printf("correct %s= in the profile", file->key));
    }
}

static bool
is_rom(const VrFileFact *file)
{
    return g_str_equal(file->key, "rom");
}

static bool
is_there(const VrFileFact *file)
{
    return file->error == NULL && file->exists && file->is_regular;
}

void
vr_check_boot_files(const VrCheckInput *input, VrReport *report)
{
    for (guint i = 0; input->files != NULL && i < input->files->len; i++) {
        const VrFileFact *file = g_ptr_array_index(input->files, i);
        if (is_rom(file)) {
            continue;
        }
        if (is_there(file)) {
            vr_report_add(report, "boot-files", VR_SEVERITY_OK, VR_REMEDY_NONE,
                          g_strdup(file->path), g_strdup_printf("the %s is there", file->key), NULL,
                          NULL);
        } else {
            add_bad_file("boot-files", file, "[boot]", report);
        }
    }
}

void
vr_check_rom_file(const VrCheckInput *input, VrReport *report)
{
    for (guint i = 0; input->files != NULL && i < input->files->len; i++) {
        const VrFileFact *file = g_ptr_array_index(input->files, i);
        if (!is_rom(file)) {
            continue;
        }
        if (!is_there(file)) {
            add_bad_file("rom-file", file, "[gpu]", report);
        } else if (file->start[0] != 0x55 || file->start[1] != 0xaa) {
            /* PCI Firmware Specification 3.0, 5.1: a ROM image starts with 55 AA. */
            vr_report_add(
                report, "rom-file", VR_SEVERITY_BLOCKER, VR_REMEDY_PROFILE, g_strdup(file->path),
                g_strdup("is not the ROM of a card"),
                g_strdup_printf("it starts with %02x %02x, a ROM with 55 aa", file->start[0],
                                file->start[1]),
                g_strdup("read the card's own ROM again, or remove rom= : most cards need "
                         "none"));
        } else {
            vr_report_add(report, "rom-file", VR_SEVERITY_OK, VR_REMEDY_NONE, g_strdup(file->path),
                          g_strdup("is the ROM of a card"), g_strdup("it starts with 55 aa"), NULL);
        }
    }
}
