/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shared by session_host.c and session_stand_ins.c, session_count.c. */
#pragma once

#include "session_host.h"

#include <vmrun/profile.h>

#include <sys/types.h>

/* What the profile needs (4 MiB), of which none is free. */
#define SESSION_PAGES 2

struct _SessionHost {
    SessionShape shape;
    FakeKernel *kernel;
    VrSysroot *root; /* lent by the kernel */
    const char *directory;
    VrExecutor executor;
    VrProfile *profile;
    pid_t guest_pid;
    SessionEnd *end; /* shared with the children */
};

/* From here on, in this process, the stand-ins stand in, on this host. */
void session_host_stand_in(SessionHost *host);

void session_host_start_guest(SessionHost *host);
