#!/bin/bash
# The gate (`make test`), the long suites (`make soak`, `make fuzz`), and what is behind a feature (`make yara`).
# Each step is named before it runs; the first that fails ends the gate.
set -euo pipefail
cd "$(dirname "$0")/.."
mode=${1:-gate}

step() { printf '\n== %s (%s s)\n' "$*" "$SECONDS" >&2; }

# The test runner: nextest where it is, else cargo's own.
run_tests() {
  if cargo nextest --version > /dev/null 2>&1; then
    cargo nextest run --locked --no-fail-fast "$@"
  else
    cargo test --locked --no-fail-fast "$@"
  fi
}

case $mode in
  soak)
    step "programs"
    cargo build --release --locked --bins
    step "soak"
    SEKISHO_SOAK=1 run_tests --release -p sekisho-tests -p sekisho-core
    exit
    ;;
  fuzz)
    step "fuzz, ${2:-60} seconds each"
    # Our own code optimised, with its checks: up to seven times as many inputs.
    SEKISHO_FUZZ_SECONDS=${2:-60} run_tests -p sekisho-tests --test fuzz \
      --config profile.dev.package.sekisho-core.opt-level=2 --config profile.dev.package.sekisho-tests.opt-level=1
    exit
    ;;
  yara)
    # Its dependencies are built anew for it: 13 minutes of CPU, so the gate only looks whether it compiles (0111).
    # The programs in target/debug have YARA afterwards, until the gate builds its own.
    step "programs with YARA"
    cargo build --locked --bins --features yara
    step "tests of YARA, and of the sandbox that it runs in"
    run_tests -p sekisho-core -p sekisho-tests --features yara yara
    run_tests -p sekisho-core -p sekisho-tests --features yara analysis::
    exit
    ;;
  gate) ;;
  *) echo "gate.sh: unknown suite $mode" >&2; exit 2 ;;
esac

# The only step that asks the network: sources of every dependency, those of other platforms too, whose
# licences are looked at.
step "sources of dependencies"
cargo fetch --locked --quiet
step "formatting"
cargo fmt --all --check
step "lints"
cargo clippy --locked --workspace --all-targets -- -D warnings
step "lints of what is behind the feature yara"
cargo clippy --locked -p sekisho-core -p sekisho-engine -p sekisho -p sekisho-bench -p sekisho-tests \
  --features yara --all-targets -- -D warnings
step "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --quiet
if command -v cargo-deny > /dev/null; then
  step "licences and duplicates (cargo deny)"
  cargo deny --offline check licenses bans sources
fi
step "programs"
cargo build --locked --bins
step "tests"
run_tests --workspace
step "done"
