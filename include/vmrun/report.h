/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Findings: what a check has to say about a host. A bad host is a finding, never an error.
 */
#pragma once

#include <vmrun/error.h>

#include <glib.h>
#include <stdbool.h>

typedef enum {
    VR_SEVERITY_OK,
    VR_SEVERITY_INFO,
    VR_SEVERITY_WARNING,
    VR_SEVERITY_UNKNOWN, /* could not be read: an answer of its own */
    VR_SEVERITY_BLOCKER,
} VrSeverity;

typedef enum {
    VR_REMEDY_NONE,
    VR_REMEDY_VMRUN_SETUP,
    VR_REMEDY_PROFILE,
    VR_REMEDY_OS,
    VR_REMEDY_FIRMWARE,
    VR_REMEDY_HARDWARE,
} VrRemedy;

typedef struct {
    const char *id; /* stable, static, "group-isolation": documented and tested */
    VrSeverity severity;
    VrRemedy remedy;
    VrError status; /* of a blocker: VR_ERROR_HOST_NOT_READY, _BUSY, _HARDWARE_CHANGED or
                       _UNREACHABLE */
    char *subject;  /* "0000:01:00.0", a path, or NULL for the host */
    char *message;  /* one sentence */
    char *evidence; /* what was read and where: "/proc/cmdline: no intel_iommu=" */
    char *advice;   /* the next action, or NULL */
} VrFinding;

typedef struct {
    GPtrArray *findings; /* VrFinding, in the order of the checks */
} VrReport;

VrReport *vr_report_new(void);
void vr_report_free(VrReport *report);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VrReport, vr_report_free)

/*
 * Append a finding. `id` must be static. The texts are taken over (g_strdup_printf'ed by the
 * caller) and may be NULL except `message`. Returns the finding, owned by the report; status is set
 * to VR_ERROR_HOST_NOT_READY and may be changed.
 */
VrFinding *vr_report_add(VrReport *report, const char *id, VrSeverity severity, VrRemedy remedy,
                         char *subject, char *message, char *evidence, char *advice);

/* Move every finding of `other` to the end of `report`; `other` is freed. */
void vr_report_join(VrReport *report, VrReport *other);

bool vr_report_has_blocker(const VrReport *report);

/*
 * The exit status that a start with these findings ends with: 0 without a blocker; of several
 * blockers any of the host's gives 6, else busy 7, else 11; unreachable (8) only if it is alone.
 */
int vr_report_exit_status(const VrReport *report);

/* "ok", "info", "warning", "unknown", "blocker": the words of the JSON. */
const char *vr_severity_name(VrSeverity severity);
