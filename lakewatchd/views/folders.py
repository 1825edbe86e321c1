"""Which folders there are, and which of them a file belongs in: the layout of the view, as a table to read.

Pure functions of what the catalog knows. Folders are virtual paths; only :mod:`lakewatchd.views.tree` holds any.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

from lakewatchd.views.catalog import File, State
from lakewatchd.views.names import folder_name

Folder = tuple[bytes, ...]
"""A virtual path, component by component; the root of the view is ``()``."""

TAG, CATEGORY, DATE, KIND, ROOT = b"by-tag", b"by-category", b"by-date", b"by-kind", b"by-root"
RECENT, DUPLICATES = b"recent", b"duplicates"
TOP = (TAG, CATEGORY, DATE, KIND, ROOT, RECENT, DUPLICATES)

TAG_DEPTH = 3
"""Tags that can be narrowed by. Every order of them is a path: a ``find`` over the view grows with each level."""
GROUP_DIGITS = 32


def is_tagged(folder: Folder) -> bool:
    return len(folder) > 1 and folder[0] == TAG


def tags_of(file: File) -> tuple[bytes, ...]:
    facts = file.asset.state.facts
    return facts.tag_folders if facts is not None else ()


class Placement(NamedTuple):
    folder: Folder
    file: File
    tags: tuple[bytes, ...] = ()
    """In ``by-tag``: all tags of the file, which are the subfolders it makes."""


def placements(state: State) -> Iterator[Placement]:
    """Every folder of the trie that an asset in this state is shown in, ``recent`` apart."""
    files, facts = state
    for file in files:
        yield Placement((ROOT, folder_name(file.root), *_parents(file)), file)
        if len(files) > 1:
            yield Placement((DUPLICATES, file.asset.asset_id[:GROUP_DIGITS].encode()), file)
    if not files or facts is None:
        return
    best = files[0]
    yield Placement((KIND, folder_name(facts.kind)), best)
    yield Placement((DATE, b"%04d" % facts.year, b"%02d" % facts.month), best)
    if facts.category:
        yield Placement((CATEGORY, folder_name(facts.category)), best)
    for tag in facts.tag_folders:
        yield Placement((TAG, tag), best, facts.tag_folders)


def _parents(file: File) -> list[bytes]:
    return os.fsencode(file.path).split(b"/")[:-1]
