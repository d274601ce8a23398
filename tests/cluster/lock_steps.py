"""What tests/cluster/lock_work.sh does with locks: processes on two mounts, told what to do one by one.

lock_steps.py STEP FIRST SECOND MASTER: FIRST and SECOND are mounts, MASTER is an address.
"""
import errno
import fcntl
import json
import mmap
import os
import select
import signal
import statistics
import struct
import subprocess
import sys
import time
import traceback

OFD_GETLK, OFD_SETLK, OFD_SETLKW = 36, 37, 38
STRUCT_FLOCK = "hhqqi4x"
PATIENCE_S = 30


class Interrupted(Exception):
    """A signal ended a call."""


def raise_interrupted(_number, _frame):
    raise Interrupted()


class Worker:
    """A process with one open file, which does what it is told."""

    def __init__(self, path):
        to_child, self._requests = os.pipe()
        self._answers, from_child = os.pipe()
        self.path = path
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.close(self._requests)
                os.close(self._answers)
                self._serve(path, os.fdopen(to_child), os.fdopen(from_child, "w"))
            except BaseException:
                traceback.print_exc()
            os._exit(0)
        os.close(to_child)
        os.close(from_child)
        self._requests = os.fdopen(self._requests, "w")
        self._answers = os.fdopen(self._answers)
        self.now("open", path)

    # --- in the process

    def _serve(self, path, requests, answers):
        signal.signal(signal.SIGUSR1, raise_interrupted)
        self.files = [None]
        for line in requests:
            name, arguments = json.loads(line)
            try:
                result = getattr(self, "do_" + name)(*arguments)
                answer = {"result": result}
            except OSError as error:
                answer = {"error": error.errno}
            except Interrupted:
                answer = {"error": errno.EINTR}
            answer["at"] = time.monotonic_ns()
            answers.write(json.dumps(answer) + "\n")
            answers.flush()

    def do_open(self, path):
        self.files[0] = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)

    def do_open_another(self):
        self.files.append(os.open(self.path, os.O_RDWR))
        return len(self.files) - 1

    def do_close(self, file=0):
        os.close(self.files[file])

    def do_flock(self, how, file=0):
        fcntl.flock(self.files[file], how)

    def do_range(self, how, start, length, file=0):
        fcntl.lockf(self.files[file], how, length, start)

    def do_ofd(self, how, start, length, file=0):
        kind = {fcntl.LOCK_SH: fcntl.F_RDLCK, fcntl.LOCK_EX: fcntl.F_WRLCK, fcntl.LOCK_UN: fcntl.F_UNLCK}
        command = OFD_SETLK if how & fcntl.LOCK_NB else OFD_SETLKW
        lock = struct.pack(STRUCT_FLOCK, kind[how & ~fcntl.LOCK_NB], os.SEEK_SET, start, length, 0)
        fcntl.fcntl(self.files[file], command, lock)

    def do_who(self, start, length, command=fcntl.F_GETLK):
        lock = struct.pack(STRUCT_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, start, length, 0)
        kind, _, start, length, pid = struct.unpack(
            STRUCT_FLOCK, fcntl.fcntl(self.files[0], command, lock))
        return {fcntl.F_UNLCK: "nobody", fcntl.F_RDLCK: "shared", fcntl.F_WRLCK: "exclusive"}[
            kind], start, length, pid

    def do_write(self, text, offset=0, file=0):
        return os.pwrite(self.files[file], text.encode(), offset)

    def do_read(self, size, offset=0, file=0):
        return os.pread(self.files[file], size, offset).decode()

    def do_sync(self, file=0):
        os.fsync(self.files[file])

    def do_truncate(self, size, file=0):
        os.ftruncate(self.files[file], size)

    def do_map(self, file=0):
        self.map = mmap.mmap(self.files[file], 0)

    def do_store(self, text):
        self.map[:len(text)] = text.encode()

    def do_store_back(self):
        self.map.flush()

    # --- outside

    def start(self, name, *arguments):
        """Begins a call, which may take long."""
        self._requests.write(json.dumps([name, arguments]) + "\n")
        self._requests.flush()

    def answered(self, patience_s=0.0):
        return bool(select.select([self._answers], [], [], patience_s)[0])

    def finish(self, patience_s=PATIENCE_S):
        """The result of the call and when it came; an error of the system is raised."""
        if not self.answered(patience_s):
            raise SystemExit(f"pid {self.pid}: no answer within {patience_s} s")
        answer = json.loads(self._answers.readline())
        if "error" in answer:
            raise OSError(answer["error"], os.strerror(answer["error"]))
        return answer["result"], answer["at"]

    def now(self, name, *arguments):
        self.start(name, *arguments)
        return self.finish()[0]

    def fails(self, number, name, *arguments):
        """The call must fail with that error."""
        self.start(name, *arguments)
        self.finish_fails(number, f"{name}{arguments}")

    def finish_fails(self, number, name="the call"):
        try:
            result, _ = self.finish()
        except OSError as error:
            check(error.errno == number, f"{name}: {error}, not {os.strerror(number)}")
            return
        raise SystemExit(f"{name} gave {result}, not {os.strerror(number)}")

    def kill(self, number=signal.SIGKILL):
        os.kill(self.pid, number)
        if number == signal.SIGKILL:
            os.waitpid(self.pid, 0)


def check(condition, words):
    if not condition:
        raise SystemExit(words)


SH, EX, UN, NB = fcntl.LOCK_SH, fcntl.LOCK_EX, fcntl.LOCK_UN, fcntl.LOCK_NB


class Steps:
    def __init__(self, first, second, master, extra):
        self.first, self.second, self.master, self.extra = first, second, master, extra
        self.workers = []

    def end(self):
        for worker in self.workers:
            try:
                os.kill(worker.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def on(self, mount, name):
        worker = Worker(f"{mount}/{name}")
        self.workers.append(worker)
        return worker

    def locks(self, name):
        out = subprocess.run(
            ["ringfs", "locks", f"{self.first}/{name}", "--json", "--master", self.master],
            check=True, capture_output=True)
        return json.loads(out.stdout)["locks"]

    def start_waiting(self, worker, name, *call):
        """Begins a call that waits for a lock; returns when the master has it in its queue."""
        before = sum(lock["waiting"] for lock in self.locks(name))
        worker.start(*call)
        until = time.monotonic() + PATIENCE_S
        while sum(lock["waiting"] for lock in self.locks(name)) <= before:
            check(time.monotonic() < until, f"{call} does not wait: {self.locks(name)}")

    # --- the steps

    def exclusion(self):
        a, b, c = self.on(self.first, "f"), self.on(self.second, "f"), self.on(self.second, "f")
        a.now("flock", EX)
        b.fails(errno.EWOULDBLOCK, "flock", EX | NB)
        b.fails(errno.EWOULDBLOCK, "flock", SH | NB)
        a.now("flock", UN)
        b.now("flock", EX | NB)
        c.fails(errno.EWOULDBLOCK, "flock", EX | NB)
        b.now("close")  # frees as well
        c.now("flock", EX | NB)

    def upgrade(self):
        a, b = self.on(self.first, "up"), self.on(self.second, "up")
        a.now("flock", SH)
        b.now("flock", SH)
        self.start_waiting(a, "up", "flock", EX)
        b.now("flock", UN)
        a.finish()
        b.fails(errno.EWOULDBLOCK, "flock", SH | NB)
        self.start_waiting(b, "up", "flock", SH)
        a.now("flock", SH)  # a downgrade lets it in
        b.finish()
        a.fails(errno.EWOULDBLOCK, "flock", EX | NB)
        # The same with ranges, which keep what they had when an upgrade is refused.
        a.now("range", SH, 0, 10)
        b.now("range", SH, 0, 10)
        a.fails(errno.EAGAIN, "range", EX | NB, 0, 10)
        check(b.now("who", 0, 10)[0] == "shared", "a refused upgrade has cost the lock")
        b.now("range", UN, 0, 10)
        a.now("range", EX | NB, 0, 10)

    def ranges(self):
        a, b = self.on(self.first, "r"), self.on(self.second, "r")
        a.now("range", EX | NB, 0, 10)
        b.now("range", EX | NB, 10, 10)
        b.fails(errno.EAGAIN, "range", EX | NB, 5, 10)
        a.fails(errno.EAGAIN, "range", SH | NB, 0, 0)  # to the end
        a.now("range", UN, 4, 2)
        b.now("range", EX | NB, 4, 2)
        b.fails(errno.EAGAIN, "range", EX | NB, 3, 1)
        b.fails(errno.EAGAIN, "range", EX | NB, 6, 1)
        self.start_waiting(b, "r", "range", EX, 0, 4)
        a.now("range", UN, 6, 4)
        check(not b.answered(), "granted though another part was freed")
        a.now("range", UN, 0, 1)
        check(not b.answered(), "granted though only a part was freed")
        a.now("range", UN, 0, 4)
        b.finish()
        # Any close of the file by the process frees all it had.
        other = b.now("open_another")
        b.now("close", other)
        a.now("range", EX | NB, 0, 0)

    def descriptions(self):
        """OFD locks: of the open file, not of the process."""
        a, b = self.on(self.first, "o"), self.on(self.second, "o")
        other = a.now("open_another")
        a.now("ofd", EX | NB, 0, 10)
        a.fails(errno.EAGAIN, "ofd", EX | NB, 0, 10, other)
        a.fails(errno.EAGAIN, "range", EX | NB, 0, 10)
        b.fails(errno.EAGAIN, "ofd", EX | NB, 9, 1)
        a.now("close", other)
        b.fails(errno.EAGAIN, "ofd", EX | NB, 9, 1)
        self.start_waiting(b, "o", "ofd", EX, 0, 5)
        a.now("close")
        b.finish()

    def owners(self):
        a, b = self.on(self.first, "w"), self.on(self.second, "w")
        a.now("range", EX, 100, 50)
        b.now("range", SH, 300, 0)
        check(b.now("who", 0, 0) == ["exclusive", 100, 50, a.pid], f"{b.now('who', 0, 0)}")
        check(a.now("who", 0, 0) == ["shared", 300, 0, b.pid], f"{a.now('who', 0, 0)}")
        check(b.now("who", 0, 100)[0] == "nobody", "a lock where there is none")

    def signals(self):
        a, b, c = self.on(self.first, "i"), self.on(self.second, "i"), self.on(self.second, "i")
        for kind in (("flock", EX), ("range", EX, 0, 0), ("ofd", EX, 0, 0)):
            a.now(*kind)
            self.start_waiting(b, "i", *kind)
            b.kill(signal.SIGUSR1)
            b.finish_fails(errno.EINTR, f"an interrupted {kind}")
            check(len(self.locks("i")) == 1, f"the wait is still there: {self.locks('i')}")
            a.now(kind[0], UN, *kind[2:])
            c.now(kind[0], EX | NB, *kind[2:])
            c.now(kind[0], UN, *kind[2:])

    def cycle(self):
        a, b, c = self.on(self.first, "c"), self.on(self.second, "c"), self.on(self.first, "c")
        a.now("range", EX, 0, 1)
        b.now("range", EX, 1, 1)
        c.now("range", EX, 2, 1)
        self.start_waiting(a, "c", "range", EX, 1, 1)
        self.start_waiting(b, "c", "range", EX, 2, 1)
        c.fails(errno.EDEADLK, "range", EX, 0, 1)
        c.now("range", UN, 2, 1)
        b.finish()
        b.now("range", UN, 0, 0)
        a.finish()

    def killed_holder(self):
        for kind in (("flock", EX), ("range", EX, 0, 0), ("ofd", EX, 0, 0)):
            a, b = self.on(self.first, "k"), self.on(self.second, "k")
            b.now(*kind)
            self.start_waiting(a, "k", *kind)
            b.kill()
            a.finish(5)
            a.now("close")
        # One that waits when it is killed is not served.
        a, b, c = self.on(self.first, "k"), self.on(self.second, "k"), self.on(self.second, "k")
        a.now("flock", EX)
        self.start_waiting(b, "k", "flock", EX)
        self.start_waiting(c, "k", "flock", EX)
        b.kill()
        a.now("flock", UN)
        c.finish(5)

    def stopped_mount(self):
        """The mount that holds stands still; EXTRA: its client's pid, and its log."""
        client, log = int(self.extra[0]), self.extra[1]
        os.mkdir(f"{self.first}/dir")
        name = "dir/stopped"
        a, free = self.on(self.second, name), self.on(self.second, "free")
        a.now("flock", EX)
        a.now("write", "of the first holder")
        free.now("write", "before")
        free.now("sync")  # what is held back would be lost with the session
        ranged, waiter = self.on(self.second, "ranged"), self.on(self.second, "awaited")
        ranged.now("range", EX, 5, 5)
        here = self.on(self.first, "awaited")
        here.now("flock", EX)
        self.start_waiting(waiter, "awaited", "flock", EX)
        b = self.on(self.first, name)
        self.start_waiting(b, name, "flock", EX)
        mapped, mapped_here = self.on(self.second, "mapped"), self.on(self.first, "mapped")
        mapped.now("write", "of the first holder")
        mapped.now("map")
        mapped.now("flock", EX)
        # The kernel writes pages back by the open file that was mapped last.
        unlocked = self.on(self.second, "mapped")
        mapped.now("store", "LATE")
        unlocked.now("map")
        c = self.on(self.first, "ranged")

        os.kill(client, signal.SIGSTOP)
        stopped = time.monotonic()
        try:
            a.start("write", "LATE", 3)
            b.finish()
            waited = time.monotonic() - stopped
            b.now("write", "of the second holder")
            c.now("range", EX, 0, 0)
            mapped_here.now("flock", EX)
            mapped_here.now("write", "of the other holder")
        finally:
            os.kill(client, signal.SIGCONT)
        print(f"   the lock of a mount that stood still passed on after {waited:.1f} s")
        check(waited > 2, "it passed on before its time")
        a.finish_fails(errno.EIO, "the write that was under way")
        for call in (("read", 4), ("write", "LATE"), ("sync",), ("truncate", 3), ("flock", EX | NB),
                     ("flock", UN), ("who", 0, 0)):
            a.fails(errno.EIO, *call)
        ranged.fails(errno.EIO, "write", "LATE")
        mapped.fails(errno.EIO, "store_back")
        check(mapped_here.now("read", 100) == "of the other holder", mapped_here.now("read", 100))
        b.now("sync")
        check(b.now("read", 100) == "of the second holder", b.now("read", 100))
        free.now("write", "after", 6)
        check(free.now("read", 100) == "beforeafter", "the file that was not locked")
        here.now("flock", UN)
        waiter.finish()
        waiter.now("write", "x")

        try:
            a.now("close")
        except OSError as error:
            check(error.errno == errno.EIO, f"close: {error}")
        a.now("open", a.path)
        check(a.now("read", 100) == "of the second holder", "after it was opened again")
        a.fails(errno.EWOULDBLOCK, "flock", EX | NB)
        b.now("flock", UN)
        a.now("flock", EX)
        a.now("write", "of the third holder!")
        check(b.now("read", 100) == "of the third holder!", "what came after")
        with open(log) as lines:
            check(any("/dir/stopped" in line for line in lines), "the log does not name the file")

    def killed_master(self):
        """EXTRA: the master's pid and the command that starts it again."""
        a, b, c = self.on(self.first, "m"), self.on(self.second, "m"), self.on(self.second, "m")
        ranged = self.on(self.second, "m2")
        a.now("flock", EX)
        ranged.now("range", EX, 7, 3)
        self.start_waiting(b, "m", "flock", EX)
        os.kill(int(self.extra[0]), signal.SIGKILL)
        while os.path.exists(f"/proc/{self.extra[0]}"):
            time.sleep(0.01)  # until then it counts as one that runs
        subprocess.run(self.extra[1:], check=True, stdout=subprocess.DEVNULL)
        c.fails(errno.EWOULDBLOCK, "flock", EX | NB)
        check(not b.answered(), "granted without an unlock")
        kinds = sorted((lock["waiting"], lock["pid"]) for lock in self.locks("m"))
        check(kinds == sorted([(False, a.pid), (True, b.pid)]), f"{kinds}")
        check(self.on(self.first, "m2").now("who", 0, 0) == ["exclusive", 7, 3, ranged.pid], "m2")
        a.now("write", "still held")
        a.now("flock", UN)
        b.finish()
        check(b.now("read", 100) == "still held", b.now("read", 100))

    def listed(self):
        a, b = self.on(self.first, "l"), self.on(self.second, "l")
        a.now("range", EX, 10, 20)
        self.start_waiting(b, "l", "range", SH, 0, 0)
        held, waiting = sorted(self.locks("l"), key=lambda lock: lock["waiting"])
        for lock, worker, mount in ((held, a, self.first), (waiting, b, self.second)):
            check(lock["path"] == "/l" and lock["pid"] == worker.pid, f"{lock}")
            check(lock["mountpoint"] == mount and lock["host"] == os.uname().nodename, f"{lock}")
        check((held["start"], held["last"], held["type"]) == (10, 29, "exclusive"), f"{held}")
        check(waiting["type"] == "shared", f"{waiting}")

    def broken(self):
        a, b = self.on(self.second, "b"), self.on(self.first, "b")
        a.now("flock", EX)
        a.now("write", "of the first holder")
        self.start_waiting(b, "b", "flock", EX)
        session = next(lock["session"] for lock in self.locks("b") if not lock["waiting"])
        started = time.monotonic()
        subprocess.run(["ringfs", "locks", "break", str(session), "--master", self.master], check=True,
                       stdout=subprocess.DEVNULL)
        b.finish()
        print(f"   a broken lock passed on after {time.monotonic() - started:.2f} s")
        b.now("write", "of the second holder")
        a.fails(errno.EIO, "write", "LATE")
        check(b.now("read", 100) == "of the second holder", b.now("read", 100))
        again = self.on(self.second, "b")
        again.fails(errno.EWOULDBLOCK, "flock", EX | NB)
        b.now("flock", UN)
        again.now("flock", EX)

    def crowd(self):
        """Many processes wait for one range, some of them are killed: the others have it in order."""
        holder = self.on(self.first, "crowd")
        holder.now("range", EX, 0, 8)
        holder.now("write", "0000")
        waiters = [self.on(self.second if number % 2 else self.first, "crowd") for number in range(60)]
        for waiter in waiters:
            self.start_waiting(waiter, "crowd", "range", EX, 0, 8)
        killed, left = waiters[::5], [waiter for number, waiter in enumerate(waiters) if number % 5]
        for waiter in killed:
            waiter.kill()
        started = time.monotonic()
        holder.now("range", UN, 0, 0)
        for number, waiter in enumerate(left):
            waiter.finish()
            check(not any(later.answered() for later in left[number + 1:]), "two have it")
            count = int(waiter.now("read", 4))
            check(count == number, f"waiter {number} finds {count}")
            waiter.now("write", f"{number + 1:04}")
            waiter.now("range", UN, 0, 8)
        taken_ms = (time.monotonic() - started) * 1000 / len(left)
        print(f"   {len(left)} of {len(waiters)} waiters, on two mounts, have had it one after the other "
              f"({taken_ms:.1f} ms each)")
        check(not self.locks("crowd"), f"{self.locks('crowd')}")

    def asked(self):
        """How many requests the master has had from mounts."""
        out = subprocess.run(["ringfs", "stats", "--json", "--master", self.master], check=True,
                             capture_output=True)
        metrics = json.loads(out.stdout)[0]["metrics"]
        return sum(metric["value"] for metric in metrics
                   if metric["name"] == "ringfs_calls_total" and metric["label_value"] == "meta")

    def leased(self):
        """Locks that nobody else wants cost no request, and the other mount is excluded all the same."""
        fds = [os.open(f"{self.first}/lease", os.O_RDWR | os.O_CREAT) for _ in range(2)]
        other = self.on(self.second, "lease")
        fcntl.flock(fds[0], EX)
        fcntl.flock(fds[0], UN)
        before = self.asked()
        check(before > 0, "requests are not counted")
        for _ in range(1000):
            fcntl.flock(fds[0], EX)
            try:
                fcntl.flock(fds[1], SH | NB)
                raise SystemExit("two have it")
            except BlockingIOError:
                pass
            fcntl.flock(fds[0], UN)
            fcntl.flock(fds[1], SH)
            fcntl.flock(fds[1], UN)
        asked = self.asked() - before
        print(f"   {asked:.0f} requests for 2,000 locks and unlocks")
        check(asked < 50, "they are asked for")
        for turn in range(20):
            fcntl.flock(fds[0], EX)
            other.fails(errno.EWOULDBLOCK, "flock", EX | NB)
            fcntl.flock(fds[0], UN)
            other.now("flock", EX | NB)
            try:
                fcntl.flock(fds[1], SH | NB)
                raise SystemExit("two have it")
            except BlockingIOError:
                pass
            other.now("flock", UN)
            if turn == 10:
                time.sleep(1.2)  # long enough for the lease to be given again
        os.close(fds[0])
        os.close(fds[1])

    def latency(self):
        workers = [self.on(self.first, "t"), self.on(self.second, "t")]
        taken_ms = []
        workers[0].now("flock", EX)
        for turn in range(50):
            holder, waiter = workers[turn % 2], workers[1 - turn % 2]
            self.start_waiting(waiter, "t", "flock", EX)
            before = time.monotonic_ns()
            holder.now("flock", UN)
            taken_ms.append((waiter.finish()[1] - before) / 1e6)
        median = statistics.median(taken_ms)
        print(f"   a waiter on the other mount has the lock {median:.2f} ms after the unlock began "
              f"(median of {len(taken_ms)}; {max(taken_ms):.2f} ms at most)")
        check(median < 5, "it takes too long")


def main():
    step, first, second, master = sys.argv[1:5]
    steps = Steps(first, second, master, sys.argv[5:])
    try:
        getattr(steps, step)()
    finally:
        steps.end()


main()
