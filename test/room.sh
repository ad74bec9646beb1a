#!/usr/bin/env bash
# Usage: room.sh [--network] DIRECTORY PROGRAM…: runs a test file where it cannot meet another run: in pid, mount and network namespaces of its
# own, with a /run of its own, and with DIRECTORY/tmp as its folder for temporary files. When the file has ended, what it left there is written
# to DIRECTORY/left at once (test/leftovers.ts); then all its processes are killed. With --network it has the machine's network, to fetch
# things.
set -euo pipefail
if [ "${1:-}" != --inside ]; then
  net=--net
  if [ "$1" = --network ]; then net=; shift; fi
  # When this program is killed, the room ends too: its first process dies, and so all others die.
  exec unshare --pid --fork --kill-child --mount --mount-proc ${net:+"$net"} "$0" --inside "$net" "$@"
fi
net=$2 room=$3; shift 3
# /etc/resolv.conf may be a link into /run.
cp -L /etc/resolv.conf "$room/resolv.conf" 2>/dev/null || true
target=$(readlink -m /etc/resolv.conf)
mount -t tmpfs -o mode=755 tmpfs /run
case $target in /run/*) mkdir -p "${target%/*}"; cp "$room/resolv.conf" "$target" ;; esac
# As ip makes it for the first namespace.
mkdir -p /run/netns /run/lock
mount --bind /run/netns /run/netns
mount --make-shared /run/netns
[ -z "$net" ] || ip link set lo up
mkdir -p "$room/tmp"
export TMPDIR=$room/tmp
here=$(dirname "$0")
"$BUN" "$here/leftovers.ts" >"$room/before"
code=0
# This shell reaps every process that becomes its child.
"$@" </dev/null || code=$?
"$BUN" "$here/leftovers.ts" "$room/before" >"$room/left"
exit $code
