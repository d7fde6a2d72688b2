#!/bin/bash
# The whole session with libvirt's embedded driver: no daemon runs.
# machine: card
# init: shell
# deadline: 300
. "$EMULATED_HOST_LIB"
. "${EMULATED_HOST_LIB%/*}/vmrun_lib.sh"
install_vmrun
disk=$(guest_disk report guest)
hypervisor=embedded profile gaming '[gpu]' 'device=auto'
pci_snapshot "$eh_work/before"

run_vmrun gaming --foreground --color=never
equal 'exit status of a guest that powered off by itself' 0 "$status"
assert_guest gaming $DISPLAY_ID $AUDIO_ID
assert_guest_kvm "$(serial_log gaming)" hidden
check 'QEMU is gone' qemu_is_gone gaming
check 'no journal is left' test ! -e /var/lib/vmrun/journal/gaming.conf
check 'the closed journal is kept' test -n "$(ls /var/lib/vmrun/journal/done)"
check 'no libvirtd ran' test -z "$(pgrep -x libvirtd)"
check 'the profile is stopped' state_is gaming stopped
pci_snapshot "$eh_work/after"
assert_same_snapshot "$eh_work/before" "$eh_work/after"
run_vmrun restore
equal 'there is nothing left to restore' 0 "$status"
finish
