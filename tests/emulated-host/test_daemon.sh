#!/bin/bash
# Programs that hold the card: a daemon that the profile names is stopped before and started after; any other is named and refused.
# machine: card
# init: systemd
# deadline: 300
. "$EMULATED_HOST_LIB"
. "${EMULATED_HOST_LIB%/*}/vmrun_lib.sh"
install_vmrun
disk=$(guest_disk report guest)
card=$(card_address)
node=$(basename "$(echo /sys/bus/pci/devices/"$card"/drm/card*)")
cat >/run/systemd/system/card-holder.service <<END
[Service]
ExecStart=/bin/sleep infinity
StandardInput=file:/dev/dri/$node
END
systemctl daemon-reload
systemctl start card-holder.service
holder=$(systemctl show -P MainPID card-holder.service)
profile gaming '[gpu]' 'device=auto'
pci_snapshot "$eh_work/before"

run_vmrun who "$card"
contains 'who names the process' "$output" "$holder"
contains 'who names the node' "$output" "/dev/dri/$node"

run_vmrun gaming --foreground --color=never
equal 'a held card is busy' 7 "$status"
contains 'the holder is named' "$output" "sleep"
contains 'its process is named' "$output" "$holder"
contains 'its unit is named' "$output" 'card-holder.service'
pci_snapshot "$eh_work/refused"
assert_same_snapshot "$eh_work/before" "$eh_work/refused"
check 'nothing is on record' test ! -e /var/lib/vmrun/journal/gaming.conf

profile gaming '[gpu]' 'device=auto' '[session]' 'stop-units=card-holder.service'
run_vmrun gaming --foreground --color=never
equal 'exit status with the daemon in stop-units' 0 "$status"
assert_guest gaming $DISPLAY_ID $AUDIO_ID
equal 'the daemon runs again' active "$(systemctl is-active card-holder.service)"
check 'it is another process' test "$holder" != "$(systemctl show -P MainPID card-holder.service)"
pci_snapshot "$eh_work/after"
assert_same_snapshot "$eh_work/before" "$eh_work/after"
finish
