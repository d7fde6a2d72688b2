/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/text.h>

#include <string.h>

#define UNTOUCHED UINT64_C(0xdead)

static void
test_uint(void)
{
    static const struct {
        const char *text;
        uint64_t minimum, maximum, wanted;
        bool ok;
    } cases[] = {
        {"0", 0, 10, 0, true},
        {"10", 0, 10, 10, true},
        {"007", 0, 10, 7, true},
        {"18446744073709551615", 0, UINT64_MAX, UINT64_MAX, true},
        {"18446744073709551616", 0, UINT64_MAX, 0, false},
        {"99999999999999999999999999", 0, UINT64_MAX, 0, false},
        {"11", 0, 10, 0, false},
        {"5", 0, 3, 0, false},
        {"0", 1, 10, 0, false},
        {"", 0, 10, 0, false},
        {" 1", 0, 10, 0, false},
        {"1 ", 0, 10, 0, false},
        {"1\n", 0, 10, 0, false},
        {"+1", 0, 10, 0, false},
        {"-1", 0, UINT64_MAX, 0, false},
        {"0x1", 0, 10, 0, false},
        {"1a", 0, 10, 0, false},
        {"\xd9\xa1", 0, 10, 0, false}, /* ARABIC-INDIC DIGIT ONE */
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        uint64_t value = UNTOUCHED;
        bool ok = vr_text_to_uint(cases[i].text, cases[i].minimum, cases[i].maximum, &value);

        g_test_message("\"%s\"", cases[i].text);
        g_assert_cmpint(ok, ==, cases[i].ok);
        g_assert_cmpuint(value, ==, ok ? cases[i].wanted : UNTOUCHED);
    }
}

static void
test_hex(void)
{
    static const struct {
        const char *text;
        uint64_t maximum, wanted;
        bool ok;
    } cases[] = {
        {"0x10de", 0xffff, 0x10de, true},
        {"10DE", 0xffff, 0x10de, true},
        {"0", 0, 0, true},
        {"ffffffffffffffff", UINT64_MAX, UINT64_MAX, true},
        {"10000000000000000", UINT64_MAX, 0, false},
        {"10000", 0xffff, 0, false},
        {"0x", 0xffff, 0, false},
        {"", 0xffff, 0, false},
        {"0X10", 0xffff, 0, false},
        {"0x0x1", 0xffff, 0, false},
        {"10dg", 0xffff, 0, false},
        {"-1", 0xffff, 0, false},
        {"0x 1", 0xffff, 0, false},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        uint64_t value = UNTOUCHED;
        bool ok = vr_text_to_hex(cases[i].text, cases[i].maximum, &value);

        g_test_message("\"%s\"", cases[i].text);
        g_assert_cmpint(ok, ==, cases[i].ok);
        g_assert_cmpuint(value, ==, ok ? cases[i].wanted : UNTOUCHED);
    }
}

typedef struct {
    const char *text;
    uint64_t wanted; /* UNTOUCHED: refused */
} UnitCase;

static void
check_units(bool (*parse)(const char *, uint64_t *), const UnitCase *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t value = UNTOUCHED;
        bool ok = parse(cases[i].text, &value);

        g_test_message("\"%s\"", cases[i].text);
        g_assert_cmpint(ok, ==, cases[i].wanted != UNTOUCHED);
        g_assert_cmpuint(value, ==, cases[i].wanted);
    }
}

static void
test_mib(void)
{
    static const UnitCase cases[] = {
        {"16G", 16384},
        {"512M", 512},
        {"1024K", 1},
        {"2048K", 2},
        {"1T", 1048576},
        {"17179869183G", UINT64_C(17179869183) << 10},
        {"512K", UNTOUCHED}, /* half a MiB */
        {"1025K", UNTOUCHED},
        {"0G", UNTOUCHED},
        {"16", UNTOUCHED},
        {"16g", UNTOUCHED},
        {"16GiB", UNTOUCHED},
        {"16 G", UNTOUCHED},
        {"1.5G", UNTOUCHED},
        {"-1G", UNTOUCHED},
        {"G", UNTOUCHED},
        {"", UNTOUCHED},
        {"18446744073709551615T", UNTOUCHED},
    };

    check_units(vr_text_to_mib, cases, G_N_ELEMENTS(cases));
}

static void
test_seconds(void)
{
    static const UnitCase cases[] = {
        {"90", 90},
        {"90s", 90},
        {"5min", 300},
        {"2h", 7200},
        {"0", 0},
        {"5m", UNTOUCHED},
        {"5 min", UNTOUCHED},
        {"1h30min", UNTOUCHED},
        {"-5", UNTOUCHED},
        {"", UNTOUCHED},
        {"s", UNTOUCHED},
        {"18446744073709551615h", UNTOUCHED},
    };

    check_units(vr_text_to_seconds, cases, G_N_ELEMENTS(cases));
}

static void
test_yes_no(void)
{
    static const char *const wrong[] = {"", "Yes", "true", "1", "yes ", "no\n", "yesno"};
    bool yes = false;

    g_assert_true(vr_text_to_yes_no("yes", &yes) && yes);
    g_assert_true(vr_text_to_yes_no("no", &yes) && !yes);
    for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
        yes = true;
        g_assert_false(vr_text_to_yes_no(wrong[i], &yes));
        g_assert_true(yes);
    }
}

static void
test_cpu_list(void)
{
    static const struct {
        const char *text;
        const char *wanted; /* as written back; NULL: refused */
    } cases[] = {
        {"", ""},
        {"0", "0"},
        {"0-3,8,10-11", "0-3,8,10-11"},
        {"8,0-3", "0-3,8"},
        {"0-3,2-5,4", "0-5"},
        {"1,2,3", "1-3"},
        {"5,5,5", "5"},
        {"65535", "65535"},
        {"65536", NULL},
        {"0-4294967295", NULL},
        {"18446744073709551616", NULL},
        {"3-1", NULL},
        {"0-31:2/4", NULL},
        {"0,", NULL},
        {",0", NULL},
        {"0,,1", NULL},
        {"0-", NULL},
        {"-3", NULL},
        {"0 1", NULL},
        {"0\n", NULL},
        {"all", NULL},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GArray) cpus = vr_text_to_cpu_list(cases[i].text);
        g_autofree char *written = cpus == NULL ? NULL : vr_text_from_cpu_list(cpus);

        g_test_message("\"%s\"", cases[i].text);
        g_assert_cmpstr(written, ==, cases[i].wanted);
    }
}

static void
test_profile_name(void)
{
    static const struct {
        const char *text;
        bool ok;
    } cases[] = {
        {"gaming", true},
        {"llm-train", true},
        {"4k_video", true},
        {"a", true},
        {"abcdefghijklmnopqrstuvwxyz012345", true},
        {"abcdefghijklmnopqrstuvwxyz0123456", false},
        {"", false},
        {"-a", false},
        {"_a", false},
        {".", false},
        {"..", false},
        {"../etc/shadow", false},
        {"a/b", false},
        {"a.conf", false},
        {"Gaming", false},
        {"a b", false},
        {"a\n", false},
        {"a'b", false},
        {"<a>", false},
        {"gaming\xff", false},
        {"\xc3\xa4", false},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_test_message("\"%s\"", cases[i].text);
        g_assert_cmpint(vr_text_is_profile_name(cases[i].text), ==, cases[i].ok);
    }
}

static void
test_nearest(void)
{
    static const char *const keys[] = {"memory", "cpus", "pin", "hugepages", NULL};
    static const char *const none[] = {NULL};
    g_autofree char *huge = g_strnfill(1000000, 'x');

    g_assert_cmpstr(vr_text_nearest("memroy", keys), ==, "memory");
    g_assert_cmpstr(vr_text_nearest("hugepage", keys), ==, "hugepages");
    g_assert_cmpstr(vr_text_nearest("cpu", keys), ==, "cpus");
    g_assert_cmpstr(vr_text_nearest("pin", keys), ==, "pin");
    g_assert_null(vr_text_nearest("xx", keys));
    g_assert_null(vr_text_nearest("p", keys));
    g_assert_null(vr_text_nearest("", keys));
    g_assert_null(vr_text_nearest("description", keys));
    g_assert_null(vr_text_nearest("memory", none));
    g_assert_null(vr_text_nearest(huge, keys));
}

static void
test_printable(void)
{
    static const struct {
        const char *text, *wanted;
    } cases[] = {
        {"plain", "plain"},
        {"", ""},
        {"\x1b[31mred\a", "?[31mred?"},
        {"two\nlines\t", "two?lines?"},
        {"caf\xc3\xa9", "caf\xc3\xa9"},
        {"\xff\xfe", "??"},
        {"cut\xc3", "cut?"},
        {"\xc2\x9b"
         "31m",
         "?31m"}, /* C1 control sequence introducer */
        {"a\xe2\x80\xae"
         "b",
         "a?b"}, /* RIGHT-TO-LEFT OVERRIDE turns text around */
        {"\x7f", "?"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *shown = vr_text_printable(cases[i].text);

        g_assert_cmpstr(shown, ==, cases[i].wanted);
    }
}

static void
test_digest(void)
{
    g_autofree char *digest = vr_text_digest("abc");

    /* FIPS 180-2, appendix B.1 */
    g_assert_cmpstr(digest, ==, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/base/text/uint", test_uint);
    g_test_add_func("/base/text/hex", test_hex);
    g_test_add_func("/base/text/mib", test_mib);
    g_test_add_func("/base/text/seconds", test_seconds);
    g_test_add_func("/base/text/yes-no", test_yes_no);
    g_test_add_func("/base/text/cpu-list-is-sorted-and-bounded", test_cpu_list);
    g_test_add_func("/base/text/profile-name-is-no-path", test_profile_name);
    g_test_add_func("/base/text/nearest-candidate", test_nearest);
    g_test_add_func("/base/text/printable-has-no-controls", test_printable);
    g_test_add_func("/base/text/digest", test_digest);
    return g_test_run();
}
