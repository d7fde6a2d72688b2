#!/bin/bash
# Two sessions, each with a card, that share a pool of huge pages and take processors away from the host's own programs: what was there before
# the first one comes back with the last one, in either order of ending, and also when the supervisor and the QEMU of one were killed.
# machine: two-cards
# init: systemd
# deadline: 600
# smp: 3
. "$EMULATED_HOST_LIB"
. "${EMULATED_HOST_LIB%/*}/vmrun_lib.sh"
. "${EMULATED_HOST_LIB%/*}/case_lib.sh"
pool=/proc/sys/vm/nr_hugepages
ORIGINAL_PAGES=3
GUEST_PAGES=256
HOST_UNITS='init.scope system.slice user.slice'
# The first guest uses those that were there and free, so that it adds fewer than the second.
FIRST_PAGES=$GUEST_PAGES
SECOND_PAGES=$((ORIGINAL_PAGES + GUEST_PAGES))
BOTH_PAGES=$((2 * GUEST_PAGES))

# session NAME CARD: the guest of the card N is pinned to the processor N, and 0 stays the host's.
session() {
	disk=$(guest_disk stay "$1") profile "$1" '[gpu]' "device=$(card_address "$2")"
	mkdir "/etc/vmrun/profiles/$1.conf.d"
	printf '[machine]\nhugepages=2M\npin=%s\n[session]\nisolate-cpus=yes\n' "$2" >"/etc/vmrun/profiles/$1.conf.d/shared.conf"
}

# What the kernel says; all, where the group has no limit of its own.
processors_of() { # UNIT
	cat "/sys/fs/cgroup/$1/cpuset.cpus.effective" 2>/dev/null || cat /sys/fs/cgroup/cpuset.cpus.effective
}

host_has() { # PAGES PROCESSORS WHEN
	local unit
	equal "huge pages $3" "$1" "$(cat $pool)"
	for unit in $HOST_UNITS; do
		equal "processors of $unit $3" "$2" "$(processors_of "$unit")"
	done
}

begin() { # NAME
	start_in_background "$1"
	eval "supervisor_$1=$supervisor"
}

all_processors_are() { # PROCESSORS
	local unit
	for unit in $HOST_UNITS; do
		[ "$(processors_of "$unit")" = "$1" ] || return 1
	done
}

end() { # NAME
	local process=supervisor_$1
	check "vmrun stop $1" vmrun stop "$1" --force --timeout 1 --color=never
	wait "${!process}"
	check "no QEMU of $1" qemu_is_gone "$1"
	check "nothing of $1 is on record" test ! -e "/var/lib/vmrun/journal/$1.conf"
}

begin_both() {
	begin first
	wait_until 90 all_processors_are 0,2
	host_has $FIRST_PAGES 0,2 'with one session'
	begin second
	wait_for_state first running
	wait_for_state second running
	host_has $BOTH_PAGES 0 'with both'
	equal 'processors of the guests' 0-2 "$(processors_of machine.slice)"
	equal "processors of a program that runs all the time" 0 "$(taskset -pc "$(pidof systemd-udevd)" | sed 's/.*: //')"
}

# What one of them must not lose while the other one is gone.
one_is_left() { # NAME PAGES PROCESSORS
	host_has "$2" "$3" "with $1 alone"
	check "$1 still runs" state_is "$1" running
}

all_is_as_before() {
	local unit
	host_has $ORIGINAL_PAGES 0-2 'in the end'
	for unit in $HOST_UNITS; do
		equal "setting of $unit" '' "$(systemctl show -P AllowedCPUs "$unit")"
	done
	host_is_as_before
}

first_ends_first() {
	begin_both
	end first
	one_is_left second $SECOND_PAGES 0-1
	end second
	all_is_as_before
}

last_ends_first() {
	begin_both
	end second
	one_is_left first $FIRST_PAGES 0,2
	end first
	all_is_as_before
}

first_crashes() {
	local journal=/var/lib/vmrun/journal/first.conf
	begin_both
	kill -KILL "$supervisor_first" "$(qemu_pid first)"
	{ wait "$supervisor_first"; } 2>/dev/null
	check 'the dead one is on record' test -e $journal
	host_has $BOTH_PAGES 0 'with both, one of them dead'
	run_vmrun restore first --color=never
	equal 'exit status of restore' 0 "$status"
	check 'it is not on record any more' test ! -e $journal
	one_is_left second $SECOND_PAGES 0-1
	end second
	all_is_as_before
}

install_vmrun
session first 1
session second 2
echo $ORIGINAL_PAGES >$pool
pci_snapshot "$eh_work/before"
CASES=(first_ends_first last_ends_first first_crashes)
for case in "${CASES[@]}"; do
	in_case shared-real "$case"
done
suite shared-real ${#CASES[@]}
finish
