#!/bin/bash
# A card with display, sound, USB controller and a fourth function; KVM shown to the guest because the profile says so.
# machine: four-functions
# init: shell
# deadline: 300
. "$EMULATED_HOST_LIB"
. "${EMULATED_HOST_LIB%/*}/vmrun_lib.sh"
install_vmrun
disk=$(guest_disk report guest)
hypervisor=embedded profile gaming '[gpu]' 'device=auto' 'hide-hypervisor=no'
pci_snapshot "$eh_work/before"

run_vmrun gaming --foreground --color=never
equal 'exit status' 0 "$status"
assert_guest gaming $DISPLAY_ID $AUDIO_ID $USB_ID $NIC_ID
assert_guest_kvm "$(serial_log gaming)" visible
pci_snapshot "$eh_work/after"
assert_same_snapshot "$eh_work/before" "$eh_work/after"
finish
