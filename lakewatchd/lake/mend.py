"""``lakewatchd check --repair``: keep of a damaged lake what can be read, so that a rescan makes up for the rest.

::

    parts of a table unreadable   the table goes on without them
    an old version unreadable     it is set aside: only whoever tidies up reads it
newest version unreadable     the newest one that can be read takes its place
    none readable                 the table is set aside as NAME.lance.damaged-TIME and made again, empty
    ledger unreadable or gone     a new one
ledger newer than a table     the same, and no table believes what another one says

A lake that lost something becomes another lake (it gets another identity): the daemon then compares what it has seen
with it anew (``daemon/repair.py``), and each asset goes through its stages as far as the lake misses something of it.
Invariant: nothing is deleted that could be read. Blocking; only while no daemon runs.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lakewatchd.errors import LakeDamaged
from lakewatchd.lake import durable
from lakewatchd.lake.lance_errors import translated
from lakewatchd.lake.schema import ASSETS, GOLD, OCCURRENCES, SPANS, TABLES, is_in
from lakewatchd.lake.verify import Damage, inspect, unreadable_versions

_IDS_AT_ONCE = 512


def mend(directory: Path, now: float) -> list[str]:
    """What was done, a line for each; empty if the lake is whole. Can be repeated: a stop half-way is mended next.

    Raises ``AlreadyRunning`` while a daemon runs, ``SchemaTooNew``, ``OutOfSpace``.
    """
    lock = durable.take_lock(directory)
    try:
        with translated("mending the lake"):
            return list(_mended(directory, f"damaged-{dt.datetime.fromtimestamp(now, dt.UTC):%Y%m%d-%H%M%S}"))
    finally:
        os.close(lock)


def _mended(directory: Path, mark: str) -> Iterator[str]:
    ledger, lost_ledger = durable.Ledger(), ""
    try:
        ledger = durable.read_ledger(directory)
        durable.roll_back(directory, ledger)  # before anything counts as lost that is only torn
    except LakeDamaged as exc:
        lost_ledger = exc.message
    damages = [found for spec in TABLES if (found := inspect(directory / f"{spec.name}.lance", is_deep=True))]
    if damages or lost_ledger:
        yield from _become_another(directory, ledger, lost_ledger, damages, mark)
    for spec in TABLES:
        yield from _set_old_aside(directory / f"{spec.name}.lance", mark)


def _become_another(
    directory: Path, ledger: durable.Ledger, lost_ledger: str, damages: Sequence[Damage], mark: str
) -> Iterator[str]:
    lost = {found.table for found in damages if found.fragments or found.is_closed}
    aside = directory / f"{durable.LEDGER}.mending"
    if aside.exists() or (ledger.versions and lost_ledger):
        # The last mending was cut off, or the tables are not of one moment: nobody knows what is missing
        lost = {spec.name for spec in TABLES}
    if not aside.exists():  # first of all: a stop half-way must leave what no daemon takes for the lake it knew
        _set_ledger_aside(directory, aside)
    if lost_ledger:
        yield f"{lost_ledger}: a new ledger is written"
    for found in damages:
        yield _mend_table(directory / f"{found.table}.lance", found, mark)
    yield from _agree(directory, lost)
    newest = max([ledger.revision, *_revisions(directory)])
    durable.Syncer(directory).sync()
    aside.replace(directory / f"{durable.LEDGER}.{mark}")
    fresh = durable.Ledger(revision=newest, forgotten=newest, versions=_versions(directory))
    durable.write_ledger(directory, fresh)


def _set_old_aside(table: Path, mark: str) -> Iterator[str]:
    found = unreadable_versions(table)
    for manifest in found:
        _move_into(table.with_name(f"{table.name}.{mark}"), manifest)
    if found:
        yield f"{table.stem}: {len(found)} old versions cannot be read: set aside"


def _move_into(aside: Path, manifest: Path) -> None:
    aside.mkdir(exist_ok=True)
    manifest.replace(aside / manifest.name)


def _set_ledger_aside(directory: Path, aside: Path) -> None:
    ledger = directory / durable.LEDGER
    if ledger.exists():
        ledger.replace(aside)
    else:
        aside.touch()


def _mend_table(table: Path, found: Damage, mark: str) -> str:
    import lance

    if found.is_closed:
        return _go_back(table, found, mark)
    dataset = lance.dataset(table)
    for name in found.indexes:
        dataset.drop_index(name)
    if not found.fragments:
        return f"{found.table}: {found.what}: the index is made again"
    rows = sum(
        fragment.metadata.num_rows for fragment in dataset.get_fragments() if fragment.fragment_id in found.fragments
    )
    dataset = lance.dataset(table)
    gone = lance.LanceOperation.Delete([], list(found.fragments), "true")
    lance.LanceDataset.commit(dataset, gone, read_version=dataset.version)
    return f"{found.table}: {found.what}: {rows} rows are lost, the others are kept"


def _go_back(table: Path, found: Damage, mark: str) -> str:
    """The newest version that can be opened, without its damaged parts; those after it are set aside."""
    aside = table.with_name(f"{table.name}.{mark}")
    for manifest in durable.manifests(table):
        _move_into(aside, manifest)
        (table / "_versions" / "latest_version_hint.json").unlink(missing_ok=True)
        if not durable.manifests(table):
            break
        older = inspect(table, is_deep=True)
        if older is None or not older.is_closed:
            told = f"; {_mend_table(table, older, mark)}" if older else ""
            return f"{found.table}: {found.what}: the version before is used{told}"
    table.replace(aside / table.name) if aside.exists() else table.replace(aside)
    return f"{found.table}: {found.what}: set aside as {aside.name}, it is made again from the originals"


def _agree(directory: Path, lost: set[str]) -> Iterator[str]:
    """What other tables say of rows that are lost must not keep them from being made again."""
    if lost & {OCCURRENCES.name, GOLD.name}:
        orphans = _column(directory, GOLD.name, "asset_id") - _column(directory, OCCURRENCES.name, "asset_id")
        if orphans:
            for where in _pages("asset_id", orphans):
                _open(directory, GOLD.name).delete(where)
            yield f"{GOLD.name}: {len(orphans)} assets are taken out until a scan finds where they lie"
    if SPANS.name in lost and (assets := _open(directory, ASSETS.name)) is not None:
        # A picture has one span; of a text some passages may be lost, and nobody knows which.
        empty = _column(directory, ASSETS.name, "asset_id") - _column(directory, SPANS.name, "asset_id")
        for where in ("kind IN ('document', 'table')", *_pages("asset_id", empty)):
            assets = _open(directory, ASSETS.name)
            assets.update({"chunk_transform": "CAST(NULL AS STRING)"}, where=where)
        yield f"{ASSETS.name}: texts, and {len(empty)} assets without a span, are read again"


def _pages(column: str, ids: set[str]) -> Iterator[str]:
    listed = sorted(ids)
    for at in range(0, len(listed), _IDS_AT_ONCE):
        yield is_in(column, listed[at : at + _IDS_AT_ONCE])


def _open(directory: Path, name: str) -> Any:
    """None if there is no such table (any more)."""
    import lance

    path = directory / f"{name}.lance"
    return lance.dataset(path) if path.exists() else None


def _column(directory: Path, name: str, column: str) -> set[str]:
    dataset = _open(directory, name)
    return set() if dataset is None else set(dataset.to_table(columns=[column])[column].to_pylist())


def _revisions(directory: Path) -> Iterator[int]:
    for spec in TABLES:
        if (dataset := _open(directory, spec.name)) is not None:
            yield from dataset.to_table(columns=["revision"])["revision"].to_pylist()


def _versions(directory: Path) -> dict[str, int]:
    opened = {spec.name: _open(directory, spec.name) for spec in TABLES}
    return {name: dataset.version for name, dataset in opened.items() if dataset is not None}
