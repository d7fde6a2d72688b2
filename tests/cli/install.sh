#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# make install and uninstall: nothing foreign is overwritten, everything of ours goes away again.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
number=0
check() { # NAME COMMAND...
	local name=$1
	shift
	number=$((number + 1))
	if "$@" >"$scratch/output" 2>&1; then echo "ok $number /install/$name"; else
		echo "not ok $number /install/$name" && sed 's/^/# /' "$scratch/output"
	fi
}
not() { ! "$@"; }
files() { (cd "$scratch/root" && find . -type f -o -type l | sort); }

printf '#!/bin/sh\necho vmrun\n' >"$scratch/program"
install() { src/data/install "$scratch/program" "$scratch/root" /usr; }
uninstall() { src/data/uninstall "$scratch/root" /usr; }
mkdir -p "$scratch/root/usr/bin"

check uninstall-before-install-says-so not uninstall
echo foreign >"$scratch/root/usr/bin/vmrun"
check foreign-program-is-refused not install
check foreign-program-stays grep -qx foreign "$scratch/root/usr/bin/vmrun"
check refusal-installs-nothing test "$(files)" = ./usr/bin/vmrun
rm "$scratch/root/usr/bin/vmrun"
check installs install
check program-is-executable test -x "$scratch/root/usr/bin/vmrun"
check installs-over-itself install
check units-name-the-installed-program grep -qx 'ExecStart=/usr/bin/vmrun run %i --foreground --color=never' \
	"$scratch/root/usr/lib/systemd/system/vmrun@.service"
check nothing-is-left-to-replace not grep -rq @PREFIX@ "$scratch/root/usr/lib/systemd"
echo "echo newer" >>"$scratch/program"
check installs-a-newer-one install
check newer-one-is-there grep -q newer "$scratch/root/usr/bin/vmrun"
echo "0000000000000000000000000000000000000000000000000000000000000000  /usr/bin/old" \
	>>"$scratch/root/usr/share/vmrun/installed"
touch "$scratch/root/usr/bin/other" "$scratch/root/usr/bin/old"
check installs-without-an-old-file install
check old-file-is-gone test ! -e "$scratch/root/usr/bin/old"
check uninstalls uninstall
check uninstall-leaves-what-is-not-ours test "$(files)" = ./usr/bin/other
check installs-again install
echo changed >>"$scratch/root/usr/bin/vmrun"
check uninstalls-again uninstall
check a-changed-file-stays grep -qx changed "$scratch/root/usr/bin/vmrun"
echo "1..$number"
