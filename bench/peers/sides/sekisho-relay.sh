#!/bin/bash
# The engine, relay only: no patterns; the next hop answers before the 250.
# settle: 2
. "$(dirname "$0")/side.sh"
. "$here/sekisho.conf.sh"
missing() { return 1; }
start() { engine; }
main "$@"
