#!/bin/bash
# The inner half of the demo: what a person would do on a computer with a second card, and what the guest says of itself.
. "$EMULATED_HOST_LIB"
. "${EMULATED_HOST_LIB%/*}/vmrun_lib.sh"

title() {
	printf '\n==> %s\n\n' "$*"
}

# Show a command as it would be typed, and run it.
show() {
	printf '\n# %s\n' "$*"
	"$@"
}

# The guest's lines among vmrun's own, as they come.
follow_guest() {
	tail -n +1 --follow=name --retry --pid="$1" "$2" 2>/dev/null |
		sed -un 's/\r//g; s/^.*GUEST \(.*\)$/      guest: \1/p'
}

install_vmrun
disk=$(guest_disk report gaming)
disk=$disk hypervisor=embedded profile gaming '[gpu]' 'device=auto'
pci_snapshot "$eh_work/before"

title "An emulated computer with an IOMMU, a boot display and a graphics card of two functions"
show vmrun gpus
show vmrun plan gaming --quiet

title "The session: the card leaves, the guest reports what it sees and powers off, the card comes back"
printf '# vmrun gaming\n'
vmrun gaming --foreground &
session=$!
follow_guest "$session" "$(serial_log gaming)" &
wait "$session"
status=$?

title "Afterwards"
for address in $(card_functions); do
	echo "$address is on $(pci_driver "$address") again"
done
pci_snapshot "$eh_work/after"
assert_same_snapshot "$eh_work/before" "$eh_work/after"
assert_guest gaming $DISPLAY_ID $AUDIO_ID
assert_guest_kvm "$(serial_log gaming)" hidden
equal "exit status of vmrun" 0 "$status"
finish
