#!/bin/bash
# One engine with one domain, in the foreground, for measuring:
#
#   bench/engine.sh LISTEN HOP STATE DOMAIN [FORMAT RULES]...
#
# LISTEN and HOP are host:port; STATE is a directory, empty or with tables. Without rules it only relays; FORMAT
# is that of [[tables.source]] (spamassassin, toml, clamav) for a file or a directory of rules.
# Tables that STATE has already (`generations`) are kept: building them with all rules takes half a minute.
# Everything is delivered, whatever it is judged to be: peers do the same.
# PROGRAMS names the directory of the programs (default: target/release), MODE through or spool,
# AUTHENTICATION whether senders are checked (false), SPAM what becomes of spam (default: header; quarantine holds it), SHARDS how many there are (1), SETTINGS more
# sections of the configuration, DOMAIN_SETTINGS more settings of the domain (`classifier.enabled = false`), RECIPIENTS a file of addresses: all others of the domain are then refused.
set -euo pipefail
listen=$1 hop=$2 state=$3 domain=$4
shift 4
programs=${PROGRAMS:-$(realpath "$(dirname "$0")/..")/target/release}

mkdir -p "$state/etc"
cat > "$state/etc/sekisho.toml" << TOML
[engine]
data_dir = ".."
shards = ${SHARDS:-1}
host_name = "bench.example.com"
[[listener]]
address = "$listen"
[delivery]
mode = "${MODE:-through}"
[analysis]
workers = 1
[metrics]
address = "off"
[authentication]
enabled = ${AUTHENTICATION:-false}
${SETTINGS:-}
[[tables.source]]
path = "domains.toml"
kind = "domains"
format = "toml"
TOML
while [ $# -ge 2 ]; do
  printf '[[tables.source]]\npath = "%s"\nkind = "patterns"\nformat = "%s"\n' "$(realpath "$2")" "$1"
  shift 2
done >> "$state/etc/sekisho.toml"
if [ -n "${RECIPIENTS:-}" ]; then
  printf '[[tables.source]]\npath = "%s"\nkind = "recipients"\nformat = "csv"\n' "$(realpath "$RECIPIENTS")"
fi >> "$state/etc/sekisho.toml"
verify=off
[ -z "${RECIPIENTS:-}" ] || verify=list
cat > "$state/etc/domains.toml" << TOML
[[domain]]
name = "$domain"
profile = "securemail"
[[domain.route]]
host = "${hop%:*}"
port = ${hop##*:}
tls = "never"
[domain.settings]
recipient.verify = "$verify"
quarantine.reply = "accept"
spam.action = "${SPAM:-header}"
scan_exception.action = "deliver"
${DOMAIN_SETTINGS:-}
TOML
[ -d "$state/generations" ] || "$programs/sekisho" --data "$state" tables build > "$state/build.log" 2>&1 ||
  { cat "$state/build.log" >&2; exit 2; }
exec "$programs/sekisho-engine" --config "$state/etc/sekisho.toml" --data "$state"
