#!/bin/bash
# What changed on a computer since a profile last started well, and how a person agrees to it.
. "$(dirname "$0")/tap"
desktop
file /etc/vmrun/profiles/gaming.conf '[profile]' 'guest=linux' '[gpu]' 'device=0000:01:00.0'
record=$tree/var/lib/vmrun/fingerprint/gaming.conf
drop_in=$tree/etc/vmrun/profiles/gaming.conf.d/50-hardware.conf

# move_function FROM TO: the firmware gives it another address; what was at TO goes away.
move_function() {
	local group
	group=$(basename "$(readlink "$tree/sys/bus/pci/devices/$1/iommu_group")")
	rm "$tree/sys/kernel/iommu_groups/$group/devices/$1"
	mv "$tree/sys/bus/pci/devices/$1" "$tree/sys/bus/pci/devices/$2"
	ln -s "../../../../bus/pci/devices/$2" "$tree/sys/kernel/iommu_groups/$group/devices/$2"
}

ask changes
equal 'a profile that never started has nothing to compare with' 0 "$status"
contains 'and that is said' "$output" 'never started well'
ask changes --accept
equal 'of which profile?' 2 "$status"
ask changes nothere
equal 'no such profile' 10 "$status"

if [ "$(id -u)" -eq 0 ]; then
	ask changes gaming --accept
	equal 'what is now can be put on record' 0 "$status"
	equal 'without a drop-in' no "$([ -e "$drop_in" ] && echo yes || echo no)"
	equal 'it tells nothing but what sysfs tells' 644 "$(stat -c %a "$record")"
	ask changes gaming
	equal 'nothing changed' 0 "$status"
	contains 'and that is said, too' "$output" 'nothing changed'

	file /sys/class/dmi/id/bios_version 2208
	ask changes gaming --accept
	file /sys/class/dmi/id/bios_version 2210
	ask changes gaming
	equal 'a new BIOS alone is a notice' 0 "$status"
	contains 'with both versions' "$output" 'BIOS: 2208 -> 2210'

	move_function 0000:01:00.0 0000:03:00.0
	move_function 0000:01:00.1 0000:03:00.1
	function_at 0000:01:00.0 010802 144d a808 nvme 14
	cp -r "$tree/etc" "$tree.before"
	ask changes gaming
	equal 'a card that moved needs a person' 11 "$status"
	contains 'from where to where' "$output" '0000:01:00\.0 -> 0000:03:00\.0'
	contains 'what is at the old address' "$output" 'at 0000:01:00\.0 is now .*144d:a808'
	ask changes --json
	contains 'programs are told' "$output" '"needs_consent" : true'
	ask plan gaming
	contains 'a plan says so' "$output" 'another address than when this profile last started well'
	equal 'looking changed nothing' '' "$(diff -r "$tree/etc" "$tree.before")"

	ask changes gaming --accept
	equal 'agreed' 0 "$status"
	contains 'the drop-in names the new place' "$(cat "$drop_in")" '^device=0000:03:00\.0$'
	equal 'the profile was not touched' '' "$(diff "$tree/etc/vmrun/profiles/gaming.conf" "$tree.before/vmrun/profiles/gaming.conf")"
	ask show gaming --origin
	contains 'the profile now means the new place' "$output" '50-hardware\.conf:[0-9]+: \[gpu\] device=0000:03:00\.0'
	ask changes gaming
	equal 'and nothing is left to agree to' 0 "$status"

	function_at 0000:03:00.2 020000 8086 15b7 e1000e 13
	ask changes gaming
	equal 'a new member of its group needs a person' 11 "$status"
	contains 'the members are shown' "$output" 'IOMMU group: 10de:228b 10de:2484 -> 10de:228b 10de:2484 8086:15b7'
	rm -r "$tree/sys/bus/pci/devices/0000:03:00.2" "$tree/sys/kernel/iommu_groups/13/devices/0000:03:00.2"
	function_at 0000:04:00.0 020000 8086 15b7 e1000e 13
	ask changes gaming --accept
	equal 'a stranger in its group is not accepted' 11 "$status"
	contains 'with the reason' "$output" 'shares|group'

	rm "$tree/sys/bus/pci/devices/0000:04:00.0" -r "$tree/sys/kernel/iommu_groups/13/devices/0000:04:00.0"
	move_function 0000:03:00.0 0000:05:00.0
	mkdir -p "$tree/sys/bus/pci/devices"
	function_at 0000:06:00.0 030000 10de 2484 nouveau 16 0
	ask changes gaming --accept
	equal 'two cards like it: nobody can know' 11 "$status"
	equal 'the drop-in is as it was' 'device=0000:03:00.0' "$(grep ^device "$drop_in")"

	echo garbage >"$record"
	ask changes gaming
	contains 'a record that cannot be believed counts as none' "$output" 'never started well|nothing to compare'
	rm -rf "$tree.before"
fi
finish
