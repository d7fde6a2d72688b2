/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/option_rom.h>

#include "../support/rom.h"

#include <string.h>

#define X86                                                                                        \
    {                                                                                              \
        .vendor = 0x10de, .device = 0x2484, .not_last = true                                       \
    }
#define EFI                                                                                        \
    {                                                                                              \
        .vendor = 0x10de, .device = 0x2484, .code = 3, .units = 3                                  \
    }

typedef struct {
    const char *name;
    RomImage images[3];
    guint count;
    const char *error; /* a part of it, NULL: none */
    guint read;        /* images */
    bool is_for, has_efi;
} Row;

static const Row rows[] = {
    {"both", {X86, EFI}, 2, NULL, 2, true, true},
    {"efi-alone", {EFI}, 1, NULL, 1, true, true},
    {"bios-alone", {{.vendor = 0x10de, .device = 0x2484}}, 1, NULL, 1, true, false},
    {"other-vendor", {{.vendor = 0x1002, .device = 0x2484}}, 1, NULL, 1, false, false},
    {"other-device", {{.vendor = 0x10de, .device = 0x2486}}, 1, NULL, 1, false, false},
    {"in-the-list", {{0x10de, 0x2486, 3, 0, 0x2484, 0, 0, false}}, 1, NULL, 1, true, true},
    {"of-another-machine", {{0x10de, 0x2484, 3, 0xaa64, 0, 0, 0, false}}, 1, NULL, 1, true, false},
    {"other-code", {{.vendor = 0x10de, .device = 0x2484, .code = 0xe0}}, 1, NULL, 1, true, false},
    {"data-behind-the-last", {EFI, X86}, 2, NULL, 1, true, true},
    {"last-is-missing", {X86, X86}, 2, "image 3, at byte 2048: it does not", 2, true, false},
    {"cut-off",
     {{0x10de, 0x2484, 3, 0, 0, 2, 9, false}},
     1,
     "the file ends after 1024",
     0,
     false,
     false},
    {"nothing", {X86}, 0, "at byte 0: it does not begin with 55 aa", 0, false, false},
};

static VrOptionRom *
parse(const GByteArray *file)
{
    g_autofree uint8_t *exact = g_memdup2(file->data, file->len);
    return vr_option_rom_parse(exact, file->len);
}

static void
test_row(gconstpointer data)
{
    const Row *row = data;
    VrPciFunction card = {.vendor = 0x10de, .device = 0x2484};
    g_autoptr(GByteArray) file = g_byte_array_new();
    for (guint i = 0; i < row->count; i++) {
        rom_add(file, &row->images[i]);
    }
    g_autoptr(VrOptionRom) rom = parse(file);
    g_assert_cmpuint(rom->images->len, ==, row->read);
    g_assert_cmpint(rom->error != NULL, ==, row->error != NULL);
    g_assert_true(row->error == NULL || strstr(rom->error, row->error) != NULL);
    g_assert_cmpint(vr_option_rom_is_for(rom, &card), ==, row->is_for);
    g_assert_cmpint(vr_option_rom_has_efi(rom), ==, row->has_efi);
}

static void
test_describes(void)
{
    static const RomImage images[] = {X86, EFI};
    g_autoptr(GByteArray) file = g_byte_array_new();
    rom_add(file, &images[0]);
    rom_add(file, &images[1]);
    g_autoptr(VrOptionRom) rom = parse(file);
    g_autofree char *text = vr_option_rom_describe(rom);
    g_assert_cmpstr(text, ==, "10de:2484 x86 1024 bytes, 10de:2484 EFI 1536 bytes");
}

/* Whatever byte is another one, whatever length the file has: nothing is read outside of it. */
static void
test_each_byte_and_each_length(void)
{
    static const RomImage images[] = {{0x10de, 0x2486, 0, 0, 0x2484, 1, 0, true},
                                      {0x10de, 0x2486, 3, 0, 0x2484, 1, 0, false}};
    g_autoptr(GByteArray) file = g_byte_array_new();
    unsigned cases = 0;
    rom_add(file, &images[0]);
    rom_add(file, &images[1]);
    for (guint length = 0; length < file->len; length++, cases++) {
        g_autofree uint8_t *exact = g_memdup2(file->data, length);
        g_autoptr(VrOptionRom) rom = vr_option_rom_parse(exact, length);
        g_assert_nonnull(rom->error);
    }
    for (guint at = 0; at < file->len; at++, cases++) {
        g_autofree uint8_t *exact = g_memdup2(file->data, file->len);
        exact[at] ^= 0xff;
        g_autoptr(VrOptionRom) rom = vr_option_rom_parse(exact, file->len);
        g_assert_true(rom->error != NULL || rom->images->len > 0);
    }
    g_assert_cmpuint(cases, ==, 2 * 1024);
    g_test_message("suite: option-rom cases=%u pass=%u fail=0", cases, cases);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *path = g_strconcat("/option-rom/", rows[i].name, NULL);
        g_test_add_data_func(path, &rows[i], test_row);
    }
    g_test_add_func("/option-rom/describes", test_describes);
    g_test_add_func("/option-rom/each-byte-and-each-length", test_each_byte_and_each_length);
    return g_test_run();
}
