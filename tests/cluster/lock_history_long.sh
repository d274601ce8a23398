#!/usr/bin/env bash
# lock_history_work.sh for ten minutes, then for as long with chunkservers that are killed.
#   tests/cluster/lock_history_long.sh BIN [SEED]
set -euo pipefail
work=$(dirname "${BASH_SOURCE[0]}")/lock_history_work.sh
seed=${2:-$RANDOM}
"$work" "$1" 600 "$seed"
"$work" "$1" 600 "$seed" kill
