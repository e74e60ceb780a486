#!/bin/bash
# Postfix + rspamd as for postfix-rspamd, and with SPF, DKIM, DMARC and ARC: keys are in the zone that the DNS beside it serves.
# Archives and MIME types are looked at in both.
# settle: 8
. "$(dirname "$0")/side.sh"
. "$here/postfix.conf.sh"
. "$here/rspamd.conf.sh"
missing() { needs_root; }
start() { RSPAMD_ON="spf dmarc arc" postfix_rspamd; }
main "$@"
