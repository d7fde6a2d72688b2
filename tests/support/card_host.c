/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "card_host.h"

#include "run/worker_private.h"
#include "tree.h"

#include <vmrun/error.h>

#include <string.h>
#include <unistd.h>

#define HANGING_PID 77
#define HANGING_START_TIME 4242
#define POOL_PAGES 100
#define POOL_ADDED 64

static const struct {
    const char *address, *driver, *kind;
} functions[CARD_FUNCTIONS] = {
    {"0000:01:00.0", "nvidia", "030000 10de:2484"},
    {"0000:01:00.1", "snd_hda_intel", "040300 10de:228b"},
    {"0000:01:00.2", "xhci_hcd", "0c0330 10de:1ada"},
    {"0000:01:00.3", "nvidia-gpu", "0c8000 10de:1adb"},
};

const char *
card_address(guint function)
{
    return functions[function].address;
}

const char *
card_driver(guint function)
{
    return functions[function].driver;
}

const char *
card_kind(guint function)
{
    return functions[function].kind;
}

VrPciAddress
card_pci_address(guint function)
{
    VrPciAddress address = {0};
    g_assert_true(vr_pci_address_parse(card_address(function), &address));
    return address;
}

static VrHostState *
observe_at_first(CardHost *host)
{
    VrExecutor executor = fake_kernel_executor(host->kernel);
    g_autoptr(GArray) addresses = g_array_new(FALSE, FALSE, sizeof(VrPciAddress));
    g_autoptr(GError) error = NULL;
    for (guint i = 0; i < CARD_FUNCTIONS; i++) {
        VrPciAddress address = card_pci_address(i);
        g_array_append_val(addresses, address);
    }
    g_autoptr(VrHostState) shape = vr_host_state_shape(addresses);
    vr_host_state_set_attribute(shape, VR_ATTRIBUTE_COUNT, NULL, CARD_POOL, NULL);
    vr_host_state_set_unit(shape, CARD_UNIT, true);
    VrHostState *state = executor.observe(executor.data, shape, &error);
    g_assert_no_error(error);
    return state;
}

static VrMover *
mover_for(CardHost *host, const VrExecutor *executor)
{
    VrExecutor own = fake_kernel_executor(host->kernel);
    VrMover *mover = vr_mover_new_over(host->root, NULL, executor != NULL ? executor : &own);
    vr_mover_pretend_process(mover, HANGING_PID, HANGING_START_TIME);
    return mover;
}

void
card_host_hang(const CardHost *host, bool hangs)
{
    g_autofree char *path =
        g_strdup_printf("%s/proc/%d/stat", fake_kernel_directory(host->kernel), HANGING_PID);
    g_autofree char *inside = g_strdup_printf("/proc/%d/stat", HANGING_PID);
    g_autofree char *text = g_strdup_printf("%d (x) D 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 %d 1 1",
                                            HANGING_PID, HANGING_START_TIME);
    if (hangs) {
        tree_write(fake_kernel_directory(host->kernel), inside, text);
    } else {
        unlink(path);
    }
}

static CardHost *
host_new(bool one_group)
{
    CardHost *host = g_new0(CardHost, 1);
    g_autofree char *grown = g_strdup_printf("%d", POOL_PAGES + POOL_ADDED);
    host->kernel = fake_kernel_new();
    host->root = fake_kernel_root(host->kernel);
    fake_kernel_add_driver(host->kernel, "nouveau", "10de:2484", "nouveau");
    for (guint i = 0; i < CARD_FUNCTIONS; i++) {
        fake_kernel_add_driver(host->kernel, card_driver(i), card_kind(i) + 7, card_driver(i));
        fake_kernel_add_device(host->kernel, card_address(i), card_kind(i),
                               one_group ? 1 : (int) i + 1);
        fake_kernel_place(host->kernel, card_address(i), card_driver(i), NULL, "auto");
    }
    /* Somebody else's, of the same kind: never ours to touch. */
    fake_kernel_add_device(host->kernel, "0000:02:00.0", card_kind(0), 9);
    fake_kernel_place(host->kernel, "0000:02:00.0", "nouveau", "admin", "auto");
    fake_kernel_add_pool(host->kernel, POOL_PAGES, 5000);
    fake_kernel_add_unit(host->kernel, CARD_UNIT, true);
    tree_write(fake_kernel_directory(host->kernel), "/proc/sys/kernel/random/boot_id",
               CARD_BOOT_ID);
    host->before = observe_at_first(host);
    host->wanted = vr_host_state_wanted(host->before);
    vr_host_state_set_attribute(host->wanted, VR_ATTRIBUTE_COUNT, NULL, CARD_POOL, grown);
    vr_host_state_claim_counts(host->before, host->wanted);
    host->start = fake_kernel_snapshot(host->kernel);
    return host;
}

CardHost *
card_host_new(void)
{
    return host_new(true);
}

CardHost *
card_host_new_in_groups(void)
{
    return host_new(false);
}

void
card_host_free(CardHost *host)
{
    if (host == NULL) {
        return;
    }
    vr_host_state_free(host->before);
    vr_host_state_free(host->wanted);
    fake_kernel_free(host->kernel);
    g_free(host->start);
    g_free(host);
}

VrJournal *
card_host_journal(const CardHost *host)
{
    VrJournal *journal = vr_journal_new(CARD_PROFILE);
    journal->boot_id = g_strdup(CARD_BOOT_ID);
    journal->uri = g_strdup("qemu:///system");
    journal->domain_uuid = g_strdup("c1a5f8c0-0000-4000-8000-00000000000f");
    journal->since = 1795372439;
    vr_host_state_free(journal->before);
    journal->before = vr_host_state_copy(host->before);
    return journal;
}

void
card_host_record(const CardHost *host, const VrJournal *journal)
{
    g_autoptr(GError) error = NULL;
    g_assert_true(vr_journal_write(host->root, journal, &error));
    g_assert_no_error(error);
}

bool
card_host_take(CardHost *host, const VrExecutor *executor, GError **error)
{
    VrExecutor own = fake_kernel_executor(host->kernel);
    return vr_apply(executor != NULL ? executor : &own, host->wanted, true, NULL, error);
}

bool
card_host_start(CardHost *host, const VrExecutor *executor, GError **first, GError **back)
{
    g_autoptr(VrMover) mover = mover_for(host, executor);
    g_autoptr(VrJournal) journal = card_host_journal(host);
    card_host_record(host, journal);
    vr_mover_set_journal(mover, journal);
    bool taken = vr_apply(vr_mover_executor(mover), host->wanted, true, NULL, first);
    if (!taken) {
        bool restored = vr_give_back(host->root, journal, mover, 0, NULL, back);
        g_assert_cmpint(restored, ==, *back == NULL);
    }
    return taken;
}

void
card_host_take_half(CardHost *host, unsigned writes)
{
    fake_kernel_revive(host->kernel);
    fake_kernel_crash_at(host->kernel, writes);
    bool done = card_host_take(host, NULL, NULL);
    g_assert_cmpint(done, ==, fake_kernel_writes(host->kernel) < writes);
    fake_kernel_revive(host->kernel);
}

bool
card_host_recover(CardHost *host, const VrExecutor *executor, VrRecovery *out_recovery,
                  GError **error)
{
    g_autoptr(VrMover) mover = mover_for(host, executor);
    VrRecoveryOptions options = {.mover = mover};
    VrRecovery recovery = VR_RECOVERY_NOTHING;
    bool done = vr_recover(host->root, CARD_PROFILE, &options, NULL, &recovery, NULL, error);
    if (out_recovery != NULL) {
        *out_recovery = recovery;
    }
    return done;
}

bool
card_host_has_journal(const CardHost *host)
{
    return vr_sysroot_exists(host->root, CARD_JOURNAL);
}

bool
card_host_is_restored(const CardHost *host)
{
    g_autofree char *now = fake_kernel_snapshot(host->kernel);
    return g_str_equal(now, host->start) && fake_kernel_unit_is_active(host->kernel, CARD_UNIT) &&
           !card_host_has_journal(host);
}

void
card_host_assert_restored(const CardHost *host)
{
    g_autofree char *now = fake_kernel_snapshot(host->kernel);
    g_assert_cmpstr(now, ==, host->start);
    g_assert_true(fake_kernel_unit_is_active(host->kernel, CARD_UNIT));
    g_assert_false(card_host_has_journal(host));
}

bool
card_host_is_back(const CardHost *host, guint function)
{
    g_autofree char *driver = fake_kernel_driver(host->kernel, card_address(function));
    g_autofree char *override = fake_kernel_override(host->kernel, card_address(function));
    return g_str_equal(driver, card_driver(function)) && g_str_equal(override, "(null)");
}

bool
card_host_is_worker(int argc, char **argv)
{
    return argc > 1 && strcmp(argv[1], "worker") == 0;
}
