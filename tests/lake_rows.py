"""Rows for the tests of the lake: small, varied, the same on every call."""

from __future__ import annotations

import datetime as dt

from lakewatchd.core.asset import NO_LABELS, Detected, Kind, Labels, PathKey, Tag, Version
from lakewatchd.core.lineage import RunState, StageRun
from lakewatchd.lake.rows import AssetRow, Batch, GoldRow, OccurrenceRow, Presence, SpanRow
from lakewatchd.lake.schema import Dims

DIMS = Dims(image=4, text=3)


def asset_id(number: int) -> str:
    return f"{number:064x}"


def place(number: int) -> PathKey:
    return PathKey("photos", f"holidays/'\udcff\n{number}.jpg")


def occurrence(number: int, presence: Presence = Presence.PRESENT, content: int | None = None) -> OccurrenceRow:
    held = asset_id(number if content is None else content)
    version = Version(number, 1_700_000_000_000_000_000, (1 << 64) - 1 - number, 1 << 63, etag="e" * (number % 2))
    labels = (
        Labels((("family", ""), ("place", "Köln")), (("camera", "x"),), "image/jpeg", "v1") if number % 2 else NO_LABELS
    )
    return OccurrenceRow(place(number), held, Kind.IMAGE, "image/jpeg", version, presence, 1.5, 2.5, labels)


def batch(number: int, *, spans: int = 1, title: str = "") -> Batch:
    """All that one indexed asset brings."""
    asset, turn = asset_id(number), float(number % 7)
    when = dt.datetime(2023, 2, 1, 12, 30, 0, number)  # noqa: DTZ001 (wall-clock time)
    return Batch(
        occurrences=(occurrence(number),),
        assets=(
            AssetRow(
                asset, Kind.IMAGE, "image/jpeg", number, 640, 480, None, when, "exif", "Maker's", 47.5, -8.25, title,
                (("Make", "é"), ("Make", "twice")), (1 << 64) - 1 - number, 0, {"chunk": "chunk/1/a", "tag": "tag/1/b"},
                spans=spans,
            ),
        ),
        spans=tuple(
            SpanRow(
                asset, at, "image", f"passage {at}", at, at + 1, None, 0.5, 1.5, (turn, 0.0, 1.0, float(at)),
                (turn, 0.25, float(at)), "embed/1/c", (Detected("cat", 0.5, (0.0, 0.25, 0.5, 1.0)),),
            )
            for at in range(spans)
        ),
        gold=(
            GoldRow(
                asset, Kind.IMAGE, title, "travel", 0.75, (Tag("sea", 0.5, "model"), Tag("o'hare", 1.0, "person")), "",
                when, "exif", f"a red car number{number}", (turn, 0.0, 1.0, 0.0), place(number), number, 1,
            ),
        ),
        thumbnails=((asset, b"thumbnail %d" % number),),
        runs=(StageRun(asset, "chunk", "chunk/1/a", 1.5, 0.25, RunState.DONE),),
    )  # fmt: skip
