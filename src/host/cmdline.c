/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/host_facts_private.h"

#include <string.h>

/*
 * The end of the next word: a blank outside of double quotes, as the kernel cuts
 * (lib/cmdline.c, next_arg).
 */
static const char *
word_end(const char *text)
{
    bool is_quoted = false;

    for (; *text != '\0' && (is_quoted || !g_ascii_isspace(*text)); text++) {
        is_quoted = is_quoted != (*text == '"');
    }
    return text;
}

/* One pair of quotes around a value, or around the whole word, is not part of it. */
static char *
without_quotes(const char *text)
{
    size_t length = strlen(text);

    if (text[0] != '"') {
        return g_strdup(text);
    }
    return g_strndup(text + 1, length > 1 && text[length - 1] == '"' ? length - 2 : length - 1);
}

static VrKernelParameter *
parameter_new(const char *word)
{
    VrKernelParameter *parameter = g_new0(VrKernelParameter, 1);
    g_autofree char *bare = without_quotes(word);
    const char *equals = strchr(bare, '=');

    if (equals == NULL) {
        parameter->key = g_steal_pointer(&bare);
        return parameter;
    }
    parameter->key = g_strndup(bare, (gsize) (equals - bare));
    parameter->value = without_quotes(equals + 1);
    return parameter;
}

void
vr_cmdline_load(VrHostFacts *facts)
{
    g_autofree char *text = vr_sysroot_read_optional(facts->root, "/proc/cmdline");
    const char *rest = text != NULL ? text : "";

    while (true) {
        while (g_ascii_isspace(*rest)) {
            rest++;
        }

        const char *end = word_end(rest);
        g_autofree char *word = g_strndup(rest, (gsize) (end - rest));

        /* What follows "--" is for init (init/main.c). */
        if (word[0] == '\0' || strcmp(word, "--") == 0) {
            return;
        }
        g_ptr_array_add(facts->parameters, parameter_new(word));
        rest = end;
    }
}
