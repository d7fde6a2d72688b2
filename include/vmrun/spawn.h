/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The one door to other programs: an argument vector, no shell, a built environment
 * (PATH, LC_ALL=C.UTF-8, nothing else), captured output and a deadline.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

typedef struct {
    int exit_status;       /* 0..255; 128 + N when ended by signal N */
    char *standard_output; /* at most 1 MiB of each is kept; valid UTF-8 */
    char *standard_error;
} VrSpawnResult;

void vr_spawn_result_free(VrSpawnResult *result);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VrSpawnResult, vr_spawn_result_free)

/*
 * Run argv[0] (looked up in PATH) and wait for it for at most `timeout_ms`.
 * A program that ends with any status is a result, not an error. NULL with VR_ERROR_NOT_FOUND if
 * there is no such program, VR_ERROR_TIMED_OUT if it was killed at the deadline.
 */
VrSpawnResult *vr_spawn(const char *const *argv, unsigned timeout_ms,
                        GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The same, and a non-zero status is VR_ERROR_FAILED with the first line of standard error. */
bool vr_spawn_check(const char *const *argv, unsigned timeout_ms,
                    GError **error) G_GNUC_WARN_UNUSED_RESULT;

/*
 * Start argv[0] and do not wait: for a process that is talked to (the worker). Its standard input
 * and output are the two descriptors (lent; standard error is shared), nothing else is inherited;
 * it has a process group of its own, so that Ctrl-C at a terminal does not reach it. The caller
 * reaps *out_pid.
 */
bool vr_spawn_start(const char *const *argv, int standard_input, int standard_output, int *out_pid,
                    GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The same with one more to inherit. `files`: its standard input and output, and what it has as
 * descriptor 3 (-1: nothing), all lent. */
bool vr_spawn_start_holding(const char *const *argv, const int files[3], int *out_pid,
                            GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* A descriptor that becomes readable when the process ends; -1 where the system has none. The
 * caller closes it. */
int vr_spawn_pidfd(int pid);
