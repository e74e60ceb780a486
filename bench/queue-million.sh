#!/bin/bash
# A million mails for dead next hops, end to end: the engine of the release build, SMTP, a directory on a
# real disk. Prints figures; asserts nothing. Steps, in this order, each on what the one before it left:
#
#   bench/queue-million.sh DIR fill       MAILS mails for DOMAINS dead domains, each with a hop of its own
#   bench/queue-million.sh DIR commands   what the operator's commands take
#   bench/queue-million.sh DIR restart    kill -9, start: greeting, first 250, all known again
#   bench/queue-million.sh DIR healthy    a healthy domain without and with the queue (refusing, hanging)
#   bench/queue-million.sh DIR recovering a healthy domain while the queue is being read after a kill -9
#   bench/queue-million.sh DIR drain      all hops are one that came back: flush, and how fast it goes
#   bench/queue-million.sh DIR all        all of them
#
# Variables: MAILS (1000000), DOMAINS (1000), SHARDS (2), SECONDS_EACH (30), REPEATS (3), PROGRAMS (target/release).
# Needs a release build (`make build`), python3, 10 GB in DIR and two cores. The load and the sink run on the
# same cores as the engine: rates are the whole machine's. On a shared machine trust ratios within one run.
set -euo pipefail
cd "$(dirname "$0")/.."
dir=$(realpath -m "${1:?a directory}") step=${2:-all}
mails=${MAILS:-1000000} domains=${DOMAINS:-1000} shards=${SHARDS:-2}
seconds=${SECONDS_EACH:-30} repeats=${REPEATS:-3}
programs=$(realpath "${PROGRAMS:-target/release}")
server=127.0.0.1:2725 sink=127.0.0.1:2726 back=127.0.0.1:2727
engine='' pids=()
finish() {
  for pid in "${pids[@]}" $engine; do kill "$pid" 2> /dev/null || true; done
  wait
}
trap finish EXIT
now() { date +%s.%N; }
since() { awk -v a="$1" -v b="$(now)" 'BEGIN { printf "%.2f", b - a }'; }
sekisho() { "$programs/sekisho" --data "$dir" "$@"; }
gauge() { sekisho status --json | python3 -c "import json,sys; print(int(json.load(sys.stdin)['gauges']['$1']))"; }
rss() { awk '/^(VmRSS|RssAnon|VmHWM)/ { printf "%s %d KiB  ", $1, $2 }' "/proc/$engine/status"; }
anon() { awk '/^RssAnon/ { print $2 }' "/proc/$engine/status"; }
ticks() { cut -d')' -f2- "/proc/$engine/stat" | awk '{print $12 + $13}'; }

configure() { # each | one: a hop for each dead domain, or one hop for all of them
  mkdir -p "$dir/etc"
  cat > "$dir/etc/sekisho.toml" << TOML
[engine]
data_dir = ".."
shards = $shards
host_name = "bench.example.com"
[[listener]]
address = "$server"
[analysis]
workers = 1
[metrics]
address = "off"
[delivery]
mode = "spool"
[[tables.source]]
path = "domains.toml"
kind = "domains"
format = "toml"
TOML
  python3 - "$1" "$domains" > "$dir/etc/domains.toml" << 'PYTHON'
import sys
one, count = sys.argv[1] == "one", int(sys.argv[2])
def domain(name, host, port):
    print(f'''[[domain]]
name = "{name}"
profile = "securemail"
[[domain.route]]
host = "{host}"
port = {port}
tls = "never"
[domain.settings]
recipient.verify = "off"
quarantine.reply = "accept"
spam.action = "header"
''')
domain("healthy.test", "127.0.0.1", 2726)
for n in range(count):
    host = "127.0.0.1" if one else f"127.1.{n // 250}.{n % 250 + 1}"
    domain(f"dead{n}.test", host, 2727)
PYTHON
  sekisho tables build > "$dir/build.log" 2>&1 || { cat "$dir/build.log"; exit 2; }
}

start() { # gives the seconds to READY in $ready, those to the greeting in $greeted
  local from; from=$(now)
  : > "$dir/engine.log"
  "$programs/sekisho-engine" --config "$dir/etc/sekisho.toml" --data "$dir" >> "$dir/engine.log" 2>&1 &
  engine=$!
  until grep -q READY "$dir/engine.log"; do sleep 0.02; done
  ready=$(since "$from") started=$from
  python3 -c "
import socket
s = socket.create_connection(('127.0.0.1', ${server#*:}), 60)
assert s.recv(100).startswith(b'220')"
  greeted=$(since "$from")
}
kill_9() { kill -9 "$engine"; wait "$engine" 2> /dev/null || true; engine=''; }
known() { # waits until everything that the last run left is known again
  until [ "$(gauge recovering)" = 0 ]; do sleep 0.1; done
}

small_mails() {
  mkdir -p "$dir/mails"
  python3 - "$dir/mails" << 'PYTHON'
import sys
for n in range(20):
    with open(f"{sys.argv[1]}/{n}.eml", "w") as mail:
        mail.write(f"From: Alice <alice@example.com>\nTo: Bob <bob@example.test>\nSubject: order {n}\n"
                   f"Message-ID: <{n}@example.com>\nDate: Thu, 29 Feb 2024 10:00:00 +0900\n\n")
        mail.write(f"please review the attached report {n}, regards.\n" * (20 + n))
PYTHON
}
send() { # mails sessions seed recipients...
  local count=$1 sessions=$2 seed=$3; shift 3
  local to=(); for name in "$@"; do to+=(--to "$name"); done
  "$programs/sekisho-loadgen" send --server "$server" --files "$dir/mails" --mails "$count" \
    --sessions "$sessions" --mails-per-connection 500 --seed "$seed" "${to[@]}" --json
}
start_sink() { # address: counts only
  taskset -c 1 "$programs/sekisho-loadgen" sink --listen "$1" > "$dir/sink.log" 2>&1 &
  pids+=($!); last=$!
  until grep -q READY "$dir/sink.log"; do sleep 0.05; done
}
start_hang() { # every dead hop takes connections and says nothing
  python3 - "$domains" > "$dir/hang.log" << 'PYTHON' &
import resource, socket, sys, time
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
held = []
for n in range(int(sys.argv[1])):
    s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((f"127.1.{n // 250}.{n % 250 + 1}", 2727)); s.listen(8); held.append(s)
print("READY", flush=True)
time.sleep(1e9)
PYTHON
  pids+=($!); last=$!
  until grep -q READY "$dir/hang.log"; do sleep 0.05; done
}
stop() { kill "$1" 2> /dev/null || true; wait "$1" 2> /dev/null || true; }

fill() {
  [ ! -e "$dir/spool" ] || { echo "$dir has a spool already"; exit 2; }
  small_mails; configure each; start
  echo "start of an empty engine: READY $ready s, greeting $greeted s"
  local before names=() n left=$mails batch
  before=$(anon)
  echo "memory before: $(rss)"
  for n in $(seq 0 $((domains - 1))); do names+=("user@dead$n.test"); done
  n=0
  while [ "$left" -gt 0 ]; do
    batch=$((left < 100000 ? left : 100000)); left=$((left - batch)); n=$((n + 1))
    send "$batch" 32 "$n" "${names[@]}" || true
  done
  sleep 3
  echo "queue_mails $(gauge queue_mails); memory after: $(rss)"
  awk -v a="$before" -v b="$(anon)" -v n="$mails" \
    'BEGIN { printf "RssAnon of the engine for each mail: %.0f octets\n", (b - a) * 1024 / n }'
  du -sk "$dir/spool" | awk -v n="$mails" '{ printf "disk for each mail: %.0f octets\n", $1 * 1024 / n }'
  kill_9
}

timed() { # words...
  local from; from=$(now)
  sekisho "$@" > "$dir/answer" 2>&1 || true
  echo "$(since "$from") s: sekisho $* ($(wc -l < "$dir/answer") lines)"
}
commands() {
  start; known
  for _ in 1 2; do
    timed status
    timed queue list
    timed queue list --domain dead7.test
    timed queue why
    timed queue why dead7.test
    timed queue hold dead7.test
    timed queue flush dead7.test
    timed queue unhold dead7.test
    timed queue flush
  done
  kill_9
}

restart() {
  local at peak
  for cache in warm cold; do
    if [ $cache = cold ]; then
      sync; echo 3 2> /dev/null > /proc/sys/vm/drop_caches || { echo "no cold run: not root"; return; }
    fi
    start
    send 1 1 $RANDOM user@healthy.test > /dev/null
    at=$(since "$started")
    echo "$cache: READY $ready s, greeting $greeted s, first 250 $at s"
    known
    echo "$cache: all known after $(since "$started") s, CPU $(ticks) ticks, queue_mails $(gauge queue_mails); $(rss)"
    kill_9
  done
}

rate() { # label: a bounded load to the healthy domain; the seconds to the delivery of the last one count
  local from accepted took
  from=$(now)
  accepted=$(send "$load" 16 $RANDOM user@healthy.test |
    python3 -c 'import json,sys; r=json.load(sys.stdin); print(r["accepted"], r["latency_ms"]["p99"])')
  # Not the gauge: it changes with every attempt for a dead domain.
  while sekisho queue why healthy.test 2> /dev/null | grep -q healthy && [ "$(since "$from" | cut -d. -f1)" -lt 120 ]; do sleep 0.1; done
  took=$(since "$from")
  awk -v label="$1" -v a="${accepted% *}" -v p="${accepted#* }" -v t="$took" \
    'BEGIN { printf "%s: %d accepted and delivered in %.1f s: %.0f mails/s, p99 of the answer %.1f ms\n", label, a, t, a / t, p }'
}
other() { # an engine without a queue, on a directory of its own
  dir=$dir.empty; mkdir -p "$dir"
  [ -e "$dir/mails" ] || { small_mails; configure each; }
}
healthy() {
  local full=$dir hang
  start_sink "$sink"
  load=$((2000 * 1))
  other; start; rate "warm-up" > "$dir/warm"; kill_9
  # So many mails that a run takes about $seconds.
  load=$(awk -v s="$seconds" '{ for (i = 1; i < NF; i++) if ($(i + 1) ~ /^mails/) print int($i * s) }' "$dir/warm")
  for _ in $(seq "$repeats"); do
    start; rate "no queue        "; kill_9
    dir=$full; start; known; rate "queue, refusing "; kill_9
    start_hang; hang=$last
    start; known; rate "queue, hanging  "; kill_9
    stop "$hang"
    other
  done
  dir=$full
}
recovering() {
  local full=$dir
  [ -n "${load:-}" ] || { start_sink "$sink"; load=20000; }
  for _ in $(seq "$repeats"); do
    other; start; rate "no queue        "; kill_9
    dir=$full; start; rate_beside_recovery; kill_9
  done
}
rate_beside_recovery() {
  local from report
  from=$(now)
  report=$(send "$load" 16 $RANDOM user@healthy.test |
    python3 -c 'import json,sys; r=json.load(sys.stdin); print("%.0f mails/s, p99 %.1f ms" % (r["mails_per_second"], r["latency_ms"]["p99"]))')
  echo "while reading   : accepted $report, load took $(since "$from") s, recovering then $(gauge recovering)"
  known
  echo "while reading   : all known $(since "$started") s after the start"
}
drain() {
  configure one; start; known
  sekisho tables show 2> /dev/null | head -3 || true
  start_sink "$back"
  local from waiting last_waiting
  from=$(now); last_waiting=$(gauge queue_mails)
  timed queue flush
  while :; do
    sleep 5
    waiting=$(gauge queue_mails)
    echo "$(since "$from") s: $waiting wait, $(((last_waiting - waiting) / 5)) mails/s, connections $(ss -Htn state established "sport = :${back#*:}" | wc -l)"
    last_waiting=$waiting
    [ "$waiting" -gt 0 ] && [ "$(since "$from" | cut -d. -f1)" -lt "${DRAIN_SECONDS:-600}" ] || break
  done
  echo "memory after: $(rss)"
}

uname -srm; grep -m1 'model name' /proc/cpuinfo; date -u +%F
case $step in
  all) fill; commands; restart; healthy; recovering; drain ;;
  fill | commands | restart | healthy | recovering | drain) "$step" ;;
  *) sed -n '2,18p' "$0"; exit 2 ;;
esac
