"""The tables on disk, open for writing: create, bring up to date, merge, append, delete.

Home of LanceDB's writing side. When to write is :mod:`lakewatchd.lake.tables`'s business.
Invariant: every table has all columns of :mod:`lakewatchd.lake.schema` and a BTREE on its key; without it an
upsert costs 0.1 ms more for each 1000 rows in the table.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakewatchd.errors import FatalError
from lakewatchd.lake.lance_errors import translated
from lakewatchd.lake.schema import ASSETS, SPANS, TABLES, Dims, TableSpec

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)

EMBEDDED_BY = "embed_transform"


@dataclass(slots=True)
class Store:
    directory: Path
    dims: Dims
    """Of the vectors that the tables hold: also of a model that is off or missing just now."""
    _tables: dict[str, Any]
    _arrow: dict[str, pa.Schema]

    @classmethod
    async def open(cls, directory: Path, dims: Dims) -> Store:
        """Make what is missing. Raises ``FatalError`` for a table whose columns are of other types."""
        import lancedb

        with translated("opening the lake"):
            # 0: always see the newest version; pylance commits compactions behind LanceDB's back.
            db = await lancedb.connect_async(directory, read_consistency_interval=dt.timedelta(0))
            store = cls(directory, dims, {}, {})
            names = set((await db.list_tables()).tables)
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
        self._tables[spec.name] = table
        self._arrow[spec.name] = await table.schema()
        await self.create_indexes(spec, "btree", "words")  # a text search needs its index even with no rows

    async def create_indexes(self, spec: TableSpec, *kinds: str) -> list[str]:
        """The indexes of these kinds that are not there yet; returns the columns that got one."""
        from lancedb.index import FTS, Bitmap, BTree, LabelList

        makers = {"btree": BTree, "bitmap": Bitmap, "labels": LabelList, "words": FTS}
        table = self._tables[spec.name]
        with translated(f"indexing {spec.name}"):
            have = {column for index in await table.list_indices() for column in index.columns}
            missing = [column for column in spec.indexed(*kinds) if column.name not in have]
            for column in missing:
                await table.create_index(column.name, config=makers[column.index]())
        return [column.name for column in missing]

    def arrow(self, spec: TableSpec) -> pa.Schema:
        """The columns of the table, in its order."""
        return self._arrow[spec.name]

    async def merge(self, spec: TableSpec, rows: pa.Table) -> None:
        """Insert or replace by key. ``rows`` must not hold a key twice: Lance would keep both."""
        with translated(f"writing {spec.name}"):
            merge = self._tables[spec.name].merge_insert(spec.key)
            # "null": a span without a vector is normal, lancedb's default refuses the whole group for it
            await merge.when_matched_update_all().when_not_matched_insert_all().execute(rows, on_bad_vectors="null")

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
    if assets is not None and EMBEDDED_BY in (await assets.schema()).names:
        await assets.update({EMBEDDED_BY: None}, where=f"{EMBEDDED_BY} IS NOT NULL")
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
