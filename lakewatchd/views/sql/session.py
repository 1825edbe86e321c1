"""One query from the outside: what it names is found and opened here, all else happens in a process that may be killed.

Invariant: a query gets the lake as of its beginning, the files it names and that are tables of the lake, so much time
and so much memory; and nothing is left of it when :meth:`Sql.ask` is left.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lakewatchd.child import Child, Json, Limits
from lakewatchd.config import Config
from lakewatchd.core.status import Layer
from lakewatchd.core.wire import from_json, to_json
from lakewatchd.errors import BadQuery, TimedOut, TooLarge, WorkerDied
from lakewatchd.lake.files import Files, files_of, own_options
from lakewatchd.lake.reader import LakeReader
from lakewatchd.views.sql.named import Named, named_in

if TYPE_CHECKING:
    import pyarrow as pa

MODULE = "lakewatchd.views.sql.child_main"
MAX_QUERY_CHARS = 20_000
_THREADS = 2
_LIBRARIES_BYTES = 3 << 30
"""Address space that libraries and their threads reserve, most of which is never used."""
_FRUGAL = {
    "LANCE_CPU_THREADS": str(_THREADS),
    "LANCE_DEFAULT_IO_BUFFER_SIZE": str(256 << 20),
    "MALLOC_ARENA_MAX": str(_THREADS),
    "TOKIO_WORKER_THREADS": str(_THREADS),
}
"""On a machine of many cores, threads for each would reserve more address space than there is."""
_START_S = 60.0
"""To load libraries and open the lake is no fault of the query."""


@dataclass(frozen=True, slots=True)
class File:
    """A table that lies in a file: how the query calls it, where the child finds it, its shape as JSON."""

    called: str
    path: str
    shape: str


@dataclass(frozen=True, slots=True)
class Opening:
    """What the child is told before the query. Holds the secrets of a lake in a bucket."""

    uri: str
    options: dict[str, str] | None
    files: tuple[File, ...]
    away: tuple[str, ...]
    memory_mb: int
    threads: int


@dataclass(slots=True)
class Rows:
    """An answer: its schema, and its rows as they come. One pass."""

    schema: pa.Schema
    layers: tuple[Layer, ...]
    asking: Asking

    async def batches(self) -> AsyncIterator[pa.RecordBatch]:
        """Raises what the query raises half-way: ``BadQuery``, ``TooLarge``, ``TimedOut``."""
        import pyarrow as pa

        while blobs := await self.asking.call("rows", {}):
            yield pa.ipc.open_stream(blobs[0]).read_next_batch()


@dataclass(slots=True)
class Sql:
    """Callable from one event loop; each query has a process of its own."""

    config: Config
    _files: Files = field(init=False)

    def __post_init__(self) -> None:
        self._files = files_of(self.config)

    @contextlib.asynccontextmanager
    async def ask(self, query: str, away: Collection[str] = ()) -> AsyncIterator[Rows]:
        """``away``: roots that cannot be read just now, which the lake does not know.

        Raises ``BadQuery`` for what cannot be answered, with the reason, else ``TimedOut``, ``TooLarge``."""
        import pyarrow as pa

        if len(query) > MAX_QUERY_CHARS:
            raise BadQuery(f"a query has at most {MAX_QUERY_CHARS} characters")
        reader = LakeReader(self._files)
        try:
            named = await named_in(query, reader, self.config)
        finally:
            reader.close()
        with contextlib.ExitStack() as held:
            fds = []
            for table in named.tables:
                fds.append(await table.open())
                held.callback(os.close, fds[-1])
            asking = Asking(self._child(fds), self.config.sql.timeout_s)
            try:
                layers = await asking.start(self._opening(named, fds, away))
                try:
                    (schema,) = await asking.call("ask", {"query": query})
                except BadQuery as exc:
                    raise named.explained(exc) from exc
                yield Rows(pa.ipc.read_schema(pa.py_buffer(schema)), layers, asking)
            finally:
                await asking.child.close()

    def _child(self, fds: list[int]) -> Child:
        limits = Limits(
            memory_bytes=(self.config.sql.memory_mb << 20) + _LIBRARIES_BYTES, file_bytes=1, open_files=4096
        )
        return Child(MODULE, limits, env=_FRUGAL, inherits=False, pass_fds=tuple(fds))

    def _opening(self, named: Named, fds: list[int], away: Collection[str]) -> Opening:
        files = tuple(
            File(table.called, f"/proc/self/fd/{fd}", table.shape) for table, fd in zip(named.tables, fds, strict=True)
        )
        options = own_options(self._files)
        given = dict(options) if options is not None else None
        return Opening(self._files.uri, given, files, tuple(away), self.config.sql.memory_mb, _THREADS)


@dataclass(slots=True)
class Asking:
    """A child that has so much time left. What the reader of its rows takes does not count."""

    child: Child
    left_s: float

    async def start(self, opening: Opening) -> tuple[Layer, ...]:
        try:
            async with asyncio.timeout(_START_S):
                await self.child.start()
                reply = await self.child.call("open", to_json(opening))
        except TimeoutError as exc:
            raise TimedOut("the process of the query does not come up", "the machine is busy: try again") from exc
        layers: Any = reply.header["layers"]
        return tuple(from_json(Layer, layer) for layer in layers)

    async def call(self, op: str, args: Json) -> tuple[bytes, ...]:
        began = time.monotonic()
        try:
            return (await self.child.call(op, args, deadline_s=max(self.left_s, 0.01))).blobs
        except TimedOut as exc:
            raise TimedOut("the query took too long", "ask for less (WHERE, LIMIT), or raise sql.timeout_s") from exc
        except WorkerDied as exc:
            hint = "ask for less at once, or raise sql.memory_mb"
            raise TooLarge("the process of the query ended, most likely for want of memory", hint) from exc
        finally:
            self.left_s -= time.monotonic() - began
