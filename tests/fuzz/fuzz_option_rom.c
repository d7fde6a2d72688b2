/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A file that somebody says is a card's ROM: its images follow one another, inside of the file. */
#include "parts.h"

#include <vmrun/option_rom.h>

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    g_autofree uint8_t *exact = g_memdup2(data, size_bytes); /* reading behind it is seen */
    g_autoptr(VrOptionRom) rom = vr_option_rom_parse(exact, size_bytes);
    g_autofree char *text = vr_option_rom_describe(rom);
    size_t end_bytes = 0;

    g_assert_true(rom->error != NULL || rom->images->len > 0);
    for (guint i = 0; i < rom->images->len; i++) {
        const VrRomImage *image = g_ptr_array_index(rom->images, i);
        VrPciFunction function = {.vendor = image->vendor, .device = image->device};
        g_assert_cmpuint(image->offset_bytes, ==, end_bytes);
        g_assert_cmpuint(image->size_bytes, >, 0);
        end_bytes += image->size_bytes;
        g_assert_cmpuint(end_bytes, <=, size_bytes);
        g_assert_true(vr_option_rom_is_for(rom, &function));
    }
    vr_option_rom_has_efi(rom);
    return 0;
}
