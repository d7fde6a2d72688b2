#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The crash sweep sees every call that changes a file: none may be used that the tests do not wrap.
set -u
cd "${1:-$(dirname "$0")/../..}" || exit 1
wrapped=$(sed -n 's/^WRAPPED_CALLS = //p' Makefile)
calls='write pwrite writev pwritev pwritev2 fsync fdatasync syncfs sync_file_range sync
rename renameat renameat2 unlink unlinkat rmdir remove link linkat symlink symlinkat
mkdir mkdirat mknod mknodat mkfifo chmod fchmod fchmodat chown fchown fchownat lchown
truncate ftruncate fallocate posix_fallocate creat mkstemp mkostemp copy_file_range sendfile
setxattr fsetxattr utimensat futimens fopen openat
g_mkdir g_mkdir_with_parents g_unlink g_remove g_rename g_rmdir g_chmod g_creat
g_file_set_contents g_file_set_contents_full'
status=0
for call in $calls; do
	# shellcheck disable=SC2076
	[[ " $wrapped " =~ " $call " ]] && continue
	if grep -nE "(^|[^A-Za-z0-9_>.])$call\(" src/base/*.c src/host/*.c src/plan/*.c src/run/*.c |
		grep -vE ':[0-9]+:[ /]*\*'; then
		echo "$call() is not in WRAPPED_CALLS of the Makefile: the crash sweep would not see it"
		status=1
	fi
done
exit $status
