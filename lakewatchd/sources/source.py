"""What the daemon asks of any root that is watched, a directory or a bucket. No behaviour.

:class:`~lakewatchd.sources.live.RootSource` is a directory, :class:`~lakewatchd.sources.bucket.source.BucketSource` a
bucket. Use one from the event loop, but where a method says otherwise.

The invariant of each: a change is told, or covered by a scan that is still to come, or the root is away.
"""

from __future__ import annotations

from typing import Protocol

from lakewatchd.core.asset import Version
from lakewatchd.core.job import Priority
from lakewatchd.sources.known import ScanSummary
from lakewatchd.sources.status import RootStatus


class Source(Protocol):
    @property
    def name(self) -> str:
        """Of the root."""

    def why_ignored(self, path: str) -> str | None:
        """The rule that leaves the file out. Never blocks."""

    async def look(self, path: str) -> Version | None:
        """What lies there now; None for nothing, for what is no file, and for what a rule leaves out.

        Raises :class:`~lakewatchd.errors.RootAway`, :class:`~lakewatchd.errors.NotReadable`, or
        :class:`~lakewatchd.errors.TimedOut` when the storage hangs.
        """

    async def explain(self, path: str) -> str | None:
        """Why the entry is left out, by rule or by what it is; None when it is not. Errors as :meth:`look`."""

    def waiting(self, path: str) -> str:
        """Whether a change of the file was heard of and is not in the queue yet, in words. From any thread."""

    def scan_due(self, path: str) -> str:
        """Whether a scan that runs or waits will come by the file, in words. From any thread."""

    async def request_scan(
        self, directory: str = "", priority: Priority = Priority.ASKED, *, accept_removals: bool = False
    ) -> ScanSummary:
        """Scan now, and wait until its events are durable. Raises :class:`~lakewatchd.errors.RootAway`.

        ``accept_removals`` is a person's word that files which are missing, even all of them, were deleted.
        """

    def scan_soon(self) -> None:
        """Scan all, and wait for nothing."""

    async def wait_caught_up(self) -> None:
        """Every change made before the call has been emitted. Raises :class:`~lakewatchd.errors.RootAway`."""

    @property
    def status(self) -> RootStatus: ...

    @property
    def left_behind(self) -> int:
        """Threads that hang in its storage."""

    async def run(self) -> None:
        """Until cancelled. Anything it raises but cancellation is a defect: it must stop the daemon."""
