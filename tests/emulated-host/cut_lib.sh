# Sourced by tests that cut the power, after vmrun_lib.sh: a session to cut, and what must hold at the next boot.
# shellcheck shell=bash
journal=/var/lib/vmrun/journal

is_running_or_dead() {
	state_is gaming running || ! kill -0 "$supervisor" 2>/dev/null
}

start_and_wait() {
	start_in_background gaming
	wait_until 200 is_running_or_dead && state_is gaming running
}

# watched COMMAND...: its output in $output, its writes to attributes of the kernel counted in $writes.
watched() {
	output=$(strace -f -y -qq -o "$eh_work/calls" -e trace=write,pwrite64,writev "$@" 2>&1)
	status=$?
	writes=$(grep -cE '\([0-9]+<(/sys|/proc/sys)/' "$eh_work/calls")
}

# Every record, open or closed, is whole: its last line is the checksum of the others.
records_are_whole() {
	local file
	for file in "$journal"/*.conf "$journal"/done/*.conf; do
		[ -e "$file" ] || continue
		[ "sha256=$(head -n -1 "$file" | sha256sum | cut -d' ' -f1)" = "$(tail -n 1 "$file")" ] || return 1
	done
}

# verify POINT STATE TOLD: after the power was cut at POINT; STATE is what status says then, TOLD how many lines of the restore tell the story.
verify() {
	local point=$1 state=$2 told=$3
	check "$point: every record is whole" records_are_whole
	check "$point: the state is $state" state_is gaming "$state"
	watched vmrun restore --all --color=never
	echo "$output"
	equal "$point: restore --all" 0 "$status"
	equal "$point: its writes to devices and settings" 0 "$writes"
	equal "$point: lines that say what happened" "$told" "$(grep -c 'restart' <<<"$output")"
	equal "$point: open records" 0 "$(find "$journal" -maxdepth 1 -name '*.conf' | wc -l)"
	watched vmrun restore --all --color=never
	equal "$point: a second restore" '0 0 no session is on record' "$status $writes $(grep -o 'no session is on record' <<<"$output")"
	check "$point: it is stopped" state_is gaming stopped
	pci_snapshot "$eh_work/after"
	assert_same_snapshot "$eh_work/before" "$eh_work/after"
}

# A new session, to see that nothing is in its way; its supervisor is killed, which shows that the writes of a restore are seen.
new_session() {
	start_and_wait || fail "no new session: $(tail -n 5 "$eh_work/gaming.log")"
	kill -9 "$supervisor" "$(qemu_pid gaming)"
	end_of_supervisor
	wait_until 20 group_is_free "$(group_of "$(card_address)")"
	watched vmrun restore --all --color=never
	equal 'restore after a new session' 0 "$status"
	check "which wrote to devices ($writes writes)" test "$writes" -ge 4
	pci_snapshot "$eh_work/after"
	assert_same_snapshot "$eh_work/before" "$eh_work/after"
	equal 'left-overs of records that were being written' 0 "$(find "$journal" -name '.*' -type f | wc -l)"
}
