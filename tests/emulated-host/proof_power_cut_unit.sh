#!/bin/bash
# The power is cut while a unit of the host is stopped for the session, under systemd. At the next boot systemd starts it as always; the
# restore starts and stops nothing.
# machine: card
# init: systemd
# state: yes
# deadline: 600
. "$EMULATED_HOST_LIB"
. "${EMULATED_HOST_LIB%/*}/vmrun_lib.sh"
. "${EMULATED_HOST_LIB%/*}/cut_lib.sh"
install_vmrun
disk=$(guest_disk stay guest)
node=$(basename "$(echo /sys/bus/pci/devices/"$(card_address)"/drm/card*)")
printf '[Service]\nExecStart=/bin/sleep infinity\nStandardInput=file:/dev/dri/%s\n' "$node" >/run/systemd/system/card-holder.service
systemctl daemon-reload
systemctl start card-holder.service
profile gaming '[gpu]' 'device=auto' '[session]' 'stop-units=card-holder.service'
pci_snapshot "$eh_work/before"

if [ "$EMULATED_HOST_BOOT" = 1 ]; then
	start_and_wait || bail "not running: $(tail -n 5 "$eh_work/gaming.log")"
	equal 'the unit while the guest runs' inactive "$(systemctl is-active card-holder.service)"
	cut_power
fi
holder=$(systemctl show -P MainPID card-holder.service)
verify unit-stopped needs-restore 1
equal 'the unit and its process' "active $holder" "$(systemctl is-active card-holder.service) $(systemctl show -P MainPID card-holder.service)"
new_session
equal 'the unit after a new session' active "$(systemctl is-active card-holder.service)"
echo "suite: power-cut-unit cases=1 pass=$((eh_failed == 0)) fail=$((eh_failed > 0))"
finish
