#!/bin/bash
# Twice the peak for SECONDS_EACH (60), relay only and with full scanning. Called by bench/bars.sh.
#
# The peak is the knee that `sekisho-loadgen ramp` finds. Then an open loop at 80 % of it for 20 s, and one at twice
# the peak, each after 5 s at 80 % that are not counted, from 50 addresses of loopback, with so many sessions (15,000) that
# it is the engine's admission and the kernel's backlog that limit them and not the generator. A client waits for a
# minute. Latency counts from the moment at which a mail was due; accepted is what was within the time. What is not
# answered then is the backlog; what was accepted at all must be in the sink's ledger.
. "$(dirname "$(realpath "$0")")/lib.sh"
begin "$(realpath "$0")"
seconds=${SECONDS_EACH:-$(quick && echo 20 || echo 60)}
sources=(--source 127.0.1.1-127.0.1.50)
read -r sink < <(ports 1)

peak() { # gives the knee in $peak
  taskset -c 1 "$PROGRAMS/sekisho-loadgen" ramp --server "127.0.0.1:$listen" --from-rate "$1" --rate-max 40000 --step-seconds 5 \
    --steps "$(quick && echo 7 || echo 10)" --sessions-max 4000 --to user@example.test "${sources[@]}" --json > "$scratch/ramp.json" || true
  peak=$(python3 - "$scratch/ramp.json" << 'PYTHON'
import json, sys
report = json.load(open(sys.argv[1]))
for step in report["steps"]:
    print("  %.0f/s: accepted %.0f/s, refused %d, unknown %d, p99 %.1f ms%s" % (
        step["rate"], step["accepted_per_second"], step["refused"], step["unknown"], step["p99_ms"],
        "; failed: " + step["failed"] if step["failed"] else ""), file=sys.stderr)
print(round(report["knee"]))
PYTHON
  )
}
one() { # NAME RATE SECONDS: gives the report in $report, mails a second accepted in the time in $rate, and says it
  local name=$1 sent=$scratch/sent.ledger taken=$scratch/sink.ledger
  rm -f "$sent" "$taken"
  start_sink --ledger "$taken"
  sleep 3 # what the run before left is delivered
  # This sink is a new one: connections to the one before are found dead, which is no matter of load. And the first
  # seconds of a load are slower than those after them, at 80 % as well: the ratio is of two warm engines.
  send --rate "$(calc "$peak * 0.8")" --seconds 5 --to user@example.test --seed $RANDOM "${sources[@]}" > /dev/null
  report=$(send --rate "$2" --seconds "$3" --sessions-max 15000 --timeout-seconds 60 --to user@example.test --ledger "$sent" \
    --seed $RANDOM "${sources[@]}")
  rate=$(in_time "$report" "$3")
  echo "$name: $(calc "$2" %.0f)/s for $3 s: accepted $rate/s in the time; afterwards too:" \
    "accepted, for now, refused: $(fields "$report" accepted refused_temporary refused_permanent);" \
    "unknown, not connected: $(fields "$report" unknown connect_failures);" \
    "ms of accepted p50, p99, max: $(fields "$report" latency_accepted_ms.p50 latency_accepted_ms.p99 latency_accepted_ms.max);" \
    "replies: $(field "$report" replies); generator limited: $(field "$report" generator.limited)"
  conserved "$sent" "$taken"
  stop_process "$sink_process"
}
conserved() { # SENT TAKEN: waits until the sink has what was accepted; gives the number of lost mails in $lost
  local found
  for _ in $(seq 30); do
    found=$("$PROGRAMS/sekisho-loadgen" conserve --sent "$1" --received "$2" --json) && break
    sleep 1
  done
  lost=$(field "$found" lost_count)
  echo "  sent, delivered, refused, unknown, lost, duplicated:" \
    "$(fields "$found" sent delivered refused unknown lost_count duplicated_count)"
}
judge() { # NAME BAR AIM FROM-RATE [FORMAT RULES]...
  local name=$1 bar=$2 aim=$3 from=$4 calm
  shift 4
  # The same work for the sink as afterwards: it is on the load's core, and a peak that it does not hold is none.
  start_sink --ledger "$scratch/ramp.ledger"
  start_engine "overload-$name" "$@"
  peak "$from"
  stop_process "$sink_process"
  echo "$name: peak $peak mails/s"
  if [ "$peak" = 0 ]; then
    row "2x overload, $name: accepted / peak" "no peak found" least "$bar" "$aim" %
    stop_engine
    return
  fi
  one "$name, 80 %" "$(calc "$peak * 0.8")" "$(quick && echo 10 || echo 20)"
  calm=$(field "$report" latency_accepted_ms.p99)
  one "$name, 200 %" "$(calc "$peak * 2")" "$seconds"
  row "2x overload, $name: accepted / peak" "$(calc "100 * $rate / $peak" %.0f)" least "$bar" "$aim" % "$rate/s of $peak/s"
  row "2x overload, $name: mails lost" "$lost" most 0 - ''
  row "2x overload, $name: p99 of accepted / at 80 %" "$(calc "$(field "$report" latency_accepted_ms.p99) / $calm" %.1f)" most 3 2 times \
    "$(field "$report" latency_accepted_ms.p99) ms, $calm ms"
  echo "RssAnon of engine and workers afterwards: $(memory_kib RssAnon) KiB"
  stop_engine
}
judge "relay" 55 75 1000
if full_rules; then judge "scanning" 85 95 250 "${rules[@]}"; fi
