"""What the lake knows of one content, in a person's words: what it is, and what was read in it.

Reads only. Texts come from files: they are cut to a line's length here, and made printable where they are shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from lakewatchd.core.asset import AssetId
from lakewatchd.core.status import Fact, duration_text
from lakewatchd.lake.reader import LakeReader
from lakewatchd.lake.rows import AssetRow, GoldRow
from lakewatchd.lake.schema import SPANS, is_in

SHOWN_CHARS = 160
"""Of a text."""


def of_content(asset: AssetRow) -> Iterator[Fact]:
    """What decoders found out."""
    yield Fact("format", asset.mime)
    if asset.width and asset.height:
        yield Fact("size", f"{asset.width:,} × {asset.height:,} pixels")
    if asset.duration_s is not None:
        yield Fact("length", duration_text(asset.duration_s))
    if asset.pages:
        yield Fact("pages", f"{asset.pages:,}")
    named = {"camera": asset.camera, "author": asset.author, "language": asset.language}
    yield from (Fact(label, _line(text)) for label, text in named.items() if text)


def as_served(gold: GoldRow) -> Iterator[Fact]:
    """What it is filed under, and what it says."""
    yield Fact("kind", gold.kind.value)
    yield Fact("title", gold.title)
    if gold.category:
        yield Fact("category", f"{gold.category} {gold.category_score:.2f}" if gold.category_score else gold.category)
    yield Fact("tags", ", ".join(f"{tag.name} {tag.score:.2f} (by {tag.origin})" for tag in gold.tags) or "none")
    yield Fact("filed under", f"{gold.dated_at:%Y-%m-%d} (by {gold.dated_by})")
    where = ", ".join(name for name in (gold.city, gold.country) if name)
    if gold.latitude is not None and gold.longitude is not None:
        where = f"{where} ({gold.latitude:.4f}, {gold.longitude:.4f})".lstrip()
    if where:
        yield Fact("made at", where)
    if gold.caption:
        yield Fact("caption", _line(gold.caption))


async def pieces(lake: LakeReader, asset_id: AssetId) -> list[Fact]:
    """What it was cut into, and how its text begins."""
    count, words = Counter[str](), dict[int, str]()
    async for batch in lake.batches(SPANS, ["span", "kind", "text"], is_in("asset_id", [asset_id])):
        for row in batch.to_pylist():
            count[row["kind"]] += 1
            if row["text"]:
                words[row["span"]] = row["text"]
    if not count:
        return []
    told = [Fact("pieces", ", ".join(f"{number:,} {kind}" for kind, number in sorted(count.items())))]
    return [*told, Fact("text", _line(words[min(words)]))] if words else told


def _line(text: str) -> str:
    text = " ".join(text[: 2 * SHOWN_CHARS].split())
    return text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}…"
