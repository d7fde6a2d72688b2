# Sourced: prints a domain as an administrator would write it by hand, without vmrun.
# domain_xml NAME DISK SERIAL_LOG FUNCTION...
# shellcheck shell=bash
domain_xml() {
	local name=$1 disk=$2 log=$3 address bus slot function multifunction=" multifunction='on'"
	shift 3
	cat <<END
<domain type='kvm'>
  <name>$name</name>
  <memory unit='MiB'>512</memory>
  <vcpu>1</vcpu>
  <os firmware='efi'>
    <type arch='x86_64' machine='q35'>hvm</type>
    <firmware>
      <feature enabled='no' name='secure-boot'/>
      <feature enabled='no' name='enrolled-keys'/>
    </firmware>
    <boot dev='hd'/>
  </os>
  <features><acpi/><apic/><kvm><hidden state='on'/></kvm></features>
  <cpu mode='host-passthrough'/>
  <on_poweroff>destroy</on_poweroff>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/>
      <source file='$disk'/>
      <target dev='vda' bus='virtio'/>
    </disk>
    <controller type='usb' model='none'/>
    <serial type='file'><source path='$log'/></serial>
    <video><model type='none'/></video>
    <memballoon model='none'/>
    <controller type='pci' index='0' model='pcie-root'/>
    <controller type='pci' index='1' model='pcie-root-port'/>
END
	for address in "$@"; do
		bus=${address#*:}
		bus=${bus%:*}
		slot=${address##*:}
		function=${slot#*.}
		slot=${slot%.*}
		echo "<hostdev mode='subsystem' type='pci' managed='yes'>"
		echo "<source><address domain='0x0000' bus='0x$bus' slot='0x$slot' function='0x$function'/></source>"
		echo "<address type='pci' domain='0' bus='1' slot='0' function='$function'$multifunction/></hostdev>"
		multifunction=
	done
	echo "</devices></domain>"
}
