#!/usr/bin/env bash
# What goes wrong is said in one clear line, with a non-zero exit.
#   tests/cluster/errors_work.sh BIN
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh" "$1"

# refuses WORDS PROGRAM...: the program ends with an error, and one line on stderr has WORDS.
refuses() {
  local words=$1 status=0
  shift
  timeout 60 "$@" >"$work/out" 2>"$work/err" </dev/null || status=$?
  [[ $status -ne 0 && $status -ne 124 ]] || fail "$* ended with $status"
  [[ $(wc -l <"$work/err") == 1 ]] || fail "$* says: $(cat "$work/err")"
  grep -qF "$words" "$work/err" || fail "$* says: $(cat "$work/err") (wanted: $words)"
}

step_flags() {
  refuses "help" ringfs-master --nonsense
  refuses "help" ringfs-chunkserver --data "$work/x"
  refuses "fast" ringfs-mount "$master" "$second" -o fast
  refuses "HOST:PORT" ringfs-mount nowhere "$second"
  refuses "HOST:PORT" ringfs-chunkserver --data "$work/x" --listen 127.0.0.1:0 --master nowhere
  refuses "HOST:PORT" ringfs-chunkserver --data "$work/x" --listen nowhere --master "$master"
  refuses "HOST:PORT" ringfs-master --data "$work/x" --listen 127.0.0.1:0 --metrics nowhere
  refuses "listen is required" ringfs-master --data "$work/x"
  refuses "number of a session" ringfs locks break all --master "$master"
  refuses "frobnicate" ringfs frobnicate
  refuses "unknown flag" ringfs --frobnicate
  refuses "HOST:PORT" ringfs-master --data "$work/x" --listen nowhere
  [[ ! -e $work/x ]] || fail "wrong flags have made a directory"
}

step_ports() {
  refuses "in use" ringfs-master --data "$work/x" --listen "$master"
  refuses "in use" ringfs-chunkserver --data "$work/y" --listen "$master" --master "$master"
}

step_directories() {
  refuses "in use" ringfs-master --data "$data/master" --listen 127.0.0.1:0
  refuses "in use" ringfs-chunkserver --data "$data/chunkserver-1" --listen 127.0.0.1:0 --master "$master"
  refuses "no directory /none" ringfs-mount "$master:/none" "$second"
  refuses "No such file" ringfs-mount "$master" "$work/none"
}

step_other_cluster() {
  : >"$work/other.out"
  setsid ringfs-master --data "$work/other" --listen 127.0.0.1:0 >"$work/other.out" 2>"$work/other.log" </dev/null &
  echo $! >"$work/other.pid"
  local address="" i
  for ((i = 0; i < 200 && ${#address} == 0; i++)); do
    address=$(sed -n 's/^ringfs-master ready: //p' "$work/other.out")
    read -rt 0.05 <> <(:) || true
  done
  cp -r "$data/chunkserver-1" "$work/copied"
  refuses "another cluster" ringfs-chunkserver --data "$work/copied" --listen 127.0.0.1:0 --master "$address"
  kill "$(cat "$work/other.pid")"
}

step_nobody() {
  refuses "Connection refused" ringfs-mount 127.0.0.1:1 "$second" -o timeout=1
  refuses "does not answer" ringfs status --master 127.0.0.1:1
}

# A client that is killed leaves a mountpoint that answers nothing: it is mounted again.
step_dead_mountpoint() {
  mount_at "$second"
  echo kept >"$second/file"
  sync "$second/file"  # what is held back goes with the client
  kill -KILL "$(cat "$second.pid")"
  # stat may be answered from what the kernel was told to keep.
  [[ $(ls "$second/nothing" 2>&1 || true) == *'not connected'* ]] || fail "a killed client still answers"
  mount_at "$second"
  [[ $(cat "$second/file") == kept ]]
  umount "$second"
}

up
for name in flags ports directories other_cluster nobody dead_mountpoint; do
  step "$name"
done
say "$steps steps passed"
