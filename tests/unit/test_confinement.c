/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is read of libvirt's qemu.conf, and what is said of the lines that weaken it. */
#include "plan/check_rows.h"

#include "../support/tree.h"

#include <glib/gstdio.h>

#include <string.h>

#define ID "qemu-confinement"
#define FILE_NAME "/etc/libvirt/qemu.conf"

typedef struct {
    const char *name, *text;
    const char *evidence; /* of the one warning; NULL: fine */
} Case;

static const Case cases[] = {
    /* the downgrades */
    {"user", "user = \"root\"", FILE_NAME ":1: user = root"},
    {"user-number", "# a comment\n\nuser = \"+0\" # why", FILE_NAME ":3: user = +0"},
    {"security-driver", "security_driver = \"none\"", FILE_NAME ":1: security_driver = none"},
    {"seccomp", "seccomp_sandbox = 0", FILE_NAME ":1: seccomp_sandbox = 0"},
    {"capabilities", "clear_emulator_capabilities=0",
     FILE_NAME ":1: clear_emulator_capabilities = 0"},
    {"namespaces", "namespaces = [ ]", FILE_NAME ":1: namespaces = "},
    {"devices", "cgroup_device_acl = [\n  \"/dev/null\", # usual\n  '/dev/sda'\n]",
     FILE_NAME ":1: cgroup_device_acl = /dev/null, /dev/sda"},
    {"acs", "relaxed_acs_check = 1", FILE_NAME ":1: relaxed_acs_check = 1"},
    /* the same in other clothes */
    {"security-driver-list", "security_driver = [ \"apparmor\", \"none\" ]",
     FILE_NAME ":1: security_driver = apparmor, none"},
    {"controllers", "cgroup_controllers = [ \"cpu\" ]", FILE_NAME ":1: cgroup_controllers = cpu"},
    {"last-one-counts", "seccomp_sandbox = 1\nseccomp_sandbox = 0",
     FILE_NAME ":2: seccomp_sandbox = 0"},
    /* none of them */
    {"nothing", "", NULL},
    {"comments", "#user = \"root\"\n   # namespaces = []\n", NULL},
    {"defaults",
     "user = \"libvirt-qemu\"\nsecurity_driver = \"apparmor\"\nseccomp_sandbox = 1\n"
     "clear_emulator_capabilities = 1\nnamespaces = [ \"mount\" ]\nrelaxed_acs_check = 0\n"
     "cgroup_device_acl = [ \"/dev/null\", \"/dev/kvm\" ]\n",
     NULL},
    {"put-right-later", "user = \"root\"\nuser = \"libvirt-qemu\"", NULL},
    {"a-text-that-looks-like-it", "vnc_password = \"user = 'root'\"\n", NULL},
    {"hash-in-a-text", "vnc_password = \"#\"\nspice_password = \"\\\n", NULL},
    {"no-value", "user =\n= \"root\"\nuser \"root\"\n[", NULL},
    {"unfinished", "cgroup_device_acl = [ \"/dev/sda\"", NULL},
};

static VrReport *
report_on(const char *path, const char *text)
{
    char *tree = tree_new();

    tree_write(tree, path, text);
    g_autoptr(VrSysroot) root = tree_root(tree);
    g_autoptr(VrHostFacts) facts = vr_host_facts_load(root, VR_FACTS_VIRTUALISATION);
    VrCheckInput input = {.facts = facts};
    VrReport *report = vr_report_new();

    vr_check_qemu_confinement(&input, report);
    tree_remove(tree);
    return report;
}

static void
test_case(gconstpointer data)
{
    const Case *row = data;
    g_autoptr(VrReport) report = report_on(FILE_NAME, row->text);

    g_assert_cmpuint(report->findings->len, ==, 1);
    const VrFinding *finding = g_ptr_array_index(report->findings, 0);
    g_assert_cmpstr(finding->id, ==, ID);
    g_assert_cmpint(finding->severity, ==,
                    row->evidence != NULL ? VR_SEVERITY_WARNING : VR_SEVERITY_OK);
    g_assert_true(row->evidence == NULL || g_str_equal(finding->evidence, row->evidence));
    g_assert_true(row->evidence == NULL || finding->advice != NULL);
}

static void
test_embedded_root_has_a_file_of_its_own(void)
{
    const char *path = "/var/lib/vmrun/embed/0123abcd/etc/qemu.conf";
    g_autoptr(VrReport) report = report_on(path, "stdio_handler = \"file\"\nnamespaces = []");
    const VrFinding *finding = g_ptr_array_index(report->findings, 0);

    g_assert_cmpint(finding->severity, ==, VR_SEVERITY_WARNING);
    g_assert_nonnull(strstr(finding->evidence, "0123abcd/etc/qemu.conf:2: namespaces"));
}

static void
test_unreadable_file_is_unknown(void)
{
    g_autoptr(VrReport) report = report_on(FILE_NAME "/directory", "");
    const VrFinding *finding = g_ptr_array_index(report->findings, 0);

    g_assert_cmpint(finding->severity, ==, VR_SEVERITY_UNKNOWN);
}

static void
test_open_group_is_told(void)
{
    static const struct {
        const char *node;
        unsigned mode;
        bool told;
    } nodes[] = {{"/dev/vfio/13", 0666, true},
                 {"/dev/vfio/13", 0660, true},
                 {"/dev/vfio/13", 0600, false},
                 {"/dev/vfio/vfio", 0666, false}};

    for (guint i = 0; i < G_N_ELEMENTS(nodes); i++) {
        char *tree = tree_new();
        g_autofree char *path = g_strconcat(tree, nodes[i].node, NULL);
        tree_write(tree, nodes[i].node, "");
        g_assert_no_errno(g_chmod(path, (int) nodes[i].mode));
        g_autoptr(VrSysroot) root = tree_root(tree);
        g_autoptr(VrHostFacts) facts = vr_host_facts_load(root, VR_FACTS_VIRTUALISATION);
        VrCheckInput input = {.facts = facts};
        g_autoptr(VrReport) report = vr_report_new();
        vr_check_qemu_confinement(&input, report);
        const VrFinding *finding = g_ptr_array_index(report->findings, 0);
        g_assert_cmpint(finding->severity, ==,
                        nodes[i].told ? VR_SEVERITY_WARNING : VR_SEVERITY_OK);
        tree_remove(tree);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *path = g_strconcat("/plan/confinement/", cases[i].name, NULL);
        g_test_add_data_func(path, &cases[i], test_case);
    }
    g_test_add_func("/plan/confinement/embedded-root", test_embedded_root_has_a_file_of_its_own);
    g_test_add_func("/plan/confinement/unreadable-file", test_unreadable_file_is_unknown);
    g_test_add_func("/plan/confinement/open-group", test_open_group_is_told);
    return g_test_run();
}
