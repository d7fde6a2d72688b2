#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Texts that others have a hand in: no escape sequence of theirs reaches the terminal.
. "$(dirname "$0")/tap"
escape=$'\033[31m'
function_at 0000:00:02.0 030000 8086 4680 i915 0 1
function_at 0000:01:00.0 030000 10de 2484 "no${escape}uveau" 13 0
file /etc/machine-id 0123456789abcdef0123456789abcdef
file /etc/vmrun/profiles/gaming.conf '[gpu]' 'device=0000:01:00.0'
file /etc/vmrun/profiles/broken.conf "[profile${escape}]" "description=${escape}"
mkdir -p "$tree/sys/bus/pci/devices/0000:01:00.0/drm/card1" "$tree/proc/812/fd" "$tree/proc/812/task"
file /sys/bus/pci/devices/0000:01:00.0/drm/card1/dev 226:1
file /proc/812/comm "Xorg$escape"
file /proc/812/cgroup "0::/system.slice/gdm${escape}.service"
ln -s /dev/dri/card1 "$tree/proc/812/fd/7"
file /run/vmrun/old.status '[status]' state=running since=1790000000 "domain=d$escape" "devices=e$escape;" "message=m$escape" qemu-pid=1 qemu-start-time=1
file /var/lib/vmrun/journal/old.conf "torn$escape"

# quiet_escapes WORDS...: everything that it prints, on both streams, is without control characters.
quiet_escapes() {
	ask "$@"
	equal "$*: nothing but text" 0 "$(tr -d '\n' <<<"$output" | LC_ALL=C grep -c '[[:cntrl:]]')"
}

for words in gpus topology doctor 'doctor gaming' 'plan gaming' 'xml gaming' 'show gaming' 'show broken' list status 'status old' \
	'status broken' 'who 01:00.0' 'who auto' 'restore --dry-run' 'restore old --dry-run' "no$escape" "help $escape" "gpus --$escape"; do
	for option in --color=never --verbose --json; do
		# shellcheck disable=SC2086
		quiet_escapes $words "$option"
	done
done
contains 'the profile with mistakes is told by its name' "$("$VMRUN" --root "$tree" list)" 'vmrun show broken'
finish
