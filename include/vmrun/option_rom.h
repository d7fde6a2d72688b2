/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The option ROM of a card as a file: a chain of images, each with a header, a PCI data structure
 * and a length (PCI Firmware Specification 3.3, 5.1). Whoever made the file is not trusted.
 */
#pragma once

#include <vmrun/pci.h>

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum {
    VR_ROM_X86 = 0x00, /* for a BIOS */
    VR_ROM_EFI = 0x03, /* others are named by their number */
} VrRomCode;

typedef struct {
    size_t offset_bytes, size_bytes;
    uint16_t vendor, device;
    uint8_t code;
    uint16_t machine; /* of an EFI image: UEFI Specification 2.10, 14.4.2; 0 otherwise */
    GArray *devices;  /* uint16_t: others that it is for, too; NULL: none */
} VrRomImage;

typedef struct {
    GPtrArray *images; /* VrRomImage, in their order; those before what is wrong */
    char *error;       /* what is wrong, NULL: nothing */
} VrOptionRom;

/* Pure. Never NULL. What stands behind the last image is not looked at: some cards keep data there.
 */
VrOptionRom *vr_option_rom_parse(const uint8_t *bytes, size_t size_bytes);
void vr_option_rom_free(VrOptionRom *rom);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VrOptionRom, vr_option_rom_free)

/* Has it an image for this function? Neither subsystem nor revision stand in a ROM: boards of other
 * makers with the same chip cannot be told apart. */
bool vr_option_rom_is_for(const VrOptionRom *rom, const VrPciFunction *function);

/* Has it an image that the firmware of an x86-64 guest (OVMF) runs? */
bool vr_option_rom_has_efi(const VrOptionRom *rom);

/* "10de:2484 x86 60416 bytes, 10de:2484 EFI 87552 bytes". Owned. */
char *vr_option_rom_describe(const VrOptionRom *rom);
