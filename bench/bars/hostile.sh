#!/bin/bash
# An attack of ten times as many sessions, up to 5,000 new ones a second, from other /24s of loopback, beside a paying load
# at half of the peak; all profiles of `sekisho-loadgen hostile` at once, REPEATS_HOSTILE (3) times, and recovery
# afterwards. Relay only, as the attack is then the larger part of the work. Called by bench/bars.sh.
. "$(dirname "$(realpath "$0")")/lib.sh"
begin "$(realpath "$0")"
seconds=${SECONDS_EACH:-$(quick && echo 8 || echo 20)}
paying=127.0.0.0/24
export SETTINGS="[admission]
exempt = [\"$paying\"]"
kept=() lost=0
for round in $(seq "${REPEATS_HOSTILE:-$(quick && echo 1 || echo 3)}"); do
  rm -f "$scratch/taken.ledger" "$scratch/sent.ledger"
  start_sink --ledger "$scratch/taken.ledger"
  start_engine hostile
  send --rate 1000 --seconds 3 --to user@example.test --seed $RANDOM > /dev/null
  taskset -c 1 "$PROGRAMS/sekisho-loadgen" hostile --server "127.0.0.1:$listen" --to user@example.test --seed "$RANDOM" \
    --phase-seconds "$seconds" --recovery --timeout-seconds 60 --ledger "$scratch/sent.ledger" --sink-ledger "$scratch/taken.ledger" \
    ${PEAK:+--peak "$PEAK"} --output "$scratch/hostile.json" > "$scratch/hostile.txt" 2>&1 || [ $? = 1 ] || { cat "$scratch/hostile.txt" >&2; exit 2; }
  echo "--- round $round"
  cat "$scratch/hostile.txt"
  report=$(cat "$scratch/hostile.json")
  kept+=("$(calc "100 * $(field "$report" kept)" %.1f)")
  lost=$((lost + $(field "$report" conservation.lost_count)))
  echo "RssAnon of engine and workers afterwards: $(memory_kib RssAnon) KiB"
  stop_engine
  stop_process "$sink_process"
done
row "hostile, relay: paying load kept" "$(median "${kept[@]}")" least 80 95 % "${#kept[@]} rounds, $(span "${kept[@]}")"
row "hostile, relay: paying mails lost" "$lost" most 0 - ''
