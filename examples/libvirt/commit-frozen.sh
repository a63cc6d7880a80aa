#!/bin/bash
# commit-frozen.sh DOMAIN MOUNTPOINT [LABEL]: a snapshot of a running machine, taken while its file systems are frozen.
#
# The guest holds still from the freeze to the thaw, which comes as soon as the cut is taken; the upload runs on without it.
# The image of the domain has the domain's name. Needs qemu-guest-agent in the guest. What virsh and lazydisk say is shown;
# the exit status is 0 when the snapshot is in the repository.
set -euo pipefail
domain=${1:?usage: commit-frozen.sh DOMAIN MOUNTPOINT [LABEL]}
mountpoint=${2:?usage: commit-frozen.sh DOMAIN MOUNTPOINT [LABEL]}
label=${3:-frozen $(date +%F)}

thaw() { virsh domfsthaw "$domain"; }
trap thaw EXIT # whatever happens: a guest must not stay frozen
virsh domfsfreeze "$domain"
begun=$(lazydisk commit "$mountpoint" "$domain" --async --label "$label")
trap - EXIT
thaw

id=${begun%%:*}
until outcome=$(lazydisk status "$mountpoint" --command "$id" --json) && grep -q '"ok"' <<<"$outcome"; do sleep 0.2; done
echo "$outcome"
grep -qE '"ok": ?true' <<<"$outcome"
