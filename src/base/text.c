/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/text.h>

#include <string.h>

/* The largest CPU number taken from a text; x86 kernels are built for at most 8192. */
enum { CPU_NUMBER_LIMIT = 65535 };

enum { NEAREST_DISTANCE_LIMIT = 2, PROFILE_NAME_LIMIT_BYTES = 32 };

typedef struct {
    const char *suffix;
    uint64_t factor;
} Unit;

/* Read digits of `base` from *cursor and move it behind them. false: none, or too large. */
static bool
take_number(const char **cursor, unsigned base, uint64_t maximum, uint64_t *out_value)
{
    const char *start = *cursor;
    const char *end = start;
    uint64_t value = 0;

    for (; g_ascii_isxdigit(*end); end++) {
        uint64_t digit = (uint64_t) g_ascii_xdigit_value(*end);

        if (digit >= base) {
            break;
        }
        if (digit > maximum || value > (maximum - digit) / base) {
            return false;
        }
        value = value * base + digit;
    }
    if (end == start) {
        return false;
    }
    *cursor = end;
    *out_value = value;
    return true;
}

bool
vr_text_to_uint(const char *text, uint64_t minimum, uint64_t maximum, uint64_t *out_value)
{
    uint64_t value = 0;

    if (!take_number(&text, 10, maximum, &value) || *text != '\0' || value < minimum) {
        return false;
    }
    *out_value = value;
    return true;
}

bool
vr_text_to_hex(const char *text, uint64_t maximum, uint64_t *out_value)
{
    uint64_t value = 0;

    if (g_str_has_prefix(text, "0x")) {
        text += 2;
    }
    if (!take_number(&text, 16, maximum, &value) || *text != '\0') {
        return false;
    }
    *out_value = value;
    return true;
}

/* A decimal number and exactly one of the units; the product must fit. */
static bool
number_with_unit(const char *text, const Unit *units, size_t unit_count, uint64_t *out_value)
{
    uint64_t value = 0;

    if (!take_number(&text, 10, UINT64_MAX, &value)) {
        return false;
    }
    for (size_t i = 0; i < unit_count; i++) {
        if (strcmp(text, units[i].suffix) == 0) {
            return g_uint64_checked_mul(out_value, value, units[i].factor);
        }
    }
    return false;
}

bool
vr_text_to_mib(const char *text, uint64_t *out_mib)
{
    static const Unit units[] = {
        {"K", 1},
        {"M", UINT64_C(1) << 10},
        {"G", UINT64_C(1) << 20},
        {"T", UINT64_C(1) << 30},
    };
    uint64_t kib = 0;

    if (!number_with_unit(text, units, G_N_ELEMENTS(units), &kib) || kib == 0 || kib % 1024 != 0) {
        return false;
    }
    *out_mib = kib / 1024;
    return true;
}

bool
vr_text_to_seconds(const char *text, uint64_t *out_seconds)
{
    static const Unit units[] = {{"", 1}, {"s", 1}, {"min", 60}, {"h", 3600}};
    uint64_t seconds = 0;

    if (!number_with_unit(text, units, G_N_ELEMENTS(units), &seconds)) {
        return false;
    }
    *out_seconds = seconds;
    return true;
}

bool
vr_text_to_yes_no(const char *text, bool *out_yes)
{
    bool yes = strcmp(text, "yes") == 0;

    if (!yes && strcmp(text, "no") != 0) {
        return false;
    }
    *out_yes = yes;
    return true;
}

/* "3" or "3-7" at *cursor. */
static bool
take_cpu_range(const char **cursor, uint64_t *out_first, uint64_t *out_last)
{
    if (!take_number(cursor, 10, CPU_NUMBER_LIMIT, out_first)) {
        return false;
    }
    *out_last = *out_first;
    if (**cursor != '-') {
        return true;
    }
    *cursor += 1;
    return take_number(cursor, 10, CPU_NUMBER_LIMIT, out_last) && *out_last >= *out_first;
}

/* A byte per CPU number, 1 where the list has it: ranges may overlap and come in any order. */
static GByteArray *
mark_cpus(const char *text)
{
    g_autoptr(GByteArray) marks = g_byte_array_new();

    while (*text != '\0') {
        uint64_t first = 0, last = 0;

        if (!take_cpu_range(&text, &first, &last)) {
            return NULL;
        }
        guint old_size = marks->len;
        if (last >= old_size) {
            g_byte_array_set_size(marks, (guint) last + 1);
            memset(marks->data + old_size, 0, marks->len - old_size);
        }
        memset(marks->data + first, 1, last - first + 1);
        if (*text == ',' && text[1] != '\0') {
            text++;
        } else if (*text != '\0') {
            return NULL;
        }
    }
    return g_steal_pointer(&marks);
}

GArray *
vr_text_to_cpu_list(const char *text)
{
    g_autoptr(GByteArray) marks = mark_cpus(text);

    if (marks == NULL) {
        return NULL;
    }

    GArray *cpus = g_array_new(FALSE, FALSE, sizeof(unsigned));

    for (unsigned cpu = 0; cpu < marks->len; cpu++) {
        if (marks->data[cpu] != 0) {
            g_array_append_val(cpus, cpu);
        }
    }
    return cpus;
}

char *
vr_text_from_cpu_list(const GArray *cpus)
{
    GString *text = g_string_new(NULL);
    const unsigned *numbers = (const unsigned *) (const void *) cpus->data;

    for (guint i = 0; i < cpus->len;) {
        guint end = i + 1;

        while (end < cpus->len && numbers[end] == numbers[end - 1] + 1) {
            end++;
        }
        g_string_append_printf(text, "%s%u", i > 0 ? "," : "", numbers[i]);
        if (end - i > 1) {
            g_string_append_printf(text, "-%u", numbers[end - 1]);
        }
        i = end;
    }
    return g_string_free(text, FALSE);
}

bool
vr_text_is_profile_name(const char *text)
{
    size_t length = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_-");

    return length > 0 && length <= PROFILE_NAME_LIMIT_BYTES && text[length] == '\0' &&
           text[0] != '-' && text[0] != '_';
}

/* Levenshtein distance with one row; both texts are short (keys, names of commands). */
static unsigned
edit_distance(const char *a, const char *b)
{
    size_t b_length = strlen(b);
    g_autofree unsigned *row = g_new(unsigned, b_length + 1);

    for (size_t j = 0; j <= b_length; j++) {
        row[j] = (unsigned) j;
    }
    for (size_t i = 0; a[i] != '\0'; i++) {
        unsigned diagonal = row[0];

        row[0] = (unsigned) i + 1;
        for (size_t j = 1; j <= b_length; j++) {
            unsigned replaced = diagonal + (a[i] != b[j - 1]);

            diagonal = row[j];
            row[j] = MIN(replaced, MIN(row[j], row[j - 1]) + 1);
        }
    }
    return row[b_length];
}

const char *
vr_text_nearest(const char *text, const char *const *candidates)
{
    size_t length = strlen(text);
    unsigned best_distance = NEAREST_DISTANCE_LIMIT + 1;
    const char *best = NULL;

    for (; *candidates != NULL; candidates++) {
        size_t candidate_length = strlen(*candidates);

        /* Saves the table for texts that cannot be near, a hostile one of megabytes included. */
        if (MAX(length, candidate_length) - MIN(length, candidate_length) >= best_distance) {
            continue;
        }
        unsigned distance = edit_distance(text, *candidates);
        if (distance < best_distance && distance * 2 < length) {
            best_distance = distance;
            best = *candidates;
        }
    }
    return best;
}

char *
vr_text_printable(const char *text)
{
    GString *shown = g_string_new(NULL);

    while (*text != '\0') {
        gunichar character = g_utf8_get_char_validated(text, -1);

        if (character >= (gunichar) -2) { /* not UTF-8: one byte is skipped */
            g_string_append_c(shown, '?');
            text++;
            continue;
        }
        if (g_unichar_iscntrl(character) || g_unichar_type(character) == G_UNICODE_FORMAT) {
            g_string_append_c(shown, '?');
        } else {
            g_string_append_unichar(shown, character);
        }
        text = g_utf8_next_char(text);
    }
    return g_string_free(shown, FALSE);
}

char *
vr_text_digest(const char *text)
{
    return g_compute_checksum_for_string(G_CHECKSUM_SHA256, text, -1);
}
