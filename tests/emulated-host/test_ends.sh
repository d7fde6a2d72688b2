#!/bin/bash
# Every way in which a session ends, without waiting for a guest's operating system: left running, powered off, QEMU killed, start
# failed, supervisor killed, host driver that does not come back.
# machine: card
# init: shell
# deadline: 480
. "$EMULATED_HOST_LIB"
. "${EMULATED_HOST_LIB%/*}/vmrun_lib.sh"
install_vmrun
virtlogd -d
libvirtd -d
disk=$(guest_disk stay guest)
profile gaming '[gpu]' 'device=auto'
pci_snapshot "$eh_work/before"

libvirtd_is_gone() {
	! pgrep -x libvirtd >/dev/null
}

expect_host_as_before() {
	pci_snapshot "$eh_work/after"
	assert_same_snapshot "$eh_work/before" "$eh_work/after"
	check "nothing is on record ($1)" test ! -e /var/lib/vmrun/journal/gaming.conf
	check "QEMU is gone ($1)" qemu_is_gone gaming
}

note 'a guest that does not shut down is left running, and powered off only when told to'
start_in_background gaming
wait_for_state gaming running
for address in $(card_functions); do
	equal "$address while the guest runs" vfio-pci "$(pci_driver "$address")"
done
run_vmrun run gaming --foreground --color=never
equal 'a second start of the same profile is busy' 7 "$status"
profile other '[gpu]' 'device=auto'
run_vmrun run other --foreground --color=never
equal 'a start of another profile with the same card is busy' 7 "$status"
contains 'and names who has it' "$output" "session of 'gaming'"
run_vmrun restore gaming
equal 'restore does not touch a running session' 7 "$status"
run_vmrun restore gaming --if-idle
equal 'and is silent success for a unit' 0 "$status"
kill -INT "$supervisor"
check 'Ctrl-C asks the guest to shut down' wait_until 20 state_is gaming stopping
kill -INT "$supervisor"
check 'a second Ctrl-C says how to force it' wait_until 20 grep -q 'vmrun stop gaming --force' "$eh_work/gaming.log"
run_vmrun stop gaming --timeout 1
equal 'stop at its timeout' 3 "$status"
check 'the guest is left running' test -n "$(qemu_pid gaming)"
run_vmrun stop gaming --force --timeout 1
equal 'stop --force' 0 "$status"
end_of_supervisor
equal 'exit status of the supervisor after a forced stop' 0 "$status"
expect_host_as_before 'forced stop'

note 'QEMU dies under the guest'
start_in_background gaming
wait_for_state gaming running
kill -9 "$(qemu_pid gaming)"
end_of_supervisor
equal 'exit status when QEMU was killed' 1 "$status"
expect_host_as_before 'QEMU killed'

note 'the supervisor dies; the guest goes on and is brought to its end by another'
start_in_background gaming
wait_for_state gaming running
kill -9 "$supervisor"
end_of_supervisor
check 'the guest goes on' test -n "$(qemu_pid gaming)"
check 'it counts as running' state_is gaming running
run_vmrun restore gaming
equal 'restore does not touch a living guest' 7 "$status"
check 'the guest still goes on' test -n "$(qemu_pid gaming)"
pkill -x libvirtd
wait_until 20 libvirtd_is_gone
run_vmrun stop gaming --force --timeout 1
equal 'stop --force without libvirt' 5 "$status"
check 'the guest goes on without libvirt' test -n "$(qemu_pid gaming)"
libvirtd -d
run_vmrun stop gaming --force --timeout 1
equal 'stop takes the guest over' 0 "$status"
expect_host_as_before 'supervisor killed'

note 'everything dies; restore brings the card back'
start_in_background gaming
wait_for_state gaming running
kill -9 "$supervisor" "$(qemu_pid gaming)"
end_of_supervisor
wait_until 20 group_is_free "$(group_of "$(card_address)")"
run_vmrun status gaming
check 'it needs a restore' state_is gaming needs-restore
run_vmrun restore gaming
equal 'restore' 0 "$status"
expect_host_as_before 'all killed'

note 'libvirt is configured and does not answer'
# Killed, it leaves its socket behind: that is not "no libvirt here", and no reason to use another one silently.
pkill -9 -x libvirtd
wait_until 20 libvirtd_is_gone
run_vmrun gaming --foreground --color=never
equal 'exit status without libvirt' 8 "$status"
expect_host_as_before 'no libvirt'
libvirtd -d

note 'a profile that keeps its card, so that the next start finds it ready'
profile gaming '[gpu]' 'device=auto' '[session]' 'after-stop=keep'
for round in first second; do
	start_in_background gaming
	wait_for_state gaming running
	run_vmrun stop gaming --force --timeout 1
	equal "stop ($round round, card kept)" 0 "$status"
	end_of_supervisor
	check "it is stopped ($round round)" state_is gaming stopped
	for address in $(card_functions); do
		equal "$address after the $round round" vfio-pci "$(pci_driver "$address")"
	done
done
run_vmrun status gaming
contains 'status tells that the card was kept' "$output" 'vmrun restore gaming'
run_vmrun restore gaming
equal 'restore gives a kept card back' 0 "$status"
expect_host_as_before 'kept card'

note 'the start fails after the card was taken, for a caller with a bad environment'
profile gaming '[gpu]' 'device=auto' '[boot]' "kernel=/var/lib/libvirt/images/not-a-kernel"
echo 'this is no kernel' >/var/lib/libvirt/images/not-a-kernel
mkdir "$eh_work/evil"
for name in modprobe systemctl sh virsh qemu-system-x86_64; do
	printf '#!/bin/bash\n: >"%s/impostor"\n' "$eh_work" >"$eh_work/evil/$name"
	chmod 755 "$eh_work/evil/$name"
done
modprobe -r vfio-pci # so that it must be loaded
PATH=$eh_work/evil:$PATH LIBVIRT_DEFAULT_URI=test:///default GIO_EXTRA_MODULES=$eh_work/evil strace -f -v -s 4096 -qq \
	-e trace=execve,execveat -o "$eh_work/executed" "$(command -v vmrun)" gaming --foreground --color=never >"$eh_work/output" 2>&1
status=$?
cat "$eh_work/output"
keep "$eh_work/executed"
equal 'exit status of a failed start' 4 "$status"
expect_host_as_before 'failed start'
check 'no program of the caller ran' test ! -e "$eh_work/impostor"
executed=$(sed -nE 's/.*execve(at)?\(([^"]*)"([^"]*)".* = 0$/\3/p' "$eh_work/executed")
bad=$(grep -vxE '/proc/self/exe|/usr/s?bin/(vmrun|modprobe)|/s?bin/(modprobe|systemctl)|/usr/bin/systemctl' <<<"$executed" | sort | uniq -c)
equal 'nothing else was executed, a shell least of all' '' "$bad"
contains 'vfio-pci was loaded by modprobe' "$executed" '^/(usr/)?sbin/modprobe$'
equal 'nobody inherited the environment' 0 "$(tail -n +2 "$eh_work/executed" | sed 's/.*\], \[//' | grep -c "$eh_work/evil\|LIBVIRT")"
total=$(wc -l <<<"$executed")
wrong=$(grep -c . <<<"$bad")
echo "suite: no-shell-session cases=$total pass=$((total - wrong)) fail=$wrong"

note 'the host driver refuses to come back'
profile gaming '[gpu]' 'device=auto'
start_in_background gaming
wait_for_state gaming running
rmmod snd_hda_intel
echo 'install snd_hda_intel /bin/false' >/etc/modprobe.d/broken.conf
run_vmrun stop gaming --force --timeout 1
equal 'stop says that something is missing' 9 "$status"
contains 'it names the function' "$output" "$(card_functions | sed -n 2p)"
end_of_supervisor
equal 'exit status of the supervisor' 9 "$status"
equal 'the display came back nevertheless' "$(sed -n "s/^$(card_address) driver //p" "$eh_work/before")" "$(pci_driver "$(card_address)")"
rm /etc/modprobe.d/broken.conf
run_vmrun restore gaming
equal 'restore, once the driver can be loaded again' 0 "$status"
expect_host_as_before 'host driver refused'
finish
