/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/accounts.h"

#include <vmrun/text.h>

#include <string.h>

char **
vr_account_row(const char *text, const char *name)
{
    /* libvirt: "+0" is a number for sure. */
    const char *number = name + (name[0] == '+' ? 1 : 0);
    g_auto(GStrv) lines = g_strsplit(text != NULL ? text : "", "\n", -1);

    for (guint i = 0; lines[i] != NULL; i++) {
        g_auto(GStrv) fields = g_strsplit(lines[i], ":", -1);

        if (g_strv_length(fields) >= 4 &&
            (strcmp(fields[0], name) == 0 || strcmp(fields[2], number) == 0)) {
            return g_steal_pointer(&fields);
        }
    }
    return NULL;
}

int64_t
vr_account_number(const VrSysroot *root, const char *file, const char *name)
{
    g_autofree char *text = vr_sysroot_read_optional(root, file);
    g_auto(GStrv) row = vr_account_row(text, name);
    uint64_t number = 0;

    return row != NULL && vr_text_to_uint(row[2], 0, UINT32_MAX, &number) ? (int64_t) number : -1;
}
