#!/bin/bash
# What one would install instead, beside the engine, in one go (`make bench-peers`):
#
#   bench/peers/run.sh
#
# Postfix, Postfix + rspamd, Haraka, smtp-sink (which only accepts and throws away) and the engine (relay,
# scanning, spool, hold) take the same mails by turns. A side is pinned to core 0; load, sink and DNS
# are on core 1. What counts is the CPU of every process of a side until the sink has everything.
#
# Variables: PEERS (target/peers) where the peers are; PROGRAMS (target/release) the engine; SIDES, the
# names of bench/peers/sides in the order of their turns; POINT (mix:16:30) class of mails, sessions, seconds; in the class
# `real` attachments hold something and signatures verify (sides postfix-rspamd-real and sekisho-real, which check senders); REPEATS (3);
# OUT (bench/results/peers.txt).
#
# Root is needed for three things: the overlay that Postfix and rspamd are installed into, the
# namespaces that keep look-ups from leaving and processes from staying, and the cgroup that counts CPU.
# As anybody else: Haraka and the engine only, loadgen's sink instead of smtp-sink, CPU from /proc in
# ticks of 10 ms.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
cd "$here/../.."
export PEERS PROGRAMS
PEERS=$(realpath -m "${PEERS:-target/peers}") PROGRAMS=$(realpath -m "${PROGRAMS:-target/release}")
point=${POINT:-mix:16:30} repeats=${REPEATS:-3} out=${OUT:-bench/results/peers.txt}
. "$here/instance.sh"
programs_present bench-peers
one_instance bench-peers

all=(smtp-sink postfix postfix-rspamd haraka sekisho-relay sekisho-scan sekisho-spool sekisho-hold sekisho-hold-all)
read -ra sides <<< "${SIDES:-${all[*]}}"
if [ -z "${APART:-}" ]; then
  "$here/setup.sh" "$PEERS" 8>&-
  apart "$here/run.sh"
fi
if [ "$(id -u)" = 0 ]; then
  . "$here/roots.sh"
  ip link set lo up
  root_mount postfix
else
  echo "bench-peers: not root: without Postfix, rspamd and smtp-sink, CPU in ticks of 10 ms" >&2
fi
trap 'exit 130' INT TERM
# The same ports in all rounds: the engine's tables name its next hop. Free ones, as loopback may not be ours alone; below
# the range that clients' ports come from, because one of tens of thousands of connections would sooner or later have
# the port that a side wants to listen on; and one for each side, because connections of the side before linger in
# TIME_WAIT on its port, and not every server binds to it then.
export LISTEN SINK DNS RUN_ID
RUN_ID=$$-$(date +%s)
read -ra ports < <(python3 - "${#sides[@]}" << 'PYTHON'
import random, socket, sys
held = []
while len(held) < 2 + int(sys.argv[1]):
    try:
        held.append(socket.create_server(("127.0.0.1", random.randrange(20000, 32000))))
    except OSError:
        pass
print(*(one.getsockname()[1] for one in held))
PYTHON
)
SINK=${ports[0]} DNS=${ports[1]}

results=$PEERS/results.jsonl
: > "$results"
for round in $(seq "$repeats"); do
  for index in "${!sides[@]}"; do
    side=${sides[index]} LISTEN=${ports[index + 2]}
    if reason=$("$here/sides/$side.sh" missing); then
      [ "$round" = 1 ] && echo "bench-peers: $side is left out: $reason" >&2
      continue
    fi
    echo "bench-peers: round $round of $repeats, $side" >&2
    python3 "$here/point.py" "$side" --round "$round" --point "$point" --out "$results" ||
      echo "bench-peers: $side FAILED in round $round" >&2
  done
done
rmdir /sys/fs/cgroup/cpu/sekisho-peers 2> /dev/null || true # made by point.py; empty by now
python3 "$here/table.py" "$results" --point "$point" | tee "$out.new"
mv "$out.new" "$out"
