#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# tests/run-tests takes nothing for a success that is none.
set -uo pipefail
run_tests=$(cd "$(dirname "$0")/.." && pwd)/run-tests
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
wrong=0
unset VMRUN_MUST_RUN

# expect "PASSED FAILED SKIPPED" SCRIPT OPTION...
expect() {
	local wanted=$1 script=$2 status=0 wanted_status=1 got
	shift 2
	printf '#!/bin/sh\n%s\n' "$script" >"$scratch/program" && chmod +x "$scratch/program"
	rm -f "$scratch/results"
	RESULTS=$scratch/results "$run_tests" "$@" "$scratch/program" >/dev/null 2>&1 || status=1
	got=$(cat "$scratch/results")
	[[ $wanted != *' 0 '* ]] || wanted_status=0
	if [ "$got" != "$wanted" ] || [ $status -ne $wanted_status ]; then
		echo "driver: wanted $wanted, got $got and status $status for: $script"
		wrong=1
	fi
}

expect "2 0 0" 'echo "ok 1 a"; echo "ok 2 b"; echo 1..2'
expect "1 1 0" 'echo "ok 1 a"; echo "not ok 2 b"; echo 1..2; exit 1'
expect "1 1 0" 'echo "ok 1 a"; echo 1..2' # ended early
expect "1 1 0" 'echo "ok 1 a"; echo 1..1; exit 3'
expect "1 1 0" 'echo 1..2; echo "ok 1 a"; echo "Bail out! no"; exit 1'
expect "0 1 0" 'echo 1..2; kill -SEGV $$'
expect "0 1 0" 'exit 0' # no test at all
expect "1 0 1" 'echo "ok 1 a"; echo "ok 2 b # SKIP c"; echo 1..2'
export VMRUN_MUST_RUN=1
expect "1 1 0" 'echo "ok 1 a"; echo "ok 2 b # SKIP c"; echo 1..2'
expect "1 0 0" 'exit 0' --plain
expect "0 1 0" 'exit 1' --plain
expect "5 0 0" 'echo cases=5 pass=5 fail=0' --live
expect "4 1 0" 'echo cases=5 pass=4 fail=1; exit 1' --live
expect "5 1 0" 'echo cases=5 pass=5 fail=0; exit 1' --live
expect "0 1 0" 'exit 125' --live

# suites: no figure of theirs is lost, and none that failed goes unseen
unset VMRUN_MUST_RUN
expect "1 0 0" 'echo "# suite: a cases=3 pass=3 fail=0"; echo "ok 1 a"; echo 1..1'
expect "1 1 0" 'echo "# suite: a cases=3 pass=2 fail=1"; echo "ok 1 a"; echo 1..1'
expect "1 1 0" 'echo "suite: a cases=3 pass=2 fail=0"; echo "ok 1 a"; echo 1..1'
expect "1 1 0" 'echo "suite: a cases=0 pass=0 fail=0"; echo "ok 1 a"; echo 1..1'
export SUITES=$scratch/suites
expect "1 0 0" 'echo "# suite: one-two cases=3 pass=3 fail=0"; echo "ok 1 a"; echo 1..1' --name unit
expect "5 0 0" 'echo "suite: b cases=2 pass=2 fail=0"; echo cases=5 pass=5 fail=0' --live --name live
wanted='one-two cases=3 pass=3 fail=0 N unit
b cases=2 pass=2 fail=0 N live'
[ "$(sed 's/ [0-9]* \([a-z]*\)$/ N \1/' "$SUITES")" = "$wanted" ] || { echo "driver: suites: $(cat "$SUITES")" && wrong=1; }
exit $wrong
