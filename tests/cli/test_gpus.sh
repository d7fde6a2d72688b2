#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What gpus and topology say, for people and for programs.
. "$(dirname "$0")/tap"
desktop

# json FILTER: of the last output.
json() { jq -c "$1" <<<"$output" 2>&1; }

ask gpus --json
equal "gpus ends with 0" 0 "$status"
equal "the document says what it is" '[1,"gpus",true,2]' "$(json '[.schema,.kind,.iommu,(.gpus|length)]')"
equal "a card has exactly the members that are promised" \
	'["address","boot_display","bridges","class","driver","functions","group","groups","id","in_the_way","integrated","isolated","name","problems","subsystem","usable"]' \
	"$(json '.gpus[1]|keys')"
equal "the card can be given away" '["0000:01:00.0","10de:2484",null,"nouveau",13,[13],true,false,false,true,[]]' \
	"$(json '.gpus[1]|[.address,.id,.subsystem,.driver,.group,.groups,.isolated,.boot_display,.integrated,.usable,.problems]')"
equal "its functions go together" '["0000:01:00.0","0000:01:00.1"]' "$(json '.gpus[1].functions')"
equal "the boot display cannot" '[true,true,false,["boot-display"]]' \
	"$(json '.gpus[0]|[.boot_display,.integrated,.usable,.problems]')"

ask gpus
equal "gpus ends with 0 in text, too" 0 "$status"
contains "a usable card is called so" "$output" '0000:01:00.0 .*: can be given to a guest'
contains "the boot display is explained" "$output" 'display that the firmware started with.*boot-display'
contains "with a way out" "$output" '^    do: choose another card'

function_at 0000:00:17.0 010601 8086 7ae2 ahci 13
ask gpus --json
equal "a disk controller in the group is in the way" \
	'[["0000:00:17.0","010601","ahci"],["address","class","driver","name","reason"],false,["shared-group"]]' \
	"$(json '.gpus[1]|[(.in_the_way[0]|[.address,.class,.driver]),(.in_the_way[0]|keys),.isolated,.problems]')"
ask gpus
contains "and what it costs is said" "$output" '0000:00:17.0  storage controller: the host would lose the disks'

ask topology
equal "topology ends with 0" 0 "$status"
contains "the tree has every function" "$output" '0000:00:17.0 +13 ahci'
contains "a group with a card is drawn" "$output" 'IOMMU group 13'
ask topology --json
equal "topology is JSON, too" '["topology",4]' "$(json '[.kind,(.functions|length)]')"
ask topology "$tree/picture.svg"
equal "a picture is refused" 2 "$status"
contains "with the reason" "$output" 'pictures are not built yet'
equal "and not written" no "$([ -e "$tree/picture.svg" ] && echo yes || echo no)"

rm "$tree/sys/bus/pci/devices/0000:01:00.0/iommu_group"
echo 13 >"$tree/sys/bus/pci/devices/0000:01:00.0/iommu_group"
ask gpus --json
equal "what cannot be read is null and a problem" '[null,["unreadable","shared-group"]]' \
	"$(json '.gpus[1]|[.group,.problems]')"

rm -r "$tree/sys"
ask gpus
equal "a computer without PCI is no error" 0 "$status"
contains "but it is said" "$output" 'no graphics card found'
finish
