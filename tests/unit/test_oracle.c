/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The judge is judged: one good story, and one for each way to break a promise. */
#include "../support/oracle.h"

#include <string.h>

#define GPU "0000:01:00.0"
#define SOUND "0000:01:00.1"
#define OTHER "0000:02:00.0"
#define OVERRIDE(address) "kernel /sys/bus/pci/devices/" address "/driver_override "
#define DRIVER(name, what, address) "kernel /sys/bus/pci/drivers/" name "/" what " " address "\n"
#define POOL "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"

#define BEFORE                                                                                     \
    GPU " device 0x2484\n" GPU " driver nvidia\n" GPU " driver_override (null)\n" SOUND            \
        " driver vfio-pci\n" SOUND " driver_override none\n" OTHER " driver e1000e\n"              \
        "host " POOL " 128\nunit x.service on\n"

#define DURABLE "durable gaming taking " GPU " " SOUND " " POOL " x.service\n"
#define OUT                                                                                        \
    "unit stop x.service\nkernel " POOL                                                            \
    " 130\n" OVERRIDE(GPU) "vfio-pci\n" DRIVER("nvidia", "unbind", GPU)                            \
        DRIVER("vfio-pci", "bind", GPU)
#define BACK                                                                                       \
    "kernel " POOL " 128\n" OVERRIDE(GPU) "nvidia\n" DRIVER("vfio-pci", "unbind", GPU)             \
        DRIVER("nvidia", "bind", GPU) OVERRIDE(GPU) "\nunit start x.service\n"
#define GOOD                                                                                       \
    "create /run/vmrun/lock\n" DURABLE OUT "guest on\nguest off\ndurable gaming restoring " GPU    \
    " " SOUND " " POOL " x.service\n" BACK "closed gaming\n"

static OracleCase
good(void)
{
    return (OracleCase){
        .before = BEFORE, .after = BEFORE, .again = BEFORE, .journal = "none", .trace = GOOD};
}

static void
test_accepts_a_good_story(void)
{
    OracleCase subject = good();
    g_autofree char *complaint = oracle_complaint(&subject);
    g_assert_cmpstr(complaint, ==, NULL);
}

/* A device that is named as not given back, beside a journal that stays, is no violation. */
static void
test_accepts_what_is_told(void)
{
    OracleCase subject = good();
    subject.after =
        GPU " device 0x2484\n" GPU " driver vfio-pci\n" GPU " driver_override vfio-pci\n" SOUND
            " driver vfio-pci\n" SOUND " driver_override none\n" OTHER " driver e1000e\nhost " POOL
            " 128\nunit x.service on\n";
    subject.again = subject.after;
    subject.left = GPU;
    subject.journal = "failed";
    subject.trace = DURABLE OUT "guest on\nguest off\n";
    g_autofree char *complaint = oracle_complaint(&subject);
    g_assert_cmpstr(complaint, ==, NULL);
}

/* One thing of the good story replaced. */
typedef struct {
    const char *promise;
    const char *name;
    const char *from, *to; /* in the trace; from NULL: nothing */
    const char *was, *is;  /* in S1 and S2; was NULL: nothing */
    const char *was_again, *is_again;
    OracleCase change; /* what is set here is set */
} Bad;

static const Bad bad[] = {
    {"I1", "write-before-the-journal", DURABLE OUT, OUT DURABLE, .change = {0}},
    {"I1", "module-before-the-journal", DURABLE, "module vfio-pci\n" DURABLE, .change = {0}},
    {"I1", "unit-not-claimed", POOL " x.service\nunit", POOL "\nunit", .change = {0}},
    {"I1", "write-after-the-end", "closed gaming\n", "closed gaming\n" OVERRIDE(GPU) "\n",
     .change = {0}},
    {"I2", "another-device-at-the-address", .was = "0x2484", .is = "0x1111",
     .change = {.left = GPU, .journal = "failed"}},
    {"I3", "write-to-another-device", "guest on", OVERRIDE(OTHER) "vfio-pci\nguest on",
     .change = {0}},
    {"I3", "another-device-changed", .was = "e1000e", .is = "none", .change = {0}},
    {"I4", "two-claims", "guest on", "durable other taking " GPU "\nguest on", .change = {0}},
    {"I5", "write-beside-a-guest", "guest on", "guest on\n" OVERRIDE(GPU) "nvidia", .change = {0}},
    {"I6", "unbound-without-an-override", OVERRIDE(GPU) "vfio-pci\n", "", .change = {0}},
    {"I6", "override-cleared-too-early", DRIVER("nvidia", "bind", GPU) OVERRIDE(GPU) "\n",
     OVERRIDE(GPU) "\n" DRIVER("nvidia", "bind", GPU), .change = {0}},
    {"I7", "driver-not-back", .was = GPU " driver nvidia\n", .is = "",
     .change = {.journal = "failed"}},
    {"I7", "pool-not-back", .was = POOL " 128", .is = POOL " 126", .change = {.journal = "failed"}},
    {"I7", "journal-left-open", .change = {.journal = "restoring"}},
    {"I8", "second-recovery-writes", .change = {.writes = 1}},
    {"I8", "second-recovery-changes", .was_again = "x.service on", .is_again = "x.service off",
     .change = {0}},
    {"I9", "recovery-not-repeatable", .was = "driver nvidia", .is = "driver nouveau",
     .change = {.recovery_died = true, .journal = "failed"}},
    {"I10", "override-not-back", .was = "driver_override none", .is = "driver_override (null)",
     .change = {.journal = "failed"}},
    {"I11", "taken-off-vfio-pci", .was = SOUND " driver vfio-pci",
     .is = SOUND " driver snd_hda_intel", .change = {.journal = "failed"}},
    {"I12", "closed-while-something-is-left", .was = "x.service on", .is = "x.service off",
     .change = {0}},
    {"I12", "closed-too-early", BACK "closed gaming\n", "closed gaming\n" DURABLE BACK,
     .change = {0}},
    {"I13", "another-device-was-left-too", .was = SOUND " driver vfio-pci",
     .is = SOUND " driver none", .change = {.left = GPU, .journal = "failed"}},
    {"I16", "lock-without-an-owner", .change = {.locks_are_held = true}},
    {"I17", "write-after-a-reboot", "guest off\n", "guest off\nreboot\n", .change = {0}},
    {"I18", "write-while-it-shuts-down", "guest off\n", "guest off\nstopping\n", .change = {0}},
    {"I19", "another-error-is-reported", "closed gaming\n",
     "closed gaming\nfailure bind: EBUSY\nfailure x\nreported x\n", .change = {0}},
};

static char *
replaced(const char *text, const char *from, const char *to)
{
    if (from == NULL) {
        return g_strdup(text);
    }
    g_assert_nonnull(strstr(text, from));
    g_autoptr(GString) result = g_string_new(text);
    g_string_replace(result, from, to, 1);
    return g_string_free(g_steal_pointer(&result), FALSE);
}

static void
test_rejects(gconstpointer data)
{
    const Bad *wrong = data;
    OracleCase subject = good();
    g_autofree char *trace = replaced(GOOD, wrong->from, wrong->to);
    g_autofree char *after = replaced(BEFORE, wrong->was, wrong->is);
    g_autofree char *again = replaced(after, wrong->was_again, wrong->is_again);
    subject.trace = trace;
    subject.after = after;
    subject.again = again;
    subject.writes = wrong->change.writes;
    subject.left = wrong->change.left;
    subject.locks_are_held = wrong->change.locks_are_held;
    subject.recovery_died = wrong->change.recovery_died;
    subject.journal = wrong->change.journal != NULL ? wrong->change.journal : "none";
    g_autoptr(GPtrArray) violations = oracle_judge(&subject);
    g_autofree char *prefix = g_strconcat(wrong->promise, ": ", NULL);
    unsigned named = 0;
    for (guint i = 0; i < violations->len; i++) {
        g_test_message("%s", (const char *) g_ptr_array_index(violations, i));
        named += g_str_has_prefix(g_ptr_array_index(violations, i), prefix);
    }
    g_assert_cmpuint(named, >, 0);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/oracle/accepts-a-good-story", test_accepts_a_good_story);
    g_test_add_func("/oracle/accepts-what-is-told", test_accepts_what_is_told);
    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autofree char *path =
            g_strdup_printf("/oracle/rejects/%s-%s", bad[i].promise, bad[i].name);
        g_test_add_data_func(path, &bad[i], test_rejects);
    }
    return g_test_run();
}
