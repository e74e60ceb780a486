#!/bin/bash
# Refusing at RCPT: recipients that are not among ENTRIES (10,000,000) known ones of the domain. Called by bench/bars.sh.
#
#   one      a connection for each: EHLO, MAIL, RCPT, 550, QUIT
#   fifty    a connection for each group: EHLO, then MAIL, 50 RCPT and DATA in one go; 51 refusals, QUIT
#   kept     the same groups, 100 on a connection, with RSET between them
#
# The engine's limits on errors of a session are lifted (they would end it after 20). Beside refusals a second stands
# what they cost, as on a busy machine the one says less than the other. SECONDS_EACH (8).
. "$(dirname "$(realpath "$0")")/lib.sh"
begin "$(realpath "$0")"
entries=${ENTRIES:-$(quick && echo 1000000 || echo 10000000)} seconds=${SECONDS_EACH:-$(quick && echo 4 || echo 8)}
repeats=$(quick && echo 2 || echo 3)
export SETTINGS=$'[smtp]\nerrors_max = 10000\nunknown_recipients_max = 100000'
export RECIPIENTS=$bars/recipients-$entries.csv
if [ ! -s "$RECIPIENTS" ]; then
  awk -v n="$entries" 'BEGIN { for (i = 0; i < n; i++) printf "user%x@example.test\n", i }' > "$RECIPIENTS.new"
  mv "$RECIPIENTS.new" "$RECIPIENTS"
fi
start_sink --discard
start_engine refuse
echo "recipients known: $(wc -l < "$RECIPIENTS"); $(sed -n '/ecipients/p' "$engine_state/build.log" | head -n 1)"
ghosts=(--to "ghost{n}x{r}@example.test")

# Somebody is known, or all refusals would say nothing.
report=$(send --mails 1 --to "user1@example.test")
[ "$(field "$report" accepted)" = 1 ] || { echo "a known recipient was not accepted: $(field "$report" first_refusal)"; exit 1; }

one() { # NAME RECIPIENTS ARGUMENTS...: gives refusals a second in $rate
  local name=$1 recipients=$2 report before cpu
  shift 2
  before=$(cpu_us)
  report=$(send --seconds "$seconds" --sessions 64 --threads 1 --recipients "$recipients" "${ghosts[@]}" "$@" 2>&1)
  cpu=$(($(cpu_us) - before))
  local refused
  refused=$(($(field "$report" refused_permanent) * recipients))
  rate=$(calc "$refused / $(field "$report" seconds)" %.0f)
  echo "$name: $refused refused, $rate/s, $(calc "$cpu / $refused" %.2f) us of the engine's CPU each," \
    "engine busy $(calc "$cpu / 10000 / $(field "$report" seconds)" %.0f) %;" \
    "accepted, for now, unknown: $(fields "$report" accepted refused_temporary unknown), first: $(field "$report" first_refusal);" \
    "generator limited: $(field "$report" generator.limited)"
}
singles=() fifties=() kept=()
for _ in $(seq "$repeats"); do
  one one 1; singles+=("$rate")
  one fifty 50 --pipelining; fifties+=("$rate")
  one kept 50 --pipelining --mails-per-connection 100; kept+=("$rate")
done
stop_engine
row "refused at RCPT, 50 pipelined in a session" "$(calc "$(median "${fifties[@]}")" %.0f)" least 100000 300000 /s \
  "$entries known, ${#fifties[@]} rounds, $(span "${fifties[@]}"); kept connections: $(calc "$(median "${kept[@]}")" %.0f)"
row "refused at RCPT, one RCPT a connection" "$(calc "$(median "${singles[@]}")" %.0f)" least 6000 10000 /s \
  "$entries known, ${#singles[@]} rounds, $(span "${singles[@]}")"
