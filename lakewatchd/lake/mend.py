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
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lakewatchd.errors import Busy, LakeDamaged
from lakewatchd.lake import durable
from lakewatchd.lake.files import Files, Lock, dataset, files_at
from lakewatchd.lake.lance_errors import translated
from lakewatchd.lake.schema import ASSETS, GOLD, OCCURRENCES, SPANS, STAGES, TABLES, is_in
from lakewatchd.lake.verify import Damage, inspect, unreadable_versions

_IDS_AT_ONCE = 512


def mend(place: Path | Files, now: float) -> list[str]:
    """What was done, a line for each; empty if the lake is whole. Can be repeated: a stop half-way is mended next.

    Raises ``AlreadyRunning`` while a daemon runs, ``SchemaTooNew``, ``OutOfSpace``, ``LakeAway``.
    """
    files = files_at(place)
    with translated("mending the lake"):
        lock = _locked(files)
        try:
            return list(_mended(files, f"damaged-{dt.datetime.fromtimestamp(now, dt.UTC):%Y%m%d-%H%M%S}"))
        finally:
            lock.release()


def _locked(files: Files) -> Lock:
    """The lock, waited for while nobody knows whether its owner has ended."""
    while True:
        try:
            return files.lock()
        except Busy:
            time.sleep(1.0)


def _mended(files: Files, mark: str) -> Iterator[str]:
    ledger, lost_ledger = durable.Ledger(), ""
    try:
        ledger = durable.read_ledger(files)
        durable.roll_back(files, ledger)  # before anything counts as lost that is only torn
    except LakeDamaged as exc:
        lost_ledger = exc.message
    damages = [found for spec in TABLES if (found := inspect(files, spec.name, is_deep=True))]
    if damages or lost_ledger:
        yield from _become_another(files, ledger, lost_ledger, damages, mark)
    for spec in TABLES:
        yield from _set_old_aside(files, spec.name, mark)


def _become_another(
    files: Files, ledger: durable.Ledger, lost_ledger: str, damages: Sequence[Damage], mark: str
) -> Iterator[str]:
    lost = {found.table for found in damages if found.fragments or found.is_closed}
    aside = f"{durable.LEDGER}.mending"
    if files.read(aside) is not None or (ledger.versions and lost_ledger):
        # The last mending was cut off, or the tables are not of one moment: nobody knows what is missing
        lost = {spec.name for spec in TABLES}
    if files.read(aside) is None:  # first of all: a stop half-way must leave what no daemon takes for the lake it knew
        _set_ledger_aside(files, aside)
    if lost_ledger:
        yield f"{lost_ledger}: a new ledger is written"
    for found in damages:
        yield _mend_table(files, found, mark)
    yield from _agree(files, lost)
    newest = max([ledger.revision, *_revisions(files)])
    files.sync()
    files.move(aside, f"{durable.LEDGER}.{mark}")
    fresh = durable.Ledger(revision=newest, forgotten=newest, versions=_versions(files))
    durable.write_ledger(files, fresh)


def _set_old_aside(files: Files, table: str, mark: str) -> Iterator[str]:
    found = unreadable_versions(files, table)
    for manifest in found:
        _move_into(files, _aside(table, mark), manifest)
    if found:
        yield f"{table}: {len(found)} old versions cannot be read: set aside"


def _aside(table: str, mark: str) -> str:
    return f"{table}.lance.{mark}/"


def _move_into(files: Files, aside: str, manifest: str) -> None:
    files.move(manifest, aside + manifest.rpartition("/")[2])


def _set_ledger_aside(files: Files, aside: str) -> None:
    if files.read(durable.LEDGER) is not None:
        files.move(durable.LEDGER, aside)
    else:
        files.write(aside, b"")


def _mend_table(files: Files, found: Damage, mark: str) -> str:
    import lance

    if found.is_closed:
        return _go_back(files, found, mark)
    opened = dataset(files, found.table)
    for name in found.indexes:
        opened.drop_index(name)
    if not found.fragments:
        return f"{found.table}: {found.what}: the index is made again"
    rows = sum(
        fragment.metadata.num_rows for fragment in opened.get_fragments() if fragment.fragment_id in found.fragments
    )
    opened = dataset(files, found.table)
    gone = lance.LanceOperation.Delete([], list(found.fragments), "true")
    lance.LanceDataset.commit(opened, gone, read_version=opened.version)
    return f"{found.table}: {found.what}: {rows} rows are lost, the others are kept"


def _go_back(files: Files, found: Damage, mark: str) -> str:
    """The newest version that can be opened, without its damaged parts; those after it are set aside."""
    table, aside = found.table, _aside(found.table, mark)
    for manifest in durable.manifests(files, table):
        _move_into(files, aside, manifest)
        durable.forget_hint(files, table)
        if not durable.manifests(files, table):
            break
        older = inspect(files, table, is_deep=True)
        if older is None or not older.is_closed:
            told = f"; {_mend_table(files, older, mark)}" if older else ""
            return f"{table}: {found.what}: the version before is used{told}"
    files.move(f"{table}.lance/", f"{aside}{table}.lance/" if files.holds(aside) else aside)
    return f"{table}: {found.what}: set aside as {aside[:-1]}, it is made again from the originals"


def _agree(files: Files, lost: set[str]) -> Iterator[str]:
    """What other tables say of rows that are lost must not keep them from being made again."""
    if lost & {OCCURRENCES.name, GOLD.name}:
        orphans = _column(files, GOLD.name, "asset_id") - _column(files, OCCURRENCES.name, "asset_id")
        if orphans:
            for where in _pages("asset_id", orphans):
                _open(files, GOLD.name).delete(where)
            yield f"{GOLD.name}: {len(orphans)} assets are taken out until a scan finds where they lie"
    if SPANS.name in lost and (assets := _open(files, ASSETS.name)) is not None:
        torn = _with_other_spans(files, assets)
        nothing = {f"{stage}_transform": "CAST(NULL AS STRING)" for stage in STAGES}
        for where in _pages("asset_id", torn):
            _open(files, ASSETS.name).update(nothing, where=where)
        yield f"{ASSETS.name}: {len(torn)} assets that lost spans are read again"


def _with_other_spans(files: Files, assets: Any) -> set[str]:
    """The assets that have not as many spans as they say; those that do not say too, being of an older lake."""
    opened = _open(files, SPANS.name)
    ids = [] if opened is None else opened.to_table(columns=["asset_id"])["asset_id"].to_pylist()
    there = Counter[str](ids)
    said = assets.to_table(columns=["asset_id", "spans"]).to_pydict()
    return {asset for asset, spans in zip(said["asset_id"], said["spans"], strict=True) if spans != there[asset]}


def _pages(column: str, ids: set[str]) -> Iterator[str]:
    listed = sorted(ids)
    for at in range(0, len(listed), _IDS_AT_ONCE):
        yield is_in(column, listed[at : at + _IDS_AT_ONCE])


def _open(files: Files, table: str) -> Any:
    """None if there is no such table (any more)."""
    return dataset(files, table) if table in files.tables() else None


def _column(files: Files, table: str, column: str) -> set[str]:
    opened = _open(files, table)
    return set() if opened is None else set(opened.to_table(columns=[column])[column].to_pylist())


def _revisions(files: Files) -> Iterator[int]:
    for spec in TABLES:
        if (opened := _open(files, spec.name)) is not None:
            yield from opened.to_table(columns=["revision"])["revision"].to_pylist()


def _versions(files: Files) -> dict[str, int]:
    tables = {spec.name: _open(files, spec.name) for spec in TABLES}
    return {name: opened.version for name, opened in tables.items() if opened is not None}
