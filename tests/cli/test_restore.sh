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

# journal NAME BOOT-ID: a valid one of a session that ran.
journal() {
	local body
	body=$(printf '%s\n' '[session]' version=1 "profile=$1" "boot-id=$2" uri=qemu:///system \
		domain=c1a5f8c0-0000-4000-8000-00000000000f phase=running qemu-pid=4242 qemu-start-time=4242 since=1 keep=false \
		'[stuck]' devices= pid=0 start-time=0 '[before]' \
		'state={"bindings":[],"attributes":[],"units":[]}' '' '[end]')
	file "/var/lib/vmrun/journal/$1.conf" "$body
sha256=$(printf '%s\n' "$body" | sha256sum | cut -d' ' -f1)"
	chmod 700 "$tree/var/lib/vmrun/journal"
}

# After a restart of the computer: one line each, status 0, and one that cannot be believed does not stop the others.
file /proc/sys/kernel/random/boot_id 0b4e7b32-6a3d-4a6f-9d4f-2f3c1c5c9b1e
journal gaming 11111111-6a3d-4a6f-9d4f-2f3c1c5c9b1e
journal training 22222222-6a3d-4a6f-9d4f-2f3c1c5c9b1e
ask restore --all --dry-run
equal 'journals of an earlier boot' 0 "$status"
equal 'one line for each' 2 "$(grep -c 'the computer was restarted since' <<<"$output")"
equal 'and no other line' 2 "$(wc -l <<<"$output")"
file /var/lib/vmrun/journal/alpha.conf garbage
ask restore --all --dry-run
equal 'a bad one among them' 9 "$status"
equal 'does not stop the others' 2 "$(grep -c 'the computer was restarted since' <<<"$output")"
ask restore --all --dry-run --json
contains 'in JSON' "$output" '"result" : "restarted"'
rm "$tree"/var/lib/vmrun/journal/*.conf

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
