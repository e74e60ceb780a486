#!/bin/bash
# What no build can mend is said before the build: kernel, io_uring, memory-lock limit. Each with the exact
# line that fixes it. `sekisho run` looks again, and at more (appliance/ctl/src/run/machine.rs); a test there
# holds that both name the same lines.
set -euo pipefail

as_root() {
  if [ "$(id -u)" = 0 ]; then echo "$1"
  elif ! command -v sudo > /dev/null; then echo "su -c \"$1\""
  elif [[ $1 == *'>'* ]]; then echo "sudo sh -c \"$1\""
  else echo "sudo $1"; fi
}

lacks=0
missing() {
  lacks=1
  printf '  missing  %s\n' "$1" >&2
  shift
  printf '           %s\n' "$@" >&2
}

release=$(uname -r)
IFS=.- read -r major minor _ <<< "$release"
if ((major < 5 || (major == 5 && ${minor//[!0-9]/} < 8))); then
  missing "kernel: $release, at least 5.8 is needed" \
    "$(as_root "apt-get install linux-image-amd64")" "then start the machine again"
fi

limit=$(ulimit -H -l)
if [ "$limit" != unlimited ] && [ "$limit" -lt 512 ]; then
  missing "memory-lock limit: $limit KiB, at least 512 KiB are needed" \
    "$(as_root "prlimit --pid \$\$ --memlock=67108864:67108864")" \
    "for good, from the next login on:" \
    "$(as_root "echo '* - memlock 65536' > /etc/security/limits.d/sekisho.conf")"
fi

# The system call itself (425 everywhere): a container may forbid what the kernel has.
if command -v perl > /dev/null; then
  errno=$(perl -e 'my $p = "\0" x 120; print syscall(425, 8, $p) < 0 ? $! + 0 : 0')
  case $errno in
    1)
      if [ "$(cat /proc/sys/kernel/io_uring_disabled 2> /dev/null || echo 0)" != 0 ]; then
        missing "io_uring: forbidden" "$(as_root "sysctl -w kernel.io_uring_disabled=0")"
      else
        missing "io_uring: forbidden" \
          "the container forbids it: start it with --security-opt seccomp=unconfined"
      fi ;;
    38)
      missing "io_uring: not in this kernel" \
        "$(as_root "apt-get install linux-image-amd64")" "then start the machine again" ;;
  esac
fi

if [ $lacks = 1 ]; then
  echo "this machine lacks what is listed above; nothing was built" >&2
  exit 2
fi
