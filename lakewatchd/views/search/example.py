"""An example to find the like of: an asset of the lake, or a file from outside that is read once and kept nowhere.

A file from outside is as hostile as any: it is decoded in a confined process, from a scratch directory that only we can
read. Invariant: nothing of it is left when :meth:`Examples.read` returns.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from lakewatchd.core.asset import AssetId
from lakewatchd.core.content import Picture
from lakewatchd.errors import BadQuery
from lakewatchd.lake.rows import SpanRow, Vector
from lakewatchd.media.sandbox import Decoders
from lakewatchd.models.base import Role
from lakewatchd.views.search.queries import Encoder

T = TypeVar("T")
MOST = 8
"""Pictures, and passages, that are looked at of one file."""


@dataclass(frozen=True, slots=True)
class Example:
    """Unit vectors; one side at least has some."""

    pictures: tuple[Vector, ...] = ()
    texts: tuple[Vector, ...] = ()
    made_by: frozenset[str] = frozenset()
    """The transforms whose vectors they may be compared with."""
    asset_id: AssetId = ""
    """Not to be found again."""


@dataclass(frozen=True, slots=True)
class Examples:
    """``scratch`` is a directory for files that are being read; None: where the system keeps such."""

    decoders: Decoders
    scratch: Path | None = None

    async def read(self, content: bytes, encoder: Encoder) -> Example:
        """Raises :class:`errors.AssetError` for a file that cannot be read, :class:`BadQuery` for one with nothing to
        compare, and what :class:`Encoder` raises."""
        with tempfile.TemporaryDirectory(prefix="lakewatchd-", dir=self.scratch) as folder:
            path = Path(folder) / "example"
            await asyncio.to_thread(path.write_bytes, content)
            identity = await self.decoders.identify("example", root=folder)
            told = await self.decoders.describe("example", identity, "", root=folder) if identity else None
        if told is None or identity is None:
            raise BadQuery("the example changed while it was read", "give it again")
        pictures = await _pictures(spread(told.pictures), encoder)
        texts = await _texts([passage.text for passage in told.passages[:MOST]], encoder)
        if not pictures and not texts:
            raise BadQuery(f"there is nothing to compare in this {identity.kind.value} file",
                           "give a picture, a film or a text")  # fmt: skip
        return Example(pictures, texts, await encoder.made_by(), identity.asset_id)


def of_spans(asset_id: AssetId, spans: Sequence[SpanRow], made_by: frozenset[str]) -> Example:
    """Of an asset of the lake: by its vectors of ``made_by``, else, of other models, by those of one transform.
    Raises :class:`BadQuery` for one without vectors."""
    made = [span.vector_transform for span in spans if span.image_vector or span.text_vector]
    if made and not made_by.intersection(made):
        made_by = frozenset(made[:1])
    pictures = [span.image_vector for span in spans if span.image_vector and span.vector_transform in made_by]
    texts = [span.text_vector for span in spans if span.text_vector and span.vector_transform in made_by]
    if not pictures and not texts:
        raise BadQuery("nothing is known of that file to compare others with", "only what is indexed has a likeness")
    return Example(tuple(spread(pictures)), _middle(texts), made_by, asset_id)


def spread(items: Sequence[T]) -> list[T]:
    """At most :data:`MOST` of them, from all over."""
    step = max(1, len(items) / MOST)
    return [items[int(number * step)] for number in range(min(MOST, len(items)))]


async def _pictures(pictures: Sequence[Picture], encoder: Encoder) -> tuple[Vector, ...]:
    if not pictures or await encoder.model(Role.IMAGE_TEXT) is None:
        return ()
    return tuple(await asyncio.gather(*map(encoder.picture, pictures)))


async def _texts(texts: Sequence[str], encoder: Encoder) -> tuple[Vector, ...]:
    if not texts or await encoder.model(Role.TEXT) is None:
        return ()
    return _middle(await encoder.texts(Role.TEXT, texts))


def _middle(vectors: Sequence[Vector]) -> tuple[Vector, ...]:
    """Of texts the subject as a whole counts: one vector between all of them."""
    if not vectors:
        return ()
    import numpy as np

    middle = np.mean(np.asarray(vectors, np.float64), axis=0)
    return (tuple((middle / max(float(np.linalg.norm(middle)), 1e-9)).tolist()),)
