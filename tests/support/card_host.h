/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A computer with a card of four functions on the fake kernel, a pool of huge pages and a service
 * that uses the card, and a session's journal of it. For the suites that let everything go wrong;
 * the whole way back is vr_recover(), as `vmrun restore` calls it.
 */
#pragma once

#include "fake_kernel.h"

#include <vmrun/journal.h>
#include <vmrun/recovery.h>

#define CARD_FUNCTIONS 4
#define CARD_PROFILE "gaming"
#define CARD_JOURNAL "/var/lib/vmrun/journal/" CARD_PROFILE ".conf"
#define CARD_POOL "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"
#define CARD_UNIT "nvidia-persistenced.service"
#define CARD_BOOT_ID "0b4e7b32-6a3d-4a6f-9d4f-2f3c1c5c9b1e"

typedef struct {
    FakeKernel *kernel;
    VrSysroot *root;     /* lent by the kernel */
    VrHostState *before; /* with the claim on the pool: what a journal of it has */
    VrHostState *wanted; /* taken: all on vfio-pci, the pool grown, the service stopped */
    char *start;         /* the snapshot at the beginning */
} CardHost;

/* "0000:01:00.0", its host driver, and what it is ("030000 10de:2484"). The GPU is number 0. */
const char *card_address(guint function);
const char *card_driver(guint function);
const char *card_kind(guint function);
VrPciAddress card_pci_address(guint function);

CardHost *card_host_new(void);
/* One group for each function in place of one for all. */
CardHost *card_host_new_in_groups(void);
void card_host_free(CardHost *host);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CardHost, card_host_free)

/* The journal of a session that is on its way, as it would be written. Owned. */
VrJournal *card_host_journal(const CardHost *host);
/* And its file. */
void card_host_record(const CardHost *host, const VrJournal *journal);

/* The way out, with this executor (NULL: the fake's own), as a session goes it. */
bool card_host_take(CardHost *host, const VrExecutor *executor, GError **error);
/* Only its first writes; the program died then. Counts from 0 again. */
void card_host_take_half(CardHost *host, unsigned writes);

/*
 * The start of a session: journal, take, and, when that fails, the way back, with one mover as a
 * session has one. True if the card was taken. `first`: why it was not; `back`: why not everything
 * went back, NULL: it did.
 */
bool card_host_start(CardHost *host, const VrExecutor *executor, GError **first, GError **back);

/* The process that does what hangs, as the journal has it: does it live? */
void card_host_hang(const CardHost *host, bool hangs);

/* The way back, over an executor (NULL: the fake's own). */
bool card_host_recover(CardHost *host, const VrExecutor *executor, VrRecovery *out_recovery,
                       GError **error);

/* Everything is as it was, and no journal is left. */
void card_host_assert_restored(const CardHost *host);
bool card_host_is_restored(const CardHost *host);
/* This one function is as it was at the beginning: driver and override. */
bool card_host_is_back(const CardHost *host, guint function);
bool card_host_has_journal(const CardHost *host);

/* A recovery starts this program again to ask libvirt, with "worker" as its argument: `main` ends
 * with 0 then, as a libvirt that is not there. */
bool card_host_is_worker(int argc, char **argv);
