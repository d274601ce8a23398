#!/usr/bin/env bash
# Bits rot in the store of one of two chunkservers: scrub repairs them, fsck finds nothing wrong
# before and after, and finds what is wrong in between.
#   tests/cluster/rot_work.sh BIN
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh" "$1"

files() { (cd "$1" && find . -type f -print0 | sort -z | xargs -0 sha256sum); }

step_write() {
  local i
  for i in 1 2 3 4 5 6; do
    head -c $((i * 700000)) /dev/urandom >"$first/large$i"
    head -c $((i * 1000)) /dev/urandom >"$first/small$i"
  done
  files "$first" >"$work/sums"
  ringfs sync --master "$master" >/dev/null
  ringfs fsck --master "$master" >"$work/fsck.out" 2>&1 || fail "fsck of a healthy cluster: $(cat "$work/fsck.out")"
  ringfs scrub --master "$master" >"$work/scrub.out" 2>&1 || fail "scrub of a healthy cluster: $(cat "$work/scrub.out")"
}

# Bytes in the middle of what the large files have on the disks.
step_scrub() {
  python3 - "$data/chunkserver-2/data" <<'END'
import os, random, sys
random.seed(11)
flipped = 0
for name in sorted(os.listdir(sys.argv[1])):
    with open(os.path.join(sys.argv[1], name), "r+b") as file:
        at = 0
        while flipped < 50:
            try:
                at = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:
                break
            page = bytearray(os.pread(file.fileno(), 4096, at))
            if any(page):
                page[random.randrange(len(page))] ^= 1 << random.randrange(8)
                os.pwrite(file.fileno(), page, at)
                flipped += 1
            at += 65536
assert flipped > 10, flipped
END
  ringfs scrub --json --master "$master" >"$work/scrub.json" || fail "scrub: $(cat "$work/scrub.json")"
  python3 - "$work/scrub.json" <<'END'
import json, sys
servers = json.load(open(sys.argv[1]))["servers"]
bad = {s["server"]: (s["bad"], s["repaired"]) for s in servers}
assert sum(b for b, r in bad.values()) > 0, bad
assert all(b == r for b, r in bad.values()), bad
assert sum(b > 0 for b, r in bad.values()) == 1, bad
END
  ringfs status --master "$master" | grep -q '^rot .*repaired'
  ringfs fsck --master "$master" >/dev/null || fail "fsck after the scrub"
  files "$first" | cmp - "$work/sums"
}

# The other copy is what is left when the server that was not rotten goes.
step_alone() {
  kill_daemon chunkserver-1
  files "$first" | cmp - "$work/sums"
  if ringfs fsck --json --master "$master" >"$work/fsck.json" 2>"$work/fsck.log"; then
    fail "fsck finds two copies of everything where one server is left"
  fi
  [[ -s $work/fsck.json ]] || fail "fsck: $(cat "$work/fsck.log")"
  python3 - "$work/fsck.json" <<'END'
import json, sys
found = json.load(open(sys.argv[1]))
assert found["under_replicated"] > 0 or found["silent_servers"], found
assert found["lost"] == 0, found
END
}

up --chunkservers 2 --replicas 2
step write
step scrub
step alone
say "$steps steps"
