#!/bin/bash
# Instructions for each mail of the 16 KiB mix, counted by valgrind: the same on a busy machine as on a quiet
# one, so a change of one percent is a change.
#
#   bench/instructions.sh            view, scan, session, signs, classify
#   bench/instructions.sh view       one of them
#
# `view`: structure and all texts of a mail; `scan`: the same, and the starter rules over it; `session`: the SMTP
# dialogue with the mail; `signs`: `view`, and all that looks at a mail but rules; `classify`: `view`, features and the
# shipped model. Each is a run of ROUNDS (2) rounds over 50 mails less a run of none, which takes starting
# out. Rules are compiled once, outside of valgrind, and kept in target/ for the next time: which tier takes a rule is
# chosen by time, and two runs compare only with the same choice. RULES names another file
# of them, PROGRAM a build of the example. Needs valgrind. `scan` is left out where libhs compiled the rules for more
# than valgrind's processor has (AVX-512): there `--example scan_stages stages` measures it, in time.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v valgrind > /dev/null || { echo "instructions: valgrind is missing: apt-get install valgrind" >&2; exit 2; }
rounds=${ROUNDS:-2}
[ -n "${PROGRAM:-}" ] || cargo build --release --locked --quiet -p sekisho-bench --example instructions
target=${CARGO_TARGET_DIR:-target}
program=${PROGRAM:-$target/release/examples/instructions}
rules=${RULES:-$target/instructions.rules}
[ -s "$rules" ] || "$program" rules "$rules"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

counted() { # WORK ROUNDS
  valgrind --tool=callgrind --callgrind-out-file="$dir/out" "$program" "$1" "$2" "$rules" > "$dir/stdout" 2> "$dir/stderr" ||
    { cat "$dir/stderr" >&2; exit 2; }
  awk '/^totals:|^summary:/ { print $2; exit }' "$dir/out"
}
read -ra works <<< "${*:-view scan session signs classify}"
for work in "${works[@]}"; do
  none=$(counted "$work" 0)
  if reason=$(grep '^left out' "$dir/stdout"); then
    printf '%-8s %s\n' "$work" "$reason"
    continue
  fi
  all=$(counted "$work" "$rounds")
  mails=$(awk '/^mails/ { print $2 }' "$dir/stdout")
  awk -v work="$work" -v n=$((all - none)) -v mails="$mails" 'BEGIN { printf "%-8s %10.0f instructions a mail\n", work, n / mails }'
done
