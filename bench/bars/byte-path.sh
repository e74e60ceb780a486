#!/bin/bash
# The byte path alone: the engine's rooms socket, accept and session, on its ring and on streams, against a bare ring
# (bench/examples/byte_path), 4 KiB mails on 64 kept connections, envelope pipelined, SECONDS_EACH (5), interleaved.
# Called by bench/bars.sh.
#
# What counts is CPU: that of the bare ring a mail, in percent of the engine's. The rate is the load's on its one core as
# soon as the server is faster, and is printed beside it. BYTE_PATH names a build of the example.
. "$(dirname "$(realpath "$0")")/lib.sh"
if [ -z "${BYTE_PATH:-}" ]; then
  target=$(cd "$repository" && cargo metadata --format-version 1 --no-deps --offline | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
  export BYTE_PATH=$target/release/examples/byte_path
  [ -n "${APART:-}" ] || (cd "$repository" && cargo build --release --locked --quiet -p sekisho-bench --example byte_path)
fi
begin "$(realpath "$0")"
seconds=${SECONDS_EACH:-$(quick && echo 3 || echo 5)}
mkdir "$scratch/mails"
python3 - "$scratch/mails/4k.eml" << 'PYTHON'
import sys
head = "From: Alice <alice@example.com>\r\nTo: Bob <bob@example.com>\r\nSubject: 4 KiB\r\nMessage-ID: <4k@example.com>\r\n\r\n"
line, text = 0, head
while len(text) < 4096:
    line += 1
    text += "." * 2 + "dot\r\n" if line % 40 == 0 else "".join(chr(97 + (line * 7 + i * 3) % 26) for i in range(74)) + "\r\n"
open(sys.argv[1], "w", newline="").write(text)
PYTHON

one() { # ring|streams|bare: gives microseconds of CPU a mail in $cost, mails a second in $rate
  local server report before waited=0
  read -r listen < <(ports 1)
  group_of
  (
    [ -z "$group" ] || echo 0 > "$group/cgroup.procs"
    exec taskset -c 0 "$BYTE_PATH" "$1" "$listen"
  ) > "$scratch/server.log" 2>&1 8>&- &
  server=$! engine=$!
  pids+=("$server")
  until grep -q READY "$scratch/server.log"; do
    kill -0 "$server" 2> /dev/null && [ $((waited += 1)) -lt 200 ] || { cat "$scratch/server.log" >&2; exit 2; }
    sleep 0.1
  done
  local load=(--files "$scratch/mails" --sessions 64 --mails-per-connection 100000000 --pipelining --to user@example.com)
  send --seconds 1 "${load[@]}" > /dev/null
  before=$(cpu_us)
  report=$(send --seconds "$seconds" "${load[@]}")
  cost=$(calc "($(cpu_us) - $before) / $(field "$report" accepted)" %.2f)
  rate=$(field "$report" mails_per_second)
  echo "$1: $cost us of CPU a mail, $(calc "$rate" %.0f) mails/s, busy $(calc "$cost * $rate / 10000" %.0f) %;" \
    "for now, refused, unknown: $(fields "$report" refused_temporary refused_permanent unknown); p99 $(field "$report" latency_ms.p99) ms"
  unanswered=$((unanswered + $(field "$report" unknown)))
  stop_process "$server"
}
unanswered=0
on_ring=() on_streams=()
for _ in $(seq "$REPEATS"); do
  one bare; bare=$cost
  one ring; on_ring+=("$(calc "100 * $bare / $cost" %.0f)")
  one streams; on_streams+=("$(calc "100 * $bare / $cost" %.0f)")
done
row "byte path alone, 4 KiB kept, CPU of the bare ring / the engine's" "$(calc "$(median "${on_ring[@]}")" %.0f)" least 70 90 % \
  "$REPEATS rounds, $(span "${on_ring[@]}"); on streams $(calc "$(median "${on_streams[@]}")" %.0f) %, $(span "${on_streams[@]}"); without the pipeline"
# An engine that hangs for the rest of a round costs little a mail: it once went unseen in a median.
row "byte path alone: sessions without an answer" "$unanswered" most 0 - ""
