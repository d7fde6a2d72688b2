# Sourced by the tests that kill, after vmrun_lib.sh: where a session can be killed, as a complete one shows it, and what must hold afterwards.
# shellcheck shell=bash
#
# strace's fault injection delivers a signal at the entry of a process's n-th matching call (counted for each process and call; only calls on
# the path of -P count). A SIGKILL there means that the call was not carried out. So "before" an event is the event's own call, and "after" it
# is the next call on the same file: the close() of an attribute, the fsync() of a directory.

NOT_A_KERNEL=/var/lib/libvirt/images/not-a-kernel
KILL_CALLS=renameat,write,fsync,close

# What must be the same in the end: the bus, the pools of huge pages, libvirt's domains.
host_snapshot() {
	pci_snapshot "$1"
	grep -H '' /sys/kernel/mm/hugepages/*/nr_hugepages >>"$1"
}

prepare_kills() {
	install_vmrun
	# The calls that make these would count in the first session only.
	install -d -m 0711 /var/lib/vmrun && install -d -m 0700 /var/lib/vmrun/journal /var/lib/vmrun/journal/done
	virtlogd -d
	start_libvirtd
	disk=$(guest_disk stay guest)
	profile gaming '[gpu]' 'device=auto'
	# Fails after everything was taken, within a second: for the way back without a guest.
	echo 'this is no kernel' >"$NOT_A_KERNEL"
	profile broken '[gpu]' 'device=auto' '[boot]' "kernel=$NOT_A_KERNEL"
	host_snapshot "$eh_work/before"
}

libvirtd_answers() {
	virsh -c qemu:///system list --name >/dev/null 2>&1
}

start_libvirtd() {
	libvirtd -d
	wait_until 30 libvirtd_answers || bail 'libvirtd does not answer'
}

# trace_dry NAME FILE [STOP-COMMAND...]: a complete session under strace. With a command: it is run once the guest runs.
trace_dry() {
	local name=$1 file=$2 tracer
	shift 2
	strace -f -q -y -s 80 -e signal=none -o "$file" -e "trace=$KILL_CALLS" \
		vmrun run "$name" --foreground --color=never >"$eh_work/$name.log" 2>&1 &
	tracer=$!
	if [ $# -gt 0 ]; then
		wait_for_state "$name" running
		"$@" >>"$eh_work/$name.log" 2>&1
	fi
	wait "$tracer"
}

# count_sysfs_writes FILE: calls in a trace that open a file below /sys for writing, or write to one.
count_sysfs_writes() {
	grep -cE '^[0-9]+ +(open.*O_(WRONLY|RDWR|CREAT).*</sys/|p?write(64)?\([0-9]+</sys/)' "$1"
}

# kill_points FILE: every event of a traced session that changes something for good (a record of the journal, a write to sysfs), in its order:
#   WHO|WHAT|CALL COUNT PATH (before it)|CALL COUNT PATH (after it)
kill_points() {
	awk '
	function device_of(path, part, n, i, found) {
		n = split(path, part, "/")
		for (i = 1; i <= n; i++) if (part[i] ~ /^[0-9a-f]+:[0-9a-f]+:[0-9a-f]+\.[0-7]$/) found = part[i]
		return found
	}
	NR == 1 { first = $1 }
	match($0, /^[0-9]+ +[a-z0-9]+\([0-9]+<\/[^>]*>/) {
		split(substr($0, RSTART, RLENGTH), word, / +|[(<>]/)
		pid = word[1]; name = word[2]; path = word[4]
		count = ++seen[pid, name, path]
		if ((pid, path) in open_event && name != "write" && name != "renameat") {
			after[open_event[pid, path]] = name " " count " " path
			delete open_event[pid, path]
		}
		if (name == "write" && path ~ /^\/sys\//) {
			split($0, quoted, "\"")
			what = path
			if (path ~ /^\/sys\/devices\//) sub(".*/" device_of(path) "/", device_of(path) " ", what)
			sub("/sys/bus/pci/drivers/", "", what)
			what = what "=" quoted[2]
		} else if (name == "renameat" && path == "/var/lib/vmrun/journal") {
			what = "journal record " count
		} else {
			next
		}
		events++
		label[events] = (pid == first ? "supervisor" : "worker") "|" what
		before[events] = name " " count " " path
		open_event[pid, path] = events
	}
	END {
		for (i = 1; i <= events; i++) print label[i] "|" before[i] "|" after[i]
	}' "$1"
}

# wait_quietly PID: without the shell's word about a process that was killed.
wait_quietly() {
	{ wait "$1"; } 2>/dev/null
}

libvirtd_is_gone() {
	! pgrep -x libvirtd >/dev/null
}

# is_settled NAME: what was in flight has ended: the workers of a dead vmrun after their step, what libvirtd was about to create.
is_settled() {
	local state
	! pgrep -x vmrun-worker >/dev/null || return 1
	state=$(virsh -c qemu:///system domstate "$1" 2>/dev/null) || return 0
	[ "$state" = running ]
}

# --- after a kill -------------------------------------------------------------

# Each of these sets $problem and returns false, so that one case is one verdict.
problem=''

complain() {
	problem="$*"
	return 1
}

no_locks_held() {
	local lock
	for lock in /run/vmrun/*lock /run/vmrun/*.work; do
		[ ! -e "$lock" ] || flock -n "$lock" true || return 1
	done
}

# Nothing is written by a second restore.
second_restore_writes_nothing() {
	local trace=$eh_work/second.trace
	strace -f -q --seccomp-bpf -y -s 80 -e signal=none -o "$trace" -e trace=openat,openat2,open,creat,write,pwrite64 \
		vmrun restore "$1" >"$eh_work/second.log" 2>&1 || complain "a second restore ended with $?: $(cat "$eh_work/second.log")" || return
	[ -s "$trace" ] || complain 'the second restore was not traced' || return
	local writes
	writes=$(count_sysfs_writes "$trace")
	[ "$writes" -eq 0 ] || complain "a second restore wrote $writes times to sysfs: $(grep -m 3 '/sys/.*O_RDWR\|write([0-9]*</sys' "$trace")"
}

# host_is_as_before NAME
host_is_as_before() {
	local difference
	host_snapshot "$eh_work/after"
	difference=$(diff -U0 "$eh_work/before" "$eh_work/after" | grep '^[-+][^-+]') &&
		{ complain "not as before: $difference" || return; }
	[ ! -e "/var/lib/vmrun/journal/$1.conf" ] || complain 'a journal is left' || return
	qemu_is_gone "$1" || complain 'a QEMU is left' || return
	[ -z "$(find /var/lib/vmrun /run/vmrun -name '.*')" ] || complain "left behind: $(find /var/lib/vmrun /run/vmrun -name '.*')" || return
	! pgrep -x vmrun-worker >/dev/null || complain 'a worker is left' || return
	no_locks_held || complain 'a lock is held' || return
	state_is "$1" stopped || complain "not stopped: $(vmrun status "$1" 2>&1)" || return
	[ -z "$(virsh -c qemu:///system list --all --name)" ] || complain 'libvirt still knows a domain' || return
	second_restore_writes_nothing "$1"
}

# restore_touches_no_guest NAME: the guest lives, so a restore must say "busy" and change nothing; then it is taken over and powered off.
restore_touches_no_guest() {
	local pid moved=''
	pid=$(qemu_pid "$1")
	pci_snapshot "$eh_work/guest.before"
	vmrun restore "$1" --color=never >"$eh_work/restore.log" 2>&1
	local restored=$?
	[ "$restored" -eq 7 ] || complain "restore with a living guest ended with $restored: $(cat "$eh_work/restore.log")" || return
	[ "$(qemu_pid "$1")" = "$pid" ] || complain 'the guest did not survive a restore' || return
	pci_snapshot "$eh_work/guest.after"
	moved=$(diff -U0 "$eh_work/guest.before" "$eh_work/guest.after") || complain "restore touched a living guest: $moved" || return
	vmrun stop "$1" --force --timeout 1 --color=never >"$eh_work/stop.log" 2>&1 || complain "stop ended with $?: $(cat "$eh_work/stop.log")"
}

# bring_back NAME: what a person does after a crash: one restore; or, when the guest lives, one stop.
bring_back() {
	if ! qemu_is_gone "$1"; then
		restore_touches_no_guest "$1"
		return
	fi
	vmrun restore "$1" --color=never >"$eh_work/restore.log" 2>&1 || complain "restore ended with $?: $(cat "$eh_work/restore.log")"
}

# For the cases that follow one that failed.
repair_host() {
	local address driver
	pkill -9 -f '^[^ ]*qemu-system-x86_64 -name guest='
	pgrep -x libvirtd >/dev/null || start_libvirtd
	vmrun restore --all >/dev/null 2>&1
	for address in $(card_functions); do
		driver=$(sed -n "s/^$address driver //p" "$eh_work/before")
		[ "$(pci_driver "$address")" = "$driver" ] || move_to "$address" "$driver"
		echo >"/sys/bus/pci/devices/$address/driver_override"
	done
	rm -f /var/lib/vmrun/journal/*.conf
	find /var/lib/vmrun /run/vmrun -name '.*' -delete
}

# --- counting -----------------------------------------------------------------

suite_cases=0
suite_failed=0

# verdict CASE: counts, by $problem.
verdict() {
	suite_cases=$((suite_cases + 1))
	if [ -z "$problem" ]; then
		ok "$1"
	else
		suite_failed=$((suite_failed + 1))
		fail "$1: $problem"
		keep "$eh_work"/*.trace "$eh_work"/*.log
	fi
	problem=''
}

# end_suite NAME WANTED: the line that is collected, and the check that nothing was left out.
end_suite() {
	equal "cases of the suite $1" "$2" "$suite_cases"
	echo "suite: $1 cases=$suite_cases pass=$((suite_cases - suite_failed)) fail=$suite_failed"
}
