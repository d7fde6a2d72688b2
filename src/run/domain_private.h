/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The hand of a test on domain.c: whose deadlines are minutes. */
#pragma once

#include <vmrun/domain.h>

/* The worker is this program (lent), and no answer is waited for longer than this. */
void vr_domain_use(VrDomain *domain, const char *const *argv, unsigned limit_ms);

/* timeout_ms, or that limit where it is shorter. */
unsigned vr_domain_patience_ms(const VrDomain *domain, unsigned timeout_ms);
