#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Every finding is in the code, in README.md (one row of the table) and in a test.
# With a directory as argument it checks that tree instead.
set -uo pipefail
cd "${1:-$(dirname "$0")/../..}" || exit 1

wrong=0
complain() {
	echo "findings: $*"
	wrong=1
}

# Ids in the code: the table of checks, and what the choice of devices and CPUs adds.
in_code() {
	sed -nE 's/^    \{"([a-z0-9-]+)", "[^"]*", (true|false), vr_check_.*/\1/p' src/plan/checks.c
	cat src/plan/*.c src/run/*.c src/host/*.c | tr -s ' \n' ' ' |
		grep -oE '(vr_report_add\(|add_busy\(|block\(choice,) ?(report, )?"[a-z0-9-]+"' | sed -E 's/.*"([a-z0-9-]+)"/\1/'
	sed -nE 's/^    \{"[a-z-]+", "([a-z0-9-]+)", VR_REMEDY_.*/\1/p' src/plan/device_problems.c
}

# Rows between the heading "Findings" and the next heading: | `id` | …
in_readme() {
	sed -n '/^##* Findings/,$p' README.md | sed -e 1d -e '/^##* /,$d' | sed -nE 's/^\| `([a-z0-9-]+)` \|.*/\1/p'
}

code=$(in_code | sort -u)
readme=$(in_readme | sort)

[ -n "$code" ] || complain "no finding found in the code: this script reads it wrongly"
for id in $code; do
	rows=$(grep -cx -- "$id" <<<"$readme")
	[ "$rows" -eq 1 ] || complain "$id has $rows rows in README.md, section Findings"
	grep -qr -- "\"$id\"" tests/unit || complain "$id is in no unit test"
done
for id in $readme; do
	grep -qx -- "$id" <<<"$code" || complain "$id is in README.md, but no check says it"
done
exit $wrong
