#!/bin/bash
# The whole story in a minute, on this machine alone: an image goes into a repository (a folder), is mounted, read, cloned,
# written, committed, and a second mount that has nothing local shows the same bytes. Run it as root: make demo
#
#   IMAGE=path   your own raw image instead of the ext4 image of /usr/bin that is made here
#   KEEP=1       leave repository and mount to play with; otherwise nothing is left behind
set -euo pipefail
root=$(dirname "$(dirname "$(readlink -f "$0")")")
PATH=$PATH:/usr/sbin:/sbin
began=$SECONDS
step=0

lazydisk() { node "$root/dist/mount/cli/main.js" "$@"; }
say() {
  step=$((step + 1))
  printf '%3d. %-10s %s\n' "$step" "$1" "$2"
}
# json FIELD: one field of the JSON on standard input
json() { node -e 'const v = JSON.parse(require("fs").readFileSync(0, "utf8"))[process.argv[1]]; console.log(typeof v === "number" ? Math.round(v) : v);' "$1"; }
mib() { echo "$((($1 + 524288) / 1048576)) MiB"; }
checksum() { sha256sum "$1" | cut -d' ' -f1; }
allocated() { du --block-size=1 "$1" | cut -f1; }
milliseconds() { echo $(($(date +%s%N) / 1000000)); }

if [ "$(id -u)" != 0 ]; then
  echo "demo: it mounts, and installs e2fsprogs where that is missing: run it as root" >&2
  exit 1
fi
if ! command -v mke2fs >/dev/null || ! command -v debugfs >/dev/null; then
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq e2fsprogs >/dev/null
fi

work=$(mktemp -d "${TMPDIR:-/var/tmp}/lazydisk-demo.XXXXXX")
repository=file://$work/repository
first=$work/mnt
second=$work/mnt-of-another-host
cleanup() {
  local status=$?
  trap - EXIT
  for mountpoint in "$second" "$first"; do
    if [ "$mountpoint" = "$first" ] && [ "${KEEP:-}" = 1 ] && [ "$status" = 0 ]; then continue; fi
    if mountpoint -q "$mountpoint"; then lazydisk unmount "$mountpoint" >/dev/null || status=1; fi
  done
  if [ "${KEEP:-}" != 1 ] || [ "$status" != 0 ]; then
    if grep -q " $work/" /proc/self/mounts; then
      echo "demo: something is still mounted under $work; it was left there" >&2
      status=1
    else
      rm -rf "$work"
    fi
  fi
  exit "$status"
}
trap cleanup EXIT
mkdir "$first" "$second"

if [ -n "${IMAGE:-}" ]; then
  original=$(readlink -f "$IMAGE")
  say image "$original: $(mib "$(stat -c %s "$original")"), $(mib "$(allocated "$original")") allocated"
else
  original=$work/original.raw
  needed=$(du -sm /usr/bin | cut -f1)
  mke2fs -q -t ext4 -d /usr/bin "$original" "$((needed * 5 / 4 + 128))m" >/dev/null 2>&1
  say image "ext4 made of /usr/bin: $(mib "$(stat -c %s "$original")"), $(mib "$(allocated "$original")") allocated"
fi
# Whether there is a file system that debugfs can look into; if not, plain bytes are read and written.
has_files() { dumpe2fs -h "$1" >/dev/null 2>&1; }

lazydisk init "$repository" >/dev/null
at=$(milliseconds)
lazydisk import "$repository" "$original" base >/dev/null
say imported "base@1 into $repository in $(($(milliseconds) - at)) ms"

at=$(milliseconds)
lazydisk mount "$repository" "$first" --state "$work/state" >/dev/null
say mounted "on $first in $(($(milliseconds) - at)) ms; it shows $(cd "$first" && echo base/*)"

if has_files "$first/base/disk.raw"; then
  name=$(debugfs -R 'ls -p /' "$first/base/1.raw" 2>/dev/null | awk -F/ '$6 == "env" || $6 == "bash" {print $6}' | head -n 1)
  debugfs -R "cat /${name:-ls}" "$first/base/1.raw" 2>/dev/null | wc -c >"$work/read"
  what="the file ${name:-ls} ($(cat "$work/read") bytes)"
else
  dd if="$first/base/1.raw" of=/dev/null bs=1M count=1 status=none
  what="the first MiB"
fi
fetched=$(lazydisk status "$first" --json | json fetchedBytes)
say read "$what; $(mib "$fetched") of $(mib "$(allocated "$first/base/1.raw")") have been fetched for it"

at=$(milliseconds)
lazydisk clone "$first" base vm-01 >/dev/null
say cloned "base to vm-01 in $(($(milliseconds) - at)) ms: one small object, no data copied"

if has_files "$first/vm-01/disk.raw"; then
  date >"$work/hello"
  printf 'write %s /hello-from-lazydisk\n' "$work/hello" | debugfs -w -f - "$first/vm-01/disk.raw" >/dev/null 2>&1
  what="a file into the file system of vm-01/disk.raw"
else
  date | dd of="$first/vm-01/disk.raw" bs=512 conv=notrunc,fsync status=none
  what="some bytes into vm-01/disk.raw"
fi
dirty=$(lazydisk status "$first" vm-01 --json | json dirtyBytes)
say written "$what: $((dirty / 1024)) KiB are dirty, all on the local disk"

outcome=$(lazydisk commit "$first" vm-01 --label demo --json)
say committed "vm-01@$(json number <<<"$outcome") in $(json durationMs <<<"$outcome") ms, $(($(json uploadedBytes <<<"$outcome") / 1024)) KiB uploaded; writers waited $(json pauseMs <<<"$outcome") ms"

lazydisk mount "$repository" "$second" --state "$work/state-of-another-host" >/dev/null
written=$(checksum "$first/vm-01/disk.raw")
published=$(checksum "$second/vm-01/latest.raw")
kept=$(checksum "$second/base/1.raw")
if [ "$written" != "$published" ]; then
  echo "demo: vm-01 differs: $written was written, the second mount shows $published" >&2
  exit 1
fi
if [ "$kept" != "$(checksum "$original")" ]; then
  echo "demo: base@1 differs from the image that was imported" >&2
  exit 1
fi
if has_files "$second/vm-01/latest.raw"; then e2fsck -fn "$second/vm-01/latest.raw" >/dev/null 2>&1; fi
say verified "from a second mount with nothing local: vm-01 is sha256 ${published:0:16}…, and base is still what was imported"

echo
echo "Done in $((SECONDS - began)) s. Next:"
if [ "${KEEP:-}" = 1 ]; then
  echo "  ls -ls $first/*"
  echo "  echo 'commit my-label' > $first/vm-01/control"
  echo "  node $root/dist/mount/cli/main.js unmount $first && rm -r $work"
else
  echo "  KEEP=1 make demo                                    # the same, and the mount stays"
  echo "  node dist/mount/cli/main.js mount --help            # on your own repository, s3://bucket/prefix or file:///dir"
  echo "  less examples/qemu.md                               # start a virtual machine from it"
fi
