#!/bin/bash
# Runs in the host of systemd.test.ts, once everything of the boot is up: tells what it sees, one fact a line, and powers off.
exec >/dev/ttyS0 2>&1
fact() { echo "FACT $*"; }
sum() { sha256sum <"$1" | cut -c1-64; }
unit() { systemctl show -P "$1" lazydisk@unit; }
daemon() { tr -d ' ' <"/proc/$1/task/$1/children"; }
ended() { grep -c '"message":"Ended.","clean":true' "/var/lib/lazydisk/$1/daemon.log"; }

boot=$(($(cat /var/lib/boots 2>/dev/null || echo 0) + 1))
echo $boot >/var/lib/boots
fact boot $boot
fact mounts "$(findmnt -n -r -o TARGET,SOURCE -t fuse.lazydisk | sort | tr '\n' ' ')"
fact fstab "$(systemctl is-active mnt-fstab.mount) $(stat -c %g /mnt/fstab/a/disk.raw)"
fact unit "$(unit ActiveState) $(unit SubState) $(unit StatusText)"
if [ $boot = 1 ]; then
  fact libvirtd "$(cat /run/libvirtd-saw)"
  fact sums "$(sum /mnt/fstab/a/disk.raw) $(sum /mnt/unit/a/1.raw)"
  main=$(unit MainPID)
  fact main "$(tr '\0' ' ' <"/proc/$main/cmdline")"

  printf 'written in the guest' | dd of=/mnt/fstab/a/disk.raw conv=notrunc status=none
  umount /mnt/fstab && mount /mnt/fstab
  fact remounted "$(head -c 20 /mnt/fstab/a/disk.raw)"

  # The daemon is followed inside of the unit, after a death and for a reload.
  first=$(daemon "$main")
  kill -9 "$first"
  fact died "$(sum /mnt/unit/a/1.raw) $(unit ActiveState) restarts=$(unit NRestarts)"
  second=$(daemon "$main")
  systemctl reload lazydisk@unit
  fact reloaded "$? $(sum /mnt/unit/a/1.raw) $(unit ActiveState) restarts=$(unit NRestarts)"
  third=$(daemon "$main")
  fact daemons "$(printf '%s\n' "$first" "$second" "$third" | sort -u | wc -l) of $([ "$(unit MainPID)" = "$main" ] && echo one supervisor)"

  # Without its supervisor the mount is dead, and made again by systemd.
  kill -9 "$main"
  for _ in $(seq 300); do
    [ "$(unit NRestarts) $(unit ActiveState)" = '1 active' ] && break
    sleep 0.1
  done
  fact healed "$(unit NRestarts) $(unit ActiveState) $(sum /mnt/unit/a/1.raw)"
else
  fact kept "$(head -c 20 /mnt/fstab/a/disk.raw)"
  fact ended "$(ended fstab) $(ended unit)"
  systemctl stop lazydisk@unit
  fact stopped "$? $(findmnt -n -r -o TARGET -t fuse.lazydisk) $(ended unit) $(unit ActiveState)"
  # Whatever is just leaving when the stop has been told: systemd must not find it and kill it.
  states=
  for _ in 1 2 3; do
    systemctl start lazydisk@unit && systemctl stop lazydisk@unit
    states+="$? $(unit ActiveState) "
  done
  fact again "$states"
fi
fact done
systemctl --no-block poweroff
