#!/bin/bash
# Fetches what stands beside the engine into a directory, and nothing anywhere else:
#
#   bench/peers/setup.sh PEERS
#
# As root: Debian's postfix, rspamd and spamassassin, installed into an overlay of / below PEERS; no
# service is started, and without the overlay nothing of it is to be seen. As anybody else only
# SpamAssassin's rules, unpacked. Haraka by npm, in both cases. What is there already stays.
set -euo pipefail
PEERS=$(mkdir -p "$1" && realpath "$1")
here=$(dirname "$(realpath "$0")")
. "$here/roots.sh"

install_root() { # NAME PACKAGE...
  local name=$1 m=$PEERS/roots/$1/m
  shift
  root_mount "$name"
  printf '#!/bin/sh\nexit 101\n' > "$m/usr/sbin/policy-rc.d"
  chmod 755 "$m/usr/sbin/policy-rc.d"
  echo "postfix postfix/main_mailer_type select No configuration" | chroot "$m" debconf-set-selections
  local get=(env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 chroot "$m" apt-get)
  { "${get[@]}" install -y -q --no-install-recommends "$@" ||
    { "${get[@]}" update -q && "${get[@]}" install -y -q --no-install-recommends "$@"; }; } \
    < /dev/null > "$PEERS/install-$name.log" 2>&1 || { tail -n 5 "$PEERS/install-$name.log" >&2; return 1; }
  # shellcheck disable=SC2016 # dpkg-query's own names
  chroot "$m" dpkg-query -W -f '${Package} ${Version}\n' "$@" > "$PEERS/versions-$name"
}

if [ "$(id -u)" = 0 ]; then
  if [ ! -s "$PEERS/versions-postfix" ]; then
    if [ "${SETUP_NAMESPACE:-}" != 1 ]; then
      SETUP_NAMESPACE=1 exec unshare -m --propagation private "$0" "$PEERS"
    fi
    echo "peers: installing postfix, rspamd, spamassassin into an overlay" >&2
    install_root postfix postfix rspamd spamassassin
  fi
elif [ ! -d "$PEERS/unpacked/usr/share/spamassassin" ]; then
  echo "peers: unpacking the rules of spamassassin" >&2
  mkdir -p "$PEERS/unpacked"
  (cd "$PEERS/unpacked" && apt-get download -q spamassassin > /dev/null && dpkg -x spamassassin_*.deb .) ||
    echo "peers: package spamassassin cannot be had: sides with its rules are left out" >&2
fi
if [ ! -d "$PEERS/haraka/node_modules/Haraka" ]; then
  if command -v npm > /dev/null && command -v node > /dev/null; then
    echo "peers: installing Haraka by npm" >&2
    mkdir -p "$PEERS/haraka"
    (cd "$PEERS/haraka" && { [ -f package.json ] || npm init -y > /dev/null; } &&
      npm install --no-audit --no-fund ${NPM_BEFORE:+--before "$NPM_BEFORE"} Haraka > "$PEERS/install-haraka.log" 2>&1) ||
      echo "peers: npm cannot install Haraka (see install-haraka.log): it is left out" >&2
  else
    echo "peers: no npm: Haraka is left out" >&2
  fi
fi
if [ ! -d "$PEERS/corpus/200k" ]; then python3 "$here/corpus.py" "$PEERS/corpus"; fi

# The load generator's mails with real attachments and signatures that verify, and the zone that has their keys.
if [ ! -s "$PEERS/real.zone" ] && [ -x "${PROGRAMS:-}/sekisho-loadgen" ]; then
  rm -rf "$PEERS/corpus/real"
  "$PROGRAMS/sekisho-loadgen" traffic --mix real --mails 400 --seed 1 --out "$PEERS/corpus/real" --zone "$PEERS/real.zone.new" > /dev/null
  mv "$PEERS/real.zone.new" "$PEERS/real.zone"
fi
