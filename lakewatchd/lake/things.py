"""What detectors saw, in memory: in which rows of ``silver_spans`` there is a dog, how sure that is, and where.

No index of Lance looks into lists of structures. Everything is read when first asked for (0.3 s of processor for a
million things), afterwards only the fragments that are new or lost rows. 30 bytes a thing.

Invariant: what is said to be seen was so in the newest version when the call began. All calls block.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lakewatchd.lake.lance_errors import translated
from lakewatchd.lake.roll import Rows

if TYPE_CHECKING:
    import pyarrow as pa

    from lakewatchd.lake.roll import RowIds

_CORNERS = ("left", "top", "right", "bottom")


@dataclass(frozen=True, slots=True)
class Seen:
    """Things of one name."""

    row_ids: RowIds
    """Which rows they are in."""
    table: pa.Table
    """Of each: ``score``; ``left``, ``top``, ``right``, ``bottom`` as shares of the picture, to seven digits;
    ``area``."""


class Things:
    def __init__(self, spans: Rows) -> None:
        self._spans = spans
        self._fragments: dict[tuple[int, str, int], dict[str, pa.Table]] = {}
        """By number, path and rows lost: _rowid, score and corners of each thing in it, by name."""
        self._lock = threading.Lock()

    def named(self, name: str) -> Seen | None:
        """None if there is none."""
        import pyarrow as pa

        with self._lock:
            self._learn()
            found = [things[name] for things in self._fragments.values() if name in things]
        if not found:
            return None
        things = pa.concat_tables(found)
        return Seen(things["_rowid"].to_numpy(), _with_area(things.drop_columns("_rowid")))

    def _learn(self) -> None:
        with translated("collecting things seen"):
            if (dataset := self._spans.newest()) is None:
                return
            there = {(one.fragment_id, one.metadata.files[0].path, one.num_deletions): one
                     for one in dataset.get_fragments()}  # fmt: skip
            new = [key for key in there if key not in self._fragments]
            self._fragments = {key: _things_of(there[key]) if key in new else self._fragments[key] for key in there}


def _things_of(fragment: Any) -> dict[str, pa.Table]:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    rows = fragment.to_table(columns=["objects"], with_row_id=True).combine_chunks()
    objects = rows["objects"].combine_chunks()
    things = pc.list_flatten(objects)
    corners = {side: pc.struct_field(things, side).cast(pa.float32()) for side in _CORNERS}
    row_ids = rows["_rowid"].combine_chunks().take(pc.list_parent_indices(objects))
    table = pa.table({"_rowid": row_ids, "score": pc.struct_field(things, "score"), **corners})
    names = pc.struct_field(things, "name").dictionary_encode()
    codes = names.indices.to_numpy()
    by_name = table.take(pa.array(np.argsort(codes, kind="stable"))).combine_chunks()
    counts = np.bincount(codes, minlength=len(names.dictionary))
    starts = (np.cumsum(counts) - counts).tolist()
    cut = zip(names.dictionary.to_pylist(), starts, counts.tolist(), strict=True)
    return {name: by_name.slice(start, count) for name, start, count in cut}


def _with_area(things: pa.Table) -> pa.Table:
    import pyarrow.compute as pc

    width, height = (pc.subtract(things[high], things[low]) for low, high in (("left", "right"), ("top", "bottom")))
    return things.append_column("area", pc.multiply(width, height))
