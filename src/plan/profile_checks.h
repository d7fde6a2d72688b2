/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What must hold between the values of a profile. Inside of plan/profile*.c only. */
#pragma once

#include "plan/profile_sections.h"

/*
 * Check complete sections (vr_sections_complete). `has_gap`: a text that should lie below is
 * missing, so that a key that is not set means nothing.
 */
void vr_sections_check(const GPtrArray *sections, bool has_gap, VrMistakes *mistakes);
