# Two commands: `make run` and `make test`. `make help` names the others.
# Neither starts, stops or replaces a system service; everything they make lies in target/ and var/.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# Where `make run` keeps its data, and what else it hands to `sekisho run`.
DATA ?= var
RUN_ARGUMENTS ?=

# A feature of the programs: yara.
FEATURES ?=

# What the build links and what the tests send mail with.
BUILD_PACKAGES := gcc libc6-dev pkg-config libhyperscan-dev libpcre2-dev
TEST_PACKAGES := $(BUILD_PACKAGES) swaks python3 xz-utils

.PHONY: help
help: ## This text.
	@awk 'BEGIN {FS = ":.*## "} /^[a-z][a-z-]*:.*## / {printf "  make %-15s %s\n", $$1, $$2}' Makefile

.PHONY: run
run: machine build ## Build and start the gateway: SMTP on 127.0.0.1:2525, demo domain, data in ./var.
	@exec target/release/sekisho --data $(DATA) run $(RUN_ARGUMENTS)

.PHONY: build
build: rust packages ## Build the programs in release mode; FEATURES=yara: with YARA rules.
	@cargo build --release --locked --bins $(if $(FEATURES),--features $(FEATURES))

.PHONY: test
test: rust test-packages ## The gate: style, lints, docs, licences, all tests. 20 minutes on 2 cores.
	@tests/gate.sh

.PHONY: soak
soak: rust test-packages ## The long runs: 200 kills in both modes, thousands of seeds, a larger corpus.
	@tests/gate.sh soak

.PHONY: soak-load
soak-load: build ## Full load with faults by a fixed seed for SOAK_SECONDS (default 600); report on stdout.
	@cargo run --release --locked -p sekisho-tests --example soak_load

.PHONY: fuzz
fuzz: rust test-packages ## Fuzz every parser and file format for SECONDS_EACH (default 60).
	@tests/gate.sh fuzz $${SECONDS_EACH:-60}

.PHONY: yara
yara: rust test-packages ## Build the programs with YARA rules (target/debug) and test that; 13 minutes of CPU the first time.
	@tests/gate.sh yara

.PHONY: tables-figures
tables-figures: build ## Figures for 10 million list entries and 1 million recipients.
	@cargo run --release --locked -p sekisho-bench --example tables_scale

.PHONY: queue-figures
queue-figures: build ## Figures for a million mails that wait for dead hops; 10 GB in target/queue-million.
	@rm -rf target/queue-million target/queue-million.empty
	@bench/queue-million.sh target/queue-million all

.PHONY: bench-peers
bench-peers: build ## All bars, those against Postfix, rspamd and Haraka among them; root, an hour and a quarter. ROWS=peers 25 minutes.
	@bench/bars.sh $${ROWS:-all}

.PHONY: load-soak
load-soak: build ## Ten minutes of full load: memory in minute 10 against minute 2, every mail accounted for.
	@OUT=target/load-soak.txt bench/bars.sh memory

.PHONY: machine
machine:
	@tests/machine.sh

# The line that fixes it depends on what is there: Debian 12 has no package rustup, a Rust of a
# distribution does not update itself, and rustup's own directory may just not be in PATH.
.PHONY: rust
rust:
	@wanted=$$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml); \
	if command -v cargo > /dev/null; then found=$$(rustc --version | cut -d' ' -f2); else found=; fi; \
	newest=$$(printf '%s\n%s\n' "$$wanted" "$$found" | sort -V | tail -n1); \
	[ -n "$$found" ] && [ "$$newest" = "$$found" ] && exit 0; \
	if [ -n "$$found" ]; then echo "Rust $$found is older than $$wanted:" >&2; \
	else echo "Rust $$wanted or later is missing:" >&2; fi; \
	if [ -z "$$found" ] && [ -x "$$HOME/.cargo/bin/cargo" ]; then echo '  . "$$HOME/.cargo/env"' >&2; \
	elif command -v rustup > /dev/null; then echo "  rustup update stable" >&2; \
	elif apt-cache policy rustup 2> /dev/null | grep -q 'Candidate: [0-9]'; then \
	  if [ "$$(id -u)" = 0 ]; then echo "  apt-get install rustup && rustup default stable" >&2; \
	  elif command -v sudo > /dev/null; then \
	    echo "  sudo apt-get install rustup && rustup default stable" >&2; \
	  else echo '  su -c "apt-get install rustup" && rustup default stable' >&2; fi; \
	else echo '  curl --proto =https -sSf https://sh.rustup.rs | sh -s -- -y && . "$$HOME/.cargo/env"' >&2; fi; \
	exit 2

.PHONY: packages
packages:
	@tests/packages.sh $(BUILD_PACKAGES)

.PHONY: test-packages
test-packages:
	@tests/packages.sh $(TEST_PACKAGES)
