/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What was done, event by event. */
#include "oracle_private.h"

#include <string.h>

#define DEVICES "/sys/bus/pci/devices/"
#define DRIVERS "/sys/bus/pci/drivers/"

typedef struct {
    GHashTable *before;  /* snapshot */
    GHashTable *now;     /* the same, replayed */
    GHashTable *claimed; /* object -> profile, ever */
    GHashTable *open;    /* object -> profile, by a journal that is not closed */
    bool guest, rebooted, stopping;
    char *failure;  /* the first */
    char *reported; /* the last */
    GPtrArray *violations;
} Replay;

static char *
key_of(const char *subject, const char *name)
{
    return g_strconcat(subject, " ", name, NULL);
}

static const char *
value_of(GHashTable *values, const char *subject, const char *name)
{
    g_autofree char *key = key_of(subject, name);
    return g_hash_table_lookup(values, key);
}

static void
set_value(const Replay *replay, const char *subject, const char *name, const char *value)
{
    if (value == NULL) {
        g_autofree char *key = key_of(subject, name);
        g_hash_table_remove(replay->now, key);
    } else {
        g_hash_table_replace(replay->now, key_of(subject, name), g_strdup(value));
    }
}

static void
drop_claims(GHashTable *open, const char *profile)
{
    GHashTableIter iter;
    gpointer owner;
    g_hash_table_iter_init(&iter, open);
    while (g_hash_table_iter_next(&iter, NULL, &owner)) {
        if (g_strcmp0(owner, profile) == 0) {
            g_hash_table_iter_remove(&iter);
        }
    }
}

/* durable PROFILE PHASE OBJECT... */
static void
durable(const Replay *replay, char **words)
{
    const char *profile = words[1];
    drop_claims(replay->open, profile);
    for (char **object = words + 3; *object != NULL; object++) {
        const char *other = g_hash_table_lookup(replay->open, *object);
        if (other != NULL && (*object)[0] != '/') { /* pools are shared */
            oracle_complain(replay->violations, "I4: %s is claimed by '%s' and by '%s'", *object,
                            other, profile);
        }
        g_hash_table_replace(replay->open, g_strdup(*object), g_strdup(profile));
        g_hash_table_replace(replay->claimed, g_strdup(*object), g_strdup(profile));
    }
}

/* What the journal of this profile is given up for must be as it was. */
static void
closed(const Replay *replay, const char *profile)
{
    static const char *const names[] = {"driver", "driver_override"};
    GHashTableIter iter;
    gpointer object, owner;
    g_hash_table_iter_init(&iter, replay->open);
    while (g_hash_table_iter_next(&iter, &object, &owner)) {
        for (guint i = 0; i < G_N_ELEMENTS(names) && g_str_equal(owner, profile); i++) {
            const char *was = value_of(replay->before, object, names[i]);
            const char *is = value_of(replay->now, object, names[i]);
            if (g_strcmp0(was, is) != 0 && !replay->rebooted) {
                oracle_complain(replay->violations,
                                "I12: the journal was closed while %s %s was %s, not %s",
                                (char *) object, names[i], is != NULL ? is : "none",
                                was != NULL ? was : "none");
            }
        }
    }
    drop_claims(replay->open, profile);
}

/* Before anything of `object` is written. */
static void
check_write(const Replay *replay, const char *object, bool is_device)
{
    if (!g_hash_table_contains(replay->open, object)) {
        bool foreign = is_device && g_hash_table_size(replay->claimed) > 0 &&
                       !g_hash_table_contains(replay->claimed, object);
        oracle_complain(replay->violations, "%s: %s was written without a journal that claims it",
                        foreign ? "I3" : "I1", object);
    }
    if (is_device && replay->guest) {
        oracle_complain(replay->violations, "I5: %s was written while a guest has it", object);
    }
    if (is_device && replay->rebooted) {
        oracle_complain(replay->violations, "I17: %s was written after a reboot", object);
    }
    if (is_device && replay->stopping) {
        oracle_complain(replay->violations, "I18: %s was written while the computer shuts down",
                        object);
    }
}

/* Another device sits at that address than the one that was recorded. */
static void
check_identity(const Replay *replay, const OracleCase *subject, const char *address)
{
    static const char *const names[] = {"vendor", "device"};
    g_autoptr(GHashTable) after = oracle_parse(subject->after);
    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        const char *was = value_of(replay->before, address, names[i]);
        const char *is = value_of(after, address, names[i]);
        if (was != NULL && is != NULL && !g_str_equal(was, is)) {
            oracle_complain(replay->violations, "I2: %s was written, and it is another device",
                            address);
        }
    }
}

/* No override, no driver: whoever comes first takes it. */
static void
check_guarded(const Replay *replay, const char *address)
{
    const char *override = value_of(replay->now, address, "driver_override");
    bool free_by_nature = value_of(replay->before, address, "driver") == NULL;
    bool guarded = override != NULL && override[0] != '\0' && !g_str_equal(override, "(null)");
    if (!guarded && !free_by_nature && value_of(replay->now, address, "driver") == NULL) {
        oracle_complain(replay->violations, "I6: %s had neither driver nor override", address);
    }
}

static void
device_write(const Replay *replay, const OracleCase *subject, const char *rest, const char *value)
{
    g_auto(GStrv) parts = g_strsplit(rest, "/", 2);
    bool clears = value[0] == '\0' && g_strcmp0(parts[1], "driver_override") == 0;
    check_write(replay, parts[0], true);
    check_identity(replay, subject, parts[0]);
    set_value(replay, parts[0], parts[1], clears ? "(null)" : value);
    check_guarded(replay, parts[0]);
}

static void
driver_write(const Replay *replay, const OracleCase *subject, const char *rest, const char *value)
{
    g_auto(GStrv) parts = g_strsplit(rest, "/", 2);
    check_write(replay, value, true);
    check_identity(replay, subject, value);
    set_value(replay, value, "driver", g_strcmp0(parts[1], "bind") == 0 ? parts[0] : NULL);
    check_guarded(replay, value);
}

static void
kernel(const Replay *replay, const OracleCase *subject, const char *path, const char *value)
{
    if (g_str_has_prefix(path, DEVICES)) {
        device_write(replay, subject, path + strlen(DEVICES), value);
    } else if (g_str_has_prefix(path, DRIVERS)) {
        driver_write(replay, subject, path + strlen(DRIVERS), value);
    } else if (!g_str_equal(path, "/proc/sys/vm/compact_memory")) {
        check_write(replay, path, false);
    }
}

static void
mark(Replay *replay, const char *line)
{
    if (g_str_has_prefix(line, "guest ")) {
        replay->guest = g_str_equal(line, "guest on");
    }
    replay->rebooted = replay->rebooted || g_str_equal(line, "reboot");
    replay->stopping = replay->stopping || g_str_equal(line, "stopping");
    if (g_str_has_prefix(line, "failure ") && replay->failure == NULL) {
        replay->failure = g_strdup(line + strlen("failure "));
    }
    if (g_str_has_prefix(line, "reported ")) {
        g_free(replay->reported);
        replay->reported = g_strdup(line + strlen("reported "));
    }
}

static void
replay_line(Replay *replay, const OracleCase *subject, const char *line)
{
    g_auto(GStrv) words = g_strsplit(line, " ", -1);
    guint count = g_strv_length(words);
    if (count >= 3 && g_str_equal(words[0], "durable")) {
        durable(replay, words);
    } else if (count == 2 && g_str_equal(words[0], "closed")) {
        closed(replay, words[1]);
    } else if (count >= 2 && g_str_equal(words[0], "kernel")) {
        kernel(replay, subject, words[1], count > 2 ? words[2] : "");
    } else if (count == 3 && g_str_equal(words[0], "unit")) {
        check_write(replay, words[2], false);
    } else if (count == 2 && g_str_equal(words[0], "module")) {
        if (g_hash_table_size(replay->open) == 0) {
            oracle_complain(replay->violations, "I1: the module %s was loaded without a journal",
                            words[1]);
        }
    } else {
        mark(replay, line);
    }
}

void
oracle_replay(const OracleCase *subject, GHashTable *claimed, GPtrArray *violations)
{
    Replay replay = {.claimed = claimed, .violations = violations};
    g_auto(GStrv) lines = g_strsplit(subject->trace != NULL ? subject->trace : "", "\n", -1);
    replay.before = oracle_parse(subject->before);
    replay.now = oracle_parse(subject->before);
    replay.open = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    for (char **line = lines; *line != NULL; line++) {
        replay_line(&replay, subject, *line);
    }
    if (replay.failure != NULL && replay.reported != NULL &&
        strstr(replay.reported, replay.failure) == NULL) {
        oracle_complain(violations, "I19: '%s' was reported, the first failure was '%s'",
                        replay.reported, replay.failure);
    }
    g_hash_table_unref(replay.before);
    g_hash_table_unref(replay.now);
    g_hash_table_unref(replay.open);
    g_free(replay.failure);
    g_free(replay.reported);
}
