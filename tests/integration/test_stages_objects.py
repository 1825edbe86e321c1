"""Objects of a real bucket through real stages: read once, told apart by version and labels, never believed blindly."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import io
import random
import re
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3
from minio.commonconfig import CopySource, Tags
from minio.versioningconfig import VersioningConfig
from PIL import Image

from lakewatchd.buckets.client import Bucket, ObjectChanged
from lakewatchd.buckets.keys import path_of
from lakewatchd.config import parse
from lakewatchd.core.asset import Kind, PathKey
from lakewatchd.core.job import Again, Done, JobSpec, Lane, Outcome, Priority, Skip
from lakewatchd.daemon import files
from lakewatchd.daemon.parts import Daemon
from lakewatchd.daemon.service import open_daemon
from lakewatchd.errors import Busy, DamagedMedia, RootAway, TimedOut
from lakewatchd.lake.rows import GoldRow, OccurrenceRow, Presence
from lakewatchd.stages import ingest
from lakewatchd.testing import config_text, make_tree
from tests.integration.test_stages_histories import SETTINGS, claim, handle, run_all
from tests.servers import S3Server, juicefs_gateway

ROOT = "photos"


@dataclasses.dataclass
class There:
    """A bucket, and a daemon that has it for a root next to a directory."""

    daemon: Daemon
    server: S3Server
    bucket: str
    read: list[str]
    """Keys of which bytes were asked for, in order."""
    decoded: list[str]
    """Assets that were decoded."""

    def put(self, key: str, content: bytes = b"some words", **more: Any) -> None:
        self.server.client().put_object(self.bucket, key, io.BytesIO(content), len(content), **more)

    def copy(self, source: str, key: str) -> None:
        self.server.client().copy_object(self.bucket, key, CopySource(self.bucket, source))

    def tag(self, key: str, **tags: str) -> None:
        found = Tags.new_object_tags()
        found.update(tags)
        self.server.client().set_object_tags(self.bucket, key, found)

    def delete(self, key: str, version: str | None = None) -> None:
        self.server.client().remove_object(self.bucket, key, version)

    async def look(self, *keys: str) -> list[Outcome]:
        """All that follows from events about these."""
        return await run_all(self.daemon, *map(look_at, keys))

    async def row(self, key: str) -> OccurrenceRow:
        row = await self.daemon.reader.occurrence(PathKey(ROOT, path_of(key)))
        assert row is not None
        return row

    async def gold(self) -> dict[str, GoldRow]:
        return {row.best.path: row async for row in self.daemon.reader.all_gold()}


def look_at(key: str) -> JobSpec:
    return ingest.spec(PathKey(ROOT, path_of(key)), Priority.FRESH)


@asynccontextmanager
async def built(base: Path, server: S3Server, *, text_bytes: int = 1 << 24, **settings: Any) -> AsyncIterator[There]:
    (base / "nas").mkdir(parents=True, exist_ok=True)
    bucket = server.make_bucket()
    root = server.settings(bucket, name=ROOT, listen=False, rescan_s=0)
    config = parse(config_text(base, settings=SETTINGS), base / "lakewatchd.toml")
    config = dataclasses.replace(
        config,
        buckets=(root,),
        objects=dataclasses.replace(config.objects, **settings),
        watch=dataclasses.replace(config.watch, settle_s=0.1, settle_open_s=0.2),
        decode=dataclasses.replace(config.decode, max_text_bytes=text_bytes),
    )
    async with open_daemon(config) as daemon:
        watching = [asyncio.create_task(source.run()) for source in daemon.sources.values()]
        there = There(daemon, server, bucket, [], [])
        _count(there)
        try:
            for source in daemon.sources.values():
                await source.wait_caught_up()
            yield there
        finally:
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)
            bucket_of(daemon).close()


def bucket_of(daemon: Daemon) -> Bucket:
    found = daemon.objects.buckets[ROOT]
    assert isinstance(found, Bucket)
    return found


def _count(there: There) -> None:
    bucket, decoders = bucket_of(there.daemon), there.daemon.decoders.quick
    read, describe = bucket.read, decoders.describe

    def counting_read(key: str, *args: Any, **kwargs: Any) -> Iterator[bytes]:
        there.read.append(key)
        return read(key, *args, **kwargs)

    async def counting_describe(path: str, identity: Any, *args: Any, **kwargs: Any) -> Any:
        there.decoded.append(identity.asset_id)
        return await describe(path, identity, *args, **kwargs)

    bucket.read = counting_read  # type: ignore[method-assign]
    decoders.describe = counting_describe  # type: ignore[method-assign]


def picture(width: int, noise: int = 0) -> bytes:
    out = io.BytesIO()
    image = Image.effect_noise((width, 80), 60 + noise) if noise else Image.new("RGB", (width, 80), (200, 80, 20))
    image.save(out, "PNG")
    return out.getvalue()


FILES = {
    "a.txt": b"some words about a lake",
    "b/picture.png": picture(120),
    "b/large.png": picture(1500, 1),
    "b/c/empty": b"",
    "unknown.bin": bytes(range(256)) * 2000,
    "2019-04-05 10.00.00.png": picture(64),
}


async def test_gold_says_the_same_of_objects_as_of_files(tmp_path: Path, gateway: S3Server) -> None:
    async with built(tmp_path / "one", gateway) as there:
        for key, content in FILES.items():
            there.put(key, content)
        await there.look(*FILES)
        objects = await there.gold()
        assert sorted(there.read) == sorted(key for key, content in FILES.items() if content)  # each of them once
        silver = {row.asset_id: row async for row in there.daemon.reader.all_assets()}
    make_tree(tmp_path / "two" / "nas", FILES)
    async with built(tmp_path / "two", gateway) as other:
        await run_all(other.daemon, *(ingest.spec(PathKey("nas", name), Priority.FRESH) for name in FILES))
        theirs = await other.gold()
        assert {row.asset_id: row async for row in other.daemon.reader.all_assets()} == silver
    for name, mine in objects.items():
        their = theirs[name]
        text = re.sub(r"^nas(?=/|$)", ROOT, their.text, flags=re.MULTILINE)
        dated_at = mine.dated_at if mine.dated_by == "mtime" else their.dated_at
        assert mine == dataclasses.replace(their, best=mine.best, dated_at=dated_at, text=text)
    assert len(objects) == len(FILES)


async def test_a_copy_is_the_same_asset_and_is_not_decoded_again(tmp_path: Path, gateway: S3Server) -> None:
    make_tree(tmp_path / "nas", {"deep/down/at/home.png": FILES["b/picture.png"]})
    async with built(tmp_path, gateway) as there:
        there.put("a.png", FILES["b/picture.png"])
        await there.look("a.png")
        there.copy("a.png", "b.png")
        await there.look("b.png")
        await run_all(there.daemon, ingest.spec(PathKey("nas", "deep/down/at/home.png"), Priority.FRESH))
        (gold,) = (await there.gold()).values()
        assert (gold.occurrences, len(there.decoded)) == (3, 1)
        there.delete("a.png")
        await there.look("a.png")
        (gold,) = (await there.gold()).values()
        assert (gold.best, gold.occurrences) == (PathKey(ROOT, "b.png"), 2)
        assert await runs_of(there, "chunk") == 1


async def runs_of(there: There, stage: str) -> int:
    from lakewatchd.lake.schema import LINEAGE, quoted

    return await there.daemon.reader.count(LINEAGE, f"stage = {quoted(stage)}")


async def test_new_labels_alone_are_taken_over_and_nothing_is_read(tmp_path: Path, gateway: S3Server) -> None:
    async with built(tmp_path, gateway) as there:
        there.put("a.txt", metadata={"camera": "Leica", "Mtime": "1354040105.5"})
        there.tag("a.txt", place="Oslo")
        await there.look("a.txt")
        (gold,) = (await there.gold()).values()
        assert [(tag.name, tag.origin) for tag in gold.tags if tag.origin == "bucket"] == [("place=Oslo", "bucket")]
        assert "Leica" in gold.text and "place=Oslo" in gold.text
        assert gold.best.root in gold.text.split("\n"), "who knows the bucket finds what is in it"
        assert (gold.dated_by, gold.dated_at.year) == ("mtime", 2012)
        before, read = await there.row("a.txt"), list(there.read)
        there.tag("a.txt", family="true", hidden="../..")
        await there.look("a.txt")
        (gold,) = (await there.gold()).values()
        assert [tag.name for tag in gold.tags if tag.origin == "bucket"] == ["family", "hidden=../.."]
        assert "Oslo" not in gold.text
        after = await there.row("a.txt")
        assert after.labels.tags == (("family", "true"), ("hidden", "../.."))
        assert (after.asset_id, after.version, after.first_seen) == (before.asset_id, before.version, before.first_seen)
        assert there.read == read and len(there.decoded) == 1
        assert await there.look("a.txt") == [Skip("unchanged")]


async def test_an_object_that_is_put_again(tmp_path: Path, gateway: S3Server) -> None:
    async with built(tmp_path, gateway) as there:
        there.put("a.txt", b"first", metadata={"note": "one"})
        await there.look("a.txt")
        first = await there.row("a.txt")
        await asyncio.sleep(1.1)  # the times of objects are whole seconds
        there.put("a.txt", b"first", metadata={"note": "two"})
        await there.look("a.txt")
        again = await there.row("a.txt")
        assert again.asset_id == first.asset_id and again.version.mtime_ns > first.version.mtime_ns
        assert again.labels.metadata == (("note", "two"),)
        assert there.decoded == [first.asset_id]
        there.put("a.txt", b"2nd..")  # as long, and perhaps in the same second
        await there.look("a.txt")
        second = await there.row("a.txt")
        assert second.asset_id != first.asset_id
        assert [row.asset_id for row in (await there.gold()).values()] == [second.asset_id]
        there.delete("a.txt")
        await there.look("a.txt")
        assert (await there.row("a.txt")).presence is Presence.GONE
        assert await there.gold() == {}


async def test_a_multipart_upload_is_one_object_whatever_its_etag(tmp_path: Path, gateway: S3Server) -> None:
    content = bytes(range(256)) * 24_000
    async with built(tmp_path, gateway) as there:
        there.server.client().put_object(there.bucket, "m.bin", io.BytesIO(content), -1, part_size=5 << 20)
        there.put("n.bin", content)
        await there.look("m.bin", "n.bin")
        m, n = await there.row("m.bin"), await there.row("n.bin")
        assert m.asset_id == n.asset_id
        assert "-" in m.version.etag


async def test_what_the_content_does_not_say_its_content_type_may(tmp_path: Path, gateway: S3Server) -> None:
    async with built(tmp_path, gateway) as there:
        there.put("a", bytes(range(256)), content_type="application/x-own")
        there.put("b.png", FILES["b/picture.png"], content_type="application/pdf")
        await there.look("a", "b.png")
        assert ((await there.row("a")).mime, (await there.row("a")).kind) == ("application/x-own", Kind.OTHER)
        assert (await there.row("b.png")).mime == "image/png"


async def test_the_latest_version_counts_and_a_delete_marker_is_no_object(tmp_path: Path, weed: S3Server) -> None:
    async with built(tmp_path, weed) as there:
        client = weed.client()
        client.set_bucket_versioning(there.bucket, VersioningConfig("Enabled"))
        there.put("a.txt", b"first")
        await there.look("a.txt")
        first = await there.row("a.txt")
        there.put("a.txt", b"second")
        await there.look("a.txt")
        second = await there.row("a.txt")
        assert first.labels.version_id and second.labels.version_id not in ("", first.labels.version_id)
        assert [row.size_bytes for row in (await there.gold()).values()] == [len("second")]
        there.delete("a.txt")
        await there.look("a.txt")
        assert await there.gold() == {}
        markers = [found for found in client.list_objects(there.bucket, include_version=True) if found.is_delete_marker]
        there.delete("a.txt", markers[0].version_id)
        await there.look("a.txt")
        assert (await there.row("a.txt")).labels.version_id == second.labels.version_id
        assert len(await there.gold()) == 1


@pytest.mark.parametrize("cache_mb", [0, 1, 64])
async def test_objects_are_decoded_whatever_room_the_cache_has(
    tmp_path: Path, gateway: S3Server, cache_mb: int
) -> None:
    async with built(tmp_path, gateway, cache_mb=cache_mb) as there:
        there.put("a.png", picture(1200, 1))
        there.put("b.txt", b"words " * 300_000)
        await there.look("a.png", "b.txt")
        gold = await there.gold()
        assert (gold["a.png"].kind, gold["b.txt"].kind) == (Kind.IMAGE, Kind.DOCUMENT)
        assert {row.width async for row in there.daemon.reader.all_assets()} == {1200, None}


async def test_a_large_object_is_decoded_without_all_of_it(
    tmp_path: Path, gateway: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "WHOLE_BYTES", 1 << 20)
    async with built(tmp_path, gateway, cache_mb=1, text_bytes=1 << 20) as there:
        there.put("a.txt", b"words " * 1_000_000)
        await run_ingest(there, "a.txt")
        asked: list[int] = []
        ensure = there.daemon.objects.open
        job = await claim(there.daemon, "index")

        def opened(ref: Any) -> Any:
            found = ensure(ref)
            provide = found.ensure
            found.ensure = lambda start, end: (asked.append(end - start), provide(start, end))
            return found

        monkeypatch.setattr(there.daemon.objects, "open", opened)
        assert await handle(there.daemon, job) == Done()
        assert 0 < sum(asked) < 3_000_000
        assert (await there.daemon.reader.asset(job.key)).text_chars > 0  # type: ignore[union-attr]


async def run_ingest(there: There, key: str) -> Outcome:
    await there.daemon.queue_thread(there.daemon.queue.put, [look_at(key)])
    job = await claim(there.daemon, "ingest")
    outcome = await handle(there.daemon, job)
    await there.daemon.queue_thread(there.daemon.queue.ack, [(job, outcome)])
    return outcome


def just_before_it_is_read(there: There, do: Callable[[], None]) -> None:
    """Once, between the look at an object and its first byte."""
    bucket = bucket_of(there.daemon)
    read, left = bucket.read, [do]

    def late(key: str, *args: Any, **kwargs: Any) -> Iterator[bytes]:
        if left:
            left.pop()()
        return read(key, *args, **kwargs)

    bucket.read = late  # type: ignore[method-assign]


async def test_an_object_that_changes_or_goes_before_it_is_read_is_never_mixed_up(
    tmp_path: Path, gateway: S3Server
) -> None:
    async with built(tmp_path, gateway) as there:
        there.put("a.txt", b"first")
        just_before_it_is_read(there, lambda: there.put("a.txt", b"2nd.."))
        assert isinstance(await run_ingest(there, "a.txt"), Again)
        there.put("b.txt", b"b")
        just_before_it_is_read(there, lambda: there.delete("b.txt"))
        assert await run_ingest(there, "b.txt") == Skip("never seen")
        there.put("c.txt", b"first")
        await run_ingest(there, "c.txt")
        await asyncio.to_thread(lambda: [path.unlink() for path in there.daemon.objects.cache.directory.glob("*.data")])  # type: ignore[union-attr]
        just_before_it_is_read(there, lambda: there.put("c.txt", b"2nd.."))
        outcome = await handle(there.daemon, await claim(there.daemon, "index"))
        assert isinstance(outcome, Done) and [spec.stage for spec in outcome.then] == ["ingest", "index"]


async def test_a_server_that_contradicts_itself_is_not_asked_without_end(
    tmp_path: Path, gateway: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with built(tmp_path, gateway) as there:
        there.put("a.txt", b"first")

        def changed(*args: Any, **kwargs: Any) -> Iterator[bytes]:
            raise ObjectChanged("a.txt")

        monkeypatch.setattr(bucket_of(there.daemon), "read", changed)
        with pytest.raises(Busy, match="changed and that it did not"):
            await run_ingest(there, "a.txt")


async def test_a_bucket_that_is_away_costs_no_attempt(
    tmp_path: Path, gateway: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with built(tmp_path, gateway) as there:
        there.put("a.txt", b"first")

        def away(*args: Any, **kwargs: Any) -> Iterator[bytes]:
            raise RootAway("root 'photos' does not answer")

        monkeypatch.setattr(bucket_of(there.daemon), "read", away)
        with pytest.raises(RootAway):
            await run_ingest(there, "a.txt")


async def test_an_object_of_which_nothing_comes_is_given_up_and_one_that_is_slow_is_not(
    tmp_path: Path, gateway: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "SILENCE_S", 4.0)
    async with built(tmp_path, gateway) as there:
        content, bucket = bytes(5 * (256 << 10)), bucket_of(there.daemon)
        there.put("slow.bin", content)
        there.put("stuck.bin", content)
        go = asyncio.Event()
        loop = asyncio.get_running_loop()

        def drip(key: str, start: int, length: int, **kwargs: Any) -> Iterator[bytes]:
            for at in range(start, start + length, 256 << 10):
                if key == "stuck.bin":
                    asyncio.run_coroutine_threadsafe(go.wait(), loop).result(60)
                asyncio.run_coroutine_threadsafe(asyncio.sleep(1.0), loop).result(60)
                yield content[at : at + (256 << 10)]

        monkeypatch.setattr(bucket, "read", drip)
        assert isinstance(await run_ingest(there, "slow.bin"), Done)
        with pytest.raises(TimedOut, match="after 0 of"):
            await run_ingest(there, "stuck.bin")
        go.set()


async def test_a_huge_object_is_read_in_the_heavy_lane(
    tmp_path: Path, gateway: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "HEAVY_BYTES", 1000)
    async with built(tmp_path, gateway) as there:
        there.put("film.bin", bytes(1000))
        (moved,) = await there.look("film.bin")
        assert isinstance(moved, Done) and there.read == []
        (job,) = await there.daemon.queue_thread(there.daemon.queue.claim, Lane.HEAVY, 1)
        assert isinstance(await handle(there.daemon, job), Done)
        assert there.read == ["film.bin"]


async def test_what_is_parked_is_published_with_its_new_labels_and_places(tmp_path: Path, gateway: S3Server) -> None:
    """A bad object keeps its place in the view, with the tags that it has now; also where only a scan tells of them."""
    async with built(tmp_path, gateway) as there:
        broken = FILES["b/picture.png"][:-40]
        there.put("a.png", broken)

        async def scan(key: str) -> GoldRow:
            spec = dataclasses.replace(look_at(key), priority=Priority.BACKFILL)
            await there.daemon.queue_thread(there.daemon.queue.put, [spec])
            job = await claim(there.daemon, "ingest")
            await there.daemon.queue_thread(there.daemon.queue.ack, [(job, await handle(there.daemon, job))])
            job = await claim(there.daemon, "index")
            with pytest.raises(DamagedMedia):
                await handle(there.daemon, job)
            await there.daemon.queue_thread(there.daemon.queue.park, job, "damaged-media", "it is bad")
            (gold,) = (await there.gold()).values()
            return gold

        assert (await scan("a.png")).tags == ()
        there.tag("a.png", family="")
        assert [tag.name for tag in (await scan("a.png")).tags] == ["family"]
        there.tag("a.png", friends="")
        assert [tag.name for tag in (await scan("a.png")).tags] == ["friends"]
        there.copy("a.png", "b.png")
        assert (await scan("b.png")).occurrences == 2


async def test_without_etags_what_is_put_over_an_object_within_the_second_is_seen(tmp_path: Path) -> None:
    server = juicefs_gateway(tmp_path / "gateway")
    server.argv.remove("--keep-etag")
    with server:
        async with built(tmp_path / "daemon", server) as there:
            for number in range(40):
                key = f"{number}.txt"
                await asyncio.sleep(1 - time.time() % 1)  # so that little of the second is over
                there.put(key, b"the first words")
                first = bucket_of(there.daemon).head(key)
                await run_ingest(there, key)
                there.put(key, b"other words now")
                second = bucket_of(there.daemon).head(key)
                if first == second:  # else the second was over in between
                    break
            assert first == second and second is not None and not second.etag
            await until_row(there, key, blake3(b"other words now").hexdigest())


async def until_row(there: There, key: str, asset_id: str) -> None:
    """Events come, as they do, until the place holds that content."""
    async with asyncio.timeout(60):
        while True:
            await there.look(key)
            row = await there.daemon.reader.occurrence(PathKey(ROOT, path_of(key)))
            if row is not None and row.asset_id == asset_id:
                return
            await asyncio.sleep(0.2)


async def test_what_came_of_an_object_before_its_server_died_is_not_fetched_again(tmp_path: Path) -> None:
    with juicefs_gateway(tmp_path / "gateway") as server:
        async with built(tmp_path / "daemon", server) as there:
            content = random.Random(1).randbytes(24 << 20)
            there.put("film.bin", content)
            bucket, asked, came = bucket_of(there.daemon), list[int](), list[int]()
            read = bucket.read

            def dying(key: str, start: int, length: int, **kwargs: Any) -> Iterator[bytes]:
                asked.append(length)
                done = 0
                for piece in read(key, start, length, **kwargs):
                    yield piece
                    done += len(piece)
                    came.append(len(piece))
                    if len(asked) == 1 and done > len(content) // 2 and server.process is not None:
                        server.kill()

            bucket.read = dying  # type: ignore[method-assign]
            with pytest.raises((RootAway, TimedOut)):
                await run_ingest(there, "film.bin")
            server.start()
            async with asyncio.timeout(60):
                while await there.daemon.reader.occurrence(PathKey(ROOT, "film.bin")) is None:
                    await there.daemon.queue_thread(there.daemon.queue.reclaim_all)
                    with contextlib.suppress(RootAway, TimedOut):  # as long as the bucket counts as away
                        await there.look("film.bin")
                    await asyncio.sleep(0.2)
            assert asked[0] == len(content) and sum(came) < len(content) * 1.2, "also if it dies or is late once more"
            assert (await there.row("film.bin")).asset_id == blake3(content).hexdigest()


async def test_no_more_objects_are_read_at_once_than_there_are_connections(tmp_path: Path, gateway: S3Server) -> None:
    """Those that found none would spend their attempts on waiting, and be parked."""
    async with built(tmp_path, gateway, connections=2) as there:
        keys = [PathKey(ROOT, f"{number}.bin") for number in range(8)]
        for key in keys:
            there.put(key.path, random.Random(key.path).randbytes(1000))
        bucket, at_once, most = bucket_of(there.daemon), 0, 0
        read, lock, pair = bucket.read, threading.Lock(), threading.Barrier(2, timeout=60)

        def slowly(*args: Any, **kwargs: Any) -> Iterator[bytes]:
            nonlocal at_once, most
            with lock:
                at_once += 1
                most = max(most, at_once)
            pair.wait()  # eight of them are four pairs
            time.sleep(0.05)
            yield from read(*args, **kwargs)
            with lock:
                at_once -= 1

        bucket.read = slowly  # type: ignore[method-assign]
        files = there.daemon.context.files

        async def identify(key: PathKey) -> None:
            version = await files.look(key)
            assert version is not None and await files.identify(key, version) is not None

        await asyncio.gather(*map(identify, keys))
        assert most == 2
