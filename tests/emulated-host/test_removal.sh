#!/bin/bash
# The card is taken out of the computer: while it is kept on vfio-pci, before a start, and while a guest has it. Commands that only look
# must answer all the time, and nothing is written to what is gone.
# machine: card
# init: shell
# deadline: 500
. "$EMULATED_HOST_LIB"
. "${EMULATED_HOST_LIB%/*}/vmrun_lib.sh"
. "${EMULATED_HOST_LIB%/*}/case_lib.sh"
. "${EMULATED_HOST_LIB%/*}/cut_lib.sh"
install_vmrun
virtlogd -d
libvirtd -d
disk=$(guest_disk stay guest)
mapfile -t functions < <(card_functions)
card=${functions[0]} sound=${functions[1]}
pci_snapshot "$eh_work/before"
removal_cases=3

writes_to() {
	grep -cE "\\([0-9]+<[^>]*$1/|\"$1\"" "$eh_work/calls"
}

rescan() {
	echo 1 >/sys/bus/pci/rescan
	wait_until 20 test -e "/sys/bus/pci/devices/$sound/driver"
}

gone_while_kept() {
	profile gaming '[gpu]' 'device=auto' '[session]' 'after-stop=keep'
	start_and_wait || fail 'no session'
	run_vmrun stop gaming --force --timeout 1
	end_of_supervisor
	echo 1 >"/sys/bus/pci/devices/$sound/remove"
	watched vmrun restore gaming --color=never
	equal 'restore without the sound function' 9 "$status"
	contains 'which it names' "$output" "$sound is not there any more"
	equal 'writes that concern it' 0 "$(writes_to "$sound")"
	equal 'the display is back' "$(sed -n "s/^$card driver //p" "$eh_work/before")" "$(pci_driver "$card")"
	rescan
	watched vmrun restore gaming --color=never
	equal 'restore when it is there again' 0 "$status"
	host_is_as_before
}

absent_before_a_start() {
	local address
	profile gaming '[gpu]' 'device=auto'
	for address in "$sound" "$card"; do
		echo 1 >"/sys/bus/pci/devices/$address/remove"
	done
	run_vmrun run gaming --foreground --color=never
	equal 'a start without the card' 6 "$status"
	rescan
	host_is_as_before
}

# The kernel removes the sound function first, and waits until the guest lets go of it: which no guest does that cannot unplug.
is_being_removed() {
	[ ! -e "/sys/bus/pci/devices/$sound/driver" ]
}

is_gone() {
	[ ! -e "/sys/bus/pci/devices/$sound" ] && [ ! -e "/sys/bus/pci/devices/$card" ]
}

# answers COMMAND...: vmrun ends in time. A process that hangs in the kernel cannot be waited for.
answers() {
	local pid
	vmrun "$@" --color=never >"$eh_work/answer" 2>&1 &
	pid=$!
	wait_until 60 eval "! kill -0 $pid 2>/dev/null" || echo "hangs in $(cat /proc/$pid/wchan)"
	! kill -0 $pid 2>/dev/null
}

pulled_from_a_guest() {
	local command
	profile gaming '[gpu]' 'device=auto'
	# What came back by a rescan is in a group of its own each: for vmrun that is a change to ask about.
	run_vmrun changes gaming --accept
	start_and_wait || fail "no session: $(tail -n 4 "$eh_work/gaming.log")"
	outside monitor device_del card
	check 'the kernel wants the card removed' wait_until 60 is_being_removed
	for command in 'status gaming' list gpus 'plan gaming' 'doctor gaming' "who $card"; do
		# shellcheck disable=SC2086
		check "it answers meanwhile: $command" answers $command
	done
	run_vmrun stop gaming --force --timeout 1
	equal 'stop' 9 "$status"
	contains 'which names the display' "$output" "$card is not there any more"
	contains 'and the sound function' "$output" "$sound is not there any more"
	end_of_supervisor
	equal 'exit status of the supervisor' 9 "$status"
	check 'QEMU is gone' qemu_is_gone gaming
	check 'the kernel has removed the card' wait_until 20 is_gone
	check 'the record is whole' records_are_whole
	watched vmrun restore gaming --color=never
	equal 'a restore later' 9 "$status"
	equal 'its writes to devices and settings' 0 "$writes"
}

in_case removal gone_while_kept
in_case removal absent_before_a_start
in_case removal pulled_from_a_guest
suite removal $removal_cases
finish
