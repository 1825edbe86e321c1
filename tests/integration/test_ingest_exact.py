"""Which content lies here? Real files and real decoders, where size, time and inode lie."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from lakewatchd.core.asset import AssetId, PathKey
from lakewatchd.core.event import FileEvent
from lakewatchd.core.job import Again, Done, JobSpec, Priority, Skip
from lakewatchd.daemon.parts import Daemon
from lakewatchd.errors import RootAway
from lakewatchd.media.fingerprint import SMALL_BYTES
from lakewatchd.stages import ingest
from lakewatchd.testing import make_tree
from tests.integration.test_stages_histories import built, look_at, run_all

LARGE = b"large" * (SMALL_BYTES // 5 + 40_000)


@pytest.fixture(autouse=True)
def _jobs_are_those_of_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the watcher sees of the test's own changes comes whenever they have settled: one more job in the middle."""

    async def unheard(self: Daemon, events: Sequence[FileEvent]) -> None:
        pass

    monkeypatch.setattr(Daemon, "emit", unheard)


def rewrite(path: Path, content: bytes) -> None:
    """In place, as long as before, and its time set back."""
    before = path.stat()
    with path.open("r+b") as file:
        file.write(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_ino, after.st_size, after.st_mtime_ns) == (before.st_ino, before.st_size, before.st_mtime_ns)


async def asset(daemon: Daemon, path: str) -> AssetId:
    known = await daemon.context.known.at(PathKey("nas", path))
    assert known is not None
    return known.asset_id


def count_reads(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that are read whole from now on."""
    read: list[str] = []
    identify = daemon.decoders.quick.identify

    async def counting(path: str, *, root: str = "") -> object:
        read.append(path)
        return await identify(path, root=root)

    monkeypatch.setattr(daemon.decoders.quick, "identify", counting)
    return read


@pytest.mark.parametrize("content", [b"first", LARGE])
async def test_an_edit_that_restores_its_time_is_found(tmp_path: Path, content: bytes) -> None:
    path = make_tree(tmp_path / "nas", {"a.txt": content}) / "a.txt"
    async with built(tmp_path) as daemon:
        await run_all(daemon, look_at("a.txt"))
        before = await asset(daemon, "a.txt")
        assert await run_all(daemon, look_at("a.txt")) == [Skip("unchanged")]
        rewrite(path, content[:-1] + b"!")
        await run_all(daemon, look_at("a.txt"))
        assert await asset(daemon, "a.txt") != before


@pytest.mark.parametrize("content", [b"first", LARGE])
async def test_a_new_owner_costs_a_read_behind_all_other_work_and_no_embedding(tmp_path: Path, content: bytes) -> None:
    path = make_tree(tmp_path / "nas", {"a.txt": content}) / "a.txt"
    async with built(tmp_path) as daemon:
        await run_all(daemon, look_at("a.txt"))
        known = await daemon.context.known.at(PathKey("nas", "a.txt"))
        path.chmod(0o640)
        first, second = await run_all(daemon, look_at("a.txt"))
        assert isinstance(first, Done) and [spec.priority for spec in first.then] == [Priority.ENRICHMENT]
        assert isinstance(second, Done) and second.then == ()
        after = await daemon.context.known.at(PathKey("nas", "a.txt"))
        assert known is not None and after is not None
        assert (after.asset_id, after.sample, after.version.calm) == (known.asset_id, known.sample, 1)
        assert after.version.ctime_ns == path.stat().st_ctime_ns


async def test_a_very_large_file_with_a_new_owner_is_read_by_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "REREAD_BYTES", SMALL_BYTES)
    path = make_tree(tmp_path / "nas", {"film.mkv": LARGE}) / "film.mkv"
    async with built(tmp_path) as daemon:
        await run_all(daemon, look_at("film.mkv"))
        read, before = count_reads(daemon, monkeypatch), await asset(daemon, "film.mkv")
        path.chmod(0o640)
        await run_all(daemon, look_at("film.mkv"))
        assert read == [] and await asset(daemon, "film.mkv") == before
        rewrite(path, b"tagged")
        await run_all(daemon, look_at("film.mkv"))
        assert read == ["film.mkv"] and await asset(daemon, "film.mkv") != before


async def test_a_rename_of_a_large_file_is_not_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = make_tree(tmp_path / "nas", {"a.mkv": LARGE})
    async with built(tmp_path) as daemon:
        await run_all(daemon, look_at("a.mkv"))
        read, before = count_reads(daemon, monkeypatch), await asset(daemon, "a.mkv")
        (base / "a.mkv").rename(base / "b.mkv")
        (base / "c.mkv").hardlink_to(base / "b.mkv")
        await run_all(daemon, *map(look_at, ("b.mkv", "c.mkv", "a.mkv")))
        assert read == []
        assert await asset(daemon, "b.mkv") == await asset(daemon, "c.mkv") == before


@pytest.mark.parametrize(
    "change", [lambda content: content[:-1] + b"!", lambda content: b"!" + content[1:]], ids=["tail", "head"]
)
@pytest.mark.parametrize("content", [b"first", LARGE], ids=["small", "large"])
async def test_a_reused_inode_inherits_nothing(
    tmp_path: Path, content: bytes, change: Callable[[bytes], bytes]
) -> None:
    """Another file with the inode, size and time of one that is gone, as the kernel gives inodes out again."""
    base = make_tree(tmp_path / "nas", {"a.bin": content})
    async with built(tmp_path) as daemon:
        await run_all(daemon, look_at("a.bin"))
        (base / "a.bin").rename(base / "b.bin")
        rewrite(base / "b.bin", change(content))
        await run_all(daemon, look_at("b.bin"), look_at("a.bin"))
        fresh = await daemon.decoders.quick.identify("b.bin", root=str(base))
        assert fresh is not None and await asset(daemon, "b.bin") == fresh.asset_id


async def test_a_file_is_kept_as_it_was_when_it_was_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Changed between the look and the hash: what is known is what was hashed, so the next look finds the rest."""
    path = make_tree(tmp_path / "nas", {"a.txt": "first"}) / "a.txt"
    async with built(tmp_path) as daemon:
        identify = daemon.decoders.quick.identify

        async def late(name: str, *, root: str = "") -> object:
            rewrite(path, b"FIRST")
            found = await identify(name, root=root)
            rewrite(path, b"3rd..")
            return found

        monkeypatch.setattr(daemon.decoders.quick, "identify", late)
        await run_all(daemon, look_at("a.txt"))
        monkeypatch.setattr(daemon.decoders.quick, "identify", identify)
        before = await asset(daemon, "a.txt")
        await run_all(daemon, JobSpec("ingest", look_at("a.txt").key, look_at("a.txt").payload))
        assert await asset(daemon, "a.txt") != before


async def test_an_edit_just_before_its_sample_is_read_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A renamed file that is edited where no sample is taken, while it waits for a decoder."""
    base = make_tree(tmp_path / "nas", {"a.mkv": b"0" * (8 * SMALL_BYTES)})
    async with built(tmp_path) as daemon:
        await run_all(daemon, look_at("a.mkv"))
        (base / "a.mkv").rename(base / "b.mkv")
        sample = daemon.decoders.quick.sample

        async def late(path: str, *, root: str = "") -> object:
            with (base / path).open("r+b") as file:
                file.seek(2 * SMALL_BYTES)
                file.write(b"edited")
            return await sample(path, root=root)

        monkeypatch.setattr(daemon.decoders.quick, "sample", late)
        await run_all(daemon, look_at("b.mkv"))
        fresh = await daemon.decoders.quick.identify("b.mkv", root=str(base))
        assert fresh is not None and await asset(daemon, "b.mkv") == fresh.asset_id


async def test_a_root_that_goes_away_while_a_file_waits_for_its_decoder_is_no_deletion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = make_tree(tmp_path / "nas", {"a.txt": "first"})
    async with built(tmp_path) as daemon:
        await run_all(daemon, look_at("a.txt"))
        (base / "a.txt").write_text("second")
        identify = daemon.decoders.quick.identify

        async def late(path: str, *, root: str = "") -> object:
            base.rename(tmp_path / "unmounted")
            base.mkdir()
            return await identify(path, root=root)

        monkeypatch.setattr(daemon.decoders.quick, "identify", late)
        with pytest.raises(RootAway):
            await run_all(daemon, look_at("a.txt"))


async def test_a_file_that_is_replaced_under_its_decoder_is_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = make_tree(tmp_path / "nas", {"a.txt": "first"})
    async with built(tmp_path) as daemon:

        async def gone(path: str, *, root: str = "") -> object:
            raise FileNotFoundError(path)

        monkeypatch.setattr(daemon.decoders.quick, "identify", gone)
        assert isinstance((await run_all(daemon, look_at("a.txt")))[0], Again)
        (base / "a.txt").unlink()
        assert await run_all(daemon, look_at("a.txt")) == [Skip("never seen")]
