/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli.h"

const char *const *
vr_cli_reserved_words(void)
{
    /* The commands of this version, and those that later ones may bring. */
    static const char *const words[] = {
        "bench",   "capture", "changes", "complete", "console",   "demo",     "doctor",
        "edit",    "export",  "gpus",    "help",     "import",    "install",  "list",
        "log",     "new",     "plan",    "report",   "restore",   "run",      "selftest",
        "setup",   "show",    "status",  "stop",     "supervise", "topology", "verify",
        "version", "who",     "worker",  "xml",      NULL,
    };

    return words;
}

bool
vr_cli_is_reserved(const char *word)
{
    return g_strv_contains(vr_cli_reserved_words(), word);
}
