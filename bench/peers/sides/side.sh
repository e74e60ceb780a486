# Sourced by every side. A side is `sides/NAME.sh start` (comes back or stays; what it starts serves LISTEN and
# relays to SINK, both ports of 127.0.0.1) and `sides/NAME.sh missing` (true with a reason, if it cannot be had here).
# In scope: PEERS PROGRAMS LISTEN SINK DNS (ports) RUN (a directory of its own) RUN_ID (the same in all
# rounds of a run). `# settle: N` is read by point.py: seconds from the first greeting until the side has stopped starting.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
root=$PEERS/roots/postfix/m
in_root() { chroot "$root" "$@"; }
fresh() { # NAME [OWNER]: an empty directory /state/NAME of the root
  rm -rf "$root/state/$1"
  mkdir -p "$root/state/$1"
  [ -z "${2:-}" ] || in_root chown "$2" "/state/$1"
}
needs_root() { # true with a reason where there is no overlay
  mountpoint -q "$root" && return 1
  echo "its packages need root (an overlay mount)"
}
main() {
  case $1 in
    start) start ;;
    missing) missing ;;
    *) echo "side: unknown verb $1" >&2; exit 2 ;;
  esac
}
