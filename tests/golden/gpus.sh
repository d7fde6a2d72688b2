#!/bin/bash
# What `vmrun gpus --json` says about recorded computers, beside what it said before: tests/golden/gpus/HOST.json. Names are left
# out, they come from the hardware database of the day. GOLDEN_UPDATE=1 accepts what it says now.
set -u
: "${VMRUN:=build/normal/vmrun}"
here=$(dirname "$0")
hosts=$here/../hosts
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
number=0
failures=0
for tree in "$hosts"/*.tree; do
	host=$(basename "$tree" .tree)
	case $host in
	01-* | 05-* | 07-* | 13-* | 16-* | 25-* | 30-* | 40-* | 42-* | 43-* | 51-* | 53-* | 59-*) ;;
	*) continue ;;
	esac
	number=$((number + 1))
	"$hosts/unpack" "$tree" "$scratch/$host"
	"$VMRUN" --root "$scratch/$host" gpus --json 2>&1 | jq --sort-keys 'del(.. | .name?)' >"$scratch/now"
	if [ "${GOLDEN_UPDATE:-0}" = 1 ]; then
		cp "$scratch/now" "$here/gpus/$host.json"
	fi
	if difference=$(diff -u "$here/gpus/$host.json" "$scratch/now"); then
		echo "ok $number - gpus of $host"
	else
		echo "not ok $number - gpus of $host"
		sed 's/^/# /' <<<"$difference"
		failures=$((failures + 1))
	fi
done
echo "1..$number"
[ "$failures" -eq 0 ]
