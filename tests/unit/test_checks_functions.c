/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/checks.h>

#include "../support/plan_host.h"

#include <string.h>

#define CARD "0000:01:00.0"
#define SOUND "0000:01:00.1"

/* A card of two functions below a port, chosen; nobody has told anything of them yet. */
typedef struct {
    VrHostFacts *facts;
    VrProfile *profile;
    GPtrArray *devices, *capabilities;
    VrReport *report;
} Host;

static VrPciCapabilities *
add_capabilities(Host *host, const char *address, const char *methods)
{
    VrPciCapabilities *known = g_new0(VrPciCapabilities, 1);

    g_assert_true(vr_pci_address_parse(address, &known->address));
    known->is_dead = VR_NO;
    known->function_reset = VR_UNKNOWN;
    known->power_reset = VR_UNKNOWN;
    known->reset_methods = g_strdup(methods);
    g_ptr_array_add(host->capabilities, known);
    return known;
}

static Host
host_new(void)
{
    Host host = {.facts = plan_host_with_card(), .profile = plan_profile("gaming", "[gpu]\n")};
    g_autoptr(VrReport) choice = vr_report_new();

    host.devices = vr_devices_choose(host.profile, host.facts, choice);
    g_assert_cmpuint(host.devices->len, ==, 1);
    host.capabilities = g_ptr_array_new_with_free_func((GDestroyNotify) vr_pci_capabilities_free);
    host.report = vr_report_new();
    return host;
}

static void
host_free(Host *host)
{
    vr_report_free(host->report);
    g_ptr_array_unref(host->capabilities);
    g_ptr_array_unref(host->devices);
    vr_profile_free(host->profile);
    vr_host_facts_free(host->facts);
}

static VrPciFunction *
function_at(Host *host, const char *text)
{
    VrPciAddress address = {0};

    g_assert_true(vr_pci_address_parse(text, &address));
    return (VrPciFunction *) vr_host_facts_function(host->facts, address);
}

/* "reset-method warning 0000:01:00.0; …" */
static char *
check(Host *host)
{
    g_autoptr(GString) text = g_string_new(NULL);

    vr_check_functions(host->facts, host->devices, host->capabilities, NULL, host->report);
    for (guint i = 0; i < host->report->findings->len; i++) {
        const VrFinding *finding = g_ptr_array_index(host->report->findings, i);
        g_string_append_printf(text, "%s%s %s %s", i > 0 ? "; " : "", finding->id,
                               vr_severity_name(finding->severity), finding->subject);
        g_assert_nonnull(finding->evidence);
    }
    return g_string_free(g_steal_pointer(&text), FALSE);
}

static void
test_a_dead_header_blocks(void)
{
    Host host = host_new();

    add_capabilities(&host, CARD, "flr bus");
    add_capabilities(&host, SOUND, NULL)->is_dead = VR_YES;
    g_autofree char *found = check(&host);
    g_assert_cmpstr(found, ==, "dead-device blocker " SOUND);
    const VrFinding *finding = plan_blocker(host.report, "dead-device");
    g_assert_nonnull(strstr(finding->advice, "cold"));
    host_free(&host);
}

static void
test_what_the_facts_know_is_not_told_twice(void)
{
    Host host = host_new();

    function_at(&host, CARD)->is_dead = true;
    add_capabilities(&host, CARD, NULL)->is_dead = VR_YES;
    g_autofree char *found = check(&host);
    g_assert_cmpstr(found, ==, "");
    host_free(&host);
}

/* The two functions of the card have the bus for themselves: it can always be reset. */
static void
test_a_bus_of_its_own_is_enough(void)
{
    static const char *const methods[] = {"flr bus", "pm", "bus", "", NULL};

    for (guint i = 0; i < G_N_ELEMENTS(methods); i++) {
        Host host = host_new();

        add_capabilities(&host, CARD, methods[i]);
        g_autofree char *found = check(&host);
        g_assert_cmpstr(found, ==, "reset-method ok " CARD);
        host_free(&host);
    }
}

typedef struct {
    const char *methods;
    VrTristate function_reset, power_reset;
    const char *severity;
} Row;

static void
test_a_shared_bus_needs_a_reset_of_its_own(void)
{
    static const Row rows[] = {
        {"flr bus", VR_UNKNOWN, VR_UNKNOWN, "ok"},
        {"device_specific", VR_UNKNOWN, VR_UNKNOWN, "ok"},
        {"pm", VR_NO, VR_NO, "ok"},
        {"bus", VR_UNKNOWN, VR_UNKNOWN, "warning"},
        {"bus cxl_bus", VR_UNKNOWN, VR_UNKNOWN, "warning"},
        {"", VR_YES, VR_YES, "warning"}, /* somebody has forbidden them */
        {NULL, VR_YES, VR_NO, "ok"},
        {NULL, VR_NO, VR_YES, "ok"},
        {NULL, VR_NO, VR_NO, "warning"},
        {NULL, VR_NO, VR_UNKNOWN, "unknown"},
        {NULL, VR_UNKNOWN, VR_UNKNOWN, "unknown"},
    };

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        Host host = host_new();
        VrPciCapabilities *known = add_capabilities(&host, CARD, rows[i].methods);
        g_autofree char *expected = g_strdup_printf("reset-method %s " CARD, rows[i].severity);

        known->function_reset = rows[i].function_reset;
        known->power_reset = rows[i].power_reset;
        add_capabilities(&host, SOUND, "flr");
        plan_host_add(host.facts, "0000:01:01.0", 0x020000, 0x10ec8168, 13);
        g_autofree char *found = check(&host);
        g_assert_cmpstr(found, ==, expected);
        g_assert_false(vr_report_has_blocker(host.report));
        host_free(&host);
    }
}

static void
test_a_companion_that_cannot_be_reset_is_less(void)
{
    Host host = host_new();

    add_capabilities(&host, CARD, "flr");
    add_capabilities(&host, SOUND, "bus");
    plan_host_add(host.facts, "0000:01:01.0", 0x020000, 0x10ec8168, 13);
    g_autofree char *found = check(&host);
    g_assert_cmpstr(found, ==, "reset-method info " SOUND);
    host_free(&host);
}

static void
test_a_root_bus_cannot_be_reset(void)
{
    Host host = host_new();

    function_at(&host, CARD)->has_parent = false;
    add_capabilities(&host, CARD, "bus");
    g_autofree char *found = check(&host);
    g_assert_cmpstr(found, ==, "reset-method warning " CARD);
    host_free(&host);
}

static void
test_not_asked_is_unknown_and_hanging_is_dead(void)
{
    static const struct {
        int code;
        const char *id;
        VrSeverity severity;
    } rows[] = {
        {VR_ERROR_FAILED, "reset-method", VR_SEVERITY_UNKNOWN},
        {VR_ERROR_STUCK, "dead-device", VR_SEVERITY_BLOCKER},
    };

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        Host host = host_new();
        g_autoptr(GError) why = g_error_new(VR_ERROR, rows[i].code, "no answer");

        plan_host_add(host.facts, "0000:01:01.0", 0x020000, 0x10ec8168, 13);
        vr_check_functions(host.facts, host.devices, NULL, why, host.report);
        const VrFinding *finding = g_ptr_array_index(host.report->findings, 0);
        g_assert_cmpstr(finding->id, ==, rows[i].id);
        g_assert_cmpint(finding->severity, ==, rows[i].severity);
        g_assert_cmpstr(finding->evidence, ==, "no answer");
        host_free(&host);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/checks/functions/a-dead-header-blocks", test_a_dead_header_blocks);
    g_test_add_func("/checks/functions/what-the-facts-know-is-not-told-twice",
                    test_what_the_facts_know_is_not_told_twice);
    g_test_add_func("/checks/functions/a-bus-of-its-own-is-enough",
                    test_a_bus_of_its_own_is_enough);
    g_test_add_func("/checks/functions/a-shared-bus-needs-a-reset-of-its-own",
                    test_a_shared_bus_needs_a_reset_of_its_own);
    g_test_add_func("/checks/functions/a-companion-that-cannot-be-reset-is-less",
                    test_a_companion_that_cannot_be_reset_is_less);
    g_test_add_func("/checks/functions/a-root-bus-cannot-be-reset",
                    test_a_root_bus_cannot_be_reset);
    g_test_add_func("/checks/functions/not-asked-is-unknown-and-hanging-is-dead",
                    test_not_asked_is_unknown_and_hanging_is_dead);
    return g_test_run();
}
