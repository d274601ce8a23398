#!/usr/bin/env bash
# `ringfs up` and `ringfs down`: what they say, what they refuse, and what they leave.
#   tests/cluster/up_work.sh BIN
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh" "$1"

# field FILE EXPRESSION: of the JSON object `up` that FILE holds.
field() { python3 -c 'import json, sys; up = json.load(open(sys.argv[1])); print(eval(sys.argv[2]))' "$@"; }

# A program reads one object, and nothing else.
step_json() {
  ringfs up "$first" --data "$data" --json >"$work/up.json" 2>"$work/aside"
  master=$(cat "$data/master.address")
  [[ $(field "$work/up.json" 'up["master"]') == "$master" ]]
  [[ $(field "$work/up.json" 'up["mountpoint"]') == "$first" ]]
  [[ $(field "$work/up.json" 'up["data"], up["new"]') == "('$data', True)" ]]
  [[ $(field "$work/up.json" 'up["chunkservers"][2]["pid"]') == "$(cat "$data/run/chunkserver-3.pid")" ]]
  grep -q "is ready" "$work/aside" || fail "nothing for people"
  ringfs up "$first" --data "$data" --json >"$work/up.json" 2>/dev/null
  [[ $(field "$work/up.json" 'up["new"], len(up["chunkservers"])') == "(False, 3)" ]]
  echo word >"$first/file"
  ringfs sync "$first" --json >"$work/sync.json"
  [[ $(field "$work/sync.json" 'up["flushed"]') == 3 ]]
  ringfs backup "$work/backup" --master "$master" --json >"$work/backup.json"
  [[ $(field "$work/backup.json" 'up["bytes"]') == "$(stat -c %s "$work/backup")" ]]
  ringfs down "$first" --data "$data" --json >"$work/down.json" 2>"$work/aside"
  [[ $(field "$work/down.json" 'up["stopped"], up["data"]') == "(True, '$data')" ]]
  grep -q ended "$work/aside" || fail "nothing for people"
  ringfs down "$first" --data "$data" --json >"$work/down.json" 2>/dev/null
  [[ $(field "$work/down.json" 'up["stopped"]') == False ]]
}

# refused WORDS COMMAND...: it fails, and its one line has these words.
refused() {
  local words=$1
  shift
  ! "$@" >"$work/said" 2>"$work/refusal" || fail "went well: $*"
  [[ $(wc -l <"$work/refusal") == 1 ]] || fail "$*: $(cat "$work/refusal")"
  grep -qF -- "$words" "$work/refusal" || fail "$*: $(cat "$work/refusal")"
}

# A mount that `down` would leave is not called stopped.
step_down_of_another() {
  up
  refused "a ringfs ($master) is mounted at $first, but not by a cluster in $(default_data): name its folder with --data" \
    ringfs down "$first"
  [[ $(<"$first/file") == word ]]
  refused "not by a cluster in $work/empty" ringfs down "$first" --data "$work/empty"
  [[ ! -e $work/empty ]]
  # The same where the default folder has a cluster that does not run.
  mkdir -p "$(default_data)"
  sed 's/"master": .*/"master": "127.0.0.1:1",/' "$data/cluster.json" >"$(default_data)/cluster.json"
  refused "not by a cluster in $(default_data)" ringfs down "$first"
  rm -r "$(default_data)"
  [[ $(<"$first/file") == word ]]
  : >"$work/plain"
  refused "$work/plain is not a directory" ringfs down "$first" --data "$work/plain"
}

# Where `ringfs up` keeps what is mounted at $first, unless told.
default_data() { echo "/var/lib/ringfs/$(tr / - <<<"${first#/}")"; }

# Nothing is made for a cluster that could not be mounted, and the one that is there stays.
step_up_over_another() {
  refused "another ringfs ($master) is mounted at $first" ringfs up "$first"
  [[ ! -e $(default_data) ]] || fail "$(default_data) was made"
  refused "another ringfs" ringfs up "$first" --data "$work/other"
  [[ ! -e $work/other ]] || fail "$work/other was made"
  refused "$work/plain is not a directory" ringfs up "$first" --data "$work/plain"
  [[ $(<"$first/file") == word ]]
}

# The mount of a client that has died is the cluster's own.
step_dead_mount() {
  kill_daemon mount
  refused "another ringfs ($master) is mounted at $first" ringfs up "$first"
  up
  [[ $(<"$first/file") == word ]]
}

# until_good COMMAND...: tries it for a minute.
until_good() {
  local i
  for ((i = 0; i < 600; i++)); do
    ! "$@" >/dev/null 2>"$work/last" || return 0
    read -rt 0.1 <> <(:) || true
  done
  fail "never went well: $*: $(cat "$work/last")"
}

is_empty() { # SERVER'S ADDRESS
  ringfs ring --master "$master" --json >"$work/ring.json" &&
    [[ $(field "$work/ring.json" "sum(s['members'] for s in up['pools'][0]['servers'] if s['address'] == '$1')") == 0 ]]
}

take_away() { # SERVER'S ADDRESS
  ringfs servers drain "$1" --master "$master" >/dev/null
  until_good is_empty "$1"
  ringfs servers remove "$1" --master "$master" >/dev/null
}

address_of() { field "$data/cluster.json" "up['chunkservers'][$1 - 1]"; }

# A chunkserver that was removed is left out from then on, whether it runs or not.
step_removed() {
  refused "has 3 chunkservers" ringfs up "$first" --data "$data" --chunkservers 2
  take_away "$(address_of 3)"
  up --chunkservers 2
  grep -q "chunkserver-3 .*removed.* $data/chunkserver-3 can be deleted" "$work/up.log" || fail "$(cat "$work/up.log")"
  rm -r "$data/chunkserver-3"
  ringfs down "$first" --data "$data" >/dev/null
  up
  ! grep -q "chunkserver-3" "$work/up.log" || fail "$(cat "$work/up.log")"
  up --chunkservers 3
  grep -q "chunkserver-4 .*started" "$work/up.log" || fail "$(cat "$work/up.log")"
  [[ -d $data/chunkserver-4 && ! -e $data/chunkserver-3 ]]
  [[ $(<"$first/file") == word ]]
}

# The same of one that does not run when it is started next; as many as are asked for are there.
step_removed_and_replaced() {
  take_away "$(address_of 1)"
  ringfs down "$first" --data "$data" >/dev/null
  up --chunkservers 3
  grep -q "chunkserver-1 .*removed" "$work/up.log" || fail "$(cat "$work/up.log")"
  grep -q "chunkserver-5 .*started" "$work/up.log" || fail "$(cat "$work/up.log")"
  ringfs up "$first" --data "$data" --json >"$work/up.json" 2>/dev/null
  [[ $(field "$work/up.json" '[server["name"][-1] for server in up["chunkservers"]]') == "['2', '4', '5']" ]]
  [[ $(<"$first/file") == word ]]
}

# One that asks for fewer than there are, of a cluster that was down, leaves it down.
step_too_few() {
  ringfs down "$first" --data "$data" >/dev/null
  ! ringfs up "$first" --data "$data" --chunkservers 2 >"$work/said" 2>&1 || fail "went well"
  grep -q "has 3 chunkservers" "$work/said" || fail "$(cat "$work/said")"
  ringfs down "$first" --data "$data" | grep -q "nothing is running" || fail "something runs"
  up
}

# The scripts look at their words before they build.
step_scripts() {
  local scripts
  scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../scripts" && pwd)
  "$scripts/up" --help | grep -q -- '--chunkservers N .*(3)' || fail "no defaults"
  "$scripts/down" --help | grep -q -- '--data DIR' || fail "no --data"
  refused "scripts/up: unknown option '--datta'" "$scripts/up" --datta "$work/x"
  refused "scripts/down: unknown option '--wrong'" "$scripts/down" --wrong
  refused "'x' is not a number" "$scripts/up" "$work/x" --chunkservers x
  refused "$work/plain is not a directory" "$scripts/up" "$work/x" --data "$work/plain"
  refused "'x' is not a number" ringfs up "$work/x" --chunkservers x
}

for name in ${STEPS:-json down_of_another up_over_another dead_mount removed removed_and_replaced too_few scripts}; do
  step "$name"
done
say "$steps steps passed"
