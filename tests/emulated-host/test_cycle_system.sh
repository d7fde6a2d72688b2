#!/bin/bash
# The whole session with libvirtd under systemd, a card and an NVMe controller; afterwards an ordinary domain of the same daemon, which moves the card itself,
# still gives it back: vmrun left nothing in libvirtd's memory.
# machine: card
# init: systemd
# deadline: 360
. "$EMULATED_HOST_LIB"
. "${EMULATED_HOST_LIB%/*}/vmrun_lib.sh"
install_vmrun
disk=$(guest_disk report guest)
nvme=$(basename "$(dirname "$(grep -l 0x010802 /sys/bus/pci/devices/*/class)")")
profile gaming '[gpu]' 'device=auto' '[pci disk]' "device=$nvme"
pci_snapshot "$eh_work/before"

run_vmrun gaming --foreground --color=never
equal 'exit status of a guest that powered off by itself' 0 "$status"
assert_guest gaming $DISPLAY_ID $AUDIO_ID
equal 'the NVMe controller of [pci disk] is in the guest' 1 "$(guest_functions "$(serial_log gaming)" 1b36:0010 | wc -l)"
assert_guest_kvm "$(serial_log gaming)" hidden
check 'QEMU is gone' qemu_is_gone gaming
check 'libvirtd knows no domain' test -z "$(virsh -c qemu:///system list --all --name)"
pci_snapshot "$eh_work/after"
assert_same_snapshot "$eh_work/before" "$eh_work/after"

note 'an ordinary domain of the same libvirtd'
vmrun xml gaming | sed 's|<name>gaming</name>|<name>ordinary</name>|; s|<uuid>.*</uuid>||' >"$eh_work/ordinary.xml"
status_of virsh -c qemu:///system create "$eh_work/ordinary.xml"
equal "libvirt starts an ordinary domain with the card" 0 "$status"
for address in $(card_functions); do
	equal "$address while the ordinary domain runs" vfio-pci "$(pci_driver "$address")"
done
status_of virsh -c qemu:///system destroy ordinary
equal 'the ordinary domain ends' 0 "$status"
pci_snapshot "$eh_work/ordinary"
for address in $(card_functions); do
	equal "$address after the ordinary domain" "$(sed -n "s/^$address driver //p" "$eh_work/before")" "$(pci_driver "$address")"
done
finish
