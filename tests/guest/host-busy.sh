#!/bin/bash
# Holds the disk of host.test.ts open, counts in its first 8 bytes, and tells each number when it is on the disk.
exec 3<>/mnt/fstab/a/disk.raw
for ((n = 1; ; n++)); do
  printf '%08d' $n | dd of=/mnt/fstab/a/disk.raw conv=notrunc,fsync status=none || exit
  echo "SYNCED $n"
  touch /run/synced
done
