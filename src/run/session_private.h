/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parts of a session, shared by session.c (the story), session_take.c, session_guest.c and
 * session_back.c. */
#pragma once

#include <vmrun/alive.h>
#include <vmrun/domain.h>
#include <vmrun/domain_xml.h>
#include <vmrun/journal.h>
#include <vmrun/lock.h>
#include <vmrun/preparation.h>
#include <vmrun/session.h>
#include <vmrun/status.h>
#include <vmrun/worker.h>

/* Programs that look at a node for a moment (udev's helpers, a sound server) are gone after it. */
#define VR_HOLDER_PATIENCE_MS 2000

typedef struct {
    VrSysroot *root;
    const VrProfile *profile;
    const VrListener *listener;

    VrLock *lock;               /* of the profile, for the whole session */
    VrLock *global;             /* of all claims: until what is shared was changed, NULL: let go */
    VrPreparation *preparation; /* NULL when adopted */
    VrJournal *journal;         /* NULL until the devices are claimed */
    VrJournal *kept;            /* what the last session kept (after-stop=keep), NULL: nothing */
    VrStatus *status;           /* what others can read about us */
    VrMover *mover;             /* moves devices in a worker */
    VrDomain *domain;

    int signal_fd;
    int inhibitor;             /* keeps the host awake; -1: nothing does */
    int qemu_pidfd;            /* -1: no guest */
    int64_t log_offset;        /* where this run begins in libvirt's log of the domain */
    int64_t shutdown_deadline; /* monotonic, microseconds; 0: nobody asked */
    unsigned shutdown_requests;
    bool adopted; /* the guest of a session whose supervisor died */
    bool force_at_deadline;
    bool finishing;   /* vr_session_finish: at the deadline, power off or leave */
    bool guest_ran;   /* it was started, here or by the supervisor before */
    bool detached;    /* the guest is left running: nothing is given back */
    bool may_live;    /* its start failed, and nobody can say whether it runs: detached, too */
    bool stop_failed; /* it was to be powered off, and libvirt could not */
    bool powered_off; /* at the deadline; what is waited for now is QEMU's end */
    VrAlive alive;    /* with alive=agent */
    bool dead;        /* its agent fell silent, so it was powered off */
    bool cancelled;   /* somebody asked to stop before the guest ran: that is no failure */
} VrSession;

/* Say something to the listener; vr_session_say(session, VR_STAGE_DONE, "…"). */
void vr_session_say(const VrSession *session, VrStage stage, const char *format, ...)
    G_GNUC_PRINTF(3, 4);

/* Write the status file; failing to is only worth a warning. */
void vr_session_set_state(VrSession *session, VrState state, const char *message);

/* Make the journal's next phase durable. */
bool vr_session_set_phase(VrSession *session, VrPhase phase, GError **error);

/* session_take.c: lock → recover → inspect → journal → take */
bool vr_session_recover(VrSession *session, GError **error);
bool vr_session_inspect(VrSession *session, GError **error);
bool vr_session_take(VrSession *session, GError **error);

/* session_kept.c: devices that an earlier session left on vfio-pci on purpose */

/* Give back what is in the way of the preparation: what another profile kept, and what this one
 * kept and does not use any more. *out_moved: something moved, so that the host has to be looked at
 * again. */
bool vr_session_release_kept(VrSession *session, bool *out_moved, GError **error);

/* The original state of devices that stayed is the one on record, not what they are on now. */
void vr_session_inherit_kept(const VrSession *session, VrHostState *before);

/* session_guest.c: start and watch */

/* Keep the host awake from now on, where it has a logind; what is in the way is said. */
void vr_session_inhibit_sleep(VrSession *session);
bool vr_session_start(VrSession *session, GError **error);
bool vr_session_watch(VrSession *session, GError **error);
bool vr_session_block_signals(VrSession *session, GError **error);

/*
 * Before the guest runs: has nobody asked to stop? Asked between steps, never during one. False
 * with an error, and `cancelled` set: go no further, give everything back.
 */
bool vr_session_may_go_on(VrSession *session, GError **error);

/* session_alive.c: a guest that hangs */

/* Ask its agent, with alive=agent: has it been silent for too long? */
bool vr_session_is_dead(VrSession *session);

/* When libvirt, and the agent, are to be asked again: monotonic, microseconds. */
int64_t vr_session_next_ask(const VrSession *session);

/* session_back.c: give back */

/* libvirt gives QEMU 40 s and more to die before it goes on with its own clean-up (qemu_process.c).
 */
#define VR_SETTLE_TIMEOUT_MS 60000

/* The kernel resets the functions when the group is closed: up to a minute per method
 * (drivers/pci/pci.c, PCIE_RESET_READY_POLL_MS). */
#define VR_GROUP_RELEASE_MS 90000

bool vr_session_give_back(VrSession *session, GError **error);

/*
 * Wait until no IOMMU group of the journal's devices is in use, at most timeout_ms.
 * VR_ERROR_DEVICE_BUSY names group and holder.
 */
bool vr_wait_for_groups(VrScout *scout, const VrHostState *before, unsigned timeout_ms,
                        GError **error);

/* Who has this function's group open, in words. Owned, never NULL. */
char *vr_group_holders(VrScout *scout, const VrBinding *held);

/*
 * Where libvirt cannot say whether the guest is gone: the kernel's word. Its QEMU lives, recorded
 * or not, or somebody does who may be creating it this moment (not a worker of our own).
 */
bool vr_guest_may_live(VrScout *scout, const VrSysroot *root, const VrJournal *journal);

/* Is this computer shutting down? Then nothing is moved any more: a driver that is bound now is
 * what hangs a shutdown, and bindings do not outlive it. */
bool vr_host_is_stopping(const VrSysroot *root);
