#!/bin/bash
# Crash-only, under systemd: the supervisor is killed and its successor adopts the guest; supervisor and QEMU are killed and the card comes back;
# libvirtd restarts and dies under the guest; the unit is stopped; the computer is switched off under the guest.
# machine: card
# init: systemd
# deadline: 600
. "$EMULATED_HOST_LIB"
. "${EMULATED_HOST_LIB%/*}/vmrun_lib.sh"
unit=vmrun@gaming.service

inhibitors() {
	systemd-inhibit --list --no-legend --no-pager 2>/dev/null | grep -w vmrun
}

# Of the guest's card, and only one.
sleep_is_blocked() { # WHEN
	equal "vmrun's inhibitors $1" 1 "$(inhibitors | wc -l)"
	contains 'it is for sleep and the lid switch' "$(inhibitors)" '(sleep.*handle-lid-switch|handle-lid-switch.*sleep) .*block'
}

# next_case WORDS: what was open before counts as passed if nothing in it failed.
cases=0 passed_cases=0 failed_before=0
end_case() {
	[ "$cases" -eq 0 ] || [ "$eh_failed" -ne "$failed_before" ] || passed_cases=$((passed_cases + 1))
}
next_case() {
	end_case
	cases=$((cases + 1)) failed_before=$eh_failed
	note "$cases: $*"
}
# The number of cases is that of this script's own calls: running fewer is a failure.
end_suite() { # NAME
	local wanted
	end_case
	wanted=$(grep -c '^next_case ' "$0")
	equal 'cases run' "$wanted" "$cases"
	echo "suite: $1 cases=$wanted pass=$passed_cases fail=$((wanted - passed_cases))"
}

property() { # NAME
	systemctl show -P "$1" "$unit"
}

unit_is() { # STATE...
	[[ " $* " == *" $(property ActiveState) "* ]]
}

# Asking every second, and by reading a file: programs are slow to start here, and the guest needs the processor.
wait_slowly() { # SECONDS COMMAND...
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		[ "$SECONDS" -lt "$end" ] || return 1
		sleep 1
	done
}

is_running() {
	grep -q '^state=running' /run/vmrun/gaming.status 2>/dev/null
}

guest_waits() {
	grep -q 'GUEST waiting' "$log" 2>/dev/null
}

said() { # PATTERN
	journalctl -q -o cat -u "$unit" | grep -q -- "$1"
}

expect_host_as_before() {
	pci_snapshot "$eh_work/after"
	assert_same_snapshot "$eh_work/before" "$eh_work/after"
	check "nothing is on record ($1)" test ! -e /var/lib/vmrun/journal/gaming.conf
	check "QEMU is gone ($1)" qemu_is_gone gaming
	equal "vmrun's inhibitors ($1)" '' "$(inhibitors)"
}

start_unit() {
	check 'systemctl start' systemctl start "$unit"
	wait_slowly 300 is_running || {
		journalctl -q -o cat -u "$unit"
		bail "the unit does not get its guest running"
	}
	guest=$(qemu_pid gaming)
}

# The last case runs while the system goes down, from a unit that systemd stops after vmrun's: what was counted before is handed over to it.
if [ "${1-}" = going-down ]; then
	. "$2"
	output_port=$(grep -lx org.vmrun.output /sys/class/virtio-ports/*/name)
	exec >"/dev/$(basename "$(dirname "$output_port")")" 2>&1
	note 'the system goes down; the unit has ended'
	equal 'the system is stopping' stopping "$(systemctl is-system-running)"
	check 'the guest is down' qemu_is_gone gaming
	contains 'it was asked' "$(tr -d '\r' <"$log")" 'GUEST power button'
	check 'in time' test $((SECONDS_UP = $(cut -d. -f1 /proc/uptime) - asked)) -lt 90
	note "after $SECONDS_UP s"
	for address in $functions; do
		equal "$address was not rebound while the system goes down" vfio-pci "$(pci_driver "$address")"
	done
	check 'the record stays for the next boot' test -e /var/lib/vmrun/journal/gaming.conf
	equal 'how the unit ended' success "$(property Result)"
	journalctl -q -o cat -u "$unit" | tail -n 8
	end_suite crash-only
	(finish)
	echo $? >/run/emulated-host/status
	exit 0
fi

install_vmrun
systemctl start systemd-logind.service
check 'the units are right' systemd-analyze verify --man=no "/usr/lib/systemd/system/$unit" /usr/lib/systemd/system/vmrun-recover.service
equal 'recovery at boot is on' enabled "$(systemctl is-enabled vmrun-recover.service)"
disk=$(guest_disk stay guest)
profile gaming '[gpu]' 'device=auto' '[session]' 'stop-timeout=4'
pci_snapshot "$eh_work/before"
functions=$(card_functions)
log=$(serial_log gaming)

next_case 'the supervisor is killed; another adopts the guest'
start_unit
supervisor=$(property MainPID)
sleep_is_blocked 'while the guest runs'
kill -HUP "$supervisor"
kill -KILL "$supervisor"
check 'systemd starts another' wait_slowly 120 said 'taking it over'
check 'the guest counts as running' wait_slowly 60 is_running
check 'it is another process' test "$supervisor" != "$(property MainPID)"
equal 'the guest is the same' "$guest" "$(qemu_pid gaming)"
equal 'systemd has restarted once' 1 "$(property NRestarts)"

sleep_is_blocked 'of the adopting supervisor'
status_of systemctl suspend --check-inhibitors=yes
check 'suspend is refused' test "$status" -ne 0
contains 'and vmrun is named' "$output" 'vmrun'

next_case 'stopped with a guest that does not shut down: it is left running, and taken over by the next start'
systemctl stop "$unit"
check 'the unit has failed' unit_is failed
equal 'with "timed out"' 3 "$(property ExecMainStatus)"
equal 'the guest goes on' "$guest" "$(qemu_pid gaming)"
check 'systemctl start' systemctl start "$unit"
check 'the guest is taken over' wait_slowly 60 state_is gaming running
equal 'it is the same guest' "$guest" "$(qemu_pid gaming)"

next_case 'supervisor and QEMU are killed: everything is given back, and no guest is started anew'
kill -KILL "$(property MainPID)" "$guest"
check 'the unit ends' wait_slowly 120 unit_is inactive failed
wait_slowly 10 said 'no other is started'
check 'no other guest was started' said 'no other is started'
check 'the unit has ended well' unit_is inactive
expect_host_as_before 'all killed'

next_case 'libvirtd restarts and dies under the guest'
profile gaming '[gpu]' 'device=auto' '[session]' 'stop-timeout=90'
start_unit
supervisor=$(property MainPID)
check 'libvirtd restarts' systemctl restart libvirtd.service
equal 'the guest goes on' "$guest" "$(qemu_pid gaming)"
wait_slowly 400 guest_waits || bail "the guest did not come up: $(tail -c 300 "$log")"
systemctl kill --signal=KILL --kill-whom=main libvirtd.service
sleep 1
equal 'the guest goes on' "$guest" "$(qemu_pid gaming)"
equal 'so does its supervisor' "$supervisor" "$(property MainPID)"
check 'the supervisor counts it as running' state_is gaming running

next_case 'the unit is stopped'
check 'systemctl stop' systemctl stop "$unit"
equal 'how the unit ended' success "$(property Result)"
contains 'the guest was asked' "$(tr -d '\r' <"$log")" 'GUEST power button'
expect_host_as_before 'unit stopped'

next_case 'recovery at boot, as if this were the next one'
start_unit
kill -KILL "$(property MainPID)"
systemctl stop --no-block "$unit"
kill -KILL "$guest"
wait_slowly 60 unit_is inactive failed
wait_until 60 group_is_free "$(group_of "$(card_address)")"
check 'recovery ends well' systemctl start vmrun-recover.service
expect_host_as_before 'recovered'

next_case 'the computer is switched off'
rm -f "$log"
start_unit
wait_slowly 400 guest_waits || bail "the guest did not come up: $(tail -c 300 "$log")"
asked=$(cut -d. -f1 /proc/uptime)
declare -p eh_passed eh_failed eh_work log functions asked cases passed_cases failed_before >"$eh_work/so-far"
mkdir -p /run/systemd/system/emulated-host-job.service.d
printf '[Unit]\nSuccessAction=none\nFailureAction=none\n' >/run/systemd/system/emulated-host-job.service.d/stay.conf
cat >/run/systemd/system/going-down.service <<END
[Unit]
DefaultDependencies=no
Conflicts=shutdown.target
Before=shutdown.target vmrun@gaming.service
RequiresMountsFor=/run/emulated-host
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true
ExecStop=$(realpath "$0") going-down $eh_work/so-far
Environment=EMULATED_HOST=$EMULATED_HOST EMULATED_HOST_LIB=$EMULATED_HOST_LIB
END
systemctl daemon-reload
systemctl start going-down.service
systemctl poweroff
sleep 300
