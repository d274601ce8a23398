#!/usr/bin/env bash
# The master's state is backed up under load, and a new master is made from it.
#   tests/cluster/backup_work.sh BIN
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh" "$1"

refuses() {
  local words=$1 status=0
  shift
  timeout 60 "$@" >"$work/out" 2>"$work/err" </dev/null || status=$?
  [[ $status -ne 0 && $status -ne 124 ]] || fail "$* ended with $status"
  [[ $(wc -l <"$work/err") == 1 ]] || fail "$* says: $(cat "$work/err")"
  grep -qF "$words" "$work/err" || fail "$* says: $(cat "$work/err") (wanted: $words)"
}

sums() { (cd "$1/before" && find . -type f -print0 | sort -z | xargs -0 sha256sum); }

step_tree() {
  mount_at "$second"
  mkdir "$first/before"
  local i
  for i in 1 2 3 4 5 6 7 8; do
    mkdir "$first/before/$i"
    head -c $((i * 300000)) /dev/urandom >"$first/before/$i/bytes"
    ln -s bytes "$first/before/$i/link"
    setfattr -n user.number -v "$i" "$first/before/$i"
  done
  find "$first/before" -type f -exec sync {} +
  sums "$first" >"$work/sums"
}

step_backup_under_load() {
  mkdir "$second/load"
  (
    i=0
    while [[ ! -e $work/enough ]]; do
      i=$((i + 1))
      echo "$i" >"$second/load/$i"
    done
  ) &
  local load=$!
  until [[ -e $second/load/50 ]]; do read -rt 0.05 <> <(:) || true; done
  # What the mount holds back without a sync is not in the master yet.
  sync "$second/load/50"
  ringfs backup "$work/backup" --master "$master" >"$work/out"
  grep -q "records" "$work/out"
  local during
  during=$(find "$second/load" -type f | wc -l)
  until [[ -e $second/load/$((during + 50)) ]]; do read -rt 0.05 <> <(:) || true; done
  touch "$work/enough"
  wait "$load"
}

step_bad_files() {
  head -c 1000 "$work/backup" >"$work/short"
  refuses "cut short" ringfs-master --data "$work/new" --restore "$work/short"
  { cat "$work/backup"; echo; } >"$work/long"
  refuses "after the end" ringfs-master --data "$work/new" --restore "$work/long"
  refuses "not a backup" ringfs-master --data "$work/new" --restore /bin/ls
  refuses "not empty" ringfs-master --data "$data/master" --restore "$work/backup"
  refuses "No such file" ringfs-master --data "$work/new" --restore "$work/none"
  [[ ! -e $work/new ]] || fail "a refused backup leaves a directory"
  refuses "No such file" ringfs backup "$work/none/backup" --master "$master"
}

# The old master and its disk are lost; the mounts and chunkservers stay, and come to the new one.
step_restore() {
  kill_daemon master
  mv "$data/master" "$work/lost"
  ringfs-master --data "$data/master" --restore "$work/backup" >"$work/out"
  grep -q restored "$work/out"
  ringfs up "$first" --data "$data" >"$work/up.log" 2>&1 || fail "$(cat "$work/up.log")"
  local i
  for ((i = 0; i < 600; i++)); do
    ringfs status --master "$master" --json 2>/dev/null | grep -q '"health": "healthy"' && break
    read -rt 0.05 <> <(:) || true
  done
  ringfs status --master "$master" | grep -q "^servers *3 up, 0 down" || fail "$(ringfs status --master "$master")"
  mount_at "$work/mount3"
  sums "$work/mount3" | diff - "$work/sums" || fail "the tree of before the backup is another"
  [[ $(getfattr --only-values -n user.number "$work/mount3/before/7") == 7 ]]
  [[ $(cat "$work/mount3/load/50") == 50 ]] || fail "what was synced before the backup is lost"
}

step_goes_on() {
  local i
  for ((i = 0; i < 100; i++)); do echo "new $i" >"$work/mount3/new$i"; done
  for ((i = 0; i < 100; i++)); do [[ $(cat "$work/mount3/new$i") == "new $i" ]]; done
  # The mounts of before go on in new sessions.
  sums "$first" | diff - "$work/sums"
  echo again >"$second/again"
  [[ $(cat "$work/mount3/again") == again ]]
}

up
for name in tree backup_under_load bad_files restore goes_on; do
  step "$name"
done
say "$steps steps passed"
