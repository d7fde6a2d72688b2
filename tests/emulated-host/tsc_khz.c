/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Print the rate of this processor's time stamp counter in kHz.
 *
 * QEMU's TCG shows the emulated host this very counter. A kernel that measures it at boot, against
 * a timer that is emulated by a thread that other work pushed aside, can be wrong by a factor of
 * three, and then every deadline inside runs that much too fast. Two reads of counter and clock
 * side by side cannot be disturbed that way.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <x86intrin.h>

#define INTERVAL_NS 200000000L
#define TRIES 20

typedef struct {
    uint64_t ticks;
    int64_t ns;
} Sample;

static int64_t
now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_RAW, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

/* Of several tries the one whose two clock reads were closest: nothing came between. */
static Sample
take_sample(void)
{
    Sample best = {0, 0};
    int64_t narrowest = INT64_MAX;
    for (int i = 0; i < TRIES; i++) {
        int64_t before = now_ns();
        uint64_t ticks = __rdtsc();
        int64_t after = now_ns();
        if (after - before < narrowest) {
            narrowest = after - before;
            best = (Sample){ticks, before + (after - before) / 2};
        }
    }
    return best;
}

int
main(void)
{
    Sample first = take_sample();
    nanosleep(&(struct timespec){.tv_nsec = INTERVAL_NS}, NULL);
    Sample last = take_sample();
    printf("%.0f\n", (double) (last.ticks - first.ticks) * 1e6 / (double) (last.ns - first.ns));
    return 0;
}
