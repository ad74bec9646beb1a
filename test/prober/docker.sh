#!/bin/sh
# Uses the docker CLI to find out what a container with CAP_SYS_PTRACE sees of execs, health checks and containers that join its pid namespace.
#   docker.sh PROBER IMAGE [EXECS [JOINS]]
# PROBER is prober.c, built static; IMAGE has sh, sleep, true. DOCKER_HOST as usual. Prints the output of the probers; status 1 when one had a
# hit or saw no process while it was made.
set -u
prober=$1 image=$2 execs=${3:-200} joins=${4:-50}
name=prober-$$
root=$(stat -c '%d:%i' /)
set -- "$root"
for kind in mnt net pid uts ipc; do set -- "$@" "$(readlink /proc/self/ns/$kind)"; done

# start MODE…: the prober as a container's first process, with a health check every second.
start() {
  docker run -d --name "$name" --cap-add SYS_PTRACE --network none -v "$prober:/prober:ro" --health-cmd true --health-interval 1s "$image" /prober "$@" >/dev/null &&
    until docker logs "$name" | grep -q looking; do sleep 0.1; done
}
failed=0
# finish WHAT: ends the prober and judges its output.
finish() {
  docker kill -s TERM "$name" >/dev/null
  docker wait "$name" >/dev/null
  docker logs "$name"
  docker logs "$name" | grep -Eq 'newborn [1-9][0-9]* hits 0$' || { echo "$1: not clean"; failed=1; }
  docker rm -f "$name" >/dev/null
}

start "$@" || exit 2
done=0
while [ $done -lt "$execs" ]; do
  docker exec "$name" true &
  docker exec -u 1000 "$name" true
  wait
  done=$((done + 2))
done
finish execs

for mode in "" --catch; do
  start --joined $mode "$@" || exit 2
  done=0
  while [ $done -lt "$joins" ]; do
    docker run --rm --pid "container:$name" --network "container:$name" "$image" true || failed=1
    done=$((done + 1))
  done
  finish "joins $mode"
done
exit $failed
