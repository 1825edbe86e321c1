"""A bucket of a real server with a real daemon on it, and what the tests of faults do to both.

    python -m tests.buckets [--megabytes 1024] [--seconds 30]

is the fault that takes minutes: the network is gone for so long in the middle of an object of that size. Needs root.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import contextlib
import ctypes
import errno
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import pytest
from blake3 import blake3

from lakewatchd.lake.compare import compare
from lakewatchd.testing import WITHOUT_MODELS, LiveDaemon, wait_until
from tests.crash.subject import CHECKOUT, QUICK
from tests.servers import S3Server, juicefs_gateway

ROOT = "photos"
PATIENCE_S = 1.0
"""For a byte of a server that will not answer. Elsewhere it has time: on a busy machine it would be away now and then,
and come back with a rescan."""
_CLONE_NEWNET = 0x4000_0000
_libc = ctypes.CDLL(None, use_errno=True)


# --- a daemon ----------------------------------------------------------------------------------------------


def daemon(base: Path, server: S3Server, bucket: str, *, root: str = "", more: str = "") -> LiveDaemon:
    """A daemon whose root ``photos`` is the bucket, told of nothing. ``root``: more of its ``[[root]]``."""
    (base / "nas").mkdir(parents=True, exist_ok=True)
    own = f'[[root]]\nname = "{ROOT}"\nbucket = "{bucket}"\nendpoint = "{server.endpoint}"\n'
    own += root if "listen =" in root else f"listen = false\n{root}"
    objects = "" if "[objects]" in more else "[objects]\ntimeout_s = 30.0\n"
    live = LiveDaemon(base / "d", base / "nas", settings=f"{QUICK}{WITHOUT_MODELS}{own}\n{objects}{more}")
    live.environment = {
        "PYTHONPATH": str(CHECKOUT),
        "LAKEWATCHD_PHOTOS_ACCESS_KEY": server.access_key,
        "LAKEWATCHD_PHOTOS_SECRET_KEY": server.secret_key,
    }
    strike(live)
    return live


def strike(live: LiveDaemon, *fault: str) -> None:
    """The fault, in words of ``tests.crash.launch``, that the daemon has when it is started next; or none."""
    live.program = ("-m", "tests.crash.launch", "--trail", str(live.base.parent / "trail"), *fault, "--")


def root_of(live: LiveDaemon) -> dict[str, Any]:
    return dict(next(root for root in live.ask("status", timeout_s=60)["roots"] if root["name"] == ROOT))


def way_of(live: LiveDaemon) -> dict[str, Any]:
    """The first way in which events come."""
    return dict(root_of(live)["ways"][0])


def wait_connected(live: LiveDaemon) -> None:
    """What changes from now on is told by events."""
    wait_until(lambda: way_of(live)["is_connected"] and root_of(live)["last_scan"], 60, f"connected; log:\n{live.log}")
    live.ask("wait_idle")  # a way that opened only after the first listing has another one made some seconds later


def decodes(live: LiveDaemon) -> collections.Counter[str]:
    """How often each asset was decoded."""
    lines = (live.base.parent / "trail").read_text().splitlines()
    return collections.Counter(line for line in lines if line.startswith("decode "))


def require_fresh(live: LiveDaemon, server: S3Server, bucket: str, files: int) -> None:
    """The oracle: after all that happened, the lake is the one that a daemon makes that begins now."""
    _wait_indexed(live)
    with daemon(live.base.parent / "fresh", server, bucket) as other:
        _wait_indexed(other)
    found = asyncio.run(compare(live.state / "lake", other.state / "lake"))
    assert found.differences == ()
    assert found.compared["bronze_occurrences"] == files, found.compared


def _wait_indexed(live: LiveDaemon) -> None:
    """Waiting passes over a bucket that is away; an oracle must not."""
    wait_until(lambda: root_of(live)["state"] == "present" and root_of(live)["last_scan"], 60, "the bucket is there")
    live.ask("wait_idle")
    assert root_of(live)["state"] == "present", root_of(live)


@contextlib.contextmanager
def view(live: LiveDaemon) -> Iterator[Path]:
    """The bucket, in the mounted view of that daemon."""
    mountpoint = live.base / "mnt"
    mountpoint.mkdir()
    argv = [sys.executable, "-m", "lakewatchd", "--config", str(live.config), "mount"]
    with subprocess.Popen(argv, env={**os.environ, **live.environment}) as process:
        try:
            wait_until(lambda: mountpoint.is_mount() or process.poll() is not None, 60, "the view is mounted")
            yield mountpoint / "by-root" / ROOT
        finally:
            process.terminate()


# --- a server ----------------------------------------------------------------------------------------------


def put(server: S3Server, bucket: str, key: str, content: bytes | str) -> None:
    raw = content.encode() if isinstance(content, str) else content
    server.client().put_object(bucket, key, io.BytesIO(raw), len(raw))


def subscribe(server: S3Server, bucket: str, arn: str) -> None:
    from minio.notificationconfig import NotificationConfig, QueueConfig

    rule = QueueConfig(["s3:ObjectCreated:*", "s3:ObjectRemoved:*"], queue=arn)
    server.client().set_bucket_notification(bucket, NotificationConfig(queue_config_list=[rule]))


class Burst:
    """Somebody who puts, overwrites and deletes, each until it is done, whatever happens to the server."""

    def __init__(self, server: S3Server, bucket: str, *, parts: int = 3, keys: int = 20) -> None:
        self._server, self._bucket, self._keys = server, bucket, keys
        self.done = 0
        self._threads = [threading.Thread(target=self._work, args=(part,)) for part in range(parts)]
        self.files = parts * (keys - keys // 5)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for thread in self._threads:
            thread.join()

    def _work(self, part: int) -> None:
        names = [f"burst {part}/{number}+ü.txt" for number in range(self._keys)]
        for number, name in enumerate(names):
            self._do("PUT", name, f"part {part}, number {number}")
            if number % 4 == 0:
                self._do("PUT", names[number // 2], f"part {part}, number {number // 2}, once more")
        for name in names[::5]:
            self._do("DELETE", name, "")

    def _do(self, method: str, key: str, content: str) -> None:
        from minio import Minio
        from minio.error import MinioException
        from urllib3 import PoolManager
        from urllib3.exceptions import HTTPError

        host, one = self._server.endpoint.partition("://")[2], PoolManager(retries=False, timeout=30)
        sdk = Minio(host, self._server.access_key, self._server.secret_key, secure=False, http_client=one, region="r")
        while True:
            with contextlib.suppress(MinioException, HTTPError):
                if method == "PUT":
                    sdk.put_object(self._bucket, key, io.BytesIO(content.encode()), len(content))
                else:
                    sdk.remove_object(self._bucket, key)
                self.done += 1
                return
            time.sleep(0.02)


# --- a network that goes away ------------------------------------------------------------------------------


class Wire:
    """A network of its own, with one wire to another one, until it is cut. ``mbit``: what it carries to us in a second.

    Until its end the thread that made it is in the other one, with the threads and processes that this begins: here, a
    browser that other tests look at pages with would hear that the network of the machine changes.
    """

    there = "198.18.0.2"
    _near, _far = "near", "far"

    def __init__(self, mbit: int = 0) -> None:
        self._name, self._mbit = f"lakewatchd-{os.getpid()}", mbit  # several tests at once
        # "ip netns exec" would copy all mounts too, and what other tests unmount meanwhile stayed in use
        self.within = ("nsenter", f"--net=/run/netns/{self._name}")

    def __enter__(self) -> Self:
        if os.geteuid() or not (shutil.which("ip") and shutil.which("tc")):
            pytest.skip("networks are made by root: apt-get install iproute2")
        made = subprocess.run(["ip", "netns", "add", self._name], capture_output=True, text=True, check=False)
        if made.returncode:
            pytest.skip(f"no network can be made here: {made.stderr}")
        self._outside = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _checked(_libc.unshare(_CLONE_NEWNET))
            # Or all that is left of an object has come, and waits to be read, when it is cut
            Path("/proc/sys/net/ipv4/tcp_rmem").write_text("4096 131072 1048576")
            _run("ip", "link", "set", "lo", "up")
            _run("ip", "link", "add", self._near, "type", "veth", "peer", "name", self._far, "netns", self._name)
            _run("ip", "address", "add", "198.18.0.1/30", "dev", self._near)
            _run("ip", "link", "set", self._near, "up")
            _run(*self.within, "ip", "address", "add", f"{self.there}/30", "dev", self._far)
            _run(*self.within, "ip", "link", "set", "lo", "up")
            self.mend()
            if self._mbit:
                rate = ("rate", f"{self._mbit}mbit", "burst", "256k", "latency", "50ms")
                _run(*self.within, "tc", "qdisc", "add", "dev", self._far, "root", "tbf", *rate)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Both networks go when nobody is in them any more."""
        _checked(_libc.setns(self._outside, _CLONE_NEWNET))
        os.close(self._outside)
        _run("ip", "netns", "delete", self._name)

    def cut(self) -> None:
        """At the far end: here no call fails, nothing is answered any more."""
        _run(*self.within, "ip", "link", "set", self._far, "down")

    def mend(self) -> None:
        _run(*self.within, "ip", "link", "set", self._far, "up")

    @property
    def carried(self) -> int:
        """Bytes that have come to us."""
        lines = Path("/proc/thread-self/net/dev").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.split()[0] == f"{self._near}:")


def _checked(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), "the network cannot be changed")


def _run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, f"{argv}: {done.stderr}"


READER = """
import hashlib, sys
digest = hashlib.sha256()
try:
    with open(sys.argv[1], "rb", buffering=0) as file:
        while piece := file.read(1 << 18):
            digest.update(piece)
            print("read", flush=True)
    print(digest.hexdigest())
except OSError as exc:
    print(f"errno {exc.errno}")
"""


class Reader:
    """Who reads a file of the view from front to back, in a process: one that hangs can be told from one that waits."""

    def __init__(self, file: Path) -> None:
        self._process = subprocess.Popen([sys.executable, "-c", READER, file], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "read\n"

    def outcome(self, timeout_s: float) -> str:
        """The SHA-256 of what it read, or ``errno N``."""
        try:
            out, _ = self._process.communicate(timeout=timeout_s)
        finally:
            self._process.kill()
        return str(out.splitlines()[-1])


def cut_in_the_middle(place: Path, megabytes: int, seconds: float, mbit: int = 400, cache_mb: int = 0) -> None:
    """The network is gone for a while, in the middle of the object that is indexed and of one that is read.

    What is larger than the cache comes by the wire whenever it is read.
    """
    seen, large = os.urandom(megabytes << 18), os.urandom(megabytes << 20)
    with contextlib.ExitStack() as running:
        wire = running.enter_context(Wire(mbit))
        gateway = juicefs_gateway(place / "gateway", host=wire.there, within=wire.within)
        server = running.enter_context(gateway)
        bucket = server.make_bucket()
        put(server, bucket, "seen.bin", seen)
        objects = f"[objects]\ntimeout_s = {PATIENCE_S}\ncache_mb = {cache_mb}\n"
        live = running.enter_context(daemon(place / "site", server, bucket, more=objects))
        live.ask("wait_idle")
        shown = running.enter_context(view(live))
        wait_until((shown / "seen.bin").exists, 60, "the view shows what is indexed")

        put(server, bucket, "large.bin", large)
        before = wire.carried
        live.ask("scan", root=ROOT)
        wait_until(lambda: wire.carried > before + len(large) // 4, 120, "a quarter of the object has come")
        reader = Reader(shown / "seen.bin")
        wire.cut()
        began = time.monotonic()
        while time.monotonic() < began + seconds:
            assert root_of(live)["files"] == 1, "the daemon answers, and knows what it knew"
            assert os.listdir(shown) == ["seen.bin"]
            time.sleep(0.2)
        carried = wire.carried
        wire.mend()
        outcome = reader.outcome(60)
        assert outcome in (sha256(seen), f"errno {errno.EIO}"), "right bytes or an error, nothing else"
        wait_until(lambda: root_of(live)["state"] == "present", 90, "the bucket is back")
        live.ask("wait_idle", timeout_s=600)
        wait_until((shown / "large.bin").exists, 60, "the view shows it")
        assert os.getxattr(shown / "large.bin", "user.lakewatchd.asset").decode() == blake3(large).hexdigest()
        print(f"after the cut {(wire.carried - carried) / 1e6:.0f} MB came; the reader ended with {outcome:.12}")
        for name, content in (("seen.bin", seen), ("large.bin", large)):
            assert Reader(shown / name).outcome(600) == sha256(content)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=1024)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--mbit", type=int, default=400, help="what the network carries")
    parser.add_argument("--cache-mb", type=int, default=10_240, help="with less, all that came is fetched again")
    chosen = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="lakewatchd-") as place:
        cut_in_the_middle(Path(place), chosen.megabytes, chosen.seconds, chosen.mbit, chosen.cache_mb)


if __name__ == "__main__":
    main()
