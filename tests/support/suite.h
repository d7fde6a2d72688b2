/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A suite of many cases in one test: it goes on after a wrong one, and says how many there were. */
#pragma once

#include <glib.h>
#include <stdbool.h>

typedef struct {
    guint cases, passed;
} Suite;

static inline void
suite_count(Suite *suite, bool passed, const char *what)
{
    suite->cases++;
    suite->passed += passed;
    if (!passed) {
        g_test_message("wrong: %s", what);
    }
}

/* `expected`: by a formula or a dry run, so that a suite that runs fewer cases fails. */
static inline void
suite_finish(const Suite *suite, const char *name, guint expected)
{
    g_test_message("suite: %s cases=%u pass=%u fail=%u", name, suite->cases, suite->passed,
                   suite->cases - suite->passed);
    g_assert_cmpuint(suite->cases, ==, expected);
    g_assert_cmpuint(suite->passed, ==, suite->cases);
}
