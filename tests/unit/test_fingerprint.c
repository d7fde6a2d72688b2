/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a firmware update, a new card or another slot does to a profile's devices. */
#include <vmrun/fingerprint.h>

#include <vmrun/error.h>

#include "../support/plan_host.h"

#include <string.h>

#define CARD 0x10de2484
#define SOUND 0x10de228b
#define DISK 0x144da808

/* A board with two ports, 01.0 and 1c.0: what is behind them gets its bus number from the firmware.
 */
static VrHostFacts *
board(void)
{
    VrHostFacts *facts = plan_host_new();
    plan_host_add(facts, "0000:00:01.0", 0x060400, 0x8086460d, 2);
    plan_host_add(facts, "0000:00:02.0", 0x030000, 0x80864680, 1)->boot_vga = VR_YES;
    plan_host_add(facts, "0000:00:1c.0", 0x060400, 0x80867ab8, 3);
    facts->bios_version = g_strdup("2208");
    facts->kernel_release = g_strdup("6.1.0-37-amd64");
    return facts;
}

static gint
compare_functions(gconstpointer a, gconstpointer b)
{
    const VrPciFunction *left = *(const VrPciFunction *const *) a;
    const VrPciFunction *right = *(const VrPciFunction *const *) b;
    return vr_pci_address_compare(left->address, right->address);
}

/* A function behind the port with that slot number. */
static VrPciFunction *
plug(VrHostFacts *facts, uint8_t port, const char *address, uint32_t class_code, uint32_t id)
{
    VrPciFunction *function = plan_host_add(facts, address, class_code, id, 12);
    function->has_parent = true;
    function->parent = (VrPciAddress){0, 0, port, 0};
    function->has_subsystem = true;
    function->subsystem_vendor = 0x1458;
    function->subsystem_device = 0x3702;
    g_ptr_array_sort(facts->functions, compare_functions);
    return function;
}

static void
plug_card(VrHostFacts *facts, uint8_t port, const char *bus)
{
    g_autofree char *display = g_strdup_printf("0000:%s:00.0", bus);
    g_autofree char *sound = g_strdup_printf("0000:%s:00.1", bus);
    plug(facts, port, display, 0x030000, CARD);
    plug(facts, port, sound, 0x040300, SOUND);
}

typedef struct {
    VrProfile *profile;
    VrReport *report;
    VrFingerprint *before;
    GPtrArray *changes;
} Story;

static VrFingerprint *
fingerprint_of(const VrHostFacts *facts, const VrProfile *profile, VrReport *report)
{
    g_autoptr(GPtrArray) devices = vr_devices_choose(profile, facts, report);
    return vr_fingerprint_make(facts, devices);
}

/* A profile with `device=` that started well on `facts`. */
static Story
started_on(VrHostFacts *facts, const char *device)
{
    g_autofree char *text = g_strdup_printf("[gpu]\ndevice=%s\n", device);
    g_autoptr(VrReport) ignored = vr_report_new();
    Story story = {.profile = plan_profile("gaming", text)};
    g_autoptr(VrFingerprint) made = fingerprint_of(facts, story.profile, ignored);
    g_autofree char *record = vr_fingerprint_to_text(made);
    g_autoptr(GError) error = NULL;
    g_assert_cmpuint(made->devices->len, ==, 1);
    story.before = vr_fingerprint_from_text(record, &error); /* as it is read back */
    g_assert_no_error(error);
    vr_host_facts_free(facts);
    return story;
}

static void
look_at(Story *story, VrHostFacts *facts)
{
    story->report = vr_report_new();
    g_autoptr(VrFingerprint) now = fingerprint_of(facts, story->profile, story->report);
    story->changes = vr_fingerprint_compare(story->before, now, facts, story->profile);
    vr_changes_report(story->changes, "gaming", story->report);
    vr_host_facts_free(facts);
}

static void
story_clear(Story *story)
{
    vr_profile_free(story->profile);
    vr_report_free(story->report);
    vr_fingerprint_free(story->before);
    g_clear_pointer(&story->changes, g_ptr_array_unref);
}

static VrHostFacts *
board_with_card(uint8_t port, const char *bus)
{
    VrHostFacts *facts = board();
    plug_card(facts, port, bus);
    return facts;
}

static const VrChange *
only_change(const Story *story)
{
    g_assert_cmpuint(story->changes->len, ==, 1);
    return g_ptr_array_index(story->changes, 0);
}

static void
test_nothing_changed(void)
{
    Story story = started_on(board_with_card(1, "01"), "0000:01:00.0");
    look_at(&story, board_with_card(1, "01"));
    g_assert_cmpuint(story.changes->len, ==, 0);
    g_assert_cmpint(vr_report_exit_status(story.report), ==, 0);
    story_clear(&story);
}

/* A new NVMe drive in front: the card's bus gets the next number, and its old one is the drive. */
static void
test_renumbered_bus(void)
{
    Story story = started_on(board_with_card(0x1c, "01"), "0000:01:00.0");
    VrHostFacts *facts = board_with_card(0x1c, "02");
    plug(facts, 1, "0000:01:00.0", 0x010802, DISK)->group = 13;
    look_at(&story, facts);
    const VrChange *change = only_change(&story);
    g_assert_cmpint(change->kind, ==, VR_CHANGE_MOVED);
    g_assert_cmpstr(change->from, ==, "0000:01:00.0");
    g_assert_cmpstr(change->to, ==, "0000:02:00.0");
    g_assert_nonnull(strstr(change->remark, "same slot"));
    g_assert_nonnull(strstr(change->remark, "144d:a808"));
    g_assert_nonnull(plan_blocker(story.report, "hardware-changed"));
    g_assert_cmpint(vr_report_exit_status(story.report), ==, VR_ERROR_HARDWARE_CHANGED);
    story_clear(&story);
}

static void
test_other_slot_with_any_way_to_name_it(gconstpointer device)
{
    Story story = started_on(board_with_card(1, "01"), device);
    look_at(&story, board_with_card(0x1c, "03"));
    const VrChange *change = only_change(&story);
    g_assert_cmpint(change->kind, ==, VR_CHANGE_MOVED);
    g_assert_cmpstr(change->to, ==, "0000:03:00.0");
    g_assert_nonnull(strstr(change->remark, "another slot"));
    g_assert_cmpint(vr_report_exit_status(story.report), ==, VR_ERROR_HARDWARE_CHANGED);
    story_clear(&story);
}

static void
test_two_like_it_elsewhere(void)
{
    Story story = started_on(board_with_card(1, "01"), "0000:01:00.0");
    VrHostFacts *facts = board();
    plug(facts, 0x1c, "0000:03:00.0", 0x030000, CARD);
    plug(facts, 0x1c, "0000:04:00.0", 0x030000, CARD);
    plug(facts, 0x1c, "0000:05:00.0", 0x038000, CARD); /* same ids, but no VGA */
    look_at(&story, facts);
    g_assert_cmpint(only_change(&story)->kind, ==, VR_CHANGE_AMBIGUOUS);
    g_assert_cmpstr(only_change(&story)->to, ==, "one of 2 like it");
    g_assert_cmpint(vr_report_exit_status(story.report), ==, VR_ERROR_HARDWARE_CHANGED);
    story_clear(&story);
}

/* One of them is the boot display, so device=auto can only mean the other. */
static void
test_two_like_it_and_one_is_meant(void)
{
    Story story = started_on(board_with_card(1, "01"), "auto");
    VrHostFacts *facts = board();
    plug(facts, 0x1c, "0000:03:00.0", 0x030000, CARD)->boot_vga = VR_YES;
    plug(facts, 0x1c, "0000:04:00.0", 0x030000, CARD)->group = 14;
    look_at(&story, facts);
    const VrChange *change = g_ptr_array_index(story.changes, 0);
    g_assert_cmpint(change->kind, ==, VR_CHANGE_MOVED);
    g_assert_cmpstr(change->to, ==, "0000:04:00.0");
    story_clear(&story);
}

static void
test_card_replaced(void)
{
    Story story = started_on(board_with_card(1, "01"), "0000:01:00.0");
    VrHostFacts *facts = board();
    plug(facts, 1, "0000:01:00.0", 0x030000, 0x10021234);
    look_at(&story, facts);
    g_assert_cmpint(only_change(&story)->kind, ==, VR_CHANGE_REPLACED);
    g_assert_cmpint(vr_report_exit_status(story.report), ==, VR_ERROR_HARDWARE_CHANGED);
    story_clear(&story);
}

/* Nothing to agree to: the choice itself says that there is no such function. */
static void
test_card_gone(void)
{
    Story story = started_on(board_with_card(1, "01"), "0000:01:00.0");
    look_at(&story, board());
    g_assert_cmpint(only_change(&story)->kind, ==, VR_CHANGE_GONE);
    g_assert_cmpint(vr_report_exit_status(story.report), ==, VR_ERROR_HOST_NOT_READY);
    story_clear(&story);
}

static void
test_new_neighbour_in_its_group(void)
{
    Story story = started_on(board_with_card(1, "01"), "0000:01:00.0");
    VrHostFacts *facts = board_with_card(1, "01");
    plug(facts, 1, "0000:01:00.2", 0x0c0330, 0x10de1ada);
    look_at(&story, facts);
    const VrChange *change = only_change(&story);
    g_assert_cmpint(change->kind, ==, VR_CHANGE_GROUP);
    g_assert_cmpstr(change->from, ==, "10de:228b 10de:2484");
    g_assert_cmpstr(change->to, ==, "10de:1ada 10de:228b 10de:2484");
    story_clear(&story);
}

static void
test_twin_swapped_in(void)
{
    Story story = started_on(board_with_card(1, "01"), "0000:01:00.0");
    g_autoptr(VrReport) report = vr_report_new();
    VrHostFacts *facts = board_with_card(1, "01");
    g_autoptr(VrFingerprint) now = fingerprint_of(facts, story.profile, report);
    VrDevicePrint *before = g_ptr_array_index(story.before->devices, 0);
    VrDevicePrint *after = g_ptr_array_index(now->devices, 0);
    before->serial = g_strdup("1111");
    after->serial = g_strdup("2222");
    story.changes = vr_fingerprint_compare(story.before, now, facts, story.profile);
    g_assert_cmpint(only_change(&story)->kind, ==, VR_CHANGE_REPLACED);
    g_clear_pointer(&after->serial, g_free); /* not asked this time: no difference */
    g_ptr_array_unref(story.changes);
    story.changes = vr_fingerprint_compare(story.before, now, facts, story.profile);
    g_assert_cmpuint(story.changes->len, ==, 0);
    vr_host_facts_free(facts);
    story_clear(&story);
}

static void
test_reset_method_changed(void)
{
    Story story = started_on(board_with_card(1, "01"), "0000:01:00.0");
    g_autoptr(VrReport) report = vr_report_new();
    VrHostFacts *facts = board_with_card(1, "01");
    g_autoptr(VrFingerprint) now = fingerprint_of(facts, story.profile, report);
    VrDevicePrint *before = g_ptr_array_index(story.before->devices, 0);
    VrDevicePrint *after = g_ptr_array_index(now->devices, 0);
    before->reset_methods = g_strdup("flr bus");
    after->reset_methods = g_strdup("bus");
    story.changes = vr_fingerprint_compare(story.before, now, facts, story.profile);
    g_assert_cmpint(only_change(&story)->kind, ==, VR_CHANGE_RESET);
    vr_host_facts_free(facts);
    story_clear(&story);
}

static void
test_another_card_is_chosen_now(void)
{
    Story story = started_on(board_with_card(1, "01"), "auto");
    VrHostFacts *facts = board_with_card(1, "01");
    VrPciFunction *display = g_ptr_array_index(facts->functions, facts->functions->len - 2);
    g_assert_cmpuint(display->device, ==, CARD & 0xffff);
    display->boot_vga = VR_YES; /* the BIOS made it the primary display */
    plug(facts, 0x1c, "0000:05:00.0", 0x030000, 0x10021234)->group = 15;
    look_at(&story, facts);
    g_assert_cmpint(only_change(&story)->kind, ==, VR_CHANGE_REPLACED);
    g_assert_cmpint(vr_report_exit_status(story.report), ==, VR_ERROR_HARDWARE_CHANGED);
    story_clear(&story);
}

/* Whoever edits device= has decided. */
static void
test_an_edited_profile_is_not_compared(void)
{
    Story story = started_on(board_with_card(1, "01"), "0000:01:00.0");
    vr_profile_free(story.profile);
    story.profile = plan_profile("gaming", "[gpu]\ndevice=0000:03:00.0\n");
    look_at(&story, board_with_card(0x1c, "03"));
    g_assert_cmpuint(story.changes->len, ==, 0);
    story_clear(&story);
}

static void
test_firmware_and_kernel_are_a_notice(void)
{
    Story story = started_on(board_with_card(1, "01"), "0000:01:00.0");
    VrHostFacts *facts = board_with_card(1, "01");
    g_free(facts->bios_version);
    g_free(facts->kernel_release);
    facts->bios_version = g_strdup("2210");
    facts->bios_date = g_strdup("03/22/2024");
    facts->kernel_release = g_strdup("6.1.0-38-amd64");
    look_at(&story, facts);
    g_assert_cmpuint(story.changes->len, ==, 2);
    g_assert_false(vr_changes_need_consent(story.changes));
    g_assert_cmpint(vr_report_exit_status(story.report), ==, 0);
    const VrFinding *finding =
        g_ptr_array_index(story.report->findings, story.report->findings->len - 1);
    g_assert_cmpstr(finding->id, ==, "host-changed");
    g_assert_cmpstr(finding->evidence, ==,
                    "BIOS: 2208 -> 2210 (03/22/2024); kernel: 6.1.0-37-amd64 -> 6.1.0-38-amd64");
    story_clear(&story);
}

static void
test_records_that_cannot_be_believed(gconstpointer text)
{
    g_autoptr(GError) error = NULL;
    g_assert_null(vr_fingerprint_from_text(text, &error));
    g_assert_error(error, VR_ERROR, VR_ERROR_CORRUPT);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fingerprint/nothing-changed", test_nothing_changed);
    g_test_add_func("/fingerprint/renumbered-bus", test_renumbered_bus);
    g_test_add_data_func("/fingerprint/other-slot/address", "0000:01:00.0",
                         test_other_slot_with_any_way_to_name_it);
    g_test_add_data_func("/fingerprint/other-slot/id", "10de:2484",
                         test_other_slot_with_any_way_to_name_it);
    g_test_add_data_func("/fingerprint/other-slot/auto", "auto",
                         test_other_slot_with_any_way_to_name_it);
    g_test_add_func("/fingerprint/two-like-it-elsewhere", test_two_like_it_elsewhere);
    g_test_add_func("/fingerprint/two-like-it-and-one-is-meant", test_two_like_it_and_one_is_meant);
    g_test_add_func("/fingerprint/card-replaced", test_card_replaced);
    g_test_add_func("/fingerprint/card-gone", test_card_gone);
    g_test_add_func("/fingerprint/new-neighbour-in-its-group", test_new_neighbour_in_its_group);
    g_test_add_func("/fingerprint/twin-swapped-in", test_twin_swapped_in);
    g_test_add_func("/fingerprint/reset-method-changed", test_reset_method_changed);
    g_test_add_func("/fingerprint/another-card-is-chosen-now", test_another_card_is_chosen_now);
    g_test_add_func("/fingerprint/edited-profile", test_an_edited_profile_is_not_compared);
    g_test_add_func("/fingerprint/firmware-and-kernel", test_firmware_and_kernel_are_a_notice);
    g_test_add_data_func("/fingerprint/corrupt/empty", "", test_records_that_cannot_be_believed);
    g_test_add_data_func("/fingerprint/corrupt/no-key-file", "garbage\n",
                         test_records_that_cannot_be_believed);
    g_test_add_data_func("/fingerprint/corrupt/version", "[host]\nversion=2\n",
                         test_records_that_cannot_be_believed);
    g_test_add_data_func("/fingerprint/corrupt/address",
                         "[host]\nversion=1\n[device 0]\nsection=[gpu]\nid=1:2\nport=x\n"
                         "class=030000\naddress=../../etc\n",
                         test_records_that_cannot_be_believed);
    g_test_add_data_func("/fingerprint/corrupt/no-port",
                         "[host]\nversion=1\n[device 0]\nsection=[gpu]\nid=1:2\n"
                         "class=030000\naddress=0000:01:00.0\n",
                         test_records_that_cannot_be_believed);
    return g_test_run();
}
