#!/bin/bash
# What a session costs beside libvirt's own moving of the card (managed='yes'), alternately, in one run: seconds from the command to the
# running guest, and from its end to the last function back; and what the supervisor holds in memory. ROUNDS (3) of each.
. "$EMULATED_HOST_LIB"
. "${EMULATED_HOST_LIB%/*}/vmrun_lib.sh"
install_vmrun
mkdir -p /var/lib/vmrun/nvram
rounds=${ROUNDS:-3}
disk=$(guest_disk stay guest)
profile gaming '[gpu]' 'device=auto'
vmrun xml gaming | sed 's|<name>gaming</name>|<name>ordinary</name>|; s|<uuid>.*</uuid>||' >"$eh_work/ordinary.xml"


median() {
	sort -n "$1" | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

# The status file says running as soon as the domain is; looked at every 20 ms.
vmrun_start() {
	start_in_background gaming
	until grep -q 'state=running' /run/vmrun/gaming.status 2>/dev/null; do
		kill -0 "$supervisor" || return 1
		sleep 0.02
	done
}

vmrun_end() {
	kill -USR1 "$supervisor"
	wait "$supervisor"
}

virsh_start() {
	virsh -c qemu:///system create "$eh_work/ordinary.xml"
}

virsh_end() {
	virsh -c qemu:///system destroy ordinary
}

# Warm: capabilities known, modules loaded.
virsh_start >/dev/null && virsh_end >/dev/null
for round in $(seq "$rounds"); do
	for tool in virsh vmrun; do
		for part in start end; do
			# Not in a subshell: the supervisor must stay a child of this shell.
			begun=$EPOCHREALTIME
			"${tool}_$part" >>"$eh_work/bench.log" 2>&1 || bail "$tool $part: $(tail -n 3 "$eh_work/bench.log" "$eh_work/gaming.log")"
			awk -v a="$begun" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.2f\n", b - a }' >>"$eh_work/$tool.$part"
			if [ "$tool $part" = 'vmrun start' ]; then
				sleep 1
				awk '/^(VmRSS|RssAnon|RssFile)/ { printf "%s %.1f MiB  ", $1, $2 / 1024 } END { print "" }' "/proc/$supervisor/status"
			fi
		done
	done
done
for part in start end; do
	a=$(median "$eh_work/vmrun.$part")
	b=$(median "$eh_work/virsh.$part")
	awk -v part="$part" -v a="$a" -v b="$b" 'BEGIN { printf "%-6s vmrun %.2f s, virsh with managed=yes %.2f s, ratio %.2f (goal 1.00)\n", part, a, b, a / b }'
	echo "       vmrun: $(paste -sd ' ' "$eh_work/vmrun.$part")   virsh: $(paste -sd ' ' "$eh_work/virsh.$part")"
done
ok "measured $rounds rounds"
finish
