# Sourced by tests that stop vmrun at an exact point, after vmrun_lib.sh. It goes on from one system call that changes something (a
# record renamed or synced, a function bound) to the next: each of them stops the process that made it, right behind the call.
# shellcheck shell=bash

# Only calls on these paths count: a record that is replaced or closed and then synced, a function that is bound.
stepping_paths() {
	local driver
	modprobe vfio-pci
	mkdir -p -m 700 /var/lib/vmrun/journal
	stepping=(strace -f -qq -o "$eh_work/steps" -e trace=renameat,fsync,write -e inject=renameat,fsync,write:signal=STOP
		-P /var/lib/vmrun/journal)
	for driver in vfio-pci $(sed -n 's/^[^ ]* driver //p' "$eh_work/before" | sort -u); do
		stepping+=(-P "/sys/bus/pci/drivers/$driver/bind")
	done
}

# Processes that stand still, the session's helpers among them. A traced process looks like that for a moment at each call: two looks.
standing_still() {
	mapfile -t still < <(grep -lsE '\) [tT] ' /proc/[0-9]*/stat)
	still=("${still[@]//[!0-9]/}")
}

# step_until SECONDS PREDICATE...: true once the predicate holds while a process stands still behind a call; everything stays as it is then.
# With hold=2 set, one call later than that.
step_until() {
	local end=$((SECONDS + $1)) before='' still
	shift
	held=0
	while [ "$SECONDS" -lt "$end" ]; do
		standing_still
		if [ ${#still[@]} -gt 0 ] && [ "${still[*]}" = "$before" ]; then
			"$@" && held=$((held + 1)) && [ "$held" -ge "${hold:-1}" ] && return
			kill -CONT "${still[@]}"
			still=()
		fi
		before=${still[*]-}
		sleep 0.01
	done
	return 1
}

# step_into NAME: vmrun as a supervisor, stepping from its first call on. step_on: one that runs already goes on in steps.
step_into() {
	stepping_paths
	"${stepping[@]}" vmrun run "$1" --foreground --color=never >"$eh_work/$1.log" 2>&1 &
	supervisor=$!
}

step_on() {
	local pid arguments=()
	stepping_paths
	for pid in $(pgrep -x 'vmrun|vmrun-worker'); do
		arguments+=(-p "$pid")
	done
	"${stepping[@]}" "${arguments[@]}" >/dev/null 2>&1 &
	wait_until 10 grep -q '^TracerPid:.[1-9]' "/proc/$supervisor/status"
}

# --- where a session is -----------------------------------------------------

# phase_of NAME: what the journal says; "none" without one.
phase_of() {
	sed -n 's/^phase=//p' "/var/lib/vmrun/journal/$1.conf" 2>/dev/null | grep . || echo none
}

# taken: how many functions of the card are on vfio-pci.
taken() {
	local address count=0
	for address in $(card_functions); do
		[ "$(pci_driver "$address")" != vfio-pci ] || count=$((count + 1))
	done
	echo "$count"
}

# session_at NAME PHASE TAKEN
session_at() {
	[ "$(phase_of "$1")" = "$2" ] && [ "$(taken)" = "$3" ]
}
