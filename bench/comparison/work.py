"""The work that is measured: one row of the table each."""
import json
import os
import resource
import shutil
import subprocess
import time
from dataclasses import dataclass
from typing import Callable

from comparison.systems import Failure

LARGE_BYTES = 512 << 20
FIO_SECONDS = 2
DBENCH_SECONDS = 5
# Small files of all threads together.
SMALL_FILES = 400
# Passes of what leaves everything as it was.
PASSES = 5


@dataclass
class Row:
    """`prepare` makes ready what `run` needs, unless it is there; `run` returns the figure."""

    name: str
    title: str
    unit: str
    run: Callable
    prepare: Callable = lambda context, system: None
    more_is_better: bool = True
    without: tuple = ()  # systems that cannot do it


@dataclass
class Measure:
    value: float
    cpu_seconds: float


class Context:
    """What rows work with: the programs, a source tree as a tar file, folders on each system."""

    def __init__(self, root, folder, binaries):
        self.binaries = binaries
        self.tar = os.path.join(folder, "source.tar")
        with open(self.tar, "wb") as file:
            subprocess.run(["git", "-C", root, "archive", "HEAD"], stdout=file, check=True)

    def measure(self, row, system):
        row.prepare(self, system)
        os.sync()  # what others have left behind shall not be written in our time
        system_before, own_before = system.cpu_seconds(), self._own_seconds()
        value = row.run(self, system)
        spent = system.cpu_seconds() - system_before + self._own_seconds() - own_before
        return Measure(value, spent)

    @staticmethod
    def _own_seconds():
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    @staticmethod
    def place(system, name):
        path = os.path.join(system.mountpoint, name)
        os.makedirs(path, exist_ok=True)
        return path

    @staticmethod
    def clear(system, name):
        shutil.rmtree(os.path.join(system.mountpoint, name), ignore_errors=True)

    def files(self, operation, folder, *options):
        """Runs bench/file_bench and returns the units a second."""
        command = [f"{self.binaries}/file_bench", operation, folder] + [str(o) for o in options]
        units, seconds = call(command).split()
        return int(units) / float(seconds)


def call(command, **settings):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **settings)
    if done.returncode != 0:
        raise Failure(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()[-1000:]}")
    return done.stdout


def seconds_of(command, folder):
    begin = time.monotonic()
    call(["sh", "-ec", command], cwd=folder)
    return time.monotonic() - begin


# --- large files


def sequential_write(threads):
    def run(context, system):
        folder = context.place(system, f"large{threads}")
        size = LARGE_BYTES // threads
        return context.files(
            "sequential-write", folder, "--threads", threads, "--bytes", size
        ) / 1e6

    return run


def write_large(threads):
    """The files of a row that reads them, read once by a client that then goes: servers are warm."""

    def prepare(context, system):
        folder = context.place(system, f"large{threads}")
        if not os.path.exists(os.path.join(folder, f"large{threads - 1}")):
            sequential_write(threads)(context, system)
        context.files("sequential-read", folder, "--threads", threads)
        system.remount()

    return prepare


def sequential_read(threads):
    def run(context, system):
        folder = os.path.join(system.mountpoint, f"large{threads}")
        return context.files("sequential-read", folder, "--threads", threads) / 1e6

    return run


def fio(mode, jobs, direct, *options):
    def run(context, system):
        path = os.path.join(context.place(system, "large1"), "large0")
        command = ["fio", "--name=job", f"--filename={path}", f"--rw={mode}", "--bs=4k"]
        command += [f"--numjobs={jobs}", f"--direct={direct}", "--ioengine=psync", "--thread"]
        command += ["--group_reporting", "--time_based", f"--runtime={FIO_SECONDS}"]
        command += ["--output-format=json", "--fallocate=none", "--norandommap", *options]
        result = json.loads(call(command))["jobs"][0]
        return result["read" if mode == "randread" else "write"]["iops"]

    return run


def direct_write(name, title, jobs):
    # passthrough_ll hands its buffers on as they are, which the disk refuses: they are not aligned.
    run = fio("randwrite", jobs, 1)
    return Row(name, title, "/s", run, have_large, without=("passthrough",))


def have_large(context, system):
    if not os.path.exists(os.path.join(system.mountpoint, "large1", "large0")):
        sequential_write(1)(context, system)


# --- small files


def small(operation, threads, passes=1):
    def run(context, system):
        folder = context.place(system, f"small{threads}")
        files = SMALL_FILES // threads
        return context.files(
            operation, folder, "--threads", threads, "--files", files, "--passes", passes
        )

    return run


def have_small(threads, kind="f"):
    """Small files with their 4 KiB, under the names that `kind` says."""

    def prepare(context, system):
        folder = context.place(system, f"small{threads}")
        if os.path.exists(os.path.join(folder, f"{kind}0.0")):
            return
        context.clear(system, f"small{threads}")
        small("create", threads)(context, system)
        small("write", threads)(context, system)
        if kind == "g":
            small("rename", threads)(context, system)

    return prepare


def no_small(threads):
    return lambda context, system: context.clear(system, f"small{threads}")


def small_rows(threads):
    suffix = "" if threads == 1 else f"-{threads}"
    who = "1 thread" if threads == 1 else f"{threads} threads"

    def row(name, operation, title, prepare, passes=1):
        return Row(f"{name}{suffix}", f"{title}, {who}", "/s", small(operation, threads, passes), prepare)

    files = have_small(threads)
    return [
        row("create", "create", "create", no_small(threads)),
        row("write", "write", "open, write 4 KiB, close", files),
        row("stat", "stat", "stat", files, PASSES),
        row("read", "read", "open, read 4 KiB, close", files, PASSES),
        row("list", "list", "list with attributes, entries", files, PASSES),
        row("chmod", "chmod", "chmod", files),
        row("rename", "rename", "rename", files),
        row("unlink", "unlink", "unlink", have_small(threads, "g")),
    ]


def lock(operation, threads):
    def run(context, system):
        return context.files(operation, context.place(system, "locks"), "--threads", threads)

    return run


# --- a source tree


def have_tree(name):
    def prepare(context, system):
        folder = context.place(system, name)
        if not os.listdir(folder):
            call(["tar", "-xf", context.tar, "-C", folder])

    return prepare


def no_tree(name):
    return lambda context, system: context.clear(system, name)


def untar(context, system):
    return seconds_of(f"tar -xf {context.tar}", context.place(system, "tree"))


def in_tree(command):
    return lambda context, system: seconds_of(command, os.path.join(system.mountpoint, "tree"))


def in_mount(command):
    return lambda context, system: seconds_of(command, system.mountpoint)


GIT = "git -c user.name=bench -c user.email=bench@localhost -c gc.auto=0"


def prepare_git(context, system):
    have_tree("tree")(context, system)
    context.clear(system, "tree/.git")
    call(["git", "init", "-q", os.path.join(system.mountpoint, "tree")])


def prepare_copy(context, system):
    have_tree("tree")(context, system)
    context.clear(system, "copy")


def have_copy(context, system):
    have_tree("tree")(context, system)
    if not os.path.exists(os.path.join(system.mountpoint, "copy")):
        call(["cp", "-r", "tree", "copy"], cwd=system.mountpoint)


def dbench(context, system):
    folder = context.place(system, "dbench")
    out = call(["dbench", "-D", folder, "-t", str(DBENCH_SECONDS), "4"])
    line = next(line for line in out.splitlines() if line.startswith("Throughput"))
    return float(line.split()[1])


def seconds(name, title, run, prepare):
    return Row(name, title, "s", run, prepare, more_is_better=False)


ROWS = [
    Row("seqwrite", "sequential write + fsync", "MB/s", sequential_write(1)),
    Row("seqwrite-4", "the same, 4 files at once", "MB/s", sequential_write(4)),
    Row("seqread", "sequential read, client cold", "MB/s", sequential_read(1), write_large(1)),
    Row("seqread-4", "the same, 4 files at once", "MB/s", sequential_read(4), write_large(4)),
    Row("randread", "random 4 KiB read O_DIRECT, 1 job", "/s", fio("randread", 1, 1), have_large),
    Row("randread-16", "the same, 16 jobs", "/s", fio("randread", 16, 1), have_large),
    direct_write("randwrite", "random 4 KiB write O_DIRECT, 1 job", 1),
    direct_write("randwrite-16", "the same, 16 jobs", 16),
    Row(
        "fdatasync",
        "4 KiB write + fdatasync",
        "/s",
        fio("randwrite", 1, 0, "--fdatasync=1"),
        have_large,
    ),
    *small_rows(1),
    *small_rows(8),
    Row("flock", "flock + unlock, own file", "/s", lock("lock-own", 1)),
    Row("flock-8", "the same, 8 threads", "/s", lock("lock-own", 8)),
    Row("flock-shared-8", "flock + unlock, shared file, 8 threads", "/s", lock("lock-shared", 8)),
    seconds("untar", "untar a source tree", untar, no_tree("tree")),
    seconds("cp", "cp -r", in_mount("cp -r tree copy"), prepare_copy),
    seconds("grep", "grep -r", in_mount("grep -r no_such_word tree || true"), have_tree("tree")),
    seconds(
        "git", "git add + commit", in_tree(f"{GIT} add -A && {GIT} commit -qm all"), prepare_git
    ),
    seconds("rm", "rm -rf", in_mount("rm -rf copy"), have_copy),
    Row("dbench", "dbench, 4 clients", "MB/s", dbench),
]
