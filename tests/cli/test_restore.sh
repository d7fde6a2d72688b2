#!/bin/bash
# Journals that cannot be believed: nothing is written, and it is said.
. "$(dirname "$0")/tap"
desktop

ask restore --dry-run
equal 'nothing on record' 0 "$status"
ask restore gaming --dry-run
equal 'nothing on record for a name' 0 "$status"
ask restore gaming
equal 'restore with --root would write' 2 "$status"

for text in '' 'garbage' '[journal]' "$(head -c 300 /dev/urandom | base64)"; do
	file /var/lib/vmrun/journal/gaming.conf "$text"
	chmod 700 "$tree/var/lib/vmrun/journal"
	find "$tree" -type f -exec sha256sum {} + | sort >"$tree.before"
	ask restore gaming --dry-run
	equal "a journal of '${text:0:10}' is not believed" 9 "$status"
	contains 'the file is named' "$output" 'journal/gaming\.conf'
	ask restore --all --dry-run
	equal 'nor with --all' 9 "$status"
	ask status gaming
	contains 'status says that it needs a restore' "$output" 'needs-restore'
	find "$tree" -type f ! -path '*/run/vmrun/*' -exec sha256sum {} + | sort >"$tree.after"
	equal 'nothing was changed' "$(cat "$tree.before")" "$(cat "$tree.after")"
	rm "$tree.before" "$tree.after"
done
finish
