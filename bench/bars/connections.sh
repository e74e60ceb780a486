#!/bin/bash
# SESSIONS (9,000) connections that all send, one mail after the other, twenty on a connection, for MINUTES (10): the ring
# carries them, and every mail is in the sink once when the queue has drained. Nobody is turned away, so this is no
# overload row; more than the next hop's connections can take goes through the spool. The mix is small mails, as ten
# minutes of others would fill a disk. Before it, the same for a moment with 16 connections, for the CPU a mail.
# Called by bench/bars.sh.
. "$(dirname "$(realpath "$0")")/lib.sh"
begin "$(realpath "$0")"
sessions=${SESSIONS:-9000} seconds=$((${MINUTES:-$(quick && echo 1 || echo 10)} * 60))
taken=$scratch/sink.ledger
start_sink --ledger "$taken"
export SETTINGS='[admission]
exempt = ["127.0.0.0/8"]
sessions_working_max = 20000
overload_delay_ms = 60000'
start_engine connections
point() { # SESSIONS SECONDS SEED: gives $report and $us, CPU a mail
  local before
  before=$(cpu_us)
  report=$(send --sessions "$1" --seconds "$2" --seed "$3" --mails-per-connection 20 --mix trap --source 127.0.1.1-127.0.1.50 \
    --to user@example.test --ledger "$scratch/$3.ledger")
  us=$(calc "($(cpu_us) - $before) / $(field "$report" accepted)" %.0f)
  echo "$1 connections: accepted, for now, refused, unknown: $(fields "$report" accepted refused_temporary refused_permanent unknown);" \
    "mails/s, p99 ms: $(fields "$report" mails_per_second latency_ms.p99); $us us of CPU a mail; RssAnon: $(memory_kib RssAnon) KiB"
}
point 16 20 1
point "$sessions" "$seconds" 2
for _ in $(seq 120); do
  found=$("$PROGRAMS/sekisho-loadgen" conserve --sent "$scratch/2.ledger" --received "$taken" --json) && break
  sleep 5
done
echo "sent, delivered, refused, unknown, lost, duplicated:" \
  "$(fields "$found" sent delivered refused unknown lost_count duplicated_count)"
sockets=$("$PROGRAMS/sekisho" --data "$engine_state" status | awk '$1 == "sockets" { print $2 }')
stop_engine
row "$sessions connections on the $sockets for $((seconds / 60)) min: mails lost or twice" \
  "$(calc "$(field "$found" lost_count) + $(field "$found" duplicated_count)" %d)" most 0 - '' \
  "$(field "$found" sent) sent, $(field "$report" connect_failures) without a connection"
