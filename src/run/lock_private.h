/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A part of lock.c that the tests call, too. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/* Is an exclusive flock on this file in a text like that of /proc/locks? */
bool vr_lock_listed(const char *locks, dev_t device, ino_t inode, int *out_pid);
