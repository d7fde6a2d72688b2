/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The program dies at every write of the way out; what the journal says leads back to where it
 * began, byte for byte. And it dies at every write of that way back, too, and is run once more.
 * Four start states, a card of one function and one of four, two drivers that compete for the GPU.
 */
#include <vmrun/apply.h>
#include <vmrun/journal.h>

#include "../support/fake_kernel.h"

#include <string.h>

static const char *const addresses[] = {"0000:01:00.0", "0000:01:00.1", "0000:01:00.2",
                                        "0000:01:00.3"};

typedef struct {
    const char *name;
    bool bound;           /* to its host driver */
    const char *driver;   /* else this one */
    const char *override; /* for all functions */
} Start;

static const Start starts[] = {
    {"host-driver", true, NULL, NULL},
    {"unbound", false, NULL, NULL},
    {"on-vfio-pci-already", false, "vfio-pci", NULL},
    {"foreign-override", true, NULL, "nouveau"},
};

typedef struct {
    const Start *start;
    guint functions;
} Case;

static FakeKernel *
make_host(const Case *sweep)
{
    static const char *const kinds[] = {"030000 10de:2484", "040300 10de:228b", "0c0330 10de:1ada",
                                        "0c8000 10de:1adb"};
    static const char *const drivers[] = {"nvidia", "snd_hda_intel", "xhci_hcd", "nvidia-gpu"};
    FakeKernel *kernel = fake_kernel_new();
    fake_kernel_add_driver(kernel, "nouveau", "10de:2484", "nouveau");
    for (guint i = 0; i < G_N_ELEMENTS(addresses); i++) {
        fake_kernel_add_driver(kernel, drivers[i], kinds[i] + 7, drivers[i]);
        fake_kernel_add_device(kernel, addresses[i], kinds[i], 1);
        fake_kernel_place(kernel, addresses[i],
                          sweep->start->bound ? drivers[i] : sweep->start->driver,
                          sweep->start->override, i % 2 == 0 ? "auto" : "on");
    }
    fake_kernel_set_grabber(kernel, "nouveau");
    return kernel;
}

/* The journal as it would be read again after the crash. */
static char *
record(FakeKernel *kernel, guint functions)
{
    g_autoptr(GArray) wanted = g_array_new(FALSE, FALSE, sizeof(VrPciAddress));
    for (guint i = 0; i < functions; i++) {
        VrPciAddress address;
        g_assert_true(vr_pci_address_parse(addresses[i], &address));
        g_array_append_val(wanted, address);
    }
    g_autoptr(VrHostState) shape = vr_host_state_shape(wanted);
    g_autoptr(VrJournal) journal = vr_journal_new("gaming");
    vr_host_state_free(journal->before);
    journal->before = vr_host_state_observe(fake_kernel_root(kernel), shape, NULL);
    g_assert_nonnull(journal->before);
    return vr_journal_to_text(journal);
}

static VrJournal *
read_back(const char *text)
{
    g_autoptr(GError) error = NULL;
    VrJournal *journal = vr_journal_from_text(text, strlen(text), &error);
    g_assert_no_error(error);
    return journal;
}

/* Run the way out, dead from write `crash` on (-1: not at all). Returns the number of writes. */
static unsigned
take(FakeKernel *kernel, const char *text, int crash)
{
    g_autoptr(VrJournal) journal = read_back(text);
    g_autoptr(VrHostState) wanted = vr_host_state_wanted(journal->before);
    VrExecutor executor = fake_kernel_executor(kernel);
    fake_kernel_revive(kernel);
    if (crash >= 0) {
        fake_kernel_crash_at(kernel, (unsigned) crash);
    }
    bool done = vr_apply(&executor, wanted, true, NULL, NULL);
    unsigned writes = fake_kernel_writes(kernel);
    g_assert_cmpint(done, ==, crash < 0 || writes < (unsigned) crash);
    fake_kernel_revive(kernel);
    return writes;
}

static unsigned
give_back(FakeKernel *kernel, const char *text, int crash, bool *out_done)
{
    g_autoptr(VrJournal) journal = read_back(text);
    VrExecutor executor = fake_kernel_executor(kernel);
    fake_kernel_revive(kernel);
    if (crash >= 0) {
        fake_kernel_crash_at(kernel, (unsigned) crash);
    }
    *out_done = vr_apply(&executor, journal->before, false, NULL, NULL);
    unsigned writes = fake_kernel_writes(kernel);
    fake_kernel_revive(kernel);
    return writes;
}

/* The host, what it was like and what its journal says; every case ends with the host as it was, so
 * one host serves for all. */
typedef struct {
    FakeKernel *kernel;
    char *start;
    char *journal;
} Host;

/* Returns the writes that led back. */
static unsigned
must_give_back(const Host *host)
{
    bool done = false;
    unsigned writes = give_back(host->kernel, host->journal, -1, &done);
    g_assert_true(done);
    g_autofree char *end = fake_kernel_snapshot(host->kernel);
    g_assert_cmpstr(end, ==, host->start);
    g_assert_cmpuint(give_back(host->kernel, host->journal, -1, &done), ==, 0);
    g_assert_true(done);
    return writes;
}

/* Dead at write `out` of the way out (-1: not), and then at every write of the way back. Returns
 * the number of cases. */
static unsigned
sweep_way_back(const Host *host, int out)
{
    take(host->kernel, host->journal, out);
    unsigned total = must_give_back(host);
    for (unsigned back = 0; back < total; back++) {
        bool done = false;
        take(host->kernel, host->journal, out);
        give_back(host->kernel, host->journal, (int) back, &done);
        must_give_back(host);
    }
    return total + 1;
}

static void
test_sweep(gconstpointer data)
{
    const Case *sweep = data;
    FakeKernel *kernel = make_host(sweep);
    Host host = {kernel, fake_kernel_snapshot(kernel), record(kernel, sweep->functions)};
    unsigned total = take(kernel, host.journal, -1);
    unsigned cases = 0;
    g_assert_cmpuint(total, >=, sweep->functions);
    must_give_back(&host);
    for (unsigned out = 0; out <= total; out++) {
        cases += sweep_way_back(&host, out < total ? (int) out : -1);
    }
    g_test_message("%s, functions=%u: writes=%u cases=%u", sweep->start->name, sweep->functions,
                   total, cases);
    g_free(host.start);
    g_free(host.journal);
    fake_kernel_free(kernel);
}

int
main(int argc, char **argv)
{
    static const guint functions[] = {1, 4};
    static Case cases[G_N_ELEMENTS(starts) * G_N_ELEMENTS(functions)];
    g_test_init(&argc, &argv, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        cases[i] = (Case){&starts[i / 2], functions[i % 2]};
        g_autofree char *path = g_strdup_printf("/crash-sweep/%s-%u-functions",
                                                cases[i].start->name, cases[i].functions);
        g_test_add_data_func(path, &cases[i], test_sweep);
    }
    return g_test_run();
}
