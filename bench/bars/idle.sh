#!/bin/bash
# User-space memory of an idle session: growth of the engine's RssAnon while COUNT (10,000) plaintext sessions stand
# that have had their greeting and the answer to EHLO, and of TLS_COUNT (2,000) after STARTTLS and EHLO. Called by
# bench/bars.sh. The first 300 stand before and are not counted, so that what the first ones cost once is not.
# What the kernel holds for a socket is not in it.
. "$(dirname "$(realpath "$0")")/lib.sh"
begin "$(realpath "$0")"
count=${COUNT:-$(quick && echo 3000 || echo 10000)} tls_count=${TLS_COUNT:-$(quick && echo 500 || echo 2000)}
start_sink --discard

hold() { # COUNT plain|tls: sessions that stand until the process is told to end; says READY
  exec taskset -c 1 python3 - "$listen" "$1" "$2" << 'PYTHON'
import socket, ssl, sys
port, count, kind = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
held = []
def answer(connection):
    text = b""
    while True:
        text += connection.recv(4096)
        lines = text.split(b"\r\n")
        if text.endswith(b"\r\n") and lines[-2][3:4] == b" ":
            return text
for number in range(count):
    # 28,000 ports for each address of ours; ten addresses are more than enough.
    connection = socket.create_connection(("127.0.0.1", port), 30, ("127.0.1.%d" % (number % 10 + 1), 0))
    assert answer(connection).startswith(b"220"), number
    connection.sendall(b"EHLO idle.example.com\r\n")
    assert answer(connection).startswith(b"250"), number
    if kind == "tls":
        connection.sendall(b"STARTTLS\r\n")
        assert answer(connection).startswith(b"220"), number
        connection = context.wrap_socket(connection)
        connection.sendall(b"EHLO idle.example.com\r\n")
        assert answer(connection).startswith(b"250"), number
    held.append(connection)
print("READY", flush=True)
sys.stdin.close()
import time
time.sleep(600)
PYTHON
}
stand() { # COUNT plain|tls: gives RssAnon in KiB while they stand besides those before in $anon
  local holder log=$scratch/hold.$1
  : > "$log"
  hold "$1" "$2" > "$log" 2>&1 8>&- &
  holder=$!
  pids+=("$holder") holders+=("$holder")
  until grep -q READY "$log"; do
    kill -0 "$holder" 2> /dev/null || { cat "$log" >&2; exit 2; }
    sleep 0.1
  done
  sleep 2
  anon=$(memory_kib RssAnon)
}
holders=()
leave() { # the sessions that stand go, and the engine notices
  local holder
  for holder in "${holders[@]}"; do stop_process "$holder"; done
  holders=()
  sleep 2
}
each() { # COUNT plain|tls: octets of memory a session in $octets
  local before cpu
  SETTINGS=$'[admission.total]\nconnections_max = 30000' start_engine idle
  stand 300 "$2"
  before=$anon
  stand "$1" "$2"
  octets=$(calc "($anon - $before) * 1024 / $1" %.0f)
  echo "$1 sessions, $2: RssAnon $before KiB before, $anon KiB with them: $octets octets each"
  cpu=$(cpu_us); sleep 3
  echo "CPU of the engine while they are idle: $(calc "($(cpu_us) - $cpu) / 30000" %.2f) % of a core"
  leave
  echo "RssAnon when they are gone: $(memory_kib RssAnon) KiB"
  stop_engine
}
each "$tls_count" tls
tls=$octets
each "$count" plain
row "memory of an idle session, plaintext" "$(calc "$octets / 1024" %.2f)" most 4 1.5 KiB \
  "$count sessions; TLS apart: $(calc "$tls / 1024" %.1f) KiB, $tls_count sessions"
