#!/bin/bash
# Session after session, and nothing drifts: the bus, the pools of huge pages, processes, open files, modules, files of vmrun, libvirt's memory
# of the card, the kernel's log. With VMRUN_PROOF=1 50 sessions, of which every tenth is killed at a moment of its own; else 3.
# machine: card
# init: shell
# deadline: 300
# proof-deadline: 2400
. "$EMULATED_HOST_LIB"
. "${EMULATED_HOST_LIB%/*}/vmrun_lib.sh"
. "${EMULATED_HOST_LIB%/*}/kills_lib.sh"
cycles=3
[ "${VMRUN_PROOF-}" != 1 ] || cycles=50
DONE_KEPT=20 # journals in done/
RANDOM=20010 # the moments of the kills are the same in every run
prepare_kills
profile huge '[gpu]' 'device=auto'
mkdir /etc/vmrun/profiles/huge.conf.d
printf '[machine]\nhugepages=2M\nmemory=256M\n' >/etc/vmrun/profiles/huge.conf.d/memory.conf

open_files_of() {
	local pid
	for pid in $(pgrep -x "$1"); do ls "/proc/$pid/fd" | wc -l; done
}

# What must not grow, but for the journals that are kept.
drift_snapshot() {
	{
		cat "$eh_work/host"
		echo "processes $(find /proc -maxdepth 1 -name '[0-9]*' -exec sh -c 'tr "\0" " " <"$1/cmdline"' _ {} \; 2>/dev/null | grep -c 'vmrun\|qemu-system')"
		echo "open files of libvirtd $(open_files_of libvirtd)"
		echo "open files of virtlogd $(open_files_of virtlogd)"
		lsmod | awk 'NR > 1 { print "module", $1 }' | sort
		find /run/vmrun /var/lib/vmrun /run/libvirt/qemu ! -path '*/done/*' -printf '%p %m %U\n' | sort
		cat /proc/locks | wc -l
	} >"$1"
}

# Lines that a kernel writes when something of its own went wrong.
kernel_complaints() {
	dmesg | grep -cE 'WARNING:|BUG:|Oops|Call Trace|general protection|refcount|use-after-free|INFO: task .* blocked'
}

no_drift() {
	local difference
	host_snapshot "$eh_work/host"
	difference=$(diff -U0 "$eh_work/before" "$eh_work/host" | grep '^[-+][^-+]') && { complain "not as before: $difference" || return; }
	drift_snapshot "$eh_work/drift"
	difference=$(diff -U0 "$eh_work/drift.before" "$eh_work/drift" | grep '^[-+][^-+]') && { complain "drift: $difference" || return; }
	[ "$(find /var/lib/vmrun/journal/done -type f | wc -l)" -le "$DONE_KEPT" ] || complain 'too many old journals' || return
	[ "$(kernel_complaints)" -eq "$complaints" ] || complain "the kernel complains: $(dmesg | tail -n 20)" || return
	[ -z "$(virsh -c qemu:///system list --all --name)" ] || complain 'libvirt still knows a domain'
}

# One session, ended as people do.
cycle_well() {
	start_in_background "$1"
	wait_until 90 state_is "$1" running || complain "not running: $(tail -n 3 "$eh_work/$1.log")" || return
	[ "$1" != huge ] || [ "$(cat /proc/sys/vm/nr_hugepages)" -ge 128 ] || complain 'the guest has no huge pages' || return
	vmrun stop "$1" --force --timeout 1 >"$eh_work/stop.log" 2>&1 || complain "stop ended with $?: $(cat "$eh_work/stop.log")" || return
	end_of_supervisor
	[ "$status" -eq 0 ] || complain "vmrun ended with $status"
}

# One session, killed at any moment of its start or of its life.
cycle_killed() {
	start_in_background "$1"
	sleep "$((RANDOM % 12)).$((RANDOM % 10))"
	kill -9 "$supervisor" || complain 'there was nothing to kill' || return
	wait_quietly "$supervisor"
	wait_until 90 is_settled "$1" || complain 'what was under way did not end' || return
	bring_back "$1"
}

# The first session makes files, loads modules and fills caches that stay.
cycle_well gaming && cycle_well huge
verdict 'the first sessions'
suite_cases=0
host_snapshot "$eh_work/host"
drift_snapshot "$eh_work/drift.before"
complaints=$(kernel_complaints)
for cycle in $(seq "$cycles"); do
	name=gaming how=cycle_well
	[ $((cycle % 4)) -ne 2 ] || name=huge
	[ $((cycle % 10)) -ne 5 ] || how=cycle_killed
	$how "$name" && no_drift
	verdict "session $cycle of $cycles: $how $name"
done
end_suite cycles "$cycles"

note 'an ordinary domain of the same libvirtd, which moves the card itself, still gives it back'
vmrun xml gaming | sed 's|<name>gaming</name>|<name>ordinary</name>|; s|<uuid>.*</uuid>||' >"$eh_work/ordinary.xml"
status_of virsh -c qemu:///system create "$eh_work/ordinary.xml"
equal 'libvirt starts an ordinary domain with the card' 0 "$status"
status_of virsh -c qemu:///system destroy ordinary
equal 'it ends' 0 "$status"
host_snapshot "$eh_work/host"
assert_same_snapshot "$eh_work/before" "$eh_work/host"
finish
