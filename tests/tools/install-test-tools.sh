#!/bin/bash
# Installs what the tests need from Debian's packages, when something is missing. Needs root then.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")

# command -> package that brings it
declare -A needs=(
  [fio]=fio [qemu-img]=qemu-utils [qemu-io]=qemu-utils [qemu-system-x86_64]=qemu-system-x86 [mmdebstrap]=mmdebstrap
  [python3]=python3 [qemu-nbd]=qemu-utils [xz]=xz-utils [zstd]=zstd
  [extlinux]=extlinux [sfdisk]=fdisk [mke2fs]=e2fsprogs [e2fsck]=e2fsprogs [setpriv]=util-linux [losetup]=mount
  [groff]=groff-base [zsh]=zsh [lintian]=lintian
  [fusermount3]=fuse3 [systemd-analyze]=systemd [chromium]=chromium
  [libvirtd]=libvirt-daemon [virsh]=libvirt-clients [virt-install]=virtinst
  [promtool]=prometheus
  [umoci]=umoci [skopeo]=skopeo [buildah]=buildah [fakeroot]=fakeroot [newuidmap]=uidmap
)
missing=()
for command in "${!needs[@]}"; do
  PATH=$PATH:/usr/sbin:/sbin command -v "$command" >/dev/null || missing+=("${needs[$command]}")
done
# of the driver fuse-native, which has no program
PATH=$PATH:/usr/sbin:/sbin ldconfig -p | grep -q 'libfuse\.so\.2 ' || missing+=(libfuse2)
[ -e /usr/lib/x86_64-linux-gnu/libvirt/connection-driver/libvirt_driver_qemu.so ] || missing+=(libvirt-daemon-driver-qemu)
# brings the user libvirt-qemu
id libvirt-qemu >/dev/null 2>&1 || missing+=(libvirt-daemon-system)
[ -e /usr/lib/syslinux/mbr/mbr.bin ] || missing+=(syslinux-common)
[ -e /usr/share/bash-completion/bash_completion ] || missing+=(bash-completion)

if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" != 0 ]; then
    echo "install-test-tools: missing ${missing[*]}; run as root, or install them" >&2
    exit 1
  fi
  echo "installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  # QEMU is wanted without its displays and sound.
  apt-get install -y -qq --no-install-recommends "${missing[@]}" seabios ipxe-qemu >/dev/null
fi
# What tests/guest/libvirt.test.ts puts into its guest, which is of the same release.
agent=$here/../../.cache/guest-agent
if [ ! -e "$agent/.complete" ]; then
  rm -rf "$agent" && mkdir -p "$agent"
  download() { (cd "$agent" && apt-get download -qq -o APT::Sandbox::User=root qemu-guest-agent libglib2.0-0 libnuma1 liburing2); }
  download 2>/dev/null || { apt-get update -qq && download; } # no lists, or old ones
  touch "$agent/.complete"
fi
exec "$here/start-s3.sh" install
