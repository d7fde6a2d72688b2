#!/bin/bash
# A card that shares its IOMMU group with a network card of the host is refused, naming the neighbour.
# machine: shared-group
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
contains 'the reason is a finding' "$(vmrun plan gaming --json)" '"id" : "group-isolation"'
status_of vmrun doctor gaming
equal 'doctor ends with the same status' 6 "$status"
nic=$(grep -l 0x020000 /sys/bus/pci/devices/*/class | xargs -n1 dirname | xargs -n1 basename | while read -r a; do [ "$(group_of "$a")" = "$(group_of "$(card_address)")" ] && echo "$a"; done)
contains 'the neighbour is named' "$output" "$nic"
run_vmrun gpus
pci_snapshot "$eh_work/after"
assert_same_snapshot "$eh_work/before" "$eh_work/after"
check 'nothing is on record' test ! -e /var/lib/vmrun/journal/gaming.conf
finish
