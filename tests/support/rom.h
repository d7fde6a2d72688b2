/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Option ROMs made to order. */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct {
    uint16_t vendor, device;
    uint8_t code;        /* 0: x86, 3: EFI (of x86-64 unless `machine`) */
    uint16_t machine;    /* 0: x86-64 */
    uint16_t also;       /* one more device in the list of revision 3, 0: none */
    unsigned units;      /* of 512 bytes that it has, 0: 2 */
    uint16_t told_units; /* that its header says, 0: the same */
    bool not_last;       /* as an image that others follow */
} RomImage;

/* Add an image to a file. */
void rom_add(GByteArray *file, const RomImage *image);
