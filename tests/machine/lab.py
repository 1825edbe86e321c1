"""The daemon under test, the fresh lake to compare with, and the verdict.

A daemon that was not killed is kept for the next history: a start costs seconds, and a lake with a long past is
the harder test. After a failure everything begins anew, so that a script fails on its own or not at all.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import shutil
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

from blake3 import blake3

from lakewatchd import config
from lakewatchd.daemon import orders, service
from lakewatchd.daemon.parts import Daemon
from lakewatchd.errors import LakewatchError
from lakewatchd.lake.compare import compare
from lakewatchd.lake.reader import LakeReader
from lakewatchd.queue.report import QueueReader
from lakewatchd.stages.plan import ALWAYS
from lakewatchd.testing import LiveDaemon, wait_until
from lakewatchd.views.mounted.catalog import Rows
from lakewatchd.views.mounted.entries import Branch
from lakewatchd.views.mounted.folders import RECENT, ROOT, Folder
from lakewatchd.views.mounted.index import Index

from .world import Operation, World

NO_SIDECAR = "damaged-media: no XMP"
"""Text under the name of a sidecar is parked, and rightly so. Nothing else may be."""
SETTINGS = """
[[root]]
name = "second"
path = "{second}"

[models]
image_text = "off"
text = "off"
detector = "off"
speech = "off"
ocr = "off"

[watch]
settle_s = 0.05
settle_open_s = 0.2
settle_group_s = 1.0

[queue]
backoff_s = 0.05

[lake]
commit_s = 0.05
optimize_commits = 16
"""

DAEMON_OPERATIONS = ("kill", "restart", "down", "up", "drain", "scan")
DRAIN_S = 120.0


class Lab:
    """One history at a time: :meth:`begin`, :meth:`do` again and again, :meth:`verdict`."""

    def __init__(self) -> None:
        self.base = Path(tempfile.mkdtemp(prefix="lw-machine-"))
        self.world = World(self.base)
        self._lives = itertools.count()
        self.daemon = self._new_daemon()
        self.is_spoilt = False
        """The next history must not inherit anything from this one."""
        self.kills = 0
        self.operations = 0
        self._suffixes: defaultdict[str, set[str]] = defaultdict(set)
        self._runs_before: Counter[tuple[str, str]] = Counter()

    def close(self) -> None:
        self.daemon.__exit__()
        self.world.close()
        shutil.rmtree(self.base, ignore_errors=True)

    def __enter__(self) -> Lab:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # --- a history ---------------------------------------------------------------------------------------------

    def begin(self) -> None:
        if self.is_spoilt:
            self.daemon.__exit__()
            shutil.rmtree(self.daemon.base, ignore_errors=True)
            self.daemon, self.is_spoilt = self._new_daemon(), False
        self.world.reset()
        self.up()
        self.drain()
        self.kills = self.operations = 0
        self._suffixes.clear()
        self._runs_before = asyncio.run(self._runs())

    def do(self, operation: Operation) -> str:
        self.operations += 1
        if operation.name in DAEMON_OPERATIONS:
            return str(getattr(self, operation.name)())
        told = self.world.apply(operation)
        for path in map(Path, map(os.fsdecode, self.world.files())):
            self._suffixes[blake3(path.read_bytes()).hexdigest()].add(path.suffix)
        return told

    def kill(self) -> str:
        if not self._is_up:
            return "nothing: it is down"
        self.daemon.kill()
        self.kills += 1
        self.daemon.start(wait=False)
        return "kill -9, start"

    def restart(self) -> str:
        if not self._is_up:
            return "nothing: it is down"
        self._end()
        self.daemon.start(wait=False)
        return "SIGTERM, start"

    def down(self) -> str:
        if not self._is_up:
            return "nothing: it is down"
        self._end()
        return "SIGTERM"

    def up(self) -> str:
        if self._is_up:
            return "nothing: it is up"
        self.daemon.start(wait=False)
        return "start"

    def scan(self) -> str:
        if not self._is_up or not self._answers():
            return "nothing: it does not answer"
        self.daemon.ask("scan")
        return "lakewatchd scan"

    def drain(self) -> str:
        """What `lakewatchd status --wait` does, with both roots there."""
        if not self._is_up:
            return "nothing: it is down"
        self.world.back()
        wait_until(self._answers, 60, "the daemon answers")
        wait_until(self._roots_are_back, 60, "both roots are back")
        self.daemon.ask("wait_idle", timeout_s=DRAIN_S)
        return "mount if away, wait until all is indexed"

    def _roots_are_back(self) -> bool:
        """A mount makes no event: a scan asks each root who it is."""
        return not any(scan["problem"] for scan in self.daemon.ask("scan")["scans"])

    def _end(self) -> None:
        """SIGTERM; a daemon that was told so early that it cannot heed it yet dies of it."""
        status = self.daemon.stop()
        assert status in (0, -15), f"SIGTERM ended it with {status}; log:\n{self.daemon.log}"

    @property
    def _is_up(self) -> bool:
        return self.daemon.process is not None and self.daemon.process.poll() is None

    def _answers(self) -> bool:
        return self.daemon._answers()

    def _new_daemon(self) -> LiveDaemon:
        return LiveDaemon(
            self.base / f"d{next(self._lives)}",
            self.world.roots["nas"],
            settings=SETTINGS.format(second=self.world.roots["second"]),
            program=("-m", "tests.machine.launcher"),
        )

    # --- the verdict -------------------------------------------------------------------------------------------

    def verdict(self) -> list[str]:
        """What is wrong after this history, in words; empty when all is well."""
        self.up()
        self.drain()
        before = self.world.snapshot()
        fresh = Path(tempfile.mkdtemp(prefix="fresh-", dir=self.base))
        try:
            state = self._index_fresh(fresh)
            wrong = asyncio.run(self._compare(state / "lake"))
            ours, theirs = _parked(self.daemon.state), _parked(state)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        wrong += [f"originals were touched: {path!r}" for path in _changed(before, self.world.snapshot())]
        wrong += [f"parked: {told}" for told in sorted(ours) if told not in theirs or NO_SIDECAR not in told]
        wrong += [f"not parked: {told}" for told in sorted(theirs - ours)]
        return wrong

    async def _compare(self, fresh: Path) -> list[str]:
        lake = self.daemon.state / "lake"
        found = (await compare(lake, fresh)).differences
        wrong = [f"{d.table}: {d.problem}: {d.key} {d.a} {d.b}".rstrip() for d in found]
        ours, theirs = await _folders(lake), await _folders(fresh)
        wrong += [f"view: {folder} differs" for folder in sorted(ours.keys() | theirs.keys(), key=repr)
                  if ours.get(folder) != theirs.get(folder)]  # fmt: skip
        return wrong + await self._unexplained()

    async def _unexplained(self) -> list[str]:
        """Work that was done more often than this history explains."""
        done = await self._runs() - self._runs_before
        explained = {key: self._explained(*key) for key in done}
        return [
            f"{stage} of {subject} ran {times} times, {explained[stage, subject]} are explained"
            for (stage, subject), times in done.items()
            if times > explained[stage, subject]
        ]

    def _explained(self, stage: str, subject: str) -> int:
        """How often a stage may have run: once, once more for each kill, and for what may have changed the answer."""
        is_of_a_place = stage in ("ingest", *ALWAYS)  # so cheap that every change of a name may ask for it
        has_many_flavours = len(self._suffixes[subject]) > 1
        return 1 + self.kills + (self.operations if is_of_a_place or has_many_flavours else 0)

    async def _runs(self) -> Counter[tuple[str, str]]:
        import lance

        path = self.daemon.state / "lake" / "lineage.lance"
        columns = lance.dataset(str(path)).to_table(columns=["stage", "subject"]).to_pydict()
        return Counter(zip(columns["stage"], columns["subject"], strict=True))

    def _index_fresh(self, base: Path) -> Path:
        """The state of a daemon that never saw these files before, made in this process."""
        fresh = LiveDaemon(base, self.daemon.root, settings=self.daemon.settings)
        fresh.write_config()
        index(fresh.config)
        return fresh.state


def index(path: Path) -> None:
    """Run the daemon of a configuration in this process until all is indexed."""
    failed: list[BaseException] = []

    async def finish(daemon: Daemon) -> None:
        try:
            await orders._wait_idle(daemon)
        except LakewatchError as exc:
            failed.append(exc)
        # Waiting passes over a root that is away; an oracle must not.
        away = {name: root.status.reason for name, root in daemon.sources.items() if root.status.reason}
        if away:
            failed.append(AssertionError(f"the fresh index could not see {away}"))
        daemon.stopping.set()

    tasks: list[asyncio.Task[None]] = []
    asyncio.run(service.run(config.load(path), on_ready=lambda d: tasks.append(asyncio.create_task(finish(d)))))
    if failed:
        raise failed[0]


def _parked(state: Path) -> set[str]:
    """What could not be done, and why."""
    with contextlib.closing(QueueReader.open_readonly(state / "queue.db")) as queue:
        return {f"{job.stage} {job.key} {job.reason}: {job.message}" for job in queue.parked(limit=10_000)}


async def _folders(lake: Path) -> dict[Folder, list[tuple[bytes, str]]]:
    """Each folder of the view: what is in it. Names count below ``by-root``; elsewhere first sight decides them."""
    tree, reader = Index(), LakeReader(lake)
    try:
        async for changes in reader.changes(0):
            tree.apply(Rows(changes.occurrences, changes.gold, changes.gold_gone))
    finally:
        reader.close()
    found: dict[Folder, list[tuple[bytes, str]]] = {}
    pending: list[Folder] = [()]
    while pending:
        folder = pending.pop()
        inside = found[folder] = []
        for name, entry in tree.entries(folder):
            if isinstance(entry, Branch):
                pending.append((*folder, name))
                inside.append((name, "folder"))
            else:
                file = tree.file(folder, name)
                assert file is not None
                inside.append((name if folder[0] == ROOT else b"", file.asset.asset_id))
        inside.sort()
    found.pop((RECENT,), None)
    return found


def _changed(before: dict[bytes, object], after: dict[bytes, object]) -> list[bytes]:
    return sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
