/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Other processes, named for good: a pid alone can be used again, a pid with its start time cannot.
 */
#pragma once

#include <vmrun/sysroot.h>

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* Field 22 of /proc/PID/stat, clock ticks since boot; 0: there is no such process. A zombie counts
 * as gone. */
uint64_t vr_process_start_time(const VrSysroot *root, int pid);

/* The parent of a process, 0: not known. */
int vr_process_parent(const VrSysroot *root, int pid);

/* Does this very process still live? */
bool vr_process_is_alive(const VrSysroot *root, int pid, uint64_t start_time);

/* A pidfd of this very process: readable when it ends. -1 with VR_ERROR_GONE if it is no longer
 * there. */
int vr_process_open(const VrSysroot *root, int pid, uint64_t start_time,
                    GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Send a signal to this very process and no other. */
bool vr_process_signal(const VrSysroot *root, int pid, uint64_t start_time, int signal_number,
                       GError **error);

/* Wait until a pidfd is readable: true when the process ended, false at the deadline. */
bool vr_process_wait(int pidfd, unsigned timeout_ms);

/* In what state a process is and where in the kernel it waits, "state D in snd_card_free"; "gone".
 * Owned. Reads nothing that waits for that process. */
char *vr_process_where(const VrSysroot *root, int pid);
