#!/bin/bash
# CPU milliseconds of the engine (all threads and workers on one core) for each mail of the 16 KiB mix,
# one mail per connection, `through` to a sink on the other core. Prints; asserts nothing.
#
#   bench/cpu-per-mail.sh                    relay: no patterns
#   bench/cpu-per-mail.sh spamassassin DIR   with SpamAssassin's rules in DIR
#   bench/cpu-per-mail.sh toml DIR           with rules of our own
#
# MAILS, SESSIONS and REPEATS may be set. Needs a release build and two cores. On a shared machine trust
# ratios within one run only: a busy neighbour makes caches cold and figures large.
set -euo pipefail
cd "$(dirname "$0")/.."
format=${1:-} rules=${2:-}
mails=${MAILS:-4000} sessions=${SESSIONS:-20} repeats=${REPEATS:-3}
programs=$PWD/target/release
dir=$(mktemp -d)
pids=()
finish() { for pid in "${pids[@]}"; do kill "$pid" 2> /dev/null || true; done; wait; rm -rf "$dir"; }
trap finish EXIT

taskset -c 1 "$programs/sekisho-loadgen" sink --listen 127.0.0.1:2626 > "$dir/sink.log" 2>&1 &
pids+=($!)
taskset -c 0 bench/engine.sh 127.0.0.1:2625 127.0.0.1:2626 "$dir" demo.test ${rules:+"$format" "$rules"} \
  > "$dir/engine.log" 2>&1 &
engine=$!
pids+=($engine)
until "$programs/sekisho" --data "$dir" status > /dev/null 2>&1; do
  kill -0 $engine 2> /dev/null || { cat "$dir/engine.log" >&2; exit 2; }
  sleep 0.2
done

# User and system ticks of the engine and its workers; a tick is 10 ms.
ticks() {
  local pid sum=0
  for pid in $engine $(pgrep -P $engine || true); do
    sum=$((sum + $(cut -d')' -f2- "/proc/$pid/stat" | awk '{print $12 + $13}')))
  done
  echo $sum
}
uname -srm
grep -m1 'model name' /proc/cpuinfo
for _ in $(seq "$repeats"); do
  before=$(ticks)
  taskset -c 1 "$programs/sekisho-loadgen" send --server 127.0.0.1:2625 --mails "$mails" \
    --sessions "$sessions" --to user@demo.test
  awk -v ticks=$(($(ticks) - before)) -v mails="$mails" \
    'BEGIN { printf "CPU ms per mail: %.3f\n", ticks * 10 / mails }'
done
