#!/bin/bash
# What the unit tests believe of the kernel, asked of a real one, on every function of a card.
# machine: four-functions
# init: shell
# deadline: 240
. "$EMULATED_HOST_LIB"
modprobe vfio-pci
contract=${CONTRACT:-build/normal/tests/contract/binding_contract}
pci_snapshot "$eh_work/before"
for address in $(card_functions); do
	driver=$(pci_driver "$address")
	note "$address on $driver"
	[ "$driver" != none ] || continue
	VMRUN_TEST_ROOT=/ VMRUN_TEST_DEVICE=$address VMRUN_TEST_DRIVER=$driver \
		"$contract" --tap >"$eh_work/$address" 2>&1
	equal "$address: the contract holds on $driver" 0 $?
	grep -E '^not ok|ERROR' "$eh_work/$address"
	check "$address: it was asked everything" grep -q '^ok 7 ' "$eh_work/$address"
done
pci_snapshot "$eh_work/after"
assert_same_snapshot "$eh_work/before" "$eh_work/after"
finish
