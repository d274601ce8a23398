"""The filesystems that are compared: how each is started, mounted and ended.

Everything runs in the namespaces of bench/compare: paths that a peer has compiled in are covered by
folders of ours, and CPU time is that of all processes there whose program belongs to the system.
"""
import os
import shutil
import socket
import subprocess
import time

ADDRESS = "10.77.0.1"
NAMES = ["passthrough", "moosefs", "glusterfs", "ringfs"]
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
START_SECONDS = 30


class Failure(Exception):
    """What keeps the comparison from going on."""


def call(*command, **settings):
    done = subprocess.run(command, capture_output=True, text=True, **settings)
    if done.returncode != 0:
        raise Failure(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()[-1000:]}")
    return done.stdout


def wait_until(what, condition):
    deadline = time.monotonic() + START_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise Failure(f"{what}: not within {START_SECONDS} s")
        time.sleep(0.05)


def listens(port):
    try:
        socket.create_connection((ADDRESS, port), timeout=1).close()
        return True
    except OSError:
        return False


def cover(path, folder):
    """Shows an empty folder of ours at `path`, in this mount namespace only."""
    os.makedirs(folder, exist_ok=True)
    os.makedirs(path, exist_ok=True)
    call("mount", "--bind", folder, path)


class System:
    """A filesystem that is mounted at `mountpoint`. `programs` are the names of its processes."""

    name = ""
    title = ""
    programs = ()

    def __init__(self, folder, binaries):
        self.folder = os.path.join(folder, self.name)
        self.binaries = binaries
        self.mountpoint = os.path.join(self.folder, "mount")
        self.children = []
        os.makedirs(self.mountpoint)

    def start(self):
        raise NotImplementedError

    def mount(self):
        raise NotImplementedError

    def unmount(self):
        call("umount", self.mountpoint)
        wait_until(
            f"the client of {self.name} ends", lambda: self.mountpoint not in self._arguments()
        )

    def remount(self):
        """Afterwards nothing is cached by the client."""
        self.unmount()
        self.mount()

    def stop(self):
        if os.path.ismount(self.mountpoint):
            subprocess.run(["umount", "-l", self.mountpoint], check=False)
        for child in self.children:
            child.terminate()

    def show_logs(self):
        for name in sorted(os.listdir(self.folder)):
            path = os.path.join(self.folder, name)
            if name.endswith(".log") and os.path.getsize(path) > 0:
                with open(path, encoding="utf-8", errors="replace") as file:
                    print(f"--- {self.name}: {name}\n" + "".join(file.readlines()[-15:]), end="")

    def cpu_seconds(self):
        """What its processes that live have used so far."""
        ticks = 0
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
                    head, tail = file.read().rsplit(")", 1)
            except OSError:
                continue  # it has ended
            if head.split("(", 1)[1] in self.programs:
                fields = tail.split()
                ticks += int(fields[11]) + int(fields[12])
        return ticks / CLOCK_TICKS

    def _arguments(self):
        lines = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as file:
                    lines.append(file.read())
            except OSError:
                continue  # it has ended
        return "\n".join(line for line in lines if "umount" not in line and "python" not in line)

    def _launch(self, *command):
        log = open(os.path.join(self.folder, f"{os.path.basename(command[0])}.log"), "ab")
        self.children.append(
            subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        )

    def _wait_mounted(self):
        wait_until(f"{self.name} is mounted", lambda: os.path.ismount(self.mountpoint))

    def _write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def _make(self, name):
        path = os.path.join(self.folder, name)
        os.makedirs(path)
        return path


class Passthrough(System):
    """libfuse's example passthrough_ll, as Debian's libfuse3-dev has it: one copy, no network."""

    name = "passthrough"
    title = "FUSE pass-through"
    programs = ("passthrough_ll",)

    def start(self):
        source = "/usr/share/doc/libfuse3-dev/examples/passthrough_ll.c"
        self.program = os.path.join(self.folder, "passthrough_ll")
        flags = call("pkg-config", "--cflags", "--libs", "fuse3").split()
        call("gcc", "-O2", "-pthread", "-o", self.program, source, *flags)
        self.source = self._make("source")
        self.mount()

    def mount(self):
        self._launch(self.program, "-f", "-o", f"source={self.source},flock", self.mountpoint)
        self._wait_mounted()


class MooseFs(System):
    name = "moosefs"
    title = "MooseFS"
    programs = ("mfsmaster", "mfschunkserver", "mfsmount")
    PORTS = {"MATOML": 9419, "MATOCS": 9420, "MATOCL": 9421}

    def start(self):
        self._start_master()
        for number in range(3):
            self._start_chunkserver(number)
        self.mount()
        wait_until("three chunkservers of MooseFS", self._has_space)
        call("mfssetgoal", "-r", "2", self.mountpoint)

    def _start_master(self):
        data = self._make("master")
        with open(os.path.join(data, "metadata.mfs"), "w", encoding="utf-8") as file:
            file.write("MFSM NEW")
        exports = self._write("mfsexports.cfg", "* / rw,alldirs,maproot=0:0\n")
        listen = "".join(
            f"{name}_LISTEN_HOST = {ADDRESS}\n{name}_LISTEN_PORT = {port}\n"
            for name, port in self.PORTS.items()
        )
        config = self._write(
            "mfsmaster.cfg",
            "WORKING_USER = root\nWORKING_GROUP = root\n"
            f"DATA_PATH = {data}\nEXPORTS_FILENAME = {exports}\n{listen}",
        )
        self._launch("mfsmaster", "-f", "-c", config, "start")
        wait_until("MooseFS's master listens", lambda: listens(self.PORTS["MATOCL"]))

    def _start_chunkserver(self, number):
        disks = self._write(f"mfshdd{number}.cfg", self._make(f"disk{number}") + "\n")
        config = self._write(
            f"mfschunkserver{number}.cfg",
            "WORKING_USER = root\nWORKING_GROUP = root\n"
            f"DATA_PATH = {self._make(f'chunkserver{number}')}\nHDD_CONF_FILENAME = {disks}\n"
            f"MASTER_HOST = {ADDRESS}\nMASTER_PORT = {self.PORTS['MATOCS']}\n"
            f"BIND_HOST = {ADDRESS}\n"
            f"CSSERV_LISTEN_HOST = {ADDRESS}\nCSSERV_LISTEN_PORT = {9430 + number}\n",
        )
        self._launch("mfschunkserver", "-f", "-c", config, "start")

    def _has_space(self):
        # Three servers on one disk show it three times.
        disk = os.statvfs(self.folder)
        shown = os.statvfs(self.mountpoint)
        return shown.f_bavail * shown.f_frsize > 2.2 * disk.f_bavail * disk.f_frsize

    def mount(self):
        self._launch(
            "mfsmount", "-f", self.mountpoint, "-H", ADDRESS, "-P", str(self.PORTS["MATOCL"])
        )
        self._wait_mounted()


class GlusterFs(System):
    name = "glusterfs"
    title = "GlusterFS"
    programs = ("glusterd", "glusterfsd", "glusterfs")

    def start(self):
        for path in ("/var/lib/glusterd", "/var/log/glusterfs", "/run/gluster"):
            cover(path, os.path.join(self.folder, path.strip("/").replace("/", "-")))
        self._launch("glusterd", "--no-daemon")
        wait_until("glusterd answers", self._answers)
        bricks = [f"{ADDRESS}:{self._make(f'brick{i}')}" for i in range(2)]
        ask = ("gluster", "--mode=script", "volume")
        call(*ask, "create", "bench", "replica", "2", *bricks, "force")
        call(*ask, "start", "bench")
        self.mount()

    def _answers(self):
        asked = subprocess.run(["gluster", "volume", "list"], capture_output=True, check=False)
        return asked.returncode == 0

    def mount(self):
        self._launch(
            "glusterfs", "-N", f"--volfile-server={ADDRESS}", "--volfile-id=bench", self.mountpoint
        )
        self._wait_mounted()
        # It is mounted before it has reached its bricks.
        wait_until("GlusterFS answers", lambda: self._answers_stat())

    def _answers_stat(self):
        try:
            os.statvfs(self.mountpoint)
            return os.path.isdir(self.mountpoint)
        except OSError:
            return False

    def stop(self):
        super().stop()
        for number in range(2):
            shutil.rmtree(os.path.join(self.folder, f"brick{number}"), ignore_errors=True)


class RingFs(System):
    """One master and three chunkservers, as `ringfs up` makes them, and a mount by hand."""

    name = "ringfs"
    title = "ringfs"
    # As the kernel shows them: the first 15 letters.
    programs = ("ringfs-master", "ringfs-chunkser", "ringfs-mount")

    def start(self):
        self.up = self._make("up")
        self.data = self._make("data")
        call(f"{self.binaries}/ringfs", "up", self.up, "--data", self.data)
        with open(os.path.join(self.data, "master.address"), encoding="utf-8") as file:
            self.master = file.read().strip()
        self.mount()

    def mount(self):
        self._launch(f"{self.binaries}/ringfs-mount", self.master, self.mountpoint, "-f")
        self._wait_mounted()

    def stop(self):
        super().stop()
        subprocess.run(
            [f"{self.binaries}/ringfs", "down", self.up, "--data", self.data],
            capture_output=True,
            check=False,
        )


def make(name, folder, binaries):
    for kind in (Passthrough, MooseFs, GlusterFs, RingFs):
        if kind.name == name:
            return kind(folder, binaries)
    raise Failure(f"no system is called {name}")
