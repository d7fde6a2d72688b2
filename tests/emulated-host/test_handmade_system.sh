#!/bin/bash
# machine: card
# init: systemd
# deadline: 300
# The chain without vmrun; see selftest/cycle.sh.
exec "$(dirname "$0")/selftest/cycle.sh" system
