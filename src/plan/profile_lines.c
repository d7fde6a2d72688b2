/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "plan/profile_lines.h"

#include <string.h>

#define BLANKS " \t"

typedef struct {
    VrProfileMistake *mistake;
    size_t layer;
    guint sequence; /* keeps the order of mistakes in one line */
} Row;

struct _VrMistakes {
    GPtrArray *rows; /* Row */
};

static void
row_free(void *data)
{
    Row *row = data;

    vr_profile_mistake_free(row->mistake);
    g_free(row);
}

VrMistakes *
vr_mistakes_new(void)
{
    VrMistakes *mistakes = g_new0(VrMistakes, 1);

    mistakes->rows = g_ptr_array_new_with_free_func(row_free);
    return mistakes;
}

void
vr_mistakes_free(VrMistakes *mistakes)
{
    if (mistakes != NULL) {
        g_ptr_array_unref(mistakes->rows);
        g_free(mistakes);
    }
}

bool
vr_mistakes_any(const VrMistakes *mistakes)
{
    return mistakes->rows->len > 0;
}

void
vr_mistakes_add(VrMistakes *mistakes, VrPlace place, const char *group, const char *key,
                const char *format, ...)
{
    if (mistakes == NULL) {
        return;
    }

    va_list arguments;
    Row *row = g_new0(Row, 1);

    va_start(arguments, format);
    row->mistake = g_new0(VrProfileMistake, 1);
    row->mistake->file = g_strdup(place.file != NULL ? place.file : "");
    row->mistake->line = place.line;
    row->mistake->group = g_strdup(group);
    row->mistake->key = g_strdup(key);
    row->mistake->message = g_strdup_vprintf(format, arguments);
    row->layer = place.layer;
    row->sequence = mistakes->rows->len;
    va_end(arguments);
    g_ptr_array_add(mistakes->rows, row);
}

static int
compare_rows(const void *a, const void *b)
{
    const Row *x = *(const Row *const *) a;
    const Row *y = *(const Row *const *) b;

    if (x->layer != y->layer) {
        return x->layer < y->layer ? -1 : 1;
    }
    if (x->mistake->line != y->mistake->line) {
        return x->mistake->line < y->mistake->line ? -1 : 1;
    }
    return x->sequence < y->sequence ? -1 : x->sequence > y->sequence;
}

void
vr_mistakes_move(VrMistakes *mistakes, GPtrArray *target)
{
    g_ptr_array_sort(mistakes->rows, compare_rows);
    for (guint i = 0; i < mistakes->rows->len; i++) {
        Row *row = g_ptr_array_index(mistakes->rows, i);

        g_ptr_array_add(target, g_steal_pointer(&row->mistake));
    }
    g_ptr_array_set_size(mistakes->rows, 0);
}

void
vr_profile_line_free(VrProfileLine *line)
{
    if (line != NULL) {
        g_free(line->group);
        g_free(line->key);
        g_free(line->value);
        g_free(line);
    }
}

static void
line_free(void *line)
{
    vr_profile_line_free(line);
}

/* The state while one text is read. */
typedef struct {
    VrPlace place;
    char *group; /* of the lines that follow, NULL before the first */
    GPtrArray *lines;
    VrMistakes *mistakes;
} Reader;

static const char *
control_character(const char *line)
{
    for (; *line != '\0'; line = g_utf8_next_char(line)) {
        if (*line != '\t' && g_unichar_iscntrl(g_utf8_get_char(line))) {
            return line;
        }
    }
    return NULL;
}

/* What is wrong with the bytes of a line, whatever it says; NULL: nothing. */
static const char *
bytes_problem(const char *bytes, size_t size_bytes, const char *line)
{
    if (size_bytes > VR_PROFILE_LINE_LIMIT_BYTES) {
        return "the line is longer than 4096 bytes";
    }
    if (memchr(bytes, '\0', size_bytes) != NULL) {
        return "the line has a NUL byte in it";
    }
    if (!g_utf8_validate(bytes, (gssize) size_bytes, NULL)) {
        return "the line is not valid UTF-8";
    }
    if (control_character(line) != NULL) {
        return "the line has a control character in it";
    }
    return NULL;
}

/* A "#" or ";" at the beginning or behind a blank. */
static bool
has_comment(const char *text)
{
    char before = ' ';

    for (; *text != '\0'; before = *text, text++) {
        if ((*text == '#' || *text == ';') && strchr(BLANKS, before) != NULL) {
            return true;
        }
    }
    return false;
}

/* NULL: an escape that GKeyFile does not know, or a lone backslash at the end. */
static char *
unescape(const char *text)
{
    g_autoptr(GString) value = g_string_new(NULL);
    static const char letters[] = "sntr\\";
    static const char characters[] = " \n\t\r\\";

    for (; *text != '\0'; text++) {
        if (*text != '\\') {
            g_string_append_c(value, *text);
            continue;
        }
        text++;
        const char *letter = *text != '\0' ? strchr(letters, *text) : NULL;
        if (letter == NULL) {
            return NULL;
        }
        g_string_append_c(value, characters[letter - letters]);
    }
    return g_string_free(g_steal_pointer(&value), FALSE);
}

static void
read_group(Reader *reader, const char *text)
{
    size_t length = strcspn(text + 1, "[]");
    const char *rest = text + 1 + length;

    g_clear_pointer(&reader->group, g_free);
    if (*rest == ']' && has_comment(rest + 1)) {
        vr_mistakes_add(reader->mistakes, reader->place, NULL, NULL,
                        "something stands behind \"]\"; a comment needs a line of its own");
        reader->group = g_strndup(text + 1, length);
    } else if (length == 0 || strcmp(rest, "]") != 0) {
        vr_mistakes_add(reader->mistakes, reader->place, NULL, NULL,
                        "not a group; write [gpu] or [disk system]");
        reader->group = g_strdup("");
    } else {
        reader->group = g_strndup(text + 1, length);
    }

    VrProfileLine *line = g_new0(VrProfileLine, 1);

    line->line = reader->place.line;
    line->group = g_strdup(reader->group);
    g_ptr_array_add(reader->lines, line);
}

static void
read_key(Reader *reader, const char *key, const char *text)
{
    if (reader->group == NULL) {
        vr_mistakes_add(reader->mistakes, reader->place, NULL, key,
                        "stands before the first [group]");
        return;
    }
    if (has_comment(text)) {
        vr_mistakes_add(reader->mistakes, reader->place, reader->group, key,
                        "a comment stands behind the value; give it a line of its own (a \"#\" "
                        "that belongs to the value is written \\s#)");
        return;
    }

    g_autofree char *value = unescape(text);
    if (value == NULL) {
        vr_mistakes_add(reader->mistakes, reader->place, reader->group, key,
                        "unknown escape; write \\\\ for a backslash (known: \\s \\n \\t \\r \\\\)");
        return;
    }

    VrProfileLine *line = g_new0(VrProfileLine, 1);

    line->line = reader->place.line;
    line->key = g_strdup(key);
    line->value = g_steal_pointer(&value);
    g_ptr_array_add(reader->lines, line);
}

/* A line without blanks around it. */
static void
read_content(Reader *reader, const char *text)
{
    const char *equals = strchr(text, '=');

    if (*text == '\0' || *text == '#') {
        return;
    }
    if (*text == ';') {
        vr_mistakes_add(reader->mistakes, reader->place, NULL, NULL,
                        "a comment begins with \"#\", not with \";\"");
    } else if (*text == '[') {
        read_group(reader, text);
    } else if (equals == NULL || equals == text) {
        vr_mistakes_add(reader->mistakes, reader->place, reader->group, NULL,
                        "neither a [group] nor key=value");
    } else {
        g_autofree char *key = g_strchomp(g_strndup(text, (gsize) (equals - text)));

        read_key(reader, key, equals + 1 + strspn(equals + 1, BLANKS));
    }
}

static void
read_line(Reader *reader, const char *bytes, size_t size_bytes)
{
    g_autofree char *line = g_strndup(bytes, size_bytes);
    const char *problem = bytes_problem(bytes, size_bytes, line);

    if (problem != NULL) {
        vr_mistakes_add(reader->mistakes, reader->place, NULL, NULL, "%s", problem);
        return;
    }
    read_content(reader, g_strstrip(line));
}

/* Line by line; a CR directly before the LF belongs to the line's end. */
static void
read_all(Reader *reader, const char *text, const char *end)
{
    while (text < end) {
        const char *newline = memchr(text, '\n', (size_t) (end - text));
        const char *line_end = newline != NULL ? newline : end;

        reader->place.line++;
        if (newline != NULL && newline > text && newline[-1] == '\r') {
            line_end--;
        }
        read_line(reader, text, (size_t) (line_end - text));
        text = newline != NULL ? newline + 1 : end;
    }
}

GPtrArray *
vr_profile_lines_read(const VrProfileText *text, size_t layer, VrMistakes *mistakes)
{
    static const char mark[] = "\xef\xbb\xbf";
    Reader reader = {
        .place = {text->file, layer, 0},
        .lines = g_ptr_array_new_with_free_func(line_free),
        .mistakes = mistakes,
    };
    const char *start = text->text;

    if (text->size_bytes > VR_PROFILE_LIMIT_BYTES) {
        vr_mistakes_add(mistakes, reader.place, NULL, NULL, "larger than 64 KiB");
        return reader.lines;
    }
    if (text->size_bytes >= 3 && memcmp(start, mark, 3) == 0) {
        VrPlace first = {text->file, layer, 1};

        vr_mistakes_add(mistakes, first, NULL, NULL,
                        "the file begins with a byte order mark; save it as UTF-8 without one");
        start += 3;
    }
    if (text->size_bytes > 0) {
        read_all(&reader, start, text->text + text->size_bytes);
    }
    g_free(reader.group);
    return reader.lines;
}

char *
vr_profile_value_escape(const char *value)
{
    g_autoptr(GString) text = g_string_new(NULL);

    for (const char *c = value; *c != '\0'; c++) {
        bool at_edge = c == value || c[1] == '\0' || c[1] == '#' || c[1] == ';';

        if (*c == '\\') {
            g_string_append(text, "\\\\");
        } else if (*c == ' ' && at_edge) {
            g_string_append(text, "\\s");
        } else {
            g_string_append_c(text, *c);
        }
    }
    return g_string_free(g_steal_pointer(&text), FALSE);
}
