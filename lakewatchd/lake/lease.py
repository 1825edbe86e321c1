"""One machine writes to a lake in a bucket: an object says which, renewed for as long as it lives.

::

    nobody's                            taken: put only if it is not there
    another's, signed off               (removed: nobody's)
    another's, changes while we watch   it lives: AlreadyRunning
    another's, the same for STALE_S     its writer died or is cut off: taken, put only if it still is the same
    our own, of this boot               we hold the lock of this machine, so we died: taken at once

No clock is compared with another machine's: what counts is how long *we* saw it unchanged. The holder trusts it for
``HOLD_S`` after it last renewed it, which is less. What no lease can stop is a writer that is frozen in the middle of
one commit of Lance and wakes after its lease was taken: that commit lands, and its next step fails.

A server that knows no conditions (it overwrites with ``If-None-Match: *``) is told by its answer. There two machines
that start within the same second may both take it; one of them finds out when it renews it, and ends.

Invariant: :meth:`Lease.require` returns only while nobody else can have taken it, but for what is said above.
"""

from __future__ import annotations

import json
import logging
import secrets
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from lakewatchd.errors import AlreadyRunning, Busy, FatalError, LakeAway, LakewatchError
from lakewatchd.lake.files import boot_id

log = logging.getLogger(__name__)

NAME = "writer.json"
"""Of the object."""
RENEW_S = 10.0
HOLD_S = 30.0
STALE_S = 45.0
SETTLE_S = 1.0
"""Where there are no conditions: how long after taking it we look whether another did the same."""
LAST_S = 10.0
"""How long who signs off waits for a renewal that is under way."""


@dataclass(frozen=True, slots=True)
class Stored:
    content: bytes
    etag: str


class Objects(Protocol):
    @property
    def uri(self) -> str: ...

    def get(self, name: str) -> Stored | None: ...

    def put(self, name: str, content: bytes, *, only_if: str | None = None) -> str | None: ...

    def remove(self, name: str) -> None: ...


class Leases:
    """Asks for the lease, as often as it takes: it remembers since when it has seen another's unchanged."""

    def __init__(self, objects: Objects, local: Path) -> None:
        self.session = secrets.token_hex(16)
        """Of this process: no two writers have the same."""
        self._objects, self._local = objects, local
        self._seen: tuple[bytes, float] | None = None

    def take(self) -> Lease:
        """Raises ``AlreadyRunning``, ``Busy`` while another's may still be alive, ``LakeAway``. While holding the lock
        of this machine."""
        me = Identity.here(self._local, self.session)
        found = self._objects.get(NAME)
        if found is not None and not me.is_our_past(found.content):
            self._watch(found.content)
        lease = Lease(self._objects, me)
        lease.take(found)
        return lease

    def _watch(self, content: bytes) -> None:
        """Returns once it was the same for long enough."""
        now = time.monotonic()
        if self._seen is None:
            self._seen = content, now
        known, since = self._seen
        who = _who(content, known)
        if content != known:
            raise AlreadyRunning(f"{who} writes to {self._objects.uri}", "stop it first: a lake has one writer")
        if now - since < STALE_S:
            raise Busy(
                f"{who} wrote to {self._objects.uri} and has not signed off",
                f"if it does not within {STALE_S:.0f} s, the lake is taken over",
            )
        log.warning("%s has not signed off and is not heard of: the lake is taken over", who)


@dataclass(frozen=True, slots=True)
class Identity:
    owner: str
    """Which directory holds the lock of this machine: a copy of it is another one."""
    boot: str
    session: str

    @classmethod
    def here(cls, local: Path, session: str) -> Identity:
        status = local.stat()
        return cls(f"{status.st_dev}:{status.st_ino}", boot_id(), session)

    def content(self, turn: int) -> bytes:
        told = {"owner": self.owner, "boot": self.boot, "session": self.session, "turn": turn}
        return json.dumps(told | {"host": socket.gethostname(), "at": time.time()}).encode()

    def is_our_past(self, content: bytes) -> bool:
        told = _parsed(content)
        return (told.get("owner"), told.get("boot")) == (self.owner, self.boot)


class Lease:
    def __init__(self, objects: Objects, me: Identity) -> None:
        self._objects, self._me = objects, me
        self._turn, self._etag = 0, ""
        self._content = b""
        self._has_conditions = True
        self._renewed = 0.0
        self._lost: FatalError | None = None
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._renewing = threading.Thread(target=self._keep, name="lake-lease", daemon=True)

    def take(self, found: Stored | None) -> None:
        """In the place of what was ``found``. Raises ``Busy`` where somebody was quicker."""
        began, self._content = time.monotonic(), self._me.content(0)
        etag = self._objects.put(NAME, self._content, only_if=found.etag if found else "")
        if etag is None:
            raise Busy(f"somebody else opens {self._objects.uri} just now", "a lake has one writer")
        again = self._objects.put(NAME, self._content, only_if="")
        self._has_conditions, self._etag = again is None, again or etag
        if not self._has_conditions:
            time.sleep(SETTLE_S)
            stored = self._objects.get(NAME)
            if stored is None or stored.content != self._content:
                raise AlreadyRunning(f"somebody else writes to {self._objects.uri}", "a lake has one writer")
        self._renewed = began
        self._renewing.start()

    def require(self) -> None:
        if self._lost is not None:
            raise self._lost
        if time.monotonic() - self._renewed > HOLD_S:
            self._renew()

    @property
    def doubt(self) -> str:
        if self._has_conditions:
            return ""
        return f"the server of {self._objects.uri} ignores conditions: it cannot always tell two writers apart"

    def release(self) -> None:
        """Signs off; where that fails, or the server has not answered for long, whoever comes next has to wait."""
        self._ended.set()
        self._renewing.join(LAST_S)
        if self._lost or self._renewing.is_alive() or time.monotonic() - self._renewed > HOLD_S:
            return
        try:
            stored = self._objects.get(NAME)
            if stored is not None and stored.content == self._content:
                self._objects.remove(NAME)
        except LakewatchError as exc:
            log.warning("the lake could not be signed off: %s", exc.message)

    def _keep(self) -> None:
        while not self._ended.wait(RENEW_S):
            try:
                self._renew()
            except LakeAway as exc:
                log.debug("the lease of the lake was not renewed: %s", exc.message)
            except LakewatchError as exc:
                log.error("%s", exc.message)
                return

    def _renew(self) -> None:
        """Raises ``LakeAway``, ``FatalError`` once it is lost, which is for good."""
        with self._lock:
            if self._lost is not None:
                raise self._lost
            began, content = time.monotonic(), self._me.content(self._turn + 1)
            if not self._has_conditions:
                self._require_ours(self._objects.get(NAME))
            etag = self._objects.put(NAME, content, only_if=self._etag if self._has_conditions else None)
            if etag is None:  # not what we left there: another's, or our own, whose answer was lost
                stored = self._objects.get(NAME)
                self._require_ours(stored)
                assert stored is not None
                self._turn, self._etag, self._content = self._turn + 1, stored.etag, stored.content
                etag = stored.etag
                if stored.content != content:  # one before, whose answer was lost: on top of it, then
                    etag = self._objects.put(NAME, content, only_if=stored.etag)
                if etag is None:
                    raise LakeAway(f"{self._objects.uri}: the lease changed under our hands")
            self._turn, self._etag, self._content, self._renewed = self._turn + 1, etag, content, began

    def _require_ours(self, stored: Stored | None) -> None:
        if stored is not None and _parsed(stored.content).get("session") == self._me.session:
            return
        who = _who(stored.content) if stored else "nobody: its mark was removed"
        self._lost = FatalError(f"{self._objects.uri} was taken over by {who}", "a lake has one writer: stop one")
        raise self._lost


def _parsed(content: bytes) -> dict[str, Any]:
    try:
        told = json.loads(content)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _who(*contents: bytes) -> str:
    """By what was read last, or before: a server may give half of what is just being written."""
    hosts = (_parsed(content).get("host") for content in contents)
    return next((f"the daemon on {host}" for host in hosts if isinstance(host, str) and host), "another daemon")
