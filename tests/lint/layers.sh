#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# base <- host <- plan <- run <- cli: a layer includes itself and what is to its left. And the doors:
# one file each for libvirt, libkmod, processes; words that only some layers may say.
# With a directory as argument it checks that tree instead (tests/lint/selftest.sh does).
set -uo pipefail
cd "${1:-$(dirname "$0")/../..}" || exit 1

wrong=0
complain() {
	echo "layers: $*"
	wrong=1
}

# forbid REASON PATTERN FILE...: no line of these files may match.
forbid() {
	local reason=$1 pattern=$2 found
	shift 2
	[ $# -gt 0 ] || return 0
	found=$(grep -nE -- "$pattern" "$@" /dev/null) && complain "$reason"$'\n'"$found"
}

# Files below a directory, without those that match a pattern.
sources() {
	find "$1" -name '*.[ch]' 2>/dev/null | sort | grep -Ev "${2:-^$}"
}

# --- layers -----------------------------------------------------------------

# The layer of a public header is that of the source file of the same name. One without such a file
# holds types only and is fit for all, and so is profile.h: src/host/ reads the files, src/plan/
# parses the text.
layer_of_header() {
	local name=${1%.h} layer
	[ "$name" != profile ] || { echo base && return; }
	for layer in base host plan run; do
		[ -e "src/$layer/$name.c" ] && echo "$layer" && return
	done
	echo base
}

rank() {
	case $1 in base) echo 0 ;; host) echo 1 ;; plan) echo 2 ;; run) echo 3 ;; cli) echo 4 ;; esac
}

for layer in base host plan run; do
	while read -r file header; do
		used=$(layer_of_header "$header")
		if [ "$(rank "$used")" -gt "$(rank "$layer")" ]; then
			complain "$file ($layer) includes vmrun/$header ($used)"
		fi
	done < <(grep -oE '#include <vmrun/[a-z_]+\.h>' $(sources "src/$layer") /dev/null |
		sed -E 's/:#include <vmrun\// /; s/>//')
	while read -r file used; do
		if [ "$(rank "$used")" -gt "$(rank "$layer")" ]; then
			complain "$file ($layer) includes a header of $used"
		fi
	done < <(grep -oE '#include "(base|host|plan|run|cli)/' $(sources "src/$layer") /dev/null |
		sed -E 's/:#include "/ /; s/\/$//')
done

# --- the pure middle --------------------------------------------------------

forbid "src/plan/ is pure" \
	'#include (<vmrun/(sysroot|spawn|files)\.h>|"base/|<(unistd|fcntl|sys/[a-z]+|dirent|spawn|signal)\.h>)' \
	$(sources src/plan)
forbid "src/plan/ touches nothing" '\b(vr_sysroot_|vr_spawn|vr_fd_|open\(|fopen\(|g_file_get_contents)' \
	$(sources src/plan)
forbid "libxml2 is for domain_xml*.c" '#include <libxml/' \
	$(sources src 'src/plan/domain_xml[a-z_]*\.[ch]$')

# --- one door to each library -----------------------------------------------

forbid "libvirt is for src/run/hypervisor*.c" '#include <libvirt/' $(sources src '/run/hypervisor[a-z_]*\.[ch]$')
forbid "libsystemd is for src/run/inhibitor.c" '#include <systemd/' $(sources src 'src/run/inhibitor\.c$')
forbid "libpci is for src/host/" '#include <pci/' $(sources src 'src/host/')
forbid "libkmod is for src/host/modules.c" '#include <libkmod' $(sources src 'src/host/modules\.c$')
forbid "libudev is for src/host/" '#include <libudev' $(sources src 'src/host/')
forbid "public headers show no library but GLib and json-glib" \
	'#include <(libvirt|pci/|libkmod|libudev|libxml|libsmartcols|systemd)' $(sources include)
forbid "a process is made in src/base/spawn.c" '\b(fork|vfork|system|popen|posix_spawnp?|g_spawn_[a-z_]+|exec[lv]p?e?)\(' \
	$(sources src 'src/base/spawn\.c$')

# --- words ------------------------------------------------------------------

forbid "only src/cli/ prints" '(^|[^a-z_])(v?f?printf|puts|fputs|putchar|perror|g_print(err)?|g_(warning|message|critical|error))[ ]?\(' \
	$(sources src 'src/cli/')
# (src/plan/ may: evidence quotes where a fact was read, and steps name what they write.)
forbid "src/cli/ knows no place of the kernel" '"/(sys|proc)/' $(sources src/cli)
forbid "no goto" '^[^*"/]*\bgoto [a-z]' $(sources src)

# --- own header first -------------------------------------------------------

for file in $(sources src '\.h$'); do
	name=$(basename "${file%.c}")
	first=$(grep -m1 '^#include' "$file")
	if [ -e "include/vmrun/$name.h" ] && [ "$first" != "#include <vmrun/$name.h>" ]; then
		complain "$file must include <vmrun/$name.h> first"
	fi
done

exit $wrong
