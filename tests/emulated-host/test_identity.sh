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

note 'the same computer, remembered as one whose card was at another address under another BIOS'
record=/var/lib/vmrun/fingerprint/gaming.conf
run_vmrun changes gaming
equal 'nothing changed since the first cycle' 0 "$status"
contains 'and that is said' "$output" 'nothing changed'
sed -i -e 's/^address=.*/address=0000:0f:00.0/' -e 's|^port=.*|port=0000:00/1e.0/00.0|' -e 's/^bios=.*/bios=an older one/' "$record"
run_vmrun gaming --foreground --color=never
equal 'a card that moved is not taken' 11 "$status"
contains 'the way out is named' "$output" 'vmrun changes gaming --accept'
pci_snapshot "$eh_work/refused"
assert_same_snapshot "$eh_work/before" "$eh_work/refused"
run_vmrun changes gaming
contains 'both places are shown' "$output" "0000:0f:00\.0 -> $(card_address)"
contains 'the BIOS, too' "$output" 'BIOS: an older one -> '
run_vmrun changes gaming --accept
equal 'agreed' 0 "$status"

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
