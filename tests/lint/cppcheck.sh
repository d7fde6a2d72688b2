#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# cppcheck has nothing to say.
#   missingInclude*      it is not given the libraries' headers: faster, and they are not ours
#   unknownMacro         G_DEFINE_AUTOPTR_CLEANUP_FUNC and its kin come from those headers
#   nullPointerRedundantCheck, ctunullpointer
#                        g_assert_nonnull() is unknown to it, so tests look as if they did not check
#   unusedStructMember   seen file by file, a public type's fields look unused
#   assertWithSideEffect g_assert_cmp…() is never compiled out
#   readdirCalled        readdir_r() is deprecated, and no directory is shared between threads
#   memleak, leakReturnValNotUsed in tests
#                        g_test_add_data_func_full() takes its data over, and a child of a test may
#                        hold a file open until it dies; ASan and valgrind watch the tests
#   normalCheckLevelMaxBranches  a remark of newer versions about themselves
set -uo pipefail
cd "${1:-$(dirname "$0")/../..}" || exit 1

jobs=$(nproc)
[ -d src ] && [ -d tests ] || { echo "cppcheck: no sources" && exit 1; }
cppcheck --quiet --std=c11 --language=c --enable=warning,performance,portability -j "$jobs" \
	--inline-suppr --error-exitcode=1 -Iinclude -Isrc -D_GNU_SOURCE -D__linux__ \
	--library=gtk --library=posix --library=gnu \
	--suppress=missingInclude --suppress=missingIncludeSystem --suppress=unknownMacro \
	--suppress=nullPointerRedundantCheck --suppress=ctunullpointer --suppress=unusedStructMember \
	'--suppress=memleak:tests/unit/*' '--suppress=leakReturnValNotUsed:tests/unit/*' --suppress=assertWithSideEffect \
	--suppress=readdirCalled --suppress=normalCheckLevelMaxBranches \
	src tests/unit tests/support 2>&1
