#!/bin/bash
# Installs what the benchmark compares with, from Debian's packages. Needs root when something is missing. A peer that can't be
# installed is no failure here: it becomes a row of the tables that says so.
set -uo pipefail
here=$(dirname "$(readlink -f "$0")")
PATH=$PATH:/usr/sbin:/sbin

"$here/../tools/install-test-tools.sh" || exit 1

# command -> package that brings it
declare -A needs=(
  [rclone]=rclone [s3backer]=s3backer [s3fs]=s3fs [nbdkit]=nbdkit [nbdfuse]=libnbd-bin [qemu-storage-daemon]=qemu-system-common
  [curl]=curl [zstd]=zstd [resize2fs]=e2fsprogs
)
missing=()
for command in "${!needs[@]}"; do
  command -v "$command" >/dev/null || missing+=("${needs[$command]}")
done
# QEMU's http driver is a module of its own; fuse-native needs libfuse 2.
compgen -G '/usr/lib/*/qemu/block-curl.so' >/dev/null || missing+=(qemu-block-extra)
compgen -G '/lib/*/libfuse.so.2' >/dev/null || missing+=(libfuse2)
[ ${#missing[@]} -gt 0 ] || exit 0

export DEBIAN_FRONTEND=noninteractive
apt-get update -qq || true
for package in "${missing[@]}"; do
  echo "installing $package"
  apt-get install -y -qq --no-install-recommends "$package" >/dev/null || echo "install-peers: $package can't be installed" >&2
done
exit 0
