#!/bin/bash
# The engine with full scanning as for sekisho-scan, and with SPF, DKIM, DMARC and ARC: keys are in the zone that the DNS beside it
# serves. Everything is delivered.
# settle: 2
. "$(dirname "$0")/side.sh"
. "$here/sekisho.conf.sh"
missing() { missing_rules; }
start() {
  export AUTHENTICATION=true SETTINGS="[dns]
servers = [\"127.0.0.1:$DNS\"]"
  scanning_engine
}
main "$@"
