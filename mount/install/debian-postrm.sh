#!/bin/sh
# After they have gone. State folders stay, even at a purge: what was not committed lies there.
set -e
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload || true
fi
