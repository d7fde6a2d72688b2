/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whole sessions and recoveries on the fake kernel: vr_session_run() and vr_recover() as they are,
 * each in a child process that can die at any system call that changes something. Stand-ins, put in
 * by the linker in test programs only, take the place of what this cannot have: libvirt and its
 * guest, the look at the whole computer before a start (the choice of the device, the plan and
 * everything after are real), systemd, and the worker process (the mover works over the fake
 * kernel's executor).
 *
 * The guest powers off by itself as soon as its session watches it.
 */
#pragma once

#include "fake_kernel.h"
#include "system_calls.h"

#include <vmrun/recovery.h>

#define SESSION_GPU "0000:01:00.0"
#define SESSION_POOL "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"
#define SESSION_UNIT "nvidia-persistenced.service"

/* How the card is before the session. */
typedef struct {
    const char *name;
    bool bound;           /* to its host drivers */
    const char *driver;   /* else to this one; NULL: none */
    const char *override; /* of all its functions; NULL: none */
} SessionStart;

typedef struct {
    const SessionStart *start;
    unsigned functions;    /* of the card: 1 or 4 */
    bool others;           /* it also needs huge pages, stops a unit and changes power attributes */
    unsigned pages_others; /* that somebody else adds to the pool while the guest runs */
} SessionShape;

/* The four that there are: host-driver, unbound, on-vfio-pci, foreign-override. */
#define SESSION_STARTS 4
extern const SessionStart session_starts[SESSION_STARTS];

typedef struct _SessionHost SessionHost;

SessionHost *session_host_new(const SessionShape *shape);
void session_host_free(SessionHost *host);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SessionHost, session_host_free)

FakeKernel *session_host_kernel(SessionHost *host);

/* As it was when it was made, with nothing in /var/lib/vmrun and /run/vmrun. */
void session_host_reset(SessionHost *host);

/* How a child ended. */
typedef struct {
    bool died;           /* by SIGKILL */
    int code;            /* 0, or the GError's */
    unsigned calls;      /* that change something */
    VrRecovery recovery; /* of a recovery that was not killed */
} SessionEnd;

/* Run a session, or recover what one left, with this fate of call `n` (system_calls.h). The trace
 * is system_calls_trace() until the next one; the tree is known again to this process. */
SessionEnd session_host_run(SessionHost *host, SystemCallFate fate, unsigned n);
SessionEnd session_host_recover(SessionHost *host, SystemCallFate fate, unsigned n);

bool session_host_guest_lives(const SessionHost *host);
void session_host_kill_guest(SessionHost *host);

/* "ADDRESS name value" for each function, "host PATH value" for the pool, "unit NAME state": what
 * pci_snapshot() of the emulated host writes, and what is not PCI. Sorted. Owned. */
char *session_host_snapshot(const SessionHost *host);

/* "none", or the phase of the journal, or "corrupt". Owned. */
char *session_host_journal(const SessionHost *host);
bool session_host_locks_are_free(const SessionHost *host);

/* Everything below /var/lib/vmrun and /run/vmrun, one path per line, sorted. Owned. */
char *session_host_files(const SessionHost *host);

/* The number of calls that the protocol makes, worked out from its plans and records. */
unsigned session_host_expect_session(const SessionHost *host);
unsigned session_host_expect_recovery(const SessionHost *host);
