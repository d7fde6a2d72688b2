/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What to do with a session that is on record: the table "What restore does" of README.md, as a
 * pure function.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

/* What libvirt says about the domain. */
typedef enum {
    VR_DOMAIN_SEEN_UNKNOWN, /* it does not answer, or was not asked */
    VR_DOMAIN_SEEN_RUNNING, /* there, in any state that has a QEMU */
    VR_DOMAIN_SEEN_GONE,
} VrDomainSeen;

typedef struct {
    bool has_journal;
    bool corrupt;    /* there is a file, and it cannot be believed */
    bool lock_held;  /* by another process */
    bool same_boot;  /* the journal was written since the computer started */
    bool qemu_alive; /* the recorded process, by pid and start time */
    bool group_busy; /* /dev/vfio/N of one of the groups has a user */
    bool some_free;  /* and that of another device has none */
    VrDomainSeen domain;
    bool may_come; /* the death was during the start, and whoever creates the domain lives on */
} VrRestoreInput;

typedef enum {
    VR_RESTORE_NOTHING, /* no journal */
    VR_RESTORE_OWNED,   /* a supervisor lives: it gives back itself */
    VR_RESTORE_REFUSE,  /* no write can be justified by this journal */
    VR_RESTORE_CLOSE,   /* another boot: bindings are gone by themselves */
    VR_RESTORE_ALIVE,   /* the guest runs: only a supervisor may adopt it */
    VR_RESTORE_UNSURE,  /* the guest may be about to run: libvirt must be asked, and is silent */
    VR_RESTORE_HELD,    /* the guest is gone, but something still has the card open */
    VR_RESTORE_NOW,
} VrRestoreAction;

/* One row of the table for each action; the kernel's word counts more than libvirt's. */
VrRestoreAction vr_restore_decide(const VrRestoreInput *input);
