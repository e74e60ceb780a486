#!/bin/bash
# The same with full scanning.
# settle: 2
# relays: no
. "$(dirname "$0")/side.sh"
. "$here/sekisho.conf.sh"
missing() { missing_rules; }
start() { holding scanning_engine; }
main "$@"
