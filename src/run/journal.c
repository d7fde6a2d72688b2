/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/journal.h>

#include "base/fd.h"
#include "plan/profile_values.h"

#include <vmrun/error.h>
#include <vmrun/files.h>
#include <vmrun/process.h>
#include <vmrun/text.h>

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define DIRECTORY "/var/lib/vmrun/journal"
#define DONE_DIRECTORY DIRECTORY "/done"
#define SUFFIX ".conf"
#define DONE_KEPT 20
#define SIZE_LIMIT (1024 * 1024)
#define VERSION 1
#define CHECKSUM_KEY "sha256="
#define CHECKSUM_BYTES (sizeof CHECKSUM_KEY - 1 + 64 + 1) /* the line with its newline */

static const char *const phase_names[] = {
    [VR_PHASE_TAKING] = "taking",   [VR_PHASE_STARTING] = "starting",
    [VR_PHASE_RUNNING] = "running", [VR_PHASE_RESTORING] = "restoring",
    [VR_PHASE_STUCK] = "stuck",     [VR_PHASE_FAILED] = "failed",
    [VR_PHASE_KEPT] = "kept",
};

const char *
vr_phase_name(VrPhase phase)
{
    return (guint) phase < G_N_ELEMENTS(phase_names) ? phase_names[phase] : "unknown";
}

VrJournal *
vr_journal_new(const char *profile)
{
    VrJournal *journal = g_new0(VrJournal, 1);
    journal->profile = g_strdup(profile);
    journal->before = vr_host_state_new();
    journal->stuck = g_array_new(FALSE, TRUE, sizeof(VrStuck));
    return journal;
}

void
vr_journal_free(VrJournal *journal)
{
    if (journal == NULL) {
        return;
    }
    g_free(journal->profile);
    g_free(journal->boot_id);
    g_free(journal->uri);
    g_free(journal->domain_uuid);
    g_free(journal->message);
    vr_host_state_free(journal->before);
    g_array_unref(journal->stuck);
    g_free(journal);
}

static VrStuck *
find_stuck(const VrJournal *journal, VrPciAddress address)
{
    for (guint i = 0; i < journal->stuck->len; i++) {
        VrStuck *stuck = &g_array_index(journal->stuck, VrStuck, i);
        if (vr_pci_address_equal(stuck->address, address)) {
            return stuck;
        }
    }
    return NULL;
}

const VrStuck *
vr_journal_stuck(const VrJournal *journal, VrPciAddress address)
{
    return find_stuck(journal, address);
}

void
vr_journal_set_stuck(VrJournal *journal, VrStuck stuck)
{
    VrStuck *known = find_stuck(journal, stuck.address);
    if (known != NULL) {
        *known = stuck;
    } else {
        g_array_append_val(journal->stuck, stuck);
    }
}

bool
vr_journal_hangs(const VrSysroot *root, const VrJournal *journal)
{
    for (guint i = 0; i < journal->stuck->len; i++) {
        const VrStuck *stuck = &g_array_index(journal->stuck, VrStuck, i);
        if (vr_process_is_alive(root, stuck->pid, stuck->start_time)) {
            return true;
        }
    }
    return false;
}

/* Absent and NULL are the same; what a terminal should not see does not get in. */
static void
set_text(GKeyFile *file, const char *group, const char *key, const char *text)
{
    if (text != NULL) {
        g_autofree char *printable = vr_text_printable(text);
        g_key_file_set_string(file, group, key, printable);
    }
}

/* "ADDRESS/PID/START-TIME", with blanks between. */
static void
set_stuck(GKeyFile *file, const VrJournal *journal)
{
    g_autoptr(GString) devices = g_string_new(NULL);
    for (guint i = 0; i < journal->stuck->len; i++) {
        const VrStuck *stuck = &g_array_index(journal->stuck, VrStuck, i);
        g_autofree char *address = vr_pci_address_format(stuck->address);
        g_string_append_printf(devices, "%s%s/%d/%" G_GUINT64_FORMAT, i > 0 ? " " : "", address,
                               stuck->pid, stuck->start_time);
    }
    g_key_file_set_string(file, "stuck", "devices", devices->str);
}

char *
vr_journal_to_text(const VrJournal *journal)
{
    g_autoptr(GKeyFile) file = g_key_file_new();
    g_autofree char *before = vr_host_state_to_text(journal->before);
    g_key_file_set_integer(file, "session", "version", VERSION);
    g_key_file_set_string(file, "session", "profile", journal->profile);
    set_text(file, "session", "boot-id", journal->boot_id);
    set_text(file, "session", "uri", journal->uri);
    set_text(file, "session", "domain", journal->domain_uuid);
    g_key_file_set_string(file, "session", "phase", vr_phase_name(journal->phase));
    g_key_file_set_integer(file, "session", "qemu-pid", journal->qemu_pid);
    g_key_file_set_uint64(file, "session", "qemu-start-time", journal->qemu_start_time);
    g_key_file_set_int64(file, "session", "since", journal->since);
    g_key_file_set_boolean(file, "session", "keep", journal->keep);
    set_text(file, "session", "message", journal->message);
    set_stuck(file, journal);
    g_key_file_set_string(file, "before", "state", before);
    g_autofree char *body = g_key_file_to_data(file, NULL, NULL);
    g_autofree char *whole = g_strconcat("# The host as a session of vmrun found it; `vmrun "
                                         "restore` leads back to it. Do not edit.\n",
                                         body, "\n[end]\n", NULL);
    g_autofree char *digest = vr_text_digest(whole);
    return g_strconcat(whole, CHECKSUM_KEY, digest, "\n", NULL);
}

/* The text without its last line, which must be the checksum of the rest. */
static char *
checked_body(const char *text, size_t size_bytes, GError **error)
{
    if (size_bytes > SIZE_LIMIT || size_bytes < CHECKSUM_BYTES ||
        memchr(text, '\0', size_bytes) != NULL) {
        vr_error_set(error, VR_ERROR_CORRUPT, "too short, too long or not text");
        return NULL;
    }
    g_autofree char *body = g_strndup(text, size_bytes - CHECKSUM_BYTES);
    g_autofree char *digest = vr_text_digest(body);
    g_autofree char *line = g_strconcat(CHECKSUM_KEY, digest, "\n", NULL);
    if (memcmp(text + size_bytes - CHECKSUM_BYTES, line, CHECKSUM_BYTES) != 0) {
        vr_error_set(error, VR_ERROR_CORRUPT,
                     "the checksum does not match: it was cut off or changed");
        return NULL;
    }
    return g_steal_pointer(&body);
}

static bool
wrong(GError **error, const char *key)
{
    return vr_error_set(error, VR_ERROR_CORRUPT, "the value of '%s' is missing or wrong", key);
}

static bool
get_number(GKeyFile *file, const char *group, const char *key, uint64_t maximum,
           uint64_t *out_value, GError **error)
{
    g_autofree char *text = g_key_file_get_string(file, group, key, NULL);
    return (text != NULL && vr_text_to_uint(text, 0, maximum, out_value)) || wrong(error, key);
}

static bool
get_text(GKeyFile *file, const char *key, const char *pattern, char **out_text, GError **error)
{
    if (!g_key_file_has_key(file, "session", key, NULL)) {
        return true;
    }
    *out_text = g_key_file_get_string(file, "session", key, NULL);
    return (*out_text != NULL &&
            g_regex_match_simple(pattern, *out_text, G_REGEX_DOLLAR_ENDONLY, 0)) ||
           wrong(error, key);
}

/* Absent, or a text that a rule allows. */
static bool
get_checked(GKeyFile *file, const char *key, bool (*rule)(const char *), char **out_text,
            GError **error)
{
    return get_text(file, key, "", out_text, error) &&
           (*out_text == NULL || rule(*out_text) || wrong(error, key));
}

static bool
is_printable(const char *text)
{
    g_autofree char *shown = vr_text_printable(text);
    return g_str_equal(shown, text);
}

static bool
get_phase(GKeyFile *file, VrPhase *out_phase, GError **error)
{
    g_autofree char *text = g_key_file_get_string(file, "session", "phase", NULL);
    for (guint i = 0; i < G_N_ELEMENTS(phase_names); i++) {
        if (g_strcmp0(text, phase_names[i]) == 0) {
            *out_phase = (VrPhase) i;
            return true;
        }
    }
    return wrong(error, "phase");
}

static bool
get_profile(GKeyFile *file, VrJournal *journal, GError **error)
{
    journal->profile = g_key_file_get_string(file, "session", "profile", NULL);
    return (journal->profile != NULL && vr_text_is_profile_name(journal->profile)) ||
           wrong(error, "profile");
}

static bool
get_keep(GKeyFile *file, VrJournal *journal, GError **error)
{
    g_autofree char *text = g_key_file_get_string(file, "session", "keep", NULL);
    journal->keep = g_strcmp0(text, "true") == 0;
    return journal->keep || g_strcmp0(text, "false") == 0 || wrong(error, "keep");
}

static bool
get_session(GKeyFile *file, VrJournal *journal, GError **error)
{
    static const char *const uuid = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$";
    uint64_t pid, since;
    if (!get_profile(file, journal, error) ||
        !get_text(file, "boot-id", uuid, &journal->boot_id, error) ||
        !get_checked(file, "uri", vr_value_is_uri, &journal->uri, error) ||
        !get_text(file, "domain", uuid, &journal->domain_uuid, error) ||
        !get_checked(file, "message", is_printable, &journal->message, error) ||
        !get_phase(file, &journal->phase, error) || !get_keep(file, journal, error) ||
        !get_number(file, "session", "qemu-pid", G_MAXINT, &pid, error) ||
        !get_number(file, "session", "qemu-start-time", UINT64_MAX, &journal->qemu_start_time,
                    error) ||
        !get_number(file, "session", "since", G_MAXINT64, &since, error)) {
        return false;
    }
    journal->qemu_pid = (int) pid;
    journal->since = (int64_t) since;
    return true;
}

static bool
parse_stuck(const char *text, VrStuck *out_stuck)
{
    g_auto(GStrv) parts = g_strsplit(text, "/", -1);
    uint64_t pid = 0;
    if (g_strv_length(parts) != 3 || !vr_pci_address_parse(parts[0], &out_stuck->address) ||
        !vr_text_to_uint(parts[1], 0, G_MAXINT, &pid) ||
        !vr_text_to_uint(parts[2], 0, UINT64_MAX, &out_stuck->start_time)) {
        return false;
    }
    out_stuck->pid = (int) pid;
    return true;
}

static bool
get_stuck(GKeyFile *file, VrJournal *journal, GError **error)
{
    g_autofree char *text = g_key_file_get_string(file, "stuck", "devices", NULL);
    if (text == NULL) {
        return wrong(error, "devices");
    }
    g_auto(GStrv) words = g_strsplit(text, " ", -1);
    for (char **word = words; *word != NULL; word++) {
        VrStuck stuck = {0};
        if (!parse_stuck(*word, &stuck) || vr_journal_stuck(journal, stuck.address) != NULL) {
            return wrong(error, "devices");
        }
        vr_journal_set_stuck(journal, stuck);
    }
    return true;
}

static bool
get_before(GKeyFile *file, VrJournal *journal, GError **error)
{
    g_autofree char *text = g_key_file_get_string(file, "before", "state", NULL);
    journal->before = text != NULL ? vr_host_state_from_text(text, error) : NULL;
    return journal->before != NULL || (text == NULL && wrong(error, "state"));
}

static bool
check_version(GKeyFile *file, GError **error)
{
    uint64_t version;
    if (!get_number(file, "session", "version", G_MAXINT, &version, error)) {
        return false;
    }
    return version == VERSION ||
           vr_error_set(error, VR_ERROR_CORRUPT,
                        "it has version %u, this vmrun knows %u only: use the vmrun that wrote it",
                        (unsigned) version, VERSION);
}

VrJournal *
vr_journal_from_text(const char *text, size_t size_bytes, GError **error)
{
    g_autofree char *body = checked_body(text, size_bytes, error);
    g_autoptr(GKeyFile) file = g_key_file_new();
    g_autoptr(GError) cause = NULL;
    if (body == NULL) {
        return NULL;
    }
    if (!g_key_file_load_from_data(file, body, strlen(body), G_KEY_FILE_NONE, &cause)) {
        vr_error_set(error, VR_ERROR_CORRUPT, "%s", cause->message);
        return NULL;
    }
    g_autoptr(VrJournal) journal = vr_journal_new(NULL);
    g_clear_pointer(&journal->before, vr_host_state_free);
    if (!check_version(file, error) || !get_session(file, journal, error) ||
        !get_stuck(file, journal, error) || !get_before(file, journal, error)) {
        return NULL;
    }
    return g_steal_pointer(&journal);
}

static char *
journal_path(const char *profile)
{
    return g_strconcat(DIRECTORY "/", profile, SUFFIX, NULL);
}

/* What could not be read again is worse than no journal: find out before anything is changed. */
static bool
check_readable(const char *text, GError **error)
{
    g_autoptr(VrJournal) again = vr_journal_from_text(text, strlen(text), error);
    return again != NULL;
}

bool
vr_journal_write(const VrSysroot *root, const VrJournal *journal, GError **error)
{
    g_autofree char *path = journal_path(journal->profile);
    g_autofree char *text = vr_journal_to_text(journal);
    return (check_readable(text, error) &&
            vr_sysroot_make_directory(root, "/var/lib", 0755, error) &&
            vr_sysroot_make_directory(root, "/var/lib/vmrun", 0711, error) &&
            vr_sysroot_make_directory(root, DIRECTORY, 0700, error) &&
            vr_sysroot_replace(root, path, text, 0600, error)) ||
           vr_error_prefix(error, "write the journal of '%s'", journal->profile);
}

void
vr_journal_tidy(const VrSysroot *root, const char *profile)
{
    g_autofree char *path = journal_path(profile);
    vr_sysroot_remove_temporaries(root, path);
}

/* A journal decides which files root writes: nobody else may have had a hand in it. */
static bool
check_owner(int fd, const char *path, GError **error)
{
    struct stat status;
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
        return vr_error_set(error, VR_ERROR_CORRUPT, "%s is not a regular file", path);
    }
    if (status.st_uid != geteuid() || (status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        return vr_error_set(error, VR_ERROR_CORRUPT,
                            "%s belongs to somebody else or can be written by others", path);
    }
    return true;
}

static VrJournal *
read_journal(const VrSysroot *root, const char *path, const char *profile, GError **error)
{
    vr_autofd int fd =
        vr_sysroot_open(root, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, error);
    if (fd < 0 || !check_owner(fd, path, error)) {
        return NULL;
    }
    g_autoptr(GBytes) bytes = vr_fd_read_all(fd, path, SIZE_LIMIT, false, error);
    if (bytes == NULL) {
        return NULL;
    }
    gsize size_bytes = 0;
    const char *text = g_bytes_get_data(bytes, &size_bytes);
    g_autoptr(VrJournal) journal =
        vr_journal_from_text(text != NULL ? text : "", size_bytes, error);
    if (journal == NULL) {
        vr_error_prefix(error, "%s", path);
        return NULL;
    }
    if (!g_str_equal(journal->profile, profile)) {
        vr_error_set(error, VR_ERROR_CORRUPT, "%s: it is the journal of '%s'", path,
                     journal->profile);
        return NULL;
    }
    return g_steal_pointer(&journal);
}

VrJournal *
vr_journal_read(const VrSysroot *root, const char *profile, GError **error)
{
    if (!vr_text_is_profile_name(profile)) {
        vr_error_set(error, VR_ERROR_NOT_FOUND, "'%s' is not the name of a profile", profile);
        return NULL;
    }
    g_autofree char *path = journal_path(profile);
    return read_journal(root, path, profile, error);
}

/* Names begin with the time, so the first are the oldest. Failing to tidy up is no failure. */
static void
prune_done(const VrSysroot *root)
{
    g_autoptr(GPtrArray) names = vr_sysroot_list(root, DONE_DIRECTORY, NULL);
    for (guint i = 0; names != NULL && i + DONE_KEPT < names->len; i++) {
        g_autofree char *path = g_strconcat(DONE_DIRECTORY "/", g_ptr_array_index(names, i), NULL);
        g_autoptr(GError) ignored = NULL;
        if (!vr_sysroot_remove(root, path, &ignored)) {
            g_debug("%s", ignored->message);
        }
    }
}

bool
vr_journal_close(const VrSysroot *root, const VrJournal *journal, GError **error)
{
    g_autoptr(GDateTime) now = g_date_time_new_now_utc();
    g_autofree char *stamp = g_date_time_format(now, "%Y%m%dT%H%M%S");
    g_autofree char *from = journal_path(journal->profile);
    g_autofree char *to = g_strdup_printf(DONE_DIRECTORY "/%s.%06d-%s" SUFFIX, stamp,
                                          g_date_time_get_microsecond(now), journal->profile);
    if (!vr_sysroot_make_directory(root, DONE_DIRECTORY, 0700, error) ||
        !vr_sysroot_rename(root, from, to, error)) {
        return vr_error_prefix(error, "close the journal of '%s'", journal->profile);
    }
    prune_done(root);
    return true;
}

GPtrArray *
vr_journal_profiles(const VrSysroot *root, GError **error)
{
    g_autoptr(GError) cause = NULL;
    g_autoptr(GPtrArray) names = vr_sysroot_list(root, DIRECTORY, &cause);
    g_autoptr(GPtrArray) profiles = g_ptr_array_new_with_free_func(g_free);
    if (names == NULL && !g_error_matches(cause, VR_ERROR, VR_ERROR_NOT_FOUND)) {
        g_propagate_error(error, g_steal_pointer(&cause));
        return NULL;
    }
    for (guint i = 0; names != NULL && i < names->len; i++) {
        const char *name = g_ptr_array_index(names, i);
        if (!g_str_has_suffix(name, SUFFIX)) {
            continue;
        }
        g_autofree char *profile = g_strndup(name, strlen(name) - strlen(SUFFIX));
        if (vr_text_is_profile_name(profile)) {
            g_ptr_array_add(profiles, g_steal_pointer(&profile));
        }
    }
    return g_steal_pointer(&profiles);
}
