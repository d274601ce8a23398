#!/usr/bin/env bash
# Shell work through two mounts of one cluster at once, as people do it on a local disk.
#   tests/cluster/shell_work.sh BIN
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh" "$1"
tree=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
originals=$work/originals
record=$work/record

# A source tree of over a thousand files: this machine's own headers.
make_originals() {
  mkdir -p "$originals"
  cp -a /usr/include/linux /usr/include/asm-generic "$originals/"
  ln -s linux/fs.h "$originals/a link"
  local count
  count=$(find "$originals" -type f | wc -l)
  [[ $count -gt 1000 ]] || cp -a /usr/include/c++ "$originals/"
}

step_untar() {
  tar -C "$originals" -cf "$work/tree.tar" .
  mkdir "$first/tree"
  tar -C "$first/tree" -xf "$work/tree.tar"
  diff -r --no-dereference "$originals" "$second/tree"
  mkfifo "$first/tree/fifo"
  [[ -p $second/tree/fifo ]]
  rm "$second/tree/fifo"
  tar -C "$second/tree" --sort=name -cf - . 2>&1 >"$work/back.tar" | head -n 5 >"$work/tar.log"
  [[ ! -s $work/tar.log ]] || fail "tar back out says: $(cat "$work/tar.log")"
  tar -C "$first/tree" -df "$work/back.tar" >"$work/tar.log" 2>&1 ||
    fail "tar finds differences: $(head -n 5 "$work/tar.log")"
  cmp <(tar -C "$originals" --sort=name --mtime=@0 --format=gnu -cf - linux asm-generic) \
    <(tar -C "$second/tree" --sort=name --mtime=@0 --format=gnu -cf - linux asm-generic) ||
    fail "the tar of the copy differs"
}

step_git() {
  local git="git -c user.name=test -c user.email=test@localhost -c gc.auto=0 -c safe.directory=*"
  $git init -q "$first/repo"
  cp -r "$originals/linux/netfilter" "$originals/asm-generic" "$first/repo/"
  $git -C "$first/repo" add -A
  $git -C "$first/repo" commit -qm first
  echo "more" >>"$second/repo/asm-generic/errno.h"
  $git -C "$second/repo" commit -qam second
  $git -C "$first/repo" gc -q --prune=now
  $git clone -q "$second/repo" "$second/clone"
  $git -C "$second/clone" fsck --strict --full >/dev/null
  diff -r --exclude=.git "$first/repo" "$first/clone"
  [[ $($git -C "$first/clone" rev-list --count HEAD) == 2 ]]
}

step_compile() {
  mkdir -p "$first/src/common"
  cp "$tree"/common/{errc.cc,errc.h,clock.cc,clock.h} "$first/src/common/"
  (cd "$second/src" && g++ -std=c++20 -I. -c common/errc.cc -o errc.o &&
    g++ -std=c++20 -I. -c common/clock.cc -o clock.o && ar rcs libpart.a errc.o clock.o)
  cat >"$first/src/main.cc" <<'EOF'
#include <cstdio>
#include "common/errc.h"
int main() { std::puts(ringfs::Name(ringfs::Errc::kNotFound).data()); }
EOF
  (cd "$first/src" && g++ -std=c++20 -I. main.cc libpart.a -o main)
  [[ $("$second/src/main") == NotFound ]]
}

step_rsync() {
  rsync -a "$originals/" "$first/synced/"
  local changed
  changed=$(rsync -ai "$originals/" "$second/synced/" | wc -l)
  [[ $changed == 0 ]] || fail "the second rsync changes $changed entries"
}

step_sqlite() {
  local database=$first/base.db
  sqlite3 "$database" 'PRAGMA journal_mode=DELETE; CREATE TABLE t(id INTEGER PRIMARY KEY, who TEXT);' >/dev/null
  local pids=() i mount
  for mount in "$first" "$second" "$first" "$second"; do
    (
      for ((i = 0; i < 25; i++)); do
        sqlite3 -cmd '.timeout 60000' "$mount/base.db" "INSERT INTO t(who) VALUES('$mount');"
      done
    ) &
    pids+=($!)
  done
  for i in "${pids[@]}"; do wait "$i" || fail "a writer of the database failed"; done
  [[ $(sqlite3 "$second/base.db" 'SELECT count(*) FROM t;') == 100 ]]
  [[ $(sqlite3 "$first/base.db" 'PRAGMA integrity_check;') == ok ]]
}

step_sparse() {
  truncate -s 5G "$first/sparse"
  printf end | dd of="$first/sparse" bs=1 seek=$((5 * 1024 ** 3 - 3)) conv=notrunc status=none
  printf middle | dd of="$second/sparse" bs=1 seek=$((2 * 1024 ** 3)) conv=notrunc status=none
  [[ $(stat -c %s "$second/sparse") == $((5 * 1024 ** 3)) ]]
  [[ $(tail -c 3 "$second/sparse") == end ]]
  [[ $(dd if="$first/sparse" bs=1 skip=$((2 * 1024 ** 3)) count=6 status=none) == middle ]]
  # From the first data to the hole behind it: only a part of the file is data.
  python3 - "$second/sparse" <<'EOF'
import os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
size = os.fstat(fd).st_size
at = data = 0
while True:
    try:
        at = os.lseek(fd, at, os.SEEK_DATA)
    except OSError:
        break
    end = os.lseek(fd, at, os.SEEK_HOLE)
    data += end - at
    at = end
assert 0 < data < 64 << 20, data
EOF
  rm "$first/sparse"
}

step_many_files() {
  mkdir "$first/many"
  python3 - "$first/many" "$second/many" <<'EOF'
import os, sys
import threading
def make(folder, numbers):
    for i in numbers:
        os.close(os.open(f"{folder}/file-{i}", os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o644))
threads = [threading.Thread(target=make, args=(sys.argv[1 + t % 2], range(t, 50000, 8)))
           for t in range(8)]
[t.start() for t in threads]
[t.join() for t in threads]
for folder in sys.argv[1:]:
    names = os.listdir(folder)
    assert len(names) == 50000 == len(set(names)), len(names)
EOF
}

step_names() {
  python3 - "$first" "$second" <<'EOF'
import os, sys
first, second = (os.fsencode(p) for p in sys.argv[1:])
folder = b"/odd names"
os.mkdir(first + folder)
names = [b"n" * 255, bytes(range(1, 47)), bytes(range(128, 256)), b" ", b"-rf", b"new\nline", b"\xff\xfe"]
for name in names:
    with open(first + folder + b"/" + name, "wb") as f:
        f.write(name)
assert sorted(os.listdir(second + folder)) == sorted(names)
for name in names:
    with open(second + folder + b"/" + name, "rb") as f:
        assert f.read() == name
try:
    os.mkdir(first + folder + b"/" + b"n" * 256)
    raise SystemExit("a name of 256 bytes was taken")
except OSError as e:
    assert e.errno == 36, e
EOF
}

# 8 processes over two mounts, 1,000 times each.
step_counter() {
  echo 0 >"$first/counter"
  python3 - "$first/counter" "$second/counter" <<'EOF'
import fcntl, os, sys
def count(path):
    for _ in range(1000):
        fd = os.open(path, os.O_RDWR)
        fcntl.flock(fd, fcntl.LOCK_EX)
        value = int(os.pread(fd, 32, 0))
        os.pwrite(fd, b"%d\n" % (value + 1), 0)
        os.close(fd)
children = []
for i in range(8):
    pid = os.fork()
    if pid == 0:
        count(sys.argv[1 + i % 2])
        os._exit(0)
    children.append(pid)
assert all(os.waitpid(pid, 0)[1] == 0 for pid in children)
EOF
  [[ $(cat "$second/counter") == 8000 ]] || fail "the counter says $(cat "$second/counter")"
}

listing() { (cd "$1" && find . -printf '%P %y %m %s %l\n' | LC_ALL=C sort && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum); }

step_kill_all() {
  rm -rf "$first/many"
  ringfs sync "$first"
  listing "$first" >"$record"
  # shellcheck disable=SC2046  # numbers
  kill_hard $(cat "$data"/run/*.pid "$second.pid")
  up
  mount_again
  listing "$second" | cmp - "$record" || fail "something is not as it was before the kill"
}

mount_again() {
  umount -l "$second"
  mount_at "$second"
}

step_remove_all() {
  rm -rf "${first:?}"/*
  [[ -z $(ls -A "$second") ]]
  # The space comes back in the background.
  local used i
  for ((i = 0; i < 600; i++)); do
    used=$(ringfs status --master "$master" --json | python3 -c '
import json, sys
print(sum(s["blocks"] for s in json.load(sys.stdin)["servers"]))')
    [[ $used != 0 ]] || return 0
    read -rt 0.1 <> <(:) || true
  done
  fail "$used blocks are still stored a minute after everything was removed"
}

make_originals
up
mount_at "$second"
for name in ${STEPS:-untar git compile rsync sqlite sparse many_files names counter kill_all remove_all}; do
  step "$name"
done
say "$steps steps passed"
