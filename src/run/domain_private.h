/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The seam of domain.c for tests. */
#pragma once

#include <vmrun/domain.h>

/* The worker is this program (lent), and no answer is waited for longer than this. */
void vr_domain_use(VrDomain *domain, const char *const *argv, unsigned limit_ms);
