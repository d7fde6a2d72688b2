#!/bin/bash
# All cards of the computer at once, as for training, and the guest's memory in huge pages.
# machine: two-cards
# init: shell
# deadline: 300
. "$EMULATED_HOST_LIB"
. "${EMULATED_HOST_LIB%/*}/vmrun_lib.sh"
install_vmrun
disk=$(guest_disk report guest)
hypervisor=embedded profile llm-train '[gpu]' 'device=all'
mkdir /etc/vmrun/profiles/llm-train.conf.d
printf '[machine]\nhugepages=2M\n' >/etc/vmrun/profiles/llm-train.conf.d/memory.conf
pool=/proc/sys/vm/nr_hugepages
echo 3 >$pool
pci_snapshot "$eh_work/before"

run_vmrun llm-train --foreground --color=never
equal 'exit status' 0 "$status"
contains 'memory in huge pages was reserved' "$output" 'nr_hugepages'
equal 'huge pages that were there before, and no more' 3 "$(cat $pool)"
log=$(serial_log llm-train)
assert_guest llm-train $DISPLAY_ID $AUDIO_ID
equal 'displays in the guest' 2 "$(guest_functions "$log" $DISPLAY_ID | wc -l)"
equal 'sound functions in the guest' 2 "$(guest_functions "$log" $AUDIO_ID | wc -l)"
equal 'slots of the two cards' 2 "$(guest_functions "$log" $DISPLAY_ID | sed 's/\..*//' | sort -u | wc -l)"
pci_snapshot "$eh_work/after"
assert_same_snapshot "$eh_work/before" "$eh_work/after"
finish
