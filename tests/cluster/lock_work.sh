#!/usr/bin/env bash
# Locks across two mounts: exclusion, waits, signals, deadlocks, and what becomes of them when processes,
# mounts and the master are killed or stopped. What is done and expected is in lock_steps.py.
#   tests/cluster/lock_work.sh BIN
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh" "$1"
here=$(dirname "${BASH_SOURCE[0]}")

run() { # STEP [MORE...]
  local name=$1
  shift
  timeout 120 python3 "$here/lock_steps.py" "$name" "$first" "$second" "$master" "$@" 2>"$work/step.err" ||
    fail "$name: $(tail -n 12 "$work/step.err")"
}

step_exclusion() { run exclusion; }
step_upgrade() { run upgrade; }
step_ranges() { run ranges; }
step_descriptions() { run descriptions; }
step_owners() { run owners; }
step_signals() { run signals; }
step_cycle() { run cycle; }
step_killed_holder() { run killed_holder; }
step_stopped_mount() { run stopped_mount "$(cat "$second.pid")" "$second.log"; }
step_killed_master() { run killed_master "$(cat "$data/run/master.pid")" ringfs up "$first" --data "$data"; }
step_listed() { run listed; }
step_broken() { run broken; }
step_crowd() { run crowd; }
step_leased() { run leased; }
step_latency() { run latency; }

up
mount_at "$second" -o session_ttl=3
for name in exclusion upgrade ranges descriptions owners signals cycle killed_holder stopped_mount \
  killed_master listed broken crowd leased latency; do
  step "$name"
done
say "$steps steps passed"
