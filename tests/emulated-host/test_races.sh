#!/bin/bash
# Claims at the same moment: two profiles for one card, a start and a restore, two restores. One wins, nobody waits for ever, the card comes back.
# With VMRUN_PROOF=1 each of them 20 times.
# machine: card
# init: shell
# deadline: 300
# proof-deadline: 2400
. "$EMULATED_HOST_LIB"
. "${EMULATED_HOST_LIB%/*}/vmrun_lib.sh"
. "${EMULATED_HOST_LIB%/*}/kills_lib.sh"
rounds=2
[ "${VMRUN_PROOF-}" != 1 ] || rounds=20
LIMIT=120 # seconds until a command counts as hanging
prepare_kills
disk=$(guest_disk stay other)
profile other '[gpu]' 'device=auto'

# traced NAME COMMAND...: in the background, its writes to sysfs in NAME.trace, its output in NAME.log; its pid in $started.
traced() {
	local name=$1
	shift
	strace -f -q --seccomp-bpf -y -s 80 -e signal=none -o "$eh_work/$name.trace" -e trace=write,pwrite64 "$@" >"$eh_work/$name.log" 2>&1 &
	started=$!
}

plain() {
	local name=$1
	shift
	"$@" >"$eh_work/$name.log" 2>&1 &
	started=$!
}

has_ended() {
	! kill -0 "$1" 2>/dev/null
}

# end_of PID: waits with a deadline; the status in $ended.
end_of() {
	wait_until "$LIMIT" has_ended "$1" || complain "process $1 hangs: $(tail -n 2 "$eh_work"/*.log)" || return
	wait "$1"
	ended=$?
}

one_has_ended() {
	has_ended "$1" || has_ended "$2"
}

# --- two profiles, one card ---------------------------------------------------

declare -A wins=([gaming]=0 [other]=0)

# race_for_card ROUND: every third time the winner's guest is let start, else it is stopped on its way.
race_for_card() {
	local pids=() names=(gaming other) loser=0 winner writes
	for name in "${names[@]}"; do
		traced "$name" vmrun run "$name" --foreground --color=never
		pids+=("$started")
	done
	wait_until "$LIMIT" one_has_ended "${pids[@]}" || complain 'neither of the two has lost' || return
	has_ended "${pids[0]}" || loser=1
	winner=$((1 - loser))
	wins[${names[winner]}]=$((wins[${names[winner]}] + 1))
	end_of "${pids[loser]}" || return
	[ "$ended" -eq 7 ] || complain "the loser ended with $ended: $(tail -n 3 "$eh_work/${names[loser]}.log")" || return
	grep -q "session of '${names[winner]}'" "$eh_work/${names[loser]}.log" || complain "the loser does not name the winner: $(cat "$eh_work/${names[loser]}.log")" || return
	writes=$(count_sysfs_writes "$eh_work/${names[loser]}.trace")
	[ "$writes" -eq 0 ] || complain "the loser wrote $writes times to sysfs" || return
	if [ $(($1 % 3)) -eq 1 ]; then
		wait_until 90 state_is "${names[winner]}" running || complain "the winner does not run: $(tail -n 3 "$eh_work/${names[winner]}.log")" || return
	fi
	vmrun stop "${names[winner]}" --force --timeout 1 >"$eh_work/stop.log" 2>&1 || complain "stop ended with $?: $(cat "$eh_work/stop.log")" || return
	end_of "${pids[winner]}" || return
	[ "$ended" -eq 0 ] || complain "the winner ended with $ended: $(tail -n 3 "$eh_work/${names[winner]}.log")" || return
	[ "$(count_sysfs_writes "$eh_work/${names[winner]}.trace")" -gt 0 ] || complain 'the trace of the winner shows no write' || return
	host_is_as_before gaming && state_is other stopped
}

# --- after a session that was killed -------------------------------------------

journal_exists() {
	[ -e "/var/lib/vmrun/journal/$1.conf" ]
}

# leave_dead_session NAME ROUND: killed between its first record and its guest, each time a little later.
leave_dead_session() {
	start_in_background "$1"
	wait_until 60 journal_exists "$1" || complain 'the session to be killed did not begin' || return
	sleep "0.$(($2 % 10))"
	kill -9 "$supervisor"
	wait_quietly "$supervisor"
	qemu_is_gone "$1" || complain 'it was killed too late' || return
	journal_exists "$1" || complain 'the killed session left nothing'
}

# race_start_restore ROUND: the start of the same profile, or of another one with the same card.
race_start_restore() {
	local starter=broken run restore
	[ $(($1 % 2)) -eq 0 ] || starter=other-broken
	leave_dead_session broken "$1" || return
	# The one that begins mostly wins, so each of them begins in turn.
	[ $(($1 / 2 % 2)) -eq 0 ] || plain start vmrun run "$starter" --foreground --color=never
	run=$started
	plain restore vmrun restore broken --color=never
	restore=$started
	if [ $(($1 / 2 % 2)) -eq 0 ]; then
		plain start vmrun run "$starter" --foreground --color=never
		run=$started
	fi
	end_of "$restore" || return
	restore=$ended
	end_of "$run" || return
	run=$ended
	# The start fails by its kernel (4) when it had the card; who was refused is told to be busy (7).
	case "$run $restore" in
	'4 0' | '4 7' | '7 0') ;;
	*) complain "start ended with $run, restore with $restore: $(tail -n 3 "$eh_work/start.log" "$eh_work/restore.log")" || return ;;
	esac
	outcomes+="$run/$restore "
	state_is "$starter" stopped || complain "$starter is not stopped" || return
	host_is_as_before broken
}

race_restore_restore() {
	local first second
	leave_dead_session broken "$1" || return
	plain first vmrun restore broken --color=never
	first=$started
	plain second vmrun restore broken --color=never
	second=$started
	end_of "$first" || return
	first=$ended
	end_of "$second" || return
	second=$ended
	case "$first $second" in
	'0 0' | '0 7' | '7 0') ;;
	*) complain "the restores ended with $first and $second: $(cat "$eh_work/first.log" "$eh_work/second.log")" || return ;;
	esac
	outcomes+="$first/$second "
	host_is_as_before broken
}

disk=/var/lib/libvirt/images/guest.img
profile other-broken '[gpu]' 'device=auto' '[boot]' "kernel=$NOT_A_KERNEL"
for kind in race_for_card race_start_restore race_restore_restore; do
	outcomes=''
	for round in $(seq "$rounds"); do
		failed_before=$suite_failed
		"$kind" "$round"
		verdict "$kind $round of $rounds"
		[ "$suite_failed" -eq "$failed_before" ] || repair_host
	done
	note "$kind: $outcomes"
done
note "won: gaming ${wins[gaming]}, other ${wins[other]}"
end_suite races $((3 * rounds))
finish
