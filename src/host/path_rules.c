/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/path_facts_private.h"

#include "base/fd.h"
#include "host/accounts.h"

#include <vmrun/error.h>
#include <vmrun/text.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define CONFIGURATION "/etc/vmrun/vmrun.conf"

enum { SIZE_LIMIT_BYTES = 64 * 1024 };

static void
place_free(gpointer data)
{
    VrAllowedPlace *place = data;

    g_free(place->directory);
    g_free(place);
}

void
vr_path_rules_clear(VrPathRules *rules)
{
    g_array_unref(rules->groups);
    g_ptr_array_unref(rules->places);
    g_free(rules->error);
}

static void
add_group(VrPathRules *rules, int64_t group)
{
    if (group >= 0) {
        unsigned number = (unsigned) group;

        g_array_append_val(rules->groups, number);
    }
}

/* QEMU's user and the group of the same account; libvirt's members are root's equals by its polkit
 * rule. */
static void
find_accounts(VrPathRules *rules, const VrHostFacts *facts)
{
    const VrSysroot *root = facts->root;
    const char *user = facts->qemu_user != NULL ? facts->qemu_user : "libvirt-qemu";
    g_autofree char *passwd = vr_sysroot_read_optional(root, "/etc/passwd");
    g_auto(GStrv) row = vr_account_row(passwd, user);
    uint64_t group = 0;

    rules->qemu_user = vr_account_number(root, "/etc/passwd", user);
    if (row != NULL && vr_text_to_uint(row[3], 0, UINT32_MAX, &group)) {
        add_group(rules, (int64_t) group);
    }
    rules->libvirt_group = vr_account_number(root, "/etc/group", "libvirt");
    add_group(rules, rules->libvirt_group);
    add_group(rules, vr_account_number(root, "/etc/group", "vmrun"));
}

/* On a recorded computer everything belongs to whoever unpacked it. */
static void
find_root(VrPathRules *rules, const VrSysroot *root)
{
    struct stat found = {0};
    vr_autofd int fd = vr_sysroot_open(root, "/", O_PATH, NULL);

    if (!vr_sysroot_is_live(root) && fd >= 0 && fstat(fd, &found) == 0) {
        rules->root_user = found.st_uid;
        rules->root_group = found.st_gid;
    }
}

static bool
complain(VrPathRules *rules, const char *text, const char *problem)
{
    g_autofree char *whole = g_strdup_printf("%s: %s", text, problem);

    rules->error = vr_text_printable(whole);
    return false;
}

/* Whose directory it is decides who else is trusted below it. */
static bool
add_place(VrPathRules *rules, const VrSysroot *root, const char *directory)
{
    struct stat found = {0};
    g_auto(GStrv) parts = g_strsplit(directory, "/", -1);

    if (directory[0] != '/' || directory[1] == '\0' || !g_utf8_validate(directory, -1, NULL) ||
        g_strv_contains((const char *const *) parts, "..")) {
        return complain(rules, directory, "not an absolute path of a directory");
    }
    vr_autofd int fd = vr_sysroot_open_plain(root, directory, O_PATH | O_DIRECTORY, NULL);
    if (fd < 0 || fstat(fd, &found) != 0) {
        return complain(rules, directory, "no directory, or there is a symbolic link in it");
    }
    VrAllowedPlace *place = g_new0(VrAllowedPlace, 1);
    place->directory = vr_sysroot_resolve(root, directory, NULL);
    place->user = found.st_uid;
    g_ptr_array_add(rules->places, place);
    return true;
}

static bool
read_places(VrPathRules *rules, const VrSysroot *root, GKeyFile *file)
{
    g_auto(GStrv) groups = g_key_file_get_groups(file, NULL);
    g_auto(GStrv) keys = g_key_file_get_keys(file, "paths", NULL, NULL);

    for (guint i = 0; groups[i] != NULL; i++) {
        if (!g_str_equal(groups[i], "paths")) {
            return complain(rules, groups[i], "no such group");
        }
    }
    for (guint i = 0; keys != NULL && keys[i] != NULL; i++) {
        if (!g_str_equal(keys[i], "allow")) {
            return complain(rules, keys[i], "no such key in [paths]");
        }
    }
    g_autoptr(GError) error = NULL;
    g_auto(GStrv) allowed = g_key_file_get_string_list(file, "paths", "allow", NULL, &error);
    if (allowed == NULL && keys != NULL && keys[0] != NULL) {
        return complain(rules, "allow", error->message);
    }
    for (guint i = 0; allowed != NULL && allowed[i] != NULL; i++) {
        g_strstrip(allowed[i]);
        if (!add_place(rules, root, allowed[i])) {
            return false;
        }
    }
    return true;
}

static char *
read_configuration(const VrSysroot *root, GError **error)
{
    vr_autofd int fd =
        vr_sysroot_open_plain(root, CONFIGURATION, O_RDONLY | O_NONBLOCK | O_NOCTTY, error);

    if (fd < 0) {
        return NULL;
    }
    g_autoptr(GBytes) bytes = vr_fd_read_all(fd, CONFIGURATION, SIZE_LIMIT_BYTES, false, error);
    gsize size_bytes = 0;
    const char *data = bytes != NULL ? g_bytes_get_data(bytes, &size_bytes) : NULL;
    return bytes != NULL ? g_strndup(data != NULL ? data : "", size_bytes) : NULL;
}

static void
load_configuration(VrPathRules *rules, const VrSysroot *root)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GKeyFile) file = g_key_file_new();
    bool trusted = vr_trusted_way(root, CONFIGURATION, &error);
    g_autofree char *text = trusted ? read_configuration(root, &error) : NULL;

    if (text == NULL) {
        if (!g_error_matches(error, VR_ERROR, VR_ERROR_NOT_FOUND)) {
            complain(rules, CONFIGURATION, error->message);
        }
        return;
    }
    if (!g_key_file_load_from_data(file, text, strlen(text), G_KEY_FILE_NONE, &error)) {
        complain(rules, CONFIGURATION, error->message);
        return;
    }
    if (!read_places(rules, root, file)) {
        g_ptr_array_set_size(rules->places, 0);
    }
}

void
vr_path_rules_load(VrPathRules *rules, const VrHostFacts *facts)
{
    *rules = (VrPathRules){
        .qemu_user = -1,
        .libvirt_group = -1,
        .groups = g_array_new(FALSE, FALSE, sizeof(unsigned)),
        .places = g_ptr_array_new_with_free_func(place_free),
    };
    find_root(rules, facts->root);
    find_accounts(rules, facts);
    load_configuration(rules, facts->root);
}
