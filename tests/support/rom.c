/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "rom.h"

#include <string.h>

#define DATA 0x1c

static void
put16(uint8_t *place, unsigned value)
{
    place[0] = (uint8_t) value;
    place[1] = (uint8_t) (value >> 8);
}

void
rom_add(GByteArray *file, const RomImage *image)
{
    unsigned units = image->units != 0 ? image->units : 2;
    g_autofree uint8_t *bytes = g_malloc0((gsize) units * 512);
    put16(bytes, 0xaa55);
    put16(bytes + 0x18, DATA);
    if (image->code == 3) {
        put16(bytes + 4, 0x0ef1);
        put16(bytes + 0x0a, image->machine != 0 ? image->machine : 0x8664);
    }
    memcpy(bytes + DATA, "PCIR", 4);
    put16(bytes + DATA + 4, image->vendor);
    put16(bytes + DATA + 6, image->device);
    bytes[DATA + 0x0c] = image->also != 0 ? 3 : 0;
    if (image->also != 0) {
        put16(bytes + DATA + 8, 0x1c);
        put16(bytes + DATA + 0x1c, image->also);
    }
    put16(bytes + DATA + 0x10, image->told_units != 0 ? image->told_units : units);
    bytes[DATA + 0x14] = image->code;
    bytes[DATA + 0x15] = image->not_last ? 0 : 0x80;
    g_byte_array_append(file, bytes, units * 512);
}
