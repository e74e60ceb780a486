#!/bin/bash
# The load against Postfix's smtp-sink, which accepts and throws away: the neighbourhood of the limit.
# settle: 1
# relays: no
. "$(dirname "$0")/side.sh"
missing() { needs_root; }
start() { exec chroot "$root" smtp-sink -u nobody -h null.test "127.0.0.1:$LISTEN" 1000; }
main "$@"
