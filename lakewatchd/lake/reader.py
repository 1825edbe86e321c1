"""Reading the lake, from any process, while it is being written.

Every call sees all that was committed before it began. Nothing here creates a file: a lake that is not there
yet is empty. Invariant: a reader never makes a writer wait.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from lakewatchd.core.asset import AssetId, Kind, PathKey
from lakewatchd.lake import codec, durable
from lakewatchd.lake.lance_errors import translated
from lakewatchd.lake.lookup import Lookup
from lakewatchd.lake.rows import AssetRow, GoldRow, OccurrenceRow, SpanRow, Vector
from lakewatchd.lake.schema import (
    ASSETS,
    GOLD,
    GOLD_GONE,
    OCCURRENCES,
    SPANS,
    STAGES,
    TABLES,
    TableSpec,
    is_in,
    quoted,
)  # fmt: skip

if TYPE_CHECKING:
    import pyarrow as pa

Row = TypeVar("Row")

_IDS_AT_ONCE = 512
"""Keys in one query."""
_GOLD_VIEW = [name for name in GOLD.names if name not in ("text", "vector", "tag_names", "revision")]


@dataclass(frozen=True, slots=True)
class Changes:
    """What a view must take in to go from one revision to ``revision``. Rows may be older than known: repeats."""

    revision: int
    is_full: bool
    """Everything is here: forget what you know. So it is from revision 0, and after a very long absence."""
    occurrences: tuple[OccurrenceRow, ...] = ()
    gold: tuple[GoldRow, ...] = ()
    """Without ``text`` and ``vector``."""
    gold_gone: tuple[AssetId, ...] = ()


@dataclass(frozen=True, slots=True)
class TableCounts:
    table: str
    rows: int
    bytes_on_disk: int
    version: int


@dataclass(frozen=True, slots=True)
class Found:
    """A search hit. For vectors ``score`` is the cosine, -1..1; for words it is BM25. Greater is better."""

    asset_id: AssetId
    span: int
    """The piece that matched best; 0 for hits in gold."""
    score: float


class LakeReader:
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._db: Any = None
        self._tables: dict[str, Any] = {}
        # What every job asks for.
        self._at = Lookup(self._occurrences_by_id)
        self._places = Lookup(self._occurrences_by_asset)
        self._assets = Lookup(self._assets_by_id)

    async def occurrence(self, key: PathKey) -> OccurrenceRow | None:
        rows = await self._at.get(key.occurrence_id)
        return rows[0] if rows else None

    async def occurrences_of(self, asset_id: AssetId) -> list[OccurrenceRow]:
        """All places where it was seen, gone ones included, by root and path."""
        return list(await self._places.get(asset_id))

    async def occurrences_of_many(self, asset_ids: Iterable[AssetId]) -> list[OccurrenceRow]:
        rows = await self._by_key(OCCURRENCES, "asset_id", asset_ids, codec.occurrences)
        return sorted(rows, key=lambda row: row.key)

    async def asset(self, asset_id: AssetId) -> AssetRow | None:
        rows = await self._assets.get(asset_id)
        return rows[0] if rows else None

    async def assets(self, asset_ids: Iterable[AssetId]) -> list[AssetRow]:
        return await self._by_key(ASSETS, "asset_id", asset_ids, codec.assets)

    async def spans(self, asset_id: AssetId) -> list[SpanRow]:
        """In order."""
        rows = await self._by_key(SPANS, "asset_id", [asset_id], codec.spans)
        return sorted(rows, key=lambda row: row.span)

    async def gold(self, asset_id: AssetId) -> GoldRow | None:
        rows = await self.gold_of_many([asset_id])
        return rows[0] if rows else None

    async def gold_of_many(self, asset_ids: Iterable[AssetId]) -> list[GoldRow]:
        return await self._by_key(GOLD, "asset_id", asset_ids, codec.gold)

    async def all_occurrences(self) -> AsyncIterator[OccurrenceRow]:
        async for row in self._stream(OCCURRENCES, codec.occurrences):
            yield row

    async def all_assets(self) -> AsyncIterator[AssetRow]:
        async for row in self._stream(ASSETS, codec.assets):
            yield row

    async def all_spans(self) -> AsyncIterator[SpanRow]:
        async for row in self._stream(SPANS, codec.spans):
            yield row

    async def all_gold(self) -> AsyncIterator[GoldRow]:
        async for row in self._stream(GOLD, codec.gold):
            yield row

    async def stale(
        self, stage: str, transform_id: str, limit: int, *, kinds: Iterable[Kind] = Kind, after: AssetId = ""
    ) -> list[AssetId]:
        """Assets of ``kinds`` that ``stage`` was not done for, or by another transform, in order of id.

        ``after`` is the last id of the page before. Raises ``ValueError`` for a stage without a column.
        """
        if stage not in STAGES:
            raise ValueError(f"no stage {stage!r}")
        column = f"{stage}_transform"
        table = await self._table(ASSETS)
        if table is None:
            return []
        other = f"({column} IS NULL OR {column} != {quoted(transform_id)})"
        where = f"{other} AND {is_in('kind', kinds)} AND asset_id > {quoted(after)}"
        with translated("looking for stale assets"):
            ids = (await table.query().where(where).select(["asset_id"]).to_arrow())["asset_id"]
        return sorted(ids.to_pylist())[:limit]

    # --- changes ------------------------------------------------------------------------------------------

    async def changes_since(self, revision: int) -> Changes:
        """All changes after ``revision`` in one piece. Ask again with :attr:`Changes.revision`."""
        parts = [part async for part in self.changes(revision)]
        return Changes(
            parts[0].revision,
            parts[0].is_full,
            tuple(row for part in parts for row in part.occurrences),
            tuple(row for part in parts for row in part.gold),
            tuple(asset_id for part in parts for asset_id in part.gold_gone),
        )

    async def changes(self, revision: int) -> AsyncIterator[Changes]:
        """The same in parts, for a reader that starts with a large lake. At least one; all say one revision.

        The ledger is read before the tables: rows of commits that end meanwhile may come too early, and
        come again the next time, but none is passed over.
        """
        ledger = durable.read_ledger(self._directory)
        is_full = revision == 0 or revision < ledger.forgotten
        since = 0 if is_full else revision
        yield Changes(ledger.revision, is_full, gold_gone=() if is_full else await self._gone_since(since))
        if ledger.revision == revision and not is_full:
            return
        async for rows in self.batches(OCCURRENCES, OCCURRENCES.names, f"revision > {since}"):
            yield Changes(ledger.revision, is_full, occurrences=tuple(codec.occurrences(rows)))
        async for rows in self.batches(GOLD, _GOLD_VIEW, f"revision > {since}"):
            yield Changes(ledger.revision, is_full, gold=tuple(codec.gold(rows)))

    async def _gone_since(self, revision: int) -> tuple[AssetId, ...]:
        """Withdrawn and not served again: a gold row newer than its withdrawal overrules it."""
        newest: dict[AssetId, int] = {}
        async for rows in self.batches(GOLD_GONE, ["asset_id", "revision"], f"revision > {revision}"):
            for asset_id, at in zip(rows["asset_id"].to_pylist(), rows["revision"].to_pylist(), strict=True):
                newest[asset_id] = max(at, newest.get(asset_id, 0))
        for part in _parts(sorted(newest)):
            async for rows in self.batches(GOLD, ["asset_id", "revision"], is_in("asset_id", part)):
                for asset_id, at in zip(rows["asset_id"].to_pylist(), rows["revision"].to_pylist(), strict=True):
                    if at > newest[asset_id]:
                        del newest[asset_id]
        return tuple(newest)

    # --- search and status --------------------------------------------------------------------------------

    async def vector_search(
        self, vector: Vector, transform: str, k: int, *, column: str = "image_vector", where: str | None = None
    ) -> list[Found]:
        """The ``k`` spans nearest to ``vector`` among those whose vectors ``transform`` made, best first.

        ``column`` is ``image_vector`` or ``text_vector``; ``where`` is SQL over the columns of silver_spans.
        """
        table = await self._table(SPANS)
        if table is None or column not in (await table.schema()).names:
            return []
        made = f"vector_transform = {quoted(transform)} AND {column} IS NOT NULL"
        with translated("searching by vector"):
            query = table.query().where(f"({made}) AND ({where})" if where else made).nearest_to(list(vector))
            query = query.column(column).distance_type("cosine").refine_factor(5)
            rows = await query.select(["asset_id", "span", "_distance"]).limit(k).to_list()
        return [Found(row["asset_id"], row["span"], 1.0 - row["_distance"]) for row in rows]

    async def text_search(self, words: str, k: int, *, where: str | None = None) -> list[Found]:
        """The ``k`` assets whose searchable text fits ``words`` best. ``where`` is SQL over gold_assets."""
        table = await self._table(GOLD)
        if table is None:
            return []
        with translated("searching by words"):
            query = table.query().nearest_to_text(words).select(["asset_id", "_score"]).limit(k)
            rows = await (query.where(where) if where else query).to_list()
        return [Found(row["asset_id"], 0, row["_score"]) for row in rows]

    async def counts(self) -> list[TableCounts]:
        """Rows, bytes (old versions included) and version of each table. Walks the lake's files."""
        counts = []
        for spec in TABLES:
            if (table := await self._table(spec)) is not None:
                with translated(f"counting {spec.name}"):
                    rows, version = await table.count_rows(), await table.version()
                on_disk = await asyncio.to_thread(durable.bytes_below, self._directory / f"{spec.name}.lance")
                counts.append(TableCounts(spec.name, rows, on_disk, version))
        return counts

    def close(self) -> None:
        for table in self._tables.values():
            table.close()
        if self._db is not None:
            self._db.close()
        self._tables, self._db = {}, None

    # --- how ----------------------------------------------------------------------------------------------

    async def _table(self, spec: TableSpec) -> Any | None:
        """None as long as nobody has made it."""
        if spec.name in self._tables:
            return self._tables[spec.name]
        if not any((self._directory / f"{spec.name}.lance" / "_versions").glob("*.manifest")):
            return None
        import lancedb

        with translated(f"opening {spec.name}"):
            if self._db is None:
                newest = dt.timedelta(0)  # look for a newer version with each query: 0.4 ms
                self._db = await lancedb.connect_async(self._directory, read_consistency_interval=newest)
            self._tables[spec.name] = await self._db.open_table(spec.name)
        return self._tables[spec.name]

    async def _by_key(
        self, spec: TableSpec, column: str, keys: Iterable[str], decode: Callable[[pa.Table], Iterator[Row]]
    ) -> list[Row]:
        found: list[Row] = []
        for part in _parts(sorted(set(keys))):
            async for rows in self.batches(spec, None, is_in(column, part)):
                found.extend(decode(rows))
        return found

    async def _occurrences_by_id(self, ids: Collection[str]) -> dict[str, list[OccurrenceRow]]:
        rows = await self._by_key(OCCURRENCES, "occurrence_id", ids, codec.occurrences)
        return {row.key.occurrence_id: [row] for row in rows}

    async def _occurrences_by_asset(self, asset_ids: Collection[AssetId]) -> dict[AssetId, list[OccurrenceRow]]:
        found: dict[AssetId, list[OccurrenceRow]] = {}
        for row in await self.occurrences_of_many(asset_ids):
            found.setdefault(row.asset_id, []).append(row)
        return found

    async def _assets_by_id(self, asset_ids: Collection[AssetId]) -> dict[AssetId, list[AssetRow]]:
        return {row.asset_id: [row] for row in await self.assets(asset_ids)}

    async def _stream(self, spec: TableSpec, decode: Callable[[pa.Table], Iterator[Row]]) -> AsyncIterator[Row]:
        async for rows in self.batches(spec, None, None):
            for row in decode(rows):
                yield row

    async def count(self, spec: TableSpec, where: str) -> int:
        """Rows that are so."""
        table = await self._table(spec)
        if table is None:
            return 0
        with translated(f"counting {spec.name}"):
            return int(await table.count_rows(where))

    async def batches(self, spec: TableSpec, columns: list[str] | None, where: str | None) -> AsyncIterator[Any]:
        """The rows of one version of the table, a few thousand at a time."""
        table = await self._table(spec)
        if table is None:
            return
        with translated(f"reading {spec.name}"):
            query = table.query() if where is None else table.query().where(where)
            if columns is not None:
                query = query.select(columns)
            async for batch in await query.to_batches():
                yield batch


def _parts(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    for at in range(0, len(keys), _IDS_AT_ONCE):
        yield keys[at : at + _IDS_AT_ONCE]
