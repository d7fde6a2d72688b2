/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/identity.h>

#include <vmrun/error.h>

#include "../support/plan_host.h"
#include "../support/tree.h"

#include <string.h>

#define PLACE "/var/lib/vmrun/identity/gaming.conf"

typedef struct {
    char *directory;
    VrSysroot *root;
    VrProfile *profile;
} Place;

static Place
place_new(const char *text)
{
    Place place = {.directory = tree_new(), .profile = plan_profile("gaming", text)};

    tree_write(place.directory, "/etc/machine-id", "0123456789abcdef0123456789abcdef");
    place.root = tree_root(place.directory);
    return place;
}

static void
place_free(Place *place)
{
    vr_sysroot_unref(place->root);
    vr_profile_free(place->profile);
    tree_remove(place->directory);
}

static VrIdentity *
load(const Place *place)
{
    g_autoptr(GError) error = NULL;
    VrIdentity *identity = vr_identity_load(place->root, place->profile, &error);

    g_assert_no_error(error);
    return identity;
}

static const char *
mac_of(const VrIdentity *identity, const char *network)
{
    return g_hash_table_lookup(identity->macs, network);
}

static void
test_derived_is_well_formed_and_stable(void)
{
    Place place = place_new("[network lan]\n[network dmz]\n");
    g_autoptr(VrIdentity) first = load(&place);
    g_autoptr(VrIdentity) second = load(&place);

    g_assert_true(g_uuid_string_is_valid(first->uuid));
    g_assert_cmpint(first->uuid[14], ==, '5');
    g_assert_cmpstr(first->uuid, ==, second->uuid);
    g_assert_true(g_str_has_prefix(mac_of(first, "lan"), "52:54:00:"));
    g_assert_cmpstr(mac_of(first, "lan"), ==, mac_of(second, "lan"));
    g_assert_cmpstr(mac_of(first, "lan"), !=, mac_of(first, "dmz"));
    place_free(&place);
}

static void
test_another_computer_gives_another_guest(void)
{
    Place place = place_new("[network lan]\n");
    g_autoptr(VrIdentity) first = load(&place);

    tree_write(place.directory, "/etc/machine-id", "ffffffffffffffffffffffffffffffff");

    g_autoptr(VrIdentity) second = load(&place);

    g_assert_cmpstr(first->uuid, !=, second->uuid);
    g_assert_cmpstr(mac_of(first, "lan"), !=, mac_of(second, "lan"));
    place_free(&place);
}

static void
test_stored_outlives_the_computer(void)
{
    Place place = place_new("[network lan]\n");
    g_autoptr(VrIdentity) first = load(&place);
    g_autoptr(GError) error = NULL;

    g_assert_true(vr_identity_store(place.root, "gaming", first, &error));
    g_assert_no_error(error);
    g_assert_true(vr_sysroot_exists(place.root, "/var/lib/vmrun/nvram"));
    tree_write(place.directory, "/etc/machine-id", "ffffffffffffffffffffffffffffffff");

    g_autoptr(VrIdentity) second = load(&place);

    g_assert_cmpstr(first->uuid, ==, second->uuid);
    g_assert_cmpstr(mac_of(first, "lan"), ==, mac_of(second, "lan"));
    g_assert_true(vr_identity_store(place.root, "gaming", second, &error));
    place_free(&place);
}

static void
test_new_network_joins_the_kept_ones(void)
{
    Place place = place_new("[network lan]\n[network new]\n");

    tree_write(place.directory, PLACE,
               "[identity]\nuuid=11111111-2222-5333-8444-555555555555\n\n[mac]\n"
               "network.lan=52:54:00:aa:bb:cc\nnetwork.old=52:54:00:aa:bb:cd");

    g_autoptr(VrIdentity) identity = load(&place);

    g_assert_cmpstr(identity->uuid, ==, "11111111-2222-5333-8444-555555555555");
    g_assert_cmpstr(mac_of(identity, "lan"), ==, "52:54:00:aa:bb:cc");
    g_assert_cmpstr(mac_of(identity, "old"), ==, "52:54:00:aa:bb:cd");
    g_assert_nonnull(mac_of(identity, "new"));
    place_free(&place);
}

static void
test_odd_names_come_back(void)
{
    VrIdentity *identity = g_new0(VrIdentity, 1);
    Place place = place_new("[gpu]\n");
    g_autoptr(GError) error = NULL;
    static const char *const names[] = {"", "network", "a=b", "[x]", "spaced name", "100%"};

    identity->uuid = g_strdup("11111111-2222-5333-8444-555555555555");
    identity->macs = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        g_hash_table_insert(identity->macs, g_strdup(names[i]),
                            g_strdup_printf("52:54:00:00:00:%02x", i));
    }
    g_assert_true(vr_identity_store(place.root, "gaming", identity, &error));

    g_autoptr(VrIdentity) read = load(&place);

    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        g_assert_cmpstr(mac_of(read, names[i]), ==, mac_of(identity, names[i]));
    }
    vr_identity_free(identity);
    place_free(&place);
}

static void
test_wrong_file_is_refused(void)
{
    static const char *const texts[] = {
        "",
        "no key file",
        "[identity]\nuuid=short",
        "[identity]\nuuid=11111111-2222-5333-8444-55555555555",
        "[identity]\nuuid=11111111-2222-5333-8444-55555555555A",
        "[identity]\nuuid=11111111-2222-5333-8444-555555555555\n[mac]\nnetwork.lan=52:54:00:aa:bb",
        "[identity]\nuuid=11111111-2222-5333-8444-555555555555\n[mac]\n"
        "network.lan=53:54:00:aa:bb:cc",
        "[identity]\nuuid=11111111-2222-5333-8444-555555555555\n[mac]\nlan=52:54:00:aa:bb:cc",
        "[identity]\nuuid=11111111-2222-5333-8444-555555555555\n[mac]\n"
        "network.%zz=52:54:00:aa:bb:cc",
    };

    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
        Place place = place_new("[gpu]\n");
        g_autoptr(GError) error = NULL;

        tree_write(place.directory, PLACE, texts[i]);
        g_assert_null(vr_identity_load(place.root, place.profile, &error));
        g_assert_error(error, VR_ERROR, VR_ERROR_CORRUPT);
        g_assert_nonnull(strstr(error->message, PLACE));
        place_free(&place);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/identity/derived-is-well-formed-and-stable",
                    test_derived_is_well_formed_and_stable);
    g_test_add_func("/identity/another-computer-gives-another-guest",
                    test_another_computer_gives_another_guest);
    g_test_add_func("/identity/stored-outlives-the-computer", test_stored_outlives_the_computer);
    g_test_add_func("/identity/new-network-joins-the-kept-ones",
                    test_new_network_joins_the_kept_ones);
    g_test_add_func("/identity/odd-names-come-back", test_odd_names_come_back);
    g_test_add_func("/identity/wrong-file-is-refused", test_wrong_file_is_refused);
    return g_test_run();
}
