# Sourced by prepare, run, check and demo: places, and small helpers.
# shellcheck shell=bash

eh_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
eh_tree=$(cd "$eh_dir/../.." && pwd -P)
eh_build=${EMULATED_HOST_BUILD:-$eh_tree/build/emulated-host}

# 125 is what `run` ends with when the harness, not the script, failed.
harness_failure() {
	echo "emulated-host: $*" >&2
	exit 125
}

# Prints one hash over the contents of the files named.
digest_of() {
	cat "$@" | sha256sum | cut -c1-16
}

# Seconds since the epoch with a fraction, as a shell word.
now() {
	echo "$EPOCHREALTIME"
}

# seconds_since START: rounded to tenths.
seconds_since() {
	awk -v a="$1" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }'
}
