# Sourced by bench/bars.sh, its rows and bench/peers/run.sh: one instance at a time, and nothing of it stays.

# NAME: the three programs are there.
programs_present() {
  local program
  for program in sekisho sekisho-engine sekisho-loadgen; do
    [ -x "$PROGRAMS/$program" ] && continue
    echo "$1: $program: not in the directory of the programs" >&2
    echo "try: make build" >&2
    exit 2
  done
  [ "$(nproc)" -ge 2 ] && return
  echo "$1: one core: two are needed, the side's and the load's" >&2
  exit 2
}

# NAME: takes the lock of $PEERS, or ends. Two that measure on the same cores measure each other. The lock is a file
# descriptor (8) and goes with the process, however it ends; what is started in the background closes it.
one_instance() {
  [ "${PEERS_LOCKED:-}" = 1 ] && return
  mkdir -p "$PEERS"
  exec 8>> "$PEERS/lock"
  if ! flock -n 8; then
    echo "$1: another instance runs, process $(tail -n 1 "$PEERS/lock"): only one at a time" >&2
    exit 2
  fi
  echo "$$" > "$PEERS/lock"
  export PEERS_LOCKED=1
}

# COMMAND...: runs it apart, so that all that it starts ends with it: as root in namespaces of processes, network and
# mounts, else in a process group. SIGINT and SIGTERM end it first, and then us; what cannot end in 10 s is killed.
# (A trap of the shell that waits for a command would run only after that command. This one waits for a job.)
apart() {
  local job code=0 namespaces=()
  if [ "$(id -u)" = 0 ]; then
    namespaces=(unshare -m -n -p -f --kill-child --mount-proc --propagation private)
  fi
  set -m
  APART=$$ "${namespaces[@]}" "$@" < /dev/null 8>&- &
  job=$!
  set +m
  # shellcheck disable=SC2064 # the job's number, as it is now
  trap "end_job $job; clean_up; exit 130" INT TERM
  wait "$job" || code=$?
  trap - INT TERM
  clean_up
  exit "$code"
}
# What bears our number: the first process of a namespace is killed without a word when its maker ends.
clean_up() {
  rm -rf "$PEERS/bars/run.$$".*
  rmdir /sys/fs/cgroup/{,cpuacct/}sekisho-{bars,peers}-"$$"-* 2> /dev/null || true
}
end_job() { # PID of a job with its own process group
  trap '' INT TERM
  kill -TERM -- "-$1" 2> /dev/null || true
  for _ in $(seq 100); do
    kill -0 -- "-$1" 2> /dev/null || return 0
    sleep 0.1
  done
  kill -KILL -- "-$1" 2> /dev/null || true
}
