# SPDX-License-Identifier: GPL-2.0-or-later
# vmrun: build, test, install. `make help` lists the targets.
#
# Everything that is made goes below build/; each variant has a directory of its own.

# --- settings -------------------------------------------------------------------------------------

VERSION = 0.1.0

# /usr, because polkit looks nowhere else; install overwrites nothing that is not vmrun's.
PREFIX ?= /usr
DESTDIR ?=

CFLAGS ?= -O2 -g
VARIANT ?= normal
BUILD ?= build/$(VARIANT)
FUZZ_SECONDS ?= 60

# CI sets it: on a user's newer compiler a new warning must not stop the build.
WERROR ?= 0

# --- flags: CFLAGS and LDFLAGS are the user's and stay as they are --------------------------------

# libvirt is only compiled against: the worker opens it when it needs it.
PACKAGES = glib-2.0 json-glib-1.0 libpci libkmod libudev libxml-2.0 smartcols
LIBRARY_CFLAGS := $(shell pkg-config --silence-errors --cflags $(PACKAGES) libvirt)
LIBRARY_LIBS := $(shell pkg-config --silence-errors --libs $(PACKAGES))

WARNINGS = -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wwrite-strings \
	-Wformat=2 -Wundef -Wvla -Wswitch-enum -Wcast-align -Wpointer-arith \
	-Wold-style-definition -Wnull-dereference

VR_CPPFLAGS = -Iinclude -Isrc -D_GNU_SOURCE -DVR_VERSION='"$(VERSION)"' \
	-DVR_PROFILE_DIR='"$(PREFIX)/share/vmrun/profiles"' \
	-DGLIB_VERSION_MIN_REQUIRED=GLIB_VERSION_2_74 -DGLIB_VERSION_MAX_ALLOWED=GLIB_VERSION_2_74
VR_CFLAGS = -std=gnu11 $(WARNINGS) $(VR_CPPFLAGS) $(LIBRARY_CFLAGS) $(VARIANT_CFLAGS_$(VARIANT)) \
	$(if $(filter 1,$(WERROR)),-Werror)
VR_LDFLAGS = -Wl,--as-needed $(VARIANT_CFLAGS_$(VARIANT))
VARIANT_CFLAGS_asan = -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
VARIANT_CFLAGS_fuzz = -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all \
	-Wno-unused-variable

# --- sources: every file by name, layer by layer --------------------------------------------------

BASE_SOURCES = $(addprefix src/base/, error.c fd.c files.c spawn.c sysroot.c sysroot_walk.c text.c)
HOST_SOURCES = $(addprefix src/host/, accounts.c cmdline.c cpu_topology.c disk_facts.c file_facts.c \
	firmware.c gpu_nodes.c gpu_users.c host_facts.c host_state.c host_state_cpus.c host_state_rules.c \
	host_state_text.c identity.c image_header.c iommu_groups.c keyboards.c kvm_access.c memory.c modules.c \
	network.c node_modes.c option_rom.c ovmf.c path_facts.c path_rules.c pci_address.c pci_capabilities.c pci_devices.c pci_names.c process.c \
	process_scan.c profile_files.c qemu_conf.c storage.c virtualisation.c)
PLAN_SOURCES = $(addprefix src/plan/, alive.c checks.c checks_boot.c checks_confinement.c checks_disks.c checks_functions.c \
	checks_gpu.c checks_guest.c checks_holders.c checks_iommu.c checks_memory.c checks_paths.c \
	cpu_placement.c \
	device_choice.c device_problems.c domain_devices.c domain_xml.c domain_xml_read.c fingerprint.c \
	fingerprint_compare.c gpu.c gpu_survey.c gpu_words.c plan.c profile.c profile_checks.c profile_keys.c profile_lines.c \
	profile_sections.c profile_values.c report.c restore.c)
RUN_SOURCES = $(addprefix src/run/, apply.c changes.c claims.c domain.c give_back.c hypervisor.c hypervisor_embed.c \
	identity_store.c inhibitor.c inspect.c journal.c lock.c mover.c preparation.c recovery.c scout.c session.c \
	session_alive.c session_back.c session_guest.c session_kept.c session_take.c shared.c status.c step.c step_cpus.c unit.c worker.c worker_capabilities.c \
	worker_look.c worker_main.c worker_verbs.c)
CLI_SOURCES = $(addprefix src/cli/, cmd_changes.c cmd_doctor.c cmd_gpus.c cmd_plan.c cmd_restore.c cmd_run.c \
	cmd_show.c cmd_status.c cmd_topology.c cmd_who.c cmd_xml.c commands.c main.c print.c \
	profile_arg.c reserved.c)

SUPPORT_SOURCES = $(sort $(wildcard tests/support/*.c))
FUZZ_SUPPORT = tests/fuzz/parts.c $(SUPPORT_SOURCES)
FUZZ_SOURCES = $(sort $(wildcard tests/fuzz/fuzz_*.c))

LIBRARY_SOURCES = $(BASE_SOURCES) $(HOST_SOURCES) $(PLAN_SOURCES) $(RUN_SOURCES)
objects = $(patsubst %.c,$(BUILD)/%.o,$(1))
LIBRARY = $(BUILD)/libvmrun.a
PROGRAM = $(BUILD)/vmrun
# In test programs only, what changes a file passes through tests/support/system_calls.c.
WRAPPED_CALLS = dlsym openat syscall write pwrite fsync renameat unlinkat mkdirat fchmod fchmodat ftruncate
# Holds device nodes inside of the emulated host.
HOLDER = $(BUILD)/tests/emulated-host/inside/hold
UNIT_TESTS = $(patsubst %.c,$(BUILD)/%,$(sort $(wildcard tests/unit/test_*.c tests/contract/*.c)))
REPLAYS = $(patsubst tests/fuzz/fuzz_%.c,$(BUILD)/tests/fuzz/replay_%,$(FUZZ_SOURCES))
TESTS = $(UNIT_TESTS) $(REPLAYS)
FUZZERS = $(patsubst %.c,$(BUILD)/%,$(FUZZ_SOURCES))
ORACLE = $(BUILD)/tests/oracle/oracle

# --- building -------------------------------------------------------------------------------------

ifneq ($(V),1)
MAKEFLAGS += --silent
say = echo "  $(1)	$(2)"
endif

.PHONY: all tests fuzzers check check-fast lint check-unit check-golden check-cli check-asan check-valgrind \
	check-emulated golden-update bench fuzz proof demo format format-check install uninstall clean help FORCE

all: $(PROGRAM) ## build vmrun (the default); V=1 shows the commands, WERROR=1 is strict

$(BUILD)/%.o: %.c $(BUILD)/flags
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(CC) $(VR_CFLAGS) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(LIBRARY): $(call objects,$(LIBRARY_SOURCES))
	$(call say,AR,$@)
	rm -f $@ && ar rcs $@ $^

$(PROGRAM): $(call objects,$(CLI_SOURCES)) $(LIBRARY)
$(UNIT_TESTS): $(BUILD)/%: $(BUILD)/%.o $(call objects,$(SUPPORT_SOURCES)) $(LIBRARY)
$(REPLAYS): $(BUILD)/tests/fuzz/replay_%: $(BUILD)/tests/fuzz/fuzz_%.o \
	$(call objects,tests/fuzz/replay.c $(FUZZ_SUPPORT)) $(LIBRARY)
$(FUZZERS): $(BUILD)/%: $(BUILD)/%.o $(call objects,$(FUZZ_SUPPORT)) $(LIBRARY)
$(TESTS) $(FUZZERS): MORE = $(foreach name,$(WRAPPED_CALLS),-Xlinker --wrap=$(name)) @tests/support/stand_ins
$(FUZZERS): MORE += -fsanitize=fuzzer
$(HOLDER): $(BUILD)/%: $(BUILD)/%.o
$(ORACLE): $(BUILD)/%: $(BUILD)/%.o $(BUILD)/tests/support/oracle.o $(BUILD)/tests/support/oracle_replay.o
$(PROGRAM) $(TESTS) $(FUZZERS) $(ORACLE) $(HOLDER):
	$(call say,LINK,$@)
	$(CC) $(VR_LDFLAGS) $(MORE) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBRARY_LIBS)

# Changes only when the flags do, and then everything is made again.
$(BUILD)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(subst ','\'',$(CC) $(VR_CFLAGS) $(CPPFLAGS) $(CFLAGS))' >$@.new
	@if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi
FORCE:

-include $(wildcard $(addprefix $(BUILD)/,src/*/*.d tests/*/*.d))

# --- checking -------------------------------------------------------------------------------------

# With RESULTS set, the counts of each run are added to that file: `make check` ends with their sum.
RUN_TESTS = VMRUN=$(abspath $(PROGRAM)) tests/run-tests
FAST_STAGES = lint check-unit check-golden check-cli
STAGES = $(FAST_STAGES) check-asan check-valgrind check-emulated

check: ## install what is needed, run every test; the last line is "N passed, N failed"
	@tests/install-packages build run check emulated-host
	+@tests/run-stages $(STAGES)

check-fast: ## the same without sanitisers, valgrind and the emulated host; under a minute
	@tests/install-packages build run check
	+@tests/run-stages $(FAST_STAGES)

tests: $(TESTS) $(ORACLE) $(HOLDER)
fuzzers: $(FUZZERS)

lint: ## layers, headers, sizes, words, cppcheck, format
	@$(RUN_TESTS) --plain --name lint $(sort $(wildcard tests/lint/*.sh))

check-unit: tests ## unit tests, and the contract test on the fake kernel
	@$(RUN_TESTS) --name unit $(TESTS)

check-golden: $(PROGRAM) ## what vmrun says about recorded hosts, beside what it said before
	@$(RUN_TESTS) --name golden $(sort $(wildcard tests/golden/*.sh))

check-cli: $(PROGRAM) ## the command line: options, errors, exit statuses
	@$(RUN_TESTS) --name cli $(sort $(wildcard tests/cli/*.sh))

check-asan: ## unit tests under AddressSanitizer and UndefinedBehaviorSanitizer
	@$(MAKE) --no-print-directory VARIANT=asan BUILD=build/asan CFLAGS='-O1 -g' tests
	@VMRUN_SMALL=1 $(RUN_TESTS) --name asan $(patsubst $(BUILD)/%,build/asan/%,$(TESTS))

check-valgrind: tests ## unit tests under valgrind's memory checker
	@$(RUN_TESTS) --name valgrind --wrap tests/valgrind $(TESTS)

check-emulated: $(PROGRAM) $(BUILD)/tests/contract/binding_contract $(ORACLE) $(HOLDER) ## whole sessions in an emulated computer with an IOMMU and a card
	@$(RUN_TESTS) --name emulated-host --live tests/emulated-host/check

golden-update: $(PROGRAM) $(BUILD)/tests/unit/test_domain_xml ## accept what vmrun says now; review the diff before you commit it
	@GOLDEN_UPDATE=1 $(BUILD)/tests/unit/test_domain_xml >/dev/null
	@for script in $(sort $(wildcard tests/golden/*.sh)); do \
		VMRUN=$(abspath $(PROGRAM)) GOLDEN_UPDATE=1 $$script || exit 1; done

bench: $(PROGRAM) ## what vmrun costs, beside lspci on the same tree and beside libvirt's own moving of a card
	@VMRUN=$(abspath $(PROGRAM)) tests/bench/gpus.sh
	@tests/emulated-host/run --machine card --init systemd --deadline 600 tests/emulated-host/inside/bench.sh

fuzz: ## throw random input at the parsers, FUZZ_SECONDS (60) each
	@tests/install-packages build fuzz
	@$(MAKE) --no-print-directory VARIANT=fuzz BUILD=build/fuzz CC=clang fuzzers
	@tests/fuzz/run $(FUZZ_SECONDS) $(patsubst %.c,build/fuzz/%,$(FUZZ_SOURCES))

proof: ## run everything, for an hour or two, and write tests/PROOF.md; PROOF_ONLY="fuzz amd-12": these anew
	@tests/install-packages build run check emulated-host fuzz proof
	+@tests/proof $(PROOF_ONLY)

demo: ## a whole session in an emulated computer, live; installs what it needs
	@tests/install-packages build run emulated-host
	@$(MAKE) --no-print-directory all
	@tests/emulated-host/demo

format: ## let clang-format lay out all C sources
	@clang-format-14 -i $(wildcard include/vmrun/*.h src/*/*.[ch] tests/*/*.[ch] tests/*/*/*.[ch])

format-check: ## say what it would change
	@tests/lint/format.sh

# --- installing -----------------------------------------------------------------------------------

install: $(PROGRAM) ## install below DESTDIR and PREFIX; refuses to overwrite a foreign file
	@src/data/install $(PROGRAM) "$(DESTDIR)" "$(PREFIX)"

uninstall: ## remove exactly what install has put there
	@src/data/uninstall "$(DESTDIR)" "$(PREFIX)"

clean: ## remove what was built (what was downloaded for the emulated host stays)
	rm -rf build/normal build/asan build/fuzz build/results build/proof

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' Makefile | while IFS="$$(printf '\t')" read -r a b; \
		do printf '  %-16s %s\n' "$$a" "$$b"; done
