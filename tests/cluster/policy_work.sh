#!/usr/bin/env bash
# Directories with policies of their own: how many copies and how large blocks what is made in them has,
# while servers go, come and join, and after everything was killed.
#   tests/cluster/policy_work.sh BIN
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh" "$1"

field() { python3 -c "import json, sys; print(json.load(sys.stdin)$1)"; }

# members FILE: how many servers have its first block. What a mount holds back the master does not know.
members() {
  sync "$1"
  ringfs where "$1" --json --master "$master" | field '["blocks"][0]["members"].__len__()'
}
block_size() { ringfs where "$1" --json --master "$master" | field '["attributes"]["block_size"]'; }

expect() { # WORDS GOT WANTED
  [[ $2 == "$3" ]] || fail "$1: $2, not $3"
}

healthy() {
  local i
  for ((i = 0; i < 1200; i++)); do
    [[ $(ringfs status --master "$master" --json | field '["buckets_degraded"]') != 0 ]] || return 0
    read -rt 0.1 <> <(:) || true
  done
  fail "not every bucket has all its copies after two minutes"
}

refused() { # WORDS COMMAND...
  local words=$1 out
  shift
  ! out=$("$@" 2>&1) || fail "$* was not refused"
  [[ $out == *"$words"* && $out != *$'\n'* ]] || fail "$*: $out"
}

step_inherited() {
  mkdir -p "$first/three/below" "$first/one"
  head -c 300K /dev/urandom >"$work/bytes"
  ringfs policy "$first/three" --replicas 3 --block-size 64K >"$work/policy"
  grep -q 'replicas *3' "$work/policy" || fail "$(cat "$work/policy")"
  ringfs policy "$first/one" --replicas 1 >/dev/null
  mkdir "$first/three/new"
  for folder in . three three/below three/new one; do cp "$work/bytes" "$first/$folder/file"; done
  expect "by default" "$(members "$first/file") $(block_size "$first/file")" "2 4194304"
  expect "in it" "$(members "$first/three/file") $(block_size "$first/three/file")" "3 65536"
  expect "in a directory that was there" "$(members "$first/three/below/file")" 2
  expect "in a new directory" "$(members "$second/three/new/file")" 3
  expect "one copy" "$(members "$first/one/file") $(block_size "$first/one/file")" "1 4194304"
  mv "$first/three/file" "$first/moved"
  expect "moved away" "$(members "$second/moved") $(block_size "$second/moved")" "3 65536"
  for file in file three/below/file three/new/file one/file moved; do
    cmp "$work/bytes" "$second/$file" || fail "$file differs"
  done
}

step_refused() {
  refused "there are 4" ringfs policy "$first/three" --replicas 5
  refused "power of two" ringfs policy "$first/three" --block-size 100000
  refused "not in 1 to 16" ringfs policy "$first/three" --replicas 17
  refused "only a directory" ringfs policy "$first/file" --replicas 2
  expect "as it was" "$(ringfs policy "$first/three" --json | field '["replicas"]')" 3
}

# With three copies any two servers may go.
step_two_servers_die() {
  local number
  for number in 1 2 3 4 5 6 7 8; do cp "$work/bytes" "$first/three/more-$number"; done
  sync "$first/three"
  kill_hard "$(cat "$data/run/chunkserver-1.pid")" "$(cat "$data/run/chunkserver-3.pid")"
  for number in 1 2 3 4 5 6 7 8; do
    cmp "$work/bytes" "$second/three/more-$number" || fail "more-$number differs"
    cp "$work/bytes" "$second/three/late-$number" || fail "late-$number cannot be written"
  done
  up # starts them again
  healthy
}

step_a_server_joins() {
  up --chunkservers 5
  healthy
  # Until all has moved to it.
  local i
  for ((i = 0; i < 600; i++)); do
    [[ $(ringfs status --master "$master" --json | field '["copies_left"]') != 0 ]] || break
    read -rt 0.2 <> <(:) || true
  done
  expect "copies left" "$(ringfs status --master "$master" --json | field '["copies_left"]')" 0
  ringfs policy "$first/three" --replicas 5 >/dev/null
  cp "$work/bytes" "$first/three/five"
  expect "five copies" "$(members "$first/three/five")" 5
}

step_everything_is_killed() {
  kill_hard $(cat "$data"/run/*.pid) "$(cat "$second.pid")"
  umount -l "$second"
  up
  healthy
  mount_at "$second"
  for file in file moved one/file three/new/file three/more-1 three/late-1 three/five; do
    cmp "$work/bytes" "$second/$file" || fail "$file differs"
  done
  expect "the policy" "$(ringfs policy "$second/three" --json | field '["replicas"]')" 5
  ringfs fsck --master "$master" >"$work/fsck" || fail "fsck: $(cat "$work/fsck")"
}

up --chunkservers 4
mount_at "$second"
for name in inherited refused two_servers_die a_server_joins everything_is_killed; do
  step "$name"
done
say "$steps steps passed"
