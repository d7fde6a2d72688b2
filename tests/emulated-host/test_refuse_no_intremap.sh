#!/bin/bash
# An IOMMU that cannot remap interrupts is refused: the guest could forge them.
# machine: no-intremap
# init: shell
# deadline: 120
. "$EMULATED_HOST_LIB"
. "${EMULATED_HOST_LIB%/*}/vmrun_lib.sh"
install_vmrun
disk=$(guest_disk report guest)
hypervisor=embedded profile gaming '[gpu]' "device=$(card_address)"
pci_snapshot "$eh_work/before"

run_vmrun gaming --foreground --color=never
equal 'the host is not ready' 6 "$status"
contains 'the reason is a finding' "$(vmrun plan gaming --json)" '"id" : "interrupt-remapping"'
status_of vmrun doctor gaming
equal 'doctor ends with the same status' 6 "$status"
run_vmrun gpus
pci_snapshot "$eh_work/after"
assert_same_snapshot "$eh_work/before" "$eh_work/after"
check 'nothing is on record' test ! -e /var/lib/vmrun/journal/gaming.conf
finish
