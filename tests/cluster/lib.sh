# Sourced by the cluster tests: a cluster of its own in a temporary folder, two mounts, and an end
# that leaves neither processes nor mounts behind, however the test ends.
#
#   source lib.sh BIN        BIN: the folder with ringfs, ringfs-master, ...
set -euo pipefail

bin=$(cd "$1" && pwd)
export PATH=$bin:$PATH
work=$(mktemp -d "${TMPDIR:-/tmp}/ringfs-test.XXXXXX")
data=$work/data
first=$work/first    # mounted by `ringfs up`
second=$work/second  # mounted by hand, as on another machine
mkdir -p "$first" "$second"
steps=0

say() { printf '   %s\n' "$*"; }

fail() {
  echo "FAILED: $*" >&2
  exit 1
}

# Every process of this cluster writes its number to the data folder or is our child; nothing else
# is ever ended.
end_all() {
  local status=$?
  trap - EXIT INT TERM
  set +e
  if [[ $status -ne 0 ]]; then
    echo "   the cluster's logs:" >&2
    for log in "$data"/logs/*.log "$work"/*.log; do
      [[ -s $log ]] || continue
      echo "   --- ${log##*/}" >&2
      tail -n 25 "$log" >&2
    done
  fi
  timeout 60 ringfs down "$first" --data "$data" >/dev/null 2>&1
  local pid
  for pid in $(cat "$data"/run/*.pid "$work"/*.pid 2>/dev/null); do
    kill -KILL "$pid" 2>/dev/null
  done
  for mountpoint in "$first" "$second" "$work"/mount*; do
    while mountpoint -q "$mountpoint" 2>/dev/null || grep -qs " $mountpoint " /proc/mounts; do
      umount -l "$mountpoint" 2>/dev/null || break
    done
  done
  rm -rf "$work"
  exit "$status"
}
trap end_all EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# up [options]: the cluster and the first mount.
up() {
  ringfs up "$first" --data "$data" "$@" >"$work/up.log" 2>&1 || {
    cat "$work/up.log" >&2
    fail "ringfs up"
  }
  master=$(cat "$data/master.address")
}

# mount_at FOLDER [options of ringfs-mount]: another mount of the cluster; its client ends with it.
mount_at() {
  local folder=$1
  shift
  # The mountpoint of a client that was killed cannot even be looked at.
  mkdir -p "$folder" 2>/dev/null || grep -q " $folder " /proc/mounts || fail "cannot make $folder"
  rm -f "$folder.out" # of a mount before: it says that it is ready
  setsid ringfs-mount "$master" "$folder" -f "$@" >"$folder.out" 2>>"$folder.log" </dev/null &
  echo $! >"$folder.pid"
  local i
  for ((i = 0; i < 600; i++)); do
    ! grep -q '^ringfs-mount ready' "$folder.out" 2>/dev/null || return 0
    kill -0 "$(cat "$folder.pid")" 2>/dev/null || fail "the client of $folder ended: $(tail -n 3 "$folder.log")"
    read -rt 0.05 <> <(:) || true
  done
  fail "$folder was not mounted within 30 s"
}

# kill_daemon NAME: as a crash; returns when it is gone, so that `up` starts it again.
kill_daemon() { kill_hard "$(cat "$data/run/$1.pid")"; }

# kill_hard PID...: all at once, and returns when they are gone.
kill_hard() {
  local pid
  kill -KILL "$@"
  for pid in "$@"; do
    while kill -0 "$pid" 2>/dev/null; do read -rt 0.01 <> <(:) || true; done
  done
}

# step NAME: runs the function step_NAME and says how long it took.
step() {
  local started=$SECONDS
  steps=$((steps + 1))
  "step_$1"
  say "$1: ok ($((SECONDS - started)) s)"
}
