#!/bin/bash
# make-guest.sh OUTPUT.raw [SIZE]: a real, bootable Debian 12 machine as a raw image, made of Debian packages only.
#
#   SIZE    2G by default: a sparse file with a DOS label and one bootable ext4 partition at 1 MiB, started by extlinux
#   CACHE   folder of the unpacked system (default .cache/guest of this repository); with it no network is needed again
#   SOURCES apt sources to install from (default: this machine's)
#
# On the serial console the guest prints GUEST-READY, works (reads, writes with checksums, fsync, many small files, O_DSYNC
# rewrites, fstrim), prints `GUEST-DONE ok boots=N` (or FAIL) and powers off. Words on its kernel command line change that:
# guest.idle stays up after GUEST-READY, guest.nowork powers off at once.
#
# Its kernel does not probe its timer (an emulated one may be too late for that on a busy host), and restarts at once if it panics.
#
# Needs root, one loop device, mmdebstrap, extlinux, syslinux-common, e2fsprogs, fdisk. OUTPUT appears whole or not at all.
# Two builds differ in bytes and in layout.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
out=$(readlink -m "${1:?usage: make-guest.sh OUTPUT.raw [SIZE]}")
size=${2:-2G}
cache=$(readlink -m "${CACHE:-$here/../../.cache/guest}")
sources=${SOURCES:-$(find /etc/apt/sources.list.d /etc/apt/sources.list \( -name debian.sources -o -name sources.list -size +0 \) 2>/dev/null | head -n 1 || true)}
PATH=$PATH:/usr/sbin:/sbin
suite=bookworm
packages=systemd-sysv,udev,dbus,kmod,linux-image-cloud-amd64,e2fsprogs,util-linux,initramfs-tools,procps,iproute2
uuid=6d1f3c1e-0000-4000-8000-00005e3f0001
partition_offset=1048576

mkdir -p "$cache" "$(dirname "$out")"
exec 9>"$cache/lock"
flock 9 # one build at a time: they share the cache
say() { echo "make-guest: $* (${SECONDS} s)" >&2; }

# What lies over the packages: written anew each time, so that a change here needs no new download.
overlay=$cache/overlay
rm -rf "$overlay"
mkdir -p "$overlay/usr/local/sbin" "$overlay/etc/systemd/system/multi-user.target.wants" "$overlay/etc/initramfs-tools/conf.d"
cat >"$overlay/usr/local/sbin/guest-workload" <<'W'
#!/bin/bash
exec >/dev/ttyS0 2>&1
up() { cut -d' ' -f1 /proc/uptime; }
step() { echo "GUEST-STEP $1 uptime=$(up)"; }
cold() { sync; echo 3 >/proc/sys/vm/drop_caches; }
result=ok
fail() { result=FAIL; echo "GUEST-ERR $*"; }
echo "GUEST-READY uptime=$(up)"
grep -qw guest.idle /proc/cmdline && exit 0
if ! grep -qw guest.nowork /proc/cmdline; then
  dir=/var/tmp/work
  mkdir -p $dir
  # Reads: every program and library, in name order.
  find /usr/bin /usr/lib/x86_64-linux-gnu -xdev -type f | LC_ALL=C sort | xargs cat | sha256sum | cut -c1-16
  step read
  # A large file, its sum before and after the page cache is dropped.
  dd if=/dev/urandom of=$dir/big bs=1M count=64 conv=fsync status=none
  before=$(sha256sum <$dir/big)
  step write
  cold
  [ "$before" = "$(sha256sum <$dir/big)" ] || fail "the large file differs"
  step reread
  # Many small files, half of them removed.
  for i in $(seq 500); do echo "file $i $RANDOM" >$dir/s$i; done
  sync
  rm -f $dir/s*[02468]
  step small
  # Synchronous rewrites in place.
  for i in 1 9 33 1000 7777 12345 16383; do
    dd if=/dev/urandom of=$dir/big bs=4k seek=$i count=1 conv=notrunc oflag=dsync status=none
  done
  before=$(sha256sum <$dir/big)
  cold
  [ "$before" = "$(sha256sum <$dir/big)" ] || fail "the rewritten file differs"
  step rewrite
  rm -f $dir/big
  sync
  fstrim -v / || fail "fstrim"
  step trim
  boots=$(($(cat /var/lib/boots 2>/dev/null || echo 0) + 1))
  echo $boots >/var/lib/boots
  sync
  dmesg | grep -E 'I/O error|EXT4-fs error|blk_update_request' && fail "the kernel complains"
  echo "GUEST-DONE $result boots=$boots uptime=$(up)"
fi
systemctl --no-block poweroff
W
chmod 755 "$overlay/usr/local/sbin/guest-workload"
# Wanted by multi-user.target, so not after it: that would be a cycle.
cat >"$overlay/etc/systemd/system/guest-workload.service" <<'W'
[Unit]
Description=scripted guest workload
After=basic.target local-fs.target systemd-user-sessions.service dbus.service
[Service]
Type=oneshot
ExecStart=/usr/local/sbin/guest-workload
[Install]
WantedBy=multi-user.target
W
ln -s ../guest-workload.service "$overlay/etc/systemd/system/multi-user.target.wants/guest-workload.service"
echo "UUID=$uuid / ext4 defaults,errors=remount-ro 0 1" >"$overlay/etc/fstab"
echo lazyguest >"$overlay/etc/hostname"
printf 'MODULES=most\nCOMPRESS=zstd\n' >"$overlay/etc/initramfs-tools/conf.d/guest"

tar=$cache/rootfs-$suite.tar
if [ ! -s "$tar" ]; then
  mmdebstrap --quiet --format=tar --variant=minbase --mode=root --include="$packages" \
    --aptopt='Acquire::Languages "none"' --aptopt='APT::Install-Recommends "false"' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --essential-hook="mkdir -p \"\$1/etc/initramfs-tools/conf.d\"; cp $overlay/etc/initramfs-tools/conf.d/guest \"\$1/etc/initramfs-tools/conf.d/guest\"" \
    --customize-hook="cp -a $overlay/. \"\$1/\"" \
    --customize-hook='chroot "$1" passwd -d root >/dev/null; chroot "$1" systemctl mask serial-getty@ttyS0.service getty@tty1.service apt-daily.timer apt-daily-upgrade.timer >/dev/null 2>&1; chroot "$1" systemd-machine-id-setup >/dev/null 2>&1 || :' \
    $suite "$tar.tmp" "$sources"
  mv "$tar.tmp" "$tar"
  say "system installed"
fi

build=$(mktemp -d "$cache/build.XXXXXX")
cleanup() {
  if mountpoint -q "$build/mnt"; then umount "$build/mnt"; fi
  rm -rf "$build" "$out.tmp"
}
trap cleanup EXIT
mkdir "$build/root" "$build/mnt"
tar -C "$build/root" -xpf "$tar" --numeric-owner --xattrs
cp -a "$overlay/." "$build/root/"
kernel=$(cd "$build/root/boot" && ls vmlinuz-* | sort -V | tail -n 1)
mkdir -p "$build/root/boot/extlinux"
cat >"$build/root/boot/extlinux/extlinux.conf" <<W
SERIAL 0 115200
DEFAULT linux
PROMPT 0
TIMEOUT 1
LABEL linux
  KERNEL /boot/$kernel
  INITRD /boot/initrd.img-${kernel#vmlinuz-}
  APPEND root=UUID=$uuid ro console=ttyS0,115200 quiet loglevel=4 systemd.show_status=0 no_timer_check panic=-1
W

rm -f "$out.tmp"
truncate -s "$size" "$out.tmp"
size_bytes=$(stat -c %s "$out.tmp")
printf 'label: dos\nlabel-id: 0x5e3f0001\n2048,,83,*\n' | sfdisk -q "$out.tmp"
# Without 64bit and metadata_csum, which syslinux 6 can't read; -d fills the file system without mounting it.
mke2fs -q -t ext4 -O '^64bit,^metadata_csum,^orphan_file' -U $uuid -L guest -m 1 \
  -E "offset=$partition_offset,lazy_itable_init=0,lazy_journal_init=0,nodiscard,root_owner=0:0" \
  -d "$build/root" "$out.tmp" $(((size_bytes - partition_offset) / 1024))k
mount -o "loop,offset=$partition_offset" "$out.tmp" "$build/mnt"
extlinux --install "$build/mnt/boot/extlinux" >/dev/null 2>&1
umount "$build/mnt"
dd if=/usr/lib/syslinux/mbr/mbr.bin of="$out.tmp" bs=440 count=1 conv=notrunc status=none
fallocate -d "$out.tmp" 2>/dev/null || true
mv "$out.tmp" "$out"
say "made $out, $(du -m "$out" | cut -f1) MiB allocated"
