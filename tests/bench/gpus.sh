#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What vmrun's read-only commands cost, beside `lspci -nnk` on the same tree: instructions in user
# space, counted by callgrind, so that neither the load nor the speed of the machine matters.
# (valgrind 3.19 does not know openat2: there vmrun resolves paths itself, which costs it more than
# in real life.) Ends with status 1 if a goal is missed or libvirt gets loaded.
#
#   VMRUN   the program          BENCH_LARGE   functions of the larger tree (10000)
set -euo pipefail
cd "$(dirname "$0")/../.."
vmrun=$(realpath "${VMRUN:-build/normal/vmrun}")
large=${BENCH_LARGE:-10000}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
missed=0

instructions() { # COMMAND...
	# `doctor` ends with 6 on a host that is not ready; that is no matter here.
	{ valgrind --tool=callgrind --callgrind-out-file=/dev/null "$@" 2>&1 >/dev/null </dev/null || true; } |
		sed -n 's/.*Collected : \([0-9]*\).*/\1/p'
}

tree() { # FUNCTIONS
	local directory=$scratch/$1
	if [ ! -d "$directory" ]; then
		tests/support/make-tree "$directory" "$1"
		mkdir -p "$directory/etc/vmrun/profiles"
		cat >"$directory/etc/vmrun/profiles/bench.conf" <<-END
			[profile]
			guest=linux
			[machine]
			cpus=2
			memory=4G
			[gpu]
			device=0000:05:00.0
		END
	fi
	echo "$directory"
}

# A command that is not built in says so with status 2; `plan` and `doctor` may well end with 6.
exists() {
	local status=0
	"$vmrun" "$@" --root "$(tree 50)" >/dev/null 2>&1 || status=$?
	[ "$status" -eq 0 ] || [ "$status" -ge 6 ]
}

row() { # WHAT COUNT BESIDE GOAL
	awk -v what="$1" -v count="$2" -v beside="$3" -v goal="$4" 'BEGIN {
		ratio = count / beside
		printf "  %-34s %12d %12d %8.2f  (goal: at most %s)%s\n", what, count, beside, ratio, goal,
			ratio <= goal ? "" : "  MISSED"
		exit !(ratio <= goal)
	}' || missed=1
}

commands=()
for command in gpus doctor "plan bench"; do
	# shellcheck disable=SC2086
	if exists $command; then commands+=("$command"); else echo "  vmrun $command does not run yet" && missed=1; fi
done

printf '  %-34s %12s %12s %8s\n' "instructions in user space" "vmrun" "beside" "ratio"
lspci=$(instructions lspci -A linux-sysfs -O "sysfs.path=$(tree 50)/sys/bus/pci" -nnk)
for command in "${commands[@]}"; do
	# shellcheck disable=SC2086
	count=$(instructions "$vmrun" $command --root "$(tree 50)")
	row "vmrun $command, 50; lspci -nnk" "$count" "$lspci" 0.5
done
for command in "${commands[@]}"; do
	# shellcheck disable=SC2086
	small=$(instructions "$vmrun" $command --root "$(tree 1000)")
	# shellcheck disable=SC2086
	row "vmrun $command, $large; at 1000" \
		"$(instructions "$vmrun" $command --root "$(tree "$large")")" "$small" 11
done

for command in "${commands[@]}"; do
	# shellcheck disable=SC2086
	loaded=$(LD_DEBUG=files "$vmrun" $command --root "$(tree 50)" 2>&1 >/dev/null || true)
	if grep -q 'libvirt\.so' <<<"$loaded"; then
		echo "  vmrun $command loads libvirt  MISSED"
		missed=1
	fi
done
exit $missed
