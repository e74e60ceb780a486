#!/bin/bash
# The engine judges every mail to be spam, by the rules that it is shipped with and one that all match, and holds it in
# quarantine: durable before the 250. Nothing reaches the sink.
# settle: 2
# relays: no
. "$(dirname "$0")/side.sh"
. "$here/sekisho.conf.sh"
missing() { return 1; }
start() { holding engine toml "$(own_rules)"; }
main "$@"
