#!/usr/bin/env bash
# An error that reaches an application has its story, also when nobody is left to ask.
#   tests/cluster/explain_work.sh BIN
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh" "$1"

explained() { ringfs explain "$second" >"$work/story" && grep -qE "$1" "$work/story"; }

step_nothing() {
  mount_at "$second" -o timeout=2
  ringfs explain "$second" | grep -q "no call has failed"
  mkdir "$second/folder"
  head -c 100000 /dev/urandom >"$second/folder/file"
  ! cat "$second/none" 2>/dev/null
  ringfs explain "$second" | grep -q "no call has failed" || fail "ENOENT is not worth a story"
}

# A file is read of which no chunkserver is left.
step_chunkservers_gone() {
  local server
  for server in 1 2 3; do kill -KILL "$(cat "$data/run/chunkserver-$server.pid")"; done
  ! cat "$second/folder/file" >/dev/null 2>&1 || fail "read without chunkservers"
  explained "read of $second/folder/file" || fail "$(cat "$work/story")"
  explained "E(IO|TIMEDOUT)" || fail "$(cat "$work/story")"
  explained "block +0 of data" || fail "$(cat "$work/story")"
  explained "asked .*127.0.0.1" || fail "$(cat "$work/story")"
  explained "remedy +see" || fail "$(cat "$work/story")"
}

step_master_gone() {
  kill -KILL "$(cat "$data/run/master.pid")"
  ! ls "$second/folder" >/dev/null 2>&1 || fail "listed without a master"
  local started=$SECONDS
  explained "$master" || fail "$(cat "$work/story")"
  ringfs explain "$second/folder/file" --json >"$work/json"
  grep -q '"cause": ".*at the master' "$work/json" || fail "$(cat "$work/json")"
  [[ $((SECONDS - started)) -le 1 ]] || fail "explain waits for the cluster"
}

step_refusals() {
  ! ringfs explain "$work" 2>"$work/err" || fail "explained what is no mount"
  grep -q "is not on a ringfs mount" "$work/err"
  kill -KILL "$(cat "$second.pid")"
  ! ringfs explain "$second" 2>"$work/err" || fail "explained a dead mount"
  grep -q "its client has died" "$work/err" || fail "$(cat "$work/err")"
}

up
for name in nothing chunkservers_gone master_gone refusals; do
  step "$name"
done
say "$steps steps passed"
