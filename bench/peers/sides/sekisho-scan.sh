#!/bin/bash
# The engine with full scanning: SpamAssassin's rules, 20,000 literals, our own rules. Everything is delivered.
# settle: 2
. "$(dirname "$0")/side.sh"
. "$here/sekisho.conf.sh"
missing() { missing_rules; }
start() { scanning_engine; }
main "$@"
