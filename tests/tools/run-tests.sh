#!/bin/bash
# Runs everything and ends with the line `N passed, N failed`, summed over all runs. Exit status 0 only if nothing failed.
#
# Order: what is cheap and breaks often first; then every test file in every pass (tests/passes/jest.config.js), as many at
# once as there are cores. One S3 server (Ceph RADOS Gateway) serves the whole run and is stopped at its end, whatever happened.
#   ONLY=unit|mounted|masked|native|guest|host|torture   only this pass (checks are left out too); host and torture run only then
#   JOBS=1   how many test files at once (default: as many as there are cores, at most 4)
#   LAZYDISK_TEST_S3_ENDPOINT   a server that runs already, with LAZYDISK_TEST_S3_ACCESS_KEY and _SECRET_KEY: it is used instead;
#                               _DIRECTORY, if start-s3.sh has started it: then its keys can be changed
set -uo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.."
root=$PWD
began=$SECONDS
work=$(mktemp -d /var/tmp/lazydisk-run.XXXXXX)
export LAZYDISK_TALLY=$work/tally
: >"$LAZYDISK_TALLY"

finish() {
  local status=$?
  trap - EXIT
  kill $(jobs -p) 2>/dev/null
  tests/tools/start-s3.sh destroy "$work/s3" >/dev/null 2>&1
  local passed failed
  read -r passed failed < <(awk '{p += $1; f += $2} END {print p + 0, f + 0}' "$LAZYDISK_TALLY")
  rm -rf "$work"
  # A run that ended before its tests, or had none, is a failure.
  if [ "$failed" = 0 ] && { [ "$status" != 0 ] || [ "$passed" = 0 ]; }; then failed=1; fi
  echo "took $(((SECONDS - began) / 60)) min $(((SECONDS - began) % 60)) s"
  echo "$passed passed, $failed failed"
  [ "$failed" = 0 ] && exit 0
  exit 1
}
trap finish EXIT
trap 'exit 130' INT TERM

say() { echo "== $* ($((SECONDS - began)) s)"; }

# Below those that the kernel gives to connections: one of them could be gone again before the server listens.
free_port() {
  local port
  until port=$(shuf -i 10000-30000 -n 1) && ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do :; done
  echo "$port"
}

step() { # name, command...: one fact that holds or does not
  local name=$1
  shift
  say "$name"
  if "$@"; then echo "1 0" >>"$LAZYDISK_TALLY"; else
    echo "FAILED: $name"
    echo "0 1" >>"$LAZYDISK_TALLY"
  fi
}

# What keeps a process that should have ended: whether it runs, what it has open, and where it is, if a debugger is there.
examine() { # pid
  grep -E '^(State|Threads):' "/proc/$1/status"
  ls -l "/proc/$1/fd"
  ! command -v gdb >/dev/null || gdb -p "$1" -batch -ex bt 2>/dev/null
}

jest() { # name, arguments...
  local name=$1
  shift
  say "$name"
  local before after status pid left=60
  before=$(wc -l <"$LAZYDISK_TALLY")
  NODE_OPTIONS=--experimental-vm-modules node node_modules/jest/bin/jest.js "$@" \
    --reporters=default --reporters=./tests/reporter/tally.mjs &
  pid=$!
  # Once its tests are counted it has a minute to end: something that a test has left may keep it for ever.
  while [ "$left" -gt 0 ] && kill -0 "$pid" 2>/dev/null; do
    sleep 1
    [ "$before" = "$(wc -l <"$LAZYDISK_TALLY")" ] || left=$((left - 1))
  done
  if [ "$left" = 0 ] && kill -0 "$pid" 2>/dev/null; then
    say "jest has not ended a minute after its tests ($name)"
    examine "$pid"
    kill -KILL "$pid"
  fi
  wait "$pid"
  status=$?
  after=$(wc -l <"$LAZYDISK_TALLY")
  # jest that died without reporting, or found something wrong outside of tests
  if [ "$before" = "$after" ]; then
    echo "FAILED: jest ended with status $status and reported nothing ($name)"
    echo "0 1" >>"$LAZYDISK_TALLY"
  elif [ "$status" != 0 ] && tail -n 1 "$LAZYDISK_TALLY" | grep -q ' 0$'; then
    echo "FAILED: jest ended with status $status ($name)"
    echo "0 1" >>"$LAZYDISK_TALLY"
  fi
}

say "install what is missing"
tests/tools/install-test-tools.sh || exit 1
# Optional packages that could not be installed before their libraries were there are missing until they are installed again.
[ -e node_modules/fuse-native ] || rm -f node_modules/.package-lock.json
make --no-print-directory build || exit 1

wants() { [ "${ONLY:-$1}" = "$1" ]; }

# Before the tests, since several boot from it at once; beside the checks, since it mostly waits for packages.
guest=.cache/guest/guest.raw
image=
if { wants guest || wants host; } && [ ! "$guest" -nt tests/tools/make-guest.sh ]; then
  tests/tools/make-guest.sh "$guest" &
  image=$!
fi

if [ -z "${ONLY:-}" ]; then
  # The linter takes about as long as the other two together.
  step lint make --no-print-directory check-lint &
  linter=$!
  step types make --no-print-directory check-types
  step format make --no-print-directory check-format
  wait "$linter"
fi

export LAZYDISK_REQUIRE_S3=1
if [ -z "${LAZYDISK_TEST_S3_ENDPOINT:-}" ]; then
  say "start the S3 server"
  port=$(free_port)
  export LAZYDISK_TEST_S3_ACCESS_KEY=lazydisktest LAZYDISK_TEST_S3_SECRET_KEY=lazydisk-test-secret
  S3_ACCESS_KEY=$LAZYDISK_TEST_S3_ACCESS_KEY S3_SECRET_KEY=$LAZYDISK_TEST_S3_SECRET_KEY S3_MON_PORT=$(free_port) \
    tests/tools/start-s3.sh start "$work/s3" "$port" >"$work/s3.log" 2>&1 || {
    cat "$work/s3.log"
    exit 1
  }
  export LAZYDISK_TEST_S3_ENDPOINT=http://127.0.0.1:$port LAZYDISK_TEST_S3_DIRECTORY=$work/s3
fi

# A guest that could not be made is a failure of the tests that ask for it.
[ -z "$image" ] || wait "$image"

if [ "${ONLY:-}" = torture ]; then
  jest "torture" --runInBand "$root/tests/torture"
  MOUNT_ROUNDS=1000 jest "a thousand mounts" --runInBand "$root/tests/mounted/rounds.test.ts"
else
  passes=(unit mounted masked native guest)
  cores=$(nproc)
  jest "tests" -c tests/passes/jest.config.js -w "${JOBS:-$((cores < 4 ? cores : 4))}" --selectProjects ${ONLY:-"${passes[@]}"}
fi
exit 0
