/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a profile is doing, for everybody to read: /run/vmrun/NAME.status, a small key file that the
 * session replaces at each change and removes at its end. A hint for people; the lock, the journal
 * and the kernel decide.
 */
#pragma once

#include <vmrun/sysroot.h>

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum {
    VR_STATE_STOPPED,
    VR_STATE_STARTING,
    VR_STATE_RUNNING,
    VR_STATE_STOPPING,
    VR_STATE_STUCK,
    VR_STATE_NEEDS_RESTORE,
    VR_STATE_INVALID, /* the profile has mistakes */
} VrState;

typedef struct {
    VrState state;
    int64_t since;      /* seconds since the epoch, UTC; 0: not known */
    char *domain;       /* UUID, NULL */
    GPtrArray *devices; /* owned strings: addresses */
    char *message;      /* what it is doing, or why it is stuck; NULL */
    int qemu_pid;       /* 0: none */
    uint64_t qemu_start_time;
    bool supervised; /* a vmrun process holds the session's lock */
} VrStatus;

VrStatus *vr_status_new(void);
void vr_status_free(VrStatus *status);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VrStatus, vr_status_free)

/* Replace the file; its absence after a failure is harmless, so the caller may go on. */
bool vr_status_write(const VrSysroot *root, const char *profile, const VrStatus *status,
                     GError **error);
void vr_status_remove(const VrSysroot *root, const char *profile);

/*
 * Find out what a profile is doing: its lock, its status file, its journal if that can be read, and
 * whether its QEMU lives. Never NULL; never VR_STATE_INVALID (that is the parser's to say).
 */
VrStatus *vr_status_find(const VrSysroot *root, const char *profile);

/* "running": the words of the JSON. */
const char *vr_state_name(VrState state);
