#!/bin/bash
# The bars that the engine is held to, each by one command that prints its figure beside them:
#
#   bench/bars.sh ROW...     rows below
#   bench/bars.sh all        all of them (`make bench-peers`); an hour and a quarter
#
#   peers       CPU a mail against Postfix, Postfix + rspamd, Haraka, smtp-sink      bench/peers/run.sh      25 minutes
#   real        real attachments, valid signatures, senders checked by both sides    bench/peers/run.sh      10 minutes
#   byte-path   accept and session alone against a bare ring, 4 KiB, kept            bench/bars/byte-path.sh  3 minutes
#   refuse      unknown recipients among 10 million, refused at RCPT                 bench/bars/refuse.sh     4 minutes
#   shards      CPU a mail, 2 shards against 1, at a fixed rate                      bench/bars/shards.sh     4 minutes
#   idle        memory of 10,000 idle sessions                                       bench/bars/idle.sh       1 minute
#   connections 9,000 connections that all send, on the ring, for ten minutes            bench/bars/connections.sh 11 minutes
#   memory      memory in minute 10 of full load against minute 2                    bench/bars/memory.sh    11 minutes
#   overload    twice the peak for a minute, relay and scanning                      bench/bars/overload.sh   8 minutes
#   hostile     an attack of ten times as many sessions beside a paying load          bench/bars/hostile.sh    6 minutes
#   swap        generation swaps and 1,000 list changes a minute under full load     bench/bars/swap.sh       4 minutes
#
# Each row ends with lines `row | measured | bar | aim | reached?`; a bar that is missed is printed as missed. All that
# is printed goes to OUT (bench/results/bars.txt) as well, the lines of all rows once more at its end.
#
# Variables: PROGRAMS (target/release) the engine and its tools; PEERS (target/peers) where peers and state are; OUT;
# REPEATS (5) of interleaved runs; LITERALS (20000) in the full set of rules, for looking into it; QUICK=1 for short
# forms of all rows, whose figures say that they are of one. What a row has besides stands in its file.
#
# The engine is on core 0, load and sink on core 1, unless a row says otherwise. As root all of it runs in namespaces
# of its own (network, processes: nothing of it stays when it ends, however it ends) and CPU is that of a cgroup;
# as anybody else on the machine's loopback, with CPU from /proc in ticks of 10 ms. One instance at a time: a second
# one, or bench/peers/run.sh beside it, is refused.
set -euo pipefail
cd "$(dirname "$(realpath "$0")")/.."
export PEERS PROGRAMS OUT QUICK REPEATS
PEERS=$(realpath -m "${PEERS:-target/peers}") PROGRAMS=$(realpath -m "${PROGRAMS:-target/release}")
OUT=$(realpath -m "${OUT:-bench/results/bars.txt}") QUICK=${QUICK:-0}
if [ "$QUICK" = 1 ]; then REPEATS=${REPEATS:-3}; else REPEATS=${REPEATS:-5}; fi
all=(peers real byte-path refuse shards idle connections memory overload hostile swap)
rows=("$@")
[ "${1:-}" != all ] || rows=("${all[@]}")
if [ ${#rows[@]} = 0 ]; then sed -n '2,/^[^#]/{/^#/p}' "$0" | cut -c3-; exit 2; fi
for row in "${rows[@]}"; do
  [[ " ${all[*]} " == *" $row "* ]] && continue
  echo "bars: $row: not a row" >&2
  echo "try: ${all[*]}" >&2
  exit 2
done
. bench/peers/instance.sh
programs_present bars
one_instance bars

mkdir -p "$PEERS/bars"
log=$PEERS/bars/rows.txt
: > "$log"
job=
stop() {
  [ -z "$job" ] || end_job "$job"
  echo "bars: stopped; what was measured so far is in $log" >&2
  exit 130
}
trap stop INT TERM

run_row() {
  case $1 in
    peers) OUT=$PEERS/bars/peers.txt POINT=${POINT:-mix:16:$([ "$QUICK" = 1 ] && echo 8 || echo 30)} \
      REPEATS=$([ "$QUICK" = 1 ] && echo 2 || echo 3) SIDES=${SIDES:-} bench/peers/run.sh ;;
    real) OUT=$PEERS/bars/real.txt POINT=real:16:$([ "$QUICK" = 1 ] && echo 8 || echo 20) REPEATS=$([ "$QUICK" = 1 ] && echo 2 || echo 3) \
      SIDES="postfix-rspamd-real sekisho-real" bench/peers/run.sh ;;
    *) "bench/bars/$1.sh" ;;
  esac
}
for row in "${rows[@]}"; do
  { echo; echo "== $row, $(date -u +'%F %H:%M UTC'), load of the machine $(cut -d' ' -f1 /proc/loadavg) at its start"; } | tee -a "$log"
  set -m
  { run_row "$row" 2>&1 || echo "$row | NOT MEASURED: the row failed, see above | | | no"; } > >(tee -a "$log") &
  job=$!
  set +m
  wait "$job" || true
  job=
done
sleep 0.2 # for the last tee
{
  echo "The engine against its bars (bench/bars.sh ${rows[*]}$([ "$QUICK" = 1 ] && echo ', short forms'))"
  echo
  . bench/bars/lib.sh
  circumstances
  cat "$log"
  echo
  echo "== All rows: row | measured | bar | aim | reached?"
  grep -E '^[^|]+( \|.*){4}$' "$log" || true
} > "$OUT.new"
mv "$OUT.new" "$OUT"
echo
echo "bars: $OUT"
sed -n '/^== All rows/,$p' "$OUT"
