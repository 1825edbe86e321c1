"""A decoder that a file has taken over tries to break out. Each way is tried with both layers, and with each alone."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from lakewatchd import errors
from lakewatchd.child import Child, Limits

PRISONER = """
import ctypes, errno, mmap, os, resource, signal, socket, sys, threading
from lakewatchd import confine
from lakewatchd.child import arguments, serve

def connect(family, address):
    with socket.socket(family) as s: s.connect(address)

def hold(path):
    os.open(path, os.O_RDONLY)

libc = ctypes.CDLL(None, use_errno=True)

def checked(result):
    if result < 0: raise OSError(ctypes.get_errno(), "")

def thread():
    done = threading.Event()
    threading.Thread(target=done.set).start()
    assert done.wait(60)

def new_code():
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)

def limit(pid):
    resource.prlimit(pid, resource.RLIMIT_MEMLOCK, resource.getrlimit(resource.RLIMIT_MEMLOCK))

def operations(parent):
    root, secret, port, layers = arguments()
    ways = {
        "read": lambda: open(root + "/inside", "rb").read(),
        "list": lambda: os.listdir(root),
        "thread": thread,
        "read outside": lambda: hold(secret),
        "read a root-only file": lambda: hold("/etc/shadow"),
        "list outside": lambda: os.listdir(os.path.dirname(secret)),
        "write inside": lambda: open(root + "/inside", "ab"),
        "make a file inside": lambda: open(root + "/new", "wb"),
        "make a file outside": lambda: open("/tmp/lakewatchd-prisoner", "wb"),
        "truncate": lambda: os.truncate(root + "/inside", 0),
        "remove": lambda: os.unlink(root + "/inside"),
        "rename": lambda: os.rename(root + "/inside", root + "/other"),
        "chmod": lambda: os.chmod(root + "/inside", 0o777),
        "write a terabyte": lambda: open(root + "/inside", "r+b").truncate(1 << 40),
        "tcp": lambda: connect(socket.AF_INET, ("127.0.0.1", int(port))),
        "udp": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
        "abstract socket": lambda: connect(socket.AF_UNIX, "\\0lakewatchd-prisoner-" + port),
        "fork": lambda: os.fork() or os._exit(0),
        "exec": lambda: os.execv("/bin/true", ["true"]),
        "kill the daemon": lambda: os.kill(os.getppid(), 0),
        "limit the daemon": lambda: limit(os.getppid()),
        "ptrace the daemon": lambda: checked(libc.ptrace(16, os.getppid(), 0, 0)),
        "read the daemon's memory": lambda: hold(f"/proc/{os.getppid()}/mem"),
        "new namespace": lambda: checked(libc.unshare(0x10000000)),
        "new code": new_code,
        "mount": lambda: checked(libc.mount(b"none", root.encode(), b"tmpfs", 0, None)),
    }

    def attempt(args, blobs):
        try:
            ways[args["way"]]()
        except OSError as exc:
            return {"errno": errno.errorcode.get(exc.errno)}, ()
        return {"errno": None}, ()

    folders = [os.open(path, os.O_PATH) for path in (root, sys.prefix)]
    library = confine._libseccomp()
    ways_in = {"landlock": lambda: confine._landlock(folders), "seccomp": lambda: confine._seccomp(library)}
    made = [confine._layer(name, apply) for name, apply in ways_in.items() if name in layers]
    assert all(layer.holds for layer in made), made
    return {"attempt": attempt}

if __name__ == "__main__":
    sys.exit(serve(operations))
"""

ALLOWED = ("read", "list", "thread")
LANDLOCK = (
    "read outside", "list outside", "write inside", "make a file inside", "make a file outside", "truncate", "remove",
    "rename", "write a terabyte", "tcp", "abstract socket", "kill the daemon", "ptrace the daemon", "exec",
    "read the daemon's memory",
)  # fmt: skip
SECCOMP = (
    "write inside", "make a file inside", "make a file outside", "truncate", "remove", "rename", "chmod",
    "write a terabyte", "tcp", "udp", "abstract socket", "fork", "exec", "kill the daemon", "ptrace the daemon",
    "limit the daemon", "new namespace", "new code", "mount",
)  # fmt: skip
BOTH = tuple(dict.fromkeys((*LANDLOCK, *SECCOMP, "read a root-only file")))


@pytest.fixture
def listener() -> Iterator[int]:
    """A server that waits to be reached, by TCP and by an abstract socket."""
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        port = tcp.getsockname()[1]
        unix.bind(f"\0lakewatchd-prisoner-{port}")
        unix.listen()
        yield port


@pytest.fixture
async def prison(tmp_path: Path, listener: int) -> AsyncIterator[list[Child]]:
    """Makes a confined process for each set of layers asked for by ``request``."""
    (tmp_path / "prisoner.py").write_text(PRISONER)
    (tmp_path / "root").mkdir()
    (tmp_path / "root/inside").write_bytes(b"inside")
    (tmp_path / "secret").write_bytes(b"secret")
    path = f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    children = [
        Child(
            "prisoner",
            Limits(open_files=64),
            {"PYTHONPATH": path},
            arguments=(str(tmp_path / "root"), str(tmp_path / "secret"), str(listener), layers),
        )
        for layers in ("landlock", "seccomp", "landlock+seccomp", "")
    ]
    await asyncio.gather(*(child.start() for child in children))
    yield children
    for child in children:
        await child.close()


async def test_each_layer_holds(prison: list[Child], tmp_path: Path) -> None:
    landlock, seccomp, both, free = prison

    async def got_out(child: Child, ways: tuple[str, ...]) -> list[str]:
        replies = {way: (await child.call("attempt", {"way": way}, deadline_s=60)).header["errno"] for way in ways}
        assert set(replies.values()) <= {None, "EPERM", "EACCES"}, replies
        return [way for way, error in replies.items() if error is None]

    assert await got_out(landlock, LANDLOCK) == []
    assert await got_out(seccomp, SECCOMP) == []
    assert await got_out(both, BOTH) == []
    assert (tmp_path / "root/inside").read_bytes() == b"inside"
    assert sorted(os.listdir(tmp_path / "root")) == ["inside"]
    for child in (landlock, seccomp, both):
        assert await got_out(child, ALLOWED) == list(ALLOWED), "what decoders need"
    harmless = (
        "read outside", "list outside", "write inside", "tcp", "udp", "abstract socket", "kill the daemon",
        "limit the daemon",
    )  # fmt: skip
    assert await got_out(free, harmless) == list(harmless), "these attempts prove nothing"


async def test_processor_time_is_limited_even_when_nobody_watches(tmp_path: Path) -> None:
    (tmp_path / "busy.py").write_text(
        "import sys\n"
        "from lakewatchd.child import serve\n"
        "from lakewatchd.media.child_main import _guarded\n"
        "def spin(args, blobs):\n"
        "    while True: pass\n"
        "sys.exit(serve(lambda parent: {'spin': _guarded(spin)}))\n"
    )
    path = f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    child = Child("busy", Limits(), {"PYTHONPATH": path})
    with pytest.raises(errors.WorkerDied, match="SIGXCPU"):
        await child.call("spin", {"deadline_s": 0})


CONTAINER = """
import ctypes, os, resource, sys
from lakewatchd import confine
from lakewatchd.child import serve

def operations(parent):
    library = confine._libseccomp()
    library.seccomp_init.restype = ctypes.c_void_p
    rules = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(confine._ALLOW)))
    number = library.seccomp_syscall_resolve_name(b"landlock_create_ruleset")
    library.seccomp_rule_add_array(rules, ctypes.c_uint32(confine._ERRNO | 1), number, 0, None)
    assert library.seccomp_load(rules) == 0
    confine._libseccomp = lambda: None
    layers = confine.confine([])
    return {"layers": lambda args, blobs: ({layer.name: [layer.holds, layer.detail] for layer in layers}, ())}

sys.exit(serve(operations))
"""


async def test_a_layer_that_cannot_be_had_is_told_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "container.py").write_text(CONTAINER)
    path = f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    child = Child("container", Limits(), {"PYTHONPATH": path})
    layers = (await child.call("layers")).header
    await child.close()
    assert layers["landlock"] == [False, "refused by the system call filter of a container or of the systemd unit"]
    assert layers["seccomp"] == [False, "libseccomp is not installed: apt-get install libseccomp2"]
