#!/usr/bin/env bash
# What the programs count is told to people and to Prometheus, and status tells what is being copied.
#   tests/cluster/stats_work.sh BIN
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh" "$1"

free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

page() { python3 -c 'import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1]).read().decode())' "$1"; }

step_stats() {
  head -c 3000000 /dev/urandom >"$first/file"
  sync "$first/file"  # the mount may hold back what nobody synced
  ringfs stats --master "$master" >"$work/stats"
  grep -qE '^master at' "$work/stats" || fail "$(cat "$work/stats")"
  [[ $(grep -cE '^chunkserver [123] at' "$work/stats") == 3 ]] || fail "$(cat "$work/stats")"
  grep -qE '^ +meta +[1-9]' "$work/stats" || fail "$(cat "$work/stats")"
  grep -qE '^ +replicate +[1-9]' "$work/stats" || fail "$(cat "$work/stats")"
  grep -qE 'ringfs_fsync_seconds +[1-9]' "$work/stats" || fail "$(cat "$work/stats")"
  ringfs stats --master "$master" --json | python3 -c 'import json, sys
programs = json.load(sys.stdin)
assert len(programs) == 4 and all(p["metrics"] for p in programs)'
}

step_prometheus() {
  local port
  port=$(free_port)
  mount_at "$second" -o "metrics=127.0.0.1:$port"
  cat "$second/file" >/dev/null
  page "http://127.0.0.1:$port/metrics" >"$work/page"
  grep -qE '^ringfs_calls_total\{kind="read"\} [1-9]' "$work/page" || fail "$(cat "$work/page")"
  grep -qE '^ringfs_call_seconds_bucket\{kind="lookup",le=' "$work/page" || fail "$(cat "$work/page")"
  ! ringfs-mount "$master" "$work/mount3" -o metrics=nowhere 2>"$work/err" || fail "mounted with a bad address"
  [[ $(wc -l <"$work/err") == 1 ]] || fail "$(cat "$work/err")"
}

step_copies() {
  ringfs status --master "$master" | grep -q '^copies *none to be made'
  kill -KILL "$(cat "$data/run/chunkserver-3.pid")"
  local i
  for ((i = 0; i < 400; i++)); do
    ringfs status --master "$master" >"$work/status"
    ! grep -qE '^copies *[1-9][0-9]* of buckets to be made, about' "$work/status" || return 0
    read -rt 0.05 <> <(:) || true
  done
  fail "$(cat "$work/status")"
}

up
for name in stats prometheus copies; do
  step "$name"
done
say "$steps steps passed"
