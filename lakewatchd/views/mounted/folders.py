"""Which folders there are, and which of them a file belongs in: the layout of the view, as a table to read.

Pure functions of what the catalog knows. Folders are virtual paths; only
:mod:`lakewatchd.views.mounted.index` holds any.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

from lakewatchd.views.mounted.catalog import File, State
from lakewatchd.views.mounted.names import file_name, folder_name

Folder = tuple[bytes, ...]
"""A virtual path, component by component; the root of the view is ``()``."""

TAG, CATEGORY, DATE, KIND, ROOT = b"by-tag", b"by-category", b"by-date", b"by-kind", b"by-root"
PLACE = b"by-place"
RECENT, DUPLICATES, UNTAGGED = b"recent", b"duplicates", b"untagged"
TOP = (TAG, CATEGORY, DATE, KIND, PLACE, ROOT, RECENT, DUPLICATES, UNTAGGED)

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
    group = facts.group if facts is not None else ""
    for file in files:
        yield Placement((ROOT, folder_name(file.root), *_parents(file)), file)
        if group or len(files) > 1:
            yield Placement((DUPLICATES, (group or file.asset.asset_id)[:GROUP_DIGITS].encode()), file)
    if not is_shown(state) or facts is None:
        return
    best = files[0]
    yield Placement((KIND, folder_name(facts.kind)), best)
    yield Placement((DATE, b"%04d" % facts.year, b"%02d" % facts.month), best)
    if facts.country:
        yield Placement((PLACE, folder_name(facts.country), *([folder_name(facts.city)] if facts.city else [])), best)
    if facts.category:
        yield Placement((CATEGORY, folder_name(facts.category)), best)
    for tag in facts.tag_folders:
        yield Placement((TAG, tag), best, facts.tag_folders)
    if not facts.tag_folders:
        yield Placement((UNTAGGED,), best)


def is_shown(state: State) -> bool:
    """Everywhere, and not only where it lies: somebody said what it is, and no better copy stands for it."""
    return bool(state.files) and state.facts is not None and state.facts.is_representative


def _parents(file: File) -> list[bytes]:
    return [file_name(part) for part in os.fsencode(file.path).split(b"/")[:-1]]
