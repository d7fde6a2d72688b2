#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What doctor and who say about a small computer, and the exit statuses that go with it.
. "$(dirname "$0")/tap"
desktop

# The rest of a computer that can give a card away.
furnish() {
	file /sys/class/dmi/id/sys_vendor ACME
	file /sys/class/dmi/id/product_name B-450
	file /sys/class/dmi/id/bios_version 4021
	file /sys/class/dmi/id/bios_date 08/10/2021
	mkdir -p "$tree/sys/firmware/efi/efivars" "$tree/sys/module/vfio_pci/parameters" "$tree/run/libvirt"
	file /sys/module/vfio_pci/initstate live
	file /proc/modules 'vfio_pci 16384 0 - Live 0x0000000000000000'
	file /proc/cpuinfo 'processor : 0' 'vendor_id : GenuineIntel' 'model name : Intel Core' 'flags : fpu vmx' '' \
		'processor : 1' 'vendor_id : GenuineIntel' 'model name : Intel Core' 'flags : fpu vmx'
	file /sys/devices/system/cpu/online 0-1
	file /sys/devices/system/cpu/present 0-1
	mkdir -p "$tree/sys/devices/system/cpu/cpu0/topology" "$tree/sys/devices/system/cpu/cpu1/topology"
	file /proc/meminfo 'MemTotal:       16384000 kB' 'MemFree: 1 kB' 'MemAvailable:   12288000 kB'
	file /usr/bin/qemu-system-x86_64 x
	chmod 755 "$tree/usr/bin/qemu-system-x86_64"
	file /dev/kvm x
	chmod 666 "$tree/dev/kvm"
	file /usr/share/OVMF/OVMF_CODE.fd x
	file /usr/share/qemu/firmware/60-edk2-x86_64.json '{"interface-types":["uefi"],"mapping":{"device":"flash",' \
		'"executable":{"filename":"/usr/share/OVMF/OVMF_CODE.fd","format":"raw"}},' \
		'"targets":[{"architecture":"x86_64","machines":["pc-q35-*"]}],"features":["acpi-s3"],"tags":[]}'
}

# Is the JSON what it promises? Says whether it is ready, and the blockers.
said() {
	python3 -c 'import json,sys
d=json.load(sys.stdin)
assert d["schema"] == 1 and d["kind"] == "doctor" and isinstance(d["ready"], bool)
for f in d["findings"]:
    assert list(f) == ["id","severity","subject","message","evidence","advice"], f
    assert f["severity"] in ("ok","info","warning","unknown","blocker") and f["message"] and isinstance(f["evidence"], str), f
    assert f["severity"] != "blocker" or f["advice"], f
print("ready" if d["ready"] else "not ready", *sorted(f["id"] for f in d["findings"] if f["severity"] == "blocker"))' <<<"$output"
}

ask doctor
equal 'an unfurnished computer is not ready' 6 "$status"
contains 'it says what to do, numbered' "$output" '^ 1  '
contains 'it counts the problems' "$output" '^[0-9]+ problems, .*Nothing was changed\.$'
contains 'QEMU is missing' "$output" 'blocker +QEMU +QEMU is not installed'
ask doctor --json
equal 'so says the JSON' 6 "$status"
contains 'and names the blockers' "$(said)" '^not ready .*guest-firmware.*kvm.*qemu'

furnish
ask doctor
equal 'a furnished one is' 0 "$status"
contains 'and that is the last line' "$(tail -n 1 <<<"$output")" '^Ready\.'
contains 'the computer is named' "$(head -n 1 <<<"$output")" 'ACME B-450, BIOS 4021, Intel Core, kernel 6\.1\.0-0-amd64'
ask doctor --json
equal 'without blockers' 'ready' "$(said)"
ask doctor --quiet
contains 'quiet leaves out what is fine' "$(grep -c ' ok  ' <<<"$output")" '^0$'
ask doctor --verbose
contains 'verbose shows what was read' "$output" 'seen: /proc/meminfo'
before=$(cd "$tree" && find . | sort | md5sum)
ask doctor
equal 'nothing is written' "$before" "$(cd "$tree" && find . | sort | md5sum)"

# A start would end with 7, and so do doctor and plan.
file /etc/vmrun/profiles/gaming.conf '[gpu]' 'device=0000:01:00.0' '[machine]' 'memory=1G'
ask doctor gaming
equal 'the computer is ready for a profile' 0 "$status"
file /run/vmrun/other.status '[status]' state=running since=1790000000 domain= 'devices=0000:01:00.0;' message= qemu-pid=1 qemu-start-time=1
file /var/lib/vmrun/journal/other.conf torn
for command in doctor plan 'run --dry-run'; do
	# shellcheck disable=SC2086
	ask $command gaming
	equal "$command of a card that another session has" 7 "$status"
	contains 'names that session' "$output" "session of 'other'"
done
rm -r "$tree/run/vmrun" "$tree/var/lib/vmrun"

file /proc/cmdline 'BOOT_IMAGE=/vmlinuz intel_iommu=off'
rm -r "$tree/sys/class/iommu" "$tree"/sys/bus/pci/devices/*/iommu_group "$tree/sys/kernel/iommu_groups"
ask doctor
equal 'without an IOMMU it is not' 6 "$status"
contains 'Intel users look for VT-d' "$output" 'Intel VT-d'
file /sys/firmware/acpi/tables/DMAR x
ask doctor
contains 'a kernel that was told not to is told apart' "$output" 'remove intel_iommu=off'

ask who 01:00.0
equal 'nobody holds the card' 0 "$status"
contains 'and that is said' "$output" '^Nobody holds 0000:01:00\.0'
mkdir -p "$tree/sys/bus/pci/devices/0000:01:00.0/drm/card1" "$tree/proc/812/fd" "$tree/proc/812/task"
file /sys/bus/pci/devices/0000:01:00.0/drm/card1/dev 226:1
file /proc/812/comm $'Xorg\033[2J'
file /proc/812/cgroup 0::/system.slice/gdm.service
ln -s /dev/dri/card1 "$tree/proc/812/fd/7"
for word in 01:00.0 0000:01:00.1 10de:2484; do
	ask who "$word"
	contains "who $word names the holder" "$output" '^0000:01:00\.0 +812 +Xorg.* gdm\.service +/dev/dri/card1$'
done
contains 'control characters do not reach the terminal' "$(grep -c $'\033' <<<"$output")" '^0$'
ask who --json 01:00.0
equal 'who --json' '0000:01:00.0 812 gdm.service /dev/dri/card1 0' \
	"$(python3 -c 'import json,sys; d=json.load(sys.stdin); h=d["holders"][0]; print(d["gpu"], h["pid"], h["unit"], h["node"], d["unreadable_processes"])' <<<"$output")"
ask who 09:00.0
equal 'no such card' 2 "$status"
contains 'those there are' "$output" '0000:01:00\.0'
ask who '../../etc/passwd'
equal 'a hostile word is no card' 2 "$status"
finish
