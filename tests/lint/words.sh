#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What no tracked file may say: paths of the machine it was written on, host names of package
# mirrors, promises to do something later. And every source says its licence in the first lines.
set -uo pipefail
cd "${1:-$(dirname "$0")/../..}" || exit 1

wrong=0
forbid() { # REASON PATTERN
	local found
	found=$(git grep -nIE -e "$2" -- . ':!tests/lint/words.sh' ':!LICENSE') || return 0
	echo "words: $1"$'\n'"$found"
	wrong=1
}

forbid "a path of somebody's machine" '(^|[^a-zA-Z0-9_.-])/(work|farm)/|/home/[a-z]+/'
forbid "a package mirror; apt knows it" '(deb|security|ftp[a-z.]*)\.debian\.org|archive\.ubuntu\.com|snapshot\.debian\.org'
forbid "something left for later" '\b(TODO|FIXME|XXX)\b([^X]|$)'

while read -r file; do
	head -n 2 "$file" | grep -q 'SPDX-License-Identifier: GPL-2.0-or-later' ||
		{ echo "words: $file does not say its licence in the first two lines" && wrong=1; }
done < <(git ls-files '*.c' '*.h' Makefile | while read -r file; do [ -e "$file" ] && echo "$file"; done)
exit $wrong
