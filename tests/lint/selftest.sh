#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Each lint can fail: a small clean tree passes it, and the same tree with one planted mistake does
# not.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
wrong=0 checked=

clean_tree() {
	rm -rf "$scratch/tree"
	mkdir -p "$scratch/tree"/{include/vmrun,src/{base,host,plan,run,cli},tests/{unit,support}}
	cd "$scratch/tree" || exit 1
	cp "$here/../../.clang-format" .
	local licence='/* SPDX-License-Identifier: GPL-2.0-or-later */'
	for layer in base host plan run cli; do
		printf '%s\n#pragma once\n\n#include <stdbool.h>\n\nbool vr_%s_thing(void);\n' \
			"$licence" "$layer" >"include/vmrun/${layer}_thing.h"
		printf '%s\n#include <vmrun/%s_thing.h>\n\nbool\nvr_%s_thing(void)\n{\n    return true;\n}\n' \
			"$licence" "$layer" "$layer" >"src/$layer/${layer}_thing.c"
	done
	printf '# SPDX-License-Identifier: GPL-2.0-or-later\nall:\n' >Makefile
	git init -q . && git add -A
}

# must_fail LINT FILE TEXT: TEXT appended to FILE makes LINT fail.
must_fail() {
	clean_tree
	if [ "$1" != "$checked" ] && ! "$here/$1.sh" "$scratch/tree" >"$scratch/output" 2>&1; then
		echo "selftest: $1 fails on a clean tree:" && cat "$scratch/output"
		wrong=1
	fi
	checked=$1
	printf '%b\n' "$3" >>"$2"
	git add -A
	if "$here/$1.sh" "$scratch/tree" >/dev/null 2>&1; then
		echo "selftest: $1 does not see in $2: $3"
		wrong=1
	fi
}

must_fail layers src/base/base_thing.c '#include <vmrun/plan_thing.h>'
must_fail layers src/host/host_thing.c '#include "run/private.h"'
must_fail layers src/plan/plan_thing.c '#include <unistd.h>'
must_fail layers src/plan/plan_thing.c '#include <vmrun/sysroot.h>'
must_fail layers src/plan/plan_thing.c 'void f(void) { vr_sysroot_exists(0, 0); }'
must_fail layers src/plan/plan_thing.c '#include <libxml/tree.h>'
must_fail layers src/run/run_thing.c '#include <libvirt/libvirt.h>'
must_fail layers src/run/run_thing.c '#include <pci/pci.h>'
must_fail layers src/host/host_thing.c '#include <libkmod.h>'
must_fail layers include/vmrun/host_thing.h '#include <pci/pci.h>'
must_fail layers src/run/run_thing.c 'int f(void) { return fork(); }'
must_fail layers src/run/run_thing.c 'void f(void) { printf("x"); }'
must_fail layers src/cli/cli_thing.c 'const char *p = "/sys/bus/pci";'
must_fail layers src/base/base_thing.c 'void f(void) { goto out; out:; }'
must_fail layers src/run/private.c '#include <glib.h>\n#include "base/fd.h"\n#include <vmrun/cli_thing.h>\nvoid f(void) { g_print("x"); }'
must_fail system_calls src/run/run_thing.c 'int f(void) { return rename("a", "b"); }'
must_fail headers include/vmrun/base_thing.h 'VrUnknown *f(void);'
must_fail sizes src/base/base_thing.c "void\nf(void)\n{$(printf '    ;%.0s\\n' {1..82})}"
must_fail sizes src/base/base_thing.c "$(printf '/* */\\n%.0s' {1..600})"
must_fail sizes include/vmrun/base_thing.h "$(printf '/* */\\n%.0s' {1..170})"
must_fail sizes src/base/median.c "$(for n in 1 2 3 4 5 6 7; do printf 'void\\nf%s(void)\\n{\\n' $n && printf '    ;\\n%.0s' {1..21} && printf '}\\n'; done)"
must_fail format src/base/base_thing.c 'int   x ;'
must_fail cppcheck src/base/base_thing.c 'int f(void);\nint f(void) { int a[2] = {0}; return a[2]; }'
must_fail words src/base/base_thing.c '/* FIX''ME */'
must_fail words src/base/base_thing.c 'const char *p = "/wo''rk/main";'
must_fail words Makefile '# deb http://deb.deb''ian.org/debian'
must_fail words src/base/new.c 'int x;'
exit $wrong
