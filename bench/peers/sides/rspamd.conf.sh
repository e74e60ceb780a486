# rspamd behind Postfix, as a milter.
postfix_rspamd() { # MODULE...: off besides those that need look-ups in the network, or Redis
  local etc=$root/etc/rspamd module
  fresh rspamd _rspamd
  rm -rf "$etc/local.d" "$etc/override.d"
  mkdir -p "$etc/local.d" "$etc/override.d"
  cat > "$etc/override.d/options.inc" << CF
dns { nameserver = ["127.0.0.1:$DNS:1"]; timeout = 1s; retransmits = 2; }
local_addrs = "10.99.0.0/16";
map_watch_interval = 3600s;
CF
  echo 'level = "error"; type = "file"; filename = "/state/rspamd.log";' > "$etc/override.d/logging.inc"
  echo 'bind_socket = "127.0.0.1:11333"; count = 1;' > "$etc/override.d/worker-normal.inc"
  echo 'bind_socket = "127.0.0.1:11334"; enabled = true;' > "$etc/override.d/worker-controller.inc"
  cat > "$etc/override.d/worker-proxy.inc" << CF
bind_socket = "127.0.0.1:11332"; milter = yes; timeout = 120s; count = 1;
upstream "local" { default = yes; hosts = "localhost"; self_scan = yes; }
CF
  for module in fuzzy_check rbl surbl asn spf dmarc arc dkim_signing mx_check url_redirector phishing neural \
    greylist ratelimit history_redis reputation replies dcc p0f external_services antivirus rspamd_update bimi whitelist "$@"; do
    [[ " ${RSPAMD_ON:-} " == *" $module "* ]] && continue
    echo 'enabled = false;' > "$etc/override.d/$module.conf"
  done
  echo 'use = ["x-spamd-bar","authentication-results"]; enabled = true; extended_spam_headers = true;' \
    > "$etc/override.d/milter_headers.conf"
  echo 'reject = 1000; add_header = 6; greylist = null;' > "$etc/override.d/actions.conf"
  touch "$root/state/rspamd.log"
  in_root chown _rspamd /state/rspamd.log
  in_root mkdir -p /run/rspamd /var/lib/rspamd /var/log/rspamd
  in_root chown _rspamd:_rspamd /run/rspamd /var/lib/rspamd /var/log/rspamd
  in_root rspamd -u _rspamd -g _rspamd
  # The first start compiles its pattern databases in the background.
  local waited=0
  while [ $waited -lt 60 ] && ! ls "$root"/var/lib/rspamd/*.hsmp > /dev/null 2>&1; do
    sleep 1
    waited=$((waited + 1))
  done
  postfix_start "smtpd_milters = inet:127.0.0.1:11332" "milter_default_action = tempfail" "milter_protocol = 6"
}
