/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/report.h>

static void
add(VrReport *report, VrSeverity severity, VrError status)
{
    VrFinding *finding = vr_report_add(report, "an-id", severity, VR_REMEDY_OS, NULL,
                                       g_strdup("a message"), NULL, NULL);

    g_assert_cmpint(finding->status, ==, VR_ERROR_HOST_NOT_READY);
    finding->status = status;
}

static void
test_exit_status_of_blockers(void)
{
    enum { HOST = VR_ERROR_HOST_NOT_READY, BUSY = VR_ERROR_BUSY };
    enum { CHANGED = VR_ERROR_HARDWARE_CHANGED, UNREACHABLE = VR_ERROR_UNREACHABLE };
    static const struct {
        int blockers[3];
        int wanted;
    } cases[] = {
        {{0}, 0},
        {{HOST}, 6},
        {{BUSY}, 7},
        {{CHANGED}, 11},
        {{UNREACHABLE}, 8},
        {{CHANGED, BUSY, HOST}, 6},
        {{CHANGED, BUSY}, 7},
        {{UNREACHABLE, CHANGED}, 11},
        {{UNREACHABLE, BUSY}, 7},
        {{VR_ERROR_IO}, 6}, /* whatever a check says, a blocker is no success */
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(VrReport) report = vr_report_new();

        add(report, VR_SEVERITY_WARNING, VR_ERROR_HOST_NOT_READY);
        add(report, VR_SEVERITY_UNKNOWN, VR_ERROR_BUSY);
        for (size_t j = 0; j < G_N_ELEMENTS(cases[i].blockers); j++) {
            if (cases[i].blockers[j] != 0) {
                add(report, VR_SEVERITY_BLOCKER, (VrError) cases[i].blockers[j]);
            }
        }
        g_assert_cmpint(vr_report_exit_status(report), ==, cases[i].wanted);
        g_assert_cmpint(vr_report_has_blocker(report), ==, cases[i].wanted != 0);
    }
}

static void
test_join_keeps_the_order(void)
{
    g_autoptr(VrReport) report = vr_report_new();
    VrReport *other = vr_report_new();

    vr_report_add(report, "first", VR_SEVERITY_OK, VR_REMEDY_NONE, NULL, g_strdup("1"), NULL, NULL);
    vr_report_add(other, "second", VR_SEVERITY_INFO, VR_REMEDY_NONE, g_strdup("0000:01:00.0"),
                  g_strdup("2"), g_strdup("/proc/cmdline"), g_strdup("do it"));
    vr_report_join(report, other);
    vr_report_join(report, vr_report_new());
    g_assert_cmpuint(report->findings->len, ==, 2);
    const VrFinding *second = report->findings->pdata[1];
    g_assert_cmpstr(second->id, ==, "second");
    g_assert_cmpstr(second->subject, ==, "0000:01:00.0");
    vr_report_free(NULL);
}

static void
test_names(void)
{
    g_assert_cmpstr(vr_severity_name(VR_SEVERITY_OK), ==, "ok");
    g_assert_cmpstr(vr_severity_name(VR_SEVERITY_INFO), ==, "info");
    g_assert_cmpstr(vr_severity_name(VR_SEVERITY_WARNING), ==, "warning");
    g_assert_cmpstr(vr_severity_name(VR_SEVERITY_UNKNOWN), ==, "unknown");
    g_assert_cmpstr(vr_severity_name(VR_SEVERITY_BLOCKER), ==, "blocker");
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/plan/report/exit-status-of-blockers", test_exit_status_of_blockers);
    g_test_add_func("/plan/report/join-keeps-the-order", test_join_keeps_the_order);
    g_test_add_func("/plan/report/severity-names", test_names);
    return g_test_run();
}
