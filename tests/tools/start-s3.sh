#!/bin/bash
# A real S3 server for the tests: Ceph's RADOS Gateway with one monitor and one OSD, from Debian's packages, without
# systemd, on the loopback address only.
#
#   start-s3.sh install              installs the packages (Debian 12, as root); does nothing when they are there
#   start-s3.sh start   DIR [PORT]   starts it with its data in DIR (about 5 s the first time); prints endpoint and keys
#   start-s3.sh stop    DIR          stops it and keeps the data
#   start-s3.sh destroy DIR          stops it and deletes DIR
#   start-s3.sh key     DIR add|remove ID [SECRET]   another key of the same user, or one less, while it runs
#
# A bucket is at http://127.0.0.1:PORT/BUCKET and at http://BUCKET.s3.lazydisk.test:PORT, for whom the name leads here.
#
# Environment: S3_ACCESS_KEY, S3_SECRET_KEY (lazydisk-test, lazydisk-test-secret), S3_STORE (bluestore, or memstore for a
# server that forgets), S3_DISK_BYTES (sparse), S3_MON_PORT (PORT + 10000, or - 10000 above 50000).
#
# Every process is known by a pid file in DIR: nothing is ever searched or ended by name.
set -euo pipefail

ACCESS_KEY=${S3_ACCESS_KEY:-lazydisk-test}
SECRET_KEY=${S3_SECRET_KEY:-lazydisk-test-secret}
STORE=${S3_STORE:-bluestore}
DISK_BYTES=${S3_DISK_BYTES:-21474836480}

usage() {
  sed -n '5,9s/^# *//p' "$0" >&2
  exit 2
}

verb=${1:-}
if [ "$verb" != install ]; then
  [ -n "${2:-}" ] || usage
  DIR=$(readlink -m "$2")
  PORT=9000
  if [ "$verb" != key ]; then PORT=${3:-9000}; fi
  # The monitor's own port: at a fixed distance, so that servers with different ports do not meet.
  MON_PORT=${S3_MON_PORT:-$((PORT <= 50000 ? PORT + 10000 : PORT - 10000))}
  export CEPH_CONF=$DIR/ceph.conf
fi

fail() {
  echo "start-s3.sh: $1" >&2
  exit 1
}

# Whether something accepts connections on a port of this host.
listening() {
  (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# wait_for SECONDS COMMAND...: until the command succeeds.
wait_for() {
  local tries=$(($1 * 10))
  shift
  while ! "$@"; do
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || return 1
    sleep 0.1
  done
}

is_installed() {
  local program
  for program in ceph ceph-mon ceph-osd radosgw radosgw-admin; do
    command -v "$program" >/dev/null || return 1
  done
}

install() {
  if is_installed; then return; fi
  [ "$(id -u)" = 0 ] || fail "installing the Ceph packages needs root"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    ceph-mon ceph-osd radosgw ceph-common >/dev/null
}

# One monitor, one OSD, every pool with a single copy: the smallest cluster that RADOS Gateway serves from. The paxos
# intervals are those of one monitor without peers; with the defaults each new pool costs a second. Without tcp_nodelay each
# answer with a body waits 40 ms for the client's delayed acknowledgement.
write_configuration() {
  mkdir -p "$DIR"/{mon,osd,rgw,run,log}
  FSID=$(cat /proc/sys/kernel/random/uuid)
  cat >"$CEPH_CONF" <<EOF
[global]
fsid = $FSID
keyring = $DIR/keyring
auth_cluster_required = cephx
auth_service_required = cephx
auth_client_required = cephx
cephx_sign_messages = false
public_network = 127.0.0.0/8
cluster_network = 127.0.0.0/8
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
ms_bind_msgr2 = false
mon_host = [v1:127.0.0.1:$MON_PORT]
run_dir = $DIR/run
admin_socket = $DIR/run/\$name.\$pid.asok
pid_file = $DIR/run/\$name.pid
log_file = $DIR/log/\$name.log
crash_dir = $DIR/run
debug_ms = 0/0
debug_mon = 0/0
debug_paxos = 0/0
debug_osd = 0/0
debug_bluestore = 0/0
debug_bluefs = 0/0
debug_bdev = 0/0
debug_rocksdb = 0/0
debug_rgw = 0/0
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 8
osd_pool_default_pgp_num = 8
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 1000
rgw_rados_pool_pg_num_min = 8
[mon]
mon_data = $DIR/mon
mon_data_avail_warn = 2
mon_data_avail_crit = 1
paxos_propose_interval = 0.02
paxos_min_wait = 0.01
auth_allow_insecure_global_id_reclaim = false
[osd]
osd_data = $DIR/osd
osd_objectstore = $STORE
bluestore_block_size = $DISK_BYTES
memstore_device_bytes = 4294967296
osd_memory_target = 1073741824
[client]
rgw_data = $DIR/rgw
rgw_dns_name = s3.lazydisk.test
rgw_frontends = beast endpoint=127.0.0.1:$PORT tcp_nodelay=1
rgw_enable_usage_log = false
rgw_enable_ops_log = false
rgw_gc_obj_min_wait = 60
rgw_gc_processor_period = 60
EOF
}

create_monitor() {
  (
    umask 077
    ceph-authtool -C "$DIR/keyring" --gen-key -n mon. --cap mon 'allow *'
    ceph-authtool "$DIR/keyring" --gen-key -n client.admin --cap mon 'allow *' --cap osd 'allow *'
    ceph-authtool "$DIR/keyring" --gen-key -n osd.0 --cap mon 'allow profile osd' --cap osd 'allow *'
    ceph-authtool "$DIR/keyring" --gen-key -n client.rgw --cap mon 'allow rw' --cap osd 'allow rwx'
  ) >/dev/null
  monmaptool --create --fsid "$FSID" --addv a "[v1:127.0.0.1:$MON_PORT]" "$DIR/monmap" >/dev/null
  ceph-mon -i a --mkfs --monmap "$DIR/monmap" --keyring "$DIR/keyring"
}

create_osd() {
  local id
  id=$(cat /proc/sys/kernel/random/uuid)
  timeout 30 ceph osd new "$id" >/dev/null
  ceph-osd -i 0 --mkfs --osd-uuid "$id" 2>"$DIR/log/osd-mkfs.err"
}

create_user() {
  timeout 60 radosgw-admin user create --uid=test --display-name=test \
    --access-key="$ACCESS_KEY" --secret-key="$SECRET_KEY" >/dev/null 2>"$DIR/log/user.err"
}

osd_is_up() {
  timeout 10 ceph osd stat 2>/dev/null | grep -q '1 up'
}

# `ready` is written last: a directory without it holds a first start that did not end.
start() {
  is_installed || fail "the Ceph packages are missing: run install"
  if listening "$PORT"; then fail "port $PORT is in use"; fi
  if [ -e "$CEPH_CONF" ] && [ ! -e "$DIR/ready" ]; then
    fail "$DIR holds a server whose first start failed: run destroy, then start"
  fi
  if [ -e "$DIR/ready" ]; then
    ceph-mon -i a
    ceph-osd -i 0 >/dev/null 2>&1
  else
    write_configuration
    create_monitor
    ceph-mon -i a
    create_osd
    ceph-osd -i 0 >/dev/null 2>&1
  fi
  wait_for 30 osd_is_up || fail "the OSD did not come up; see $DIR/log"
  [ -e "$DIR/ready" ] || create_user
  radosgw -n client.rgw
  wait_for 60 listening "$PORT" || fail "radosgw did not come up; see $DIR/log"
  touch "$DIR/ready"
  echo "S3 ready http://127.0.0.1:$PORT region=us-east-1 access=$ACCESS_KEY secret=$SECRET_KEY"
}

has_ended() {
  ! kill -0 "$1" 2>/dev/null
}

stop() {
  local name pid
  for name in client.rgw osd.0 mon.a; do
    pid=$(cat "$DIR/run/$name.pid" 2>/dev/null) || continue
    # A pid file may outlive a reboot, and its number may be another's by now.
    if tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qE '^(/usr/bin/)?(radosgw|ceph-osd|ceph-mon) '; then
      kill -TERM "$pid" 2>/dev/null || true
      wait_for 10 has_ended "$pid" || kill -KILL "$pid" 2>/dev/null || true
      wait_for 10 has_ended "$pid" || fail "process $pid ($name) does not end"
    fi
    rm -f "$DIR/run/$name.pid"
  done
}

# What a key was good for ends with the answer: the gateway is told.
change_key() {
  case $1 in
    add) timeout 60 radosgw-admin key create --uid=test --key-type=s3 --access-key="$2" --secret-key="$3" >/dev/null ;;
    remove) timeout 60 radosgw-admin key rm --uid=test --key-type=s3 --access-key="$2" >/dev/null ;;
    *) usage ;;
  esac
}

case $verb in
  install) install ;;
  key) change_key "${@:3}" 2>>"$DIR/log/keys.err" ;;
  start) start ;;
  stop) stop ;;
  destroy)
    stop
    if [ -e "$CEPH_CONF" ]; then rm -rf "$DIR"; fi
    ;;
  *) usage ;;
esac
