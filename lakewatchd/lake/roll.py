"""Who is served, in memory: which asset each row of ``gold_assets`` and ``silver_spans`` is of, by row address.

Reading an asset id of a scattered row costs 0.1 to 0.3 ms and an address nothing, so a search asks Lance for addresses
only, looks the assets up here, and reads nothing of what it drops. What is shown is then read by address too, which
costs half of what a key does. 50 bytes a row. A fragment of a Lance table never changes but for rows that go, so what
was read of it stays right for as long as there is one.

Invariant: whatever is said to be served was so in the newest version when the call began. All calls block.
"""

from __future__ import annotations

import binascii
import functools
import secrets
import threading
from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lakewatchd.core.asset import AssetId
from lakewatchd.lake.files import Files, own_options, table_uri
from lakewatchd.lake.lance_errors import translated
from lakewatchd.lake.schema import GOLD, TableSpec

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    Ids = NDArray[np.uint64]
    """Asset ids of n rows: (n, 4)."""
    RowIds = NDArray[np.uint64]
    """(n,), number of the fragment in the upper half, of the row in it in the lower."""
    Places = NDArray[np.void]
    """(n,) of :func:`_place`: what is known of n rows."""

_INDEX_CACHE_BYTES, _METADATA_CACHE_BYTES = 64_000_000, 32_000_000
"""For the indexes that conditions are looked up in."""
FEW = 2_000
"""Assets that are named one by one."""
_CONDITIONS = 8
"""Whose answers are kept, 8 bytes for each asset that fulfils one."""
_ID_HEX = 64
_WORDS = 4
"""Of 64 bits, in an asset id."""


@functools.cache
def _place() -> np.dtype[np.void]:
    """Of a row: its asset, and of a piece its number and what made its vectors. All ones: not known."""
    import numpy as np

    return np.dtype([("asset", np.uint64, _WORDS), ("number", np.uint32), ("made_by", np.uint16)])


@dataclass(frozen=True, slots=True)
class _Fragment:
    path: str
    """Of its first file: a table that was made anew counts its fragments anew."""
    places: Places
    keys: NDArray[np.uint64]
    """Of the rows, in order."""
    offsets: NDArray[np.uint32]
    """Where each of the ``keys`` is."""

    @classmethod
    def of(cls, path: str, places: Places) -> _Fragment:
        import numpy as np

        keys = _keys_of_pieces(places["asset"], places["number"])
        order = np.argsort(keys)
        return cls(path, places, keys[order], order.astype(np.uint32))

    def find(self, keys: NDArray[np.uint64]) -> NDArray[np.uint32]:
        """Offsets of the rows with these keys, in any order."""
        import numpy as np

        if not len(self.keys):
            return self.offsets
        at = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        found: NDArray[np.uint32] = self.offsets[at[self.keys[at] == keys]]
        return found


Fragments = Mapping[int, _Fragment]
"""Of one version, by number. Never changed: the next version has one of its own."""


class Rows:
    """The assets of the rows of one table. A table that is not there yet has none."""

    def __init__(self, files: Files, spec: TableSpec) -> None:
        self._files = files
        self._spec = spec
        self._columns = [name for name in ("asset_id", "span", "vector_transform") if name in spec.names]
        self._fragments: Fragments = {}
        self._transforms: dict[str, int] = {"": 0}
        self._version = 0
        self._lock = threading.Lock()
        self._dataset: Any = None

    def newest(self) -> Any:
        """The newest version as a dataset, with every row of it known; None before there is a table."""
        return self.snapshot()[0]

    def snapshot(self) -> tuple[Any, Fragments]:
        """The newest version, and whose its rows are. Who asks for both goes by these: another thread may have learned
        of a compaction meanwhile, after which none of these rows is where it was."""
        with self._lock, translated(f"reading {self._spec.name}"):
            if self._dataset is None:
                if not self._files.holds(f"{self._spec.name}.lance/_versions/"):
                    return None, {}
                self._dataset = self._opened()
            if (version := self._dataset.latest_version) != self._version:
                self._dataset = self._dataset.checkout_version(version)
                self._learn()
                self._version = version
            return self._dataset, self._fragments

    def of(self, row_ids: RowIds, fragments: Fragments | None = None) -> Places:
        """Of these ``fragments``; None: of all that are known now."""
        fragments = self._fragments if fragments is None else fragments
        places = _unknown(len(row_ids))
        for number, at, offsets in _by_fragment(row_ids):
            if number in fragments:
                places[at] = fragments[number].places[offsets]
        return places

    def read(
        self, ids: Ids, columns: Collection[str], numbers: Sequence[int] | NDArray[np.uint32] | None = None
    ) -> pa.Table | None:
        """The rows of the newest version that are of these assets, or of these pieces of them, in any order: their
        ``asset_id``, ``span``, and of ``columns`` those that there are. None where there is no such row, or no table.
        """
        import numpy as np
        import pyarrow as pa

        dataset, fragments = self.snapshot()
        if dataset is None:
            return None
        keys = _keys_of_pieces(ids, np.asarray([0] * len(ids) if numbers is None else numbers, np.uint32))
        found = [np.zeros(0, np.uint64)]
        for number, fragment in fragments.items():
            if len(offsets := fragment.find(keys)):
                found.append(np.uint64(number << 32) | offsets.astype(np.uint64))
        if not len(row_ids := np.concatenate(found)):
            return None
        names = [name for name in dataset.schema.names if name in columns and name not in ("asset_id", "span")]
        with translated(f"reading {self._spec.name}"):
            # Passes over rows that are gone. The public way, a condition on _rowid, costs twice as much.
            rows = dataset._take_rows(row_ids.tolist(), columns=[*names, "_rowid"])
        places = self.of(rows["_rowid"].to_numpy(), fragments)
        rows = rows.drop_columns("_rowid").append_column("asset_id", pa.array(names_of(places["asset"])))
        return rows if numbers is None else rows.append_column("span", pa.array(places["number"], pa.int64()))

    def made_by(self, places: Places, transforms: Collection[str]) -> NDArray[np.bool_]:
        """Which of these pieces have vectors that one of the ``transforms`` made."""
        import numpy as np

        return np.isin(places["made_by"], [self._transforms.get(name, _UNKNOWN) for name in transforms])

    def _opened(self) -> Any:
        import lance

        session = lance.Session(_INDEX_CACHE_BYTES, _METADATA_CACHE_BYTES)
        return lance.dataset(
            table_uri(self._files, self._spec.name), storage_options=own_options(self._files), session=session
        )

    def _learn(self) -> None:
        """Forget the fragments that are gone, and read those that are new."""
        there = {one.fragment_id: one for one in self._dataset.get_fragments()}
        paths = {number: one.metadata.files[0].path for number, one in there.items()}
        known = {number: one for number, one in self._fragments.items() if paths.get(number) == one.path}
        places = {number: _unknown(one.physical_rows) for number, one in there.items() if number not in known}
        if places:
            new = [there[number] for number in places]
            scanner = self._dataset.scanner(columns=self._columns, with_row_id=True, fragments=new)
            for rows in scanner.to_batches():
                decoded = self._decoded(rows)
                for number, at, offsets in _by_fragment(rows["_rowid"].to_numpy()):
                    places[number][offsets] = decoded[at]
        self._fragments = known | {number: _Fragment.of(paths[number], rows) for number, rows in places.items()}

    def _decoded(self, rows: pa.RecordBatch) -> Places:
        import numpy as np

        places = np.zeros(len(rows), _place())
        places["asset"] = _decoded(rows["asset_id"])
        if "span" in rows.schema.names:
            places["number"] = rows["span"].to_numpy()
        if "vector_transform" in rows.schema.names:
            made = rows["vector_transform"].fill_null("").dictionary_encode()
            codes = [self._transforms.setdefault(name, len(self._transforms)) for name in made.dictionary.to_pylist()]
            places["made_by"] = np.array(codes, np.uint16)[made.indices.to_numpy()]
        return places


@dataclass(frozen=True, slots=True)
class Served:
    """The assets that are served and fulfil a condition."""

    keys: NDArray[np.uint64]
    """In order."""
    total: int
    """Assets that are served at all."""
    names: tuple[AssetId, ...]
    """If they are no more than :data:`FEW`, else none."""

    def __len__(self) -> int:
        return len(self.keys)

    def holds(self, ids: Ids) -> NDArray[np.bool_]:
        """Which of the ``ids`` are among them."""
        import numpy as np

        if not len(self.keys):
            return np.zeros(len(ids), bool)
        keys = keys_of(ids)
        at = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        found: NDArray[np.bool_] = self.keys[at] == keys
        return found


class Roll:
    """What is served, under which condition."""

    def __init__(self, files: Files) -> None:
        self.rows = Rows(files, GOLD)
        self._known: OrderedDict[str, tuple[int, Served]] = OrderedDict()
        self._lock = threading.Lock()

    def served(self, where: str = "") -> Served:
        """Of the newest version. 7 to 40 ms of a million where it changed, nothing where it did not."""
        import numpy as np

        with self._lock, translated("looking for what fulfils the filters"):
            dataset, fragments = self.rows.snapshot()
            if dataset is None:
                nothing = np.zeros(0, np.uint64)
                return Served(nothing, 0, ())
            version, known = self._known.get(where, (0, None))
            if known is None or version != dataset.version:
                scanner = dataset.scanner(columns=[], filter=where or None, with_row_id=True)
                row_ids = scanner.to_table()["_rowid"].to_numpy()
                ids = self.rows.of(row_ids, fragments)["asset"]
                names = names_of(ids) if len(ids) <= FEW else ()
                known = Served(np.sort(keys_of(ids)), dataset.count_rows(), tuple(names))
            self._known[where] = dataset.version, known
            self._known.move_to_end(where)
            while len(self._known) > _CONDITIONS:
                self._known.popitem(last=False)
            return known


def names_of(ids: Ids) -> list[AssetId]:
    return [row.tobytes().hex() for row in ids]


def ids_of(names: Collection[AssetId]) -> Ids:
    import numpy as np

    return np.frombuffer(bytes.fromhex("".join(names)), np.uint64).reshape(-1, _WORDS)


def are_known(places: Places) -> NDArray[np.bool_]:
    import numpy as np

    return np.asarray(places["number"] != _UNKNOWN)


def _unknown(rows: int) -> Places:
    import numpy as np

    return np.frombuffer(bytearray(b"\xff" * (rows * _place().itemsize)), _place())


_UNKNOWN = 2**32 - 1
_FACTORS: list[int] = [secrets.randbits(64) | 1 for _ in range(_WORDS + 1)]
"""Nobody outside can make two contents whose keys are equal."""


def keys_of(ids: Ids) -> NDArray[np.uint64]:
    """64 bits for each, equal for equal ids, and as good as never for others."""
    import numpy as np

    keys: NDArray[np.uint64] = ids[:, 0] * np.uint64(_FACTORS[0])
    for word in range(1, _WORDS):
        keys += ids[:, word] * np.uint64(_FACTORS[word])
    return keys


def _keys_of_pieces(ids: Ids, numbers: NDArray[np.uint32]) -> NDArray[np.uint64]:
    import numpy as np

    return keys_of(ids) + numbers.astype(np.uint64) * np.uint64(_FACTORS[_WORDS])


def _by_fragment(row_ids: RowIds) -> Iterator[tuple[int, Any, RowIds]]:
    """Fragments, which of the ``row_ids`` are of each, and which of its rows they are."""
    import numpy as np

    numbers, offsets = row_ids >> np.uint64(32), row_ids & np.uint64(0xFFFFFFFF)
    is_sorted = bool((numbers[1:] >= numbers[:-1]).all())  # as a scan gives them
    order = None if is_sorted else np.argsort(numbers, kind="stable")
    found, starts = np.unique(numbers if order is None else numbers[order], return_index=True)
    for number, start, stop in zip(found.tolist(), starts, [*starts[1:], len(row_ids)][: len(found)], strict=True):
        at = slice(start, stop) if order is None else order[start:stop]
        yield number, at, offsets[at]


def _decoded(names: pa.Array) -> Ids:
    import numpy as np

    offsets = np.frombuffer(names.buffers()[1], np.int32)[names.offset : names.offset + len(names) + 1]
    if not len(names):
        return np.zeros((0, _WORDS), np.uint64)
    digits = memoryview(names.buffers()[2])[offsets[0] : offsets[-1]]
    if not bool((np.diff(offsets) == _ID_HEX).all()):
        raise ValueError("an asset id that is not 64 digits")
    return np.frombuffer(binascii.unhexlify(digits), np.uint64).reshape(-1, _WORDS)
