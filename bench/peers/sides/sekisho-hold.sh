#!/bin/bash
# The engine judges every mail to be spam, by full scanning and a rule that all match, and holds it in quarantine:
# durable before the 250. Nothing reaches the sink.
# settle: 2
# relays: no
. "$(dirname "$0")/side.sh"
. "$here/sekisho.conf.sh"
missing() { missing_rules; }
start() {
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
  SPAM=quarantine scanning_engine toml "$RUN/all.toml"
}
main "$@"
