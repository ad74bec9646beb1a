#!/usr/bin/env bash
# boot.sh SUITE FILE…: boots a virtual machine with the stock kernel of a Debian suite (bookworm: 6.1, trixie: 6.12), pure cgroup v2, systemd
# and AppArmor. It runs main-job.sh in it as root, with the FILEs beside it. It prints the output of main-job.sh and ends with its status, or
# with 125 when there was none.
#
# No KVM is needed (TCG: everything is 5 to 25 times slower there) and the machine has no network card. Its root is made of Debian's packages
# once for each suite and kept in $GUEST_CACHE (default /var/cache/fathom-guest); a start never writes to the kept root.
# GUEST_SECONDS (900) ends a guest that hangs. By hand, other suites boot too: GUEST_SOURCES is a line of sources.list for them, GUEST_KERNEL
# their kernel's packages (Ubuntu: linux-image-virtual,initramfs-tools).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
suite=$1; shift
cache=${GUEST_CACHE:-/var/cache/fathom-guest}
mkdir -p "$cache"
packages=${GUEST_KERNEL:-linux-image-cloud-amd64},systemd-sysv,dbus,iproute2,nftables,procps,curl,e2fsprogs,kmod,udev,apparmor,python3,jq,xxd,perl,bsdutils,bsdextrautils,skopeo,docker-registry
tree=$cache/$suite-$(printf %s "$packages" | cksum | cut -d' ' -f1)

# Only one process makes it at a time: two runs of the tests may share the cache.
exec 9>"$tree.lock"
flock 9
if [ ! -f "$tree.ok" ]; then
  rm -rf "$tree"
  mmdebstrap --quiet --variant=minbase --include="$packages" "$suite" "$tree" ${GUEST_SOURCES:+"$GUEST_SOURCES"} >&2
  ln -sf /dev/null "$tree/etc/systemd/system/serial-getty@ttyS0.service"
  ln -sf /dev/null "$tree/etc/systemd/system/docker-registry.service"
  printf '/dev/vda / ext4 rw 0 1\n' >"$tree/etc/fstab"
  echo guest >"$tree/etc/hostname"
  printf '127.0.0.1 localhost\n::1 localhost\n127.0.1.1 guest\n' >"$tree/etc/hosts"
  cat >"$tree/etc/systemd/system/guest.service" <<'UNIT'
[Unit]
After=multi-user.target
[Service]
Type=oneshot
TimeoutStartSec=infinity
StandardOutput=file:/dev/ttyS1
StandardError=file:/dev/ttyS1
ExecStart=/bin/bash -c 'cd /guest && tar -xf payload.tar && bash ./main-job.sh; echo "guest-exit $?"; sync; echo o >/proc/sysrq-trigger'
[Install]
WantedBy=multi-user.target
UNIT
  mkdir -p "$tree/etc/systemd/system/multi-user.target.wants"
  ln -sf ../guest.service "$tree/etc/systemd/system/multi-user.target.wants/"
  # A file system that is made once. Each start copies it, in a second when the disk can share blocks.
  truncate -s 4G "$tree.disk"
  mke2fs -q -t ext4 -d "$tree" "$tree.disk"
  cp "$(find "$tree/boot" -name 'vmlinuz-*' | sort -V | tail -1)" "$tree.kernel"
  cp "$(find "$tree/boot" -name 'initrd.img-*' | sort -V | tail -1)" "$tree.initrd"
  rm -rf "$tree"
  touch "$tree.ok"
fi
flock -u 9

run=$(mktemp -d "$cache/run-XXXXXX")
trap 'rm -rf "$run"' EXIT
cp --sparse=always --reflink=auto "$tree.disk" "$run/disk"
mkdir "$run/payload"
cp "$here/main-job.sh" "$@" "$run/payload/"
tar -C "$run/payload" -cf "$run/payload.tar" .
debugfs -w -R "mkdir /guest" "$run/disk" >/dev/null 2>&1
( cd "$run" && debugfs -w -R "write payload.tar /guest/payload.tar" disk >/dev/null 2>&1 )
rm -rf "$run/payload" "$run/payload.tar"
timeout "${GUEST_SECONDS:-900}" qemu-system-x86_64 -M q35 -accel tcg,thread=multi -cpu max -smp 2 -m 2048 -nodefaults -display none \
  -serial "file:$run/console" -serial "file:$run/out" -kernel "$tree.kernel" -initrd "$tree.initrd" \
  -append 'root=/dev/vda rw console=ttyS0 quiet' -drive "file=$run/disk,if=virtio,format=raw,cache=unsafe" </dev/null >&2 ||
  { echo "guest: qemu ended with $? (the end of its console follows)" >&2; tail -20 "$run/console" >&2; }
touch "$run/out"
tr -d '\r' <"$run/out" | sed '/^guest-exit [0-9]*$/d'
status=$(tr -d '\r' <"$run/out" | sed -n 's/^guest-exit \([0-9]*\)$/\1/p' | tail -1)
exit "${status:-125}"
