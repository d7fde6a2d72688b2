/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/profile.h>

#include "../support/tree.h"

#include <vmrun/error.h>

#include <glib/gstdio.h>

#include <string.h>
#include <unistd.h>

#define ADMIN "/etc/vmrun/profiles/"
#define INSTALLED VR_PROFILE_DIR "/"
#define USER "/users/u/.config/vmrun/profiles"

static void
mistake_free(void *mistake)
{
    vr_profile_mistake_free(mistake);
}

typedef struct {
    char *tree;
    VrSysroot *root;
    GPtrArray *mistakes;
    GError *error;
} Fixture;

static void
set_up(Fixture *fixture, const void *data)
{
    (void) data;
    fixture->tree = tree_new();
    tree_make(fixture->tree, "/etc/vmrun/profiles");
    fixture->root = tree_root(fixture->tree);
    fixture->mistakes = g_ptr_array_new_with_free_func(mistake_free);
}

static void
tear_down(Fixture *fixture, const void *data)
{
    (void) data;
    g_clear_error(&fixture->error);
    g_ptr_array_unref(fixture->mistakes);
    vr_sysroot_unref(fixture->root);
    tree_remove(fixture->tree);
}

static VrProfile *
load(Fixture *fixture, const char *name, bool trusted_only, const char *user_directory)
{
    g_clear_error(&fixture->error);
    g_ptr_array_set_size(fixture->mistakes, 0);
    return vr_profile_load(fixture->root, name, trusted_only, user_directory, fixture->mistakes,
                           &fixture->error);
}

static VrProfile *
load_good(Fixture *fixture, const char *name)
{
    VrProfile *profile = load(fixture, name, true, NULL);

    g_assert_no_error(fixture->error);
    g_assert_nonnull(profile);
    return profile;
}

/* The load fails with this code and says these words. */
static void
assert_fails(Fixture *fixture, const char *name, bool trusted_only, VrError code, const char *words)
{
    g_autoptr(VrProfile) profile = load(fixture, name, trusted_only, NULL);

    g_assert_null(profile);
    g_assert_error(fixture->error, VR_ERROR, (int) code);
    if (strstr(fixture->error->message, words) == NULL) {
        g_test_message("%s", fixture->error->message);
    }
    g_assert_nonnull(strstr(fixture->error->message, words));
}

/* The load finds exactly this mistake. */
static void
assert_mistake(Fixture *fixture, const char *name, const char *wanted)
{
    g_autoptr(VrProfile) profile = load(fixture, name, true, NULL);

    g_assert_null(profile);
    g_assert_error(fixture->error, VR_ERROR, VR_ERROR_USAGE);
    g_assert_cmpuint(fixture->mistakes->len, ==, 1);
    g_autofree char *line = vr_profile_mistake_format(g_ptr_array_index(fixture->mistakes, 0));
    g_assert_cmpstr(line, ==, wanted);
}

static void
change_mode(Fixture *fixture, const char *path, int mode)
{
    g_autofree char *full = g_strconcat(fixture->tree, path, NULL);

    g_assert_no_errno(g_chmod(full, mode));
}

static void
test_admin_wins_over_installed(Fixture *fixture, const void *data)
{
    (void) data;
    tree_write(fixture->tree, INSTALLED "a.conf", "[machine]\nmemory=1G");
    tree_write(fixture->tree, INSTALLED "b.conf", "[machine]\nmemory=1G");
    tree_write(fixture->tree, ADMIN "a.conf", "[machine]\nmemory=2G");
    g_autoptr(VrProfile) a = load_good(fixture, "a");
    g_autoptr(VrProfile) b = load_good(fixture, "b");

    g_assert_cmpuint(a->memory_mib, ==, 2048);
    g_assert_cmpuint(b->memory_mib, ==, 1024);
}

static void
test_user_directory_never_counts_for_trusted(Fixture *fixture, const void *data)
{
    (void) data;
    tree_write(fixture->tree, ADMIN "a.conf", "[machine]\nmemory=2G");
    tree_write(fixture->tree, USER "/a.conf", "[machine]\nmemory=3G");
    tree_write(fixture->tree, USER "/a.conf.d/x.conf", "[machine]\ncpus=3");
    g_autoptr(VrProfile) user = load(fixture, "a", false, USER);
    g_autoptr(VrProfile) trusted = load(fixture, "a", true, USER);

    g_assert_cmpuint(user->memory_mib, ==, 3072);
    g_assert_cmpuint(user->cpus, ==, 3);
    g_assert_cmpuint(trusted->memory_mib, ==, 2048);
    g_assert_cmpuint(trusted->cpus, ==, 0);
}

static void
test_layers_in_order(Fixture *fixture, const void *data)
{
    (void) data;
    tree_write(fixture->tree, INSTALLED "base.conf",
               "[profile]\ndescription=base\n[machine]\nmemory=1G\ncpus=1\nnuma=none\ntpm=yes");
    tree_write(fixture->tree, ADMIN "base.conf.d/x.conf", "[machine]\nmemory=2G\ntpm=no");
    tree_write(fixture->tree, ADMIN "a.conf",
               "[profile]\nextends=base\n[machine]\nmemory=3G\ncpus=3");
    tree_write(fixture->tree, ADMIN "a.conf.d/20-late.conf", "[machine]\ncpus=5");
    tree_write(fixture->tree, ADMIN "a.conf.d/10-early.conf", "[machine]\ncpus=4\nmemory=4G");
    tree_write(fixture->tree, ADMIN "a.conf.d/30-backup.conf~", "[machine]\ncpus=6");
    tree_write(fixture->tree, ADMIN "a.conf.d/.40-hidden.conf", "[machine]\ncpus=7");
    g_autoptr(VrProfile) profile = load_good(fixture, "a");

    g_assert_cmpstr(profile->description, ==, "base");
    g_assert_cmpuint(profile->cpus, ==, 5);
    g_assert_cmpuint(profile->memory_mib, ==, 4096);
    g_assert_cmpint(profile->numa, ==, VR_NONE);
    g_assert_false(profile->tpm);
    for (guint i = 0; i < profile->values->len; i++) {
        const VrProfileValue *value = g_ptr_array_index(profile->values, i);

        if (strcmp(value->key, "cpus") == 0) {
            g_assert_cmpstr(value->origin.file, ==, ADMIN "a.conf.d/20-late.conf");
            g_assert_cmpuint(value->origin.line, ==, 2);
        }
    }
}

static void
test_extends_that_leads_nowhere(Fixture *fixture, const void *data)
{
    (void) data;
    tree_write(fixture->tree, ADMIN "windows.conf", "[profile]\nguest=windows");
    tree_write(fixture->tree, ADMIN "a.conf", "# a\n[profile]\nextends=windos");
    tree_write(fixture->tree, ADMIN "b.conf", "[profile]\nextends=c");
    tree_write(fixture->tree, ADMIN "c.conf", "[profile]\nextends=b");
    tree_write(fixture->tree, ADMIN "d.conf", "[profile]\nextends=d");

    assert_mistake(fixture, "a",
                   ADMIN "a.conf:3: [profile] extends: there is no profile \"windos\" (did you "
                         "mean \"windows\"?); looked for " ADMIN "windos.conf, " INSTALLED
                         "windos.conf");
    assert_mistake(fixture, "b",
                   ADMIN "c.conf:2: [profile] extends: \"b\" would extend itself in the end; "
                         "remove one of the lines");
    assert_mistake(fixture, "d",
                   ADMIN "d.conf:2: [profile] extends: \"d\" would extend itself in the end; "
                         "remove one of the lines");
}

static void
test_long_chain_ends(Fixture *fixture, const void *data)
{
    (void) data;
    for (unsigned i = 0; i < 20; i++) {
        g_autofree char *path = g_strdup_printf(ADMIN "p%u.conf", i);
        g_autofree char *text = g_strdup_printf("[profile]\nextends=p%u", i + 1);

        tree_write(fixture->tree, path, text);
    }
    tree_write(fixture->tree, ADMIN "p20.conf", "[profile]\nguest=linux");
    assert_mistake(fixture, "p0",
                   ADMIN "p7.conf:2: [profile] extends: more than 8 profiles extend one another");
    g_autoptr(VrProfile) profile = load_good(fixture, "p13");
    g_assert_nonnull(profile);
}

static void
test_no_such_profile(Fixture *fixture, const void *data)
{
    (void) data;
    tree_write(fixture->tree, ADMIN "gaming.conf", "");
    tree_write(fixture->tree, INSTALLED "llm-train.conf", "");

    assert_fails(fixture, "gamin", true, VR_ERROR_NO_PROFILE, "(did you mean \"gaming\"?)");
    assert_fails(fixture, "other", true, VR_ERROR_NO_PROFILE, "(there are: gaming, llm-train)");
    assert_fails(fixture, "other", true, VR_ERROR_NO_PROFILE, ADMIN "other.conf");
    assert_fails(fixture, "other", true, VR_ERROR_NO_PROFILE, INSTALLED "other.conf");
}

static void
test_hostile_names(Fixture *fixture, const void *data)
{
    static const char *const names[] = {
        "",
        ".",
        "..",
        "../../etc/passwd",
        "/etc/passwd",
        "a/b",
        "A",
        "a b",
        "-a",
        "a\n",
        "a.conf",
        "<a>",
        "a&b",
        "é",
        "\xff",
        "$(reboot)",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    };

    (void) data;
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        assert_fails(fixture, names[i], false, VR_ERROR_USAGE, "is not the name of a profile");
    }
}

static void
test_writable_by_others_is_refused(Fixture *fixture, const void *data)
{
    static const struct {
        const char *path;
        int bad, good;
    } cases[] = {
        {ADMIN "a.conf", 0666, 0644},
        {ADMIN "a.conf", 0664, 0644},
        {ADMIN "a.conf.d/x.conf", 0602, 0600},
        {ADMIN "a.conf.d", 0777, 0755},
        {ADMIN "parent.conf", 0646, 0644},
        {"/etc/vmrun/profiles", 0775, 0755},
        {"/etc/vmrun", 01777, 0755},
        {"/etc", 0757, 0755},
        {"/", 0777, 0700},
    };

    (void) data;
    tree_write(fixture->tree, ADMIN "parent.conf", "");
    tree_write(fixture->tree, ADMIN "a.conf", "[profile]\nextends=parent");
    tree_write(fixture->tree, ADMIN "a.conf.d/x.conf", "[machine]\ncpus=2");
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *words = g_strdup_printf("%s can be written by others", cases[i].path);

        change_mode(fixture, cases[i].path, cases[i].bad);
        assert_fails(fixture, "a", true, VR_ERROR_NOT_AUTHORISED, words);
        g_autoptr(VrProfile) untrusted = load(fixture, "a", false, NULL);
        g_assert_no_error(fixture->error);
        change_mode(fixture, cases[i].path, cases[i].good);
        g_autoptr(VrProfile) trusted = load_good(fixture, "a");
    }
}

static void
test_links_are_refused(Fixture *fixture, const void *data)
{
    (void) data;
    tree_write(fixture->tree, "/elsewhere/a.conf", "[machine]\ncpus=2");
    tree_link(fixture->tree, ADMIN "a.conf", "/elsewhere/a.conf");
    tree_write(fixture->tree, ADMIN "b.conf", "");
    tree_link(fixture->tree, ADMIN "b.conf.d", "/elsewhere");

    assert_fails(fixture, "a", true, VR_ERROR_NOT_AUTHORISED, ADMIN "a.conf is a symbolic link");
    assert_fails(fixture, "b", true, VR_ERROR_NOT_AUTHORISED, ADMIN "b.conf.d is a symbolic link");
    g_autoptr(VrProfile) a = load(fixture, "a", false, NULL);
    g_assert_no_error(fixture->error);
    g_assert_cmpuint(a->cpus, ==, 2);
}

static void
test_other_owner_is_refused(Fixture *fixture, const void *data)
{
    g_autofree char *full = g_strconcat(fixture->tree, ADMIN "a.conf", NULL);

    (void) data;
    tree_write(fixture->tree, ADMIN "a.conf", "");
    if (geteuid() != 0) {
        g_test_skip("only root can give a file away");
        return;
    }
    g_assert_no_errno(chown(full, 65534, 65534));
    assert_fails(fixture, "a", true, VR_ERROR_NOT_AUTHORISED,
                 ADMIN "a.conf belongs to user 65534, not to root");
}

static void
test_only_plain_small_files(Fixture *fixture, const void *data)
{
    g_autofree char *large = g_strnfill(65 * 1024, '\n');
    g_autofree char *pipe = g_strconcat(fixture->tree, ADMIN "pipe.conf", NULL);

    (void) data;
    tree_make(fixture->tree, ADMIN "folder.conf");
    tree_write(fixture->tree, ADMIN "large.conf", large);
    g_assert_cmpint(mkfifo(pipe, 0600), ==, 0);

    assert_fails(fixture, "folder", true, VR_ERROR_USAGE, "is not a plain file");
    assert_fails(fixture, "pipe", true, VR_ERROR_USAGE, "is not a plain file");
    assert_mistake(fixture, "large", ADMIN "large.conf: larger than 64 KiB");
}

static void
test_names_are_listed(Fixture *fixture, const void *data)
{
    (void) data;
    tree_write(fixture->tree, ADMIN "b.conf", "");
    tree_write(fixture->tree, ADMIN "a.conf", "");
    tree_write(fixture->tree, ADMIN "Bad.conf", "");
    tree_write(fixture->tree, ADMIN "c.conf~", "");
    tree_write(fixture->tree, ADMIN "a.conf.d/x.conf", "");
    tree_write(fixture->tree, INSTALLED "a.conf", "");
    tree_write(fixture->tree, USER "/z.conf", "");
    g_autoptr(GPtrArray) names = vr_profile_names(fixture->root, NULL);
    g_autoptr(GPtrArray) all = vr_profile_names(fixture->root, USER);

    g_assert_cmpuint(names->len, ==, 2);
    g_assert_cmpstr(g_ptr_array_index(names, 0), ==, "a");
    g_assert_cmpstr(g_ptr_array_index(names, 1), ==, "b");
    g_assert_cmpuint(all->len, ==, 3);
    g_assert_cmpstr(g_ptr_array_index(all, 2), ==, "z");
}

static void
add(const char *path, void (*test)(Fixture *, const void *))
{
    g_test_add(path, Fixture, NULL, set_up, test, tear_down);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add("/host/profile-files/admin-wins-over-installed", test_admin_wins_over_installed);
    add("/host/profile-files/user-directory-never-counts-for-trusted",
        test_user_directory_never_counts_for_trusted);
    add("/host/profile-files/layers-in-order", test_layers_in_order);
    add("/host/profile-files/extends-that-leads-nowhere", test_extends_that_leads_nowhere);
    add("/host/profile-files/long-chain-ends", test_long_chain_ends);
    add("/host/profile-files/no-such-profile", test_no_such_profile);
    add("/host/profile-files/hostile-names", test_hostile_names);
    add("/host/profile-files/writable-by-others-is-refused", test_writable_by_others_is_refused);
    add("/host/profile-files/links-are-refused", test_links_are_refused);
    add("/host/profile-files/other-owner-is-refused", test_other_owner_is_refused);
    add("/host/profile-files/only-plain-small-files", test_only_plain_small_files);
    add("/host/profile-files/names-are-listed", test_names_are_listed);
    return g_test_run();
}
