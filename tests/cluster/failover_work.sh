#!/usr/bin/env bash
# Servers are killed while files are written and read: no error reaches the application, every byte is
# compared with what was written, and redundancy comes back by itself.
#   tests/cluster/failover_work.sh BIN
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh" "$1"

# Writes and checks files until it is told to end; the longest pause goes to a file.
write_until_told() {
  python3 - "$1" "$work/stop" "$work/pause" <<'EOF'
import hashlib, os, sys, time
folder, stop, result = sys.argv[1:]
longest, number, last = 0.0, 0, time.monotonic()
while not os.path.exists(stop):
    number += 1
    data = hashlib.sha256(b"%d" % number).digest() * 128  # 4 KiB
    path = f"{folder}/file-{number % 500}"
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    os.pwrite(fd, data, 4096 * (number % 7))
    os.fsync(fd)
    if os.pread(fd, 4096, 4096 * (number % 7)) != data:
        raise SystemExit(f"write {number} is not what was read")
    os.close(fd)
    now = time.monotonic()
    longest, last = max(longest, now - last), now
with open(result, "w") as f:
    f.write(f"{longest:.1f} s at most between two of {number} synced writes")
EOF
}

healthy() {
  local i
  for ((i = 0; i < 1200; i++)); do
    [[ $(ringfs status --master "$master" --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["buckets_degraded"])') != 0 ]] || return 0
    read -rt 0.1 <> <(:) || true
  done
  fail "not every bucket has all its copies two minutes after its servers are back"
}

step_kill_one_after_the_other() {
  head -c 64M /dev/urandom >"$work/original"
  cp "$work/original" "$first/big"
  sync "$first/big"
  mkdir "$first/files"
  write_until_told "$second/files" >"$work/writer.log" 2>&1 &
  local writer=$! name
  for name in chunkserver-1 chunkserver-2 chunkserver-3; do
    kill_daemon "$name"
    cmp "$work/original" "$second/big" || fail "the file differs without $name"
    up # starts it again
    healthy
    kill -0 "$writer" 2>/dev/null || fail "the writer ended: $(cat "$work/writer.log")"
  done
  touch "$work/stop"
  wait "$writer" || fail "the writer: $(cat "$work/writer.log")"
  say "$(cat "$work/pause")"
  cmp "$work/original" "$first/big"
}

step_kill_the_master() {
  kill_daemon master
  (exec 9>"$first/locked" && flock 9 && echo locked >&9) &
  local waiter=$!
  up
  wait "$waiter" || fail "a lock that was asked for without a master"
  [[ $(cat "$second/locked") == locked ]]
}

up
mount_at "$second"
for name in kill_one_after_the_other kill_the_master; do
  step "$name"
done
say "$steps steps passed"
