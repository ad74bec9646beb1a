#!/usr/bin/env bash
# Runs the parity scenarios that this tree passes whole against dist/fathom, in a network namespace and state of its own.
# Usage: test/parity.sh PATH-OF-parity [OPTIONS of parity]; without options: core/, and the scenarios of test/parity-scenarios.txt.
set -uo pipefail
parity=$1; shift
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d /tmp/fathom-parity-XXXXXX)
space=fathom-parity-${FATHOM_TEST_RUN:-$$}
daemon=
cleanup() {
  [ -n "$daemon" ] && kill "$daemon" 2>/dev/null && { for _ in $(seq 300); do kill -0 "$daemon" 2>/dev/null || break; sleep 0.1; done; kill -9 "$daemon" 2>/dev/null; }
  ip netns del "$space" 2>/dev/null
  rm -rf "$work"
}
trap cleanup EXIT
ip netns add "$space" || exit 1
nsenter --net="/run/netns/$space" ip link set lo up
# A host has a resolver, a route and a host name; the scenarios look at them.
nsenter --net="/run/netns/$space" "$root/dist/fathom" daemon -H "unix://$work/docker.sock" --data-root "$work/data" --exec-root "$work/exec" \
  --pidfile "$work/pid" --cgroup-parent "/$space" >"$work/daemon.log" 2>&1 &
daemon=$!
for _ in $(seq 100); do [ -S "$work/docker.sock" ] && break; sleep 0.1; done
if [ ! -S "$work/docker.sock" ]; then tail -20 "$work/daemon.log"; echo "parity: 0 passed, 1 failed (steps: the daemon did not start)"; exit 1; fi
# The list holds scenarios beside core/ that this tree passes: they must go on passing.
if [ $# -eq 0 ]; then
  scenarios=$(dirname "$parity")/scenarios
  mapfile -t files < <(ls "$scenarios"/core/*.txt; sed "/^#/d; s,^,$scenarios/," "$root/test/parity-scenarios.txt")
  set -- "${files[@]}"
fi
nsenter --net="/run/netns/$space" python3 "$parity" --socket "$work/docker.sock" "$@"
code=$?
[ $code -ne 0 ] && { echo "--- last lines of the daemon's log"; tail -5 "$work/daemon.log"; } >&2
exit $code
