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
if [ "$(id -u)" -eq 0 ]; then
	program=$tree/vmrun # where it was built nobody else may look
	install -m 755 "$VMRUN" "$program"
	output=$(setpriv --reuid=65534 --regid=65534 --clear-groups -- "$program" --root "$tree" restore --dry-run 2>&1)
	equal 'a recorded computer may be asked by everybody' 0 $?
	output=$(setpriv --reuid=65534 --regid=65534 --clear-groups -- "$program" restore --dry-run --json 2>&1)
	equal 'this one by root only' 12 $?
	rm "$program"
fi

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
