"""What can happen to the files of two roots: a table of operations, each made of a name and two numbers.

The numbers choose files, places and contents by what is there, so that a script without some of its lines still
makes sense: that is what lets a failing one shrink. Both roots lie on one small ext4 (inodes are reused at once,
moves between roots are renames); the first is a bind mount that can be taken away while its files go on changing.
"""

# Names that are no text need os and os.path
# ruff: noqa: PTH101, PTH102, PTH103, PTH104, PTH105, PTH108, PTH110, PTH112, PTH113, PTH114, PTH116, PTH118, PTH119
# ruff: noqa: PTH120, PTH121, PTH123, PTH211

from __future__ import annotations

import contextlib
import io
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

KEEP = b"keep.txt"
"""Never touched, in each root: an empty root reads as a mount that is away."""

DIRECTORIES = (b"", b"a", b"b", b"a/c", b"a/c/d", "ü d".encode(), b"-rf", b"\xff\nx")
NAMES = (
    b"1.txt", b"2.txt", b"3.md", b"IMG_1.jpg", b"IMG_2.jpg", b"IMG_1.xmp", b"IMG_1.mov", b"noext", b"skip.log",
    b" lead", b"\xfe\n.txt", b"-n.txt", b"%~x~12.txt", "é.md".encode(), b"x" * 251 + b".txt", b".hid.txt",
)  # fmt: skip
IGNORES = ("*.log\n", "*.md\n", "a/\n", "IMG_*\n!IMG_1*\n", "# nothing\n", "/1.txt\n2.*\n")
IGNORE_FILE = b".lakeignore"
PAUSES_S = (0.0, 0.01, 0.05, 0.15, 0.4)


@dataclass(frozen=True, slots=True)
class Operation:
    name: str
    a: int = 0
    b: int = 0

    def __str__(self) -> str:
        return f"{self.name} {self.a} {self.b}"


def content(number: int, name: bytes) -> bytes:
    """One of many contents, of the kind that the name promises; number 0 is empty. Equal numbers, equal bytes."""
    if number == 0:
        return b""
    if name.endswith(b".jpg"):
        return _picture(number)
    return b"".join(b"Line %d of text %d: the river turns.\n" % (i, number) for i in range(1 + number % 40))


def _picture(number: int) -> bytes:
    image = Image.new("RGB", (48, 32), (number * 37 % 256, number * 59 % 256, number * 83 % 256))
    ImageDraw.Draw(image).ellipse((number % 20, number % 9, number % 20 + 20, 25), fill=(255 - number % 256, 80, 20))
    out = io.BytesIO()
    image.save(out, "JPEG")
    return out.getvalue()


class World:
    """``base`` gets the file system (``disk``), the roots ``nas`` (mounted from it) and ``second`` (lying on it)."""

    def __init__(self, base: Path) -> None:
        self.disk = base / "disk"
        self.mountpoint = base / "nas"
        self.roots = {"nas": self.mountpoint, "second": self.disk / "second"}
        self._trees = [os.fsencode(self.disk / "nas"), os.fsencode(self.disk / "second")]
        image = base / "disk.img"
        for directory in (self.disk, self.mountpoint):
            directory.mkdir(parents=True)
        with image.open("wb") as file:
            file.truncate(64 << 20)
        _sh("mkfs.ext4", "-q", "-F", "-O", "^has_journal", str(image))
        _sh("mount", "-o", "loop", str(image), str(self.disk))
        for tree in self._trees:
            os.mkdir(tree)
        self.reset()

    def close(self) -> None:
        self.away()
        subprocess.run(["umount", "-l", str(self.disk)], check=False)

    def reset(self) -> None:
        """Two trees with nothing but what is always there; the first mounted."""
        for tree in self._trees:
            for entry in os.listdir(tree):
                if entry != KEEP:
                    path = tree + b"/" + entry
                    shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)
            if not os.path.exists(tree + b"/" + KEEP):
                _write(tree + b"/" + KEEP, b"always here: " + os.path.basename(tree))
        self.back()

    # --- what is there -----------------------------------------------------------------------------------------

    def files(self) -> list[bytes]:
        """Regular files that operations may touch, in an order that depends on their names alone."""
        return sorted(path for path in self._walk() if os.path.basename(path) != KEEP)

    def _walk(self) -> Iterator[bytes]:
        for tree in self._trees:
            for directory, _, names in os.walk(tree):
                for name in names:
                    path = directory + b"/" + name
                    if not os.path.islink(path) and os.path.isfile(path):
                        yield path

    def snapshot(self) -> dict[bytes, tuple[int, int, int, bytes]]:
        """Everything that reading must not change, by path."""
        found = {}
        for path in self._walk():
            stat = os.lstat(path)
            found[path] = (stat.st_mtime_ns, stat.st_ctime_ns, stat.st_mode, _read(path))
        return found

    # --- choosing ----------------------------------------------------------------------------------------------

    def pick(self, number: int) -> bytes | None:
        files = self.files()
        return files[number % len(files)] if files else None

    def place(self, number: int) -> bytes:
        """A place for a file, with the directories above it made."""
        number, tree = divmod(number, len(self._trees))
        number, directory = divmod(number, len(DIRECTORIES))
        path = os.path.join(self._trees[tree], DIRECTORIES[directory], NAMES[number % len(NAMES)])
        with contextlib.suppress(OSError):  # a file or a link is in the way
            os.makedirs(os.path.dirname(path), exist_ok=True)
        return path

    def directory(self, number: int) -> bytes | None:
        found = [directory for tree in self._trees for directory, _, _ in os.walk(tree) if directory != tree]
        return sorted(found)[number % len(found)] if found else None

    def told(self, path: bytes) -> str:
        return repr(os.fsdecode(os.path.relpath(path, os.fsencode(self.disk))))

    # --- the mount ---------------------------------------------------------------------------------------------

    @property
    def is_away(self) -> bool:
        return not os.path.samefile(self.mountpoint, self._trees[0])

    def away(self) -> None:
        """Whatever is mounted goes."""
        while self.mountpoint.is_mount():
            _sh("umount", "-l", str(self.mountpoint))

    def back(self) -> None:
        if self.is_away:
            self.away()
            _sh("mount", "--bind", os.fsdecode(self._trees[0]), str(self.mountpoint))

    def impostor(self) -> None:
        """Another tree in the place of the root."""
        other = self.disk / "other"
        other.mkdir(exist_ok=True)
        _write(os.fsencode(other) + b"/stranger.txt", b"of another disk\n")
        self.away()
        _sh("mount", "--bind", str(other), str(self.mountpoint))

    # --- doing -------------------------------------------------------------------------------------------------

    def apply(self, operation: Operation) -> str:
        """Do it, and say what was done. What cannot be done (nothing there, something in the way) says why."""
        try:
            return FILE_OPERATIONS[operation.name](self, operation.a, operation.b)
        except OSError as exc:
            return f"nothing: {exc.strerror}"


def _sh(*argv: str) -> None:
    subprocess.run(argv, check=True, capture_output=True)


def _write(path: bytes, data: bytes, mode: str = "wb") -> None:
    with open(path, mode) as file:
        file.write(data)


def _read(path: bytes) -> bytes:
    with open(path, "rb") as file:
        return file.read()


# --- the table -------------------------------------------------------------------------------------------------

NOTHING = "nothing there"


def _create(world: World, a: int, b: int) -> str:
    path = world.place(a)
    _write(path, content(b, path))
    return f"write content {b} to {world.told(path)}"


def _slowly(world: World, a: int, b: int) -> str:
    path = world.place(a)
    data = content(b, path)
    with open(path, "wb", buffering=0) as file:
        for part in range(4):
            file.write(data[part * len(data) // 4 : (part + 1) * len(data) // 4])
            time.sleep(0.06)
    return f"write content {b} to {world.told(path)} in four parts"


def _on_file(act: Callable[[World, bytes, int], str]) -> Callable[[World, int, int], str]:
    """An operation on a file that is there, chosen by the first number."""

    def operation(world: World, a: int, b: int) -> str:
        path = world.pick(a)
        return act(world, path, b) if path is not None else NOTHING

    return operation


def _append(world: World, path: bytes, b: int) -> str:
    _write(path, b"and %d more\n" % b, "ab")
    return f"append to {world.told(path)}"


def _rewrite(world: World, path: bytes, b: int) -> str:
    with open(path, "r+b") as file:
        file.write(content(b, path))
        file.truncate()
    return f"rewrite {world.told(path)} in place with content {b}"


def _quietly(world: World, path: bytes, b: int) -> str:
    stat, data = os.stat(path), _read(path)
    if not data or data.startswith(b"\xff\xd8"):
        return NOTHING  # a damaged picture would be parked, and rightly so
    at = b % len(data)
    data = data[:at] + bytes([(data[at] + 1) % 128 or 65]) + data[at + 1 :]
    with open(path, "r+b") as file:
        file.write(data)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    return f"change byte {at} of {world.told(path)}, keeping size and mtime"


def _replace(world: World, path: bytes, b: int) -> str:
    young = os.path.dirname(path) + b"/young.tmp"
    _write(young, content(b, path))
    os.replace(young, path)
    return f"replace {world.told(path)} by content {b}, through a rename"


def _move(world: World, path: bytes, b: int) -> str:
    to = world.place(b)
    os.rename(path, to)
    return f"move {world.told(path)} to {world.told(to)}"


def _swap(world: World, path: bytes, b: int) -> str:
    other = world.pick(b)
    if other is None or other == path:
        return NOTHING
    aside = os.path.dirname(path) + b"/aside"
    os.rename(path, aside)
    os.rename(other, path)
    os.rename(aside, other)
    return f"swap {world.told(path)} and {world.told(other)}"


def _copy(world: World, path: bytes, b: int) -> str:
    to = world.place(b)
    if to == path:
        return NOTHING
    shutil.copy2(path, to)
    return f"copy {world.told(path)} to {world.told(to)}, with its times"


def _link(world: World, path: bytes, b: int) -> str:
    to = world.place(b)
    os.link(path, to)
    return f"hard link {world.told(path)} as {world.told(to)}"


def _symlink(world: World, path: bytes, b: int) -> str:
    target, to = (path, b"..", b"nowhere")[b % 3], world.place(b)
    os.symlink(target, to)
    return f"symbolic link {world.told(to)} to {os.fsdecode(os.path.basename(target))!r}"


def _delete(world: World, path: bytes, b: int) -> str:
    os.unlink(path)
    return f"delete {world.told(path)}"


def _recreate(world: World, path: bytes, b: int) -> str:
    inode = os.stat(path).st_ino
    os.unlink(path)
    _write(path, content(b, path))
    same = "the same" if os.stat(path).st_ino == inode else "another"
    return f"delete {world.told(path)} and write content {b} there ({same} inode)"


def _reuse(world: World, path: bytes, b: int) -> str:
    """The hard case of rename detection: another file with inode, size and mtime of one that is gone."""
    stat, data, to = os.stat(path), _read(path), world.place(b)
    os.unlink(path)
    _write(to, bytes(reversed(data)))
    os.utime(to, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    same = "the same" if os.stat(to).st_ino == stat.st_ino else "another"
    return f"delete {world.told(path)}; {world.told(to)} of its size and mtime, other bytes ({same} inode)"


def _touch(world: World, path: bytes, b: int) -> str:
    ns = (time.time_ns(), 0, -(10**9), 2**62, 10**18)[b % 5]
    os.utime(path, ns=(ns, ns))
    return f"touch {world.told(path)}: mtime {ns}"


def _mode(world: World, path: bytes, b: int) -> str:
    mode = (0o000, 0o644, 0o400)[b % 3]
    os.chmod(path, mode)
    return f"chmod {mode:03o} {world.told(path)}"


def _move_directory(world: World, a: int, b: int) -> str:
    path, to = world.directory(a), os.path.dirname(world.place(b)) + b"/moved"
    if path is None:
        return NOTHING
    os.rename(path, to)
    return f"move directory {world.told(path)} to {world.told(to)}"


def _delete_directory(world: World, a: int, b: int) -> str:
    path = world.directory(a)
    if path is None:
        return NOTHING
    shutil.rmtree(path)
    return f"delete directory {world.told(path)}"


def _copy_directory(world: World, a: int, b: int) -> str:
    path, to = world.directory(a), os.path.dirname(world.place(b)) + b"/copied"
    if path is None or (to + b"/").startswith(path + b"/") or len(world.files()) > 40:
        return NOTHING
    shutil.copytree(path, to, symlinks=True)
    return f"copy directory {world.told(path)} to {world.told(to)}"


def _ignore(world: World, a: int, b: int) -> str:
    path, rules = os.path.join(os.path.dirname(world.place(a)), IGNORE_FILE), IGNORES[b % len(IGNORES)]
    _write(path, rules.encode())
    return f"write {rules!r} to {world.told(path)}"


def _unignore(world: World, a: int, b: int) -> str:
    path = os.path.join(os.path.dirname(world.place(a)), IGNORE_FILE)
    os.unlink(path)
    return f"delete {world.told(path)}"


def _away(world: World, a: int, b: int) -> str:
    if world.is_away:
        return NOTHING
    world.away()
    if b % 3 == 0:
        _write(os.fsencode(world.mountpoint) + b"/stray.txt", b"on the bare mount point\n")
        return "unmount nas; a stray file lies on the bare mount point"
    return "unmount nas"


def _impostor(world: World, a: int, b: int) -> str:
    world.impostor()
    return "mount another tree as nas"


def _back(world: World, a: int, b: int) -> str:
    if not world.is_away:
        return NOTHING
    world.back()
    return "mount nas"


def _pause(world: World, a: int, b: int) -> str:
    seconds = PAUSES_S[a % len(PAUSES_S)]
    time.sleep(seconds)
    return f"wait {seconds:g} s"


FILE_OPERATIONS: dict[str, Callable[[World, int, int], str]] = {
    "create": _create,
    "slowly": _slowly,
    "append": _on_file(_append),
    "rewrite": _on_file(_rewrite),
    "quietly": _on_file(_quietly),
    "replace": _on_file(_replace),
    "move": _on_file(_move),
    "swap": _on_file(_swap),
    "copy": _on_file(_copy),
    "link": _on_file(_link),
    "symlink": _on_file(_symlink),
    "delete": _on_file(_delete),
    "recreate": _on_file(_recreate),
    "reuse": _on_file(_reuse),
    "touch": _on_file(_touch),
    "mode": _on_file(_mode),
    "move_directory": _move_directory,
    "delete_directory": _delete_directory,
    "copy_directory": _copy_directory,
    "ignore": _ignore,
    "unignore": _unignore,
    "away": _away,
    "impostor": _impostor,
    "back": _back,
    "pause": _pause,
}
