/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every system call of libvmrun.a that changes a file, under the test's thumb: the test programs
 * are linked with -Wl,--wrap for each of them (Makefile, WRAPPED_CALLS), the product is not. They
 * are counted and written down, and one of them can fail, be short, or be the last thing that the
 * process does. tests/lint/system_calls.sh sees to it that no other such call is used.
 *
 * Counted: openat and openat2 that create or truncate, write and pwrite to regular files, fsync,
 * renameat, unlinkat, mkdirat, fchmod, fchmodat, ftruncate; and what a test says is one (the fake
 * kernel: each write to it, whatever it does to its own tree). Not before system_calls_begin().
 *
 * Count and trace are in memory shared with children that were forked, not executed: they tell of a
 * child that died.
 */
#pragma once

#include <stdbool.h>

typedef enum {
    SYSTEM_CALL_WORKS,
    SYSTEM_CALL_DIES_BEFORE, /* SIGKILL instead of the call */
    SYSTEM_CALL_DIES_AFTER,  /* SIGKILL right after it */
    SYSTEM_CALL_FAILS,       /* this one, once, with errno */
    SYSTEM_CALL_FAILS_ON,    /* this one and all after it */
    SYSTEM_CALL_IS_SHORT,    /* of a write half is taken; other calls work */
} SystemCallFate;

/*
 * Count from 0 and forget the trace; the call with number `n` has this fate (errno_value only for
 * the two that fail). `within` NULL: all calls; else only those on a path that contains this text
 * are counted. Lent.
 */
void system_calls_begin(SystemCallFate fate, unsigned n, int errno_value, const char *within);

/* Count no more. Returns how many there were. */
unsigned system_calls_end(void);
unsigned system_calls_count(void);

/* One line for each call that worked, in order ("write /run/vmrun/x.lock"; paths as they are on
 * this computer, without `root`, NULL: nothing is left out), and the lines of system_calls_note().
 * Calls that failed begin with "failed ". Lent until the next begin. */
const char *system_calls_trace(void);
void system_calls_set_root(const char *root);
void system_calls_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* What happens in between is the test's own affair: neither counted nor disturbed. Nests. */
void system_calls_pause(void);
void system_calls_resume(void);

/*
 * One call of a stand-in, told as `line`. 0: do it (nothing that happens until leave counts); else
 * the errno to answer with, and leave is not called. `result` 0 or the errno that the stand-in
 * answers with itself.
 */
int system_call_enter(const char *line);
void system_call_leave(const char *line, int result);

/* Opening a path that ends so answers with an errno, whatever is counted. Lent; NULL: none does. */
void system_calls_refuse(const char *path_end, int errno_value);

/* Called after each call that worked, before the process dies of it, paused. NULL: nobody. */
typedef void (*SystemCallObserver)(void *data, const char *line);
void system_calls_set_observer(SystemCallObserver observer, void *data);
