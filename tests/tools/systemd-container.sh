#!/bin/bash
# systemd-container.sh ROOT CONSOLE CGROUPS: runs the systemd of a root file system as process 1 of namespaces of its own, on
# this host's kernel, until it powers off. Needs root and util-linux; no systemd on the host.
#
#   CONSOLE   a file, which is /dev/console and /dev/ttyS0 inside
#   CGROUPS   an empty folder, on which the cgroup2 hierarchy is mounted; the caller unmounts it
#
# What it mounts is seen inside alone, and goes with it. There is no network but a loopback that is down.
set -euo pipefail
root=$1 console=$2 cgroups=$3

if [ "${4:-}" != inside ]; then
  # systemd takes the root of its cgroup namespace for its own: it must not be the host's.
  mount -t cgroup2 none "$cgroups"
  group=$cgroups/lazydisk-test-$$
  mkdir "$group"
  trap 'find "$group" -depth -type d -exec rmdir {} +' EXIT
  sh -c 'echo $$ >"$1/cgroup.procs"; shift; exec "$@"' - "$group" \
    unshare --mount --propagation private --pid --fork --kill-child --uts --ipc --net --cgroup \
    "$0" "$root" "$console" "$cgroups" inside || [ $? = 130 ] # how the kernel tells that process 1 powered off
  exit 0
fi

mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for node in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9 tty:5:0 fuse:10:229; do
  IFS=: read -r name major minor <<<"$node"
  mknod -m 666 "$root/dev/$name" c "$major" "$minor"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
for terminal in console ttyS0; do
  touch "$root/dev/$terminal"
  mount --bind "$console" "$root/dev/$terminal"
done
exec chroot "$root" env -i container=lazydisk-test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
  /lib/systemd/systemd --log-target=console --show-status=0
