#!/usr/bin/env bash
# Many clients lock, read, write and unlock a few files through four mounts, while clients, mounts and the
# master are killed and stopped and locks are broken. What they saw is checked: no two held a lock at once,
# and nothing that a holder wrote became visible after its lock had passed on (tests/locks/history.h).
#   tests/cluster/lock_history_work.sh BIN [SECONDS [SEED [CHUNKSERVERS]]]
# CHUNKSERVERS: "kill" them too. When all that have a block die, one after the other, it loses what was not
# synced, and so less can be said of what holders must see.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh" "$1"
seconds=${2:-20}
seed=${3:-$RANDOM}
RANDOM=$seed
files=6
check=(lock_check)
clients_each=4
mounts=("$work/mount-1" "$work/mount-2" "$work/mount-3")
declare -A folder_of # the mount of a client's process
started=0

pause() { read -rt "$1" <> <(:) || true; }

start_client() { # MOUNT
  started=$((started + 1))
  lock_client "$1" "$files" $((seed % 1000 * 1000 + started)) "$work/history-$started" 2>>"$work/clients.log" &
  folder_of[$!]=$1
  echo $! >>"$work/clients.pid"
}

any_client() {
  local pids=("${!folder_of[@]}")
  client=${pids[RANDOM % ${#pids[@]}]}
}

any_mount() { mount=${mounts[RANDOM % ${#mounts[@]}]}; }

kill_client() {
  any_client
  local folder=${folder_of[$client]}
  kill -KILL "$client"
  wait "$client" 2>/dev/null || true
  unset "folder_of[$client]"
  start_client "$folder"
}

stop_client() {
  any_client
  kill -STOP "$client"
  pause 0.7
  kill -CONT "$client"
}

# For less than its time to live, or for more.
stop_mount() {
  any_mount
  local pid
  pid=$(cat "$mount.pid")
  kill -STOP "$pid"
  pause $((RANDOM % 4)).5
  kill -CONT "$pid"
}

kill_mount() {
  any_mount
  kill -KILL "$(cat "$mount.pid")"
  umount -l "$mount"
  mount_at "$mount" -o session_ttl=2
}

kill_master() {
  kill_daemon master
  up
}

kill_chunkserver() {
  kill_daemon "chunkserver-$((RANDOM % 3 + 1))"
  up
}

# For less than its lease, or for more.
stop_chunkserver() {
  local pid
  pid=$(cat "$data/run/chunkserver-$((RANDOM % 3 + 1)).pid")
  kill -STOP "$pid"
  pause $((RANDOM % 4 + 1)).5
  kill -CONT "$pid"
}

break_lock() {
  local session
  session=$(ringfs locks --json --master "$master" |
    python3 -c 'import json, sys; print(next((l["session"] for l in json.load(sys.stdin)["locks"] if not l["waiting"]), ""))')
  [[ -z $session ]] || ringfs locks break "$session" --master "$master" >/dev/null || true
}

up
for ((i = 0; i < files; i++)); do printf '%016d\n' 0 >"$first/$i"; done
sync "$first"/*
for mount in "${mounts[@]}"; do mount_at "$mount" -o session_ttl=2; done
for mount in "$first" "${mounts[@]}"; do
  for ((i = 0; i < clients_each; i++)); do start_client "$mount"; done
done

troubles=(kill_client kill_client stop_client stop_mount stop_mount kill_mount kill_master break_lock)
if [[ ${4:-} == kill ]]; then
  troubles+=(kill_chunkserver stop_chunkserver)
  check+=(--unsynced-may-vanish)
fi
declare -A done_of
until=$((SECONDS + seconds))
while ((SECONDS < until)); do
  trouble=${troubles[RANDOM % ${#troubles[@]}]}
  "$trouble"
  done_of[$trouble]=$((${done_of[$trouble]:-0} + 1))
  pause 0.$((RANDOM % 10))
done
for ((i = 1; i <= started; i++)); do touch "$work/history-$i.stop"; done
for client in "${!folder_of[@]}"; do wait "$client" || fail "a client ended with an error: $(cat "$work/clients.log")"; done

for trouble in "${!done_of[@]}"; do printf '   %s %s\n' "${done_of[$trouble]}" "$trouble"; done
histories=()
for ((i = 1; i <= started; i++)); do [[ ! -e $work/history-$i ]] || histories+=("$work/history-$i"); done
"${check[@]}" $((seconds * 10)) "${histories[@]}" || {
  [[ -z ${RINGFS_KEEP_HISTORIES:-} ]] || cp "${histories[@]}" "$RINGFS_KEEP_HISTORIES"
  fail "seed $seed"
}
say "seed $seed: passed"
