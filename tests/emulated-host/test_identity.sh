#!/bin/bash
# Two cycles in a row: the guest sees the same machine, also when it boots a kernel directly the second time.
# machine: card
# init: shell
# deadline: 360
. "$EMULATED_HOST_LIB"
. "${EMULATED_HOST_LIB%/*}/vmrun_lib.sh"
install_vmrun
disk=$(guest_disk report guest)
hypervisor=embedded profile gaming '[gpu]' 'device=auto'
log=$(serial_log gaming)
pci_snapshot "$eh_work/before"

run_vmrun gaming --foreground --color=never
equal 'exit status of the first cycle' 0 "$status"
assert_guest gaming $DISPLAY_ID $AUDIO_ID
first="$(guest_report "$log" uuid) $(guest_report "$log" mac)"
nvram=$(cd /var/lib/vmrun/nvram && stat -c '%n %i' ./*)

cp "$EMULATED_HOST_GUEST/vmlinuz" "$EMULATED_HOST_GUEST/initrd" /var/lib/libvirt/images/
hypervisor=embedded profile gaming '[gpu]' 'device=auto' '[boot]' 'kernel=/var/lib/libvirt/images/vmlinuz' \
	'initrd=/var/lib/libvirt/images/initrd' "cmdline=$(sed '/^#/d' "${EMULATED_HOST_LIB%/*}/guest/cmdline" | paste -sd ' ')"
run_vmrun gaming --foreground --color=never
equal 'exit status of the second cycle' 0 "$status"
assert_guest gaming $DISPLAY_ID $AUDIO_ID
equal 'UUID and MAC in the second cycle' "$first" "$(guest_report "$log" uuid) $(guest_report "$log" mac)"
equal 'the firmware variables are the same file' "$nvram" "$(cd /var/lib/vmrun/nvram && stat -c '%n %i' ./*)"
pci_snapshot "$eh_work/after"
assert_same_snapshot "$eh_work/before" "$eh_work/after"
finish
