/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/pci.h>

#include <vmrun/text.h>

#include <string.h>

enum {
    DOMAIN_DIGITS_MIN = 4,
    DOMAIN_DIGITS_MAX = 8,
    SLOT_LIMIT = 0x1f, /* five bits of a devfn, PCI Local Bus Specification 3.0, 3.2.2.3.2 */
    FUNCTION_LIMIT = 7,
    TEXT_LIMIT_BYTES = sizeof "12345678:01:00.0" - 1,
};

/* Up to `length` hexadecimal digits of `text`, all of them. */
static bool
take_hex(const char *text, size_t length, uint64_t maximum, uint64_t *out_value)
{
    g_autofree char *digits = g_strndup(text, length);

    return strspn(digits, "0123456789abcdefABCDEF") == length &&
           vr_text_to_hex(digits, maximum, out_value);
}

/* "01:00.0" */
static bool
parse_in_domain(const char *text, uint64_t domain, VrPciAddress *out_address)
{
    uint64_t bus = 0, slot = 0, function = 0;

    if (strlen(text) != strlen("01:00.0") || text[2] != ':' || text[5] != '.' ||
        !take_hex(text, 2, UINT8_MAX, &bus) || !take_hex(text + 3, 2, SLOT_LIMIT, &slot) ||
        !take_hex(text + 6, 1, FUNCTION_LIMIT, &function)) {
        return false;
    }
    *out_address = (VrPciAddress){.domain = (uint32_t) domain,
                                  .bus = (uint8_t) bus,
                                  .slot = (uint8_t) slot,
                                  .function = (uint8_t) function};
    return true;
}

bool
vr_pci_address_parse(const char *text, VrPciAddress *out_address)
{
    uint64_t domain = 0;

    if (strnlen(text, TEXT_LIMIT_BYTES + 1) > TEXT_LIMIT_BYTES) {
        return false;
    }
    size_t digits = strcspn(text, ":");
    if (digits == 2) {
        return parse_in_domain(text, 0, out_address);
    }
    return digits >= DOMAIN_DIGITS_MIN && digits <= DOMAIN_DIGITS_MAX && text[digits] == ':' &&
           take_hex(text, digits, UINT32_MAX, &domain) &&
           parse_in_domain(text + digits + 1, domain, out_address);
}

char *
vr_pci_address_format(VrPciAddress address)
{
    return g_strdup_printf("%04x:%02x:%02x.%x", address.domain, address.bus, address.slot,
                           address.function);
}

int
vr_pci_address_compare(VrPciAddress a, VrPciAddress b)
{
    if (a.domain != b.domain) {
        return a.domain < b.domain ? -1 : 1;
    }
    if (a.bus != b.bus) {
        return a.bus - b.bus;
    }
    if (a.slot != b.slot) {
        return a.slot - b.slot;
    }
    return a.function - b.function;
}

bool
vr_pci_address_equal(VrPciAddress a, VrPciAddress b)
{
    return vr_pci_address_compare(a, b) == 0;
}

bool
vr_pci_address_same_slot(VrPciAddress a, VrPciAddress b)
{
    return a.domain == b.domain && a.bus == b.bus && a.slot == b.slot;
}

bool
vr_pci_addresses_contain(const GArray *addresses, VrPciAddress address)
{
    for (guint i = 0; i < addresses->len; i++) {
        if (vr_pci_address_equal(g_array_index(addresses, VrPciAddress, i), address)) {
            return true;
        }
    }
    return false;
}

void
vr_pci_function_free(VrPciFunction *function)
{
    if (function != NULL) {
        g_free(function->driver);
        g_free(function->error);
        g_free(function);
    }
}

bool
vr_pci_function_is_display(const VrPciFunction *function)
{
    return function->class_code >> 16 == 0x03;
}

bool
vr_pci_function_is_bridge(const VrPciFunction *function)
{
    uint32_t class_and_subclass = function->class_code >> 8;

    return class_and_subclass == 0x0600 || class_and_subclass == 0x0604;
}

char *
vr_pci_function_id(const VrPciFunction *function)
{
    return g_strdup_printf("%04x:%04x", function->vendor, function->device);
}
