/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/option_rom.h>

#include <string.h>

#define UNIT_BYTES 512
#define HEADER_BYTES 0x1a /* up to and with the pointer to the data structure */
#define DATA_BYTES 0x18
#define LAST_IMAGE 0x80
#define EFI_SIGNATURE 0x0ef1
#define MACHINE_X86_64 0x8664
/* More than any card has; the chain itself always moves on. */
#define IMAGES_LIMIT 64

/* A part of the file; nothing is read outside of it. */
typedef struct {
    const uint8_t *bytes;
    size_t size_bytes;
} Span;

static uint16_t
read16(Span span, size_t at)
{
    return at + 2 <= span.size_bytes ? (uint16_t) (span.bytes[at] | span.bytes[at + 1] << 8) : 0;
}

static bool
has_signature(Span span)
{
    return span.size_bytes >= 2 && span.bytes[0] == 0x55 && span.bytes[1] == 0xaa;
}

static void
image_free(gpointer data)
{
    VrRomImage *image = data;
    if (image->devices != NULL) {
        g_array_unref(image->devices);
    }
    g_free(image);
}

static void G_GNUC_PRINTF(3, 4)
    wrong(VrOptionRom *rom, size_t offset_bytes, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *what = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    rom->error =
        g_strdup_printf("image %u, at byte %zu: %s", rom->images->len + 1, offset_bytes, what);
}

/* Where the data structure begins in the image; 0: nowhere. */
static size_t
find_data(Span image)
{
    size_t at = read16(image, 0x18);
    bool fits = at >= HEADER_BYTES && at + DATA_BYTES <= image.size_bytes;
    return fits && memcmp(image.bytes + at, "PCIR", 4) == 0 ? at : 0;
}

/* Revision 3 of the structure has a list of further devices, which ends with 0. */
static GArray *
read_devices(Span image, size_t data)
{
    size_t pointer = read16(image, data + 8);
    if (image.bytes[data + 0x0c] < 3 || pointer == 0) {
        return NULL;
    }
    GArray *devices = g_array_new(FALSE, FALSE, sizeof(uint16_t));
    for (size_t at = data + pointer; read16(image, at) != 0; at += 2) {
        uint16_t device = read16(image, at);
        g_array_append_val(devices, device);
    }
    return devices;
}

static VrRomImage *
image_new(Span span, size_t data, size_t offset_bytes, size_t size_bytes)
{
    VrRomImage *image = g_new0(VrRomImage, 1);
    Span own = {span.bytes, size_bytes};
    image->offset_bytes = offset_bytes;
    image->size_bytes = size_bytes;
    image->vendor = read16(own, data + 4);
    image->device = read16(own, data + 6);
    image->code = span.bytes[data + 0x14];
    image->devices = read_devices(own, data);
    if (image->code == VR_ROM_EFI && read16(own, 4) == EFI_SIGNATURE && read16(own, 6) == 0) {
        image->machine = read16(own, 0x0a);
    }
    return image;
}

/* The image that `span` begins with. False: the last one, or something is wrong. */
static bool
take_image(VrOptionRom *rom, Span span, size_t offset_bytes)
{
    if (!has_signature(span)) {
        wrong(rom, offset_bytes, "it does not begin with 55 aa");
        return false;
    }
    size_t data = find_data(span);
    if (data == 0) {
        wrong(rom, offset_bytes, "there is no PCI data structure (PCIR)");
        return false;
    }
    size_t size_bytes = (size_t) read16(span, data + 0x10) * UNIT_BYTES;
    if (size_bytes < data + DATA_BYTES) {
        wrong(rom, offset_bytes, "its length is %zu bytes, less than its own header", size_bytes);
        return false;
    }
    if (size_bytes > span.size_bytes) {
        wrong(rom, offset_bytes, "it says that it is %zu bytes long, the file ends after %zu",
              size_bytes, span.size_bytes);
        return false;
    }
    g_ptr_array_add(rom->images, image_new(span, data, offset_bytes, size_bytes));
    return (span.bytes[data + 0x15] & LAST_IMAGE) == 0;
}

VrOptionRom *
vr_option_rom_parse(const uint8_t *bytes, size_t size_bytes)
{
    VrOptionRom *rom = g_new0(VrOptionRom, 1);
    size_t offset_bytes = 0;
    rom->images = g_ptr_array_new_with_free_func(image_free);
    Span rest = {bytes, size_bytes};
    while (take_image(rom, rest, offset_bytes)) {
        const VrRomImage *last = g_ptr_array_index(rom->images, rom->images->len - 1);
        offset_bytes += last->size_bytes;
        rest = (Span){rest.bytes + last->size_bytes, rest.size_bytes - last->size_bytes};
        if (rom->images->len >= IMAGES_LIMIT) {
            wrong(rom, offset_bytes, "there is no end to the images");
            break;
        }
    }
    return rom;
}

void
vr_option_rom_free(VrOptionRom *rom)
{
    if (rom != NULL) {
        g_ptr_array_unref(rom->images);
        g_free(rom->error);
        g_free(rom);
    }
}

static bool
image_is_for(const VrRomImage *image, const VrPciFunction *function)
{
    if (image->vendor != function->vendor) {
        return false;
    }
    for (guint i = 0; image->devices != NULL && i < image->devices->len; i++) {
        if (g_array_index(image->devices, uint16_t, i) == function->device) {
            return true;
        }
    }
    return image->device == function->device;
}

bool
vr_option_rom_is_for(const VrOptionRom *rom, const VrPciFunction *function)
{
    for (guint i = 0; i < rom->images->len; i++) {
        if (image_is_for(g_ptr_array_index(rom->images, i), function)) {
            return true;
        }
    }
    return false;
}

bool
vr_option_rom_has_efi(const VrOptionRom *rom)
{
    for (guint i = 0; i < rom->images->len; i++) {
        const VrRomImage *image = g_ptr_array_index(rom->images, i);
        if (image->code == VR_ROM_EFI && image->machine == MACHINE_X86_64) {
            return true;
        }
    }
    return false;
}

char *
vr_option_rom_describe(const VrOptionRom *rom)
{
    GString *text = g_string_new(NULL);
    for (guint i = 0; i < rom->images->len; i++) {
        const VrRomImage *image = g_ptr_array_index(rom->images, i);
        g_autofree char *other = g_strdup_printf("type %u", image->code);
        const char *code = image->code == VR_ROM_X86   ? "x86"
                           : image->code == VR_ROM_EFI ? "EFI"
                                                       : other;
        g_string_append_printf(text, "%s%04x:%04x %s %zu bytes", i > 0 ? ", " : "", image->vendor,
                               image->device, code, image->size_bytes);
    }
    return g_string_free(text, FALSE);
}
