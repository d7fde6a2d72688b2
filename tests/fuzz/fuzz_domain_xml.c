/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The XML of a living domain: whatever it says, addresses come out, and no more than stand there.
 */
#include "parts.h"

#include "plan/domain_xml_read.h"

#include <string.h>

static guint
count(const char *text, const char *word)
{
    guint found = 0;
    for (const char *at = strstr(text, word); at != NULL; at = strstr(at + 1, word)) {
        found++;
    }
    return found;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    g_autofree char *text = g_strndup((const char *) data, size_bytes);
    g_autoptr(GArray) addresses = vr_domain_xml_assigned(text);

    g_assert_cmpuint(addresses->len, <=, count(text, "address"));
    for (guint i = 0; i < addresses->len; i++) {
        VrPciAddress address = g_array_index(addresses, VrPciAddress, i);
        g_assert_cmpuint(address.slot, <, 32);
        g_assert_cmpuint(address.function, <, 8);
    }
    if (vr_domain_xml_agent_is_connected(text)) {
        g_assert_cmpuint(count(text, "connected"), >, 0);
    }
    return 0;
}
