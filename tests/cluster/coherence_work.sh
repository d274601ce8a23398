#!/usr/bin/env bash
# What one mount does is what the next call on another sees: through two mounts, and through four.
#   tests/cluster/coherence_work.sh BIN [ROUNDS [SEED]]
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh" "$1"
rounds=${2:-1500}
seed=${3:-$RANDOM}
here=$(dirname "${BASH_SOURCE[0]}")

run() {
  timeout 500 python3 "$here/coherence_steps.py" "$@" 2>"$work/step.err" ||
    fail "seed $seed: $(tail -n 5 "$work/step.err")"
}

step_two_mounts() { run "$seed" "$rounds" "$first" "$second"; }
step_moved_names() { run moved 50 "$first" "$second"; }
step_four_mounts() { run "$((seed + 1))" "$rounds" "$first" "$second" "$work/mount-3" "$work/mount-4"; }

up
mount_at "$second"
step moved_names
step two_mounts
mount_at "$work/mount-3"
mount_at "$work/mount-4"
step four_mounts
say "$steps steps passed (seed $seed)"
