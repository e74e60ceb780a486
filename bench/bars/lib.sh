# Sourced by every row of bench/bars.sh: an engine, a sink, loads, CPU, and the line at the end.
# In scope: PROGRAMS, PEERS, QUICK, REPEATS. State of the rows is below $PEERS/bars.
set -euo pipefail
shopt -s inherit_errexit
repository=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../..")
: "${PEERS:=$repository/target/peers}" "${PROGRAMS:=$repository/target/release}" "${QUICK:=0}" "${REPEATS:=5}"
. "$repository/bench/peers/instance.sh"
bars=$PEERS/bars
quick() { [ "$QUICK" = 1 ]; }

circumstances() {
  local commit
  commit=$(git -C "$repository" rev-parse --short=10 HEAD 2> /dev/null || echo 'not known')
  [ -z "$(git -C "$repository" status --porcelain --untracked-files=no 2> /dev/null)" ] || commit="$commit with changes"
  echo "Date:     $(date -u +'%F %H:%M UTC'), load of the machine $(cut -d' ' -f1 /proc/loadavg) at the end"
  echo "Machine:  $(sed -n 's/^model name\s*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores," \
    "$(awk '/MemTotal/ { print int($2 / 1048576) }' /proc/meminfo) GiB"
  # What a distribution or a hoster added to the release names the machine.
  echo "Kernel:   $(uname -s) $(uname -r | cut -d- -f1)"
  echo "Checkout: $commit; programs: $("$PROGRAMS/sekisho-engine" --version)"
}

# --- A row is a script of its own: it begins by this, and is started again apart.
begin() { # NAME OF THE SCRIPT
  programs_present bars
  one_instance bars
  mkdir -p "$bars"
  [ -n "${APART:-}" ] || apart "$1"
  [ "$(id -u)" != 0 ] || ip link set lo up
  ulimit -n "$(ulimit -H -n)"
  scratch=$(mktemp -d "$bars/run.$APART.XXXXXX")
  trap finish EXIT
  trap 'exit 130' INT TERM
  priority 4096
}
pids=()
finish() {
  local pid
  trap '' INT TERM
  # What it made besides goes with the process that started us (`apart`).
  for pid in "${pids[@]}"; do kill "$pid" 2> /dev/null || true; done
  for pid in "${pids[@]}"; do wait "$pid" 2> /dev/null || true; done
}
stop_process() { # PID: one of ours
  kill "$1" 2> /dev/null || true
  wait "$1" 2> /dev/null || true
}

# What is measured goes before other work on the machine: nice values do not reach across sessions where the kernel
# schedules by autogroup. Four times what others have, not more: the kernel's own threads, that of the file system's
# journal among them, are others too, and with 256 times each flush took seconds once both cores were busy. Needs root
# and cgroups of version 1; without them it is left out.
priority() { # SHARES
  local group=/sys/fs/cgroup/cpu/sekisho-peers
  mkdir -p "$group" 2> /dev/null && echo 0 2> /dev/null > "$group/cgroup.procs" && echo "$1" > "$group/cpu.shares" || true
}

ports() { # COUNT: free ports of loopback, below those that clients get
  python3 - "$1" << 'PYTHON'
import random, socket, sys
held = []
while len(held) < int(sys.argv[1]):
    try:
        held.append(socket.create_server(("127.0.0.1", random.randrange(20000, 32000))))
    except OSError:
        pass
print(*(one.getsockname()[1] for one in held))
PYTHON
}

# --- CPU of the engine: all threads and workers, in microseconds.
group_of() { # gives the directory of a new group in $group, empty where none can be made
  local base
  group=
  for base in /sys/fs/cgroup/cpuacct /sys/fs/cgroup; do
    [ -e "$base/cgroup.procs" ] || continue
    group=$base/sekisho-bars-$APART-$RANDOM
    if mkdir "$group" 2> /dev/null; then return; fi
    group=
  done
}
cpu_us() {
  if [ -e "${group:-none}/cpuacct.usage" ]; then
    awk '{ printf "%d\n", $1 / 1000 }' "$group/cpuacct.usage"
  elif [ -e "${group:-none}/cpu.stat" ]; then
    awk '/^usage_usec/ { print $2 }' "$group/cpu.stat"
  else
    local pid sum=0
    for pid in $(engine_pids); do
      sum=$((sum + $(cut -d')' -f2- "/proc/$pid/stat" | awk '{ print $12 + $13 }')))
    done
    echo $((sum * 10000))
  fi
}
engine_pids() { echo "$engine" $(pgrep -P "$engine" || true); }
memory_kib() { # FIELD...: sum over the engine and its workers
  local pid field
  for pid in $(engine_pids); do
    for field in "$@"; do awk -v f="$field:" '$1 == f { print $2 }' "/proc/$pid/status"; done
  done | awk '{ sum += $1 } END { print sum + 0 }'
}

# --- The engine and the sink. Tables are built once for each STATE and kept: they name the port of the sink, so that
# is the same for all engines of a row.
start_engine() { # STATE [FORMAT RULES]...; variables of bench/engine.sh, ENGINE_CORES (0), ENGINE_PROGRAMS
  local state=$scratch/$1 waited=0
  shift
  mkdir -p "$state"
  find "$state" -mindepth 1 -maxdepth 1 ! -name generations -exec rm -rf {} +
  read -r listen < <(ports 1)
  group_of
  : > "$state/engine.log"
  (
    [ -z "$group" ] || echo 0 > "$group/cgroup.procs"
    exec taskset -c "${ENGINE_CORES:-0}" "$repository/bench/engine.sh" "127.0.0.1:$listen" "127.0.0.1:$sink" "$state" example.test "$@"
  ) > "$state/engine.log" 2>&1 8>&- &
  engine=$! engine_state=$state
  pids+=("$engine")
  # The control socket answers before all shards have bound; READY is said after that.
  until grep -q READY "$state/engine.log"; do
    kill -0 "$engine" 2> /dev/null || { cat "$state/engine.log" >&2; exit 2; }
    waited=$((waited + 1))
    [ "$waited" -lt 9000 ] || { echo "bars: the engine did not come up in half an hour" >&2; exit 2; }
    sleep 0.2
  done
}
stop_engine() { stop_process "$engine"; }
full_rules() { # gives FORMAT RULES of the full set in $rules; false with a reason where they cannot be had
  . "$repository/bench/peers/sides/sekisho.conf.sh"
  local spamassassin
  if ! spamassassin=$(spamassassin_rules); then
    echo "bars: no rules of SpamAssassin below $PEERS: bench/peers/setup.sh gets them" >&2
    return 1
  fi
  rules=(spamassassin "$spamassassin" clamav "$(RUN=$bars literals)" toml "$repository/core/data/rules")
}
start_sink() { # ARGUMENTS of `sekisho-loadgen sink`; on core 1
  [ -n "${sink:-}" ] || read -r sink < <(ports 1)
  : > "$scratch/sink.log"
  taskset -c 1 "$PROGRAMS/sekisho-loadgen" sink --listen "127.0.0.1:$sink" "$@" > "$scratch/sink.log" 2>&1 8>&- &
  sink_process=$!
  pids+=("$sink_process")
  until grep -q READY "$scratch/sink.log"; do
    kill -0 "$sink_process" 2> /dev/null || { cat "$scratch/sink.log" >&2; exit 2; }
    sleep 0.05
  done
}
# Mails of the default mix from core 1 to $listen. The report is JSON; see `field`. The exit code says no more than it.
send() { # ARGUMENTS of `sekisho-loadgen send`
  taskset -c "${LOAD_CORES:-1}" "$PROGRAMS/sekisho-loadgen" send --server "127.0.0.1:$listen" --json "$@" 2> "$scratch/send.log" ||
    [ $? = 1 ] || { cat "$scratch/send.log" >&2; exit 2; }
}
field() { # REPORT PATH...: values of a report, one line
  python3 -c '
import json, sys
report = json.load(sys.stdin)
for path in sys.argv[1:]:
    value = report
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    print("-" if value is None else value)
' "${@:2}" <<< "$1"
}
in_time() { # REPORT SECONDS: mails a second that were accepted in the first so many seconds
  python3 -c '
import json, sys
seconds = int(sys.argv[1])
print(round(sum(one["accepted"] for one in json.load(sys.stdin)["series"][:seconds]) / seconds))
' "$2" <<< "$1"
}
fields() { field "$@" | paste -sd' '; }
calc() { awk "BEGIN { printf \"${2:-%.3f}\", ($1) }"; } # EXPRESSION [FORMAT]
median() { # VALUE...
  printf '%s\n' "$@" | sort -g | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}
span() { # VALUE...: from least to most
  printf '%s\n' "$@" | sort -g | sed -n '1p;$p' | paste -sd' ' | sed 's/ / to /'
}

# NAME | MEASURED | BAR | AIM | reached?  DIRECTION: least (the value is to be at least so much) or most. AIM may be `-`.
row() { # NAME VALUE DIRECTION BAR AIM UNIT [WORDS]
  local verdict aim=$5
  verdict=$(awk -v v="$2" -v d="$3" -v bar="$4" -v aim="$5" 'BEGIN {
    if (v !~ /^-?[0-9.]+(e[-+]?[0-9]+)?$/) { print "not measured"; exit }
    reached = d == "least" ? v + 0 >= bar + 0 : v + 0 <= bar + 0
    aimed = aim != "-" && (d == "least" ? v + 0 >= aim + 0 : v + 0 <= aim + 0)
    print aimed ? "aim reached" : reached ? "reached" : "MISSED"
  }')
  [ "$aim" != - ] || aim=
  echo "$1 | $2${6:+ $6}${7:+ ($7)}$(quick && echo ', short form') | at $3 $4${6:+ $6} | ${aim:+$aim${6:+ $6}} | $verdict"
}
