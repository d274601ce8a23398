"""What coherence_work.sh does: one process changes things through one mount and looks through the others.

    coherence_steps.py SEED ROUNDS MOUNT MOUNT...
    coherence_steps.py moved ROUNDS MOUNT MOUNT

Each round changes something through one mount, at random, and looks at it through each of the others with
caches that were filled before: what the next call sees must be what was done. A model knows what that is.
"""
import os
import random
import stat
import sys


class Model:
    """Files and directories below a folder that all mounts have."""

    def __init__(self, seed, mounts):
        self.random = random.Random(seed)
        self.mounts = mounts
        self.root = f"coherence-{seed}"
        os.mkdir(os.path.join(mounts[0], self.root))
        self.directories = {"": set()}  # path: names of files and directories in it
        self.files = {}  # path: what it is; names of one file share it
        self.open = []  # descriptors of files that were removed since, and their contents
        self.made = 0

    def at(self, mount, path):
        return os.path.join(self.mounts[mount], self.root, path)

    def name(self):
        self.made += 1
        return f"n{self.made % 40}"

    def some_directory(self):
        return self.random.choice(list(self.directories))

    def some_file(self):
        return self.random.choice(list(self.files)) if self.files else None

    def free_path(self):
        folder, name = self.some_directory(), self.name()
        path = f"{folder}/{name}" if folder else name
        return None if path in self.files or path in self.directories else path

    def put(self, path, file):
        self.files[path] = file
        file["names"] += 1
        self.directories[os.path.dirname(path)].add(os.path.basename(path))

    def drop(self, path):
        self.files.pop(path)["names"] -= 1
        self.directories[os.path.dirname(path)].discard(os.path.basename(path))

    # --- changes: each returns the paths to look at

    def create(self, mount):
        path = self.free_path()
        if path is None:
            return []
        data = os.urandom(self.random.choice([0, 1, 700, 4096, 9000]))
        with open(self.at(mount, path), "xb") as file:
            file.write(data)
        self.put(path, {"data": data, "mode": 0o644, "mtime": None, "xattrs": {}, "names": 0})
        return [path]

    def mkdir(self, mount):
        path = self.free_path()
        if path is None or path.count("/") > 3:
            return []
        os.mkdir(self.at(mount, path))
        self.directories[path] = set()
        self.directories[os.path.dirname(path)].add(os.path.basename(path))
        return [path]

    def rmdir(self, mount):
        path = self.some_directory()
        if not path or self.directories[path]:
            return []
        os.rmdir(self.at(mount, path))
        del self.directories[path]
        self.directories[os.path.dirname(path)].discard(os.path.basename(path))
        return [path]

    def write(self, mount):
        path = self.some_file()
        if path is None:
            return []
        file = self.files[path]
        offset = self.random.randrange(0, len(file["data"]) + 100)
        data = os.urandom(self.random.choice([1, 500, 4096]))
        descriptor = os.open(self.at(mount, path), os.O_WRONLY)
        os.pwrite(descriptor, data, offset)
        os.close(descriptor)
        old = file["data"].ljust(offset, b"\0")
        file["data"] = old[:offset] + data + old[offset + len(data):]
        file["mtime"] = None
        return [path]

    def append(self, mount):
        path = self.some_file()
        if path is None:
            return []
        data = os.urandom(self.random.choice([1, 500, 4096]))
        with open(self.at(mount, path), "ab") as file:
            file.write(data)
        self.files[path]["data"] += data
        self.files[path]["mtime"] = None
        return [path]

    def truncate(self, mount):
        path = self.some_file()
        if path is None:
            return []
        file = self.files[path]
        size = self.random.choice([0, len(file["data"]) // 2, len(file["data"]) + 300])
        os.truncate(self.at(mount, path), size)
        file["data"] = file["data"][:size].ljust(size, b"\0")
        file["mtime"] = None
        return [path]

    def rewrite(self, mount):
        path = self.some_file()
        if path is None:
            return []
        data = os.urandom(self.random.choice([0, 10, 5000]))
        with open(self.at(mount, path), "wb") as file:
            file.write(data)
        self.files[path]["data"] = data
        self.files[path]["mtime"] = None
        return [path]

    def unlink(self, mount):
        path = self.some_file()
        if path is None:
            return []
        if self.random.random() < 0.2 and len(self.open) < 5:
            other = self.random.randrange(len(self.mounts))
            self.open.append((os.open(self.at(other, path), os.O_RDONLY), self.files[path]["data"],
                              self.files[path]["names"] == 1))
        os.unlink(self.at(mount, path))
        self.drop(path)
        return [path]

    def rename(self, mount):
        path = self.some_file()
        to = self.some_file() if self.random.random() < 0.4 else self.free_path()
        if path is None or to is None or path == to:
            return []
        os.rename(self.at(mount, path), self.at(mount, to))
        if self.files.get(to) is self.files[path]:
            return [path, to]  # two names of one file: both stay
        file = self.files[path]
        if to in self.files:
            self.drop(to)
        self.put(to, file)
        self.drop(path)
        return [path, to]

    def move_directory(self, mount):
        path, to = self.some_directory(), self.free_path()
        if not path or to is None or (to + "/").startswith(path + "/") or to.count("/") > 2:
            return []
        os.rename(self.at(mount, path), self.at(mount, to))
        for old in [one for one in self.directories if (one + "/").startswith(path + "/")]:
            self.directories[to + old[len(path):]] = self.directories.pop(old)
        for old in [one for one in self.files if one.startswith(path + "/")]:
            self.files[to + old[len(path):]] = self.files.pop(old)
        self.directories[os.path.dirname(path)].discard(os.path.basename(path))
        self.directories[os.path.dirname(to)].add(os.path.basename(to))
        return [path, to]

    def link(self, mount):
        path, to = self.some_file(), self.free_path()
        if path is None or to is None:
            return []
        os.link(self.at(mount, path), self.at(mount, to))
        self.put(to, self.files[path])
        return [path, to]

    def chmod(self, mount):
        path = self.some_file()
        if path is None:
            return []
        mode = self.random.choice([0o600, 0o640, 0o755])
        os.chmod(self.at(mount, path), mode)
        self.files[path]["mode"] = mode
        return [path]

    def utimens(self, mount):
        path = self.some_file()
        if path is None:
            return []
        mtime = self.random.randrange(10**18, 2 * 10**18)
        os.utime(self.at(mount, path), ns=(mtime, mtime))
        self.files[path]["mtime"] = mtime
        return [path]

    def setxattr(self, mount):
        path = self.some_file()
        if path is None:
            return []
        name = self.random.choice(["user.a", "user.b"])
        xattrs = self.files[path]["xattrs"]
        if name in xattrs and self.random.random() < 0.5:
            os.removexattr(self.at(mount, path), name)
            del xattrs[name]
        else:
            xattrs[name] = os.urandom(10)
            os.setxattr(self.at(mount, path), name, xattrs[name])
        return [path]

    # --- what is seen

    def look(self, mount, path):
        """None: all is as it should be."""
        full = self.at(mount, path)
        try:
            seen = os.lstat(full)
        except FileNotFoundError:
            return "it is absent" if path in self.files or path in self.directories else None
        except NotADirectoryError:
            return None
        if path in self.directories:
            if not stat.S_ISDIR(seen.st_mode):
                return "it is no directory"
            names = set(os.listdir(full))
            return None if names == self.directories[path] else (
                f"names {sorted(names ^ self.directories[path])} differ")
        if path not in self.files:
            return "it is there"
        file = self.files[path]
        if stat.S_IMODE(seen.st_mode) != file["mode"] or seen.st_nlink != file["names"]:
            return f"mode {oct(seen.st_mode)}, {seen.st_nlink} names, expected {file}"
        if seen.st_size != len(file["data"]):
            return f"{seen.st_size} bytes, expected {len(file['data'])}"
        if file["mtime"] is not None and seen.st_mtime_ns != file["mtime"]:
            return f"mtime {seen.st_mtime_ns}, expected {file['mtime']}"
        if set(os.listxattr(full)) != set(file["xattrs"]):
            return f"attributes {os.listxattr(full)}, expected {list(file['xattrs'])}"
        for name, value in file["xattrs"].items():
            if os.getxattr(full, name) != value:
                return f"another value of {name}"
        with open(full, "rb") as opened:
            if opened.read() != file["data"]:
                return "other bytes"
        return None

    def look_at_open(self):
        for descriptor, data, last in self.open:
            if last and os.pread(descriptor, len(data) + 1, 0) != data:
                return "other bytes in an open file that was removed"
        while self.open and self.random.random() < 0.1:
            os.close(self.open.pop(0)[0])
        return None

    def check(self, what, mount, paths):
        order = list(range(len(self.mounts)))
        self.random.shuffle(order)
        for other in order:
            for path in paths:
                for each in dict.fromkeys([path, os.path.dirname(path)]):
                    wrong = self.look(other, each)
                    if wrong:
                        sys.exit(f"{what} of {paths} by mount {mount}: mount {other} sees of "
                                 f"{each or 'the root'}: {wrong}")
        wrong = self.look_at_open()
        if wrong:
            sys.exit(f"{what} of {paths} by mount {mount}: {wrong}")

    def everything(self):
        for mount in range(len(self.mounts)):
            for path in list(self.directories) + list(self.files):
                wrong = self.look(mount, path)
                if wrong:
                    sys.exit(f"at the end mount {mount} sees of {path}: {wrong}")


def main():
    model = Model(int(sys.argv[1]), sys.argv[3:])
    changes = [model.create, model.create, model.create, model.mkdir, model.rmdir, model.write, model.append,
               model.truncate, model.rewrite, model.unlink, model.rename, model.move_directory,
               model.link, model.chmod, model.utimens, model.setxattr]
    rounds = 0
    while rounds < int(sys.argv[2]):
        change = model.random.choice(changes)
        # Runs of changes by one mount are what it gets leases for.
        mount = model.random.randrange(len(model.mounts))
        for _ in range(model.random.choice([1, 1, 1, 5])):
            paths = change(mount)
            if paths:
                rounds += 1
                if model.random.random() < 0.7:
                    model.check(change.__name__, mount, paths)
    model.everything()
    print(f"{rounds} rounds, {len(model.files)} names and {len(model.directories)} directories at the end")


def moved(rounds, one, other):
    """A name that is moved from a folder of one mount to one that both change is nobody's to keep."""
    for mount in (one, other):
        os.makedirs(f"{mount}/moved-own", exist_ok=True)
        os.makedirs(f"{mount}/moved-both", exist_ok=True)
    for number in range(int(rounds)):
        for turn in range(3):
            for mount in (one, other):
                with open(f"{mount}/moved-both/{turn}", "w", encoding="utf-8"):
                    pass
                os.unlink(f"{mount}/moved-both/{turn}")
        with open(f"{one}/moved-own/file", "w", encoding="utf-8"):
            pass
        os.stat(f"{one}/moved-own/file")
        os.rename(f"{one}/moved-own/file", f"{one}/moved-both/file")
        os.unlink(f"{other}/moved-both/file")
        if os.path.lexists(f"{one}/moved-both/file"):
            sys.exit(f"round {number}: a file that was moved is there after another mount removed it")


if __name__ == "__main__":
    if sys.argv[1] == "moved":
        moved(*sys.argv[2:])
    else:
        main()
