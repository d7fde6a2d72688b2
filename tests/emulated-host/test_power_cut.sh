#!/bin/bash
# The power is cut at points spread over a session. After each of them the next boot finds a readable journal, `vmrun restore --all`
# says in one line what happened and writes to no device, a second one does nothing, and a new session works.
# machine: card
# init: shell
# state: yes
# deadline: 400
# proof-deadline: 2400
# With CUTS="POINT…" in its environment: at these.
. "$EMULATED_HOST_LIB"
. "${EMULATED_HOST_LIB%/*}/vmrun_lib.sh"
. "${EMULATED_HOST_LIB%/*}/step_lib.sh"
. "${EMULATED_HOST_LIB%/*}/cut_lib.sh"

all_points=(taking-renamed taking-recorded taking-first taking-all starting running huge-pages shutdown-asked restoring-recorded
	restoring-first restored closing-renamed closed kept)
points=(taking-first running restoring-first)
[ "${VMRUN_PROOF:-0}" = 0 ] || points=("${all_points[@]}")
[ -z "${CUTS-}" ] || read -ra points <<<"$CUTS"
cases=$EMULATED_HOST/results/cases

# --- one boot: up to the point, and no further -------------------------------

bring_to() {
	case $1 in
	# A record counts once its directory is synced, too.
	taking-renamed) step_into gaming && step_until 200 session_at gaming taking 0 ;;
	taking-recorded) step_into gaming && hold=2 step_until 200 session_at gaming taking 0 ;;
	taking-first) step_into gaming && step_until 200 session_at gaming taking 1 ;;
	taking-all) step_into gaming && step_until 200 session_at gaming taking 2 ;;
	starting) step_into gaming && step_until 200 session_at gaming starting 2 ;;
	running) start_and_wait && session_at gaming running 2 ;;
	huge-pages)
		mkdir -p /etc/vmrun/profiles/gaming.conf.d
		printf '[machine]\nhugepages=2M\n' >/etc/vmrun/profiles/gaming.conf.d/memory.conf
		start_and_wait && [ "$(cat /proc/sys/vm/nr_hugepages)" -gt 0 ]
		;;
	shutdown-asked) start_and_wait && kill -INT "$supervisor" && wait_until 20 state_is gaming stopping ;;
	restoring-recorded) force_off && hold=2 step_until 200 session_at gaming restoring 2 ;;
	restoring-first) force_off && step_until 200 session_at gaming restoring 1 ;;
	restored) force_off && step_until 200 session_at gaming restoring 0 ;;
	closing-renamed) force_off && step_until 200 session_at gaming none 0 ;;
	closed) start_and_wait && kill -USR1 "$supervisor" && end_of_supervisor && session_at gaming none 0 ;;
	kept)
		printf '[session]\nafter-stop=keep\n' >>/etc/vmrun/profiles/gaming.conf
		start_and_wait && vmrun stop gaming --force --timeout 1 && session_at gaming kept 2
		;;
	esac
}

# The guest is powered off; what its supervisor does then goes in steps.
force_off() {
	start_and_wait && step_on && kill -USR1 "$supervisor"
}

# --- the next boot -----------------------------------------------------------

# expected POINT: the state after it. What was renamed and not synced may be there or not; everything between is a session cut off.
expected() {
	case $1 in
	closed | kept) echo stopped ;;
	taking-renamed | closing-renamed) [ -e "$journal/gaming.conf" ] && echo needs-restore || echo stopped ;;
	*) echo needs-restore ;;
	esac
}

install_vmrun
virtlogd -d
libvirtd -d
disk=$(guest_disk stay guest)
profile gaming '[gpu]' 'device=auto'
pci_snapshot "$eh_work/before"
number=$((EMULATED_HOST_BOOT - 1))

if [ "$number" -gt 0 ]; then
	point=${points[number - 1]}
	state=$(expected "$point")
	told=1
	[ "$state" = needs-restore ] || [ "$point" = kept ] || told=0
	verify "$point" "$state" "$told"
	if [ "$eh_failed" -eq 0 ]; then echo pass; else echo fail; fi >>"$cases"
fi
if [ "$number" -lt "${#points[@]}" ]; then
	note "boot $EMULATED_HOST_BOOT: the power is cut at ${points[number]}"
	if ! bring_to "${points[number]}"; then
		ps -ef | grep -v '\[' | tail -n 20
		bail "not at ${points[number]}: phase $(phase_of gaming), $(taken) taken: $(tail -n 5 "$eh_work/gaming.log")"
	fi
	cut_power
fi
new_session
echo "suite: power-cut cases=${#points[@]} pass=$(grep -c pass "$cases") fail=$((${#points[@]} - $(grep -c pass "$cases")))"
finish
