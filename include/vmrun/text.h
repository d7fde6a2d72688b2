/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Strict parsers for the small texts that vmrun reads: nothing is trimmed, nothing is guessed,
 * a trailing byte is an error. All return false without touching `out_…` when the text is wrong;
 * the caller knows the file and the key, so the message is the caller's.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

bool vr_text_to_uint(const char *text, uint64_t minimum, uint64_t maximum, uint64_t *out_value);

/* Hexadecimal digits, with or without 0x. */
bool vr_text_to_hex(const char *text, uint64_t maximum, uint64_t *out_value);

/* "16G", "512M" (powers of 1024; K, M, G, T; a bare number is refused: nobody knows its unit) ->
 * MiB, at least 1. */
bool vr_text_to_mib(const char *text, uint64_t *out_mib);

/* "90", "90s", "5min", "2h" -> seconds. */
bool vr_text_to_seconds(const char *text, uint64_t *out_seconds);

bool vr_text_to_yes_no(const char *text, bool *out_yes);

/* "0-3,8,10-11" as the kernel writes it -> sorted array of unsigned without duplicates (element
 * size 4). "" -> empty. NULL if wrong. */
GArray *vr_text_to_cpu_list(const char *text);

/* The inverse: "0-3,8". Owned. */
char *vr_text_from_cpu_list(const GArray *cpus);

/* A profile name: [a-z0-9][a-z0-9_-]{0,31}. Says nothing about reserved words (cli). */
bool vr_text_is_profile_name(const char *text);

/* The candidate nearest to `text` (edit distance at most 2 and less than half its length), or NULL.
 */
const char *vr_text_nearest(const char *text, const char *const *candidates);

/* A copy that can be shown on a terminal: control bytes and bytes that are not UTF-8 become "?". */
char *vr_text_printable(const char *text);

/* Lower-case hex SHA-256 of a text. Owned. */
char *vr_text_digest(const char *text);
