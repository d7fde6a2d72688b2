#!/bin/bash
# The whole chain without vmrun: a domain written by hand takes the card
# (libvirt moves it), the guest reports and powers off, libvirt gives it back.
# argv: system|embedded
. "$EMULATED_HOST_LIB"
. "$(dirname "$0")/domain.sh"

driver=${1:-embedded}
log=$eh_work/serial.log
mapfile -t functions < <(card_functions)
note "card: ${functions[*]}"
pci_snapshot "$eh_work/before"
disk=$(guest_disk report selftest)
: >"$log"
chmod 666 "$log"
modprobe vfio-pci
domain_xml selftest "$disk" "$log" "${functions[@]}" >"$eh_work/domain.xml"

note "starting the domain ($driver)"
case $driver in
system)
	virsh -q create "$eh_work/domain.xml" || bail "virsh create failed"
	note "created"
	;;
embedded)
	mkdir -p /var/tmp/e/etc
	echo 'stdio_handler = "file"' >/var/tmp/e/etc/qemu.conf
	chmod 755 /var/tmp/e
	virt-qemu-run -v -r /var/tmp/e "$eh_work/domain.xml" &
	;;
esac
wait_until 150 guest_has_ended "$log" || { cat "$log"; keep /var/tmp/e "$eh_work" /var/log/libvirt; bail "the guest did not report"; }
note "the guest has reported"
wait_until 30 qemu_is_gone selftest || bail "QEMU did not end"
note "QEMU has ended"
wait_until 10 group_is_free "$(group_of "${functions[0]}")" || fail "the group stays in use"
if [ "$driver" = embedded ]; then
	wait_until 10 eval '[ -z "$(jobs -r)" ]' || { note "virt-qemu-run missed the end of the guest"; kill %1; }
	keep_capabilities /var/tmp/e/cache/qemu/capabilities
else
	wait_until 10 eval 'virsh -q list --name | wc -w | grep -qx 0' || fail "the domain is still listed"
	keep_capabilities
fi

guest_report "$log"
assert_guest_card "$log" 1234:1111 8086:2668
equal "booted by UEFI" yes "$(guest_report "$log" uefi)"
assert_guest_kvm "$log" hidden
pci_snapshot "$eh_work/after"
assert_same_snapshot "$eh_work/before" "$eh_work/after"
keep "$eh_work"
note "done"
finish
