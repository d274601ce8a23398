"""What names_work.sh does: changes of names while the master dies, and what must be left of them.

    names_steps.py work FOLDER SEED STOP RESULT     changes names until the file STOP is there
    names_steps.py compare RESULT FOLDER            compares FOLDER with what RESULT says
    names_steps.py row FOLDER SYNCED                makes files in order, until something fails
    names_steps.py prefix FOLDER SYNCED             what is left of the row has no gaps
"""
import json
import os
import random
import stat
import sys


class Worker:
    """Changes names in a folder that is nobody else's, and knows what is in it."""

    def __init__(self, folder, seed):
        self.folder = folder
        self.random = random.Random(seed)
        self.names = {}  # name: inode
        self.files = {}  # inode: mode, size, names
        self.made = 0

    def path(self, name):
        return os.path.join(self.folder, name)

    def make(self):
        name = f"f{self.made}"
        self.made += 1
        data = b"x" * self.random.choice([0, 1, 5000])
        with open(self.path(name), "xb") as file:
            file.write(data)
            inode = os.fstat(file.fileno()).st_ino
        if inode in self.files:
            sys.exit(f"{name} has the inode {inode} of another file")
        self.names[name] = inode
        self.files[inode] = {"mode": 0o644, "size": len(data), "links": 1}

    def drop(self, name):
        inode = self.names.pop(name)
        self.files[inode]["links"] -= 1
        if self.files[inode]["links"] == 0:
            del self.files[inode]

    def unlink(self):
        name = self.random.choice(list(self.names))
        os.unlink(self.path(name))
        self.drop(name)

    def rename(self):
        name, to = self.random.sample(list(self.names), 2)
        if self.random.random() < 0.5:
            to = f"r{self.made}"
            self.made += 1
        os.rename(self.path(name), self.path(to))
        if self.names.get(to) == self.names[name]:
            return  # two names of one file: both stay
        if to in self.names:
            self.drop(to)
        self.names[to] = self.names.pop(name)

    def link(self):
        name = self.random.choice(list(self.names))
        to = f"l{self.made}"
        self.made += 1
        os.link(self.path(name), self.path(to))
        self.names[to] = self.names[name]
        self.files[self.names[to]]["links"] += 1

    def chmod(self):
        name = self.random.choice(list(self.names))
        mode = self.random.choice([0o600, 0o640, 0o755])
        os.chmod(self.path(name), mode)
        self.files[self.names[name]]["mode"] = mode

    def step(self):
        few = len(self.names) < 5
        many = len(self.names) > 200
        changes = [self.make] if few else [self.unlink] if many else [
            self.make, self.make, self.unlink, self.rename, self.link, self.chmod]
        self.random.choice(changes)()


def work(folder, seed, stop, result):
    os.mkdir(folder)
    worker = Worker(folder, int(seed))
    steps = 0
    while not os.path.exists(stop):
        worker.step()
        steps += 1
    with open(result, "w", encoding="utf-8") as file:
        json.dump({"names": worker.names, "files": worker.files, "steps": steps}, file)
    print(f"{steps} changes")


def compare(result, folder):
    with open(result, encoding="utf-8") as file:
        expected = json.load(file)
    found = {}
    for entry in os.scandir(folder):
        found[entry.name] = entry.inode()
    if found != expected["names"]:
        sys.exit(f"names differ: {sorted(set(found.items()) ^ set(expected['names'].items()))[:10]}")
    for name, inode in found.items():
        state = os.stat(os.path.join(folder, name))
        file = expected["files"][str(inode)]
        seen = {"mode": stat.S_IMODE(state.st_mode), "size": state.st_size, "links": state.st_nlink}
        if state.st_ino != inode or seen != file:
            sys.exit(f"{name}: {seen} of inode {state.st_ino}, expected {file} of {inode}")
        with open(os.path.join(folder, name), "rb") as opened:
            if opened.read() != b"x" * file["size"]:
                sys.exit(f"{name}: other bytes")


def row(folder, synced):
    """Every hundredth file is synced, and then its number is written to `synced`."""
    os.mkdir(folder)
    directory = os.open(folder, os.O_RDONLY)
    os.fsync(directory)
    print("running", flush=True)
    for number in range(1_000_000):
        os.close(os.open(f"{folder}/{number}", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
        if number % 100 == 99:
            os.fsync(directory)
            with open(synced, "w", encoding="utf-8") as file:
                file.write(str(number))


def prefix(folder, synced):
    numbers = sorted(int(name) for name in os.listdir(folder))
    if numbers != list(range(len(numbers))):
        sys.exit("there are gaps: what was made later is there, and what was made before is not")
    with open(synced, encoding="utf-8") as file:
        last = int(file.read())
    if len(numbers) <= last:
        sys.exit(f"file {last} was synced, and only {len(numbers)} are left")
    print(f"{len(numbers)} files, {last + 1} of them synced")


if __name__ == "__main__":
    {"work": work, "compare": compare, "row": row, "prefix": prefix}[sys.argv[1]](*sys.argv[2:])
