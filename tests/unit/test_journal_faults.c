/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A journal that is not what was written: cut off, changed, of another version, of another boot, of
 * other devices, or no file at all. Each goes through the whole recovery, on a computer whose card
 * is half moved; what counts is that nothing wrong is ever written.
 */
#include "../support/card_host.h"
#include "../support/suite.h"
#include "../support/tree.h"

#include <vmrun/error.h>
#include <vmrun/text.h>

#include <glib/gstdio.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HALF_OF_THE_WRITES 14

/* Everything that a journal can have in it. */
static VrJournal *
full_journal(const CardHost *host)
{
    VrJournal *journal = card_host_journal(host);
    journal->phase = VR_PHASE_STUCK;
    journal->message = g_strdup("0000:01:00.3  unbind from nvidia-gpu: still hangs");
    vr_journal_set_stuck(journal, (VrStuck){card_pci_address(3), 77, 4242});
    return journal;
}

static CardHost *
half_moved_host(void)
{
    CardHost *host = card_host_new();
    g_autoptr(VrJournal) journal = full_journal(host);
    card_host_record(host, journal);
    card_host_take_half(host, HALF_OF_THE_WRITES);
    return host;
}

static char *
journal_file(const CardHost *host)
{
    return g_strconcat(fake_kernel_directory(host->kernel), CARD_JOURNAL, NULL);
}

static char *
read_journal_text(const CardHost *host, gsize *out_size_bytes)
{
    g_autofree char *path = journal_file(host);
    char *text = NULL;
    g_assert_true(g_file_get_contents(path, &text, out_size_bytes, NULL));
    return text;
}

/* Without the fsync of g_file_set_contents(): this happens ten thousand times. */
static void
store(const CardHost *host, const char *text, gsize size_bytes)
{
    g_autofree char *path = journal_file(host);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(write(fd, text, size_bytes), ==, (ssize_t) size_bytes);
    close(fd);
}

/* Nothing was written; file and next action are named, and what is wrong with it. */
static bool
is_refused(CardHost *host, const char *cause)
{
    g_autoptr(GError) error = NULL;
    fake_kernel_revive(host->kernel);
    bool done = card_host_recover(host, NULL, NULL, &error);
    bool fine = !done && g_error_matches(error, VR_ERROR, VR_ERROR_RESTORE_INCOMPLETE) &&
                fake_kernel_writes(host->kernel) == 0 &&
                strstr(error->message, CARD_JOURNAL) != NULL &&
                strstr(error->message, "nothing was written") != NULL &&
                strstr(error->message, "restarting the computer") != NULL &&
                (cause == NULL || strstr(error->message, cause) != NULL);
    if (!fine) {
        g_test_message("writes=%u: %s", fake_kernel_writes(host->kernel),
                       error != NULL ? error->message : "no error");
    }
    return fine;
}

/* That what is refused is what could not be believed, and not everything. */
static void
assert_whole_one_restores(CardHost *host, const char *text, gsize size_bytes)
{
    g_autoptr(GError) error = NULL;
    store(host, text, size_bytes);
    g_assert_true(card_host_recover(host, NULL, NULL, &error));
    g_assert_no_error(error);
    card_host_assert_restored(host);
    fake_kernel_revive(host->kernel);
    g_assert_true(card_host_recover(host, NULL, NULL, &error));
    g_assert_cmpuint(fake_kernel_writes(host->kernel), ==, 0);
}

static void
test_cut_off_at_every_byte(void)
{
    g_autoptr(CardHost) host = half_moved_host();
    gsize size_bytes = 0;
    g_autofree char *text = read_journal_text(host, &size_bytes);
    g_autofree char *moved = fake_kernel_snapshot(host->kernel);
    Suite suite = {0};
    for (gsize length = 0; length < size_bytes; length++) {
        g_autofree char *what = g_strdup_printf("cut off after %zu bytes", length);
        store(host, text, length);
        suite_count(&suite, is_refused(host, NULL), what);
    }
    g_autofree char *now = fake_kernel_snapshot(host->kernel);
    g_assert_cmpstr(now, ==, moved);
    assert_whole_one_restores(host, text, size_bytes);
    suite_finish(&suite, "journal-torn", (guint) size_bytes);
}

static void
test_every_byte_changed(void)
{
    g_autoptr(CardHost) host = half_moved_host();
    gsize size_bytes = 0;
    g_autofree char *text = read_journal_text(host, &size_bytes);
    g_autofree char *moved = fake_kernel_snapshot(host->kernel);
    Suite suite = {0};
    for (gsize at = 0; at < size_bytes; at++) {
        char whole = text[at];
        const char flips[] = {(char) (whole ^ (1 << (at % 8))), '\0', whole == '7' ? '4' : '7',
                              whole == 'f' ? 'a' : 'f'};
        for (guint i = 0; i < G_N_ELEMENTS(flips); i++) {
            g_autofree char *what = g_strdup_printf("byte %zu is %d", at, flips[i]);
            text[at] = flips[i];
            store(host, text, size_bytes);
            suite_count(&suite, is_refused(host, NULL), what);
        }
        text[at] = whole;
    }
    g_autofree char *now = fake_kernel_snapshot(host->kernel);
    g_assert_cmpstr(now, ==, moved);
    assert_whole_one_restores(host, text, size_bytes);
    suite_finish(&suite, "journal-flipped", 4 * (guint) size_bytes);
}

/* --- what is no journal of this session --------------------------------------------------------*/

/* With a right checksum over a changed line. */
static void
forge(const CardHost *host, const char *old, const char *new)
{
    gsize size_bytes = 0;
    g_autofree char *text = read_journal_text(host, &size_bytes);
    const char *at = strstr(text, old);
    char *end = g_strrstr(text, "sha256=");
    g_assert_true(at != NULL && end != NULL && at < end);
    *end = '\0';
    g_autofree char *head = g_strndup(text, (gsize) (at - text));
    g_autofree char *body = g_strconcat(head, new, at + strlen(old), NULL);
    g_autofree char *digest = vr_text_digest(body);
    g_autofree char *whole = g_strconcat(body, "sha256=", digest, "\n", NULL);
    store(host, whole, strlen(whole));
}

static void
remove_journal(const CardHost *host)
{
    g_autofree char *path = journal_file(host);
    g_assert_cmpint(g_unlink(path), ==, 0);
}

static void
make_empty(const CardHost *host)
{
    store(host, "", 0);
}

static void
make_directory(const CardHost *host)
{
    remove_journal(host);
    tree_make(fake_kernel_directory(host->kernel), CARD_JOURNAL);
}

static void
make_link(const CardHost *host)
{
    g_autofree char *path = journal_file(host);
    g_autofree char *other = g_strconcat(path, ".elsewhere", NULL);
    g_assert_cmpint(rename(path, other), ==, 0);
    tree_link(fake_kernel_directory(host->kernel), CARD_JOURNAL, CARD_PROFILE ".conf.elsewhere");
}

static void
make_fifo(const CardHost *host)
{
    g_autofree char *path = journal_file(host);
    remove_journal(host);
    g_assert_cmpint(mkfifo(path, 0600), ==, 0);
}

static void
make_huge(const CardHost *host)
{
    g_autofree char *text = g_strnfill(2 * 1024 * 1024, 'x');
    store(host, text, 2 * 1024 * 1024);
}

static void
open_to_the_group(const CardHost *host)
{
    g_autofree char *path = journal_file(host);
    g_assert_cmpint(chmod(path, 0660), ==, 0);
}

static void
open_to_all(const CardHost *host)
{
    g_autofree char *path = journal_file(host);
    g_assert_cmpint(chmod(path, 0602), ==, 0);
}

/* Only root can give a file away; nobody else can be fooled that way. */
static void
give_away(const CardHost *host)
{
    g_autofree char *path = journal_file(host);
    g_assert_cmpint(chown(path, 65534, (gid_t) -1), ==, geteuid() == 0 ? 0 : -1);
    if (geteuid() != 0) {
        open_to_all(host);
    }
}

static void
make_newer(const CardHost *host)
{
    forge(host, "version=1\n", "version=2\n");
}

static void
make_versionless(const CardHost *host)
{
    forge(host, "version=1\n", "");
}

static void
make_anothers(const CardHost *host)
{
    forge(host, "profile=" CARD_PROFILE, "profile=llm-train");
}

static const struct {
    const char *name;
    void (*make)(const CardHost *host);
    const char *cause;
} strangers[] = {
    {"empty", make_empty, "too short"},
    {"directory", make_directory, "not a regular file"},
    {"link", make_link, "symbolic links"},
    {"fifo", make_fifo, "not a regular file"},
    {"huge", make_huge, "larger than"},
    {"open-to-the-group", open_to_the_group, "can be written by others"},
    {"open-to-all", open_to_all, "can be written by others"},
    {"another-owner", give_away, "belongs to somebody else"},
    {"newer-version", make_newer, "version 2"},
    {"no-version", make_versionless, "version"},
    {"another-profile's", make_anothers, "llm-train"},
};

static void
test_no_journal_of_this_session(Suite *suite)
{
    for (guint i = 0; i < G_N_ELEMENTS(strangers); i++) {
        g_autoptr(CardHost) host = half_moved_host();
        g_autofree char *moved = fake_kernel_snapshot(host->kernel);
        strangers[i].make(host);
        bool refused = is_refused(host, strangers[i].cause);
        g_autofree char *now = fake_kernel_snapshot(host->kernel);
        suite_count(suite, refused && g_str_equal(now, moved), strangers[i].name);
    }
}

/* Bindings went with their boot: nothing is written, and the record is closed. */
static void
test_another_boot(Suite *suite)
{
    g_autoptr(CardHost) host = half_moved_host();
    VrRecovery recovery = VR_RECOVERY_NOTHING;
    g_autofree char *moved = fake_kernel_snapshot(host->kernel);
    tree_write(fake_kernel_directory(host->kernel), "/proc/sys/kernel/random/boot_id",
               "ffffffff-6a3d-4a6f-9d4f-2f3c1c5c9b1e");
    fake_kernel_revive(host->kernel);
    bool done = card_host_recover(host, NULL, &recovery, NULL);
    g_autofree char *now = fake_kernel_snapshot(host->kernel);
    suite_count(suite,
                done && recovery == VR_RECOVERY_RESTARTED &&
                    fake_kernel_writes(host->kernel) == 0 && g_str_equal(now, moved) &&
                    !card_host_has_journal(host),
                "another boot");
}

/* --- other devices -----------------------------------------------------------------------------*/

/* What sits at the address now; NULL: nothing. */
static const char *const impostors[] = {
    NULL, "010802 144d:a80a", "030000 10de:2485", "030000 10df:2484", "ffffff ffff:ffff",
};

static bool
others_are_back(const CardHost *host, guint except)
{
    for (guint i = 0; i < CARD_FUNCTIONS; i++) {
        if (i != except && !card_host_is_back(host, i)) {
            g_test_message("%s is not back", card_address(i));
            return false;
        }
    }
    return true;
}

static char *
describe_function(const CardHost *host, guint function)
{
    g_autofree char *driver = fake_kernel_driver(host->kernel, card_address(function));
    g_autofree char *override = fake_kernel_override(host->kernel, card_address(function));
    return g_strdup_printf("%s %s", driver, override);
}

/* The impostor is on vfio-pci as its predecessor was: to look at the driver would not help. */
static bool
is_spared(guint function, const char *impostor, const char *driver)
{
    g_autoptr(CardHost) host = card_host_new();
    g_autoptr(VrJournal) journal = full_journal(host);
    g_autoptr(GError) error = NULL;
    card_host_record(host, journal);
    g_assert_true(card_host_take(host, NULL, &error));
    fake_kernel_remove_device(host->kernel, card_address(function));
    if (impostor != NULL) {
        fake_kernel_add_device(host->kernel, card_address(function), impostor, 1);
        fake_kernel_place(host->kernel, card_address(function), driver, driver, "on");
    }
    g_autofree char *before =
        impostor != NULL ? describe_function(host, function) : g_strdup("gone");
    bool done = card_host_recover(host, NULL, NULL, &error);
    g_autofree char *after =
        impostor != NULL ? describe_function(host, function) : g_strdup("gone");
    return !done && g_error_matches(error, VR_ERROR, VR_ERROR_RESTORE_INCOMPLETE) &&
           strstr(error->message, card_address(function)) != NULL && g_str_equal(before, after) &&
           others_are_back(host, function) && card_host_has_journal(host);
}

static void
test_other_devices(Suite *suite)
{
    static const char *const drivers[] = {NULL, "vfio-pci"};
    for (guint function = 0; function < CARD_FUNCTIONS; function++) {
        for (guint i = 0; i < G_N_ELEMENTS(impostors); i++) {
            for (guint j = 0; j < G_N_ELEMENTS(drivers); j++) {
                g_autofree char *what = g_strdup_printf(
                    "%s is %s on %s", card_address(function),
                    impostors[i] != NULL ? impostors[i] : "gone", drivers[j] ? drivers[j] : "none");
                suite_count(suite, is_spared(function, impostors[i], drivers[j]), what);
            }
        }
    }
}

static void
test_identity(void)
{
    Suite suite = {0};
    test_no_journal_of_this_session(&suite);
    test_another_boot(&suite);
    test_other_devices(&suite);
    suite_finish(&suite, "journal-identity",
                 G_N_ELEMENTS(strangers) + 1 + CARD_FUNCTIONS * G_N_ELEMENTS(impostors) * 2);
}

int
main(int argc, char **argv)
{
    if (card_host_is_worker(argc, argv)) {
        return 0;
    }
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/journal-faults/cut-off-at-every-byte", test_cut_off_at_every_byte);
    g_test_add_func("/journal-faults/every-byte-changed", test_every_byte_changed);
    g_test_add_func("/journal-faults/identity", test_identity);
    return g_test_run();
}
