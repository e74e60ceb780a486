#!/bin/bash
# Installs the Debian packages that are missing, as root or through sudo; names the line otherwise.
set -euo pipefail

missing=()
for package in "$@"; do
  state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2> /dev/null || true)
  [ "$state" = installed ] && continue
  # A tool that came another way (python3 of pyenv, say) will do.
  case $package in
    gcc | pkg-config | swaks | python3) command -v "$package" > /dev/null && continue ;;
    xz-utils) command -v xz > /dev/null && continue ;;
  esac
  missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

line="apt-get install --no-install-recommends -y ${missing[*]}"
if [ "$(id -u)" = 0 ]; then
  root=()
elif command -v sudo > /dev/null && { [ -t 0 ] || sudo -n true 2> /dev/null; }; then
  root=(sudo)
else
  echo "Debian packages are missing; as root:  $line" >&2
  exit 2
fi
echo "installing: ${missing[*]}" >&2
# A list of packages may be old or not be there at all: then it is fetched, and asked again.
# No service is started by it, whatever comes along.
install() { "${root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 $line < /dev/null > /dev/null; }
install 2> /dev/null || { "${root[@]}" apt-get update -q < /dev/null > /dev/null; install; }
