#!/bin/bash
# Postfix + rspamd as milter: rspamd_proxy with one self-scanning worker, on the one core. No look-ups in the
# network, no Redis (hence no Bayes); modules that would need either are off. The engine beside it has none either.
# settle: 8
. "$(dirname "$0")/side.sh"
. "$here/postfix.conf.sh"
. "$here/rspamd.conf.sh"
missing() { needs_root; }
start() { postfix_rspamd dkim; }
main "$@"
