#!/bin/bash
# A program that opens the card's nodes ten times a second and holds them for half of the time: an ordinary user of the group video,
# whom the fence keeps out once it stands, and root, whom no mode keeps out. How often does the card move under an open node, and how
# often is a start refused? Each start ends right after the card was taken, because its guest's kernel is none.
# machine: card
# init: shell
# deadline: 420
# proof-deadline: 1500
. "$EMULATED_HOST_LIB"
. "${EMULATED_HOST_LIB%/*}/vmrun_lib.sh"
install_vmrun
/usr/lib/systemd/systemd-udevd --daemon
virtlogd -d
libvirtd -d
hold=build/normal/tests/emulated-host/inside/hold
disk=$(guest_disk stay guest)
echo 'this is no kernel' >/var/lib/libvirt/images/not-a-kernel
profile gaming '[gpu]' 'device=auto' '[boot]' kernel=/var/lib/libvirt/images/not-a-kernel
rounds=5
[ "${VMRUN_PROOF:-0}" = 0 ] || rounds=20
node=$(find "/sys/bus/pci/devices/$(card_address)/drm/" -maxdepth 1 -name 'card*' -printf '/dev/dri/%f\n' | head -n 1)
modes() { stat -c '%n %a %U %G' /dev/dri/* /dev/snd/* 2>/dev/null; }
pci_snapshot "$eh_work/before"
cases=0 wrong=0

# take KIND: one start; counts what became of it in moved, refused and wrong.
take() {
	cases=$((cases + 1))
	status_of vmrun gaming --foreground --color=never --verbose
	if [ "$status" -eq 4 ] && grep -q 'bochs-drm -> vfio-pci' <<<"$output"; then
		moved=$((moved + 1))
	elif { [ "$status" -eq 7 ] || [ "$status" -eq 4 ]; } && grep -Eq 'hold \(p(id|rocess) [0-9]+|hold of ' <<<"$output"; then
		refused=$((refused + 1))
	else
		wrong=$((wrong + 1))
		fail "a start ended with $status: $output"
	fi
	if [ "$(pci_driver "$(card_address)")" != bochs-drm ] || [ -e /var/lib/vmrun/journal/gaming.conf ]; then
		wrong=$((wrong + 1))
		fail "the card did not come back: $output"
	fi
	wait_until 20 node_is_open
}
node_is_open() { [ "$(stat -c %a "$node" 2>/dev/null)" = 660 ]; }

# measure NAME UID GID: N starts against a poller of that user.
measure() {
	moved=0 refused=0
	"$hold" poll 100 50 "$2" "$3" /dev/dri >"$eh_work/poller" 2>&1 &
	poller=$!
	wait_until 20 grep -q ready "$eh_work/poller" || bail "the poller does not poll: $(cat "$eh_work/poller")"
	for ((i = 0; i < rounds; i++)); do
		take
	done
	sleep 0.3
	kill "$poller"
	wait "$poller" 2>/dev/null
	torn=$(grep -c torn "$eh_work/poller")
	echo "fence: poller of $1: starts=$rounds moved=$moved moved-under-it=$torn refused=$refused"
}

note 'nobody polls: the fence, and its end'
moved=0 refused=0
take
equal 'moved' 1 "$moved"
contains 'the node is closed before the move' "$output" "close to everybody but root $node \(c [0-9]+:[0-9]+ 0000\)"
contains 'its sound, too' "$output" 'close to everybody but root /dev/snd/control'
contains 'udev sets the mode of the new node' "$(stat -c '%a %G' "$node")" '^660 video$'
sleep 1
modes >"$eh_work/modes-before"

note 'a start that is refused after the fence stands gives the modes back'
sleep 999 <"$node" &
sleeper=$!
status_of vmrun gaming --foreground --color=never
equal 'busy' 7 "$status"
kill "$sleeper"
modes >"$eh_work/modes-after"
check 'the modes are as before' diff "$eh_work/modes-before" "$eh_work/modes-after"

video=$(getent group video | cut -d: -f3)
note 'an ordinary user polls'
measure 'a user of the group video (the fence holds)' 65534 "$video"
equal 'the card never moved under the user' 0 "$torn"
equal 'no start was refused for good' 0 "$refused"
note 'root polls'
measure 'root (as without a fence)' 0 0
pci_snapshot "$eh_work/after"
assert_same_snapshot "$eh_work/before" "$eh_work/after"
sleep 1
modes >"$eh_work/modes-after"
check 'the modes are as before' diff "$eh_work/modes-before" "$eh_work/modes-after"
echo "suite: fence cases=$cases pass=$((cases - wrong)) fail=$wrong"
equal 'cases' $((2 * rounds + 1)) "$cases"
finish
