#!/bin/bash
# CPU of the engine for each mail with 2 shards (cores 0 and 1) against 1 (core 0), relay, open loop at RATE
# (1500) mails a second for SECONDS_EACH (15), interleaved. Called by bench/bars.sh.
#
# Unfair on two cores: with 2 shards one of them shares its core, and its caches, with load and sink.
. "$(dirname "$(realpath "$0")")/lib.sh"
begin "$(realpath "$0")"
rate=${RATE:-1500} seconds=${SECONDS_EACH:-$(quick && echo 6 || echo 15)}
start_sink --discard

one() { # SHARDS: gives microseconds a mail in $cost
  local shards=$1 report before
  case $shards in
    1) SHARDS=1 ENGINE_CORES=0 start_engine relay ;;
    *) SHARDS=$shards ENGINE_CORES=0,1 start_engine relay ;;
  esac
  send --rate "$rate" --seconds 2 --sessions-max 500 --to user@example.test > /dev/null
  before=$(cpu_us)
  report=$(send --rate "$rate" --seconds "$seconds" --sessions-max 500 --to user@example.test)
  sleep 0.5
  cost=$(calc "($(cpu_us) - $before) / $(field "$report" accepted)" %.1f)
  echo "$shards shard(s): $cost us of CPU a mail; accepted, unknown, p99 ms: $(fields "$report" accepted unknown latency_ms.p99);" \
    "generator limited: $(field "$report" generator.limited)"
  stop_engine
}
ratios=()
for round in $(seq "$REPEATS"); do
  one 1; single=$cost
  one 2
  ratios+=("$(calc "$cost / $single")")
  echo "round $round: ${ratios[-1]}"
done
middle=$(median "${ratios[@]}")
row "CPU a mail, 2 shards / 1" "$middle" most 1.10 - times "$REPEATS rounds, $(span "${ratios[@]}")"
