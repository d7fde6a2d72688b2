# Sourced by tests that count their cases, after vmrun_lib.sh. They keep a snapshot of the untouched host in $eh_work/before.
# shellcheck shell=bash

# in_case SUITE FUNCTION: a case passes if nothing in it failed.
in_case() {
	local before=$eh_failed
	note "$1: $2"
	"$2"
	[ "$eh_failed" -gt "$before" ] || echo pass >>"$eh_work/$1.passed"
}

# suite NAME CASES
suite() {
	local passed
	passed=$(grep -c pass "$eh_work/$1.passed")
	echo "suite: $1 cases=$2 pass=$passed fail=$(($2 - passed))"
	equal "cases of $1 that passed" "$2" "$passed"
}

host_is_as_before() {
	pci_snapshot "$eh_work/after"
	assert_same_snapshot "${1:-$eh_work/before}" "$eh_work/after"
	check 'nothing is on record' test ! -e /var/lib/vmrun/journal/gaming.conf
}
