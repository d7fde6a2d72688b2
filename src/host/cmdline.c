/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/host_facts_private.h"

#include <string.h>

/* As the kernel has it (lib/ctype.c): with vertical tabs, and with the blank of Latin 1. */
static bool
is_blank(char character)
{
    return g_ascii_isspace(character) || character == '\v' || (guchar) character == 0xa0;
}

/*
 * The end of the next word: a blank outside of double quotes, as the kernel cuts
 * (lib/cmdline.c, next_arg).
 */
static const char *
word_end(const char *text)
{
    bool is_quoted = false;

    for (; *text != '\0' && (is_quoted || !is_blank(*text)); text++) {
        is_quoted = is_quoted != (*text == '"');
    }
    return text;
}

/* A pair of quotes around the whole word, or around the value, is no part of it; a '=' that the
 * word begins with separates nothing. */
static VrKernelParameter *
parameter_new(const char *word, size_t length)
{
    VrKernelParameter *parameter = g_new0(VrKernelParameter, 1);
    bool is_whole = word[0] == '"';
    g_autofree char *bare = g_strndup(word + is_whole, length - is_whole);
    char *equals = bare[0] != '\0' ? strchr(bare + 1, '=') : NULL;
    char *value = equals != NULL ? equals + 1 : NULL;
    bool is_opened = value != NULL && *value == '"';
    char *rest = value == NULL ? bare : value + is_opened;

    if ((is_whole || is_opened) && g_str_has_suffix(rest, "\"")) {
        rest[strlen(rest) - 1] = '\0';
    }
    if (equals != NULL) {
        *equals = '\0';
        parameter->value = g_strdup(rest);
    }
    parameter->key = g_strdup(bare);
    return parameter;
}

static bool
is_separator(const VrKernelParameter *parameter)
{
    return parameter->value == NULL && strcmp(parameter->key, "--") == 0;
}

void
vr_cmdline_load(VrHostFacts *facts)
{
    g_autofree char *text = vr_sysroot_read_optional(facts->root, "/proc/cmdline");
    const char *rest = text != NULL ? text : "";

    while (true) {
        while (is_blank(*rest)) {
            rest++;
        }
        if (*rest == '\0') {
            return;
        }

        const char *end = word_end(rest);
        VrKernelParameter *parameter = parameter_new(rest, (size_t) (end - rest));

        g_ptr_array_add(facts->parameters, parameter);
        /* What follows "--" is for init (kernel/params.c, parse_args). */
        if (is_separator(parameter)) {
            g_ptr_array_set_size(facts->parameters, (gint) facts->parameters->len - 1);
            return;
        }
        rest = end;
    }
}
