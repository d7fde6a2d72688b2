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

/* The first function of the first card that the section stands for; NULL: none was chosen. */
static const VrPciFunction *
card_of(const VrCheckInput *input, const VrFileFact *file)
{
    for (guint i = 0; input->devices != NULL && i < input->devices->len; i++) {
        const VrChosenDevice *device = g_ptr_array_index(input->devices, i);
        if (device->section == file->section && device->functions->len > 0) {
            return g_array_index(device->functions, VrChosenFunction, 0).function;
        }
    }
    return NULL;
}

static void
add_no_rom(const VrFileFact *file, VrReport *report)
{
    vr_report_add(
        report, "rom-file", VR_SEVERITY_BLOCKER, VR_REMEDY_PROFILE, g_strdup(file->path),
        g_strdup("is not the whole ROM of a card"),
        g_strdup_printf("%s: %s", file->path, file->rom->error),
        g_strdup("read the card's own ROM again (some tools put a header of theirs before "
                 "55 aa: cut it off), or remove rom= : most cards need none"));
}

/* Intel's processor graphics have one ROM for many chips, whose firmware sets the id
 * (QEMU hw/vfio/pci.c, vfio_pci_load_rom). */
static void
add_other_card(const VrFileFact *file, const VrPciFunction *card, VrReport *report)
{
    g_autofree char *id = vr_pci_function_id(card);
    g_autofree char *images = vr_option_rom_describe(file->rom);
    const VrRomImage *first = g_ptr_array_index(file->rom->images, 0);
    bool may_be = card->vendor == 0x8086 && first->vendor == 0x8086;
    vr_report_add(report, "rom-file", may_be ? VR_SEVERITY_WARNING : VR_SEVERITY_BLOCKER,
                  VR_REMEDY_PROFILE, g_strdup(file->path),
                  g_strdup(may_be ? "does not name this card, which may be right for processor "
                                    "graphics of Intel"
                                  : "is the ROM of another card"),
                  g_strdup_printf("%s: %s; the card is %s", file->path, images, id),
                  g_strdup("read the ROM of the card itself, or remove rom= : most cards need "
                           "none"));
}

static void
check_rom(const VrFileFact *file, const VrPciFunction *card, VrReport *report)
{
    g_autofree char *images = vr_option_rom_describe(file->rom);
    if (file->rom->error != NULL) {
        add_no_rom(file, report);
    } else if (card != NULL && !vr_option_rom_is_for(file->rom, card)) {
        add_other_card(file, card, report);
    } else if (!vr_option_rom_has_efi(file->rom)) {
        vr_report_add(report, "rom-file", VR_SEVERITY_WARNING, VR_REMEDY_PROFILE,
                      g_strdup(file->path),
                      g_strdup("has nothing for a guest that starts by UEFI, as all do here: its "
                               "screen stays dark until the guest's own driver runs"),
                      g_strdup_printf("%s: %s", file->path, images),
                      g_strdup("look for the card's ROM with an EFI image (GOP), or remove rom="));
    } else {
        vr_report_add(report, "rom-file", VR_SEVERITY_OK, VR_REMEDY_NONE, g_strdup(file->path),
                      g_strdup("is the ROM of the card"), g_strdup(images), NULL);
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
        if (!is_there(file) || file->rom == NULL) {
            add_bad_file("rom-file", file, "[gpu]", report);
        } else {
            check_rom(file, card_of(input, file), report);
        }
    }
}
