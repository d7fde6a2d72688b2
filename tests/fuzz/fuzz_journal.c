/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A journal that is accepted says the same when it is written and read again. */
#include <vmrun/journal.h>
#include <vmrun/text.h>

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

static void
check(const char *text, size_t size_bytes)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(VrJournal) journal = vr_journal_from_text(text, size_bytes, &error);

    g_assert_cmpint(journal == NULL, ==, error != NULL);
    if (journal != NULL) {
        g_autofree char *written = vr_journal_to_text(journal);
        g_autoptr(VrJournal) again = vr_journal_from_text(written, strlen(written), NULL);

        g_assert_nonnull(again);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    check((const char *) data, size_bytes);

    /* And behind the checksum, which no fuzzer guesses. */
    g_autofree char *body = g_strndup((const char *) data, size_bytes);
    g_autofree char *digest = vr_text_digest(body);
    g_autofree char *text = g_strdup_printf("%ssha256=%s\n", body, digest);

    check(text, strlen(text));
    return 0;
}
