#!/usr/bin/env bash
# What programs expect of a filesystem, each family by tests of our own, through two mounts.
#   tests/cluster/posix_work.sh BIN
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh" "$1"

step_conformance() {
  RINGFS_POSIX_DIR=$first RINGFS_POSIX_OTHER=$second posix_test >"$work/posix.out" 2>&1 || {
    grep -E '^\[  FAILED|Failure|Expected|Which is|Actual|^  ' "$work/posix.out" | head -n 60 >&2
    fail "posix_test"
  }
  [[ -z $(ls -A "$first") ]] || fail "the tests left something behind"
}

# Every kind of change is refused on a read-only mount, with the error that a local one gives.
step_read_only() {
  echo content >"$first/file"
  mount_at "$work/mount-ro" -o ro
  [[ $(cat "$work/mount-ro/file") == content ]]
  local change
  for change in 'echo x >FOLDER/new' 'echo x >>FOLDER/file' 'mkdir FOLDER/d' 'rm FOLDER/file' \
    'mv FOLDER/file FOLDER/g' 'ln FOLDER/file FOLDER/g' 'chmod 600 FOLDER/file' \
    'touch FOLDER/file' 'truncate -s 0 FOLDER/file' 'setfattr -n user.a FOLDER/file'; do
    # setfattr is not on every machine.
    ! [[ $change == setfattr* ]] || type setfattr >/dev/null 2>&1 || continue
    if bash -c "${change//FOLDER/$work/mount-ro}" 2>"$work/refused"; then
      fail "on a read-only mount: $change"
    fi
    grep -q 'Read-only file system' "$work/refused" || fail "$change: $(cat "$work/refused")"
  done
  rm "$first/file"
}

chmod 755 "$work"  # others than root work in it
up
mount_at "$second"
step conformance
step read_only
say "$steps steps passed"
