/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A libvirt in the worker of a test: the functions that hypervisor.c looks up are answered here
 * (the linker wraps dlsym(3) in test programs). It knows one domain, whose QEMU is a process of the
 * test program, and one call goes wrong as the file "fault" says.
 *
 * All of it is in a directory: "fault" (NUMBER KIND), "calls" (one line for each), "domain" (the
 * pid of its QEMU; not there: no domain).
 */
#pragma once

#include <stdbool.h>

/* `tree`: where the log of the domain goes, below the same path. Not called: the real libvirt. */
void fault_libvirt_use(const char *directory, const char *tree, const char *program);

/* KIND: "none", "error", "hang" (instead of the call), "late" (after it), "drop" (the connection is
 * lost in place of the call), "lost" (after it). */
extern const char *const fault_libvirt_kinds[];

/* The stand-in for QEMU: sleeps for a minute at most. */
int fault_libvirt_qemu(void);
