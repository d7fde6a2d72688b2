/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "oracle.h"

#include "oracle_private.h"

#include <string.h>

/* "SUBJECT NAME" -> value */
GHashTable *
oracle_parse(const char *text)
{
    GHashTable *values = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_auto(GStrv) lines = g_strsplit(text != NULL ? text : "", "\n", -1);
    for (char **line = lines; *line != NULL; line++) {
        g_auto(GStrv) words = g_strsplit(*line, " ", 3);
        if (g_strv_length(words) == 3) {
            g_hash_table_insert(values, g_strconcat(words[0], " ", words[1], NULL),
                                g_strdup(words[2]));
        }
    }
    return values;
}

void
oracle_complain(GPtrArray *violations, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_ptr_array_add(violations, g_strdup_vprintf(format, arguments));
    va_end(arguments);
}

/* Every key of either. */
static GPtrArray *
keys_of(GHashTable *a, GHashTable *b)
{
    GPtrArray *keys = g_ptr_array_new();
    GHashTableIter iter;
    gpointer key;
    g_hash_table_iter_init(&iter, a);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        g_ptr_array_add(keys, key);
    }
    g_hash_table_iter_init(&iter, b);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        if (!g_hash_table_contains(a, key)) {
            g_ptr_array_add(keys, key);
        }
    }
    return keys;
}

static bool
is_named(const char *list, const char *key)
{
    g_autofree char *subject = g_strndup(key, strcspn(key, " "));
    return list != NULL && strstr(list, subject) != NULL;
}

/* Which promise a value that is not what it was breaks. */
static const char *
promise_of(const OracleCase *subject, GHashTable *claimed, const char *key, const char *was)
{
    g_autofree char *object = g_strndup(key, strcspn(key, " "));
    const char *name = strchr(key, ' ') + 1;
    bool is_claimed =
        g_hash_table_contains(claimed, object) || g_hash_table_contains(claimed, name);
    if (!is_claimed && g_hash_table_size(claimed) > 0) {
        return "I3";
    }
    if (subject->left != NULL) {
        return "I13";
    }
    if (g_str_equal(name, "driver_override")) {
        return "I10";
    }
    if (g_str_equal(name, "driver") && g_strcmp0(was, "vfio-pci") == 0) {
        return "I11";
    }
    return subject->recovery_died ? "I9" : "I7";
}

static unsigned
compare_with_before(const OracleCase *subject, GHashTable *claimed, GPtrArray *violations)
{
    g_autoptr(GHashTable) before = oracle_parse(subject->before);
    g_autoptr(GHashTable) after = oracle_parse(subject->after);
    g_autoptr(GPtrArray) keys = keys_of(before, after);
    unsigned differences = 0;
    for (guint i = 0; i < keys->len; i++) {
        const char *key = g_ptr_array_index(keys, i);
        const char *was = g_hash_table_lookup(before, key);
        const char *is = g_hash_table_lookup(after, key);
        if (g_strcmp0(was, is) == 0) {
            continue;
        }
        differences++;
        if (!is_named(subject->left, key)) {
            oracle_complain(violations, "%s: %s is %s, it was %s",
                            promise_of(subject, claimed, key, was), key, is != NULL ? is : "none",
                            was != NULL ? was : "none");
        }
    }
    return differences;
}

static void
compare_with_again(const OracleCase *subject, GPtrArray *violations)
{
    g_autoptr(GHashTable) after = oracle_parse(subject->after);
    g_autoptr(GHashTable) again = oracle_parse(subject->again);
    g_autoptr(GPtrArray) keys = keys_of(after, again);
    for (guint i = 0; i < keys->len; i++) {
        const char *key = g_ptr_array_index(keys, i);
        if (g_strcmp0(g_hash_table_lookup(after, key), g_hash_table_lookup(again, key)) != 0) {
            oracle_complain(violations, "I8: the second recovery changed %s", key);
        }
    }
}

/* The journal is there exactly as long as something is left. */
static void
judge_journal(const OracleCase *subject, unsigned differences, GPtrArray *violations)
{
    bool open = g_strcmp0(subject->journal, "none") != 0 &&
                g_strcmp0(subject->journal, "kept") != 0 && subject->journal != NULL;
    if (differences > 0 && g_strcmp0(subject->journal, "none") == 0) {
        oracle_complain(violations, "I12: the journal is closed, and %u values are not back",
                        differences);
    }
    if (open && differences == 0 && subject->left == NULL) {
        oracle_complain(violations, "I7: everything is back, and the journal is still open (%s)",
                        subject->journal);
    }
}

GPtrArray *
oracle_judge(const OracleCase *subject)
{
    GPtrArray *violations = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GHashTable) claimed = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    oracle_replay(subject, claimed, violations);
    if (subject->after != NULL) {
        unsigned differences = compare_with_before(subject, claimed, violations);
        judge_journal(subject, differences, violations);
    }
    if (subject->again != NULL) {
        compare_with_again(subject, violations);
        if (subject->writes > 0) {
            oracle_complain(violations, "I8: the second recovery wrote %u times", subject->writes);
        }
    }
    if (subject->locks_are_held) {
        oracle_complain(violations, "I16: a lock is held, and its holder is dead");
    }
    return violations;
}

char *
oracle_complaint(const OracleCase *subject)
{
    g_autoptr(GPtrArray) violations = oracle_judge(subject);
    if (violations->len == 0) {
        return NULL;
    }
    g_ptr_array_add(violations, NULL);
    return g_strjoinv("\n", (char **) violations->pdata);
}
