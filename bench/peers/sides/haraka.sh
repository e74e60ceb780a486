#!/bin/bash
# Haraka, queue/smtp_forward: one node process that answers when the next hop has accepted; nothing on disk.
# settle: 2
. "$(dirname "$0")/side.sh"
package=$PEERS/haraka/node_modules/Haraka
missing() {
  [ -d "$package" ] && return 1
  echo "not installed (npm)"
}
start() {
  local home=$RUN/haraka
  rm -rf "$home"
  mkdir -p "$home/config" "$home/queue"
  cd "$home"
  printf '%s\n' rcpt_to.in_host_list queue/smtp_forward > config/plugins
  printf 'listen=127.0.0.1:%s\nnodes=0\n' "$LISTEN" > config/smtp.ini
  echo example.test > config/host_list
  echo gw.test > config/me
  echo 52428800 > config/databytes
  printf 'host=127.0.0.1\nport=%s\nenable_tls=false\n' "$SINK" > config/smtp_forward.ini
  printf '[main]\nlevel=error\n' > config/log.ini
  echo error > config/loglevel
  cp "$package/config/connection.ini" config/
  NODE_PATH=$PEERS/haraka/node_modules exec node "$package/bin/haraka" -c "$home"
}
main "$@"
