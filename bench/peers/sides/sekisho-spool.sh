#!/bin/bash
# The engine, relay only, durable first: fdatasync before the 250, delivered afterwards.
# settle: 2
. "$(dirname "$0")/side.sh"
. "$here/sekisho.conf.sh"
missing() { return 1; }
start() { MODE=spool engine; }
main "$@"
