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
#   bench/queue-million.sh DIR expire     on a queue filled anew: the lifetime of all mails ends in the same minutes
#   bench/queue-million.sh DIR all        all of them
#
# Variables: MAILS (1000000), DOMAINS (1000), SHARDS (2), SECONDS_EACH (30), REPEATS (3), PROGRAMS (target/release).
# Needs a release build (`make build`), python3, 10 GB in DIR, two cores, and for `expire` gcc. The load and the sink
# run on the same cores as the engine: rates are the whole machine's. On a shared machine trust ratios within one
# run, and the engine's ticks (10 ms of CPU) for each mail. What the sinks took is in their ledgers, line by line.
set -euo pipefail
cd "$(dirname "$0")/.."
dir=$(realpath -m "${1:?a directory}") step=${2:-all}
mails=${MAILS:-1000000} domains=${DOMAINS:-1000} shards=${SHARDS:-2}
seconds=${SECONDS_EACH:-30} repeats=${REPEATS:-3}
programs=$(realpath "${PROGRAMS:-target/release}")
server=127.0.0.1:2725 sink=127.0.0.1:2726 back=127.0.0.1:2727
engine='' pids=() preload=''
finish() {
  for pid in "${pids[@]}" $engine; do kill "$pid" 2> /dev/null || true; done
  wait
}
trap finish EXIT
now() { date +%s.%N; }
since() { awk -v a="$1" -v b="$(now)" 'BEGIN { printf "%.2f", b - a }'; }
sekisho() { "$programs/sekisho" --data "$dir" "$@"; }
gauge() { sekisho status --json | python3 -c "import json,sys; print(int(json.load(sys.stdin)['gauges']['$1']))"; }
taken() { wc -l < "$1"; } # lines of a sink's ledger
rss() { awk '/^(VmRSS|RssAnon|VmHWM)/ { printf "%s %d KiB  ", $1, $2 }' "/proc/$engine/status"; }
anon() { awk '/^RssAnon/ { print $2 }' "/proc/$engine/status"; }
ticks() { cut -d')' -f2- "/proc/$engine/stat" | awk '{print $12 + $13}'; }

configure() { # each | one [hours]: a hop for each dead domain, or one hop for all; lifetime of a mail
  local hours=${2:-120}
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
[authentication]
enabled = false
[delivery]
mode = "spool"
lifetime_hours = $hours
delay_warning_hours = $((hours < 4 ? hours : 4))
[[delivery.report_route]]
host = "127.0.0.1"
port = ${back#*:}
tls = "never"
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
  LD_PRELOAD=${preload:-} "$programs/sekisho-engine" --config "$dir/etc/sekisho.toml" --data "$dir" >> "$dir/engine.log" 2>&1 &
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
start_sink() { # address ledger: writes no mails, only a line for each
  : > "$2"
  taskset -c 1 "$programs/sekisho-loadgen" sink --listen "$1" --ledger "$2" > "$dir/sink.log" 2>&1 &
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
  date +%s > "$dir/filled_from"
  echo "memory before: $(rss)"
  for n in $(seq 0 $((domains - 1))); do names+=("user@dead$n.test"); done
  n=0
  while [ "$left" -gt 0 ]; do
    batch=$((left < 100000 ? left : 100000)); left=$((left - batch)); n=$((n + 1))
    send "$batch" 32 "$n" "${names[@]}" |
      python3 -c 'import json,sys; r=json.load(sys.stdin); print(r["accepted"], "accepted,", round(r["mails_per_second"]), "mails/s")' || true
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
  local from report accepted before took cpu
  from=$(now) before=$(taken "$healthy_ledger") cpu=$(ticks)
  report=$(send "$load" 16 $RANDOM user@healthy.test |
    python3 -c 'import json,sys; r=json.load(sys.stdin); l=r["latency_ms"]; print(r["accepted"], l["p50"], l["p99"], l["max"])')
  accepted=${report%% *}
  while [ $(($(taken "$healthy_ledger") - before)) -lt "$accepted" ] && [ "$(since "$from" | cut -d. -f1)" -lt 300 ]; do sleep 0.05; done
  took=$(since "$from")
  awk -v label="$1" -v r="$report" -v d=$(($(taken "$healthy_ledger") - before)) -v t="$took" -v c=$(($(ticks) - cpu)) \
    'BEGIN { split(r, a, " "); printf "%s: %d accepted, %d delivered in %.1f s: %.0f mails/s, %.2f ms of CPU each; answers p50 %.1f p99 %.1f max %.0f ms\n",
      label, a[1], d, t, d / t, c * 10 / d, a[2], a[3], a[4] }'
}
other() { # an engine without a queue, on a directory of its own
  dir=$dir.empty; mkdir -p "$dir"
  [ -e "$dir/mails" ] || { small_mails; configure each; }
}
first_rate() { # how many mails make a run of about $seconds: sets $load
  healthy_ledger=$dir/healthy.ledger
  start_sink "$sink" "$healthy_ledger"
  local full=$dir
  load=4000
  other; start; rate "warm-up" > "$dir/warm"; kill_9; dir=$full
  load=$(awk -v s="$seconds" '{ for (i = 1; i < NF; i++) if ($(i + 1) ~ /^mails/) print int($i * s) }' "$dir.empty/warm")
}
healthy() {
  local full=$dir hang
  [ -n "${load:-}" ] || first_rate
  for _ in $(seq "$repeats"); do
    other; start; rate "no queue        "; kill_9
    dir=$full; start; known; rate "queue, refusing "; kill_9
    start_hang; hang=$last
    start; known; rate "queue, hanging  "; kill_9
    stop "$hang"
  done
}
recovering() {
  local full=$dir
  [ -n "${load:-}" ] || first_rate
  for _ in $(seq "$repeats"); do
    other; start; rate "no queue, started just now"; kill_9
    dir=$full; start; rate "queue is being read       "
    echo "recovering at the end of that: $(gauge recovering) shards"
    known
    echo "all known $(since "$started") s after the start, $(rss)"
    kill_9
  done
}
spool_mib() { du -sm "$dir/spool" | cut -f1; }
conserved() { # ledger prefix-of-what: each of the mails of `fill` is in it exactly once?
  python3 - "$1" "$mails" << 'PYTHON'
import sys
ledger, mails = sys.argv[1], int(sys.argv[2])
wanted, batch, left = set(), 0, mails
while left > 0:
    batch += 1
    count = min(left, 100000); left -= count
    wanted.update(f"{batch:x}-{n}" for n in range(count))
seen, twice, strange = set(), 0, 0
for line in open(ledger):
    name = line.split("\t")[0]
    if name not in wanted: strange += 1
    elif name in seen: twice += 1
    else: seen.add(name)
print(f"ledger: {len(seen)} of {mails} mails, {mails - len(seen)} missing, {twice} more than once, {strange} unknown")
PYTHON
}
watch() { # ledger seconds-max: until the queue is empty
  local from at waiting took=0 last=0 peak=0 cpu
  from=$(now) cpu=$(ticks)
  while :; do
    sleep 5
    waiting=$(gauge queue_mails) at=$(since "$from") last=$took took=$(taken "$1")
    printf '%6.1f s: %7d wait, %7d in the ledger (%d/s), RssAnon %d KiB, spool %d MiB, connections %d, load %s\n' "$at" "$waiting" "$took" \
      $(((took - last) / 5)) "$(anon)" "$(spool_mib)" "$(ss -Htn state established "sport = :${back#*:}" | wc -l)" "$(cut -d' ' -f1 /proc/loadavg)"
    [ "$waiting" -gt 0 ] && [ "${at%.*}" -lt "$2" ] || break
  done
  awk -v t="$at" -v n="$mails" -v c=$(($(ticks) - cpu)) 'BEGIN { printf "in all %.0f s, %.0f mails/s, %.2f ms of CPU each; ", t, n / t, c * 10 / n }'
  rss; echo
}
space() { # until the disk has been given back
  local from; from=$(now)
  while [ "$(spool_mib)" -gt 200 ] && [ "$(since "$from" | cut -d. -f1)" -lt 180 ]; do sleep 2; done
  echo "$(since "$from") s later: spool $(spool_mib) MiB, queue_mails $(gauge queue_mails)"
}
drain() {
  local ledger=$dir/drain.ledger hop
  configure one; start; known
  start_sink "$back" "$ledger"; hop=$last
  echo "spool $(spool_mib) MiB, $(rss)"
  timed queue flush
  watch "$ledger" "${DRAIN_SECONDS:-900}"
  conserved "$ledger"
  space
  kill_9
  # What a crash right after it brings back: nothing.
  start; known; sleep 2
  echo "after a kill -9: queue_mails $(gauge queue_mails), ledger $(taken "$ledger")"
  kill_9; stop "$hop"
}
# The engine's wall clock is set forward by a library of ten lines; the monotonic one goes as always.
later() { # seconds
  cat > "$dir/later.c" << 'C'
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t clock, struct timespec *time) {
  long result = syscall(SYS_clock_gettime, clock, time);
  if (result == 0 && clock == CLOCK_REALTIME) time->tv_sec += AHEAD;
  return (int)result;
}
C
  gcc -O2 -shared -fPIC "-DAHEAD=$1" -o "$dir/later.so" "$dir/later.c"
  preload=$dir/later.so
}
expire() {
  local full=$dir reports=$dir/reports.ledger watching hop
  [ -n "${load:-}" ] || first_rate
  start_sink "$back" "$reports"; hop=$last
  other; start; rate "no queue        "; kill_9
  dir=$full; configure each 1
  # The first of them ends 30 s from now, the last one as much later as filling took.
  later $((3600 - ($(date +%s) - $(cat "$dir/filled_from")) - 30))
  start; known
  echo "known $(since "$started") s after the start, spool $(spool_mib) MiB, $(rss)"
  until [ "$(taken "$reports")" -gt 0 ] || [ "$(since "$started" | cut -d. -f1)" -gt 120 ]; do sleep 0.2; done
  echo "first report $(since "$started") s after the start"
  watch "$reports" "${EXPIRE_SECONDS:-1200}" > "$dir/watch" &
  watching=$!
  for _ in $(seq "$repeats"); do rate "mails are expiring"; done
  wait "$watching"; cat "$dir/watch"
  conserved "$reports"
  space
  kill_9; preload=; stop "$hop"
}

uname -srm; grep -m1 'model name' /proc/cpuinfo; date -u +%F
case $step in
  all)
    fill; commands; restart; healthy; recovering; drain
    rm -rf "$dir/spool" "$dir/maillog"; fill; expire ;;
  fill | commands | restart | healthy | recovering | drain | expire) "$step" ;;
  *) sed -n '2,20p' "$0"; exit 2 ;;
esac
