#!/bin/bash
# Options, commands, profiles' names: what is understood, and what is said when it is not.
. "$(dirname "$0")/tap"
desktop

ask
equal 'bare vmrun prints help' 0 "$status"
contains 'and tells where to begin' "$output" 'vmrun doctor'
contains 'help fits a screen' "$(wc -l <<<"$output")" '^([0-9]|[12][0-9])$'
ask help gpus
equal 'help of one command' 0 "$status"
ask help nonsense
equal 'help of no command' 2 "$status"
ask --version
contains 'version' "$output" '^vmrun [0-9]'
ask gpus --nonsense
equal 'unknown option' 2 "$status"
contains 'it is named' "$output" 'nonsense'
ask gpus extra
equal 'one argument too many' 2 "$status"
ask plan
equal 'an argument is missing' 2 "$status"
contains 'and which' "$output" 'NAME'
ask gpus --color=blue
equal 'no such colour' 2 "$status"
for words in 'stop gaming --dry-run' 'gpus --force' 'plan gaming --undo' 'restore --timeout 9' 'list --gpu auto'; do
	# shellcheck disable=SC2086
	ask $words
	equal "an option of other commands: $words" 2 "$status"
	contains 'is named' "$output" "--[a-z-]+ does not belong here"
done
for time in soon 0 2d -1; do
	ask stop gaming --timeout "$time"
	equal "no such time: $time" 2 "$status"
done
output=$("$VMRUN" --root /no/such/place gpus 2>&1)
equal 'no such root' 2 $?

ask edit gaming
equal 'a reserved word is no profile' 2 "$status"
contains 'and how to mean one' "$output" 'vmrun -- edit'
ask -- edit
equal 'after -- it is one' 10 "$status"
ask nosuchprofile
equal 'no such profile' 10 "$status"
contains 'where it was looked for' "$output" '/etc/vmrun/profiles'

for words in dcotor 'dcotor gaming' 'dcotor --help'; do
	# shellcheck disable=SC2086
	ask $words
	equal "a misspelt command: $words" 10 "$status"
	contains 'the one that was meant' "$output" 'did you mean: vmrun doctor$'
done
ask help stauts
contains 'help, too' "$output" 'did you mean: vmrun help status$'
file /etc/vmrun/profiles/dcotor.conf '[gpu]' 'device=0000:09:00.0'
ask dcotor --dry-run
equal 'a profile of such a name is a profile' 6 "$status"
rm -r "$tree/etc/vmrun"

for name in '../../etc/passwd' '..' '/etc/passwd' 'a b' 'GAMING' 'a;reboot' '$(reboot)' "$(printf 'x%.0s' {1..40})" '<x>'; do
	for command in plan run show xml status; do
		ask "$command" "$name"
		contains "$command of the hostile name '$name' is refused" "$status" '^(2|10)$'
	done
done

contains 'the version as a document' "$("$VMRUN" --version --json | python3 -c 'import json,sys; d=json.load(sys.stdin); print(d["kind"], d["version"])')" '^version [0-9]'
contains 'and the help' "$("$VMRUN" help --json | python3 -c 'import json,sys; d=json.load(sys.stdin); print(d["kind"], d["commands"][0]["name"], sum(c["name"] == "worker" for c in d["commands"]))')" '^help run 0$'
ask gpus --json
equal 'gpus --json' 0 "$status"
contains 'is one document' "$(python3 -c 'import json,sys; d=json.load(sys.stdin); print(d["schema"], d["kind"], len(d["gpus"]))' <<<"$output")" '^1 gpus 2$'
ask plan --json nosuchprofile
equal 'errors keep their status with --json' 10 "$status"
contains 'and are documents' "$(python3 -c 'import json,sys; d=json.load(sys.stdin); print(d["schema"], d["kind"], d["code"], len(d["details"]))' <<<"$output")" '^1 error 10 0$'
for option in --json --quiet --verbose; do
	ask "$option" gpus
	equal "$option before the command" 0 "$status"
	ask gpus "$option"
	equal "$option after the command" 0 "$status"
done
output=$(TERM=xterm "$VMRUN" --root "$tree" gpus --color=always 2>&1)
output2=$("$VMRUN" --root "$tree" gpus 2>&1)
contains 'no colours into a pipe' "$(grep -c $'\033' <<<"$output2")" '^0$'
finish
