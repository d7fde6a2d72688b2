/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The oracle for shell tests, on files as tests/emulated-host/lib.sh writes them:
 *
 *   oracle --before FILE --after FILE [--again FILE --writes N] [--journal none|PHASE]
 *          [--left "ADDRESS..."] [--trace FILE] [--locks free|held] [--recovery-died]
 *
 * Prints each violation ("I7: …") and ends with 1 if there is one, with 2 if it could not judge.
 */
#include "../support/oracle.h"

#include <stdio.h>
#include <stdlib.h>

static char *before, *after, *again, *journal, *left, *trace, *locks;
static gint writes;
static gboolean recovery_died;

static const GOptionEntry entries[] = {
    {"before", 0, 0, G_OPTION_ARG_FILENAME, &before, "snapshot before the session", "FILE"},
    {"after", 0, 0, G_OPTION_ARG_FILENAME, &after, "snapshot after one recovery", "FILE"},
    {"again", 0, 0, G_OPTION_ARG_FILENAME, &again, "snapshot after a second one", "FILE"},
    {"writes", 0, 0, G_OPTION_ARG_INT, &writes, "that the second recovery made", "N"},
    {"journal", 0, 0, G_OPTION_ARG_STRING, &journal, "at the end: none, or its phase", "PHASE"},
    {"left", 0, 0, G_OPTION_ARG_STRING, &left, "what was named as not given back", "ADDRESSES"},
    {"trace", 0, 0, G_OPTION_ARG_FILENAME, &trace, "what was done", "FILE"},
    {"locks", 0, 0, G_OPTION_ARG_STRING, &locks, "at the end: free or held", "STATE"},
    {"recovery-died", 0, 0, G_OPTION_ARG_NONE, &recovery_died, "an earlier one", NULL},
    {NULL, 0, 0, 0, NULL, NULL, NULL},
};

/* The text of a file; what was not named is NULL, what cannot be read ends the program. */
static char *
text_of(const char *path)
{
    g_autoptr(GError) error = NULL;
    char *text = NULL;
    if (path != NULL && !g_file_get_contents(path, &text, NULL, &error)) {
        fprintf(stderr, "oracle: %s\n", error->message);
        exit(2);
    }
    return text;
}

static bool
options_make_sense(void)
{
    bool locks_known = locks == NULL || g_str_equal(locks, "free") || g_str_equal(locks, "held");
    return before != NULL && after != NULL && locks_known && writes >= 0;
}

int
main(int argc, char **argv)
{
    g_autoptr(GOptionContext) options = g_option_context_new("- was anything lost?");
    g_autoptr(GError) error = NULL;
    g_option_context_add_main_entries(options, entries, NULL);
    if (!g_option_context_parse(options, &argc, &argv, &error) || argc > 1 ||
        !options_make_sense()) {
        fprintf(stderr, "oracle: %s\n", error != NULL ? error->message : "wrong options");
        return 2;
    }
    g_autofree char *before_text = text_of(before);
    g_autofree char *after_text = text_of(after);
    g_autofree char *again_text = text_of(again);
    g_autofree char *trace_text = text_of(trace);
    OracleCase subject = {.before = before_text,
                          .after = after_text,
                          .again = again_text,
                          .writes = (unsigned) writes,
                          .journal = journal,
                          .left = left,
                          .trace = trace_text,
                          .locks_are_held = g_strcmp0(locks, "held") == 0,
                          .recovery_died = recovery_died};
    g_autofree char *complaint = oracle_complaint(&subject);
    if (complaint != NULL) {
        puts(complaint);
    }
    return complaint != NULL ? 1 : 0;
}
