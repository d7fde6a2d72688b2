#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Every header compiles alone.
set -uo pipefail
cd "${1:-$(dirname "$0")/../..}" || exit 1

flags=$(pkg-config --cflags glib-2.0 json-glib-1.0 libpci libkmod libudev libxml-2.0 smartcols libvirt)
wrong=0
for header in include/vmrun/*.h src/*/*.h tests/support/*.h; do
	[ -e "$header" ] || continue
	# shellcheck disable=SC2086
	if ! "${CC:-gcc}" -std=gnu11 -D_GNU_SOURCE -Iinclude -Isrc -Itests $flags -Wall -Wextra -Werror \
		-fsyntax-only -x c -include "$header" /dev/null; then
		echo "headers: $header does not compile alone"
		wrong=1
	fi
done
exit $wrong
