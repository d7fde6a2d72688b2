#!/bin/bash
# Without an IOMMU nothing is started, and the advice says what to switch on.
# machine: no-iommu
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
contains 'the reason is a finding' "$(vmrun plan gaming --json)" '"id" : "iommu-enabled"'
status_of vmrun doctor gaming
equal 'doctor ends with the same status' 6 "$status"
status_of vmrun run gaming --foreground --json
equal 'so does run with --json' 6 "$status"
contains 'in one document with the findings' "$(tr -d '\n' <<<"$output")" '^\{.*"kind" : "error".*"code" : 6,.*"id" : "iommu-enabled"'
status_of vmrun stop gaming --json
equal 'nothing is there to stop' 0 "$status"
contains 'and the document says so' "$(tr -d '\n' <<<"$output")" '"kind" : "stop".*"state" : "stopped"'
run_vmrun gpus
pci_snapshot "$eh_work/after"
assert_same_snapshot "$eh_work/before" "$eh_work/after"
check 'nothing is on record' test ! -e /var/lib/vmrun/journal/gaming.conf
finish
