"""What must hold after a fault, a restart and a drain: as if nothing had happened."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from dataclasses import dataclass

from lakewatchd.lake.compare import compare
from lakewatchd.lake.files import Files, dataset
from lakewatchd.lake.reader import LakeReader
from lakewatchd.lake.schema import TABLES
from lakewatchd.views.mounted.entries import Branch
from lakewatchd.views.mounted.follow import Follower
from lakewatchd.views.mounted.index import Index
from tests.crash.corpus import Originals
from tests.crash.subject import Red, Subject

Parked = list[tuple[str, str]]

DEPTH = 5
OURS = ("queue.db-", "thumbnails.db", "neighbours.db", "view.db", "lake", "models", "objects")
"""What a daemon that stopped leaves in its state directory, and nothing temporary."""


@dataclass(frozen=True, slots=True)
class Fresh:
    """An index of the same files that nothing happened to."""

    lake: Files
    parked: Parked


def parked(subject: Subject) -> Parked:
    listing = subject.ask("queue_list", parked=True, limit=1000)
    return sorted((str(item["key"]), str(item["reason"])) for item in listing["items"])


def examine(subject: Subject, fresh: Fresh, before: Originals, decodes: int, set_aside: str) -> None:
    """Raises :class:`Red` with the first thing that differs. The daemon is drained and runs; it is stopped here.

    ``decodes``: how often an asset may have been decoded, apart from once more for each death. ``set_aside``: what was
    damaged and is kept under another name, of which ``status`` tells.
    """
    if (found := parked(subject)) != fresh.parked:
        raise Red(f"parked: {found}, expected {fresh.parked}")
    status = subject.ask("status")
    if waiting := [line for line in status["queue"] if line["state"] != "parked"]:
        raise Red(f"still queued: {waiting}")
    problems = [problem["message"] for problem in status["problems"]]
    if not all("nothing is lost" in problem for problem in problems):
        raise Red(f"status tells of problems: {problems}")
    if set_aside and not any("damaged" in problem for problem in problems):
        raise Red(f"status does not tell of the damage: {problems}")
    subject.stop()
    compared = asyncio.run(compare(subject.lake, fresh.lake))
    if compared.differences:
        raise Red("differs from a fresh index: " + "; ".join(map(str, compared.differences[:5])))
    if (a := shown(subject.lake)) != (b := shown(fresh.lake)):
        raise Red(f"the view differs: {sorted(a ^ b)[:5]}")
    expected = (*OURS, set_aside or "lake")
    names = (path.name for path in subject.live.state.iterdir())
    if strays := [name for name in names if name != "queue.db" and not name.startswith(expected)]:
        raise Red(f"left behind in the state directory: {strays}")
    if strays := list(unreferenced(subject.lake)):
        raise Red(f"left behind in the lake: {strays[:5]}")
    _count_decodes(subject, decodes + subject.deaths)
    if subject.originals() != before:
        raise Red("originals were touched")


def _count_decodes(subject: Subject, due: int) -> None:
    """A decode that fails leaves nothing durable behind, so who asks anew while it runs may have it tried again."""
    lines = subject.lines()
    for line, times in lines.items():
        word, _, asset = line.partition(" ")
        if times > {"decode": due, "begin": due + 2}.get(word, times):
            raise Red(f"{asset[:12]}: {word} {times} times, and {due} were due with {subject.deaths} deaths")
    if lines["embed"] > sum(times for line, times in lines.items() if line.startswith("decode ")):
        raise Red(f"{lines['embed']} pictures were embedded: more than were decoded")


def shown(lake: Files) -> set[str]:
    """Every folder of a view of this lake with the assets in it. Under which of its names an asset is filed depends on
    where it was seen first; only ``by-root`` says all of them."""

    async def tree() -> Index:
        reader = LakeReader(lake)
        follower = Follower(reader)
        await follower.refresh()
        reader.close()
        return follower.index

    return set(_walk(asyncio.run(tree()), ()))


def _walk(tree: Index, folder: tuple[bytes, ...]) -> Iterator[str]:
    place = b"/".join(folder).decode(errors="surrogateescape")
    for name, entry in tree.entries(folder):
        if not isinstance(entry, Branch):
            yield f"{place}/{os.fsdecode(name) if folder[0] == b'by-root' else asset_at(tree, folder, name)}"
        elif len(folder) < DEPTH:
            yield from _walk(tree, (*folder, name))


def asset_at(tree: Index, folder: tuple[bytes, ...], name: bytes) -> str:
    file = tree.file(folder, name)
    assert file is not None
    return file.asset.asset_id


def unreferenced(lake: Files) -> Iterator[str]:
    """Data files that no version of their table speaks of: what a killed commit leaves until it is tidied away."""
    for spec in TABLES:
        table = f"{spec.name}.lance"
        versions = [dataset(lake, spec.name, v["version"]) for v in dataset(lake, spec.name).versions()]
        known = {
            f"{table}/data/{file.path}"
            for version in versions
            for fragment in version.get_fragments()
            for file in fragment.metadata.files
        }
        yield from (name for name in lake.sizes(f"{table}/data/") if name not in known)
