#!/bin/bash
# All cards of the computer at once, as for training.
# machine: two-cards
# init: shell
# deadline: 300
. "$EMULATED_HOST_LIB"
. "${EMULATED_HOST_LIB%/*}/vmrun_lib.sh"
install_vmrun
disk=$(guest_disk report guest)
hypervisor=embedded profile llm-train '[gpu]' 'device=all'
pci_snapshot "$eh_work/before"

run_vmrun llm-train --foreground --color=never
equal 'exit status' 0 "$status"
log=$(serial_log llm-train)
assert_guest llm-train $DISPLAY_ID $AUDIO_ID
equal 'displays in the guest' 2 "$(guest_functions "$log" $DISPLAY_ID | wc -l)"
equal 'sound functions in the guest' 2 "$(guest_functions "$log" $AUDIO_ID | wc -l)"
equal 'slots of the two cards' 2 "$(guest_functions "$log" $DISPLAY_ID | sed 's/\..*//' | sort -u | wc -l)"
pci_snapshot "$eh_work/after"
assert_same_snapshot "$eh_work/before" "$eh_work/after"
finish
