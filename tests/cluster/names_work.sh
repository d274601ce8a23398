#!/usr/bin/env bash
# Changes of names that are answered before the master's disk has them: the master is killed again and
# again under two mounts that change names, and nothing that returned is lost; the master and a mount
# are killed together, and what is lost is the end, and nothing that was synced.
#   tests/cluster/names_work.sh BIN [KILLS]
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh" "$1"
kills=${2:-12}
here=$(dirname "${BASH_SOURCE[0]}")

changes() { python3 "$here/names_steps.py" "$@" || fail "names_steps.py $1"; }
restart_master() {
  kill_daemon master
  ringfs up "$first" --data "$data" >"$work/up.log" 2>&1 || fail "$(cat "$work/up.log")"
}

step_killed_master() {
  local i workers=() pids=()
  for i in 1 2 3 4; do
    local folder=$first
    ((i % 2)) || folder=$second
    python3 "$here/names_steps.py" work "$folder/w$i" "$i" "$work/stop" "$work/w$i.json" \
      >"$work/w$i.out" 2>"$work/w$i.log" &
    pids+=("$!")
    workers+=("$i")
  done
  for ((i = 0; i < kills; i++)); do
    # A random part of a second of work between two kills.
    read -rt "0.$((RANDOM % 9 + 1))" <> <(:) || true
    restart_master
  done
  touch "$work/stop"
  for i in "${workers[@]}"; do
    wait "${pids[i - 1]}" || fail "worker $i: $(cat "$work/w$i.log")"
    say "worker $i: $(cat "$work/w$i.out")"
  done
  for i in "${workers[@]}"; do
    local folder=$second
    ((i % 2)) || folder=$first
    changes compare "$work/w$i.json" "$folder/w$i"
  done
}

# As a machine that runs both and loses its power: the mount with what it keeps, and the master.
step_killed_both() {
  local i
  for i in 1 2 3; do
    python3 "$here/names_steps.py" row "$second/row$i" "$work/synced" >"$work/row.out" 2>/dev/null &
    local row=$!
    until grep -q running "$work/row.out"; do read -rt 0.01 <> <(:) || true; done
    until [[ -s $work/synced ]]; do read -rt 0.01 <> <(:) || true; done
    read -rt "0.$((RANDOM % 5 + 1))" <> <(:) || true
    kill_hard "$(cat "$second.pid")" "$(cat "$data/run/master.pid")"
    wait "$row" && fail "the row went on without a mount"
    umount -l "$second"
    ringfs up "$first" --data "$data" >"$work/up.log" 2>&1 || fail "$(cat "$work/up.log")"
    mount_at "$second" -o session_ttl=3
    changes prefix "$second/row$i" "$work/synced"
    rm "$work/synced"
  done
}

up
mount_at "$second" -o session_ttl=3
for name in killed_master killed_both; do
  step "$name"
done
say "$steps steps passed"
