# Sourced by run: what a script in the emulated host may ask of the world outside (see `outside` in lib.sh). One line a request:
#
#   power-cut        QEMU is killed: nothing that is not on the disk remains.  The same machine boots again and runs the same script.
#   monitor WORDS    a command for QEMU's monitor, for instance `monitor device_del card`; the answer is what it says, empty if all is well
#
# EMULATED_HOST_BOOT tells the script which boot it is in, from 1 on.  The channels are pairs of pipes that stay when QEMU is killed.
# shellcheck shell=bash

outside_arguments=()
make_channels() {
	local name
	for name in outside monitor; do
		mkfifo "$logs/$name.in" "$logs/$name.out"
		outside_arguments+=(-chardev "pipe,id=$name,path=$logs/$name")
	done
	outside_arguments+=(-mon chardev=monitor,mode=control
		-device virtserialport,chardev=outside,name=org.vmrun.outside)
}

# ask_qemu JSON: the answer on the descriptor of the monitor is left in $answer; events are not ours.
ask_qemu() {
	echo "$1" >&6
	while read -r -t 20 answer <&5; do
		echo "$1 -> $answer" >>"$logs/monitor.log"
		case $answer in *'"return"'* | *'"error"'*) return ;; esac
	done
	answer='{"error": "QEMU does not answer"}'
}

monitor_command() {
	local text=${1//\\/\\\\}
	ask_qemu "{\"execute\": \"human-monitor-command\", \"arguments\": {\"command-line\": \"${text//\"/\\\"}\"}}"
	answer=$(sed 's/^{"return": "\(.*\)"}.*$/\1/; s/\\r//g; s/\\n/ /g' <<<"$answer")
}

serve_outside() {
	local request greeted='' now answer
	exec 3<>"$logs/outside.out" 4<>"$logs/outside.in" 5<>"$logs/monitor.out" 6<>"$logs/monitor.in"
	while read -r request <&3; do
		now=$(cat "$logs/qemu.pid")
		echo "# $request" >>"$logs/monitor.log"
		if [ "$greeted" != "$now" ]; then
			ask_qemu '{"execute": "qmp_capabilities"}'
			greeted=$now
		fi
		case $request in
		power-cut)
			echo $(($(cat "$exchange/boot") + 1)) >"$exchange/boot"
			touch "$logs/boot-again"
			kill -KILL "$now"
			;;
		'monitor '*)
			monitor_command "${request#monitor }"
			echo "$answer" >&4
			;;
		*) echo "outside: cannot '$request'" >&4 ;;
		esac
	done
}
