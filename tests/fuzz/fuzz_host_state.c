/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The state in a journal or from a worker: what is accepted says the same when written again. */
#include <vmrun/host_state.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    g_autofree char *text = g_strndup((const char *) data, size_bytes);
    g_autoptr(GError) error = NULL;
    g_autoptr(VrHostState) state = vr_host_state_from_text(text, &error);

    g_assert_cmpint(state == NULL, ==, error != NULL);
    if (state != NULL) {
        g_autofree char *written = vr_host_state_to_text(state);
        g_autoptr(VrHostState) again = vr_host_state_from_text(written, NULL);

        g_assert_nonnull(again);
        g_autofree char *same = vr_host_state_to_text(again);
        g_assert_cmpstr(written, ==, same);
    }
    return 0;
}
