"""Pages of a listing, fetched by a thread of their own while those before are compared.

The invariant: at most :data:`DEPTH` pages wait; whoever stops to ask leaves behind one request that ends by itself.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

DEPTH = 2

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _End:
    error: BaseException | None = None


def ahead(pages: Iterable[T]) -> Iterator[T]:
    """The same pages, and at the end the same error."""
    found: queue.Queue[T | _End] = queue.Queue(DEPTH)
    is_stopped = threading.Event()

    def fetch() -> None:
        try:
            for page in pages:
                found.put(page)
                if is_stopped.is_set():
                    return
            found.put(_End())
        except BaseException as exc:  # whatever it is, it belongs to who reads the pages
            found.put(_End(exc))

    threading.Thread(target=fetch, name="listing", daemon=True).start()
    try:
        while not isinstance(page := found.get(), _End):
            yield page
        if page.error is not None:
            raise page.error
    finally:
        is_stopped.set()
        with contextlib.suppress(queue.Empty):
            while True:
                found.get_nowait()
