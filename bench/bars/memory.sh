#!/bin/bash
# Memory in the last minute of full load against that in minute 2: RssAnon + RssShmem of engine and workers, sampled
# each second, full scanning, closed loop of 32 sessions, for MINUTES (10). Also the base of the soak. Called by
# bench/bars.sh. Every mail must be in the sink's ledger once: none lost, none twice.
. "$(dirname "$(realpath "$0")")/lib.sh"
begin "$(realpath "$0")"
minutes=${MINUTES:-$(quick && echo 3 || echo 10)} sessions=${SESSIONS:-32}
full_rules || rules=()
sent=$scratch/sent.ledger taken=$scratch/sink.ledger
start_sink --ledger "$taken"
start_engine memory "${rules[@]}"
send --seconds $((minutes * 60)) --sessions "$sessions" --to user@example.test --ledger "$sent" > "$scratch/report.json" 8>&- &
load=$!
pids+=("$load")
samples=$scratch/samples
began=$SECONDS cpu=$(cpu_us)
while kill -0 "$load" 2> /dev/null; do
  echo "$((SECONDS - began)) $(memory_kib RssAnon RssShmem)" >> "$samples"
  sleep 1
done
wait "$load"
cpu=$(($(cpu_us) - cpu))
minute() { # N: mean of the samples of that minute, KiB
  awk -v from=$((($1 - 1) * 60)) '$1 >= from && $1 < from + 60 { sum += $2; n++ }
    END { if (n) printf "%.0f\n", sum / n; else print "-" }' "$samples"
}
for number in $(seq "$minutes"); do echo "minute $number: $(minute "$number") KiB"; done
report=$(cat "$scratch/report.json")
echo "accepted, for now, refused, unknown: $(fields "$report" accepted refused_temporary refused_permanent unknown);" \
  "mails/s, p99 ms: $(fields "$report" mails_per_second latency_ms.p99);" \
  "$(calc "$cpu / $(field "$report" accepted)" %.0f) us of CPU a mail"
for _ in $(seq 30); do
  found=$("$PROGRAMS/sekisho-loadgen" conserve --sent "$sent" --received "$taken" --json) && break
  sleep 1
done
echo "sent, delivered, refused, unknown, lost, duplicated:" \
  "$(fields "$found" sent delivered refused unknown lost_count duplicated_count)"
stop_engine
row "memory, minute $minutes / minute 2 of full load" "$(calc "100 * ($(minute "$minutes") / $(minute 2) - 1)" %.1f)" most 5 - "% more" \
  "$(minute 2) KiB, $(minute "$minutes") KiB; lost $(field "$found" lost_count), duplicated $(field "$found" duplicated_count)"
