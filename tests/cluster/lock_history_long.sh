#!/usr/bin/env bash
# lock_history_work.sh for ten minutes.
#   tests/cluster/lock_history_long.sh BIN [SEED]
exec "$(dirname "${BASH_SOURCE[0]}")/lock_history_work.sh" "$1" 600 ${2:+"$2"}
