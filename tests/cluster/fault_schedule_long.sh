#!/usr/bin/env bash
# Two of five servers are lost at random instants, with three copies of everything, while two mounts write
# and sync 4 KiB and read what the other one wrote: no error reaches a program, no byte that was synced is
# missing, and the longest time between two successes is told for each run.
#   tests/cluster/fault_schedule_long.sh BIN [RUNS [SEED [KIND...]]]
# RUNS is for each KIND; of these there are
#   kill    both with SIGKILL, and started again
#   stop    both with SIGSTOP, and continued
#   mixed   one of each
#   brief   both with SIGSTOP, for less time than it takes to be missed
#   master  the master with SIGKILL, and started again
#   all     the master and two chunkservers with SIGKILL
#   mount   a third mount, with locks and dirty data, with SIGSTOP or SIGKILL: what others wait for it
# A pause over PAUSE_LIMIT seconds (0: none) fails the test; that of the master is how long it was away.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh" "$1"
runs=${2:-5}
seed=${3:-$RANDOM}
kinds=("${@:4}")
[[ ${#kinds[@]} -gt 0 ]] || kinds=(kill stop mixed brief master all mount)
limit=${PAUSE_LIMIT:-5}
RANDOM=$seed
writes=$(dirname "${BASH_SOURCE[0]}")/synced_writes.py
third=$work/mount-3
declare -A worst

now() { python3 -c 'import time; print(time.monotonic())'; }

# nap MILLISECONDS: the instants of a schedule are times, not events.
nap() { read -rt "$(printf '%d.%03d' $(($1 / 1000)) $(($1 % 1000)))" <> <(:) || true; }

healthy() {
  local i
  for ((i = 0; i < 600; i++)); do
    [[ $(ringfs status --master "$master" --json 2>/dev/null | python3 -c '
import json, sys
try: print(json.load(sys.stdin)["buckets_degraded"])
except ValueError: print("?")') != 0 ]] || return 0
    alive
    nap 200
  done
  fail "not every bucket has all its copies two minutes after its servers are back"
}

start_load() {
  rm -f "$work/stop"
  load=()
  local each
  for each in one two; do
    local own=$first other=$second
    [[ $each == one ]] || own=$second other=$first
    python3 "$writes" write "$own/$each" "$work/$each.acks" "$work/stop" 2>"$work/writer-$each.log" &
    load+=($!)
    echo $! >"$work/writer-$each.pid"
    while [[ ! -s $work/$each.acks ]]; do nap 50; done
    python3 "$writes" watch "$other/$each" "$work/$each.acks" "$work/stop" 2>"$work/reader-$each.log" &
    load+=($!)
    echo $! >"$work/reader-$each.pid"
  done
}

alive() {
  local pid
  for pid in "${load[@]}"; do
    kill -0 "$pid" 2>/dev/null || fail "seed $seed, run $run ($kind): $(cat "$work"/writer-*.log "$work"/reader-*.log)"
  done
}

check_all() {
  local each folder
  for each in one two; do
    for folder in "$first" "$second"; do
      python3 "$writes" check "$folder/$each" "$work/$each.acks" || fail "seed $seed, run $run ($kind): $each in $folder"
    done
  done
}

# Two servers that differ.
choose() {
  a=$((RANDOM % 5 + 1))
  b=$(((a + RANDOM % 4) % 5 + 1))
  pid_a=$(cat "$data/run/chunkserver-$a.pid")
  pid_b=$(cat "$data/run/chunkserver-$b.pid")
}

# gap: at the same instant in every other run, and else within four seconds.
gap() { [[ $((RANDOM % 2)) == 0 ]] || nap $((RANDOM % 4000)); }

away() { nap $((7000 + RANDOM % 4000)); }

lose_kill() {
  choose
  kill -KILL "$pid_a"
  gap
  kill_hard "$pid_b"
  away
  check_all
  up
}

lose_stop() {
  choose
  kill -STOP "$pid_a"
  gap
  kill -STOP "$pid_b"
  away
  check_all
  kill -CONT "$pid_a"
  gap
  kill -CONT "$pid_b"
}

lose_mixed() {
  choose
  kill -STOP "$pid_a"
  gap
  kill_hard "$pid_b"
  away
  check_all
  kill -CONT "$pid_a"
  gap
  up
}

lose_brief() {
  choose
  kill -STOP "$pid_a"
  nap $((RANDOM % 1000))
  kill -STOP "$pid_b"
  nap $((500 + RANDOM % 2500))
  kill -CONT "$pid_a"
  nap $((RANDOM % 500))
  kill -CONT "$pid_b"
  nap 6000
}

lose_master() {
  kill_daemon master
  nap $((RANDOM % 1000))
  up
  nap 5000
}

lose_all() {
  choose
  kill_hard "$pid_a" "$(cat "$data/run/master.pid")" "$pid_b"
  nap $((RANDOM % 1000))
  up
  nap 5000
}

# waited NAME COMMAND...: how long it takes, at most the life of a session and two seconds for a busy machine.
waited() {
  local name=$1 started
  shift
  started=$(now)
  timeout 60 "$@" || fail "seed $seed, run $run (mount): $name"
  awk -v a="$started" -v b="$(now)" -v name="$name" 'BEGIN { printf "%s %.1f\n", name, b - a; exit b - a > 12 }' >>"$work/waits" ||
    { cat "$work/waits" >&2; fail "seed $seed, run $run: $name waited for a mount that is gone"; }
}

lose_mount() {
  mount_at "$third"
  mkdir -p "$third/dir"
  (exec 9>"$third/dir/locked" && flock 9 && exec sleep 60) &
  local holder=$!
  echo "$holder" >"$work/holder.pid"
  until ! flock -n "$first/dir/locked" true; do nap 50; done
  : >"$work/waits"
  cat "$work/original" >"$third/dir/held" # and not synced
  local signal=STOP pid waits=()
  [[ $((RANDOM % 2)) == 0 ]] || signal=KILL
  pid=$(cat "$third.pid")
  kill "-$signal" "$pid"
  waited lock flock "$first/dir/locked" true & waits+=($!)
  waited stat stat "$second/dir/held" >/dev/null & waits+=($!)
  waited create touch "$first/dir/made" & waits+=($!)
  waited list ls -l "$second/dir" >/dev/null & waits+=($!)
  waited write python3 -c 'import os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
os.pwrite(fd, b"x" * 4096, 0); os.fsync(fd)' "$first/dir/held" & waits+=($!)
  local each
  for each in "${waits[@]}"; do wait "$each" || fail "a wait for a mount ($signal)"; done
  say "  waits for a mount after SIG$signal: $(tr '\n' ' ' <"$work/waits")"
  [[ $signal == KILL ]] || kill -CONT "$pid"
  kill "$holder" 2>/dev/null || true
  nap 1000
  kill_hard "$pid" 2>/dev/null || true
  umount -l "$third" 2>/dev/null || true
}

one_run() {
  local began ended each longest=0 this
  nap $((RANDOM % 2000))
  began=$(now)
  "lose_$kind"
  alive
  healthy
  ended=$(now)
  check_all
  alive
  for each in one two; do
    this=$(python3 "$writes" pause "$work/$each.acks" "$began" "$ended")
    longest=$(awk -v a="$longest" -v b="$this" 'BEGIN { print (a > b ? a : b) }')
  done
  say "run $run, $kind${a:+ ($a, $b)}: longest pause $longest s, all copies there after $(awk -v a="$began" -v b="$ended" 'BEGIN { printf "%.1f", b - a }') s"
  worst[$kind]=$(awk -v a="${worst[$kind]:-0}" -v b="$longest" 'BEGIN { print (a > b ? a : b) }')
  [[ $limit == 0 || $kind == master || $kind == all ]] ||
    awk -v a="$longest" -v limit="$limit" 'BEGIN { exit a > limit }' || late+=("run $run, $kind: $longest s")
}

up --chunkservers 5 --replicas 3
mount_at "$second"
head -c 4M /dev/urandom >"$work/original"
run=0 kind=start late=() a='' b=''
start_load
healthy
for ((round = 0; round < runs; round++)); do
  for kind in "${kinds[@]}"; do
    run=$((run + 1)) a='' b=''
    one_run
  done
done
kind=end
touch "$work/stop"
for pid in "${load[@]}"; do wait "$pid" || fail "seed $seed: $(cat "$work"/writer-*.log "$work"/reader-*.log)"; done
check_all
for kind in "${kinds[@]}"; do say "$kind: $runs runs, longest pause ${worst[$kind]} s"; done
[[ ${#late[@]} == 0 ]] || fail "seed $seed: pauses over $limit s: ${late[*]/%/;}"
say "$run runs passed (seed $seed), $(cat "$work"/*.acks | grep -c '^a') synced writes"
