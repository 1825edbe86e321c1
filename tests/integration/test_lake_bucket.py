"""A lake in a bucket: what a lake in a directory promises, on two servers of which one knows no conditions."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from lake_rows import DIMS, asset_id, batch, occurrence
from minio.error import S3Error
from servers import Proxy, S3Server, make_tls

from lakewatchd.buckets.access import Credentials
from lakewatchd.cli.checks import Level, check_lake
from lakewatchd.config import Config, DaemonConfig, LakeConfig
from lakewatchd.daemon.repair import mend_lake
from lakewatchd.errors import AlreadyRunning, Busy, FatalError, LakeAway, LakeDamaged, OutOfSpace
from lakewatchd.lake import durable, lease, maintain, schema
from lakewatchd.lake.bucket import BucketFiles, BucketLock
from lakewatchd.lake.compare import compare
from lakewatchd.lake.files import bytes_below
from lakewatchd.lake.finder import Finder, Words
from lakewatchd.lake.mend import mend
from lakewatchd.lake.reader import LakeReader
from lakewatchd.lake.rows import Batch, Presence
from lakewatchd.lake.tables import LakeWriter, serving
from lakewatchd.lake.verify import require_whole

CHECKOUT = Path(__file__).parents[2]


@dataclasses.dataclass(frozen=True)
class Place:
    """A lake of its own on a server, seen from a machine whose state is in ``base``."""

    server: S3Server
    base: Path
    uri: str
    endpoint: str = ""
    secret_key: str = ""

    def config(self) -> LakeConfig:
        return LakeConfig(
            uri=self.uri, endpoint=self.endpoint or self.server.endpoint, commit_s=0.0, optimize_commits=4
        )

    def files(self) -> BucketFiles:
        keys = Credentials(self.server.access_key, self.secret_key or self.server.secret_key)
        return BucketFiles(self.config(), keys, self.base / "lake")

    def elsewhere(self, name: str = "other") -> Place:
        """The same lake, from another machine."""
        return dataclasses.replace(self, base=self.base / name)

    def child(self, code: str, *more: str, endpoint: str = "") -> list[str]:
        """The command of a Python process that is told of the place."""
        paths, server = [str(CHECKOUT), str(CHECKOUT / "tests")], self.server
        told = [self.uri, endpoint or server.endpoint, server.access_key, server.secret_key, str(self.base)]
        return [sys.executable, "-c", code, *paths, *told, *more]

    async def open(self, files: BucketFiles | None = None) -> LakeWriter:
        self.base.mkdir(exist_ok=True)
        return await LakeWriter.open(files or self.files(), self.base / "thumbnails.db", DIMS, self.config())


def place_on(server: S3Server, base: Path) -> Place:
    """A prefix of its own in one bucket: SeaweedFS has room for few buckets."""
    with contextlib.suppress(S3Error):
        server.make_bucket("lakes")
    return Place(server, base, f"s3://lakes/{secrets.token_hex(4)}/lake")


@pytest.fixture(params=["gateway", "weed"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """On MinIO's code of before conditions, and on a server that keeps to them."""
    return place_on(request.getfixturevalue(request.param), tmp_path)


@pytest.fixture
def strict(weed: S3Server, tmp_path: Path) -> Place:
    return place_on(weed, tmp_path)


async def live(writer: LakeWriter) -> None:
    """Rows come, change and go; then all is tidied."""
    await asyncio.gather(*(writer.submit(batch(number, spans=2)) for number in range(6)))
    await writer.submit(batch(1, spans=1, title="again"))
    await writer.submit(Batch(occurrences=(occurrence(2, Presence.GONE),), gold_gone=(asset_id(2),)))
    await writer.purge_old(0.0)
    await writer.optimize()


async def titles(place: Place) -> Counter[str]:
    reader = LakeReader(place.files())
    with contextlib.closing(reader):
        return Counter([row.asset_id for row in (await reader.changes_since(0)).gold])


# --- the same life ------------------------------------------------------------------------------------------


async def test_the_same_history_gives_the_same_lake_as_in_a_directory(strict: Place) -> None:
    local = strict.base / "local"
    async with serving(await LakeWriter.open(local / "lake", local / "t.db", DIMS, strict.config())) as writer:
        await live(writer)
    async with serving(await strict.open()) as writer:
        identity = writer.identity
        await live(writer)
        reader, finder = LakeReader(strict.files()), Finder(strict.files())
        with contextlib.closing(reader), contextlib.closing(finder):
            assert [found.asset_id for found in await finder.words(Words(any=("number4",)), 3)] == [asset_id(4)]
            changes = await reader.changes_since(0)
            await writer.submit(batch(7))
            assert [row.asset_id for row in (await reader.changes_since(changes.revision)).gold] == [asset_id(7)]
            assert {table.rows for table in await reader.counts() if table.table == "gold_assets"} == {6}
    async with serving(await LakeWriter.open(local / "lake", local / "t.db", DIMS, strict.config())) as writer:
        await writer.submit(batch(7))
    assert (await compare(local / "lake", strict.files())).differences == ()
    files = strict.files()
    assert sorted(name for name in files.sizes() if ".lance/" not in name) == [durable.LEDGER]  # signed off
    assert files.tables() == sorted(spec.name for spec in schema.TABLES)
    async with serving(await strict.open()) as writer:  # an orderly end is no reason to wait
        assert writer.identity == identity


@pytest.mark.long
async def test_old_versions_are_removed_where_the_server_removes_many_files_in_its_own_way(
    gateway: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintain, "KEEP_VERSIONS", maintain.dt.timedelta(0))
    place = place_on(gateway, tmp_path)
    async with serving(await place.open()) as writer:
        await writer.submit(batch(1))
        await writer.optimize()
    assert [len(durable.manifests(place.files(), spec.name)) for spec in schema.TABLES] == [1] * len(schema.TABLES)
    assert await titles(place) == Counter([asset_id(1)])


async def test_a_lake_is_carried_into_a_bucket_and_back_by_copying_its_files(strict: Place) -> None:
    local = strict.base / "local"
    async with serving(await LakeWriter.open(local / "lake", local / "t.db", DIMS, LakeConfig())) as writer:
        identity = writer.identity
        await asyncio.gather(*(writer.submit(batch(number)) for number in range(3)))
    files = strict.files()
    for path in (local / "lake").rglob("*"):
        if path.is_file():
            files.put(path.relative_to(local / "lake").as_posix(), path.read_bytes())
    async with serving(await strict.open()) as writer:
        assert writer.identity == identity
        await writer.submit(batch(8))
    back = strict.base / "back" / "lake"
    for name in files.sizes():
        (back / name).parent.mkdir(parents=True, exist_ok=True)
        (back / name).write_bytes(files.read(name) or b"")
    async with serving(await LakeWriter.open(back, strict.base / "back.db", DIMS, LakeConfig())) as writer:
        assert writer.identity == identity
    assert (await compare(back, files)).differences == ()


def test_what_a_killed_writer_had_half_uploaded_is_given_up(strict: Place) -> None:
    from minio import Minio

    client: Minio = strict.server.client()
    bucket = strict.uri.split("/")[2]
    ours, other = f"{strict.uri.split('/', 3)[3]}/gold_assets.lance/data/x", f"somebody/{secrets.token_hex(4)}"
    for name in (ours, other):
        client._create_multipart_upload(bucket_name=bucket, object_name=name, headers={})
    strict.files().lock().release()
    left = {upload.object_name for upload in client._list_multipart_uploads(bucket_name=bucket, prefix="").uploads}
    assert other in left
    assert ours not in left


TRUSTING = """
import asyncio, sys
from pathlib import Path
from typing import NoReturn
sys.path[:0] = sys.argv[1:3]
from lake_rows import DIMS, batch
from lakewatchd.buckets.access import Credentials
from lakewatchd.cli.checks import Level, check_lake
from lakewatchd.config import Config, DaemonConfig, LakeConfig
from lakewatchd.daemon.repair import mend_lake
from lakewatchd.errors import LakeAway
from lakewatchd.lake.bucket import BucketFiles
from lakewatchd.lake.tables import LakeWriter, serving

async def main(uri, endpoint, key, secret, base, ca):
    config = LakeConfig(uri=uri, endpoint=endpoint, tls_ca=ca)
    files = BucketFiles(config, Credentials(key, secret), base / "lake")
    async with serving(await LakeWriter.open(files, base / "t.db", DIMS, config)) as writer:
        await writer.submit(batch(1))

try:
    asyncio.run(main(*sys.argv[3:7], Path(sys.argv[7]), sys.argv[8]))
except LakeAway as exc:
    sys.exit(exc.message)
"""


async def test_an_authority_of_ones_own_is_trusted_by_lance_too(strict: Place, tmp_path: Path) -> None:
    """In a process of its own: whom Lance trusts is asked of the environment."""
    tls = make_tls(tmp_path / "tls")
    with Proxy(strict.server.endpoint, tls) as proxy:

        async def told(ca: str) -> str:
            argv = strict.child(TRUSTING, endpoint=proxy.endpoint)
            done = await asyncio.to_thread(subprocess.run, [*argv, ca], capture_output=True, text=True, check=False)
            return done.stderr if done.returncode else ""

        assert await told(str(tls.ca)) == ""
        assert "certificate verify failed" in await told("")


# --- one writer ------------------------------------------------------------------------------------------------


@pytest.fixture
def quick_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Renewed often. They hold as long as ever: whoever is slow must not lose one, or leave it unsigned."""
    for name, value in (("RENEW_S", 0.2), ("SETTLE_S", 0.1)):
        monkeypatch.setattr(lease, name, value)


@pytest.fixture
def soon_followed(quick_leases: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "STALE_S", 2.0)


def locked_in_time(files: BucketFiles) -> BucketLock:
    """As the daemon does: asked again of the same files."""
    while True:
        try:
            return files.lock()
        except Busy:
            time.sleep(0.05)


def stop_renewing(lock: BucketLock) -> None:
    """As a machine without power, or one that is frozen."""
    lock._lease._ended.set()
    lock._lease._renewing.join()


def test_a_second_machine_is_refused(place: Place, quick_leases: None) -> None:
    lock = place.files().lock()
    with pytest.raises(AlreadyRunning, match=socket.gethostname()):
        locked_in_time(place.elsewhere().files())
    with pytest.raises(AlreadyRunning, match="process"):
        place.files().lock()
    lock.require()
    lock.release()
    place.elsewhere().files().lock().release()  # signed off: nobody waits


def test_a_machine_that_died_is_waited_for_and_followed(place: Place, soon_followed: None) -> None:
    frozen = place.files().lock()
    stop_renewing(frozen)
    follower = locked_in_time(place.elsewhere().files())
    frozen._lease._renewed -= lease.HOLD_S  # so long it was frozen
    with pytest.raises(FatalError, match="taken over"):  # it was only frozen, and wakes
        frozen.require()
    frozen.release()
    follower.require()
    follower.release()
    assert not place.files().sizes()


async def test_an_ousted_writer_cannot_tell_that_its_rows_are_durable(
    strict: Place, monkeypatch: pytest.MonkeyPatch, soon_followed: None
) -> None:
    """Frozen after its lease was last asked for: its rows land, its ledger does not."""
    writer = await strict.open()
    await asyncio.to_thread(stop_renewing, writer._lock)
    other = strict.elsewhere()
    files = other.files()
    await asyncio.to_thread(lambda: locked_in_time(files).release())
    async with serving(await other.open(files)) as follower:
        await follower.submit(batch(1))
        monkeypatch.setattr(lease.Lease, "require", lambda self: None)
        with pytest.raises(FatalError, match="somebody else writes"):
            async with serving(writer):
                await writer.submit(batch(2))
        await follower.submit(batch(3))


async def test_of_many_that_start_at_once_one_may_write(strict: Place) -> None:
    machines = [strict.elsewhere(f"machine {number}").files() for number in range(8)]
    told = await asyncio.gather(*(asyncio.to_thread(one.lock) for one in machines), return_exceptions=True)
    locks = [one for one in told if isinstance(one, BucketLock)]
    assert len(locks) == 1
    assert all(isinstance(one, Busy | AlreadyRunning) for one in told if not isinstance(one, BucketLock)), told
    locks[0].release()


def test_who_removes_the_mark_stops_the_writer(strict: Place, quick_leases: None) -> None:
    files = strict.files()
    lock = files.lock()
    with lock._lease._lock:  # not in the middle of a renewal
        files.remove(lease.NAME)
    deadline = time.monotonic() + 60
    with pytest.raises(FatalError, match="mark was removed"):
        while time.monotonic() < deadline:
            lock.require()
            time.sleep(0.01)
    lock.release()


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from typing import NoReturn
sys.path[:0] = sys.argv[1:3]
from lake_rows import DIMS, batch
from lakewatchd.config import LakeConfig
from lakewatchd.buckets.access import Credentials
from lakewatchd.lake.bucket import BucketFiles
from lakewatchd.lake.tables import LakeWriter, serving

async def main(uri, endpoint, key, secret, base):
    config = LakeConfig(uri=uri, endpoint=endpoint, commit_s=0.0, optimize_commits=3)
    files = BucketFiles(config, Credentials(key, secret), base / "lake")
    async with serving(await LakeWriter.open(files, base / "t.db", DIMS, config)) as writer:
        for number in range(1000):
            many = [(number * 3 + at) % 12 for at in range(3)]
            await asyncio.gather(*(writer.submit(batch(n, spans=2, title=str(number))) for n in many))
            print(*(f"{n}={number}" for n in many), flush=True)

asyncio.run(main(*sys.argv[3:7], Path(sys.argv[7])))
"""


async def test_kill_9_loses_nothing_and_doubles_nothing_and_nobody_waits(strict: Place) -> None:
    """On the same machine: the lock of the dead is known to be its own."""
    told: dict[int, str] = {}
    child = await asyncio.create_subprocess_exec(*strict.child(KILLED), stdout=subprocess.PIPE)
    assert child.stdout is not None
    for _ in range(6):
        line = (await child.stdout.readline()).decode()
        told |= {int(n): title for n, _, title in (item.partition("=") for item in line.split())}
    child.send_signal(signal.SIGKILL)
    await child.wait()
    assert len(told) == 12
    async with serving(await strict.open()) as writer:
        reader = LakeReader(strict.files())
        with contextlib.closing(reader):
            rows = [row async for row in reader.all_gold()]
        assert Counter(row.asset_id for row in rows) == Counter(map(asset_id, range(12)))
        titles = {row.asset_id: int(row.title) for row in rows}
        for number, title in told.items():
            assert titles[asset_id(number)] >= int(title)  # one more may have been durable without having been told
        await writer.submit(batch(20))


# --- servers that fail -----------------------------------------------------------------------------------------


def test_without_an_endpoint_a_name_that_is_unknown_is_told_to_be_amazons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: object, **__: object) -> NoReturn:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    for endpoint in ("", "http://nas.invalid:9000"):
        config = LakeConfig(uri="s3://photos/lake", endpoint=endpoint)
        with pytest.raises(LakeAway) as caught:
            BucketFiles(config, Credentials(), tmp_path).sizes()
        assert ("endpoint = … under [lake]" in (caught.value.hint or "")) == (not endpoint)


def test_check_says_what_is_wrong_and_leaves_nothing_behind(
    place: Place, quick_leases: None, caplog: pytest.LogCaptureFixture
) -> None:
    keys = {"access_key": place.server.access_key, "secret_key": place.server.secret_key}
    state = place.base / "state"
    config = Config(
        daemon=DaemonConfig(state_dir=state, runtime_dir=place.base),
        lake=dataclasses.replace(place.config(), **keys),  # type: ignore[arg-type]
    )
    found = list(check_lake(config))
    assert [finding.level for finding in found if finding.text == f"{place.uri} is whole"] == [Level.OK]
    assert any("ignores conditions" in finding.text for finding in found) == ("gateway" in str(place.server.argv))
    assert not caplog.records, "said twice"
    assert mend_lake(config) == []
    assert not place.files().sizes()
    assert not state.exists()
    lock = place.files().lock()
    assert list(check_lake(config)) == []  # whoever writes looked when it started
    lock.release()
    refused = dataclasses.replace(config, lake=dataclasses.replace(config.lake, secret_key="swordfish-swordfish"))
    (finding,) = check_lake(refused)
    assert finding.level is Level.ERROR
    assert "refuses" in finding.text
    assert "swordfish" not in str(finding)


class Wire:
    """Between a lake and its server: loses answers, or gives its own."""

    def __init__(self, server: S3Server) -> None:
        self._server = int(server.endpoint.rpartition(":")[2])
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.loses: Callable[[str], bool] = lambda line: False
        self.refuses: Callable[[str], tuple[int, str] | None] = lambda line: None
        self.lost: list[str] = []

    def __enter__(self) -> Wire:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._socket.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with (
            contextlib.suppress(OSError),
            client,
            socket.create_connection(("127.0.0.1", self._server)) as server,
            client.makefile("rb") as asked,
            server.makefile("rb") as answered,
        ):
            while head := self._head(asked):
                line, body = head.partition(b"\r\n")[0].decode(), self._body(head, asked)
                if own := self.refuses(line):
                    text = f"<Error><Code>{own[1]}</Code></Error>".encode()
                    status = b"HTTP/1.1 %d No\r\nContent-Length: %d\r\n\r\n" % (own[0], len(text))
                    client.sendall(status + (b"" if line.startswith("HEAD") else text))
                    continue
                server.sendall(head + body)
                head = self._head(answered)
                body = b"" if line.startswith("HEAD") else self._body(head, answered)
                if self.loses(line):
                    self.lost.append(line)
                    return
                client.sendall(head + body)

    @staticmethod
    def _head(file: object) -> bytes:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            if not (line := file.readline()):  # type: ignore[attr-defined]
                return b""
            head += line
        return head

    @staticmethod
    def _body(head: bytes, file: object) -> bytes:
        if re.search(rb"transfer-encoding: *chunked", head, re.I):
            body = b""
            while True:
                line = file.readline()  # type: ignore[attr-defined]
                body += line + file.read(int(line, 16) + 2)  # type: ignore[attr-defined]
                if int(line, 16) == 0:
                    return body
        length = re.search(rb"content-length: *(\d+)", head, re.I)
        return file.read(int(length[1])) if length else b""  # type: ignore[attr-defined, no-any-return]


@pytest.fixture
def wired(strict: Place) -> Iterator[tuple[Place, Wire]]:
    with Wire(strict.server) as wire:
        yield dataclasses.replace(strict, endpoint=wire.endpoint), wire


async def test_answers_that_are_lost_double_nothing(wired: tuple[Place, Wire]) -> None:
    """Of every write once: the commits of all tables, the ledger, the lease."""
    place, wire = wired
    lost: set[str] = set()

    def once(line: str) -> bool:
        method, key, _ = line.split(" ", 2)
        fresh = method == "PUT" and (key.endswith((".manifest", ".json"))) and (key, number) not in lost
        lost.add((key, number))  # type: ignore[arg-type]
        return fresh

    number = 0
    async with serving(await place.open()) as writer:
        wire.loses = once
        for number in range(3):
            await writer.submit(batch(number))
        await asyncio.to_thread(writer._lock._lease._renew)  # type: ignore[attr-defined]
        wire.loses = lambda line: line.startswith("PUT")  # and of all writes at once, as of a server that dies
        with pytest.raises(LakeAway):
            await writer.submit(batch(3))
        with pytest.raises(LakeAway):
            await asyncio.to_thread(writer._lock._lease._renew)  # type: ignore[attr-defined]
        wire.loses = lambda line: False
        await asyncio.to_thread(writer._lock._lease._renew)  # type: ignore[attr-defined]
        await writer.submit(batch(3))
    assert sum(".manifest" in line for line in wire.lost) >= 12
    assert sum("lake.json" in line for line in wire.lost) >= 3
    assert await titles(place) == Counter(map(asset_id, range(4)))
    reader = LakeReader(place.files())
    with contextlib.closing(reader):
        assert {table.table: table.rows for table in await reader.counts()} == {
            spec.name: 0 if spec.name in ("gold_gone", "person_words", "learned") else 4 for spec in schema.TABLES
        }


@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        ((507, "XMinioStorageFull"), OutOfSpace, "no space left"),
        ((400, "XMinioAdminBucketQuotaExceeded"), OutOfSpace, "no space left"),
        ((403, "AccessDenied"), LakeAway, "refuses: AccessDenied"),
        ((500, "InternalError"), LakeAway, "InternalError"),
    ],
    ids=lambda value: str(value[1]) if isinstance(value, tuple) else "",
)
async def test_a_server_that_refuses_is_waited_for(
    strict: Place, answer: tuple[int, str], error: type[Exception], says: str
) -> None:
    """What it refused was told to nobody, and is written when it is submitted again: to tables, or to the ledger."""
    with Wire(strict.server) as wire:
        place = dataclasses.replace(strict, endpoint=wire.endpoint)
        async with serving(await place.open()) as writer:
            for where in ("/data/", durable.LEDGER):
                wire.refuses = lambda line, where=where: answer if line.startswith("PUT") and where in line else None  # type: ignore[misc]
                with pytest.raises(error, match=says):
                    await writer.submit(batch(1))
                wire.refuses = lambda line: None
                await writer.submit(batch(1))
    assert await titles(strict) == Counter([asset_id(1)])


async def test_wrong_keys_are_told_without_the_keys(strict: Place) -> None:
    wrong = dataclasses.replace(strict, secret_key="swordfish-swordfish")
    with pytest.raises(LakeAway, match="refuses: SignatureDoesNotMatch") as told:
        await wrong.open()
    reader = LakeReader(wrong.files())
    with contextlib.closing(reader), pytest.raises(LakeAway) as read:
        await reader.all_gold().__anext__()
    for error in (told.value, read.value):
        assert error.hint
        text = f"{error.message} {error.hint} {error!r}"
        assert wrong.secret_key not in text
        assert strict.server.access_key not in text


async def test_no_such_bucket(strict: Place) -> None:
    with pytest.raises(LakeAway, match="no such bucket"):
        await dataclasses.replace(strict, uri="s3://nobody-made-this/lake").open()


# --- damage ----------------------------------------------------------------------------------------------------


async def damaged(place: Place, monkeypatch: pytest.MonkeyPatch) -> BucketFiles:
    monkeypatch.setattr(maintain, "IDLE_COMMITS", 1000)
    async with serving(await place.open()) as writer:
        for number in range(3):
            await writer.submit(batch(number))
    return place.files()


def data_file(files: BucketFiles, table: str) -> str:
    return next(name for name in files.sizes(f"{table}.lance/data/"))


@pytest.mark.long
async def test_lost_parts_are_found_and_mended(strict: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    files = await damaged(strict, monkeypatch)
    before = durable.read_ledger(files).identity
    files.remove(data_file(files, "silver_spans"))
    with pytest.raises(LakeDamaged, match="silver_spans"):
        await strict.open()
    done = await asyncio.to_thread(mend, files, time.time())
    assert any("silver_spans" in line and "1 rows are lost" in line for line in done)
    assert await asyncio.to_thread(mend, files, time.time()) == []
    async with serving(await strict.open()) as writer:
        assert writer.identity != before
        await asyncio.gather(*(writer.submit(batch(number)) for number in range(3)))
    assert await titles(strict) == Counter(map(asset_id, range(3)))


async def test_a_server_that_refuses_while_it_is_looked_at_is_no_damage(
    strict: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Least of all for a repair, which would give up what it cannot read."""
    before = (await damaged(strict, monkeypatch)).sizes()
    for where in ("/data/", "/_versions/", "/_indices/"):
        with Wire(strict.server) as wire:
            files = dataclasses.replace(strict, endpoint=wire.endpoint).files()
            wire.refuses = lambda line, where=where: (403, "AccessDenied") if where in line else None  # type: ignore[misc]
            with pytest.raises(LakeAway):
                await asyncio.to_thread(mend, files, time.time())
    assert strict.files().sizes() == before


@pytest.mark.long
async def test_a_table_of_which_nothing_is_readable_is_set_aside_and_made_again(
    strict: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = await damaged(strict, monkeypatch)
    for name in durable.manifests(files, "gold_assets"):
        files.put(name, b"nonsense")
    done = await asyncio.to_thread(mend, files, 0.0)
    assert any("set aside as gold_assets.lance.damaged-" in line for line in done)
    assert bytes_below(files, "gold_assets") == 0
    assert any("damaged-19700101" in name and "/data/" in name for name in files.sizes())
    async with serving(await strict.open()) as writer:
        await writer.submit(batch(1))
    assert await titles(strict) == Counter([asset_id(1)])


async def test_a_ledger_that_is_lost_is_written_anew(strict: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    files = await damaged(strict, monkeypatch)
    files.remove(durable.LEDGER)
    with pytest.raises(LakeDamaged, match=re.escape(f"{strict.uri}/{durable.LEDGER} is missing")):
        await strict.open()
    assert await asyncio.to_thread(mend, files, time.time())
    require_whole(files)
    raw = json.loads(files.read(durable.LEDGER) or b"")
    assert raw["boot"] == "bucket"
    shutil.rmtree(strict.base / "lake")
    async with serving(await strict.open()):
        pass
