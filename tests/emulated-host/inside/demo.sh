#!/bin/bash
# The demo's inner half: runs inside the emulated host, prints for a person.
# It writes a profile for the emulated card, runs the session, and shows what
# the guest saw and that every PCI function is as it was.
. "$EMULATED_HOST_LIB"

tree=$PWD
vmrun=${VMRUN:-$(command -v vmrun || echo "$tree/build/release/vmrun")}
profile=/etc/vmrun/profiles/gaming.conf
serial=$eh_work/serial.log

title() {
	printf '\n==> %s\n' "$*"
}

title "The card, before"
for address in $(card_functions); do
	echo "$address  $(pci_driver "$address")"
done
pci_snapshot "$eh_work/before"

mkdir -p "$(dirname "$profile")"
disk=$(guest_disk report gaming)
cat >"$profile" <<END
[profile]
description=A guest that reports what it sees and powers off
guest=linux

[machine]
cpus=1
memory=512M

[gpu]
device=$(card_address)

[disk system]
path=$disk
format=raw
read-only=no

[network lan]
mode=none
END
chmod 644 "$profile"

title "vmrun gaming"
status=0
"$vmrun" --foreground gaming || status=$?

title "What the guest said on its serial port"
for log in "$serial" /var/log/vmrun/gaming*.log /var/lib/vmrun/log/gaming*.log /run/vmrun/gaming*.log; do
	[ -s "$log" ] && guest_report "$log" && break
done

title "The card, afterwards"
for address in $(card_functions); do
	echo "$address  $(pci_driver "$address")"
done
pci_snapshot "$eh_work/after"
assert_same_snapshot "$eh_work/before" "$eh_work/after"
equal "status of vmrun" 0 "$status"
finish
