/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/host_facts_private.h"

#include "base/fd.h"
#include "host/accounts.h"

#include <vmrun/text.h>

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

/* Who QEMU runs as, in the numbers and names of the host that is looked at. */
typedef struct {
    bool is_known;
    uint64_t user;
    GArray *groups; /* uint64_t */
} Account;

/* The value of `key = "text"` in libvirt's configuration; the last one counts. NULL: not set. */
static char *
configured(const char *text, const char *key)
{
    char *value = NULL;
    g_auto(GStrv) lines = g_strsplit(text != NULL ? text : "", "\n", -1);

    for (guint i = 0; lines[i] != NULL; i++) {
        const char *line = lines[i] + strspn(lines[i], " \t");
        const char *rest = line + strlen(key);

        if (!g_str_has_prefix(line, key) || rest[strspn(rest, " \t")] != '=') {
            continue;
        }
        rest += strspn(rest, " \t=");
        rest += rest[0] == '"' ? 1 : 0;
        g_free(value);
        value = g_strndup(rest, strcspn(rest, "\" \t#"));
    }
    return value;
}

static void
add_group(Account *account, const char *number)
{
    uint64_t group = 0;

    if (vr_text_to_uint(number, 0, UINT32_MAX, &group)) {
        g_array_append_val(account->groups, group);
    }
}

static void
add_supplementary_groups(Account *account, const char *groups, const char *user)
{
    g_auto(GStrv) lines = g_strsplit(groups != NULL ? groups : "", "\n", -1);

    for (guint i = 0; lines[i] != NULL; i++) {
        g_auto(GStrv) fields = g_strsplit(lines[i], ":", -1);

        if (g_strv_length(fields) >= 4) {
            g_auto(GStrv) members = g_strsplit(fields[3], ",", -1);

            if (g_strv_contains((const char *const *) members, user)) {
                add_group(account, fields[2]);
            }
        }
    }
}

/* libvirt starts QEMU with the user's groups and the configured one. */
static Account
find_account(const VrSysroot *root, const char *user, const char *group)
{
    Account account = {.groups = g_array_new(FALSE, FALSE, sizeof(uint64_t))};
    g_autofree char *passwd = vr_sysroot_read_optional(root, "/etc/passwd");
    g_autofree char *groups = vr_sysroot_read_optional(root, "/etc/group");
    g_auto(GStrv) row = vr_account_row(passwd, user);

    if (row == NULL || !vr_text_to_uint(row[2], 0, UINT32_MAX, &account.user)) {
        account.is_known = strcmp(user, "root") == 0;
        return account;
    }
    account.is_known = true;
    add_group(&account, row[3]);
    add_supplementary_groups(&account, groups, row[0]);
    if (group != NULL) {
        g_auto(GStrv) group_row = vr_account_row(groups, group);

        if (group_row != NULL) {
            add_group(&account, group_row[2]);
        }
    }
    return account;
}

static bool
is_member(const Account *account, uint64_t group)
{
    for (guint i = 0; i < account->groups->len; i++) {
        if (g_array_index(account->groups, uint64_t, i) == group) {
            return true;
        }
    }
    return false;
}

/* Read and write, by the mode bits: libvirt takes QEMU's capabilities away, root's too. */
static bool
may_open(const Account *account, const struct stat *node)
{
    mode_t wanted = S_IROTH | S_IWOTH;

    if (account->user == node->st_uid) {
        wanted = S_IRUSR | S_IWUSR;
    } else if (is_member(account, node->st_gid)) {
        wanted = S_IRGRP | S_IWGRP;
    }
    return (node->st_mode & wanted) == wanted;
}

/* What a number is called there; the number itself if it has no name. Owned. */
static char *
name_of(const VrSysroot *root, const char *file, unsigned number)
{
    g_autofree char *text = vr_sysroot_read_optional(root, file);
    g_autofree char *digits = g_strdup_printf("%u", number);
    g_auto(GStrv) row = vr_account_row(text, digits);

    return g_strdup(row != NULL ? row[0] : digits);
}

/* The user that the distribution's libvirt uses when qemu.conf does not say (or cannot be read). */
static char *
default_user(const VrSysroot *root)
{
    static const char *const names[] = {"libvirt-qemu" /* Debian */, "qemu" /* Fedora, SUSE */};
    g_autofree char *passwd = vr_sysroot_read_optional(root, "/etc/passwd");

    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        g_auto(GStrv) row = vr_account_row(passwd, names[i]);

        if (row != NULL) {
            return g_strdup(names[i]);
        }
    }
    return g_strdup("root");
}

static void
judge_access(VrHostFacts *facts, const char *group, const struct stat *node)
{
    Account account = find_account(facts->root, facts->qemu_user, group);
    g_autofree char *owner = name_of(facts->root, "/etc/passwd", node->st_uid);
    g_autofree char *owner_group = name_of(facts->root, "/etc/group", node->st_gid);

    facts->kvm_usable = VR_UNKNOWN;
    if (account.is_known) {
        facts->kvm_usable = may_open(&account, node) ? VR_YES : VR_NO;
    }
    facts->kvm_evidence =
        g_strdup_printf("/dev/kvm: mode %04o, owner %s:%s; QEMU runs as %s%s",
                        (unsigned) node->st_mode & 07777, owner, owner_group, facts->qemu_user,
                        account.is_known ? "" : ", who is not in /etc/passwd");
    g_array_unref(account.groups);
}

void
vr_kvm_access_load(VrHostFacts *facts)
{
    struct stat node = {0};
    g_autoptr(GError) error = NULL;
    g_autofree char *text = vr_sysroot_read_optional(facts->root, "/etc/libvirt/qemu.conf");
    g_autofree char *group = configured(text, "group");
    vr_autofd int fd = vr_sysroot_open(facts->root, "/dev/kvm", O_PATH, &error);

    facts->qemu_user = configured(text, "user");
    if (facts->qemu_user == NULL || facts->qemu_user[0] == '\0') {
        g_free(facts->qemu_user);
        facts->qemu_user = default_user(facts->root);
    }
    if (fd < 0 || fstat(fd, &node) < 0) {
        facts->kvm = VR_NO;
        facts->kvm_usable = VR_NO;
        facts->kvm_evidence = g_strdup(error != NULL ? error->message : "fstat /dev/kvm failed");
        return;
    }
    facts->kvm = VR_YES;
    judge_access(facts, group, &node);
}
