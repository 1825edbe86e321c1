"""Which tables that lie in files a query names: ``FROM 'reports/paid.csv'``.

A text in quotes that has a dot may be such a name: a path below a root, with or without ``root:``, an absolute path, or
the end of one as long as it is the only one. ``#`` and a name tell one of several tables of a file. Invariant: nothing
is opened but regular files of directory roots that the lake holds as tables, at the place where it saw them.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field

from lakewatchd.config import Config, RootConfig
from lakewatchd.core.asset import Kind, PathKey, text_path
from lakewatchd.core.table import KEY, from_json
from lakewatchd.errors import BadQuery, LakewatchError
from lakewatchd.lake.reader import LakeReader
from lakewatchd.lake.rows import AssetRow, Presence
from lakewatchd.lake.schema import OCCURRENCES, quoted
from lakewatchd.media.files import OutOfReach, open_regular
from lakewatchd.views.sql import shapes

MAX_NAMES = 16
"""In one query."""
_MAX_PLACES = 50
OPEN_S = 10.0
_QUOTED = re.compile(r"'((?:[^']|'')*)'|\"((?:[^\"]|\"\")+)\"")


@dataclass(frozen=True, slots=True)
class Table:
    """``called`` as the query writes it; ``shape`` as JSON."""

    called: str
    root: str
    """The directory."""
    path: str
    shape: str

    async def open(self) -> int:
        """A descriptor to close. Raises ``BadQuery`` where it cannot be read now."""
        try:
            async with asyncio.timeout(OPEN_S):
                return await asyncio.to_thread(self._open)
        except (FileNotFoundError, OutOfReach) as exc:
            raise BadQuery(f"{self.called} is not there any more", "ask again once the daemon has seen that") from exc
        except TimeoutError as exc:
            raise BadQuery(f"{self.called} cannot be opened: its storage does not answer", "look at its mount") from exc

    def _open(self) -> int:
        with open_regular(os.fsencode(self.root), os.fsencode(self.path)) as fd:
            return os.dup(fd)


@dataclass(slots=True)
class Named:
    tables: list[Table] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)
    """Of names that look like a file and are no table here: why."""

    def explained(self, error: BadQuery) -> LakewatchError:
        """``error``, or why a name in it is no table."""
        for called, problem in self.problems.items():
            if error.message.partition(": ")[0] == f"no table {called}":
                return BadQuery(f"no table {called}: {problem}", error.hint)
        return error


async def named_in(query: str, reader: LakeReader, config: Config) -> Named:
    """Raises ``BadQuery`` for a name that means several tables."""
    found = Named()
    for called in _names(query):
        asked, _, part = called.partition("#")
        places = [place async for place in _places(asked, reader, config)]
        contents = {asset_id for _, asset_id in places}
        if len(contents) > 1:
            several = ", ".join(sorted(key.text for key, _ in places)[:3])
            raise BadQuery(f"{called} means several tables", f"write one of them whole: {several}")
        if not places:
            found.problems[called] = "the lake holds no such table"
            continue
        key, asset_id = min(places)
        asset = await reader.asset(asset_id)
        root = next((root for root in config.roots if root.name == key.root), None)
        if root is None:
            found.problems[called] = "it lies in a bucket; SQL reads tables of directories"
        elif asset is None or (shape := _shape(asset, part)) is None:
            found.problems[called] = f"it has no table {part!r}" if part else "its columns are not known"
        elif (form := from_json(shape).format) not in shapes.READABLE:
            found.problems[called] = f"SQL does not read {form} files; save it as CSV or Parquet"
        else:
            found.tables.append(Table(called, str(root.path), key.path, shape))
    return found


def _names(query: str) -> list[str]:
    texts = (
        match[2].replace('""', '"') if match[2] else match[1].replace("''", "'") for match in _QUOTED.finditer(query)
    )
    return list(dict.fromkeys(words for words in texts if "." in words and not words.startswith(".")))[:MAX_NAMES]


async def _places(asked: str, reader: LakeReader, config: Config) -> AsyncIterator[tuple[PathKey, str]]:
    """Where tables that are called so lie now, with their content."""
    for key in _exact(asked, config):
        row = await reader.occurrence(key)
        if row is not None and row.kind is Kind.TABLE and row.presence is Presence.PRESENT:
            yield row.key, row.asset_id
            return
    end = quoted(f"/{asked}")
    where = f"kind = 'table' AND presence = 'present' AND ends_with(concat('/', path_text), {end})"
    count = 0
    async for rows in reader.batches(OCCURRENCES, ["root", "path_text", "asset_id"], where):
        for row in rows.to_pylist():
            count += 1
            if count > _MAX_PLACES:
                return
            yield PathKey(row["root"], text_path(row["path_text"])), row["asset_id"]


def _exact(asked: str, config: Config) -> Iterator[PathKey]:
    for root in config.all_roots:
        if asked.startswith(f"{root.name}:"):
            yield PathKey(root.name, text_path(asked.removeprefix(f"{root.name}:")))
        if isinstance(root, RootConfig) and asked.startswith(f"{root.path}/"):
            yield PathKey(root.name, text_path(asked.removeprefix(f"{root.path}/")))
        yield PathKey(root.name, text_path(asked))


def _shape(asset: AssetRow, part: str) -> str | None:
    """Of the table called ``part``, or of the first."""
    words = [value for key, value in asset.exif if key == KEY or key.startswith(f"{KEY}.")]
    return next((word for word in words if not part or from_json(word).name == part), None)
