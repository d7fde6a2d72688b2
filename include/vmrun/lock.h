/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Locks are flock(2) on files below /run/vmrun that are never unlinked: their release is the death
 * of the holder, whatever kills it. Workers never inherit them (O_CLOEXEC), but for their share in
 * the work.
 */
#pragma once

#include <vmrun/sysroot.h>

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct _VrLock VrLock;

/* Who holds a lock, as written into it by its owner (a hint for messages; the kernel's lock
 * decides). */
typedef struct {
    int pid;
    uint64_t start_time;
} VrLockOwner;

/*
 * Take the lock of a profile, or the global one (name NULL; short moments only), waiting for at
 * most timeout_ms. NULL with VR_ERROR_BUSY: *out_owner (may be NULL) then names the holder if it
 * could be read.
 */
VrLock *vr_lock_take(const VrSysroot *root, const char *name, unsigned timeout_ms,
                     VrLockOwner *out_owner, GError **error);

/* Take the owner's name away: who holds the lock for a moment only is not the session, and must not
 * get what is meant for that. */
void vr_lock_hide_owner(VrLock *lock);

void vr_lock_release(VrLock *lock);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VrLock, vr_lock_release)

/*
 * A share in the work for a profile: a descriptor for a process that may change something for it to
 * inherit. The share ends with the last process that has it, so it outlives a supervisor whose
 * worker is still at a step. -1 with an error.
 */
int vr_lock_join_work(const VrSysroot *root, const char *name, GError **error);

/* Wait for at most timeout_ms until nobody has a share. False with VR_ERROR_BUSY: somebody works
 * still. For who has the profile's lock, so that no work begins meanwhile. */
bool vr_lock_wait_for_work(const VrSysroot *root, const char *name, unsigned timeout_ms,
                           GError **error);

/* Is the profile's lock held by anybody now? Fills *out_owner if it is and the owner could be read.
 * Takes nothing. */
bool vr_lock_is_held(const VrSysroot *root, const char *name, VrLockOwner *out_owner);
