#!/bin/bash
# Postfix, relay only.
# settle: 2
. "$(dirname "$0")/side.sh"
. "$here/postfix.conf.sh"
missing() { needs_root; }
start() { postfix_start; }
main "$@"
