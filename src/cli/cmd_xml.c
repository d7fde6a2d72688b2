/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli.h"
#include "print.h"

#include <vmrun/inspect.h>

static int
print_json(const VrInspection *inspection)
{
    JsonBuilder *builder = vr_print_json_begin("xml");

    vr_print_json_text(builder, "profile", inspection->profile->name);
    vr_print_json_text(builder, "uri", inspection->uri);
    vr_print_json_text(builder, "domain", inspection->xml);
    vr_print_json_report(builder, inspection->report);
    vr_print_json_end(builder);
    return inspection->xml != NULL ? 0 : vr_report_exit_status(inspection->report);
}

/* Without a device there is no domain: say which one is missing, as the findings do. */
static int
explain(const VrOptions *options, const VrInspection *inspection)
{
    g_autoptr(GString) blockers = g_string_new(NULL);
    g_autoptr(GError) error = NULL;

    for (guint i = 0; i < inspection->report->findings->len; i++) {
        const VrFinding *finding = inspection->report->findings->pdata[i];

        if (finding->severity == VR_SEVERITY_BLOCKER) {
            g_string_append_printf(blockers, "%s%s%s%s", blockers->len > 0 ? "; " : "",
                                   finding->subject != NULL ? finding->subject : "",
                                   finding->subject != NULL ? ": " : "", finding->message);
        }
    }
    vr_error_set(&error, (VrError) vr_report_exit_status(inspection->report),
                 "'%s' has no domain on this computer: %s; more: vmrun plan %s",
                 inspection->profile->name, blockers->str, inspection->profile->name);
    return vr_print_error(options, error);
}

int
vr_cmd_xml(const VrOptions *options)
{
    g_autoptr(VrProfile) profile = NULL;
    g_autoptr(GError) error = NULL;
    int status = vr_cli_load_profile(options, options->arguments[0], false, &profile);

    if (status != 0) {
        return status;
    }

    g_autoptr(VrInspection) inspection = vr_inspect(options->root, profile, NULL, 0, &error);

    if (inspection == NULL) {
        return vr_print_error(options, error);
    }
    if (options->json) {
        return print_json(inspection);
    }
    if (inspection->xml == NULL) {
        return explain(options, inspection);
    }
    g_strchomp(inspection->xml);
    vr_print("%s", inspection->xml);
    return 0;
}
