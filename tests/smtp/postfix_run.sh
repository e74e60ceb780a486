#!/bin/bash
# Runs Postfix out of Debian's package in a private copy of the file system: `postfix_run.sh DIR LISTEN NEXT`.
# DIR holds the unpacked packages (made here the first time). Nothing is installed, nothing of the
# machine's own is started or changed; it ends when standard input is closed. Needs root.
set -euo pipefail
dir=$1 listen=$2 next=$3
mkdir -p "$dir"
dir=$(realpath "$dir")

if [ ! -e "$dir/root/usr/sbin/postfix" ]; then
  mkdir -p "$dir/packages" "$dir/root"
  cd "$dir/packages"
  names() { apt-get install -s --no-install-recommends postfix 2> /dev/null | awk '/^Inst/ {print $2}'; }
  wanted=$(names)
  [ -n "$wanted" ] || { apt-get update -q > /dev/null; wanted=$(names); }
  # An installed Postfix leaves nothing to simulate: the package itself is enough then.
  apt-get download -q ${wanted:-postfix} > /dev/null
  for package in *.deb; do dpkg -x "$package" "$dir/root"; done
fi

state=$(mktemp -d "$dir/run.XXXXXX")
trap 'rm -rf "$state"' EXIT
export dir state listen next
unshare --mount --pid --fork --kill-child --propagation private bash -euo pipefail -c '
  mkdir -p "$state/upper" "$state/work" "$state/m" "$state/queue"
  mount -t overlay overlay -o "lowerdir=/,upperdir=$state/upper,workdir=$state/work" "$state/m"
  m=$state/m
  # Through links such as /lib, not over them.
  tar -C "$dir/root" -cf - . | tar -C "$m" -xf - --keep-directory-symlink
  mkdir -p "$m/state"
  mount --bind "$state/queue" "$m/state"
  mount -t proc proc "$m/proc"
  mount --rbind /dev "$m/dev"
  grep -q "^postfix:" "$m/etc/passwd" || echo "postfix:x:7025:7025::/var/spool/postfix:/bin/false" >> "$m/etc/passwd"
  grep -q "^postfix:" "$m/etc/group" || echo "postfix:x:7025:" >> "$m/etc/group"
  grep -q "^postdrop:" "$m/etc/group" || echo "postdrop:x:7026:" >> "$m/etc/group"
  mkdir -p "$m/etc/postfix" "$m/state/queue" "$m/state/data"
  chroot "$m" chown postfix /state/data
  cp "$m/usr/share/postfix/master.cf.dist" "$m/etc/postfix/master.cf"
  touch "$m/etc/postfix/dynamicmaps.cf"
  cp -n "$m/usr/share/postfix/"{postfix-files,post-install,postfix-script} "$m/etc/postfix/" 2> /dev/null || true
  cat > "$m/etc/postfix/main.cf" <<CF
compatibility_level = 3.6
queue_directory = /state/queue
data_directory = /state/data
maillog_file = /state/log
maillog_file_prefixes = /state
myhostname = postfix.test
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
default_transport = smtp:[${next%:*}]:${next#*:}
relay_transport = smtp:[${next%:*}]:${next#*:}
header_size_limit = 4096000
message_size_limit = 104857600
in_flow_delay = 0s
minimal_backoff_time = 2s
maximal_backoff_time = 4s
queue_run_delay = 2s
CF
  chroot "$m" postconf -M "$listen/inet=$listen inet n - n - 50 smtpd"
  chroot "$m" postconf -MX smtp/inet
  chroot "$m" postconf -MX pickup/unix 2> /dev/null || true
  chroot "$m" postconf -M "postlog/unix-dgram=postlog unix-dgram n - n - 1 postlogd"
  chroot "$m" postconf -F "*/*/chroot = n"
  q=$m/state/queue
  mkdir -p "$q"/{active,bounce,corrupt,defer,deferred,flush,hold,incoming,pid,private,saved,trace,maildrop,public}
  chroot "$m" chown -R postfix /state/queue
  chroot "$m" chown root /state/queue /state/queue/pid
  chroot "$m" chgrp postdrop /state/queue/maildrop /state/queue/public
  chmod 700 "$q"/{active,bounce,corrupt,defer,deferred,flush,hold,incoming,private,saved,trace}
  chmod 730 "$q/maildrop"
  chmod 710 "$q/public"
  chroot "$m" postfix start-fg > "$state/queue/words" 2>&1 < /dev/null &
  echo STARTED
  # Until the test closes our input.
  cat > /dev/null
  chroot "$m" postfix stop > /dev/null 2>&1 || true
'
