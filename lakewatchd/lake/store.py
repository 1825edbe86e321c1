"""The tables, open for writing: create, bring up to date, merge, append, delete.

Home of LanceDB's writing side. When to write is :mod:`lakewatchd.lake.tables`'s business.
Invariant: every table has all columns of :mod:`lakewatchd.lake.schema` and a BTREE on its key; without it an
upsert costs 0.1 ms more for each 1000 rows in the table.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lakewatchd.core.asset import PathKey, text_path
from lakewatchd.core.companions import family_of
from lakewatchd.errors import FatalError
from lakewatchd.lake.files import Files, own_options
from lakewatchd.lake.lance_errors import translated
from lakewatchd.lake.schema import ASSETS, OCCURRENCES, SPANS, TABLES, Column, Dims, TableSpec

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)

EMBEDDED_BY = ("embed_transform", "clips_transform")
"""The stages that make vectors."""
INDEX_CACHE_BYTES, METADATA_CACHE_BYTES = 512_000_000, 64_000_000
"""What is kept of keys, which for a million assets fit, and of versions of tables. Lance by itself keeps 7 GB."""
SMALL_ROWS = 50_000
"""An index of so many rows is made in a second or few, while everything waits."""
_AT_ONCE = 10_000
"""Rows that are given a new column's values together."""


@dataclass(slots=True)
class Store:
    files: Files
    dims: Dims
    """Of the vectors that the tables hold: also of a model that is off or missing just now."""
    _tables: dict[str, Any]
    _arrow: dict[str, pa.Schema]

    @classmethod
    async def open(cls, files: Files, dims: Dims) -> Store:
        """Make what is missing. Raises ``FatalError`` for a table whose columns are of other types."""
        import lancedb

        with translated("opening the lake"):
            # 0: always see the newest version; pylance commits compactions behind LanceDB's back.
            db = await lancedb.connect_async(
                files.uri,
                storage_options=own_options(files),
                read_consistency_interval=dt.timedelta(0),
                session=lancedb.Session(INDEX_CACHE_BYTES, METADATA_CACHE_BYTES),
            )
            store = cls(files, dims, {}, {})
            names = set(await asyncio.to_thread(files.tables))  # some servers keep a directory for what is gone
            await _drop_foreign_vectors({name: await db.open_table(name) for name in names}, dims)
            for spec in TABLES:
                await store._open(db, spec, is_new=spec.name not in names)
        store.dims = Dims.of(store.arrow(SPANS))
        return store

    async def _open(self, db: Any, spec: TableSpec, *, is_new: bool) -> None:
        arrow = spec.arrow(self.dims)
        table = await (db.create_table(spec.name, schema=arrow) if is_new else db.open_table(spec.name))
        if not is_new:
            await _evolve(table, spec, arrow)
        if spec is OCCURRENCES and not is_new:
            await _tell_families(table)
        self._tables[spec.name] = table
        self._arrow[spec.name] = await table.schema()
        await self.create_indexes(spec, "btree")
        if await table.count_rows() < SMALL_ROWS:  # a search needs an index of words even where there are no rows
            await self.create_indexes(spec, "words")

    async def create_indexes(self, spec: TableSpec, *kinds: str) -> None:
        """The indexes of these kinds that are lacking."""
        for column in await self.lacking(spec, *kinds):
            await self.create_index(spec, column)

    async def lacking(self, spec: TableSpec, *kinds: str) -> list[Column]:
        """The columns that are to have an index of these kinds and have none, or one that was made otherwise."""
        with translated(f"looking at the indexes of {spec.name}"):
            have = {index.name for index in await self._tables[spec.name].list_indices()}
        has = set(self.arrow(spec).names)
        return [column for column in spec.indexed(*kinds) if column.name in has and column.index_name not in have]

    async def create_index(self, spec: TableSpec, column: Column, rows: int = 0) -> None:
        """Over all rows, in the place of any other index of the column. Commits may go on beside it; compactions make
        it end with ``Busy``. ``rows``: about how many there are, for ``vectors``."""
        table = self._tables[spec.name]
        with translated(f"indexing {spec.name}"):
            await table.create_index(column.name, config=_index(column, rows), name=column.index_name)
            for index in await table.list_indices():
                if index.columns == [column.name] and index.name != column.index_name:
                    await table.drop_index(index.name)

    def arrow(self, spec: TableSpec) -> pa.Schema:
        """The columns of the table, in its order."""
        return self._arrow[spec.name]

    async def merge(self, spec: TableSpec, rows: pa.Table) -> None:
        """Insert or replace by key. ``rows`` must not hold a key twice: Lance would keep both."""
        with translated(f"writing {spec.name}"):
            merge = self._tables[spec.name].merge_insert(spec.key)
            # "null": a span without a vector is normal, lancedb's default refuses the whole group for it
            await merge.when_matched_update_all().when_not_matched_insert_all().execute(rows, on_bad_vectors="null")

    async def stamp(self, keys: pa.ChunkedArray, column: str, value: str, revision: int) -> None:
        """Set a column of ``silver_assets``, and nothing else, in the rows with these keys."""
        import pyarrow as pa

        count = len(keys)
        if not count:
            return
        columns = {"asset_id": keys, column: [value] * count, "revision": pa.array([revision] * count, pa.int64())}
        with translated(f"stamping {ASSETS.name}"):
            await (
                self._tables[ASSETS.name].merge_insert("asset_id").when_matched_update_all().execute(pa.table(columns))
            )

    async def append(self, spec: TableSpec, rows: pa.Table) -> None:
        with translated(f"writing {spec.name}"):
            await self._tables[spec.name].add(rows)

    async def delete(self, spec: TableSpec, where: str) -> None:
        with translated(f"deleting from {spec.name}"):
            await self._tables[spec.name].delete(where)

    async def select(self, spec: TableSpec, columns: Sequence[str], where: str) -> pa.Table:
        with translated(f"reading {spec.name}"):
            return await self._tables[spec.name].query().where(where).select(list(columns)).to_arrow()

    async def count(self, spec: TableSpec) -> int:
        with translated(f"counting {spec.name}"):
            return int(await self._tables[spec.name].count_rows())

    async def versions(self) -> dict[str, int]:
        with translated("reading table versions"):
            return {name: await table.version() for name, table in self._tables.items()}

    def close(self) -> None:
        for table in self._tables.values():
            table.close()


def _index(column: Column, rows: int) -> Any:
    from lancedb.index import FTS, Bitmap, BTree, IvfSq, LabelList

    match column.index:
        case "btree":
            return BTree()
        case "bitmap":
            return Bitmap()
        case "labels":
            return LabelList()
        case "words":
            # ICU tells words apart, also where no space does (Chinese, Japanese, Thai); IMG_2041.jpg is three.
            # Stop words stay, so that "to be or not to be" is a phrase; common words cost little.
            return FTS(base_tokenizer="icu/split", with_position=True, remove_stop_words=False)
        case "vectors":
            # A sample of 64 for each partition keeps what is trained on below 100 MB at a million rows.
            return IvfSq(distance_type="cosine", num_partitions=partitions_for(rows), sample_rate=64)
    raise ValueError(f"no index {column.index!r}")


def partitions_for(rows: int) -> int:
    """Of an index of vectors: as many as each holds rows, about."""
    return max(1, math.isqrt(rows))


async def _drop_foreign_vectors(tables: Mapping[str, Any], dims: Dims) -> None:
    """Drop vectors of another length than today's model makes: nothing can compare them any more.

    Their assets count as not embedded, and that first: a stop in between costs a repeat. Vectors whose model is
    off or missing stay: it may come back, and they may have taken days.
    """
    foreign: dict[str, list[str]] = {}
    for spec in (spec for spec in TABLES if spec.vectors and spec.name in tables):
        have, wanted = await tables[spec.name].schema(), spec.arrow(dims)
        known = [name for name in spec.vectors if name in have.names and name in wanted.names]
        foreign[spec.name] = [name for name in known if have.field(name).type != wanted.field(name).type]
    assets = tables.get(ASSETS.name) if any(foreign.values()) else None
    if assets is not None:
        names = (await assets.schema()).names
        for column in (name for name in EMBEDDED_BY if name in names):
            await assets.update({column: None}, where=f"{column} IS NOT NULL")
    for name, columns in foreign.items():
        if columns:
            log.warning("vectors of another model dropped", extra={"table": name, "columns": columns})
            await tables[name].drop_columns(columns)


async def _evolve(table: Any, spec: TableSpec, wanted: pa.Schema) -> None:
    """Add columns that are new, empty."""
    import pyarrow as pa

    have = await table.schema()
    required = [name for name in have.names if name not in spec.vectors]
    if foreign := [n for n in required if n in spec.names and have.field(n).type != wanted.field(n).type]:
        hint = "move the lake away and restart: it is made again from the originals"
        raise FatalError(f"{spec.name} has columns of another type: {', '.join(foreign)}", hint)
    missing = [field for field in wanted if field.name not in have.names]
    if missing:
        await table.add_columns(pa.schema(missing))


async def _tell_families(table: Any) -> None:
    """Of places from before there was the column. A stop in between costs a repeat."""
    import pyarrow as pa

    while True:
        query = table.query().where("family IS NULL").select(["occurrence_id", "root", "path_text"]).limit(_AT_ONCE)
        rows = await query.to_arrow()
        if not len(rows):
            return
        places = zip(rows["root"].to_pylist(), rows["path_text"].to_pylist(), strict=True)
        families = pa.array([family_of(PathKey(root, text_path(path))) for root, path in places])
        told = pa.table({"occurrence_id": rows["occurrence_id"], "family": families})
        await table.merge_insert("occurrence_id").when_matched_update_all().execute(told)
