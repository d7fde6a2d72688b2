/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The small parsers: what they accept must survive being written and read again. */
#include <vmrun/pci.h>
#include <vmrun/text.h>

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

static void
check_address(const char *text)
{
    VrPciAddress address = {0}, again = {0};

    if (vr_pci_address_parse(text, &address)) {
        g_autofree char *written = vr_pci_address_format(address);

        g_assert_true(vr_pci_address_parse(written, &again));
        g_assert_true(vr_pci_address_equal(address, again));
    }
}

static void
check_cpu_list(const char *text)
{
    g_autoptr(GArray) cpus = vr_text_to_cpu_list(text);

    if (cpus != NULL) {
        g_autofree char *written = vr_text_from_cpu_list(cpus);
        g_autoptr(GArray) again = vr_text_to_cpu_list(written);

        g_assert_nonnull(again);
        g_assert_cmpmem(cpus->data, cpus->len * sizeof(unsigned), again->data,
                        again->len * sizeof(unsigned));
    }
}

static void
check_printable(const char *text)
{
    g_autofree char *shown = vr_text_printable(text);
    g_autofree char *again = vr_text_printable(shown);

    g_assert_true(g_utf8_validate(shown, -1, NULL));
    g_assert_cmpstr(shown, ==, again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    static const char *const words[] = {"memory", "cpus", "hugepages", NULL};
    g_autofree char *text = g_strndup((const char *) data, size_bytes);
    uint64_t value = 0;
    bool yes = false;

    check_address(text);
    check_cpu_list(text);
    check_printable(text);
    vr_text_to_hex(text, UINT16_MAX, &value);
    g_assert_cmpuint(value, <=, UINT16_MAX);
    vr_text_to_uint(text, 0, 99, &value);
    vr_text_to_mib(text, &value);
    vr_text_to_seconds(text, &value);
    vr_text_to_yes_no(text, &yes);
    vr_text_nearest(text, words);
    if (vr_text_is_profile_name(text)) {
        g_assert_null(strpbrk(text, "/. \n"));
    }
    return 0;
}
