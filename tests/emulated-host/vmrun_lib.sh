# Sourced by the tests of vmrun itself, after lib.sh:  . "$EMULATED_HOST_LIB"; . "${EMULATED_HOST_LIB%/*}/vmrun_lib.sh"
# shellcheck shell=bash

# The ids of QEMU's devices that stand in for a card's functions.
DISPLAY_ID=1234:1111
AUDIO_ID=8086:2668
USB_ID=1b36:000d
NIC_ID=8086:10d3

# install_vmrun: what `make install` does, without make: the program was built outside, and compiling in here takes minutes.
install_vmrun() {
	src/data/install build/normal/vmrun "" /usr >"$eh_work/install.log" 2>&1 || {
		cat "$eh_work/install.log"
		bail "install vmrun"
	}
	mkdir -p /etc/vmrun/profiles
}

# profile NAME [LINE...]: writes a profile for a small Linux guest; further lines are added to it as they are. A guest of this
# emulated computer has one processor and little memory, because everything in it is emulated twice.
profile() {
	local name=$1
	shift
	cat >"/etc/vmrun/profiles/$name.conf" <<-END
		[profile]
		description=Test guest
		guest=linux
		[machine]
		cpus=1
		memory=512M
		pin=none
		hypervisor=${hypervisor:-auto}
		[disk system]
		path=${disk:-/var/lib/libvirt/images/guest.img}
		format=raw
		[network lan]
		mode=user
	END
	printf '%s\n' "$@" >>"/etc/vmrun/profiles/$name.conf"
}

# Where the guest's serial console goes, as its domain says.
serial_log() {
	vmrun xml "$1" | sed -n 's/.*<log file="\([^"]*\)".*/\1/p'
}

# start_in_background NAME: vmrun as a supervisor; its pid in $supervisor, its output in $eh_work/NAME.log.
start_in_background() {
	vmrun run "$1" --foreground --color=never >"$eh_work/$1.log" 2>&1 &
	supervisor=$!
}

state_is() {
	[ "$(vmrun status "$1" --json | sed -n 's/.*"state" : "\([a-z-]*\)".*/\1/p')" = "$2" ]
}

# wait_for_state NAME STATE [SECONDS]
wait_for_state() {
	wait_until "${3:-90}" state_is "$1" "$2" || {
		cat "$eh_work/$1.log"
		bail "'$1' is not $2 in time: $(vmrun status "$1" 2>&1)"
	}
}

qemu_pid() {
	pgrep -f "^[^ ]*qemu-system-x86_64 -name guest=$1,"
}

# end_of_supervisor: waits for it (its own deadlines apply), its status in $status.
end_of_supervisor() {
	wait "$supervisor"
	status=$?
}

# run_vmrun ARGUMENT...: the same with its output shown here, too.
run_vmrun() {
	echo "\$ vmrun $*"
	vmrun "$@" 2>&1 | tee "$eh_work/output"
	status=${PIPESTATUS[0]}
	output=$(cat "$eh_work/output")
}

# assert_guest NAME IDS...: what the guest saw of itself.
assert_guest() {
	local log
	log=$(serial_log "$1")
	shift
	keep "$log"
	guest_has_ended "$log" || bail "the guest did not report to the end; serial log: $(tail -c 400 "$log" 2>&1)"
	assert_guest_card "$log" "$@"
	equal "the guest booted through UEFI" yes "$(guest_report "$log" uefi)"
}
