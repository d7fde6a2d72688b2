/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shared by oracle.c (what is) and oracle_replay.c (what was done). */
#pragma once

#include "oracle.h"

GHashTable *oracle_parse(const char *text);

void oracle_complain(GPtrArray *violations, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* Go through the trace. `claimed` (object -> profile) gets all that a journal ever claimed. */
void oracle_replay(const OracleCase *subject, GHashTable *claimed, GPtrArray *violations);
