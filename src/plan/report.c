/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/report.h>

static void
finding_free(gpointer data)
{
    VrFinding *finding = data;

    g_free(finding->subject);
    g_free(finding->message);
    g_free(finding->evidence);
    g_free(finding->advice);
    g_free(finding);
}

VrReport *
vr_report_new(void)
{
    VrReport *report = g_new0(VrReport, 1);

    report->findings = g_ptr_array_new_with_free_func(finding_free);
    return report;
}

void
vr_report_free(VrReport *report)
{
    if (report != NULL) {
        g_ptr_array_unref(report->findings);
        g_free(report);
    }
}

VrFinding *
vr_report_add(VrReport *report, const char *id, VrSeverity severity, VrRemedy remedy, char *subject,
              char *message, char *evidence, char *advice)
{
    VrFinding *finding = g_new0(VrFinding, 1);

    finding->id = id;
    finding->severity = severity;
    finding->remedy = remedy;
    finding->status = VR_ERROR_HOST_NOT_READY;
    finding->subject = subject;
    finding->message = message;
    finding->evidence = evidence;
    finding->advice = advice;
    g_ptr_array_add(report->findings, finding);
    return finding;
}

void
vr_report_join(VrReport *report, VrReport *other)
{
    g_ptr_array_extend_and_steal(report->findings, g_ptr_array_ref(other->findings));
    vr_report_free(other);
}

static bool
has_blocker_with(const VrReport *report, VrError status)
{
    for (guint i = 0; i < report->findings->len; i++) {
        const VrFinding *finding = report->findings->pdata[i];

        if (finding->severity == VR_SEVERITY_BLOCKER && finding->status == status) {
            return true;
        }
    }
    return false;
}

bool
vr_report_has_blocker(const VrReport *report)
{
    for (guint i = 0; i < report->findings->len; i++) {
        const VrFinding *finding = report->findings->pdata[i];

        if (finding->severity == VR_SEVERITY_BLOCKER) {
            return true;
        }
    }
    return false;
}

int
vr_report_exit_status(const VrReport *report)
{
    static const VrError order[] = {VR_ERROR_HOST_NOT_READY, VR_ERROR_BUSY,
                                    VR_ERROR_HARDWARE_CHANGED, VR_ERROR_UNREACHABLE};

    for (size_t i = 0; i < G_N_ELEMENTS(order); i++) {
        if (has_blocker_with(report, order[i])) {
            return order[i];
        }
    }
    /* A blocker must never end as success, whatever status a check has given it. */
    return vr_report_has_blocker(report) ? VR_ERROR_HOST_NOT_READY : 0;
}

const char *
vr_severity_name(VrSeverity severity)
{
    static const char *const names[] = {
        [VR_SEVERITY_OK] = "ok",           [VR_SEVERITY_INFO] = "info",
        [VR_SEVERITY_WARNING] = "warning", [VR_SEVERITY_UNKNOWN] = "unknown",
        [VR_SEVERITY_BLOCKER] = "blocker",
    };

    return names[severity];
}
