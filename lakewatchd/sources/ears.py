"""What tells of changes in one root, whether it is to be trusted, and which strategy follows from that.

The watcher's life is kept here, with the canary that proves it and the count of what it cannot watch. Whatever may
hang in the file system runs in threads that can be left behind.

The invariant: a directory that a scan covers is watched or handed to the poller, unless a person forbade polling.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import replace

from lakewatchd.config import WatchConfig
from lakewatchd.errors import LakewatchError, TimedOut
from lakewatchd.sources import canary, mounts
from lakewatchd.sources.canary import Sang, Silent, Song
from lakewatchd.sources.coalesce import Buffer
from lakewatchd.sources.ignore import IgnoreRules
from lakewatchd.sources.roots import Root
from lakewatchd.sources.strategy import Facts, Polls, Strategy, choose
from lakewatchd.sources.watch import start_watcher
from lakewatchd.sources.watcher import Watcher, WatchProblem
from lakewatchd.sources.worker import Worker

_log = logging.getLogger(__name__)

CALL_S = 15.0
"""Starting a watch, or the canary: longer means that the file system hangs."""
STOP_S = 6.0
PROOF_S = 30.0
"""Under a flood the watcher has much to read before it comes to a mark. Who asked in vain has all scanned, and a scan
that is ahead of the watcher holds back what nobody saw deleted."""


class Ears:
    """Use from one event loop; only :meth:`cover` is called in scan threads. ``poll`` takes what is to be polled."""

    def __init__(
        self, root: Root, config: WatchConfig, rules: IgnoreRules, buffer: Buffer, poll: Callable[[str], None]
    ) -> None:
        self._root = root
        self._config = config
        self._rules = rules
        self._buffer = buffer
        self._poll = poll
        self._watcher: Watcher | None = None
        self._failure: WatchProblem | None = None
        self._facts = Facts("", "")
        self._song: Song = Sang()
        self._past_overflows = 0
        self._workers = {name: Worker(f"{root.name}-{name}") for name in ("watch", "prune", "canary")}
        self._stopper = Worker(f"{root.name}-stop")
        self.canary_failures = 0

    # --- life --------------------------------------------------------------------------------------------------

    async def start(self, file_system: str) -> None:
        """Listen, if that is wanted and possible. Never fails: why not is in :attr:`problem` and :attr:`strategy`."""
        self._facts, self._failure, self._song = Facts(file_system, ""), None, Sang()
        if self._config.mode == "poll":
            return
        attempt = _Attempt(self._root, self._rules, self._buffer, self._config)
        try:
            self._watcher = await self._workers["watch"].run_within(CALL_S, attempt.start)
        except LakewatchError as exc:
            attempt.abandon()
            self._failure = WatchProblem(exc.message, exc.hint or "")

    async def stop(self) -> None:
        """Within seconds, even where the file system hangs."""
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            self._past_overflows += watcher.overflows
            with contextlib.suppress(TimedOut):
                await self._stopper.run_within(STOP_S, watcher.stop)
        for worker in (*self._workers.values(), self._stopper):  # one may hang: begin again with new ones
            worker.close()

    # --- scans -------------------------------------------------------------------------------------------------

    def cover(self, directory: str) -> None:
        """In scan threads, before the directory is listed: watch it, or have it polled."""
        watcher = self._watcher
        is_watched = watcher is not None and watcher.cover(directory)
        if self._config.poll_s and (not is_watched or self.strategy.polls is Polls.ALL):
            self._poll(directory)

    def begin_scan(self) -> None:
        """A scan of all will come by everywhere."""
        if self._watcher is not None:
            self._watcher.unwatched.begin()

    def end_scan(self) -> None:
        """It did."""
        if self._watcher is not None:
            self._watcher.unwatched.end()

    async def prune(self) -> None:
        """After a scan: forget what was moved away."""
        if self._watcher is not None:
            await self._workers["prune"].run(self._watcher.prune)

    # --- proofs ------------------------------------------------------------------------------------------------

    async def prove(self) -> None:
        """Send out the canary. What it says is in :attr:`strategy`."""
        if self._watcher is None:
            return
        song = await self._sing()
        if isinstance(song, Silent) and not isinstance(self._song, Silent):
            self.canary_failures += 1
            _log.warning("events do not arrive: %s", song.reason, extra={"root": self._root.name})
        if isinstance(song, Sang | Silent):  # not being able to ask changes nothing
            self._song = song

    async def _sing(self) -> Song:
        try:
            song = await self._workers["canary"].run_within(CALL_S, canary.sing, self._root.path, self._config.canary)
        except TimedOut:
            return canary.NotAsked("no answer")
        if isinstance(song, Sang) and not await self.heard_all():
            return Silent("the watcher does not answer")
        return song

    async def heard_all(self, answer_s: float = PROOF_S) -> bool:
        """All changes made until now, that the kernel knows of, are in the buffer. False when that cannot be told."""
        watcher = self._watcher
        if watcher is None:
            return False
        loop, passed = asyncio.get_running_loop(), asyncio.Event()
        try:
            if not watcher.mark(lambda: loop.call_soon_threadsafe(passed.set)):
                return False
            async with asyncio.timeout(answer_s):
                await passed.wait()
        except TimeoutError:
            return False
        return True

    # --- for status and decisions ------------------------------------------------------------------------------

    @property
    def strategy(self) -> Strategy:
        """As of this moment."""
        facts = replace(
            self._facts,
            tier=self.tier,
            no_events=self._no_events,
            unwatched=self.unwatched,
            why_unwatched=self._why(),
        )
        return choose(facts, self._config)

    @property
    def tells_all(self) -> bool:
        """No change can go unheard, as far as is known."""
        return bool(self._watcher and not self._watcher.problem and not self.strategy.reason)

    @property
    def tier(self) -> str:
        return str(self._watcher.tier) if self._watcher is not None and self._watcher.is_alive else ""

    @property
    def why_not(self) -> tuple[str, ...]:
        """Why not a better tier."""
        return self._watcher.why_not if self._watcher is not None else ()

    @property
    def is_lost(self) -> bool:
        """The watcher ended by itself."""
        return self._watcher is not None and not self._watcher.is_alive

    @property
    def watched(self) -> int:
        return self._watcher.watched if self._watcher is not None else 0

    @property
    def unwatched(self) -> int:
        """Directories that should be watched and cannot be."""
        return len(self._watcher.unwatched) if self._watcher is not None else 0

    @property
    def overflows(self) -> int:
        return self._past_overflows + (self._watcher.overflows if self._watcher is not None else 0)

    @property
    def problem(self) -> WatchProblem | None:
        if isinstance(self._song, Silent):
            return WatchProblem(f"events do not arrive ({self._song.reason}); its directories are polled instead")
        return self._failure or (self._watcher.problem if self._watcher is not None else None)

    @property
    def left_behind(self) -> int:
        return sum(worker.left_behind for worker in (*self._workers.values(), self._stopper))

    @property
    def _no_events(self) -> str:
        if isinstance(self._song, Silent):
            return self._song.reason
        return self._failure.reason if self._failure is not None else ""

    def _why(self) -> str:
        problem = self._watcher.problem if self._watcher is not None else None
        return problem.reason if problem is not None else "they could not be watched"


def trial(root: Root, config: WatchConfig) -> Strategy:
    """What would be chosen if the daemon started now. May block; writes nothing, and leaves nothing behind."""
    facts = Facts(mounts.mount_of(root.path).file_system, "")
    if config.mode != "poll":
        try:
            watcher = _Attempt(root, IgnoreRules(root.path, ()), Buffer(root.name, 2), config).start()
        except LakewatchError as exc:
            facts = replace(facts, no_events=exc.message)
        else:
            watcher.stop()
            song = canary.sing(root.path)
            facts = replace(facts, tier=str(watcher.tier), no_events=song.reason if isinstance(song, Silent) else "")
    return choose(facts, config)


class _Attempt:
    """A start that may be given up while it hangs: what comes of it later is stopped at once."""

    def __init__(self, root: Root, rules: IgnoreRules, buffer: Buffer, config: WatchConfig) -> None:
        self._args = (root, rules, buffer, config.watcher, config.events_socket)
        self._is_abandoned = False

    def start(self) -> Watcher:
        watcher = start_watcher(*self._args)
        if self._is_abandoned:
            watcher.stop()
        return watcher

    def abandon(self) -> None:
        self._is_abandoned = True
