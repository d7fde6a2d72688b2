/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/device_choice.h>

#include "../support/plan_host.h"

#include <string.h>

typedef struct {
    VrHostFacts *facts;
    VrProfile *profile;
    VrReport *report;
    GPtrArray *devices;
} Choice;

/* Takes the facts. */
static Choice
choose(VrHostFacts *facts, const char *text)
{
    Choice choice = {.facts = facts, .profile = plan_profile("gaming", text)};

    choice.report = vr_report_new();
    choice.devices = vr_devices_choose(choice.profile, facts, choice.report);
    return choice;
}

static void
choice_free(Choice *choice)
{
    g_ptr_array_unref(choice->devices);
    vr_report_free(choice->report);
    vr_profile_free(choice->profile);
    vr_host_facts_free(choice->facts);
}

/* "gpu 0000:01:00.0=0 0000:01:00.1=1; …" */
static char *
shown(const Choice *choice)
{
    GString *text = g_string_new(NULL);

    for (guint i = 0; i < choice->devices->len; i++) {
        const VrChosenDevice *device = choice->devices->pdata[i];

        g_string_append_printf(text, "%s%s", i > 0 ? "; " : "", device->name);
        for (guint j = 0; j < device->functions->len; j++) {
            const VrChosenFunction *chosen = &g_array_index(device->functions, VrChosenFunction, j);
            g_autofree char *address = vr_pci_address_format(chosen->function->address);

            g_string_append_printf(text, " %s=%u", address, (unsigned) chosen->guest_function);
        }
    }
    return g_string_free(text, FALSE);
}

static void
assert_chosen(Choice *choice, const char *expected)
{
    g_autofree char *text = shown(choice);

    g_assert_cmpstr(text, ==, expected);
    g_assert_cmpuint(plan_count_blockers(choice->report), ==, 0);
    choice_free(choice);
}

static void
assert_blocked(Choice *choice, const char *id, const char *word)
{
    const VrFinding *finding = plan_blocker(choice->report, id);

    g_assert_nonnull(finding);
    g_assert_nonnull(finding->advice);

    g_autofree char *text =
        g_strconcat(finding->subject != NULL ? finding->subject : "", "|", finding->message, "|",
                    finding->evidence != NULL ? finding->evidence : "", NULL);

    if (strstr(text, word) == NULL) {
        g_test_message("'%s' is not in: %s", word, text);
        g_test_fail();
    }
    choice_free(choice);
}

static VrHostFacts *
host_with_two_cards(void)
{
    VrHostFacts *facts = plan_host_with_card();

    plan_host_add(facts, "0000:02:00.0", 0x030000, 0x10de2484, 13);
    plan_host_add(facts, "0000:02:00.1", 0x040300, 0x10de228b, 13);
    return facts;
}

static VrHostFacts *
host_with_usb_in_group(void)
{
    VrHostFacts *facts = plan_host_with_card();

    plan_host_add(facts, "0000:03:00.0", 0x0c0330, 0x19120014, 12);
    return facts;
}

/* --- the ways to name a card --- */

static void
test_auto_takes_the_one_card(void)
{
    Choice choice = choose(plan_host_with_card(), "[gpu]\n");

    assert_chosen(&choice, "gpu 0000:01:00.0=0 0000:01:00.1=1");
}

static void
test_auto_refuses_to_guess(void)
{
    Choice choice = choose(host_with_two_cards(), "[gpu]\n");

    g_assert_cmpuint(choice.devices->len, ==, 0);
    assert_blocked(&choice, "gpu-choice", "0000:02:00.0");
}

static void
test_auto_without_card_lists_what_there_is(void)
{
    VrHostFacts *facts = plan_host_new();

    plan_host_add(facts, "0000:00:02.0", 0x030000, 0x80864680, 1)->boot_vga = VR_YES;

    Choice choice = choose(facts, "[gpu]\n");

    assert_blocked(&choice, "gpu-choice", "integrated");
}

static void
test_auto_leaves_named_cards_alone(void)
{
    Choice choice = choose(host_with_two_cards(), "[gpu a]\n[gpu b]\ndevice=0000:01:00.0\n");

    assert_chosen(&choice, "a 0000:02:00.0=0 0000:02:00.1=1; b 0000:01:00.0=0 0000:01:00.1=1");
}

static void
test_all_numbers_the_cards(void)
{
    Choice choice = choose(host_with_two_cards(), "[gpu]\ndevice=all\n");

    assert_chosen(&choice,
                  "gpu 0000:01:00.0=0 0000:01:00.1=1; gpu-2 0000:02:00.0=0 0000:02:00.1=1");
}

static void
test_ids_name_one_card(void)
{
    Choice choice = choose(plan_host_with_card(), "[gpu]\ndevice=10de:2484\n");

    assert_chosen(&choice, "gpu 0000:01:00.0=0 0000:01:00.1=1");
}

static void
test_ids_of_two_cards_are_ambiguous(void)
{
    Choice choice = choose(host_with_two_cards(), "[gpu]\ndevice=10de:2484\n");

    assert_blocked(&choice, "device-ambiguous", "0000:02:00.0");
}

static void
test_missing_address_is_said(void)
{
    Choice choice = choose(plan_host_with_card(), "[gpu]\ndevice=0000:05:00.0\n");

    assert_blocked(&choice, "device-missing", "0000:05:00.0");
}

static void
test_audio_is_no_card(void)
{
    Choice choice = choose(plan_host_with_card(), "[gpu]\ndevice=0000:01:00.1\n");

    assert_blocked(&choice, "device-kind", "0000:01:00.0");
}

static void
test_card_under_pci_is_refused(void)
{
    Choice choice = choose(plan_host_with_card(), "[pci card]\ndevice=0000:01:00.0\n");

    assert_blocked(&choice, "device-kind", "[pci card]");
}

static void
test_parts_of_the_board_are_refused(void)
{
    static const struct {
        uint32_t class_code;
        bool refused;
    } rows[] = {
        {0x060000, true},  {0x060100, true},  {0x060400, true},
        {0x060401, true},  {0x080600, true},  {0x068000, false},
        {0x080501, false}, {0x0c0330, false}, {0x020000, false},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        VrHostFacts *facts = plan_host_with_card();

        plan_host_add(facts, "0000:04:00.0", rows[i].class_code, 0x80861234, 20);

        Choice choice = choose(facts, "[pci a]\ndevice=0000:04:00.0\n");

        if (rows[i].refused) {
            assert_blocked(&choice, "device-kind", "0000:04:00.0");
        } else {
            assert_chosen(&choice, "a 0000:04:00.0=0");
        }
    }
}

static void
test_an_isa_bridge_of_the_group_stays(void)
{
    VrHostFacts *facts = plan_host_with_card();

    plan_host_add(facts, "0000:05:1f.0", 0x060100, 0x80867a84, 14);
    plan_host_add(facts, "0000:05:1f.3", 0x040300, 0x80867ad0, 14);

    Choice choice = choose(facts, "[pci sound]\ndevice=0000:05:1f.3\n");

    assert_blocked(&choice, "group-isolation", "ISA bridge");
}

static void
test_taken_twice_is_refused(void)
{
    Choice choice =
        choose(plan_host_with_card(), "[gpu a]\ndevice=0000:01:00.0\n[gpu b]\ndevice=10de:2484\n");

    assert_blocked(&choice, "device-taken-twice", "[gpu a]");
}

/* --- what speaks against a card --- */

static void
test_neighbour_blocks_with_its_reason(void)
{
    Choice choice = choose(host_with_usb_in_group(), "[gpu]\ndevice=0000:01:00.0\n");

    assert_blocked(&choice, "group-isolation", "USB controller");
}

static void
test_neighbour_of_another_section_is_fine(void)
{
    Choice choice = choose(host_with_usb_in_group(),
                           "[gpu]\ndevice=0000:01:00.0\n[pci usb]\ndevice=0000:03:00.0\n");

    assert_chosen(&choice, "gpu 0000:01:00.0=0 0000:01:00.1=1; usb 0000:03:00.0=0");
}

static void
test_boot_display_blocks(void)
{
    VrHostFacts *facts = plan_host_new();

    plan_host_add(facts, "0000:01:00.0", 0x030000, 0x10de2484, 12)->boot_vga = VR_YES;

    Choice choice = choose(facts, "[gpu]\ndevice=0000:01:00.0\n");

    g_assert_nonnull(plan_blocker(choice.report, "only-gpu"));
    assert_blocked(&choice, "boot-display", "0000:01:00.0");
}

static void
test_boot_display_can_be_allowed(void)
{
    VrHostFacts *facts = plan_host_new();

    plan_host_add(facts, "0000:01:00.0", 0x030000, 0x10de2484, 12)->boot_vga = VR_YES;

    Choice choice = choose(facts, "[gpu]\nallow-boot-display=yes\n");

    g_assert_cmpuint(choice.report->findings->len, ==, 2); /* warnings */
    assert_chosen(&choice, "gpu 0000:01:00.0=0");
}

static void
test_problems_block_under_their_names(void)
{
    VrHostFacts *facts = plan_host_with_card();
    VrPciFunction *card = facts->functions->pdata[1];

    card->is_dead = true;
    card->virtual_functions = 2;
    card->group = -1;

    Choice choice = choose(facts, "[gpu]\ndevice=0000:01:00.0\n");

    g_assert_nonnull(plan_blocker(choice.report, "sriov-active"));
    g_assert_nonnull(plan_blocker(choice.report, "no-group"));
    assert_blocked(&choice, "dead-device", "0000:01:00.0");
}

static void
test_no_iommu_blocks(void)
{
    VrHostFacts *facts = plan_host_with_card();

    facts->iommu = false;

    Choice choice = choose(facts, "[gpu]\ndevice=0000:01:00.0\n");

    assert_blocked(&choice, "no-iommu", "0000:01:00.0");
}

static void
test_long_domain_blocks(void)
{
    VrHostFacts *facts = plan_host_with_card();

    plan_host_add(facts, "10001:01:00.0", 0x030000, 0x10de1f82, 20);

    Choice choice = choose(facts, "[gpu]\ndevice=10001:01:00.0\n");

    assert_blocked(&choice, "pci-domain", "10001:01:00.0");
}

/* --- functions --- */

static void
test_left_behind_function_blocks(void)
{
    Choice choice =
        choose(plan_host_with_card(), "[gpu]\ndevice=0000:01:00.0\nfunctions=0000:01:00.0\n");

    assert_blocked(&choice, "group-isolation", "0000:01:00.1");
}

static void
test_function_with_own_group_may_stay(void)
{
    VrHostFacts *facts = plan_host_with_card();

    ((VrPciFunction *) facts->functions->pdata[2])->group = 14;

    Choice choice = choose(facts, "[gpu]\ndevice=0000:01:00.0\nfunctions=0000:01:00.0\n");

    assert_chosen(&choice, "gpu 0000:01:00.0=0");
}

static void
test_foreign_function_blocks(void)
{
    Choice choice =
        choose(plan_host_with_card(), "[gpu]\ndevice=0000:01:00.0\n"
                                      "functions=0000:01:00.0,0000:01:00.1,0000:00:02.0\n");

    assert_blocked(&choice, "device-functions", "0000:00:02.0");
}

static void
test_main_function_is_zero_in_the_guest(void)
{
    VrHostFacts *facts = plan_host_with_card();

    plan_host_add(facts, "0000:04:00.3", 0x0c0330, 0x1022148c, 15);
    plan_host_add(facts, "0000:05:00.0", 0x040300, 0x10221487, 15);

    Choice choice = choose(facts, "[gpu]\ndevice=0000:01:00.0\n[pci usb]\ndevice=0000:04:00.3\n");

    assert_chosen(&choice, "gpu 0000:01:00.0=0 0000:01:00.1=1; usb 0000:04:00.3=0 0000:05:00.0=1");
}

static void
test_addresses_are_sorted(void)
{
    Choice choice = choose(host_with_two_cards(),
                           "[gpu a]\ndevice=0000:02:00.0\n[gpu b]\ndevice=0000:01:00.0\n");
    g_autoptr(GArray) addresses = vr_devices_addresses(choice.devices);
    g_autoptr(GPtrArray) functions = vr_devices_functions(choice.devices);

    g_assert_cmpuint(addresses->len, ==, 4);
    g_assert_cmpuint(functions->len, ==, 4);
    for (guint i = 1; i < addresses->len; i++) {
        g_assert_cmpint(vr_pci_address_compare(g_array_index(addresses, VrPciAddress, i - 1),
                                               g_array_index(addresses, VrPciAddress, i)),
                        <, 0);
    }
    choice_free(&choice);
}

int
main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } tests[] = {
        {"auto/takes-the-one-card", test_auto_takes_the_one_card},
        {"auto/refuses-to-guess", test_auto_refuses_to_guess},
        {"auto/without-card-lists-what-there-is", test_auto_without_card_lists_what_there_is},
        {"auto/leaves-named-cards-alone", test_auto_leaves_named_cards_alone},
        {"all/numbers-the-cards", test_all_numbers_the_cards},
        {"ids/name-one-card", test_ids_name_one_card},
        {"ids/of-two-cards-are-ambiguous", test_ids_of_two_cards_are_ambiguous},
        {"address/missing-is-said", test_missing_address_is_said},
        {"address/of-audio-is-no-card", test_audio_is_no_card},
        {"address/of-card-under-pci-is-refused", test_card_under_pci_is_refused},
        {"address/of-a-part-of-the-board-is-refused", test_parts_of_the_board_are_refused},
        {"address/taken-twice-is-refused", test_taken_twice_is_refused},
        {"problems/neighbour-blocks-with-its-reason", test_neighbour_blocks_with_its_reason},
        {"problems/neighbour-of-another-section-is-fine",
         test_neighbour_of_another_section_is_fine},
        {"problems/an-isa-bridge-of-the-group-stays", test_an_isa_bridge_of_the_group_stays},
        {"problems/boot-display-blocks", test_boot_display_blocks},
        {"problems/boot-display-can-be-allowed", test_boot_display_can_be_allowed},
        {"problems/block-under-their-names", test_problems_block_under_their_names},
        {"problems/no-iommu-blocks", test_no_iommu_blocks},
        {"problems/long-domain-blocks", test_long_domain_blocks},
        {"functions/left-behind-blocks", test_left_behind_function_blocks},
        {"functions/with-own-group-may-stay", test_function_with_own_group_may_stay},
        {"functions/foreign-blocks", test_foreign_function_blocks},
        {"functions/main-is-zero-in-the-guest", test_main_function_is_zero_in_the_guest},
        {"functions/addresses-are-sorted", test_addresses_are_sorted},
    };

    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strconcat("/device-choice/", tests[i].name, NULL);

        g_test_add_func(path, tests[i].run);
    }
    return g_test_run();
}
