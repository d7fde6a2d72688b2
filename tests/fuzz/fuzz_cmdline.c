/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The kernel command line is cut as the kernel cuts it: beside a second, slower reading of its
 * rules. */
#include "parts.h"

#include "../support/tree.h"

#include <vmrun/host_facts.h>

#include <string.h>

static const FuzzPlace places[] = {{'a', "/proc/cmdline", false}, {0, NULL, false}};

/* Character by character, with what is dropped marked: lib/cmdline.c, next_arg(), and what
 * kernel/params.c, parse_args() does with "--". */
static bool
is_blank(char character)
{
    return strchr(" \t\n\v\f\r", character) != NULL || (unsigned char) character == 0xa0;
}

typedef struct {
    char *key;
    char *value; /* NULL: none */
} Word;

/* The word at *at, which is no blank; *at moves behind it. */
static Word
next_word(const char **at)
{
    const char *from = *at;
    const char *to = from;
    const char *equals = NULL;
    bool quoted = false;
    bool whole = *from == '"';
    for (; *to != '\0' && (quoted || !is_blank(*to)); to++) {
        if (*to == '"') {
            quoted = !quoted;
        }
        if (*to == '=' && equals == NULL && to > from + (whole ? 1 : 0)) {
            equals = to;
        }
    }
    *at = to;
    from += whole ? 1 : 0;
    const char *value = equals != NULL ? equals + 1 : NULL;
    bool opens = value != NULL && value < to && *value == '"';
    if (opens) {
        value++;
    }
    const char *end = to;
    if ((opens || whole) && end > from && end[-1] == '"' && (value == NULL || end > value)) {
        end--;
    }
    return (Word){g_strndup(from, (gsize) ((equals != NULL ? equals : MAX(end, from)) - from)),
                  value != NULL ? g_strndup(value, (gsize) (end - value)) : NULL};
}

static void
compare(const VrHostFacts *facts, const char *text)
{
    guint count = 0;
    for (;; count++) {
        while (*text != '\0' && is_blank(*text)) {
            text++;
        }
        if (*text == '\0') {
            break;
        }
        Word word = next_word(&text);
        bool ends = strcmp(word.key, "--") == 0 && word.value == NULL;
        if (!ends) {
            g_assert_cmpuint(count, <, facts->parameters->len);
            const VrKernelParameter *parameter = g_ptr_array_index(facts->parameters, count);
            g_assert_cmpstr(parameter->key, ==, word.key);
            g_assert_cmpstr(parameter->value, ==, word.value);
        }
        g_free(word.key);
        g_free(word.value);
        if (ends) {
            break;
        }
    }
    g_assert_cmpuint(count, ==, facts->parameters->len);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    const char *directory = fuzz_directory();
    g_autoptr(VrSysroot) root = tree_root(directory);

    fuzz_fill(directory, places, data, size_bytes);
    g_autofree char *text = vr_sysroot_read_optional(root, "/proc/cmdline");
    g_autoptr(VrHostFacts) facts = vr_host_facts_load(root, VR_FACTS_KERNEL);
    compare(facts, text != NULL ? text : "");
    for (guint i = 0; i < facts->parameters->len; i++) {
        const VrKernelParameter *parameter = g_ptr_array_index(facts->parameters, i);
        g_assert_nonnull(vr_host_facts_parameter(facts, parameter->key));
    }
    return 0;
}
