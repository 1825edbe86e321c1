"""Storage that stops answering costs its own root, for as long as it lasts, and nothing else."""

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lakewatchd import errors
from lakewatchd.config import DecodeConfig
from lakewatchd.media.sandbox import Decoders

pytestmark = pytest.mark.fuse


@pytest.fixture
def dead_disk(tmp_path: Path) -> Iterator[tuple[Path, "subprocess.Popen[bytes]"]]:
    place = tmp_path / "mnt"
    place.mkdir()
    server = subprocess.Popen(
        [sys.executable, str(Path(__file__).parent / "dead_disk.py"), str(place)], stdout=subprocess.PIPE
    )
    assert server.stdout is not None and server.stdout.readline() == b"mounted\n"
    yield place, server
    server.kill()
    server.wait()
    server.stdout.close()
    subprocess.run(["fusermount3", "-u", "-z", str(place)], check=False, capture_output=True)


async def all_are_free(decoders: Decoders) -> None:
    async with asyncio.timeout(60):
        while decoders.stuck:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.05)


async def read(decoders: Decoders, name: str, root: str) -> object:
    """What is fine, however long it takes: the deadline is short for what is not."""
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(errors.TimedOut):
                return await decoders.identify(name, root=root)


async def test_a_dead_disk_costs_its_own_root_only(
    dead_disk: tuple[Path, "subprocess.Popen[bytes]"], tmp_path: Path
) -> None:
    mount, server = dead_disk
    (tmp_path / "fine").mkdir()
    (tmp_path / "fine/a.txt").write_text("words")
    dead, fine = str(mount), str(tmp_path / "fine")
    decoders = Decoders(DecodeConfig(deadline_s=2), 1)
    assert await read(decoders, "a.txt", fine)
    assert await read(decoders, "good.txt", dead)

    for name in ("slow.txt", "dead.txt"):
        await all_are_free(decoders)
        with pytest.raises(errors.TimedOut):  # no fault of the file: tried again, not parked as damaged
            await decoders.identify(name, root=dead)
    assert decoders.stuck == {dead: 1}
    assert await read(decoders, "a.txt", fine), "the slot has a new decoder"
    for _ in range(3):
        with pytest.raises(errors.RootAway):
            await decoders.identify("good.txt", root=dead)
    assert decoders.stuck == {dead: 1}, "no further decoder is risked"

    assert await read(decoders, "a.txt", fine)
    server.kill()  # the disk comes back, or is given up: who waited gets an error, and ends
    await all_are_free(decoders)
    with pytest.raises((FileNotFoundError, errors.LakewatchError)) as caught:
        await decoders.identify("good.txt", root=dead)
    assert not isinstance(caught.value, errors.RootAway), "tried again by itself"
    await decoders.close()


async def test_the_end_does_not_wait_for_a_dead_disk(
    dead_disk: tuple[Path, "subprocess.Popen[bytes]"], tmp_path: Path
) -> None:
    mount, server = dead_disk
    decoders = Decoders(DecodeConfig(deadline_s=60), 2)
    assert await decoders.identify("good.txt", root=str(mount)), "one is up, and may read there"
    call = asyncio.ensure_future(decoders.identify("dead.txt", root=str(mount)))
    assert server.stdout is not None
    assert await asyncio.to_thread(server.stdout.readline) == b"dead.txt\n"  # now nothing ends its waiting
    call.cancel()  # what a drain does when its time is up
    async with asyncio.timeout(60):
        with pytest.raises(asyncio.CancelledError):
            await call
        await decoders.close()
    assert decoders.stuck == {str(mount): 1}
    server.kill()
    await all_are_free(decoders)
