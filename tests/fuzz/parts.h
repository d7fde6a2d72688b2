/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shared by the fuzzers: what one input is made of, and a small computer of files for it. */
#pragma once

#include <vmrun/sysroot.h>

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

/* An input that is used up byte by byte; behind its end there are zeros. */
typedef struct {
    const uint8_t *data;
    size_t size_bytes;
} FuzzBytes;

uint8_t fuzz_take(FuzzBytes *bytes);

/* One of `count` things. */
unsigned fuzz_choose(FuzzBytes *bytes, unsigned count);

/* A file, or a link, that a letter stands for. */
typedef struct {
    char letter;
    const char *path;
    bool is_link;
} FuzzPlace;

/*
 * Put an input into files: it is cut at form feeds, and the letter behind each says which place the
 * rest goes to (text before the first goes to the first place). Places that are not named are not
 * there. The table ends with a path of NULL.
 */
void fuzz_fill(const char *directory, const FuzzPlace *places, const uint8_t *data,
               size_t size_bytes);

/* A directory for the life of the program, made at first use, in memory where that is possible.
 * Lent. */
const char *fuzz_directory(void);
