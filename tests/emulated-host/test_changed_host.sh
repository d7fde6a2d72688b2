#!/bin/bash
# The host changes under a session: vfio-pci claims the card by its module option, a host module is unloaded meanwhile.
# machine: card
# init: shell
# deadline: 600
. "$EMULATED_HOST_LIB"
. "${EMULATED_HOST_LIB%/*}/vmrun_lib.sh"
. "${EMULATED_HOST_LIB%/*}/case_lib.sh"
install_vmrun
virtlogd -d
libvirtd -d
disk=$(guest_disk stay guest)
profile gaming '[gpu]' 'device=auto'
mapfile -t functions < <(card_functions)
card=${functions[0]} sound=${functions[1]}
pci_snapshot "$eh_work/before"
ids_cases=2 module_cases=2

start_and_stop() {
	start_in_background gaming
	wait_for_state gaming running 200
	[ $# -eq 0 ] || "$@"
	run_vmrun stop gaming --force --timeout 1
	equal 'stop' 0 "$status"
	end_of_supervisor
}

# --- vfio-pci ids= -------------------------------------------------------------

# The option says that the card is vfio-pci's, but host drivers were there first, as on a computer whose initrd has them.
ids_on_host_driver() {
	start_and_stop
	host_is_as_before
}

# The option had its way at boot: on vfio-pci before, with no override, and on vfio-pci afterwards.
ids_on_vfio() {
	local address driver
	for address in "${functions[@]}"; do
		driver=$(pci_driver "$address")
		echo "$address" >"/sys/bus/pci/drivers/$driver/unbind"
		echo "$address" >/sys/bus/pci/drivers/vfio-pci/bind
		equal "$address by its id" vfio-pci "$(pci_driver "$address")"
	done
	pci_snapshot "$eh_work/claimed"
	start_and_stop
	host_is_as_before "$eh_work/claimed"
	for address in "${functions[@]}"; do
		echo "$address" >/sys/bus/pci/drivers/vfio-pci/unbind
		echo "$address" >"/sys/bus/pci/drivers/$(sed -n "s/^$address driver //p" "$eh_work/before")/bind"
	done
	host_is_as_before
}

# --- host modules ----------------------------------------------------------------

unload() {
	rmmod "$@"
	equal "unloading $*" 0 $?
}

sound_module_unloaded() {
	start_and_stop unload snd_hda_intel
	host_is_as_before
}

both_modules_unloaded() {
	local module
	module=$(basename "$(readlink "/sys/bus/pci/drivers/$(sed -n "s/^$card driver //p" "$eh_work/before")/module")")
	start_and_stop unload snd_hda_intel "$module"
	host_is_as_before
}

ids=$(for address in "${functions[@]}"; do sed 's/0x//' "/sys/bus/pci/devices/$address"/{vendor,device} | paste -sd :; done | paste -sd ,)
echo "options vfio-pci ids=$ids" >/etc/modprobe.d/vfio.conf
in_case ids ids_on_host_driver
in_case ids ids_on_vfio
suite ids $ids_cases
rm /etc/modprobe.d/vfio.conf
rmmod vfio-pci
in_case module-unloaded sound_module_unloaded
in_case module-unloaded both_modules_unloaded
suite module-unloaded $module_cases
finish
