#!/bin/bash
# A guest with an operating system shuts down when asked to: by `vmrun stop`, and by Ctrl-C.
# machine: card
# init: systemd
# deadline: 600
. "$EMULATED_HOST_LIB"
. "${EMULATED_HOST_LIB%/*}/vmrun_lib.sh"
install_vmrun
disk=$(guest_disk stay guest)
profile gaming '[gpu]' 'device=auto' '[session]' 'stop-timeout=90'
log=$(serial_log gaming)
pci_snapshot "$eh_work/before"

guest_waits() {
	grep -q 'GUEST waiting' "$log" 2>/dev/null
}

start_in_background gaming
wait_until 300 guest_waits || bail "the guest did not come up: $(tail -c 300 "$log")"
check 'it is running' state_is gaming running
run_vmrun status gaming
run_vmrun list
run_vmrun stop gaming
equal 'stop' 0 "$status"
end_of_supervisor
equal 'exit status of the supervisor' 0 "$status"
contains 'the guest saw the power button' "$(tr -d '\r' <"$log")" 'GUEST power button'
pci_snapshot "$eh_work/after"
assert_same_snapshot "$eh_work/before" "$eh_work/after"
finish
