#!/bin/bash
# SIGKILL of vmrun, of its worker, of QEMU and of libvirtd at phases spread over the whole session; after each of them one restore (or one stop,
# when the guest lives) must bring back exactly what was there, and a second restore must write nothing. The points are those that a complete
# session shows. With VMRUN_PROOF=1 all of them, else some of every kind.
# machine: card
# init: shell
# deadline: 600
# proof-deadline: 3600
. "$EMULATED_HOST_LIB"
. "${EMULATED_HOST_LIB%/*}/vmrun_lib.sh"
. "${EMULATED_HOST_LIB%/*}/kills_lib.sh"
MINIMUM=40 # cases of the whole list
prepare_kills

# --- the list -----------------------------------------------------------------

trace_dry broken "$eh_work/broken.dry"
equal 'status of the session without a guest: its start fails' 4 $?
trace_dry gaming "$eh_work/gaming.dry" vmrun stop gaming --force --timeout 1
vmrun restore gaming >/dev/null
host_is_as_before gaming
verdict 'complete sessions leave the host as it was'
suite_cases=0
kill_points "$eh_work/broken.dry" >"$eh_work/broken.points"
kill_points "$eh_work/gaming.dry" >"$eh_work/gaming.points"
equal 'writes to sysfs that the list is made from' "$(count_sysfs_writes "$eh_work/gaming.dry")" "$(grep -c 'write.*|close' "$eh_work/gaming.points")"
equal 'records of the journal that it is made from' "$(grep -c '^[0-9]* *renameat([0-9]*</var/lib/vmrun/journal>' "$eh_work/gaming.dry")" "$(grep -c 'journal record' "$eh_work/gaming.points")"

# Lines "KIND|PROFILE|WHO|WHAT|CALL COUNT PATH".
#   point   the process dies at this call
#   orphan  vmrun dies while its worker is about to make this call, and the restore begins before the worker goes on
#   phase   who dies is killed from outside when the phase is seen
{
	while IFS='|' read -r who what before after; do
		echo "point|broken|$who|before $what|$before"
		echo "point|broken|$who|after $what|$after"
		[ "$who" = supervisor ] || echo "orphan|broken|$who|$what|$before"
	done <"$eh_work/broken.points"
	# A session with a guest has one record more.
	while IFS='|' read -r who what before after; do
		echo "point|gaming|$who|before $what|$before"
		echo "point|gaming|$who|after $what|$after"
	done < <(grep 'journal record' "$eh_work/gaming.points" | tail -n +3)
	for phase in checking taking creating running stopping restoring; do
		for who in vmrun libvirtd; do echo "phase|gaming|$who|$phase|"; done
	done
	for phase in creating running stopping; do echo "phase|gaming|QEMU|$phase|"; done
	for phase in creating stopping; do echo "phase|gaming|worker|$phase|"; done
	for phase in creating running; do echo "phase|gaming|all|$phase|"; done
} >"$eh_work/all.cases"
whole=$(wc -l <"$eh_work/all.cases")
check "the whole list has at least $MINIMUM cases ($whole)" test "$whole" -ge "$MINIMUM"

# Every seventh of the cheap ones, and some with a guest.
if [ "${VMRUN_PROOF-}" = 1 ]; then
	cp "$eh_work/all.cases" "$eh_work/cases"
elif [ -n "${VMRUN_KILLS-}" ]; then
	grep -E "$VMRUN_KILLS" "$eh_work/all.cases" >"$eh_work/cases"
else
	{
		grep '|broken|' "$eh_work/all.cases" | awk 'NR % 7 == 2'
		grep -E 'phase\|gaming\|(vmrun\|running|libvirtd\|taking|QEMU\|running|all\|creating)' "$eh_work/all.cases"
	} >"$eh_work/cases"
	note "$(wc -l <"$eh_work/cases") of $whole cases (VMRUN_PROOF=1: all)"
fi

# --- points -------------------------------------------------------------------

# start_traced PROFILE PATH INJECTION: a session in the background; strace's pid in $tracer, strace ends with vmrun and its workers.
start_traced() {
	strace -f -q -y -s 80 -e signal=none -o "$eh_work/case.trace" -e "trace=$KILL_CALLS" -P "$2" -e "inject=$3" \
		vmrun run "$1" --foreground --color=never >"$eh_work/$1.log" 2>&1 &
	tracer=$!
}

# was_hit CALL COUNT: the kill happened, at that call and no other, and the call was not made. Each process counts for itself, so the worker
# that takes the place of a killed one dies at the same call. How many died: $killed.
was_hit() {
	local pid pids
	pids=$(sed -nE "s/^([0-9]+) +($1\(|<\.\.\. $1 resumed).*= \?\$/\1/p" "$eh_work/case.trace" | sort -u)
	killed=$(wc -w <<<"$pids")
	[ "$killed" -gt 0 ] || complain "not hit: $(tail -n 3 "$eh_work/case.trace")" || return
	for pid in $pids; do
		[ "$(grep -c "^$pid *$1(" "$eh_work/case.trace")" -eq "$2" ] || complain "hit at another $1" || return
	done
}

# A start whose worker died fails (4). Where those that take its place die, too, vmrun may have to say that something is left (9), and it is
# the restore, in which nobody dies, that brings it back.
case_point() {
	local profile=$1 who=$2 call=$4 count=$5 path=$6 ended killed
	start_traced "$profile" "$path" "$call:signal=SIGKILL:when=$count"
	if [ "$profile" = gaming ] && [ "$call $count" != 'renameat 3' ] && [ "$call $count" != 'fsync 3' ]; then
		wait_for_state gaming running
		vmrun stop gaming --force --timeout 1 >"$eh_work/stop.log" 2>&1
	fi
	wait_quietly "$tracer"
	ended=$?
	was_hit "$call" "$count" || return
	if [ "$who" = worker ]; then
		[ "$ended" -eq 4 ] || [ "$ended $((killed > 1))" = '9 1' ] || complain "vmrun ended with $ended after $killed of its workers were killed" || return
	else
		[ "$ended" -eq 137 ] || complain "vmrun ended with $ended" || return
	fi
	bring_back "$profile" && host_is_as_before "$profile"
}

worker_is_held() {
	tail -n 1 "$eh_work/case.trace" 2>/dev/null | grep -q "^[0-9]* *write([0-9]*<$1>[^)]*)\? *$"
}

case_orphan() {
	local profile=$1 call=$4 count=$5 path=$6 supervisor
	start_traced "$profile" "$path" "$call:delay_enter=6000000:when=$count"
	if ! wait_until 60 worker_is_held "$path"; then
		complain "the worker was not seen at its call: $(cat "$eh_work/case.trace")"
		wait_quietly "$tracer"
		return 1
	fi
	supervisor=$(pgrep -P "$tracer" -x vmrun)
	kill -9 "$supervisor" || complain 'no vmrun to kill' || return
	bring_back "$profile" || { wait_quietly "$tracer"; return 1; }
	wait_quietly "$tracer"
	host_is_as_before "$profile"
}

# --- phases -------------------------------------------------------------------

journal_says() {
	grep -q "^phase=$1\$" /var/lib/vmrun/journal/gaming.conf 2>/dev/null
}

in_phase() {
	case $1 in
	checking) grep -q '^-> checking' "$eh_work/gaming.log" ;;
	taking) journal_says taking ;;
	creating) journal_says starting && qemu_pid gaming >/dev/null ;;
	running) state_is gaming running ;;
	stopping) state_is gaming stopping && qemu_pid gaming >/dev/null ;;
	restoring) journal_says restoring ;;
	esac
}

# Looked at often: some phases last a tenth of a second.
wait_for_phase() {
	local end=$((SECONDS + 90))
	until in_phase "$1"; do
		[ "$SECONDS" -lt "$end" ] || complain "the phase $1 was not seen" || return
		kill -0 "$supervisor" 2>/dev/null || complain "vmrun ended before the phase $1: $(tail -n 3 "$eh_work/gaming.log")" || return
	done
}

victims() {
	case $1 in
	vmrun) echo "$supervisor" ;;
	libvirtd) pgrep -x libvirtd ;;
	QEMU) qemu_pid gaming ;;
	worker) pgrep -P "$supervisor" -x vmrun-worker ;;
	all) echo "$supervisor $(qemu_pid gaming) $(pgrep -x libvirtd) $(pgrep -x vmrun-worker)" ;;
	esac
}

case_phase() {
	local profile=$1 who=$2 phase=$3 pids ended
	start_in_background gaming
	case $phase in
	stopping | restoring)
		wait_for_phase running || return
		if [ "$phase" = stopping ]; then kill -TERM "$supervisor"; else kill -USR1 "$supervisor"; fi
		;;
	esac
	wait_for_phase "$phase" || { wait "$supervisor"; return 1; }
	pids=$(victims "$who")
	# shellcheck disable=SC2086
	kill -9 $pids || complain "no $who to kill ('$pids')" || return
	case $who in
	libvirtd | all)
		wait_until 20 libvirtd_is_gone
		start_libvirtd
		;;
	esac
	case $who in
	vmrun | all) wait_quietly "$supervisor" ;;
	*) end_or_stop "$phase" || return ;;
	esac
	wait_until 90 is_settled gaming || complain 'what was under way did not end' || return
	bring_back gaming && host_is_as_before gaming
}

# vmrun lives: it ends by itself, or its guest is ended. It must not say that something could not be given back.
end_or_stop() {
	local ended
	while kill -0 "$supervisor" 2>/dev/null; do
		if state_is gaming running; then
			vmrun stop gaming --force --timeout 1 >"$eh_work/stop.log" 2>&1 || complain "stop ended with $?: $(cat "$eh_work/stop.log")" || return
		elif [ "$1" = stopping ]; then
			kill -USR1 "$supervisor" 2>/dev/null
		fi
		sleep 0.5
	done
	wait "$supervisor"
	ended=$?
	[ "$ended" -ne 9 ] || complain "vmrun ended with 9: $(tail -n 3 "$eh_work/gaming.log")"
}

# --- the run ------------------------------------------------------------------

while IFS='|' read -r kind profile who what point <&3; do
	begun=$SECONDS failed_before=$suite_failed
	# shellcheck disable=SC2086
	"case_$kind" "$profile" "$who" "$what" $point 3<&-
	verdict "$kind, $profile: $who: $what ($((SECONDS - begun)) s)"
	# A host that is not as it was would fail every case that follows.
	[ "$suite_failed" -eq "$failed_before" ] || repair_host
done 3<"$eh_work/cases"
end_suite kill-real "$(wc -l <"$eh_work/cases")"
keep_capabilities
finish
