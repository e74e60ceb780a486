# Packages that must not touch the machine are installed into an overlay of / below $PEERS, seen only
# in a private mount namespace. Sourced by setup.sh and run.sh.

# NAME: mounts the overlay at $PEERS/roots/NAME/m. Its directory /state is on the plain file system
# below: a queue on an overlay would pay for it at every fsync.
root_mount() {
  local root=$PEERS/roots/$1
  mkdir -p "$root/u" "$root/w" "$root/m" "$root/state"
  mountpoint -q "$root/m" && return 0
  mount -t overlay "peer-$1" -o "lowerdir=/,upperdir=$root/u,workdir=$root/w" "$root/m"
  mkdir -p "$root/m/state"
  mount -t proc proc "$root/m/proc"
  mount --rbind /dev "$root/m/dev"
  mount --bind "$root/state" "$root/m/state"
}
