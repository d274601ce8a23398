"""Synced 4 KiB writes that can be checked afterwards, for the cluster tests that take servers away.

  synced_writes.py write FILE LOG STOP    writes and syncs places of FILE until STOP exists
  synced_writes.py watch FILE LOG STOP    reads one place after the other meanwhile, as another mount sees it
  synced_writes.py check FILE LOG         reads every place once
  synced_writes.py pause LOG FROM UNTIL   the longest time without a success (seconds of the system's clock)

LOG lies outside the filesystem. It has a line before each write (`t`, for tried) and one when it was
synced (`a`, for acknowledged): kind, time, place, number. What is read must be a whole write of that very
place, no older than the newest that was acknowledged before the read and one that was tried. Times are of
the monotonic clock, which all processes of a machine share.
"""

import hashlib
import os
import random
import sys
import time

PAGE = 4096
PLACES = 300
STRIDE = 1024 * 1024 + PAGE  # every place in another block, so that all servers have some


def content(place, number):
    """What write `number` puts at `place`: both in clear, and the rest following from them."""
    head = b"%012d %012d " % (place, number)
    return (head + hashlib.sha256(head).digest() * (PAGE // 32))[:PAGE]


class Log:
    """Follows the log of a writer: the newest number that was tried, and acknowledged, at each place."""

    def __init__(self, path):
        self.file = open(path, "rb")
        self.rest = b""
        self.tried = {}
        self.acknowledged = {}

    def follow(self):
        self.rest += self.file.read()
        *lines, self.rest = self.rest.split(b"\n")
        for line in lines:
            kind, _, place, number = line.split()
            known = self.acknowledged if kind == b"a" else self.tried
            known[int(place)] = int(number)


def write(path, log_path, stop):
    log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    number = 0
    while not os.path.exists(stop):
        number += 1
        place = random.randrange(PLACES)
        os.write(log, b"t %.6f %d %d\n" % (time.monotonic(), place, number))
        written = os.pwrite(fd, content(place, number), place * STRIDE)
        if written != PAGE:
            raise SystemExit(f"write {number} at {place}: {written} bytes of {PAGE}")
        os.fsync(fd)
        os.write(log, b"a %.6f %d %d\n" % (time.monotonic(), place, number))
    os.close(fd)


def verify(fd, place, log):
    log.follow()
    least = log.acknowledged.get(place, 0)
    data = os.pread(fd, PAGE, place * STRIDE)
    log.follow()
    most = log.tried.get(place, 0)
    if not data.strip(b"\0"):
        if least:
            raise SystemExit(f"place {place}: nothing ({len(data)} bytes), {least} was synced")
        return
    head = data[:26]
    try:
        number = int(head[13:25])
    except ValueError:
        raise SystemExit(f"place {place}: {head!r} is nobody's") from None
    if data != content(place, number):
        raise SystemExit(f"place {place}: {head!r} is not whole, {least} was synced, {most} tried")
    if not least <= number <= most:
        raise SystemExit(f"place {place}: {number}, when {least} was synced and {most} tried")


def watch(path, log_path, stop):
    log = Log(log_path)
    place = 0
    while not os.path.exists(stop):
        # Opened anew each time: also an open must come through.
        fd = os.open(path, os.O_RDONLY)
        verify(fd, place % PLACES, log)
        os.close(fd)
        place += 7
        time.sleep(0.05)  # nothing is waited for: a reader that spins would take a processor from the servers


def check(path, log_path):
    log = Log(log_path)
    fd = os.open(path, os.O_RDONLY)
    for place in range(PLACES):
        verify(fd, place, log)
    os.close(fd)


def pause(log_path, start, end):
    """The longest gap between two successes that touches the time from start to end."""
    longest, last = 0.0, None
    with open(log_path, "rb") as log:
        for line in log:
            kind, when, *_ = line.split()
            if kind != b"a":
                continue
            when = float(when)
            if last is not None and when >= start and last <= end:
                longest = max(longest, when - last)
            last = when
    if last is not None and last < end:
        longest = max(longest, end - last)
    print(f"{longest:.2f}")


if __name__ == "__main__":
    what, *arguments = sys.argv[1:]
    if what == "pause":
        pause(arguments[0], float(arguments[1]), float(arguments[2]))
    else:
        {"write": write, "watch": watch, "check": check}[what](*arguments)
