/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /etc/passwd and /etc/group of the host that is looked at. */
#pragma once

#include <vmrun/sysroot.h>

#include <glib.h>

/*
 * The fields of the row that has `name` in its first field or, as a number ("+64055" too), in its
 * third. NULL if there is none. Owned.
 */
char **vr_account_row(const char *text, const char *name);

/* The number of an account in "/etc/passwd" or "/etc/group"; -1: no such name. */
int64_t vr_account_number(const VrSysroot *root, const char *file, const char *name);
