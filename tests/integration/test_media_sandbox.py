"""Hostile files, one by one, through real decoder processes: each gets its answer, and the pool stays usable."""

import asyncio
import contextlib
import dataclasses
import io
import os
import signal
import socket
import struct
import zlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import blake3
import psutil
import pytest
from PIL import Image

from lakewatchd import errors
from lakewatchd.config import DecodeConfig
from lakewatchd.core.asset import Kind, Version
from lakewatchd.core.content import Content, Identity
from lakewatchd.media import sandbox
from lakewatchd.media.sandbox import Decoders

ODD_DECODER = """
import os, signal, sys, time
from lakewatchd.child import serve
from lakewatchd.media import child_main

def operations(parent):
    is_first = not os.path.exists(os.environ["MARKER"])
    open(os.environ["MARKER"], "a").close()
    real = child_main.operations(parent)
    def describe(args, blobs):
        name = blobs[2].decode()
        if name == "spin":
            while True: pass
        if name == "hang": time.sleep(3600)
        if name == "eat": bytearray(8 << 30)
        if name == "die": os.abort()
        if name == "die once" and is_first: os.abort()
        if name == "greedy":
            while parent.ask({"need": [0, 1000]})["have"]: pass
            raise TimeoutError("not enough")
        if name == "elsewhere":
            assert not parent.ask({"need": [1 << 40, (1 << 40) + 1]})["have"]
        if name == "no question": parent.ask({"want": "everything"})
        if name == "fatal":
            from lakewatchd import errors
            raise errors.QueueDamaged("stop the daemon")
        header, sent = real["describe"](args, blobs)
        if name == "wrong picture": header["picture"] = [99999, 99999]
        if name == "wrong types": header["title"] = 5
        if name == "wrong spans": sent = (*sent[:3], b"\\xff" * 36, *sent[4:])
        if name == "half a letter": header["warnings"] = ["\\ud800"]
        if name == "too wide": header["width"] = 1 << 63
        if name == "beyond the pole": header["latitude"] = 1e9
        if name == "infinity": header["latitude"] = float("inf")
        if name == "few blobs": sent = sent[:2]
        return header, sent
    return {**real, "describe": describe}

if __name__ == "__main__":
    sys.exit(serve(operations))
"""

CONFIG = DecodeConfig(deadline_s=30, max_pixels=50_000_000)


@pytest.fixture
async def decoders() -> AsyncIterator[Decoders]:
    pool = Decoders(CONFIG, 1)
    yield pool
    await pool.close()


@pytest.fixture
async def odd(tmp_path: Path) -> AsyncIterator[Decoders]:
    """Decoders that misbehave when a file's name tells them to. :func:`hurry` where one is to be given up."""
    (tmp_path / "odd_decoder.py").write_text(ODD_DECODER)
    path = f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    env = {"PYTHONPATH": path, "MARKER": str(tmp_path / "marker")}
    pool = Decoders(DecodeConfig(deadline_s=30), 1, module="odd_decoder", env=env)
    yield pool
    await pool.close()


@contextlib.contextmanager
def hurry(pool: Decoders) -> Iterator[None]:
    """What is asked meanwhile is given up after 2 s; before and after, a busy machine may take its time."""
    patient, pool._config = pool._config, dataclasses.replace(pool._config, deadline_s=2)
    try:
        yield
    finally:
        pool._config = patient


def jpeg(color: str = "red", size: tuple[int, int] = (64, 48)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, color).save(out, "JPEG")
    return out.getvalue()


async def index(decoders: Decoders, path: Path | str, name: str = "a.jpg") -> Content:
    identity = await decoders.identify(str(path))
    assert identity is not None
    content = await decoders.describe(str(path), identity, name)
    assert content is not None
    return content


async def is_usable(decoders: Decoders, folder: Path) -> bool:
    good = folder / "good.jpg"
    good.write_bytes(jpeg())
    return (await index(decoders, good)).picture is not None


async def test_a_decoder_knows_no_secret_of_the_daemon(decoders: Decoders, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the-secret")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    await decoders.start()
    known = psutil.Process(decoders.pids[0]).environ()
    assert known["TZ"] == "Asia/Tokyo" and "the-secret" not in known.values()


async def test_no_thread_of_a_library_is_left_outside(decoders: Decoders) -> None:
    """What confines a process binds the thread that asks for it, and those that it starts later."""
    await decoders.start()
    assert len(psutil.Process(decoders.pids[0]).threads()) == 1


async def test_a_picture(decoders: Decoders, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg())
    identity = await decoders.identify(str(tmp_path / "a.jpg"))
    assert identity is not None
    assert identity.asset_id == blake3.blake3(jpeg()).hexdigest()
    assert (identity.kind, identity.mime) == (Kind.IMAGE, "image/jpeg")
    content = await index(decoders, tmp_path / "a.jpg", "IMG_20240712_101500.jpg")
    assert (content.width, content.height, content.captured_from) == (64, 48, "name")
    assert content.picture and len(content.picture.pixels) == 64 * 48 * 3
    assert content.thumbnail and content.phash is not None


async def test_a_text(decoders: Decoders, tmp_path: Path) -> None:
    text = "# Title é\n\n" + "Some words follow here. " * 200
    (tmp_path / "a.md").write_text(text)
    content = await index(decoders, tmp_path / "a.md", "a.md")
    assert content.title == "Title é"
    assert content.text_chars == len(text)
    assert len(content.passages) > 3
    assert all(text[passage.start : passage.end] == passage.text for passage in content.passages)


@pytest.mark.parametrize(
    "data", [b"", b"\0" * 5000, b"\x76\x2f\x31\x01" + bytes(99), b"#?RADIANCE\n", b"\x7fELF" + bytes(99)]
)
async def test_what_has_no_decoder_still_has_a_title(decoders: Decoders, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.bin").write_bytes(data)
    content = await index(decoders, tmp_path / "a.bin", "Summer plans.bin")
    assert content.title == "Summer plans"
    assert content.picture is None and not content.passages


@pytest.mark.parametrize(
    "name", [b"new\nline.jpg", b"\xff\xfe bad \x80.jpg", b"x" * 251 + b".jpg", b"-rf.jpg", b"\\x41 \xe2\x80\xa8.jpg"]
)
async def test_hostile_names(decoders: Decoders, tmp_path: Path, name: bytes) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/" + name)
    Path(path).write_bytes(jpeg())  # noqa: ASYNC240
    content = await index(decoders, path, os.fsdecode(name))
    assert content.picture is not None
    content.title.encode()


async def test_only_regular_files_are_opened(decoders: Decoders, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"secret")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        for name, words in (("link", "symbolic"), ("fifo", "FIFO"), ("socket", "socket"), ("", "directory")):
            with pytest.raises(errors.UnsupportedMedia, match=words):
                await decoders.identify(str(tmp_path / name))
    with pytest.raises(errors.UnsupportedMedia, match="device"):
        await decoders.identify("/dev/zero")
    assert await is_usable(decoders, tmp_path)


async def test_nothing_outside_of_a_root_is_reached(decoders: Decoders, tmp_path: Path) -> None:
    (tmp_path / "root/deep").mkdir(parents=True)
    (tmp_path / "root/deep/a").write_bytes(b"inside")
    (tmp_path / "secret").write_bytes(b"outside")
    (tmp_path / "root/out").symlink_to(tmp_path)
    root = str(tmp_path / "root")
    assert await decoders.identify("deep/a", root=root)
    for path in ("out/secret", "../secret", "deep/../../secret", str(tmp_path / "secret"), "", "."):
        with pytest.raises(FileNotFoundError):
            await decoders.identify(path, root=root)


async def test_gone_is_told_as_such(decoders: Decoders, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(jpeg())
    identity = await decoders.identify(str(tmp_path / "a"))
    assert identity
    (tmp_path / "a").unlink()
    for call in (decoders.identify(str(tmp_path / "a")), decoders.describe(str(tmp_path / "a"), identity, "a")):
        with pytest.raises(FileNotFoundError):
            await call


async def test_an_io_error_and_a_lying_size(decoders: Decoders, tmp_path: Path) -> None:
    with pytest.raises(errors.NotReadable, match="EIO"):
        await decoders.identify("/proc/self/mem")
    with pytest.raises(errors.UnsupportedMedia, match="0 bytes"):
        await decoders.identify("/proc/version")
    assert await is_usable(decoders, tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
async def test_no_permission(decoders: Decoders, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "a").chmod(0)
    with pytest.raises(errors.NotReadable, match="EACCES"):
        await decoders.identify(str(tmp_path / "a"))


async def test_a_file_that_grows_while_read_has_changed(decoders: Decoders, tmp_path: Path) -> None:
    with (tmp_path / "a").open("wb") as stream:
        stream.truncate(2_000_000_000)  # to be read for longer than this process may have to stand still
        call = asyncio.ensure_future(decoders.identify(str(tmp_path / "a")))
        while not call.done():
            os.pwrite(stream.fileno(), b"x", os.fstat(stream.fileno()).st_size)
            await asyncio.sleep(0)
    assert await call is None


async def test_another_version_is_not_described(decoders: Decoders, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(jpeg())
    identity = await decoders.identify(str(tmp_path / "a"))
    assert identity
    (tmp_path / "b").write_bytes(jpeg("blue"))
    (tmp_path / "b").replace(tmp_path / "a")
    assert await decoders.describe(str(tmp_path / "a"), identity, "a") is None


async def test_originals_are_left_as_they_were(decoders: Decoders, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg())
    os.utime(tmp_path / "a.jpg", (1_000_000, 2_000_000))
    before = (tmp_path / "a.jpg").stat()
    await index(decoders, tmp_path / "a.jpg")
    assert (tmp_path / "a.jpg").stat() == before
    assert (tmp_path / "a.jpg").read_bytes() == jpeg()
    assert os.listdir(tmp_path) == ["a.jpg"]


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9, 0.99])
async def test_truncated_pictures(decoders: Decoders, tmp_path: Path, share: float) -> None:
    out = io.BytesIO()
    Image.effect_noise((600, 400), 90).save(out, "JPEG")
    (tmp_path / "a.jpg").write_bytes(out.getvalue()[: int(len(out.getvalue()) * share)])
    with pytest.raises(errors.DamagedMedia):
        await index(decoders, tmp_path / "a.jpg")
    assert await is_usable(decoders, tmp_path)


async def test_a_bomb_costs_no_memory(decoders: Decoders, tmp_path: Path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(10_000_000)))
    (tmp_path / "a.png").write_bytes(bomb)
    with pytest.raises(errors.TooLarge, match="50000000 pixels"):
        await index(decoders, tmp_path / "a.png")
    status = Path(f"/proc/{decoders.pids[0]}/status").read_text()  # noqa: ASYNC240 - /proc does not block
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    assert int(peak.split()[1]) < 300_000
    assert await is_usable(decoders, tmp_path)


async def test_allowed_pixels_may_still_be_more_than_memory_holds(tmp_path: Path) -> None:
    Image.new("L", (20_000, 20_000)).save(tmp_path / "a.png", compress_level=1)
    pool = Decoders(DecodeConfig(max_pixels=10**9, memory_mb=700), 1)
    try:
        with pytest.raises(errors.TooLarge, match="memory"):
            await index(pool, tmp_path / "a.png", "a.png")
        assert await is_usable(pool, tmp_path)
    finally:
        await pool.close()


async def test_five_sparse_gigabytes_of_text(decoders: Decoders, tmp_path: Path) -> None:
    with (tmp_path / "a.txt").open("wb") as stream:
        stream.write(b"Some words. " * 6000)
        stream.truncate(5 << 30)
    stat = (tmp_path / "a.txt").stat()
    identity = Identity("0" * 64, Version.of(stat), Kind.DOCUMENT, "text/plain")
    content = await decoders.describe(str(tmp_path / "a.txt"), identity, "a.txt")
    assert content and content.text_chars == 72_000 and content.warnings


# --- decoders that misbehave --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("spin", errors.DamagedMedia, "within 2 s"),
        ("die", errors.DamagedMedia, "SIGABRT.*2048 MB"),
        ("eat", errors.TooLarge, "memory"),
        ("fatal", errors.DamagedMedia, "died twice"),  # its word ends no daemon: it counts as broken
        ("wrong picture", errors.DamagedMedia, "nonsense"),
        ("wrong types", errors.DamagedMedia, "nonsense"),
        ("wrong spans", errors.DamagedMedia, "nonsense"),
        ("infinity", errors.DamagedMedia, "nonsense"),
        ("half a letter", errors.DamagedMedia, "nonsense"),
        ("too wide", errors.DamagedMedia, "nonsense"),
        ("beyond the pole", errors.DamagedMedia, "nonsense"),
        ("few blobs", errors.DamagedMedia, "nonsense"),
    ],
)
async def test_whatever_a_decoder_does_is_about_the_file(
    odd: Decoders,
    tmp_path: Path,
    name: str,
    error: type[errors.AssetError],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sandbox, "_IDLE_SHARE", 0.01)  # on a busy machine who works gets little
    (tmp_path / "a.jpg").write_bytes(jpeg())
    identity = await odd.identify(str(tmp_path / "a.jpg"))
    assert identity is not None
    with pytest.raises(error, match=words), hurry(odd) if name == "spin" else contextlib.nullcontext():
        await odd.describe(str(tmp_path / "a.jpg"), identity, name)
    assert await is_usable(odd, tmp_path)


async def test_waiting_is_no_fault_of_the_file(odd: Decoders, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg())
    identity = await odd.identify(str(tmp_path / "a.jpg"))
    assert identity is not None
    with pytest.raises(errors.TimedOut), hurry(odd):
        await odd.describe(str(tmp_path / "a.jpg"), identity, "hang")
    assert await is_usable(odd, tmp_path)


async def test_one_accidental_death_is_forgiven(odd: Decoders, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg())
    await odd.identify(str(tmp_path / "a.jpg"))
    first = odd.pids
    assert (await index(odd, tmp_path / "a.jpg", "die once")).picture is not None
    assert odd.pids != first


async def test_killed_mid_call_from_outside(decoders: Decoders, tmp_path: Path) -> None:
    with (tmp_path / "a").open("wb") as stream:
        stream.truncate(300_000_000)
    await is_usable(decoders, tmp_path)
    call = asyncio.ensure_future(decoders.identify(str(tmp_path / "a")))
    await asyncio.sleep(0.01)
    os.kill(decoders.pids[0], signal.SIGKILL)
    assert await call is not None
    assert await is_usable(decoders, tmp_path)


async def test_a_decoder_that_cannot_start_blames_no_file(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg())
    pool = Decoders(CONFIG, 1, module="lakewatchd.no_such_module")
    with pytest.raises(errors.TransientError):
        await pool.identify(str(tmp_path / "a.jpg"))
    await pool.close()


async def test_many_calls_share_few_decoders(tmp_path: Path) -> None:
    pool = Decoders(CONFIG, 2)
    for number in range(20):
        (tmp_path / f"{number}.jpg").write_bytes(jpeg(size=(number + 1, 9)))
    contents = await asyncio.gather(*(index(pool, tmp_path / f"{number}.jpg") for number in range(20)))
    assert [content.width for content in contents] == list(range(1, 21))
    assert len(pool.pids) == 2
    await pool.close()


# --- files of which only pieces are there -------------------------------------------------------------------

NOISE = Image.effect_noise((2400, 1800), 90)


@dataclass(slots=True)
class Remote:
    """A picture of megabytes, and a file of the same size that holds nothing of it yet."""

    path: Path
    data: bytes
    asked: list[tuple[int, int]] = field(default_factory=list)

    @property
    def identity(self) -> Identity:
        return Identity(blake3.blake3(self.data).hexdigest(), Version(len(self.data), 5, 0), Kind.IMAGE, "image/jpeg")

    async def provide(self, start: int, end: int) -> None:
        self.asked.append((start, end))
        with self.path.open("r+b") as stream:
            stream.seek(start)
            stream.write(self.data[start:end])


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    out = io.BytesIO()
    NOISE.save(out, "JPEG", quality=95)
    with (tmp_path / "object").open("wb") as stream:
        stream.truncate(out.tell())
    return Remote(tmp_path / "object", out.getvalue())


async def test_a_decoder_has_what_it_needs_fetched(decoders: Decoders, remote: Remote, tmp_path: Path) -> None:
    (tmp_path / "whole.jpg").write_bytes(remote.data)
    expected = await index(decoders, tmp_path / "whole.jpg")
    found = await decoders.describe(str(remote.path), remote.identity, "a.jpg", provide=remote.provide)
    assert found == expected
    assert len(remote.asked) > 1
    assert sum(end - start for start, end in remote.asked) == len(remote.data)


@pytest.mark.parametrize("error", [errors.RootAway, errors.TimedOut, errors.NotReadable, FileNotFoundError, KeyError])
@pytest.mark.parametrize("served", [0, 1])
async def test_what_its_supplier_raises_is_the_answer_and_no_damage(
    decoders: Decoders, remote: Remote, tmp_path: Path, error: type[Exception], served: int
) -> None:
    async def provide(start: int, end: int) -> None:
        if len(remote.asked) == served:
            raise error("gone away")
        await remote.provide(start, end)

    await is_usable(decoders, tmp_path)
    before = decoders.pids
    with pytest.raises(error, match="gone away"):
        await decoders.describe(str(remote.path), remote.identity, "a.jpg", provide=provide)
    assert await is_usable(decoders, tmp_path)
    assert decoders.pids == before


async def test_a_supplier_without_end_is_no_fault_of_the_file(odd: Decoders, remote: Remote, tmp_path: Path) -> None:
    async def provide(start: int, end: int) -> None:
        await asyncio.sleep(3600)

    with pytest.raises(errors.TimedOut, match="did not come"), hurry(odd):
        await odd.describe(str(remote.path), remote.identity, "a.jpg", provide=provide)
    assert await is_usable(odd, tmp_path)


async def test_cancelled_while_bytes_are_fetched(decoders: Decoders, remote: Remote, tmp_path: Path) -> None:
    asked = asyncio.Event()

    async def provide(start: int, end: int) -> None:
        asked.set()
        await asyncio.sleep(3600)

    call = asyncio.ensure_future(decoders.describe(str(remote.path), remote.identity, "a.jpg", provide=provide))
    await asked.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert not decoders.pids
    assert await is_usable(decoders, tmp_path)


@pytest.mark.parametrize("name", ["greedy", "elsewhere", "no question"])
async def test_a_decoder_taken_over_cannot_fetch_what_it_likes(
    odd: Decoders, remote: Remote, tmp_path: Path, name: str
) -> None:
    small = remote.data[:1000]
    remote.path.write_bytes(small)
    remote.data = small
    with pytest.raises(errors.DamagedMedia, match="its decoder"):
        await odd.describe(str(remote.path), remote.identity, name, provide=remote.provide)
    assert sum(end - start for start, end in remote.asked) <= len(small)
    assert await is_usable(odd, tmp_path)


async def test_a_supplied_file_of_another_size_is_another_version(decoders: Decoders, remote: Remote) -> None:
    remote.path.write_bytes(remote.data[:-1])
    assert await decoders.describe(str(remote.path), remote.identity, "a.jpg", provide=remote.provide) is None
    assert not remote.asked
