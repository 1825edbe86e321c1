"""One bucket as those who read of it see it: threads that fetch, and a break after a failure.

The invariant: nobody waits without end. A bucket that has just failed fails at once for :data:`BREAK_S`, then one asks
while the others still hear the same; and no thread keeps the process from ending.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from typing import Protocol

from lakewatchd import errors
from lakewatchd.config import ObjectsConfig

BREAK_S = 2.0
LOOK_S = 1.0
PATIENCE = 3
"""A reader waits so many times ``objects.timeout_s``: a request may be tried again, and may have had to queue."""


class Readable(Protocol):
    """The part of a bucket that bytes come from."""

    def read(
        self, key: str, start: int, length: int, *, etag: str, size_bytes: int | None, modified_ns: int | None
    ) -> Iterator[bytes]:
        """Exactly ``length`` bytes in pieces of any size, all of the content that is named, as far as it is.

        Raises ``ObjectChanged``, ``FileNotFoundError``, ``NotReadable``, ``RootAway``, ``TimedOut`` and ``Busy``.
        """
        ...

    def accepts(self, within_s: float) -> bool:
        """Whether anybody takes a connection."""
        ...


class Line:
    """One bucket: the threads that fetch from it, and the break that follows a failure."""

    def __init__(self, root: str, bucket: Readable, config: ObjectsConfig) -> None:
        self.bucket = bucket
        ahead = self._threads_ahead = config.connections // 2
        self._now = Hands(config.connections - ahead, f"objects of {root}")
        self._ahead = Hands(ahead, f"objects of {root}, ahead") if ahead else self._now
        self._root = root
        self._silence_s = config.timeout_s
        self._problem: errors.RootAway | None = None
        self._until = 0.0
        self._lock = threading.Lock()
        self._accepts = True
        self._looked_at = -LOOK_S
        self._looking = threading.Lock()

    @property
    def is_crowded(self) -> bool:
        """Some reading ahead waits for a thread."""
        return self._ahead.unfinished > self._threads_ahead

    def submit(self, work: Callable[[], None], give_up: Callable[[], None], *, ahead: bool) -> None:
        """Either is called, once. Whoever waits has threads of their own, which no reading ahead can take."""
        (self._ahead if ahead else self._now).submit(work, give_up)

    @contextlib.contextmanager
    def asking(self) -> Iterator[Readable]:
        """After a failure of the bucket, not of an object, ``RootAway`` at once for as long as that had taken, and at
        least for a moment; then one may try while the others still hear the same."""
        with self._lock:
            if self._problem is not None and time.monotonic() < self._until:
                raise errors.RootAway(self._problem.message, self._problem.hint)
            began = time.monotonic()
            self._until = began + PATIENCE * self._silence_s
        try:
            yield self.bucket
        except (errors.RootAway, errors.TimedOut) as exc:
            self._fail(exc, time.monotonic() - began)
            raise
        except BaseException:  # it speaks of an object, or the reader has had enough
            self.answers()
            raise
        self.answers()

    def answers(self) -> None:
        """It is well, or was a moment ago."""
        self._problem = None

    def is_there(self) -> bool:
        """For who has waited long: does anybody take a connection? Looks now and then, and takes what it sees for a
        failure. Blocks for a second."""
        with self._looking:
            if time.monotonic() - self._looked_at > LOOK_S:
                self._accepts = self.bucket.accepts(LOOK_S)
                self._looked_at = time.monotonic()
            if not self._accepts:
                self._fail(errors.RootAway(f"{self._root}: does not answer"), 0.0)
            return self._accepts

    def _fail(self, problem: errors.LakewatchError, took_s: float) -> None:
        with self._lock:
            self._problem = errors.RootAway(problem.message, problem.hint)
            self._until = time.monotonic() + max(BREAK_S, min(took_s, self._silence_s))

    def close(self) -> None:
        for hands in (self._now, self._ahead):
            hands.close()


class Hands:
    """At most ``most`` threads that work, made as there is work. Those of an executor are waited for when the
    interpreter ends: one that hears nothing from its server would keep a process from stopping."""

    def __init__(self, most: int, name: str) -> None:
        self.unfinished = 0
        """Jobs that wait or run."""
        self._most = most
        self._name = name
        self._threads = 0
        self._jobs: SimpleQueue[tuple[Callable[[], None], Callable[[], None]] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._is_closed = False

    def submit(self, work: Callable[[], None], give_up: Callable[[], None]) -> None:
        """Either is called, once: ``give_up`` when closed before its turn. Neither may raise."""
        with self._lock:
            if not self._is_closed:
                self._jobs.put((work, give_up))
                self.unfinished += 1
                if self._threads < min(self._most, self.unfinished):
                    self._threads += 1
                    threading.Thread(target=self._work, name=self._name, daemon=True).start()
                return
        give_up()

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
        with contextlib.suppress(Empty):
            while (job := self._jobs.get_nowait()) is not None:
                job[1]()
                self._done()
        for _ in range(self._threads):
            self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job[0]()
            del job  # what it read is not kept while waiting
            self._done()

    def _done(self) -> None:
        with self._lock:
            self.unfinished -= 1
