"""The enclosed server: what it needs works, for it and for what it starts; what an intruder would want does not."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PRISONER = """
import ctypes, errno, json, os, socket, subprocess, sys, threading
from lakewatchd.confine import Ground, enclose
from lakewatchd.web.ground import _SYSTEM, _PROGRAMS
base, allowed, other = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
real = os.path.realpath(sys.executable)
ground = Ground(
    (*_SYSTEM, sys.prefix, sys.base_prefix, base + "/readable", base + "/not-there"), (base + "/writable", "/dev"),
    (*_PROGRAMS, sys.executable, real), (allowed,),
)
libc = ctypes.CDLL(None, use_errno=True)

def write(path):
    with open(path, "w") as file:
        file.write("x")

def connect(port):
    with socket.create_connection(("127.0.0.1", port), timeout=60):
        pass

def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "refused")

def python(*argv):
    subprocess.run([sys.executable, *argv], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

ways = {
    "read": lambda: open(base + "/readable/file").read(),
    "write the cache": lambda: (write(base + "/writable/new"), os.rename(base + "/writable/new", base + "/writable/n")),
    "thread": lambda: threading.Thread(target=int).start(),
    "start Python": lambda: python("-c", "import lakewatchd.child, numpy"),
    "connect to a server of the configuration": lambda: connect(allowed),
    "a socket": lambda: socket.socket(socket.AF_UNIX).close(),
    "no memory of a file": lambda: os.close(os.memfd_create("x")),
    "read outside": lambda: open(base + "/secret").read(),
    "list outside": lambda: os.listdir(base),
    "read the memory of the parent": lambda: open(f"/proc/{os.getppid()}/mem", "rb").read(1),
    "go where the parent is": lambda: os.listdir(f"/proc/{os.getppid()}/root"),
    "write what it reads": lambda: write(base + "/readable/file"),
    "remove what it reads": lambda: os.unlink(base + "/readable/file"),
    "write outside": lambda: write(base + "/new"),
    "link the outside in": lambda: open((os.symlink(base + "/secret", base + "/writable/l"), base + "/writable/l")[1]),
    "run a shell": lambda: subprocess.run(["/bin/sh", "-c", "true"], check=True),
    "run what it wrote": lambda: (write(base + "/writable/x"), os.chmod(base + "/writable/x", 0o755),
                                  os.execv(base + "/writable/x", ["x"])),
    "connect elsewhere": lambda: connect(other),
    "listen": lambda: socket.create_server(("127.0.0.1", 0)),
    "ptrace the parent": lambda: checked(libc.ptrace(16, os.getppid(), 0, 0)),
    "kill the parent": lambda: os.kill(os.getppid(), 0),
    "new namespace": lambda: checked(libc.unshare(0x10000000)),
    "mount": lambda: checked(libc.mount(b"none", base.encode(), b"tmpfs", 0, None)),
    "read outside through a child": lambda: python("-c", f"open({base + '/secret'!r}).read()"),
    "connect elsewhere through a child": lambda: python(
        "-c", f"import socket; socket.create_connection(('127.0.0.1', {other}), timeout=60)"),
}
layers = enclose(ground)
assert all(layer.holds for layer in layers), layers
done = {}
for name, way in ways.items():
    try:
        way()
        done[name] = True
    except (OSError, subprocess.CalledProcessError):
        done[name] = False
print(json.dumps(done))
"""

NEEDED = (
    "read", "write the cache", "thread", "start Python", "connect to a server of the configuration", "a socket",
    "no memory of a file",
)  # fmt: skip


@pytest.fixture
def ports() -> Iterator[tuple[int, int]]:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        yield one.getsockname()[1], other.getsockname()[1]


def test_what_it_needs_works_and_nothing_else(tmp_path: Path, ports: tuple[int, int]) -> None:
    for folder in ("readable", "writable"):
        (tmp_path / folder).mkdir()
    (tmp_path / "readable" / "file").write_text("shown")
    (tmp_path / "secret").write_text("token")
    argv = [sys.executable, "-c", PRISONER, str(tmp_path), *map(str, ports)]
    ended = subprocess.run(argv, capture_output=True, text=True, timeout=100, check=False)
    assert ended.returncode == 0, ended.stderr
    done = json.loads(ended.stdout)
    assert {name for name, worked in done.items() if worked} == set(NEEDED)
    assert (tmp_path / "readable" / "file").read_text() == "shown"
