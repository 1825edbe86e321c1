"""Is a table whole? Asked at every start, of the files' names and sizes; by a repair, of their content too.

Blocking. Nothing here changes anything. A table that is only partly damaged says which parts, so that the rest can
be kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from lakewatchd.errors import LakeDamaged
from lakewatchd.lake.durable import manifests, version_of
from lakewatchd.lake.files import Files, dataset
from lakewatchd.lake.lance_errors import fault_of_bucket, is_panic
from lakewatchd.lake.schema import TABLES


@dataclass(frozen=True, slots=True)
class Damage:
    table: str
    what: str
    fragments: tuple[int, ...] = ()
    """Parts of the table whose rows cannot be read, or of which it cannot be told which were deleted."""
    indexes: tuple[str, ...] = ()
    is_closed: bool = False
    """The table cannot be opened at all."""


def require_whole(files: Files) -> None:
    """Raises ``LakeDamaged`` naming all tables that miss something."""
    if found := [damage for spec in TABLES if (damage := inspect(files, spec.name)) is not None]:
        raise LakeDamaged("the lake is damaged: " + "; ".join(f"{damage.table}: {damage.what}" for damage in found))


def inspect(files: Files, table: str, *, is_deep: bool = False) -> Damage | None:
    """What is wrong with the newest version of a table; None for nothing, or if there is no such table.

    ``is_deep`` reads every row.
    """
    if table not in files.tables():
        return None
    try:
        opened, sizes = dataset(files, table), files.sizes(f"{table}.lance/")
        fragments = {
            fragment.fragment_id: list(_broken(f"{table}.lance", sizes, fragment, is_deep))
            for fragment in opened.get_fragments()
        }
        indexes = [
            name
            for name, uuids in _indexes(opened)
            if not all(_has_files(table, sizes, uuid) for uuid in uuids) or (is_deep and not _is_readable(opened, name))
        ]
    except BaseException as exc:
        return Damage(table, _why(exc), is_closed=True)
    broken = {number: problems for number, problems in fragments.items() if problems}
    if not broken and not indexes:
        return None
    first = next(iter(broken.values()), [f"an index cannot be read: {', '.join(indexes)}"])[0]
    return Damage(table, first, tuple(broken), tuple(indexes))


def _broken(base: str, sizes: Mapping[str, int], fragment: Any, is_deep: bool) -> Iterator[str]:
    """What is wrong with a fragment, cheapest first."""
    for file in fragment.metadata.files:
        name, size = PurePosixPath(file.path).name, sizes.get(f"{base}/data/{file.path}")
        if size is None:
            yield f"{name} is missing"
        elif file.file_size_bytes not in (None, size):
            yield f"{name} has {size} bytes, not {file.file_size_bytes}"
    deletions = fragment.deletion_file()
    if deletions is not None and f"{base}/{deletions}" not in sizes:
        yield f"{deletions} is missing"
    if is_deep:
        try:
            for _batch in fragment.to_batches():
                pass
        except BaseException as exc:
            yield _why(exc)


def _why(exc: BaseException) -> str:
    """What is wrong, by what reading it raised. Raises ``exc`` itself where it says nothing about a file, and
    ``LakeAway`` where nobody can tell now."""
    if (fault := fault_of_bucket("looking whether the lake is whole", exc)) is not None:
        raise fault from exc
    if not (isinstance(exc, OSError | RuntimeError | ValueError) or is_panic(exc)):
        raise exc
    return " ".join(str(exc).split())[:200]


def unreadable_versions(files: Files, table: str) -> list[str]:
    """Manifests of older versions that cannot be read. Nobody needs them, but Lance reads all before it removes any."""
    found = []
    for manifest in manifests(files, table)[1:]:
        try:
            dataset(files, table, version_of(manifest))
        except BaseException as exc:
            _why(exc)
            found.append(manifest)
    return found


def _indexes(dataset: Any) -> Iterator[tuple[str, list[str]]]:
    for index in dataset.describe_indices():
        yield index.name, [segment.uuid for segment in index.segments]


def _is_readable(dataset: Any, index: str) -> bool:
    """Reads all of it."""
    try:
        dataset.prewarm_index(index)
    except BaseException as exc:
        _why(exc)
        return False
    return True


def _has_files(table: str, sizes: Mapping[str, int], uuid: str) -> bool:
    """Lance knows their names; none at all is what a lost directory looks like."""
    return any(name.startswith(f"{table}.lance/_indices/{uuid}/") for name in sizes)
