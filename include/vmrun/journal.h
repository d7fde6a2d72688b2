/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The write-ahead journal of one session.
 *
 * The invariant of the whole program: no attribute of a device is written unless its original state
 * is in a journal that is durable on disk.
 *
 * One file per profile, /var/lib/vmrun/journal/NAME.conf: a key file with a checksum line. It is
 * always replaced whole (temporary file, fsync, rename, fsync of the directory), so there is no
 * torn record; whatever reads it checks the checksum, the version and every field again, because a
 * journal is not trusted more than a profile. After a verified restore it moves to done/.
 */
#pragma once

#include <vmrun/host_state.h>
#include <vmrun/pci.h>
#include <vmrun/sysroot.h>

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum {
    VR_PHASE_TAKING,   /* devices are on their way to vfio-pci */
    VR_PHASE_STARTING, /* durable before the domain is created */
    VR_PHASE_RUNNING,  /* qemu_pid is known */
    VR_PHASE_RESTORING,
    VR_PHASE_STUCK,  /* a step overran its deadline */
    VR_PHASE_FAILED, /* restore was tried and something is left */
    VR_PHASE_KEPT,   /* after-stop=keep: ended well, and only the devices stay where they are */
} VrPhase;

/* A device that a step overran on, and the worker that still does it: while that process lives the
 * device must not be touched, not even looked at. */
typedef struct {
    VrPciAddress address;
    int pid;
    uint64_t start_time; /* field 22 of /proc/PID/stat */
} VrStuck;

typedef struct {
    char *profile;
    char *boot_id;
    char *uri; /* libvirt's, as resolved; never "auto" */
    char *domain_uuid;
    VrPhase phase;
    int qemu_pid;             /* 0: not known */
    uint64_t qemu_start_time; /* field 22 of /proc/PID/stat */
    int64_t since;            /* start of the session, seconds since the epoch, UTC */
    bool keep;                /* after-stop=keep: bindings stay, everything else goes back */
    VrHostState *before;      /* the original state: what restore leads back to */
    GArray *stuck;            /* VrStuck, one for each device whose step overran */
    char *message;            /* why it is stuck or failed, for status; NULL */
} VrJournal;

VrJournal *vr_journal_new(const char *profile);
void vr_journal_free(VrJournal *journal);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VrJournal, vr_journal_free)

/* The entry of a device that is stuck, or NULL. Lent. */
const VrStuck *vr_journal_stuck(const VrJournal *journal, VrPciAddress address);
/* Add or replace one. */
void vr_journal_set_stuck(VrJournal *journal, VrStuck stuck);
/* Does the worker of any of them live? */
bool vr_journal_hangs(const VrSysroot *root, const VrJournal *journal);

/* Text of the file and back (pure; the fuzzers' door). VR_ERROR_CORRUPT names what is wrong. */
char *vr_journal_to_text(const VrJournal *journal);
VrJournal *vr_journal_from_text(const char *text, size_t size_bytes, GError **error);

/* Make the file durable. On return of true it is on disk, whatever happens next. Creates the
 * directory (0700). */
bool vr_journal_write(const VrSysroot *root, const VrJournal *journal, GError **error);

/* NULL with VR_ERROR_NOT_FOUND: no session is on record. VR_ERROR_CORRUPT: it names file and
 * reason; nothing may be written then. */
VrJournal *vr_journal_read(const VrSysroot *root, const char *profile, GError **error);

/* Move the file to done/ (the last 20 are kept), durably. */
bool vr_journal_close(const VrSysroot *root, const VrJournal *journal, GError **error);

/* Remove what a session of the profile that was killed at a write has left beside its files. For
 * who has the profile's lock. */
void vr_journal_tidy(const VrSysroot *root, const char *profile);

/* Profiles that have a journal, sorted. Owned. An unreadable directory is an error, a missing one
 * is an empty list. */
GPtrArray *vr_journal_profiles(const VrSysroot *root, GError **error);

const char *vr_phase_name(VrPhase phase);
