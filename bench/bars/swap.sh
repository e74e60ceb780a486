#!/bin/bash
# Generation swaps and 1,000 list changes a minute under full load: no error, and p99 within twice of that without.
# Called by bench/bars.sh. Full scanning, closed loop of 16 sessions: calm for SECONDS_EACH (20), then the changes for a
# minute and until a generation was swapped, then calm again; the calm p99 is the mean of the two.
#
# Changes are `sekisho list add`, one program each, at their times by the clock; each must be done without an error.
# Meanwhile `sekisho tables build` compiles everything anew and has the engine adopt it, one after the other. All of that
# runs on the core of the load, the build with what nobody else wants (SCHED_IDLE); the engine's part of it, verifying,
# copying and mapping, is on the engine's core and in the figure.
. "$(dirname "$(realpath "$0")")/lib.sh"
begin "$(realpath "$0")"
calm_seconds=${SECONDS_EACH:-$(quick && echo 10 || echo 20)} busy_seconds=$(quick && echo 20 || echo 60) busy_seconds_max=300
full_rules || rules=()
start_sink --discard
start_engine swap "${rules[@]}"
sekisho() { "$PROGRAMS/sekisho" --data "$engine_state" "$@"; }
generation() { sekisho status --json | python3 -c 'import json, sys; print(json.load(sys.stdin).get("generation"))'; }

load() { # SECONDS
  send --seconds "$1" --sessions 16 --to user@example.test --seed $RANDOM
}
words() { # NAME REPORT
  echo "$1: accepted, for now, refused, unknown: $(fields "$2" accepted refused_temporary refused_permanent unknown);" \
    "mails/s: $(field "$2" mails_per_second);" \
    "ms p50, p99, p99.9, max: $(fields "$2" latency_ms.p50 latency_ms.p99 latency_ms.p999 latency_ms.max)"
}
changes() { # until $scratch/over: a change each 60 ms, by the clock
  python3 - "$scratch/over" "$PROGRAMS/sekisho" --data "$engine_state" << 'PYTHON'
import os, subprocess, sys, time
over, command = sys.argv[1], sys.argv[2:]
began, number, failed, running, late = time.time(), 0, 0, [], 0.0
def reap(limit):
    global failed
    while len(running) > limit:
        process = running.pop(0)
        failed += process.wait() != 0
while not os.path.exists(over):
    due = began + number * 0.06
    time.sleep(max(0, due - time.time()))
    late = max(late, time.time() - due)
    running.append(subprocess.Popen(command + ["list", "add", "block", f"change{number}@changes.example"],
                                    stdout=subprocess.DEVNULL, stderr=subprocess.PIPE if number == 0 else subprocess.DEVNULL))
    number += 1
    reap(8)
reap(0)
print(f"{number} list changes, {60 * number / (time.time() - began):.0f} a minute, {failed} failed, {late:.2f} s late at most", flush=True)
PYTHON
}
builds() { # until $scratch/over
  local count=0 from
  while [ ! -e "$scratch/over" ]; do
    from=$(date +%s.%N)
    chrt --idle 0 "$PROGRAMS/sekisho" --data "$engine_state" tables build > "$scratch/build.log" 2>&1 ||
      { echo "build FAILED: $(tail -n 1 "$scratch/build.log")"; return; }
    count=$((count + 1))
    echo "$count" > "$scratch/swaps"
    echo "generation $count swapped in, $(calc "$(date +%s.%N) - $from" %.1f) s of building included"
  done
}

load 3 > /dev/null
before=$(load "$calm_seconds"); words "calm before" "$before"
echo 0 > "$scratch/swaps"
first=$(generation)
on_load_core() { taskset -cp 1 "$BASHPID" > /dev/null && "$1"; }
on_load_core changes > "$scratch/changes.log" 2>&1 8>&- &
changing=$!
on_load_core builds > "$scratch/builds.log" 2>&1 8>&- &
building=$!
pids+=("$changing" "$building")
began=$SECONDS reports=() failures=0 worst=0
while :; do
  report=$(load "$busy_seconds"); words "with changes" "$report"
  reports+=("$report")
  failures=$((failures + $(field "$report" refused_temporary) + $(field "$report" refused_permanent) + $(field "$report" unknown)))
  worst=$(calc "$worst > $(field "$report" latency_ms.p99) ? $worst : $(field "$report" latency_ms.p99)" %.2f)
  [ "$(cat "$scratch/swaps")" = 0 ] && [ $((SECONDS - began)) -lt "$busy_seconds_max" ] || break
done
swaps=$(cat "$scratch/swaps")
touch "$scratch/over"
wait "$changing" || true
cat "$scratch/changes.log"
wait "$building" || true
cat "$scratch/builds.log"
echo "generation $first at the start, $(generation) at the end"
after=$(load "$calm_seconds"); words "calm after" "$after"
failures=$((failures + $(sed -n 's/.* \([0-9]*\) failed.*/\1/p' "$scratch/changes.log") + $(grep -c FAILED "$scratch/builds.log" || true)))
calm=$(calc "($(field "$before" latency_ms.p99) + $(field "$after" latency_ms.p99)) / 2" %.2f)
stop_engine
changed=$(sed -n 's/.*changes, \([0-9]*\) a minute.*/\1/p' "$scratch/changes.log")
row "swap and list changes: errors" "$failures" most 0 - '' "$swaps swaps within the load, $changed changes a minute"
ratio=$(calc "$worst / $calm" %.2f)
[ "$swaps" -gt 0 ] || ratio="no generation was swapped"
# Commands that cannot be started in time, on a machine that is busy with other things, are no load of 1,000 a minute.
[ "$changed" -ge 950 ] || ratio="$ratio, but $changed changes a minute"
row "swap and list changes: p99 / calm p99" "$ratio" most 2 - times "$worst ms, $calm ms"
