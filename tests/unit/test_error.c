/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/error.h>

#include <errno.h>

static void
test_errno_becomes_a_code(void)
{
    static const struct {
        int errno_value;
        VrError code;
    } cases[] = {
        {ENOENT, VR_ERROR_NOT_FOUND},  {ENOTDIR, VR_ERROR_NOT_FOUND},
        {EACCES, VR_ERROR_DENIED},     {EPERM, VR_ERROR_DENIED},
        {EBUSY, VR_ERROR_DEVICE_BUSY}, {ENODEV, VR_ERROR_GONE},
        {ENXIO, VR_ERROR_GONE},        {EIO, VR_ERROR_IO},
        {EINVAL, VR_ERROR_IO},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        g_autofree char *wanted =
            g_strdup_printf("read /a/100%%: %s", g_strerror(cases[i].errno_value));

        g_assert_false(vr_error_set_errno(&error, cases[i].errno_value, "read %s", "/a/100%"));
        g_assert_error(error, VR_ERROR, (int) cases[i].code);
        g_assert_cmpstr(error->message, ==, wanted);
    }
}

static void
test_text_with_percent_stays(void)
{
    g_autoptr(GError) error = NULL;

    g_assert_false(vr_error_set(&error, VR_ERROR_USAGE, "key \"%s\"", "%s%n"));
    g_assert_false(vr_error_prefix(&error, "profile %s", "%d"));
    g_assert_error(error, VR_ERROR, VR_ERROR_USAGE);
    g_assert_cmpstr(error->message, ==, "profile %d: key \"%s%n\"");
}

static void
test_prefix_and_recode_need_an_error(void)
{
    g_autoptr(GError) error = NULL;

    g_assert_false(vr_error_prefix(NULL, "goal"));
    g_assert_false(vr_error_prefix(&error, "goal"));
    g_assert_false(vr_error_recode(NULL, VR_ERROR_BUSY));
    g_assert_false(vr_error_recode(&error, VR_ERROR_BUSY));
    g_assert_false(vr_error_set(NULL, VR_ERROR_BUSY, "nobody listens"));
    g_assert_no_error(error);
}

static void
test_recode_keeps_message(void)
{
    g_autoptr(GError) error = g_error_new(G_KEY_FILE_ERROR, 3, "a text");

    g_assert_false(vr_error_recode(&error, VR_ERROR_CORRUPT));
    g_assert_error(error, VR_ERROR, VR_ERROR_CORRUPT);
    g_assert_cmpstr(error->message, ==, "a text");
}

static void
test_exit_status(void)
{
    g_autoptr(GError) busy = g_error_new(VR_ERROR, VR_ERROR_BUSY, "a");
    g_autoptr(GError) leaf = g_error_new(VR_ERROR, VR_ERROR_DEVICE_BUSY, "a");
    g_autoptr(GError) foreign = g_error_new(G_KEY_FILE_ERROR, 7, "a");
    g_autoptr(GError) zero = g_error_new(VR_ERROR, 0, "a");

    g_assert_cmpint(vr_error_exit_status(NULL), ==, 0);
    g_assert_cmpint(vr_error_exit_status(busy), ==, 7);
    g_assert_cmpint(vr_error_exit_status(leaf), ==, 1);
    g_assert_cmpint(vr_error_exit_status(foreign), ==, 1);
    g_assert_cmpint(vr_error_exit_status(zero), ==, 1);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/base/error/errno-becomes-a-code", test_errno_becomes_a_code);
    g_test_add_func("/base/error/text-with-percent-stays", test_text_with_percent_stays);
    g_test_add_func("/base/error/prefix-and-recode-need-an-error",
                    test_prefix_and_recode_need_an_error);
    g_test_add_func("/base/error/recode-keeps-message", test_recode_keeps_message);
    g_test_add_func("/base/error/exit-status-is-code-below-100", test_exit_status);
    return g_test_run();
}
