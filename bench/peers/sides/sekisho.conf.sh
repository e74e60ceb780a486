# The engine, on one core with all its threads and workers.

# SpamAssassin's rules as Debian ships them: of the overlay, or unpacked.
spamassassin_rules() {
  local dir
  for dir in "$PEERS/roots/postfix/u" "$PEERS/unpacked" ""; do
    dir=$dir/usr/share/spamassassin
    [ -d "$dir" ] && { echo "$dir"; return; }
  done
  return 1
}
missing_rules() {
  spamassassin_rules > /dev/null && return 1
  echo "no rules of SpamAssassin (package spamassassin)"
}
# Rules of ours, and LITERALS (20,000) literals as signatures of text, drawn from a fixed seed.
literals() {
  python3 - "$RUN/literals.ndb" "${LITERALS:-20000}" << 'PYTHON'
import random, sys
draw = random.Random(5)
with open(sys.argv[1], "w") as file:
    for number in range(int(sys.argv[2])):
        file.write("Bench.Literal%d:0:*:%s\n" % (number, draw.randbytes(draw.randint(16, 40)).hex()))
PYTHON
  echo "$RUN/literals.ndb"
}
# The first round builds the tables, the others keep them and nothing else: all rounds of a run measure the same tiers.
engine() { # [FORMAT RULES]...
  local state=$RUN/state
  if [ "$(cat "$RUN/tables-of" 2> /dev/null)" = "$RUN_ID" ] && [ -d "$state/generations" ]; then
    find "$state" -mindepth 1 -maxdepth 1 ! -name generations -exec rm -rf {} +
  else
    rm -rf "$state"
  fi
  mkdir -p "$state"
  echo "$RUN_ID" > "$RUN/tables-of"
  exec "$here/../../engine.sh" "127.0.0.1:$LISTEN" "127.0.0.1:$SINK" "$state" example.test "$@"
}
own_rules() { echo "$here/../../../core/data/rules"; }
scanning_engine() { # [FORMAT RULES]... besides the full set
  engine spamassassin "$(spamassassin_rules)" clamav "$(literals)" toml "$(own_rules)" "$@"
}
# A rule that all mails match, beside those given, and what is spam is held.
holding() { # COMMAND of the engine, [FORMAT RULES]...
  cat > "$RUN/all.toml" << 'TOML'
[[rule]]
name = "BENCH_ALL"
describe_en = "Every mail: what is measured is holding"
describe_ja = "すべてのメール"
field = "message-id"
pattern = '.'
kind = "spam"
points = 1000
TOML
  SPAM=quarantine "$@" toml "$RUN/all.toml"
}
