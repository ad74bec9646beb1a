#!/usr/bin/env bash
# The main job inside a guest: Fathom beside systemd on an ordinary kernel with cgroup v2 and AppArmor, through the docker CLI. Prints a line
# for each check: "ok NAME", or "FAIL NAME" with the expected and the actual text. Nothing here waits for a fixed time, because a guest is
# slow.
set -uo pipefail
cd "$(dirname "$0")"
export PATH=$PWD:$PATH DOCKER_CLI_HINTS=false DOCKER_CONFIG=/tmp/config HOME=/root LC_ALL=C.UTF-8
export DOCKER_HOST=unix:///run/fathom/fathom.sock
image=localhost/busybox:test
failures=0

# check NAME EXPECTED COMMAND…: compares the command's output (both streams) line by line.
check() {
  local name=$1 expected=$2 got; shift 2
  got=$("$@" 2>&1)
  if [ "$got" = "$expected" ]; then echo "ok $name"; else
    failures=$((failures + 1)); echo "FAIL $name"
    printf '%s\n' "$expected" | sed 's/^/    expected: /'; printf '%s\n' "$got" | head -20 | sed 's/^/    got:      /'
  fi
}
# until_is EXPECTED COMMAND…: repeats the command until it prints EXPECTED; in both cases the last output is printed.
until_is() {
  local expected=$1 got; shift
  for _ in $(seq 300); do got=$("$@" 2>&1); [ "$got" = "$expected" ] && break; sleep 0.2; done
  printf '%s\n' "$got"
}
state() { docker inspect -f "$1" "$2"; }
in_c() { docker run --rm --network none "$@"; }

daemon=
start_daemon() {
  fathom daemon >>/tmp/daemon.log 2>&1 &
  daemon=$!
  for _ in $(seq 300); do curl -fs --unix-socket /run/fathom/fathom.sock http://d/_ping >/dev/null 2>&1 && return; kill -0 $daemon 2>/dev/null || break; sleep 0.2; done
  echo "FAIL the daemon starts"; tail -20 /tmp/daemon.log | sed 's/^/    /'; exit 1
}

echo "guest: $(uname -r), $(. /etc/os-release; echo "$PRETTY_NAME"), $(stat -fc %T /sys/fs/cgroup)"
check "AppArmor is on" Y cat /sys/module/apparmor/parameters/enabled
check "cgroup v2 alone" cgroup2fs stat -fc %T /sys/fs/cgroup
check "systemd is process 1" systemd cat /proc/1/comm

# What the machine has, before any daemon runs: 5.15 and 6.1 lack three of the calls that Fathom can replace, 6.12 lacks none.
fathom check >/tmp/check.out 2>&1; code=$?
check "fathom check: nothing is missing" "0" bash -c "grep MISSING /tmp/check.out; echo $code"
case $(uname -r) in 5.* | 6.1.*) young="fchmodat2 fsconfig(lowerdir+) memfd_create(MFD_EXEC)" ;; *) young= ;; esac
check "fathom check: what falls back" "$young" bash -c "sed -n 's/^  fallback \([^:]*\):.*/\1/p' /tmp/check.out | sort | paste -sd' '"
check "fathom check: AppArmor is noted" "1" grep -c '^  note     AppArmor' /tmp/check.out
start_daemon
check "load" "Loaded image: $image" docker load -qi image.tar

check "run" "hello" docker run --rm $image echo hello
check "exit code" "3" bash -c "docker run --rm $image sh -c 'exit 3'; echo \$?"
check "run, default network" "127.0.0.1 eth0" docker run --rm $image sh -c 'echo $(ip -4 -o addr show lo | grep -o "127.0.0.1" | head -1) $(ls /sys/class/net | grep eth)'
check "sees its own processes alone" "1" in_c $image sh -c 'set -- /proc/[0-9]*; echo $#'
docker run -d --name shown $image sleep 100000 >/dev/null
check "--pid container: its processes, not the host's" "sleep 100000" docker run --rm --network none --pid container:shown $image sh -c 'tr "\0" " " </proc/1/cmdline | sed "s/ $//"'
docker rm -f shown >/dev/null
docker run -d --name pod --privileged --ipc shareable --network none $image sh -c 'mount -o remount,hidepid=2,ro /proc; umount -l /proc; exec sleep 100000' >/dev/null
in_pod() { docker run --rm --pid container:pod --network container:pod --ipc container:pod $image "$@"; }
check "… also of one that has no /proc any more, as the containers of a pod" "sleep 100000" in_pod sh -c 'tr "\0" " " </proc/1/cmdline | sed "s/ $//"'
check "… a /proc with its own options" "rw,nosuid,nodev,noexec,relatime" in_pod sh -c "sed -n 's|^proc /proc proc \([^ ]*\) .*|\1|p' /proc/mounts"
check "… and its own masked and read-only paths" "0 0 denied" in_pod sh -c 'echo $(ls /proc/acpi | wc -l) $(wc -c </proc/keys) $( (echo 1 >/proc/sys/kernel/panic) 2>/dev/null && echo written || echo denied)'
docker rm -f pod >/dev/null
check "masked paths are empty" "0 0 0" in_c $image sh -c 'echo $(ls /proc/acpi | wc -l) $(ls /sys/firmware | wc -l) $(wc -c </proc/keys)'
check "read-only paths" "denied" in_c $image sh -c '(echo 1 >/proc/sys/kernel/panic) 2>/dev/null && echo written || echo denied'
check "seccomp and capabilities" "2 00000000a80425fb" in_c $image sh -c 'awk "/^Seccomp:/{s=\$2} /^CapEff/{c=\$2} END{print s, c}" /proc/self/status'
check "no-new-privileges" "1" in_c --security-opt no-new-privileges $image awk '/^NoNewPrivs/{print $2}' /proc/self/status
check "a user" "1000 1000 20" in_c -u 1000:1000 --group-add 20 $image sh -c 'echo $(id -u) $(id -g) $(id -G | tr " " "\n" | grep -x 20)'
check "read-only root" "refused" in_c --read-only $image sh -c 'touch /x 2>/dev/null && echo made || echo refused'
check "tmpfs" "tmpfs 1024" in_c --tmpfs /t:size=1m $image sh -c 'df -k /t | awk "NR==2{print \$1, \$2}"'
check "ulimits" "1234" in_c --ulimit nofile=1234 $image sh -c 'ulimit -n'
check "--init" "docker-init-or-ours sh" bash -c "docker run --rm --init $image sh -c 'tr \"\\0\" \" \" </proc/1/cmdline | grep -q . && echo docker-init-or-ours sh'"
check "a terminal" "/dev/pts/0" bash -c "script -qec 'docker run --rm -t $image tty' /dev/null </dev/null | tr -d '\r'"
check "stdin" "4000000" bash -c "head -c 4000000 /dev/zero | docker run --rm -i $image wc -c"

# Limits and devices, seen from inside: cgroup v2.
check "memory, swap, cpu, pids" "67108864 67108864 50000 100000 77" in_c -m 64m --memory-swap 128m --cpus 0.5 --pids-limit 77 $image \
  sh -c 'cd /sys/fs/cgroup; echo $(cat memory.max memory.swap.max cpu.max pids.max)'
check "cpu shares and sets" "59 0" in_c --cpu-shares 512 --cpuset-cpus 0 $image sh -c 'cd /sys/fs/cgroup; echo $(cat cpu.weight cpuset.cpus)'
check "its own cgroup namespace" "0::/" in_c $image cat /proc/self/cgroup
check "cgroups are read-only" "refused" in_c $image sh -c 'mkdir /sys/fs/cgroup/x 2>/dev/null && echo made || echo refused'
check "privileged may write cgroups" "made" in_c --privileged $image sh -c 'mkdir /sys/fs/cgroup/x 2>/dev/null && echo made || echo refused'
check "a device that is not allowed" "refused" in_c --cap-add MKNOD $image sh -c 'mknod /d b 254 0 && (dd if=/d of=/dev/null bs=512 count=1 2>/dev/null && echo read || echo refused)'
check "a device that is given" "512" in_c --device /dev/vda:/dev/given:r $image sh -c 'dd if=/dev/given bs=512 count=1 2>/dev/null | wc -c'
check "… may not be written" "refused" in_c --device /dev/vda:/dev/given:r $image sh -c '(: >>/dev/given) 2>/dev/null && dd if=/dev/zero of=/dev/given bs=1 count=0 2>/dev/null && echo written || echo refused'
check "the usual devices" "ok" in_c $image sh -c 'echo x >/dev/null && head -c 1 /dev/zero >/dev/null && head -c 1 /dev/urandom >/dev/null && echo ok'
docker run -d --name oom -m 16m --memory-swap 16m --network none $image sh -c 'x=a; while :; do x=$x$x; done' >/dev/null
check "out of memory" "137" docker wait oom
check "… is said" "true 137" state '{{.State.OOMKilled}} {{.State.ExitCode}}' oom
docker rm oom >/dev/null

# A service: volume, port, logs, exec, pause, update, top, cp, export.
docker run -d --name web -p 8080:80 -v data:/www -e GREETING=served $image sh -c 'echo $GREETING >/www/index.html; echo began; exec httpd -f -p 80 -h /www' >/dev/null
check "a published port" "served" until_is served curl -s http://127.0.0.1:8080/
check "… on ::1" "served" until_is served curl -gs 'http://[::1]:8080/'
check "a container reaches another" "served" docker run --rm $image wget -qO- "http://$(state '{{.NetworkSettings.IPAddress}}' web)/"
check "logs" "began" docker logs web
check "exec" "httpd" docker exec web sh -c 'tr "\0" "\n" </proc/1/cmdline | head -1'
check "exec as a user" "7 1" docker exec -u 7 -e A=1 web sh -c 'echo $(id -u) $A'
check "exec's exit code" "9" bash -c "docker exec web sh -c 'exit 9'; echo \$?"
check "a volume" "served" docker run --rm -v data:/d:ro $image cat /d/index.html
check "cp out" "served" bash -c "docker cp web:/www/index.html /tmp/index.html >/dev/null 2>&1; cat /tmp/index.html"
check "diff" "A /new" bash -c "docker exec web touch /new; docker diff web | grep new"
check "commit" "new" bash -c "docker commit web localhost/made:1 >/dev/null; docker run --rm --network none localhost/made:1 ls / | grep new"
check "pause" "paused frozen" bash -c "docker pause web >/dev/null; echo \$(docker inspect -f '{{.State.Status}}' web) \$(grep -q 'frozen 1' /sys/fs/cgroup/fathom/\$(docker inspect -f '{{.Id}}' web)/cgroup.events && echo frozen)"
check "unpause" "running" bash -c "docker unpause web >/dev/null; docker inspect -f '{{.State.Status}}' web"
check "--pid container: its processes alone" "httpd" docker run --rm --network none --pid container:web $image sh -c 'tr "\0" "\n" </proc/1/cmdline | head -1'
check "update" "104857600" bash -c "docker update -m 100m --memory-swap 200m web >/dev/null; docker exec web cat /sys/fs/cgroup/memory.max"
check "top" "httpd" bash -c "docker top web -eo pid,comm | tail -1 | tr -s \" \" | cut -d\" \" -f2"
check "kill -HUP is not the end" "running" bash -c "docker kill -s CONT web >/dev/null; docker inspect -f '{{.State.Status}}' web"

# Log drivers with systemd's own receivers.
journal() { journalctl -q -o cat "CONTAINER_NAME=$1"; }
docker run --rm --name diary --log-driver journald --label role=x --log-opt labels=role $image sh -c 'echo to the journal; sleep 1; echo also >&2' >/dev/null 2>&1
check "a log in the journal" "$(printf 'to the journal\nalso')" until_is "$(printf 'to the journal\nalso')" journal diary
check "… with its fields" '["6","x","'$image'"]' bash -c "journalctl -q -o json CONTAINER_NAME=diary | head -1 | jq -c '[.PRIORITY, .ROLE, .IMAGE_NAME]'"
docker run --rm --log-driver syslog --log-opt tag=locally $image echo by syslog >/dev/null
check "the host's syslog" "by syslog" until_is "by syslog" journalctl -q -o cat -t locally

# Health and restart policies.
docker run -d --name health --health-cmd 'test -f /tmp/ok' --health-interval 1s --health-retries 2 $image sh -c 'sleep 100000' >/dev/null
check "unhealthy" "unhealthy" until_is unhealthy state '{{.State.Health.Status}}' health
docker exec health touch /tmp/ok
check "healthy" "healthy" until_is healthy state '{{.State.Health.Status}}' health
docker run -d --name again --restart on-failure:2 $image sh -c 'exit 5' >/dev/null
check "restart policy" "exited 5 2" until_is "exited 5 2" state '{{.State.Status}} {{.State.ExitCode}} {{.RestartCount}}' again

# The daemon is killed: containers, ports and logs continue, and the next daemon manages them again.
pid=$(state '{{.State.Pid}}' web)
docker run -d --name ends $image sh -c 'while [ ! -f /go ]; do sleep 0.2; done; echo last words; exit 7' >/dev/null
docker exec -d ends sh -c 'sleep 1; touch /go'
kill -9 $daemon; wait $daemon 2>/dev/null
check "a port while no daemon runs" "served" curl -s http://127.0.0.1:8080/
start_daemon
check "taken up" "running $pid" state '{{.State.Status}} {{.State.Pid}}' web
check "an exec after it" "yes" docker exec web echo yes
check "what ended meanwhile has its code" "7" docker wait ends
check "… and its output" "last words" docker logs ends
check "healthy again" "healthy" until_is healthy state '{{.State.Health.Status}}' health
kill $daemon; wait $daemon 2>/dev/null
start_daemon
check "a daemon that stopped has stopped them" "exited" state '{{.State.Status}}' web
docker start web >/dev/null
check "start again" "served" until_is served curl -s http://127.0.0.1:8080/
check "stop" "exited 0" bash -c "docker run -d --name traps $image sh -c 'trap \"exit 0\" TERM; while :; do sleep 0.1; done' >/dev/null; sleep 2; docker stop -t 60 traps >/dev/null; docker inspect -f '{{.State.Status}} {{.State.ExitCode}}' traps"

if [ -f prober ]; then
  host="$(stat -c '%d:%i' /)"
  docker run -d --name probe --network none --cap-add SYS_PTRACE -v "$PWD/prober:/prober:ro" $image /prober "$host" >/dev/null
  for _ in $(seq 40); do docker exec probe true; done
  docker kill -s TERM probe >/dev/null
  check "a prober with SYS_PTRACE meets nothing of the host in 40 execs" "0" docker wait probe
  docker logs probe 2>&1 | tail -3 | sed 's/^/    /'
  # With the last mode, starts may fail: the prober takes control of the process that opens their /proc, and its filter ends it.
  for mode in "" --catch --take-over; do
    docker run -d --name probe2 --network none --cap-add SYS_PTRACE --security-opt seccomp=unconfined -v "$PWD/prober:/prober:ro" $image /prober --joined $mode "$host" >/dev/null
    for _ in $(seq 15); do docker run --rm --network none --pid container:probe2 $image true; done
    docker kill -s TERM probe2 >/dev/null
    check "… nor in 15 joined starts${mode:+ with $mode}" "0" docker wait probe2
    docker logs probe2 2>&1 | tail -3 | sed 's/^/    /'
    docker rm probe2 >/dev/null
  done
fi

docker rm -f $(docker ps -aq) >/dev/null 2>&1
docker volume rm data >/dev/null
kill $daemon; wait $daemon 2>/dev/null
check "nothing is left: cgroups" "" bash -c "find /sys/fs/cgroup/fathom -mindepth 1 -type d 2>/dev/null"
check "nothing is left: processes" "" bash -c "pgrep -a fathom-init"
check "nothing is left: mounts" "" grep -E 'overlay|fathom|netns' /proc/mounts
check "nothing is left: links" "lo" bash -c "ls /sys/class/net"

# Under systemd, with the units of packaging/: only the daemon belongs to the unit, containers and supervisors do not.
main_pid() { systemctl show -p MainPID --value fathom.service; }
answers() { docker version -f '{{.Server.Version}}' >/dev/null 2>&1 && echo yes; }
place_of() { cut -d: -f3 "/proc/$1/cgroup"; }
install -m 0755 fathom /usr/bin/fathom
install -m 0644 fathom.service fathom.socket /etc/systemd/system/
rm -rf /var/lib/fathom /run/fathom
systemctl daemon-reload
check "systemd: the units are taken" "" systemctl start fathom.socket
check "systemd: a client's call starts the daemon" "yes" until_is yes answers
check "systemd: the service runs" "active" systemctl is-active fathom.service
docker load -qi image.tar >/dev/null
docker run -d --name kept $image sh -c 'trap "exit 4" TERM; while :; do sleep 0.2; done' >/dev/null
pid=$(state '{{.State.Pid}}' kept) id=$(state '{{.Id}}' kept)
supervisor=$(awk '/^PPid:/{print $2}' "/proc/$pid/status")
check "systemd: the daemon is in its unit's cgroup" "/system.slice/fathom.service" place_of "$(main_pid)"
check "systemd: the container is not" "/fathom/$id" place_of "$pid"
check "systemd: its supervisor is not" "/fathom/supervisors" place_of "$supervisor"
before=$(main_pid)
kill -9 "$before"
another() { local now; now=$(main_pid); [ "$now" != 0 ] && [ "$now" != "$before" ] && answers; }
check "systemd: a killed daemon comes again" "yes" until_is yes another
check "systemd: … and takes the container up" "running $pid" state '{{.State.Status}} {{.State.Pid}}' kept
mkdir -p /etc/fathom; echo '{"live-restore": true}' >/etc/fathom/daemon.json
systemctl reset-failed
# The running daemon has not read that setting: its stop ends the container, and then the test starts the container by hand.
check "systemd: restart" "0" bash -c "systemctl restart fathom.service; echo \$?"
check "systemd: a stop without live-restore ends containers" "exited 4" state '{{.State.Status}} {{.State.ExitCode}}' kept
docker start kept >/dev/null; pid=$(state '{{.State.Pid}}' kept)
check "systemd: restart with live-restore" "0" bash -c "systemctl restart fathom.service; echo \$?"
check "systemd: … leaves the container" "running $pid" state '{{.State.Status}} {{.State.Pid}}' kept
systemctl stop fathom.service
check "systemd: stop with live-restore" "inactive" systemctl is-active fathom.service
check "systemd: … leaves it, too" "running" bash -c "kill -0 $pid && echo running"
check "systemd: the socket starts the daemon again" "running $pid" until_is "running $pid" state '{{.State.Status}} {{.State.Pid}}' kept
check "systemd: an exec in it" "yes" docker exec kept echo yes
docker rm -f kept >/dev/null
systemctl stop fathom.socket fathom.service
rm -f /etc/fathom/daemon.json

# Scenarios recorded from Docker for which kernel and cgroups matter.
if [ -f parity.tar ]; then
  mkdir -p /tmp/parity; tar -C /tmp/parity -xf parity.tar
  rm -rf /var/lib/fathom; start_daemon
  mapfile -t scenarios < <(sed 's,^,/tmp/parity/scenarios/,' /tmp/parity/list)
  python3 /tmp/parity/run.py --socket /run/fathom/fathom.sock --images /tmp/parity/images --timeout 300 "${scenarios[@]}" >/tmp/parity.out 2>&1
  grep -vE '^ok ' /tmp/parity.out | sed 's/^/    /'
  check "parity scenarios" "${#scenarios[@]} passed, 0 failed" bash -c "sed -n 's/^parity: \(.*failed\) .*/\1/p' /tmp/parity.out"
  kill $daemon; wait $daemon 2>/dev/null
fi
[ $failures = 0 ] || { echo "    the end of the daemon's log:"; tail -15 /tmp/daemon.log | cut -c1-300 | sed 's/^/    /'; }
echo "checks: $failures failed"
[ $failures = 0 ]
