/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/identity.h>

#include <vmrun/error.h>
#include <vmrun/text.h>

#include <string.h>

#define IDENTITY_DIRECTORY "/var/lib/vmrun/identity"

char *
vr_identity_path(const char *profile_name)
{
    return g_strdup_printf(IDENTITY_DIRECTORY "/%s.conf", profile_name);
}

void
vr_identity_free(VrIdentity *identity)
{
    if (identity != NULL) {
        g_free(identity->uuid);
        g_hash_table_unref(identity->macs);
        g_free(identity);
    }
}

static VrIdentity *
identity_new(void)
{
    VrIdentity *identity = g_new0(VrIdentity, 1);

    identity->macs = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    return identity;
}

/* --- deriving --- */

/* Lower-case hex digits that depend on this computer, the profile and `what`. The parts cannot
 * contain the separator's line break. */
static char *
derive(const char *machine_id, const char *profile_name, const char *what)
{
    g_autofree char *text =
        g_strdup_printf("vmrun identity 1\n%s\n%s\n%s", machine_id, profile_name, what);

    return vr_text_digest(text);
}

/* A name-based UUID: version 5's layout (RFC 4122, 4.3), with SHA-256 in place of SHA-1. */
static char *
derive_uuid(const char *machine_id, const char *profile_name)
{
    static const char variant[] = {'8', '9', 'a', 'b'};
    g_autofree char *digest = derive(machine_id, profile_name, "uuid");

    digest[12] = '5';
    digest[16] = variant[g_ascii_xdigit_value(digest[16]) & 3];
    return g_strdup_printf("%.8s-%.4s-%.4s-%.4s-%.12s", digest, digest + 8, digest + 12,
                           digest + 16, digest + 20);
}

/* 52:54:00 is the prefix that QEMU and libvirt use. */
static char *
derive_mac(const char *machine_id, const char *profile_name, const char *network)
{
    g_autofree char *what = g_strdup_printf("network %s", network);
    g_autofree char *digest = derive(machine_id, profile_name, what);

    return g_strdup_printf("52:54:00:%.2s:%.2s:%.2s", digest, digest + 2, digest + 4);
}

static void
fill_in(VrIdentity *identity, const VrSysroot *root, const VrProfile *profile)
{
    g_autofree char *read = vr_sysroot_read_optional(root, "/etc/machine-id");
    const char *machine_id = read != NULL ? read : "";

    if (identity->uuid == NULL) {
        identity->uuid = derive_uuid(machine_id, profile->name);
    }
    for (guint i = 0; i < profile->networks->len; i++) {
        const VrProfileNetwork *network = profile->networks->pdata[i];

        if (!g_hash_table_contains(identity->macs, network->name)) {
            g_hash_table_insert(identity->macs, g_strdup(network->name),
                                derive_mac(machine_id, profile->name, network->name));
        }
    }
}

/* --- reading --- */

/* Six pairs of lower-case hex digits, of a single machine (the lowest bit of the first is 0). */
static bool
is_mac(const char *text)
{
    if (strlen(text) != 17) {
        return false;
    }
    for (guint i = 0; i < 17; i++) {
        bool fits =
            i % 3 == 2 ? text[i] == ':' : g_ascii_isxdigit(text[i]) && !g_ascii_isupper(text[i]);

        if (!fits) {
            return false;
        }
    }
    return (g_ascii_xdigit_value(text[1]) & 1) == 0;
}

static bool
is_uuid(const char *text)
{
    for (const char *at = text; *at != '\0'; at++) {
        if (g_ascii_isupper(*at)) {
            return false;
        }
    }
    return g_uuid_string_is_valid(text);
}

/* The inverse of key_of_network(): NULL if it is none. Owned. */
static char *
network_of_key(const char *key)
{
    if (strcmp(key, "network") == 0) {
        return g_strdup("");
    }
    return g_str_has_prefix(key, "network.") ? g_uri_unescape_string(key + strlen("network."), NULL)
                                             : NULL;
}

static bool
read_macs(VrIdentity *identity, GKeyFile *file, const char *path, GError **error)
{
    g_auto(GStrv) keys = g_key_file_get_keys(file, "mac", NULL, NULL);

    for (guint i = 0; keys != NULL && keys[i] != NULL; i++) {
        g_autofree char *mac = g_key_file_get_value(file, "mac", keys[i], NULL);
        g_autofree char *name = network_of_key(keys[i]);

        if (mac == NULL || name == NULL || !is_mac(mac)) {
            g_autofree char *shown = vr_text_printable(mac != NULL ? mac : "");

            return vr_error_set(error, VR_ERROR_CORRUPT,
                                "%s: [mac] '%s=%s': not a network with its MAC address", path,
                                keys[i], shown);
        }
        g_hash_table_insert(identity->macs, g_steal_pointer(&name), g_steal_pointer(&mac));
    }
    return true;
}

static bool
read_text(VrIdentity *identity, const char *text, const char *path, GError **error)
{
    g_autoptr(GKeyFile) file = g_key_file_new();
    g_autoptr(GError) cause = NULL;

    if (!g_key_file_load_from_data(file, text, strlen(text), G_KEY_FILE_NONE, &cause)) {
        return vr_error_set(error, VR_ERROR_CORRUPT, "%s: %s", path, cause->message);
    }
    identity->uuid = g_key_file_get_value(file, "identity", "uuid", NULL);
    if (identity->uuid == NULL || !is_uuid(identity->uuid)) {
        return vr_error_set(error, VR_ERROR_CORRUPT, "%s: [identity] uuid: missing or no UUID",
                            path);
    }
    return read_macs(identity, file, path, error);
}

VrIdentity *
vr_identity_load(const VrSysroot *root, const VrProfile *profile, GError **error)
{
    g_autoptr(VrIdentity) identity = identity_new();
    g_autofree char *path = vr_identity_path(profile->name);
    g_autoptr(GError) cause = NULL;
    g_autofree char *text = vr_sysroot_read(root, path, &cause);

    if (text == NULL && !g_error_matches(cause, VR_ERROR, VR_ERROR_NOT_FOUND)) {
        g_propagate_error(error, g_steal_pointer(&cause));
        return NULL;
    }
    if (text != NULL && !read_text(identity, text, path, error)) {
        vr_error_prefix(error, "read what the guest '%s' is known by", profile->name);
        return NULL;
    }
    fill_in(identity, root, profile);
    return g_steal_pointer(&identity);
}

/* --- text --- */

/* "network" for the bare [network], "network.lan" for [network lan]. Owned. */
static char *
key_of_network(const char *name)
{
    g_autofree char *escaped = g_uri_escape_string(name, NULL, FALSE);

    return name[0] == '\0' ? g_strdup("network") : g_strdup_printf("network.%s", escaped);
}

static gint
compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *) a, *(const char *const *) b);
}

char *
vr_identity_to_text(const VrIdentity *identity)
{
    GString *text = g_string_new(NULL);
    guint count = 0;
    g_autofree gpointer *names = g_hash_table_get_keys_as_array(identity->macs, &count);

    g_string_append_printf(text,
                           "# What the guest is known by. Written once by vmrun; change it only if "
                           "the guest may see a new machine.\n[identity]\nuuid=%s\n",
                           identity->uuid);
    if (count > 0) {
        g_string_append(text, "\n[mac]\n");
        qsort(names, count, sizeof(*names), compare_names);
    }
    for (guint i = 0; i < count; i++) {
        g_autofree char *key = key_of_network(names[i]);
        const char *mac = g_hash_table_lookup(identity->macs, names[i]);

        g_string_append_printf(text, "%s=%s\n", key, mac);
    }
    return g_string_free(text, FALSE);
}
