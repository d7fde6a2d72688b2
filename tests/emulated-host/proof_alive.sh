#!/bin/bash
# A guest that hangs (alive=agent): its agent answers and then falls silent, and the guest is powered off. One whose agent never answers, one that
# restarts itself, and one that nobody asks (alive=none) are left alone. The channel is the real one; the agent is a script that speaks its protocol.
# machine: card
# init: shell
# deadline: 1200
. "$EMULATED_HOST_LIB"
. "${EMULATED_HOST_LIB%/*}/vmrun_lib.sh"
. "${EMULATED_HOST_LIB%/*}/case_lib.sh"
install_vmrun
virtlogd -d
libvirtd -d
pci_snapshot "$eh_work/before"
declare -A supervisor_of=()

# A further archive behind the guest's own initial RAM disk: what comes later wins.
make_initrd() {
	local tree=$eh_work/agent
	mkdir -p "$tree"
	cp "$(find /usr/lib/modules/ -name 'virtio_console.ko*' | head -n 1)" "$tree/"
	case $(ls "$tree") in *.xz) xz -d "$tree"/*.xz ;; esac
	cat >"$tree/init" <<-'END'
		#!/bin/busybox sh
		busybox mkdir -p /proc /sys /dev
		busybox mount -t proc proc /proc
		busybox mount -t sysfs sysfs /sys
		busybox mount -t devtmpfs devtmpfs /dev
		exec >/dev/ttyS0 2>&1
		while read -r module; do busybox insmod "/modules/$module"; done </modules/order 2>/dev/null
		busybox insmod /virtio_console.ko
		busybox sleep 1
		for entry in /sys/class/virtio-ports/*; do
			read -r name <"$entry/name"
			[ "$name" != org.qemu.guest_agent.0 ] || port=/dev/${entry##*/}
		done
		mode=$(busybox sed 's/.*vmrun.agent=\([a-z]*\).*/\1/' /proc/cmdline)
		agent() {
			exec 3<>"$port"
			while :; do
				read -r line <&3 || { busybox sleep 1; continue; }
				case $line in
				*guest-sync*) id=${line##*\"id\":} && echo "{\"return\":${id%%\}*}}" >&3 ;;
				*guest-get-time*) echo '{"return":1700000000000000000}' >&3 && echo yes >/answered && echo "GUEST answered" ;;
				*) echo '{"error":{"class":"CommandNotFound","desc":"no such command"}}' >&3 ;;
				esac
			done
		}
		agent &
		[ "$mode" != silent ] || busybox kill -STOP $!
		echo "GUEST mode $mode, port $port"
		until [ -e /answered ]; do busybox sleep 1; done
		busybox sleep 2
		case $mode in
		freeze) busybox kill -STOP $! && echo "GUEST froze" ;;
		reboot) echo "GUEST reboots" && busybox reboot -f ;;
		esac
		while :; do busybox sleep 100; done
	END
	chmod +x "$tree/init"
	(cd "$tree" && find . | cpio -o -H newc -R 0:0 --quiet) >"$eh_work/agent.cpio"
	cat "$EMULATED_HOST_GUEST/initrd" "$eh_work/agent.cpio" >/var/lib/libvirt/images/agent-initrd
	cp "$EMULATED_HOST_GUEST/vmlinuz" /var/lib/libvirt/images/agent-kernel
}

# guest NAME MODE LINE...: starts a profile whose guest's agent behaves like this.
guest() {
	local name=$1 mode=$2
	shift 2
	disk=$(guest_disk stay "$name") profile "$name" '[boot]' 'kernel=/var/lib/libvirt/images/agent-kernel' \
		'initrd=/var/lib/libvirt/images/agent-initrd' \
		"cmdline=$(sed '/^#/d' "${EMULATED_HOST_LIB%/*}/guest/cmdline" | paste -sd ' ') vmrun.agent=$mode" "$@"
	start_in_background "$name"
	supervisor_of[$name]=$supervisor
	serial_log "$name" >"$eh_work/$name.serial"
}

# said NAME WORDS [COUNT]: the guest has said it so often.
said() {
	local count
	count=$(grep -c "$2" "$(cat "$eh_work/$1.serial")" 2>/dev/null)
	[ "${count:-0}" -ge "${3:-1}" ]
}

has_ended() {
	! kill -0 "${supervisor_of[$1]}" 2>/dev/null
}

runs() {
	! has_ended "$1" && [ -n "$(qemu_pid "$1")" ]
}

power_off() {
	kill -USR1 "${supervisor_of[$1]}"
	wait "${supervisor_of[$1]}"
}

freezes_after_an_answer() {
	guest freezing freeze "${card[@]}" "${asked[@]}"
	guest silent silent "${spare[@]}" "${asked[@]}"
	wait_until 300 said freezing 'GUEST froze' || bail "the agent did not answer: $(tail -c 600 "$(cat "$eh_work/freezing.serial")" "$eh_work"/*.log)"
	check 'the frozen guest ends the session' wait_until 300 has_ended freezing
	wait "${supervisor_of[freezing]}"
	equal 'exit status of a guest that hung' 1 $?
	contains 'it says why' "$(cat "$eh_work/freezing.log")" 'stopped answering and was powered off: its agent was silent for 30 s'
	check 'QEMU is gone' qemu_is_gone freezing
	for address in $(card_functions); do
		equal "$address is back" "$(sed -n "s/^$address driver //p" "$eh_work/before")" "$(pci_driver "$address")"
	done
}

# It ran beside the first one all the time.
never_answered() {
	check 'its agent is silent from the beginning' said silent 'GUEST mode silent'
	check 'the guest is left alone' runs silent
	power_off silent
}

restarts_itself() {
	guest rebooting reboot "${card[@]}" "${asked[@]}"
	guest nobody silent "${spare[@]}" '[session]' 'alive=none'
	check 'the guest restarts after its first answer' wait_until 300 said rebooting 'GUEST reboots'
	check 'it is still there when it answers again' wait_until 400 said rebooting 'GUEST answered' 2
	check 'the guest is left alone' runs rebooting
	check 'nobody spoke of its death' test -z "$(grep 'alive=agent' "$eh_work/rebooting.log")"
	power_off rebooting
}

nobody_asks() {
	check 'a silent guest with alive=none is left alone' runs nobody
	check 'nobody spoke of its agent' test -z "$(grep alive "$eh_work/nobody.log")"
	power_off nobody
}

make_initrd
nvme=$(basename "$(dirname "$(grep -l 0x010802 /sys/bus/pci/devices/*/class)")")
card=('[gpu]' 'device=auto')
spare=('[pci disk]' "device=$nvme")
asked=('[session]' 'alive=agent' 'alive-timeout=30')
in_case alive freezes_after_an_answer
in_case alive never_answered
in_case alive restarts_itself
in_case alive nobody_asks
pci_snapshot "$eh_work/after"
assert_same_snapshot "$eh_work/before" "$eh_work/after"
suite alive 4
finish
