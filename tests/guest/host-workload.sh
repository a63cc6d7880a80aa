#!/bin/bash
# Runs in the host of host.test.ts at each of its two boots: does what an administrator would, tells what it sees, one fact a line, and
# restarts or powers off with a disk in use.
exec >/dev/ttyS0 2>&1
fact() { echo "FACT $*"; }
unit() { systemctl show -P "$1" lazydisk@unit; }
mounts() { findmnt -n -r -o TARGET,SOURCE,FSTYPE -t fuse.lazydisk | sort | tr '\n' ' '; }
since_boot() { journalctl -b -o cat -u "$1"; }
# The start of the disk, as nobody of a group.
as() { setpriv --reuid=nobody --regid="$1" --clear-groups head -c 8 /mnt/fstab/a/disk.raw 2>&1; }
when() { systemctl show -P "$2" "$1"; }

echo # what was before on this line is the boot loader's
boot=$(($(cat /var/lib/boots 2>/dev/null || echo 0) + 1))
echo $boot >/var/lib/boots
fact boot $boot
if [ $boot = 1 ]; then
  mount -o ro /dev/vdb /media
  dpkg -i /media/nodejs.deb /media/lazydisk.deb >/run/dpkg 2>&1
  fact dpkg "$? $(dpkg-query -W -f '${Package}: ${db:Status-Status}; ' nodejs lazydisk)"
  install -D -m 600 /media/credentials /etc/lazydisk/credentials
  install -m 644 /media/unit.conf /etc/lazydisk/unit.conf
  systemctl -q enable lazydisk@unit
  mkdir /mnt/fstab
  cat /media/fstab >>/etc/fstab
  systemctl daemon-reload

  mount -a
  fact all "$? $(mounts)"
  umount /mnt/fstab
  fact none "$? $(mounts)"
  # As the next boot does it.
  systemctl start mnt-fstab.mount || since_boot mnt-fstab.mount
  fact fstab "$? $(mounts)"
else
  fact mounts "$(mounts)"
  fact after "$(($(when network-online.target ActiveEnterTimestampMonotonic) <= $(when mnt-fstab.mount InactiveExitTimestampMonotonic)))"
  fact libvirtd "$(cat /run/libvirtd-saw)"
  fact unit "$(unit ActiveState) $(unit StatusText)"
  fact told "$(since_boot lazydisk@unit | grep 'ends when its daemon dies')"
  fact kept "$(as kvm)"
  fact nogroup "$(as nogroup)"
  lazydisk commit /mnt/fstab a >/run/commit 2>&1
  fact commit "$? $(cat /run/commit)"
fi
# Nobody ends this one before what it uses goes.
systemd-run -q --unit=busy -p DefaultDependencies=no -p StandardOutput=file:/dev/ttyS0 /usr/local/sbin/host-busy
until [ -e /run/synced ] || ! systemctl -q is-active busy; do sleep 0.1; done
fact done
if [ $boot = 1 ]; then systemctl --no-block reboot; else systemctl --no-block poweroff; fi
