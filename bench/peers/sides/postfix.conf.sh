# Postfix, relay only, queue on the plain file system, no logging.
postfix_start() { # extra lines for postconf -e
  fresh queue
  fresh data postfix
  cp "$root/etc/postfix/master.cf.proto" "$root/etc/postfix/master.cf"
  cat > "$root/etc/postfix/main.cf" << CF
compatibility_level = 3.6
queue_directory = /state/queue
data_directory = /state/data
myhostname = gw.test
mydestination =
local_recipient_maps =
alias_maps =
alias_database =
inet_interfaces = loopback-only
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_peername_lookup = no
disable_dns_lookups = yes
smtp_dns_support_level = disabled
default_transport = smtp:[127.0.0.1]:$SINK
relay_transport = smtp:[127.0.0.1]:$SINK
default_process_limit = 200
default_destination_concurrency_limit = 50
in_flow_delay = 0s
message_size_limit = 52428800
CF
  local line
  for line in "$@"; do in_root postconf -e "$line"; done
  in_root postconf -M "$LISTEN/inet=$LISTEN inet n - n - 200 smtpd"
  in_root postconf -MX smtp/inet 2> /dev/null || true
  in_root postfix -c /etc/postfix start
}
