"""Plays cases: bring the fault about, make it sound, drain, examine."""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.crash import oracle
from tests.crash.bucket_root import BucketRoot
from tests.crash.cases import Case
from tests.crash.oracle import Fresh
from tests.crash.subject import CHECKOUT, OTHER_SETTINGS, Subject
from tests.servers import S3Server, juicefs_gateway

MODELS = CHECKOUT / ".cache" / "models"


@dataclass(frozen=True, slots=True)
class Cell:
    name: str
    took_s: float
    problem: str = ""


@dataclass(slots=True)
class Matrix:
    """May play several cases at once: each has a directory of its own."""

    base: Path
    is_kept: bool = False
    in_bucket: bool = False
    """The lake is in a bucket, on a server of the case's own; that of the fresh index never is."""
    gateway: S3Server | None = None
    """What is watched is a bucket there, another one in each case."""
    _fresh: dict[tuple[bool, bool], Fresh] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def play(self, case: Case) -> Cell:
        began, problem = time.monotonic(), ""
        base = self.base / "".join(char if char.isalnum() else "-" for char in case.name)
        try:
            self._play(case, base)
        except (AssertionError, Exception) as exc:
            problem = f"{type(exc).__name__}: {exc}"
        if not (problem and self.is_kept):
            shutil.rmtree(base, ignore_errors=True)
        return Cell(case.name, time.monotonic() - began, problem)

    def _play(self, case: Case, base: Path) -> None:
        fresh = self.fresh(case.walk == "stale", case.models)
        with contextlib.ExitStack() as stack:
            server = stack.enter_context(juicefs_gateway(base / "server")) if self.in_bucket else None
            if server is not None:
                server.make_bucket("lake")
            subject = Subject(base, MODELS if case.models else None, server, self._bucket())
            if case.world is not None:
                stack.enter_context(case.world(subject))
            stack.callback(subject.end)
            case.play(subject, case)
            before = subject.originals()
            subject.armed.unlink(missing_ok=True)
            if subject.exit_code() is None:
                subject.stop()
            subject.start()
            if case.retry:
                subject.drain()
                subject.ask("queue_retry")
            subject.drain()
            oracle.examine(subject, fresh, before, case.decodes, case.set_aside)

    def _bucket(self) -> BucketRoot | None:
        return BucketRoot(self.gateway) if self.gateway else None

    def fresh(self, is_stale: bool, models: bool) -> Fresh:
        """Of the same files, by a daemon that nothing happens to. Made once for each kind of settings."""
        with self._lock:
            if (is_stale, models) not in self._fresh:
                self._fresh[is_stale, models] = self._make_fresh(is_stale, models)
            return self._fresh[is_stale, models]

    def _make_fresh(self, is_stale: bool, models: bool) -> Fresh:
        base = self.base / f"fresh-{is_stale}-{models}"
        subject = Subject(base, MODELS if models else None, bucket=self._bucket())
        subject.use(OTHER_SETTINGS if is_stale else "")
        subject.begin()
        subject.leave()
        subject.change()
        try:
            subject.start()
            subject.drain()
            fresh = Fresh(subject.lake, oracle.parked(subject))
            subject.stop()
        finally:
            subject.end()
        return fresh
