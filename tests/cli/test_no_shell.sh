#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What vmrun executes: never a shell, and only programs of the system, whatever the caller's environment says.
. "$(dirname "$0")/tap"
command -v strace >/dev/null || { echo "Bail out! strace is not installed"; exit 1; }

desktop
file /etc/vmrun/profiles/gaming.conf '[gpu]' 'device=0000:01:00.0' '[disk system]' 'path=/var/lib/libvirt/images/$(touch gotcha).img' \
	'[session]' 'stop-units=nvidia-persistenced.service'
mkdir -p "$tree/run/systemd/system" "$tree/bin"
file '/var/lib/libvirt/images/$(touch gotcha).img' x
file /var/lib/vmrun/journal/old.conf torn

# What a caller could put in the way: programs of the right names, and a library for every process.
for name in modprobe systemctl sh bash vmrun loginctl udevadm virsh qemu-img dmidecode lspci; do
	printf '#!/bin/sh\n: >"%s/impostor.%s"\n' "$tree" "$name" >"$tree/bin/$name"
	chmod 755 "$tree/bin/$name"
done
as_root=no
[ "$(id -u)" -eq 0 ] && as_root=yes
[ "$as_root" = yes ] || [ -z "${VMRUN_MUST_RUN:-}" ] || not_ok 'this test runs as root'

# trace PROGRAM ARGUMENT...: with a caller's worst environment; what was executed, one a line, in $executed, and in $inherited how
# many of the programs that were started got something of that environment.
trace() {
	(cd "$tree" && PATH="$tree/bin:$PATH" GIO_EXTRA_MODULES="$tree" GCONV_PATH="$tree" LIBVIRT_DEFAULT_URI="test:///default" \
		strace -f -v -s 4096 -qq -e trace=execve,execveat -o "$tree/trace" "$@" >"$tree/output" 2>&1 </dev/null)
	executed=$(sed -nE 's/.*execve(at)?\(([^"]*)"([^"]*)".* = 0$/\3/p' "$tree/trace")
	inherited=$(grep 'execve' "$tree/trace" | tail -n +2 | sed 's/.*\], \[//' | grep -c "$tree\|LIBVIRT")
}

# is_clean: vmrun itself or a program of the system that is on the list, at least one, and nothing else left a trace.
is_clean() {
	local allowed=(-e "$program" -e /proc/self/exe -e /usr/bin/systemctl -e /bin/systemctl -e /sbin/modprobe -e /usr/sbin/modprobe)
	[ "$as_root" = yes ] || allowed+=(-e "$tree/bin/systemctl")
	[ "$inherited" -eq 0 ] || [ "$as_root" = no ] || return 1
	[ -n "$executed" ] && ! grep -qvxF "${allowed[@]}" <<<"$executed" && ! ls "$tree"/impostor.* "$tree/gotcha" >/dev/null 2>&1
}

cases=0
passed=0
# only_programs WORD...
only_programs() {
	cases=$((cases + 1))
	trace "$program" --root "$tree" "$@"
	if is_clean; then
		passed=$((passed + 1))
		ok "$*: no shell"
	else
		not_ok "$*: executed: $(tr '\n' ' ' <<<"$executed"); here: $(ls "$tree" | tr '\n' ' ')"
	fi
}

program=$(readlink -f "$VMRUN")
trace /bin/sh -c 'systemctl'
if is_clean; then not_ok 'a shell, and a program of the caller, would be seen'; else ok 'a shell, and a program of the caller, would be seen'; fi
equal 'the program of the caller was there to be found' "$tree/impostor.systemctl" "$(ls "$tree"/impostor.*)"
rm -f "$tree"/impostor.*
commands=(help --version gpus doctor 'doctor gaming' plan\ gaming 'plan gaming --json' 'xml gaming' 'show gaming' 'show gaming --origin' list
	status 'status gaming' topology 'who 01:00.0' 'who auto' 'changes gaming' 'restore --dry-run' 'restore' 'restore --all' 'restore old' 'run gaming --dry-run'
	'run gaming --foreground' 'stop gaming' '$(touch gotcha)' '`touch gotcha`')
for words in "${commands[@]}"; do
	# shellcheck disable=SC2086
	case $words in
	*touch*) only_programs "$words" ;;
	*) only_programs $words ;;
	esac
done

# Every command that help tells of is in the list above; worker is not for people.
while read -r word; do
	case " ${commands[*]} " in
	*" $word "*) ok "$word was tried" ;;
	*) not_ok "$word was not tried" ;;
	esac
done < <("$VMRUN" help | sed -nE 's/^ +vmrun ([a-z]+) .*/\1/p')
echo "suite: no-shell cases=$cases pass=$passed fail=$((cases - passed))"
equal 'every command was tried' "${#commands[@]}" "$cases"
finish
