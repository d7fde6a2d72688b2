#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Functions of at most 80 lines (median at most 20), files of at most 600, public headers of at most
# 170, the Makefile of at most 220.
set -uo pipefail
cd "${1:-$(dirname "$0")/../..}" || exit 1

wrong=0
at_most() { # LIMIT FILE...
	local limit=$1 file lines
	shift
	for file in "$@"; do
		[ -e "$file" ] || continue
		lines=$(wc -l <"$file")
		[ "$lines" -le "$limit" ] || { echo "sizes: $file has $lines lines, $limit are allowed" && wrong=1; }
	done
}

at_most 600 src/*/*.[ch] tests/support/*.[ch]
at_most 170 include/vmrun/*.h
at_most 220 Makefile

# clang-format puts a function's name and both of its braces at the left margin.
lengths=$(awk '
	FNR == 1 { name = ""; start = 0 }
	/^[a-z_][A-Za-z0-9_]*\(/ { name = $0; sub(/\(.*/, "", name) }
	/^\{/ && name != "" { start = FNR }
	/^\}/ && start { print FNR - start - 1, FILENAME, name; start = 0; name = "" }
' src/*/*.c | sort -n)
while read -r lines file name; do
	[ -z "$lines" ] || [ "$lines" -le 80 ] || { echo "sizes: $file: $name() has $lines lines" && wrong=1; }
done <<<"$lengths"

median=$(awk '{ value[NR] = $1 } END { print value[int((NR + 1) / 2)] + 0 }' <<<"$lengths")
echo "sizes: $(grep -c . <<<"$lengths") functions, median of $median lines"
[ "$median" -le 20 ] || wrong=1
exit $wrong
