# Sourced by the tests that run inside the emulated host:  . "$EMULATED_HOST_LIB"
# shellcheck shell=bash
#
# A test calls `ok` and `fail` (or what uses them) and ends with `finish`.

set -u
eh_passed=0
eh_failed=0
eh_work=$(mktemp -d /var/tmp/test.XXXXXX)
# libvirt's QEMU runs as its own user and must get through.
chmod 755 "$eh_work"

# --- counting ---------------------------------------------------------------

ok() {
	eh_passed=$((eh_passed + 1))
	echo "ok: $*"
}

fail() {
	eh_failed=$((eh_failed + 1))
	echo "FAIL: $*"
}

note() {
	echo "# [$(cut -d' ' -f1 /proc/uptime)] $*"
}

# check DESCRIPTION COMMAND...
check() {
	local description=$1
	shift
	if "$@"; then ok "$description"; else fail "$description ($*)"; fi
}

# equal DESCRIPTION WANTED GOT
equal() {
	if [ "$2" = "$3" ]; then ok "$1: $3"; else fail "$1: wanted '$2', got '$3'"; fi
}

# contains DESCRIPTION TEXT PATTERN (extended regular expression)
contains() {
	if grep -Eq -- "$3" <<<"$2"; then ok "$1"; else fail "$1: no match for '$3' in: $2"; fi
}

# status_of COMMAND...: leaves the exit status in $status and everything printed in $output.
status_of() {
	output=$("$@" 2>&1)
	status=$?
}

# For a test that cannot go on.
bail() {
	fail "$*"
	finish
}

finish() {
	[ $((eh_passed + eh_failed)) -gt 0 ] || fail "the test checked nothing"
	echo "result: $eh_passed ok, $eh_failed failed"
	[ "$eh_failed" -eq 0 ]
	exit
}

# wait_until SECONDS COMMAND...: polls; false if the command has not succeeded by then.
wait_until() {
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		[ "$SECONDS" -lt "$end" ] || return 1
		sleep 0.2
	done
}

# keep FILE...: takes files out of the emulated host, to the log directory of this run.
keep() {
	cp -r "$@" "$EMULATED_HOST/results/" 2>/dev/null || :
}

# --- the world outside ------------------------------------------------------

# outside REQUEST...: asks the world outside (outside.sh) and prints its answer.
outside() {
	local port=/dev/virtio-ports/org.vmrun.outside entry channel answer
	if [ ! -e "$port" ]; then
		for entry in /sys/class/virtio-ports/*; do
			[ "$(cat "$entry/name" 2>/dev/null)" = org.vmrun.outside ] && port=/dev/${entry##*/}
		done
	fi
	exec {channel}<>"$port"
	echo "$*" >&"$channel"
	read -r -t 60 answer <&"$channel" && echo "$answer"
	exec {channel}<&-
}

# cut_power: this boot ends here; the script starts again with EMULATED_HOST_BOOT one higher.
cut_power() {
	outside power-cut
	bail "the power was not cut"
}

# --- PCI --------------------------------------------------------------------

pci_driver() {
	local link
	link=$(readlink "/sys/bus/pci/devices/$1/driver") || { echo none; return; }
	echo "${link##*/}"
}

# pci_snapshot FILE: one line for every value of every function that a session
# may change.  Two processes for the whole bus: starting one is slow here.
pci_snapshot() {
	(
		cd /sys/bus/pci/devices || exit
		find ./*/ -maxdepth 1 -name driver -printf '%p %l\n' | sed 's| .*/| |'
		grep -H '' ./*/driver_override ./*/power/control ./*/d3cold_allowed \
			./*/reset_method 2>/dev/null | sed 's/:/ /3; t; s/:/ /'
	) | sed 's|^\./||; s|/| |' | sort >"$1"
}

# assert_same_snapshot BEFORE AFTER
assert_same_snapshot() {
	local difference
	if difference=$(diff -U0 "$1" "$2"); then
		ok "all $(cut -d' ' -f1 "$1" | sort -u | wc -l) PCI functions are as before"
	else
		fail "PCI functions differ from before:"
		grep -E '^[-+][0-9a-f]' <<<"$difference"
	fi
}

# card_functions [N]: the functions in the slot of the Nth card under test (the
# Nth display that is not the boot display), one address per line.
card_functions() {
	local wanted=${1:-1} seen=0 device class boot
	for device in /sys/bus/pci/devices/*; do
		read -r class <"$device/class"
		boot=0
		[ ! -e "$device/boot_vga" ] || read -r boot <"$device/boot_vga"
		[[ $class == 0x03* && $boot = 0 ]] || continue
		seen=$((seen + 1))
		[ "$seen" -eq "$wanted" ] || continue
		printf '%s\n' "${device%.*}".* | sed 's|.*/||'
	done
}

# card_address [N]: the display function itself.
card_address() {
	card_functions "${1:-1}" | head -n 1
}

group_of() {
	local link
	link=$(readlink "/sys/bus/pci/devices/$1/iommu_group") && echo "${link##*/}"
}

# group_is_free N: nobody has the VFIO group open.  Opening it is the kernel's own answer.
group_is_free() {
	[ ! -e "/dev/vfio/$1" ] || { : <>"/dev/vfio/$1"; } 2>/dev/null
}

# move_to ADDRESS DRIVER: override, unbind, bind, verify.
move_to() {
	local device=/sys/bus/pci/devices/$1
	echo "$2" >"$device/driver_override"
	[ ! -e "$device/driver" ] || echo "$1" >"$device/driver/unbind"
	echo "$1" >"/sys/bus/pci/drivers/$2/bind"
	[ "$(pci_driver "$1")" = "$2" ]
}

# --- guests -----------------------------------------------------------------

# guest_disk report|stay NAME: a private copy of the guest's disk where libvirt
# keeps its images; prints its path.
guest_disk() {
	local path=/var/lib/libvirt/images/$2.img
	cp "$EMULATED_HOST_GUEST/$1.img" "$path" && echo "$path"
}

# guest_report SERIAL_LOG [WORD]: the facts that the guest reported, or those
# whose name is WORD without the name.  A log that holds several boots: the last one.
guest_report() {
	tr -d '\r' <"$1" | sed -n 's/^.*GUEST /GUEST /p' |
		awk '/^GUEST begin/ { n = 0 } { lines[n++] = $0 } END { for (i = 0; i < n; i++) print lines[i] }' |
		sed -n "s/^GUEST ${2:+$2 }//p"
}

guest_has_ended() {
	[ -r "$1" ] && [ -n "$(guest_report "$1" | grep -x end)" ]
}

# guest_is_waiting SERIAL_LOG: a guest with vmrun.stay is up and listens to its power button.
guest_is_waiting() {
	[ -r "$1" ] && [ -n "$(guest_report "$1" | grep -x waiting)" ]
}

# guest_functions SERIAL_LOG VENDOR:DEVICE: guest addresses of functions with these ids.
guest_functions() {
	guest_report "$1" pci | awk -v id="$2" '$2 == id { print $1 }'
}

# assert_guest_card SERIAL_LOG ID...: a function of each of these ids sits in one slot of the guest, the first as function 0.
assert_guest_card() {
	local log=$1 first slot id missing=''
	shift
	first=$(guest_functions "$log" "$1" | grep -v '^0000:00:' | head -n 1)
	slot=${first%.*}
	for id in "$@"; do
		guest_functions "$log" "$id" | grep -q "^$slot\." || missing+=" $id"
	done
	if [ -n "$slot" ] && [ -z "$missing" ] && [ "${first##*.}" = 0 ]; then
		ok "the guest sees the card's $# functions in the slot $slot"
	else
		fail "the guest's card at '$first': not in its slot:$missing"
	fi
}

# assert_guest_kvm SERIAL_LOG hidden|visible
assert_guest_kvm() {
	local line
	line=$(guest_report "$1" kvm)
	equal "KVM in the guest ($line)" "$2" "${line%% *}"
}

# qemu_is_gone NAME: no QEMU process of that domain.
qemu_is_gone() {
	! pgrep -f "^[^ ]*qemu-system-x86_64 -name guest=$1," >/dev/null
}

# keep_capabilities [DIRECTORY]: libvirt's cached answers of QEMU, for the next boot.
keep_capabilities() {
	local source=${1:-/var/cache/libvirt/qemu/capabilities}
	[ -n "$(ls "$source" 2>/dev/null)" ] || return 0
	mkdir -p "$EMULATED_HOST/capabilities.new"
	cp -p "$source"/*.xml "$EMULATED_HOST/capabilities.new/"
}
