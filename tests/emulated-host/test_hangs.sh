#!/bin/bash
# What really blocks: a sound card that somebody has open, and a VFIO device that outlives its QEMU; each with a holder that can be
# seen, and one that cannot (a file on its way through a socket: no process has it). One card hangs on its way out while the other is
# held on its way back; meanwhile every command answers.
# machine: two-cards
# init: shell
# deadline: 420
. "$EMULATED_HOST_LIB"
. "${EMULATED_HOST_LIB%/*}/vmrun_lib.sh"
install_vmrun
virtlogd -d
libvirtd -d
hold=build/normal/tests/emulated-host/inside/hold
disk=$(guest_disk stay guest)
sound=$(card_functions 1 | sed -n 2p)
control=$(find "/sys/bus/pci/devices/$sound/" -name 'controlC*' -printf '/dev/snd/%f\n' | head -n 1)
disk=$(guest_disk stay other) profile sounding '[gpu]' "device=$(card_address 1)"
profile kept '[gpu]' "device=$(card_address 2)"
pci_snapshot "$eh_work/before"
cases=0 broken=0

# case_ends: one of the four is over; was everything of it right?
case_ends() {
	cases=$((cases + 1))
	[ "$eh_failed" -eq "${failed_before:-0}" ] || broken=$((broken + 1))
	failed_before=$eh_failed
}

# start_holder ARGUMENT...: its pid in $holder, when it holds.
start_holder() {
	"$hold" "$@" >"$eh_work/holder" 2>&1 &
	holder=$!
	wait_until 20 grep -q ready "$eh_work/holder" || bail "the holder does not hold: $(cat "$eh_work/holder")"
}

# answers SECONDS ARGUMENT...: vmrun answers, whatever it says. Through a pipe, as a script would read it.
answers() {
	local limit=$1 start=$SECONDS
	shift
	timeout -s KILL $((limit + 30)) vmrun "$@" 2>&1 | cat >"$eh_work/answer"
	if [ $((SECONDS - start)) -le "$limit" ] && [ -s "$eh_work/answer" ]; then
		ok "vmrun $* answers in $((SECONDS - start)) s while a card hangs"
	else
		fail "vmrun $* took $((SECONDS - start)) s: $(head -c 300 "$eh_work/answer")"
	fi
	output=$(cat "$eh_work/answer")
}

note 'a sound card that somebody has open: not started'
sleep 999 9<"$control" &
holder=$!
run_vmrun sounding --foreground --color=never
equal 'a start with a holder that can be seen is busy' 7 "$status"
contains 'and names it' "$output" "sleep \(pid $holder"
kill "$holder"
wait "$holder" 2>/dev/null
pci_snapshot "$eh_work/after"
assert_same_snapshot "$eh_work/before" "$eh_work/after"
case_ends

note 'a guest whose QEMU ends while its VFIO files live on'
start_in_background kept
wait_for_state kept running
start_holder steal "$(qemu_pid kept)"
kept_holder=$holder
kept_supervisor=$supervisor
vmrun stop kept --force --timeout 1 >"$eh_work/stop.log" 2>&1 &

note 'meanwhile: a sound card whose open file is on its way through a socket'
start_holder in-flight "$control"
sound_holder=$holder
start_in_background sounding
sound_supervisor=$supervisor
waits_for_the_kernel() { grep -q 'still waiting for the kernel' "$eh_work/sounding.log"; }
check 'after ten seconds it says what it waits for' wait_until 60 waits_for_the_kernel
contains 'the device' "$(cat "$eh_work/sounding.log")" "$sound +unbind from snd_hda_intel"
contains 'the process and where it waits' "$(cat "$eh_work/sounding.log")" 'process [0-9]+, state D in [a-z_]+'
contains 'that nobody can be seen' "$(cat "$eh_work/sounding.log")" 'cannot be seen'

note 'while one card hangs and another is held'
for command in gpus doctor status list 'status sounding' 'status kept' "who $(card_address 1)" "who $(card_address 2)" 'doctor kept' \
	'plan sounding' 'plan kept' 'restore --dry-run sounding' 'restore --dry-run --all' topology; do
	# shellcheck disable=SC2086
	answers 12 $command
done

supervisor=$kept_supervisor
end_of_supervisor
cat "$eh_work/kept.log"
equal 'exit status with a VFIO device that is held' 9 "$status"
contains 'the holder is named' "$(cat "$eh_work/kept.log")" "hold \(process $kept_holder\) through /dev/vfio/"
contains 'and the next action' "$(cat "$eh_work/kept.log")" 'vmrun restore kept'
run_vmrun restore kept
equal 'restore does not wait for it' 7 "$status"
contains 'and names it' "$output" "hold \(process $kept_holder\)"
case_ends
kill -USR1 "$kept_holder"
hidden() { ! readlink /proc/"$kept_holder"/fd/* | grep -q vfio; }
check 'the files are on their way through a socket' wait_until 20 hidden
run_vmrun restore kept
equal 'restore sees that the device is held, also by nobody' 7 "$status"
contains 'and says so' "$output" 'something that has no open file'
for address in $(card_functions 2); do
	equal "$address is not touched" vfio-pci "$(pci_driver "$address")"
done
kill "$kept_holder"
check 'the group is free' wait_until 60 group_is_free "$(group_of "$(card_address 2)")"
run_vmrun restore kept
equal 'restore, once it was let go' 0 "$status"
case_ends

supervisor=$sound_supervisor
check 'the other is still waited for' kill -0 "$supervisor"
gone() { ! kill -0 "$supervisor" 2>/dev/null; }
check 'it ends at its deadline' wait_until 180 gone
wait "$supervisor"
status=$?
cat "$eh_work/sounding.log"
equal 'exit status with an unbind that hangs' 9 "$status"
contains 'what hangs, and where' "$(cat "$eh_work/sounding.log")" "$sound hangs in the kernel \(process [0-9]+, state D in "
contains 'what to do' "$(cat "$eh_work/sounding.log")" 'vmrun restore sounding'
equal 'the display never left' bochs-drm "$(pci_driver "$(card_address 1)")"
check 'it counts as stuck' state_is sounding stuck
answers 5 status sounding
contains 'status says what to do' "$output" 'vmrun restore sounding'
answers 12 restore sounding
contains 'restore says that it still hangs' "$output" 'hangs in the kernel'
kill "$sound_holder"
let_go() { ! state_is sounding stuck; }
check 'the late write ends by itself' wait_until 60 let_go
run_vmrun restore sounding
equal 'restore, once the holder has let go' 0 "$status"
case_ends
pci_snapshot "$eh_work/after"
assert_same_snapshot "$eh_work/before" "$eh_work/after"
check 'no worker is left' wait_until 30 sh -c '! pgrep vmrun-worker'
check 'nothing is on record' test ! -e /var/lib/vmrun/journal/sounding.conf -a ! -e /var/lib/vmrun/journal/kept.conf
echo "suite: hang-real cases=$cases pass=$((cases - broken)) fail=$broken"
equal 'cases' 4 "$cases"
finish
