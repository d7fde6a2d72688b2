#!/bin/bash
# A guest that stays up must power off when its power button is pressed.
# Needs --init systemd (libvirtd).
. "$EMULATED_HOST_LIB"
. "$(dirname "$0")/domain.sh"

log=$eh_work/serial.log
: >"$log"
chmod 666 "$log"
domain_xml selftest "$(guest_disk stay selftest)" "$log" >"$eh_work/domain.xml"
note "starting"
virsh -q create "$eh_work/domain.xml" || bail "virsh create failed"
wait_until 200 guest_is_waiting "$log" || { cat "$log"; bail "the guest did not come up"; }
note "the guest is up"
# Two seconds of life prove that it does not power off by itself.
if wait_until 2 qemu_is_gone selftest; then fail "it did not stay"; else ok "it stays up"; fi
virsh -q shutdown selftest --mode acpi
wait_until 30 qemu_is_gone selftest
check "it powered off at its button" qemu_is_gone selftest
contains "it saw the button" "$(guest_report "$log")" "^power button"
note "off"

# Direct boot of the same guest, without a disk.
sed "s|<boot dev='hd'/>|<kernel>$EMULATED_HOST_GUEST/vmlinuz</kernel><initrd>$EMULATED_HOST_GUEST/initrd</initrd><cmdline>$(cat "$EMULATED_HOST_GUEST/cmdline")</cmdline>|" \
	"$eh_work/domain.xml" | sed '/<disk /,/<\/disk>/d' >"$eh_work/direct.xml"
: >"$log"
virsh -q create "$eh_work/direct.xml" || bail "virsh create (direct boot) failed"
wait_until 200 guest_has_ended "$log"
check "direct boot reports, too" guest_has_ended "$log"
equal "direct boot by UEFI" yes "$(guest_report "$log" uefi)"
note "done"
finish
