/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Errors: one GError domain for all of vmrun.
 *
 * Codes below 100 are exit statuses: they say what the caller of the program can do next, and
 * `vmrun` ends with exactly that number. Codes from 100 on are leaves (a file, a device, a call);
 * a middle layer that knows better replaces the code with vr_error_recode(), otherwise they end
 * the program with VR_ERROR_FAILED.
 *
 * Messages are built bottom-up: the leaf names the file and the errno, the middle names the device,
 * the top names the goal. Lower case, no full stop, one literal, values in quotes, addresses bare.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

#define VR_ERROR (vr_error_quark())

typedef enum {
    VR_ERROR_FAILED = 1,       /* unexpected; QEMU died under a running guest, too */
    VR_ERROR_USAGE = 2,        /* command line or profile is wrong */
    VR_ERROR_TIMED_OUT = 3,    /* deadline passed, nothing was forced */
    VR_ERROR_START_FAILED = 4, /* start failed, the host has everything back */
    VR_ERROR_STOP_FAILED = 5,
    VR_ERROR_HOST_NOT_READY = 6,     /* a blocking finding, nothing changed */
    VR_ERROR_BUSY = 7,               /* GPU, file or profile is in use, nothing changed */
    VR_ERROR_UNREACHABLE = 8,        /* libvirt or systemd, before the first write */
    VR_ERROR_RESTORE_INCOMPLETE = 9, /* something was not given back */
    VR_ERROR_NO_PROFILE = 10,
    VR_ERROR_HARDWARE_CHANGED = 11,
    VR_ERROR_NOT_AUTHORISED = 12,

    VR_ERROR_IO = 100,          /* any errno without a code of its own */
    VR_ERROR_NOT_FOUND = 101,   /* ENOENT, ENOTDIR */
    VR_ERROR_DENIED = 102,      /* EACCES, EPERM */
    VR_ERROR_DEVICE_BUSY = 103, /* EBUSY */
    VR_ERROR_GONE = 104,        /* ENODEV, ENXIO: the device left */
    VR_ERROR_CORRUPT = 105,     /* text that is not what its writer promised */
    VR_ERROR_STUCK = 106,       /* a step overran its deadline and cannot be called back */
} VrError;

GQuark vr_error_quark(void);

/* Set `error` from an errno value; the message gets ": strerror" appended. Returns false always. */
bool vr_error_set_errno(GError **error, int errno_value, const char *format, ...)
    G_GNUC_PRINTF(3, 4);

/* Set `error` with `code`. Returns false always, so that `return vr_error_set(…)` reads well. */
bool vr_error_set(GError **error, VrError code, const char *format, ...) G_GNUC_PRINTF(3, 4);

/* Put "goal: " before the message of an error that is set; a NULL or empty `error` is left alone.
 * Returns false. */
bool vr_error_prefix(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* Give an error that is set another code, keeping its message. Returns false. */
bool vr_error_recode(GError **error, VrError code);

/* The exit status of the program for this error: its code below 100, else VR_ERROR_FAILED; 0 for
 * NULL. */
int vr_error_exit_status(const GError *error);
