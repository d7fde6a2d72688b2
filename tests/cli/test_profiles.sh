#!/bin/bash
# Profiles as the commands see them: mistakes, trust, states.
. "$(dirname "$0")/tap"
desktop
mkdir -p "$tree/etc/vmrun/profiles"

ask list
equal 'list without profiles' 0 "$status"
ask status
equal 'status without profiles' 0 "$status"

file /etc/vmrun/profiles/bad.conf '[profile]' 'guest=beos' '[machine]' 'memory=16' 'cpus=many' '[gpu]' 'devise=auto' '[session]' 'stop-timeout=-1'
ask show bad
equal 'a profile with five mistakes' 2 "$status"
equal 'is told in five lines' 5 "$(grep -cE 'bad\.conf:[0-9]+: ' <<<"$output")"
for line in 2 4 5 7 9; do
	contains "line $line is named" "$output" "bad\.conf:$line: "
done
contains 'a suggestion is made' "$output" 'did you mean "?device'
for command in plan xml doctor run; do
	ask "$command" bad
	equal "$command of it" 2 "$status"
done
ask show bad --json
contains 'the same as a document' "$(python3 -c 'import json,sys; d=json.load(sys.stdin); print(d["code"], len(d["details"]), d["details"][0]["line"])' <<<"$output")" '^2 5 2$'
ask list
contains 'list shows that it is invalid' "$output" 'bad +invalid'

file /etc/vmrun/profiles/gaming.conf '[profile]' 'guest=linux' '[machine]' 'memory=1G' '[gpu]' 'device=0000:01:00.0' '[disk system]' 'path=/images/x.img'
ask show gaming --origin
equal 'show --origin' 0 "$status"
contains 'names file and line' "$output" 'gaming\.conf:4'
ask status gaming
equal 'status of a stopped profile' 0 "$status"
contains 'says so' "$output" 'stopped'
ask status gaming --json
contains 'in the words of the contract' "$(python3 -c 'import json,sys; p=json.load(sys.stdin)["profiles"][0]; print(p["name"], p["state"], p["since"], p["domain"], p["devices"])' <<<"$output")" '^gaming stopped None None \[\]$'
ask plan gaming
equal 'a missing disk blocks' 6 "$status"
contains 'and is named' "$output" '/images/x\.img'

chmod 666 "$tree/etc/vmrun/profiles/gaming.conf"
ask run gaming
equal 'a profile that everybody can write is refused by root' 12 "$status"
contains 'and named' "$output" 'gaming\.conf'
chmod 644 "$tree/etc/vmrun/profiles/gaming.conf"
chmod 777 "$tree/etc/vmrun/profiles"
ask run gaming
equal 'so is one in such a directory' 12 "$status"
chmod 755 "$tree/etc/vmrun/profiles"
mv "$tree/etc/vmrun/profiles/gaming.conf" "$tree/etc/vmrun/elsewhere"
ln -s ../elsewhere "$tree/etc/vmrun/profiles/gaming.conf"
ask run gaming
equal 'so is a symbolic link' 12 "$status"
rm "$tree/etc/vmrun/profiles/gaming.conf"
mv "$tree/etc/vmrun/elsewhere" "$tree/etc/vmrun/profiles/gaming.conf"
ask run gaming
equal 'run with --root changes nothing' 2 "$status"
chmod 755 "$tree"
output=$(setpriv --reuid 65534 --regid 65534 --clear-groups "$VMRUN" run gaming --root "$tree" 2>&1)
contains 'run needs root or refuses --root' $? '^(2|12)$'
output=$(setpriv --reuid 65534 --regid 65534 --clear-groups "$VMRUN" restore 2>&1)
equal 'restore needs root' 12 $?
finish
