/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/journal.h>

#include "../support/tree.h"

#include <vmrun/error.h>
#include <vmrun/text.h>

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PLACE "/var/lib/vmrun/journal"
#define BOOT_ID "0b4e7b32-6a3d-4a6f-9d4f-2f3c1c5c9b1e"

static VrJournal *
full_journal(const char *profile)
{
    VrJournal *journal = vr_journal_new(profile);
    VrPciAddress address = {0, 1, 0, 0};
    VrBinding *binding = vr_binding_new(address);
    binding->vendor = 0x10de;
    binding->device = 0x2484;
    binding->class_code = 0x030000;
    binding->group = 3;
    binding->present = true;
    binding->driver = g_strdup("nvidia");
    binding->driver_override = g_strdup("it's = [odd] \\ text");
    vr_host_state_add_binding(journal->before, binding);
    vr_host_state_set_unit(journal->before, "nvidia-powerd.service", true);
    journal->boot_id = g_strdup(BOOT_ID);
    journal->uri = g_strdup("qemu:///embed?root=/var/lib/vmrun/embed/ab");
    journal->domain_uuid = g_strdup("c1a5f8c0-0000-4000-8000-00000000000f");
    journal->phase = VR_PHASE_STUCK;
    journal->qemu_pid = 4711;
    journal->qemu_start_time = UINT64_MAX;
    journal->since = 1795372439;
    journal->keep = true;
    vr_journal_set_stuck(journal, (VrStuck){address, 99, 12345});
    journal->message = g_strdup("0000:01:00.0: unbind; it = \"hangs\"");
    return journal;
}

/* Whether two journals say the same: by what they write. */
static void
assert_same(const VrJournal *a, const VrJournal *b)
{
    g_autofree char *text_a = vr_journal_to_text(a);
    g_autofree char *text_b = vr_journal_to_text(b);
    g_assert_cmpstr(text_a, ==, text_b);
}

static void
assert_corrupt(const char *text, size_t size_bytes)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(VrJournal) journal = vr_journal_from_text(text, size_bytes, &error);
    g_assert_null(journal);
    g_assert_error(error, VR_ERROR, VR_ERROR_CORRUPT);
}

static void
test_round_trip(void)
{
    g_autoptr(VrJournal) journal = full_journal("gaming");
    g_autofree char *text = vr_journal_to_text(journal);
    g_autoptr(GError) error = NULL;
    g_autoptr(VrJournal) again = vr_journal_from_text(text, strlen(text), &error);
    g_assert_no_error(error);
    assert_same(journal, again);
    g_assert_cmpstr(again->message, ==, journal->message);
    g_assert_cmpuint(again->qemu_start_time, ==, UINT64_MAX);
    g_assert_cmpint(again->phase, ==, VR_PHASE_STUCK);
    g_assert_cmpuint(again->stuck->len, ==, 1);
    g_assert_cmpint(vr_journal_stuck(again, (VrPciAddress){0, 1, 0, 0})->pid, ==, 99);
    g_assert_true(vr_host_state_equal(journal->before, again->before));
}

/* Two that hang have two workers, and the record ends with the later one of them. */
static void
test_each_stuck_device_has_its_worker(void)
{
    g_autoptr(VrJournal) journal = vr_journal_new("gaming");
    g_autofree char *directory = tree_new();
    g_autoptr(VrSysroot) root = tree_root(directory);
    VrPciAddress gpu = {0, 1, 0, 0};
    VrPciAddress audio = {0, 1, 0, 1};
    tree_write(directory, "/proc/78/stat", "78 (x) D 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 222 1 1");
    vr_journal_set_stuck(journal, (VrStuck){gpu, 77, 111});
    g_assert_false(vr_journal_hangs(root, journal));
    vr_journal_set_stuck(journal, (VrStuck){audio, 78, 111});
    g_assert_false(vr_journal_hangs(root, journal)); /* another process has that number now */
    vr_journal_set_stuck(journal, (VrStuck){audio, 78, 222});
    g_assert_true(vr_journal_hangs(root, journal));
    g_autofree char *text = vr_journal_to_text(journal);
    g_autoptr(VrJournal) again = vr_journal_from_text(text, strlen(text), NULL);
    g_assert_cmpuint(again->stuck->len, ==, 2);
    g_assert_cmpint(vr_journal_stuck(again, gpu)->pid, ==, 77);
    g_assert_cmpuint(vr_journal_stuck(again, audio)->start_time, ==, 222);
    tree_remove(g_steal_pointer(&directory));
}

static void
test_empty_round_trip(void)
{
    g_autoptr(VrJournal) journal = vr_journal_new("a");
    g_autofree char *text = vr_journal_to_text(journal);
    g_autoptr(VrJournal) again = vr_journal_from_text(text, strlen(text), NULL);
    g_assert_nonnull(again);
    g_assert_null(again->uri);
    assert_same(journal, again);
}

static void
test_cut_off_anywhere_is_corrupt(void)
{
    g_autoptr(VrJournal) journal = full_journal("gaming");
    g_autofree char *text = vr_journal_to_text(journal);
    size_t size_bytes = strlen(text);
    for (size_t length = 0; length < size_bytes; length++) {
        assert_corrupt(text, length);
    }
    g_test_message("cases=%zu", size_bytes);
}

static void
test_any_changed_byte_is_corrupt(void)
{
    g_autoptr(VrJournal) journal = full_journal("gaming");
    g_autofree char *text = vr_journal_to_text(journal);
    size_t size_bytes = strlen(text);
    static const unsigned char flips[] = {0x01, 0x20, 0x80, 0xff};
    for (size_t at = 0; at < size_bytes; at++) {
        for (guint i = 0; i < G_N_ELEMENTS(flips); i++) {
            text[at] = (char) (text[at] ^ flips[i]);
            assert_corrupt(text, size_bytes);
            text[at] = (char) (text[at] ^ flips[i]);
        }
    }
    g_test_message("cases=%zu", size_bytes * G_N_ELEMENTS(flips));
}

/* A journal with a right checksum over changed contents. */
static char *
forged(const char *old, const char *new)
{
    g_autoptr(VrJournal) journal = full_journal("gaming");
    g_autofree char *text = vr_journal_to_text(journal);
    const char *at = strstr(text, old);
    char *end = strstr(text, "sha256=");
    g_assert_nonnull(at);
    *end = '\0';
    g_autofree char *head = g_strndup(text, (gsize) (at - text));
    g_autofree char *body = g_strconcat(head, new, at + strlen(old), NULL);
    g_autofree char *digest = vr_text_digest(body);
    return g_strconcat(body, "sha256=", digest, "\n", NULL);
}

static void
test_every_field_is_checked_behind_the_checksum(void)
{
    static const char *const lies[][2] = {
        {"version=1", "version=2"},
        {"version=1", "version=one"},
        {"profile=gaming", "profile=../x"},
        {"profile=gaming", "nobody=gaming"},
        {"boot-id=0b", "boot-id=0B"},
        {"phase=stuck", "phase=resting"},
        {"qemu-pid=4711", "qemu-pid=-1"},
        {"keep=true", "keep=maybe"},
        {"since=1795372439", "since=soon"},
        {"devices=0000:01:00.0", "devices=all"},
        {"devices=0000:01:00.0/99/", "devices=0000:01:00.0/-1/"},
        {"devices=0000:01:00.0/99/12345", "devices=0000:01:00.0/99"},
        {"devices=", "devices=0000:01:00.0/1/1 "}, /* twice */
        {"\"nvidia\"", "\"a/b\""},
        {"[before]", "[after]"},
        {"uri=qemu", "uri=\\n"},
        {"[session]", "[session"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(lies); i++) {
        g_autofree char *text = forged(lies[i][0], lies[i][1]);
        g_test_message("%s", lies[i][1]);
        assert_corrupt(text, strlen(text));
    }
    g_autofree char *honest = forged("version=1", "version=1");
    g_autoptr(VrJournal) journal = vr_journal_from_text(honest, strlen(honest), NULL);
    g_assert_nonnull(journal);
}

static void
test_unknown_version_says_what_to_do(void)
{
    g_autofree char *text = forged("version=1", "version=7");
    g_autoptr(GError) error = NULL;
    g_assert_null(vr_journal_from_text(text, strlen(text), &error));
    g_assert_nonnull(strstr(error->message, "version 7"));
}

typedef struct {
    char *directory;
    VrSysroot *root;
} Place;

static Place
place_new(void)
{
    Place place = {.directory = tree_new()};
    place.root = tree_root(place.directory);
    return place;
}

static void
place_clear(Place *place)
{
    vr_sysroot_unref(place->root);
    tree_remove(place->directory);
}

static guint
mode_of(const Place *place, const char *path)
{
    struct stat status;
    g_autofree char *full = g_strconcat(place->directory, path, NULL);
    g_assert_cmpint(stat(full, &status), ==, 0);
    return status.st_mode & 07777;
}

static void
test_written_is_read_and_private(void)
{
    Place place = place_new();
    g_autoptr(VrJournal) journal = full_journal("gaming");
    g_autoptr(GError) error = NULL;
    g_assert_true(vr_journal_write(place.root, journal, &error));
    g_assert_no_error(error);
    g_autoptr(VrJournal) again = vr_journal_read(place.root, "gaming", &error);
    g_assert_no_error(error);
    assert_same(journal, again);
    g_assert_cmphex(mode_of(&place, "/var/lib/vmrun"), ==, 0711);
    g_assert_cmphex(mode_of(&place, PLACE), ==, 0700);
    g_assert_cmphex(mode_of(&place, PLACE "/gaming.conf"), ==, 0600);
    place_clear(&place);
}

static void
test_missing_is_not_found(void)
{
    Place place = place_new();
    g_autoptr(GError) error = NULL;
    g_assert_null(vr_journal_read(place.root, "gaming", &error));
    g_assert_error(error, VR_ERROR, VR_ERROR_NOT_FOUND);
    g_autoptr(GPtrArray) profiles = vr_journal_profiles(place.root, NULL);
    g_assert_cmpuint(profiles->len, ==, 0);
    g_clear_error(&error);
    g_assert_null(vr_journal_read(place.root, "../../etc/passwd", &error));
    g_assert_error(error, VR_ERROR, VR_ERROR_NOT_FOUND);
    place_clear(&place);
}

static void
test_what_others_could_have_written_is_corrupt(void)
{
    Place place = place_new();
    g_autoptr(VrJournal) journal = full_journal("gaming");
    g_autoptr(GError) error = NULL;
    g_assert_true(vr_journal_write(place.root, journal, NULL));
    g_autofree char *file = g_strconcat(place.directory, PLACE "/gaming.conf", NULL);
    g_assert_cmpint(chmod(file, 0620), ==, 0);
    g_assert_null(vr_journal_read(place.root, "gaming", &error));
    g_assert_error(error, VR_ERROR, VR_ERROR_CORRUPT);
    g_assert_cmpint(chmod(file, 0600), ==, 0);
    g_autofree char *other = g_strconcat(place.directory, PLACE "/other.conf", NULL);
    g_assert_cmpint(rename(file, other), ==, 0);
    g_clear_error(&error);
    g_assert_null(vr_journal_read(place.root, "other", &error));
    g_assert_error(error, VR_ERROR, VR_ERROR_CORRUPT);
    g_assert_nonnull(strstr(error->message, "it is the journal of 'gaming'"));
    g_clear_error(&error);
    tree_link(place.directory, PLACE "/gaming.conf", "other.conf");
    g_assert_null(vr_journal_read(place.root, "gaming", &error));
    g_assert_nonnull(error);
    place_clear(&place);
}

static void
test_unwritable_place_is_an_error_and_changes_nothing(void)
{
    Place place = place_new();
    g_autoptr(VrJournal) journal = full_journal("gaming");
    g_autoptr(GError) error = NULL;
    tree_write(place.directory, "/var/lib/vmrun", "a file in the way");
    g_assert_false(vr_journal_write(place.root, journal, &error));
    g_assert_nonnull(strstr(error->message, "write the journal of 'gaming'"));
    place_clear(&place);
}

static void
test_what_could_not_be_read_again_is_not_written(void)
{
    Place place = place_new();
    g_autoptr(VrJournal) journal = full_journal("gaming");
    VrBinding *binding = g_ptr_array_index(journal->before->bindings, 0);
    g_free(binding->driver);
    binding->driver = g_strdup("not a name");
    g_assert_false(vr_journal_write(place.root, journal, NULL));
    g_autoptr(GPtrArray) profiles = vr_journal_profiles(place.root, NULL);
    g_assert_cmpuint(profiles->len, ==, 0);
    place_clear(&place);
}

static void
test_profiles_are_listed_and_closed_ones_kept(void)
{
    Place place = place_new();
    g_autoptr(GError) error = NULL;
    static const char *const names[] = {"llm-train", "gaming"};
    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autoptr(VrJournal) journal = full_journal(names[i]);
        g_assert_true(vr_journal_write(place.root, journal, NULL));
    }
    tree_write(place.directory, PLACE "/Not a profile.conf", "");
    tree_write(place.directory, PLACE "/gaming.conf.tmp", "");
    g_autoptr(GPtrArray) profiles = vr_journal_profiles(place.root, NULL);
    g_assert_cmpuint(profiles->len, ==, 2);
    g_assert_cmpstr(g_ptr_array_index(profiles, 0), ==, "gaming");
    for (guint i = 0; i < 23; i++) {
        g_autoptr(VrJournal) journal = full_journal("gaming");
        g_assert_true(vr_journal_write(place.root, journal, NULL));
        g_assert_true(vr_journal_close(place.root, journal, &error));
        g_assert_no_error(error);
    }
    g_autoptr(GPtrArray) done = vr_sysroot_list(place.root, PLACE "/done", NULL);
    g_assert_cmpuint(done->len, ==, 20);
    g_assert_null(vr_journal_read(place.root, "gaming", &error));
    g_autoptr(VrJournal) closed = full_journal("gaming");
    g_clear_error(&error);
    g_assert_false(vr_journal_close(place.root, closed, &error));
    place_clear(&place);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/journal/round-trip", test_round_trip);
    g_test_add_func("/journal/empty-round-trip", test_empty_round_trip);
    g_test_add_func("/journal/each-stuck-device-has-its-worker",
                    test_each_stuck_device_has_its_worker);
    g_test_add_func("/journal/cut-off-anywhere-is-corrupt", test_cut_off_anywhere_is_corrupt);
    g_test_add_func("/journal/any-changed-byte-is-corrupt", test_any_changed_byte_is_corrupt);
    g_test_add_func("/journal/every-field-is-checked-behind-the-checksum",
                    test_every_field_is_checked_behind_the_checksum);
    g_test_add_func("/journal/unknown-version-says-what-to-do",
                    test_unknown_version_says_what_to_do);
    g_test_add_func("/journal/written-is-read-and-private", test_written_is_read_and_private);
    g_test_add_func("/journal/missing-is-not-found", test_missing_is_not_found);
    g_test_add_func("/journal/what-others-could-have-written-is-corrupt",
                    test_what_others_could_have_written_is_corrupt);
    g_test_add_func("/journal/unwritable-place-is-an-error-and-changes-nothing",
                    test_unwritable_place_is_an_error_and_changes_nothing);
    g_test_add_func("/journal/what-could-not-be-read-again-is-not-written",
                    test_what_could_not_be_read_again_is_not_written);
    g_test_add_func("/journal/profiles-are-listed-and-closed-ones-kept",
                    test_profiles_are_listed_and_closed_ones_kept);
    return g_test_run();
}
