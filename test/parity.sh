#!/usr/bin/env bash
# Runs the parity scenarios (test/parity/scenarios) against dist/fathom, in a network namespace and state of its own.
# Usage: test/parity.sh [OPTIONS of test/parity/run.py]. The images with which the scenarios were recorded come from $FATHOM_PARITY_IMAGES or
# ../shared/images. When neither exists, stand-ins are made of Debian's busybox-static, and the scenarios in test/parity/real-images.txt do not
# run.
set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
bun=${BUN:-$root/.tools/bin/bun}
work=$(mktemp -d "${TMPDIR:-/tmp}/fathom-parity-XXXXXX")
space=fathom-parity-${FATHOM_TEST_RUN:-$$}
daemon=
cleanup() {
  [ -n "$daemon" ] && kill "$daemon" 2>/dev/null && { for _ in $(seq 300); do kill -0 "$daemon" 2>/dev/null || break; sleep 0.1; done; kill -9 "$daemon" 2>/dev/null; }
  ip netns del "$space" 2>/dev/null
  find /sys/fs/cgroup -depth -type d -path "*/$space*" -exec rmdir {} + 2>/dev/null
  rm -rf "$work"
}
trap cleanup EXIT
images=${FATHOM_PARITY_IMAGES:-$root/../shared/images}
scenarios=$root/test/parity/scenarios
mapfile -t files < <(find "$scenarios" -name '*.txt' | sort)
if [ ! -e "$images/busybox-1.37-glibc.oci.tar" ]; then
  images=$work/images
  "$bun" "$root/test/parity/make-images.ts" "$images" || { echo "parity: 0 passed, 1 failed (steps: no images)"; exit 1; }
  mapfile -t files < <(printf '%s\n' "${files[@]}" | grep -vxFf <(sed -e '/^#/d' -e "s,^,$scenarios/," "$root/test/parity/real-images.txt"))
fi
all=$(find "$scenarios" -name '*.txt' | wc -l)
[ $# -gt 0 ] || set -- "${files[@]}"
ip netns add "$space" || exit 1
nsenter --net="/run/netns/$space" ip link set lo up
# A host has a resolver, a route and a host name; the scenarios read them.
nsenter --net="/run/netns/$space" "$root/dist/fathom" daemon -H "unix://$work/docker.sock" --data-root "$work/data" --exec-root "$work/exec" \
  --pidfile "$work/pid" --cgroup-parent "/$space" >"$work/daemon.log" 2>&1 &
daemon=$!
for _ in $(seq 100); do [ -S "$work/docker.sock" ] && break; sleep 0.1; done
if [ ! -S "$work/docker.sock" ]; then tail -20 "$work/daemon.log"; echo "parity: 0 passed, 1 failed (steps: the daemon did not start)"; exit 1; fi
nsenter --net="/run/netns/$space" python3 "$root/test/parity/run.py" --socket "$work/docker.sock" --images "$images" "$@"
code=$?
[ ${#files[@]} = "$all" ] || printf '%s\n%s\n' "left out, since they need the real images (test/parity/real-images.txt):" " $((all - ${#files[@]})) skip"
[ $code -ne 0 ] && { echo "--- last lines of the daemon's log"; tail -5 "$work/daemon.log"; } >&2
exit $code
