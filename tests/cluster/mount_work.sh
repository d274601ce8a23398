#!/usr/bin/env bash
# mount(8), /etc/fstab and the options of a mount.
#   tests/cluster/mount_work.sh BIN
# The links by which mount(8) finds us are laid over /usr/sbin in a mount namespace of our own.
if [[ -z ${RINGFS_TEST_NAMESPACE:-} ]]; then
  RINGFS_TEST_NAMESPACE=1 exec unshare --mount --propagation private "$0" "$@"
fi
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh" "$1"

options_of() { findmnt --noheadings --output OPTIONS --mountpoint "$1"; }

has_option() { # MOUNTPOINT WORD
  [[ ,$(options_of "$1"), == *,$2,* ]] || fail "$1 has no '$2': $(options_of "$1")"
}

step_mount() {
  [[ -z $(mount -t fuse.ringfs "$master:/" "$second" 2>&1) ]] || fail "mount(8) says something"
  [[ $(<"$second/home/ann/letter") == dear ]]
  umount "$second"
  mount -t ringfs "$master:/home/ann" "$second"
  [[ $(<"$second/letter") == dear ]]
  umount "$second"
  ! mountpoint -q "$second" || fail "still mounted"
}

# As mount -a does it when the machine starts.
step_fstab() {
  printf '%s\n' "$master:/ $second fuse.ringfs _netdev,nofail,noatime 0 0" \
    "$master:/home/ann $work/mount-ann fuse.ringfs _netdev,nofail,nosuid,timeout=20,x-systemd.automount 0 0" \
    >"$work/fstab"
  mkdir -p "$work/mount-ann"
  mount --all --fstab "$work/fstab" --types fuse.ringfs
  [[ $(<"$second/home/ann/letter") == dear && $(<"$work/mount-ann/letter") == dear ]]
  has_option "$second" noatime
  has_option "$work/mount-ann" nosuid
  umount "$second" "$work/mount-ann"
}

step_read_only() {
  mount -t fuse.ringfs -o ro "$master:/" "$second"
  has_option "$second" ro
  ! touch "$second/new" 2>"$work/err" || fail "a read-only mount was written to"
  grep -q 'Read-only' "$work/err"
  ! chmod 777 "$second/home" 2>/dev/null || fail "chmod on a read-only mount"
  umount "$second"
}

step_access_times() {
  local before after option
  for option in noatime strictatime; do
    mount -t fuse.ringfs -o "$option" "$master:/" "$second"
    before=$(stat -c %x "$second/home/ann/letter")
    cat "$second/home/ann/letter" >/dev/null
    after=$(stat -c %x "$second/home/ann/letter")
    if [[ $option == noatime ]]; then
      [[ $before == "$after" ]] || fail "read with noatime: $before, then $after"
    else
      [[ $before != "$after" ]] || fail "read with strictatime: still $before"
    fi
    umount "$second"
  done
}

step_set_ids_and_devices() {
  mount -t fuse.ringfs "$master:/" "$second"
  cp /usr/bin/id "$second/id"
  chmod 4755 "$second/id"
  mknod "$second/zero" c 1 5
  [[ $(setpriv --reuid 65534 --regid 65534 --clear-groups "$second/id" -u) == 0 ]] || fail "suid is not honoured"
  head -c 1 "$second/zero" >/dev/null
  umount "$second"
  mount -t fuse.ringfs -o nosuid,nodev "$master:/" "$second"
  [[ $(setpriv --reuid 65534 --regid 65534 --clear-groups "$second/id" -u) == 65534 ]] || fail "nosuid is not honoured"
  ! head -c 1 "$second/zero" >/dev/null 2>&1 || fail "nodev is not honoured"
  umount "$second"
}

step_other_users() {
  local user=(setpriv --reuid 65534 --regid 65534 --clear-groups)
  chmod 755 "$work"
  mount -t fuse.ringfs "$master:/" "$second"
  "${user[@]}" cat "$second/home/ann/letter" >/dev/null
  umount "$second"
  mount -t fuse.ringfs -o noallow_other "$master:/" "$second"
  ! "${user[@]}" cat "$second/home/ann/letter" >/dev/null 2>&1 || fail "noallow_other is not honoured"
  umount "$second"
}

# What was written before umount returned is there for the next one who mounts.
step_unmount_flushes() {
  mount -t fuse.ringfs "$master:/" "$second"
  head -c 3000000 /dev/urandom >"$work/bytes"
  cp "$work/bytes" "$second/bytes"
  umount "$second"
  cmp "$work/bytes" "$first/bytes"
}

# An unmounted client ends, also when it is asked just then to give back what it had cached.
step_clients_end() {
  local pid i
  for ((i = 0; i < 20; i++)); do
    mount_at "$second"
    pid=$(<"$second.pid")
    ls -lR "$second" >/dev/null
    cat "$second/home/ann/letter" >/dev/null
    umount "$second"
    chmod "7$((i % 8))5" "$first/home/ann/letter" "$first/home/ann"
    timeout 20 tail -f /dev/null --pid "$pid" || fail "the client $pid does not end"
  done
  for ((i = 0; i < 200; i++)); do
    pgrep -f "ringfs.* ($second|$work/mount-ann)( |\$)" >"$work/left" || return 0
    read -rt 0.1 <> <(:) || true
  done
  fail "clients are left: $(ps -o pid,args -p "$(paste -sd, "$work/left")")"
}

# A master that is not there: said at once, and again at the end.
step_no_master() {
  local nobody=127.0.0.1:1
  ! ringfs-mount "$nobody" "$second" -f -o timeout=6,log_level=error 2>"$work/err" || fail "mounted of nobody"
  [[ $(head -n 1 "$work/err") == "ringfs-mount: waits up to 6 s for the master at $nobody: Connection refused" ]] ||
    fail "$(cat "$work/err")"
  [[ $(tail -n 1 "$work/err") == "ringfs-mount: "*"$nobody: Connection refused" ]] || fail "$(cat "$work/err")"
  # The same when it is to go to the background; of a short wait the end is told alone.
  ! ringfs-mount "$nobody" "$second" -o timeout=1 2>"$work/err" || fail "mounted of nobody"
  [[ $(cat "$work/err") == "ringfs-mount: "*"$nobody: Connection refused" && $(wc -l <"$work/err") == 1 ]] ||
    fail "$(cat "$work/err")"
}

# `--help` lists what the parser takes.
step_help() {
  local word
  for word in ro noatime relatime suid dev allow_other subdir timeout session_ttl cache sync; do
    ringfs-mount --help | grep -qw -- "$word" || fail "--help does not list $word"
  done
}

mkdir "$work/mount-links"
mount -t tmpfs tmpfs "$work/mount-links"
mkdir "$work/mount-links/upper" "$work/mount-links/workdir"
mount -t overlay overlay -o "lowerdir=/usr/sbin,upperdir=$work/mount-links/upper,workdir=$work/mount-links/workdir" /usr/sbin
ln -sf "$bin/ringfs-mount" /usr/sbin/mount.ringfs
ln -sf "$bin/ringfs-mount" /usr/sbin/mount.fuse.ringfs

up
mkdir -p "$first/home/ann"
echo dear >"$first/home/ann/letter"
for name in mount fstab read_only access_times set_ids_and_devices other_users unmount_flushes clients_end no_master help; do
  step "$name"
done
say "$steps steps passed"
