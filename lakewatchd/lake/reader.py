"""Reading the lake, from any process, while it is being written.

Every call sees all that was committed before it began. Nothing here creates a file: a lake that is not there
yet is empty. Invariant: a reader never makes a writer wait.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from lakewatchd.core.asset import AssetId, Correction, Kind, PathKey
from lakewatchd.core.companions import family_of
from lakewatchd.lake import codec, durable
from lakewatchd.lake.files import Files, bytes_below, files_at, own_options
from lakewatchd.lake.lance_errors import translated
from lakewatchd.lake.lookup import Lookup
from lakewatchd.lake.rows import AssetRow, CorrectionRow, GoldRow, OccurrenceRow, SpanRow
from lakewatchd.lake.schema import (
    ASSETS,
    GOLD,
    GOLD_GONE,
    LEARNED,
    LINEAGE,
    OCCURRENCES,
    SPANS,
    STAGES,
    TABLES,
    WORDS,
    TableSpec,
    is_in,
    quoted,
)  # fmt: skip

if TYPE_CHECKING:
    import pyarrow as pa

Row = TypeVar("Row")

INDEX_CACHE_BYTES, METADATA_CACHE_BYTES = 400_000_000, 64_000_000
"""What a reader keeps of indexes, and of where things lie: what is asked for most. The kernel keeps the rest."""
STALE_AT_ONCE = 5000
"""About so many ids are looked for at once."""
_ID_DIGITS, _ID_ENDS = 4, 16**4
"""Ranges of ids differ in their first digits."""
_IDS_AT_ONCE = 512
"""Keys in one query."""
_PLACES_VIEW = [name for name in OCCURRENCES.names if name not in ("version_id", "content_type", "tags", "metadata")]
_SEEN = ["asset_id", "span", "kind", "image_vector", "text_vector", "vector_transform", "objects"]
GOLD_VIEW = [name for name in GOLD.names if name not in ("text", "vector", "tag_names", "revision")]


@dataclass(frozen=True, slots=True)
class Changes:
    """What a view must take in to go from one revision to ``revision``. Rows may be older than known: repeats."""

    revision: int
    is_full: bool
    """Everything is here: forget what you know. So it is from revision 0, and after a very long absence."""
    occurrences: tuple[OccurrenceRow, ...] = ()
    """Without ``labels``."""
    gold: tuple[GoldRow, ...] = ()
    """Without ``text`` and ``vector``."""
    gold_gone: tuple[AssetId, ...] = ()


@dataclass(frozen=True, slots=True)
class TableCounts:
    table: str
    rows: int
    bytes_on_disk: int
    version: int


class LakeReader:
    def __init__(self, place: Path | Files) -> None:
        self._files = files_at(place)
        self._db: Any = None
        self._tables: dict[str, Any] = {}
        # What every job asks for.
        self._at = Lookup(self._occurrences_by_id)
        self._places = Lookup(self._occurrences_by_asset)
        self._assets = Lookup(self._assets_by_id)
        self._corrections = Lookup(self._corrections_by_asset)
        self._families = Lookup(self._occurrences_by_family)

    async def occurrence(self, key: PathKey) -> OccurrenceRow | None:
        rows = await self._at.get(key.occurrence_id)
        return rows[0] if rows else None

    async def occurrences_of(self, asset_id: AssetId) -> list[OccurrenceRow]:
        """All places where it was seen, gone ones included, by root and path."""
        return list(await self._places.get(asset_id))

    async def occurrences_of_many(self, asset_ids: Iterable[AssetId]) -> list[OccurrenceRow]:
        rows = await self._by_key(OCCURRENCES, "asset_id", asset_ids, codec.occurrences)
        return sorted(rows, key=lambda row: row.key)

    async def companions(self, key: PathKey) -> list[OccurrenceRow]:
        """All places whose names belong together with that one, itself and gone ones included, by path."""
        family = family_of(key)
        return list(await self._families.get(family)) if family else []

    async def companions_of_many(self, keys: Iterable[PathKey]) -> dict[PathKey, list[OccurrenceRow]]:
        """The same for many; only of those that have others around them."""
        families = {key: family for key in keys if (family := family_of(key))}
        members: Counter[str] = Counter()
        for part in _parts(sorted(set(families.values()))):
            async for rows in self.batches(OCCURRENCES, ["family"], is_in("family", part)):
                members.update(rows["family"].to_pylist())
        shared = [family for family, count in members.items() if count > 1]
        found = await self._occurrences_by_family(shared)
        return {key: found[family] for key, family in families.items() if len(found.get(family, ())) > 1}

    async def asset(self, asset_id: AssetId) -> AssetRow | None:
        rows = await self._assets.get(asset_id)
        return rows[0] if rows else None

    async def assets(self, asset_ids: Iterable[AssetId]) -> list[AssetRow]:
        return await self._by_key(ASSETS, "asset_id", asset_ids, codec.assets)

    async def spans(self, asset_id: AssetId) -> list[SpanRow]:
        """In order."""
        rows = await self._by_key(SPANS, "asset_id", [asset_id], codec.spans)
        return sorted(rows, key=lambda row: row.span)

    async def correction(self, asset_id: AssetId) -> Correction:
        """What a person said of it; empty if nobody said anything."""
        rows = await self._corrections.get(asset_id)
        return rows[0].correction if rows else Correction()

    async def corrections_of(self, asset_ids: Iterable[AssetId]) -> dict[AssetId, Correction]:
        rows = await self._by_key(WORDS, "asset_id", asset_ids, codec.corrections)
        return {row.asset_id: row.correction for row in rows if row.correction}

    async def all_corrections(self) -> AsyncIterator[CorrectionRow]:
        """Those that are not empty."""
        async for row in self._stream(WORDS, codec.corrections):
            if row.correction:
                yield row

    async def unheard(self) -> list[AssetId]:
        """What is served as it was before a person's last word about it."""
        said: dict[AssetId, int] = {}
        async for rows in self.batches(WORDS, ["asset_id", "revision"], None):
            said.update(zip(rows["asset_id"].to_pylist(), rows["revision"].to_pylist(), strict=True))
        found = []
        for part in _parts(sorted(said)):
            async for rows in self.batches(GOLD, ["asset_id", "revision"], is_in("asset_id", part)):
                served = zip(rows["asset_id"].to_pylist(), rows["revision"].to_pylist(), strict=True)
                found += [asset_id for asset_id, revision in served if revision <= said[asset_id]]
        return found

    async def learned(self, name: str) -> bytes:
        """What was learned, empty if nothing was."""
        async for rows in self.batches(LEARNED, ["payload"], f"name = {quoted(name)}"):
            for payload in rows["payload"].to_pylist():
                return bytes(payload)
        return b""

    async def revision(self) -> int:
        """Of the last commit."""
        return (await asyncio.to_thread(durable.read_ledger, self._files)).revision

    async def lacks(self, asset: AssetRow) -> dict[str, str]:
        """Stage -> what its last run of today's kind left out of the content, and why; of those that left out any."""
        where = f"subject = {quoted(asset.asset_id)} AND state = 'done'"
        last: dict[str, tuple[float, str]] = {}
        async for rows in self.batches(LINEAGE, ["stage", "transform", "started_at", "detail"], where):
            for run in rows.to_pylist():
                if asset.transforms.get(run["stage"]) == run["transform"]:
                    told = run["started_at"], run["detail"]
                    last[run["stage"]] = max(told, last.get(run["stage"], told))
        return {stage: detail for stage, (_, detail) in sorted(last.items()) if detail}

    async def size(self) -> int:
        """Assets."""
        return await self.count(ASSETS, "true")

    async def first_ids(self, count: int) -> list[AssetId]:
        """The ``count`` least asset ids: a sample that depends on what is there, not on when it came."""
        share = min(1.0, 2 * count / max(await self.size(), 1))
        bound = f"{int(share * 0xFFFFFFFF):08x}" + "g"
        ids: list[AssetId] = []
        async for rows in self.batches(ASSETS, ["asset_id"], f"asset_id < {quoted(bound)}"):
            ids += rows["asset_id"].to_pylist()
        return sorted(ids)[:count]

    async def judged_of(self, asset_ids: Iterable[AssetId]) -> dict[AssetId, GoldRow]:
        """What is served, less ``text`` and ``vector``."""
        found: dict[AssetId, GoldRow] = {}
        for part in _parts(sorted(set(asset_ids))):
            async for rows in self.batches(GOLD, GOLD_VIEW, is_in("asset_id", part)):
                found |= {row.asset_id: row for row in codec.gold(rows)}
        return found

    async def seen_in(self, asset_ids: Iterable[AssetId]) -> dict[AssetId, list[SpanRow]]:
        """The spans of many, in order, less their texts: vectors, as arrays, and objects."""
        found: dict[AssetId, list[SpanRow]] = {}
        for part in _parts(sorted(set(asset_ids))):
            async for rows in self.batches(SPANS, _SEEN, is_in("asset_id", part)):
                for row in codec.seen(rows):
                    found.setdefault(row.asset_id, []).append(row)
        return {asset_id: sorted(rows, key=lambda row: row.span) for asset_id, rows in found.items()}

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

    async def gold_where(self, where: str) -> AsyncIterator[GoldRow]:
        """Rows that are so, without ``text`` and ``vector``. ``where`` is SQL over gold_assets."""
        async for rows in self.batches(GOLD, GOLD_VIEW, where):
            for row in codec.gold(rows):
                yield row

    async def stale(
        self, stage: str, transform_id: str, *, kinds: Iterable[Kind] = Kind, page: int = STALE_AT_ONCE
    ) -> AsyncIterator[list[AssetId]]:
        """Assets of ``kinds`` that ``stage`` was not done for, or by another transform: at most ``page`` ids at a time,
        in their order. What is done meanwhile may be passed over.

        Ids are hashes, so equal ranges of them hold about equally many: each is asked for once, by the index, and all
        of it costs as much as one look at every asset. Raises ``ValueError`` for a stage without a column.
        """
        if stage not in STAGES:
            raise ValueError(f"no stage {stage!r}")
        table = await self.table(ASSETS)
        if table is None:
            return
        column = f"{stage}_transform"
        stale = f"({column} IS NULL OR {column} != {quoted(transform_id)}) AND {is_in('kind', kinds)}"
        with translated("looking for stale assets"):
            count = await table.count_rows(stale)
        for ids_within in _ranges_of_ids(-(-count // STALE_AT_ONCE)):
            with translated("looking for stale assets"):
                found = await table.query().where(f"{ids_within} AND {stale}").select(["asset_id"]).to_arrow()
            ids = sorted(found["asset_id"].to_pylist())
            for at in range(0, len(ids), page):
                yield ids[at : at + page]

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
        ledger = await asyncio.to_thread(durable.read_ledger, self._files)
        is_full = revision == 0 or revision < ledger.forgotten
        since = 0 if is_full else revision
        if ledger.revision == revision and not is_full:
            yield Changes(ledger.revision, is_full)
            return
        yield Changes(ledger.revision, is_full, gold_gone=() if is_full else await self._gone_since(since))
        async for rows in self.batches(OCCURRENCES, _PLACES_VIEW, f"revision > {since}"):
            yield Changes(ledger.revision, is_full, occurrences=tuple(codec.occurrences(rows)))
        async for rows in self.batches(GOLD, GOLD_VIEW, f"revision > {since}"):
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

    # --- status --------------------------------------------------------------------------------

    async def counts(self) -> list[TableCounts]:
        """Rows, bytes (old versions included) and version of each table. Walks the lake's files."""
        counts = []
        for spec in TABLES:
            if (table := await self.table(spec)) is not None:
                with translated(f"counting {spec.name}"):
                    rows, version = await table.count_rows(), await table.version()
                on_disk = await asyncio.to_thread(bytes_below, self._files, spec.name)
                counts.append(TableCounts(spec.name, rows, on_disk, version))
        return counts

    def close(self) -> None:
        for table in self._tables.values():
            table.close()
        if self._db is not None:
            self._db.close()
        self._tables, self._db = {}, None

    # --- how ----------------------------------------------------------------------------------------------

    async def table(self, spec: TableSpec) -> Any | None:
        """None as long as nobody has made it."""
        if spec.name in self._tables:
            return self._tables[spec.name]
        if not await asyncio.to_thread(self._files.holds, f"{spec.name}.lance/_versions/"):
            return None
        import lancedb

        with translated(f"opening {spec.name}"):
            if self._db is None:
                newest = dt.timedelta(0)  # look for a newer version with each query: 0.4 ms
                self._db = await lancedb.connect_async(
                    self._files.uri,
                    storage_options=own_options(self._files),
                    read_consistency_interval=newest,
                    session=lancedb.Session(INDEX_CACHE_BYTES, METADATA_CACHE_BYTES),
                )
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

    async def _occurrences_by_family(self, families: Collection[str]) -> dict[str, list[OccurrenceRow]]:
        found: dict[str, list[OccurrenceRow]] = {}
        rows = await self._by_key(OCCURRENCES, "family", families, codec.occurrences)
        for row in sorted(rows, key=lambda row: row.key):
            found.setdefault(family_of(row.key), []).append(row)
        return found

    async def _assets_by_id(self, asset_ids: Collection[AssetId]) -> dict[AssetId, list[AssetRow]]:
        return {row.asset_id: [row] for row in await self.assets(asset_ids)}

    async def _corrections_by_asset(self, asset_ids: Collection[AssetId]) -> dict[AssetId, list[CorrectionRow]]:
        rows = await self._by_key(WORDS, "asset_id", asset_ids, codec.corrections)
        return {row.asset_id: [row] for row in rows}

    async def _stream(self, spec: TableSpec, decode: Callable[[pa.Table], Iterator[Row]]) -> AsyncIterator[Row]:
        async for rows in self.batches(spec, None, None):
            for row in decode(rows):
                yield row

    async def count(self, spec: TableSpec, where: str) -> int:
        """Rows that are so."""
        table = await self.table(spec)
        if table is None:
            return 0
        with translated(f"counting {spec.name}"):
            return int(await table.count_rows(where))

    async def batches(self, spec: TableSpec, columns: list[str] | None, where: str | None) -> AsyncIterator[Any]:
        """The rows of one version of the table, a few thousand at a time.

        A column is missing from them until a daemon of this release has opened the lake, which may come later.
        """
        table = await self.table(spec)
        if table is None:
            return
        with translated(f"reading {spec.name}"):
            query = table.query() if where is None else table.query().where(where)
            if columns is not None:
                has = set((await table.schema()).names)
                query = query.select([name for name in columns if name in has])
            async for batch in await query.to_batches():
                yield batch


def _ranges_of_ids(count: int) -> Iterator[str]:
    """Conditions that share all ids out between them, in their order."""
    ends = [f"{at * _ID_ENDS // count:0{_ID_DIGITS}x}" for at in range(count)]
    for start, end in itertools.zip_longest(ends, ends[1:]):
        yield f"asset_id >= {quoted(start)}" + (f" AND asset_id < {quoted(end)}" if end else "")


def _parts(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    for at in range(0, len(keys), _IDS_AT_ONCE):
        yield keys[at : at + _IDS_AT_ONCE]
