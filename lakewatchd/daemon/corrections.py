"""What a person says of files: ``lakewatchd tag``. By content, lake first, answer second.

::

    paths ─► the content that lies there ─► its correction, changed ─► lake ─► an index job publishes it ─► answer

Invariant: once the answer is given, no re-index, move, new model or purge changes what was said; a stop in between
leaves either nothing, or a correction that the next start publishes (:meth:`LakeReader.unheard`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from lakewatchd.config import Config
from lakewatchd.core.asset import AssetId, Correction, PathKey
from lakewatchd.core.job import Priority
from lakewatchd.core.nearest import did_you_mean
from lakewatchd.core.status import CorrectionListing, CorrectionView
from lakewatchd.errors import LakewatchError
from lakewatchd.lake.files import files_of
from lakewatchd.lake.reader import LakeReader
from lakewatchd.lake.rows import Batch, CorrectionRow, Presence
from lakewatchd.stages import plan
from lakewatchd.stages.voices import Vocabulary, tidy
from lakewatchd.taxonomy import Taxonomy
from lakewatchd.taxonomy import parse as read_taxonomy

if TYPE_CHECKING:
    from lakewatchd.daemon.parts import Daemon

MAX_TAGS = 100
"""That one content is given or denied."""
MAX_PLACES = 3
"""Of one content that are named."""

Change = Callable[[Correction], Correction]


async def correct(
    daemon: Daemon, keys: Sequence[PathKey], change: Mapping[str, object], assets: Sequence[AssetId] = ()
) -> CorrectionListing:
    """Say ``change`` of ``assets`` and of what lies at ``keys``: of all of them, or of none. ``change`` has ``add``,
    ``remove`` (tags), ``category`` and ``clear``, as they came over the socket.

    Raises ``LakewatchError`` where nothing is indexed, and for names that no folder can have.
    """
    taxonomy = await asyncio.to_thread(read_taxonomy, daemon.config.tags.taxonomy)
    changed = _change(change, taxonomy)
    served = {row.asset_id for row in await daemon.reader.gold_of_many(assets)}
    if unknown := [asset_id for asset_id in assets if asset_id not in served]:
        raise LakewatchError(f"{unknown[0]!r:.80} is not served", "its file was removed, or is not indexed yet")
    assets = [*assets, *[await _asset_at(daemon.reader, key) for key in keys]]
    async with daemon.correcting:
        known = await daemon.reader.corrections_of(assets)
        said = {asset_id: changed(known.get(asset_id, Correction())) for asset_id in assets}
        await _keep(daemon, said)
    return CorrectionListing(tuple(await _views(daemon.reader, said)))


async def take_in(daemon: Daemon, said: Mapping[AssetId, Correction]) -> int:
    """Corrections of a file that was exported; each replaces what was said of its content. How many there were."""
    for asset_id, correction in said.items():
        if len(asset_id) != 64 or set(asset_id) - set("0123456789abcdef"):
            raise LakewatchError(f"{asset_id!r:.80} names no content", "an asset is 64 hex digits")
        _require_legal((*correction.tags, *correction.denied, *filter(None, [correction.category])))
    async with daemon.correcting:
        await _keep(daemon, said)
    return len(said)


async def listing(reader: LakeReader, keys: Sequence[PathKey] = ()) -> CorrectionListing:
    """All that was said, or what was said of these places."""
    if keys:
        assets = [await _asset_at(reader, key) for key in keys]
        known = await reader.corrections_of(assets)
        return CorrectionListing(tuple(await _views(reader, {a: known.get(a, Correction()) for a in assets})))
    said = {row.asset_id: row.correction async for row in reader.all_corrections()}
    return CorrectionListing(tuple(await _views(reader, said)))


def listing_from_files(config: Config, keys: Sequence[PathKey] = ()) -> CorrectionListing:
    """The same, whether or not the daemon runs. Blocks."""

    async def read() -> CorrectionListing:
        with contextlib.closing(LakeReader(files_of(config))) as reader:
            return await listing(reader, keys)

    return asyncio.run(read())


async def _keep(daemon: Daemon, said: Mapping[AssetId, Correction]) -> None:
    rows = tuple(CorrectionRow(asset_id, correction) for asset_id, correction in said.items())
    if not rows:
        return
    await daemon.writer.submit(Batch(corrections=rows), urgent=True)
    jobs = [plan.index_spec(asset_id, Priority.ASKED, news="a person's word") for asset_id in said]
    await daemon.queue_thread(daemon.queue.put, jobs)
    daemon.pool.wake()
    daemon.retag.set()


async def _asset_at(reader: LakeReader, key: PathKey) -> AssetId:
    place = await reader.occurrence(key)
    if place is None or place.presence is Presence.GONE:
        hint = f"lakewatchd explain {key.text} tells why; a directory cannot be tagged, name its files (DIR/*)"
        raise LakewatchError(f"{key.text}: nothing is indexed there", hint)
    return place.asset_id


async def _views(reader: LakeReader, said: Mapping[AssetId, Correction]) -> list[CorrectionView]:
    places: dict[AssetId, list[str]] = {}
    for row in await reader.occurrences_of_many(said):
        if row.presence is not Presence.GONE:
            places.setdefault(row.asset_id, []).append(row.key.text)
    views = [
        CorrectionView(a, tuple(places.get(a, ())[:MAX_PLACES]), told.tags, told.denied, told.category)
        for a, told in said.items()
    ]
    return sorted(views, key=lambda view: (view.places, view.asset))


def _change(change: Mapping[str, object], taxonomy: Taxonomy) -> Change:
    """What to make of what was said before. A name and its synonyms are one; the last word counts."""
    add, remove = _texts(change.get("add")), _texts(change.get("remove"))
    category, is_cleared = change.get("category"), bool(change.get("clear"))
    _require_legal((*add, *remove))
    if category is not None:
        _require_category(str(category), taxonomy)
    names = Vocabulary.of(taxonomy)
    denied_now = {names.name(word).casefold() for word in remove}
    if twice := [word for word in add if names.name(word).casefold() in denied_now]:
        raise LakewatchError(f"{twice[0]!r:.80} is given and taken away at once", "say one of them")

    def without(words: Iterable[str], others: Iterable[str]) -> set[str]:
        taken = {names.name(word).casefold() for word in others}
        return {word for word in words if names.name(word).casefold() not in taken}

    def changed(before: Correction) -> Correction:
        before = Correction() if is_cleared else before
        tags = without(before.tags, (*add, *remove)) | set(add)
        denied = without(before.denied, (*add, *remove)) | set(remove)
        if len(tags) > MAX_TAGS or len(denied) > MAX_TAGS:
            raise LakewatchError(f"more than {MAX_TAGS} tags of one file", "take some away first: --clear")
        return Correction(
            tuple(sorted(tags)), tuple(sorted(denied)), before.category if category is None else str(category)
        )

    return changed


def _texts(value: object) -> tuple[str, ...]:
    return tuple(str(item) for item in value) if isinstance(value, list) else ()


def _require_legal(names: Iterable[str]) -> None:
    for name in names:
        if not name or tidy(name) != name:
            told = f"write it as {tidy(name)!r}" if tidy(name) else "use letters, digits, spaces"
            raise LakewatchError(f"{name!r:.80} cannot be a tag: it becomes a folder", told)


def _require_category(name: str, taxonomy: Taxonomy) -> None:
    known = [category.name for category in taxonomy.categories]
    if name not in known:
        raise LakewatchError(f"there is no category {name!r:.80}", did_you_mean(name, known, "categories"))
