"""From silver to gold: the one row per asset that views and search serve.

The row depends only on the asset, its places and today's taxonomy, never on the order in which things
happened: a lake that lived through a year of renames publishes the same as a fresh one.
"""

from __future__ import annotations

import datetime as dt

from lakewatchd.core.asset import Kind, path_text
from lakewatchd.lake.rows import GoldRow, OccurrenceRow, Vector
from lakewatchd.media.exif import time_in_name
from lakewatchd.stages.base import Context, Work

TEXT_CHARS = 4000
"""Beginning of a document that is searchable through gold; the passages hold the rest."""


def gold(work: Work, ctx: Context) -> GoldRow:
    best = work.places[0]
    dated_at, dated_by = _date(work, best)
    verdict = work.verdict
    title = work.row.title or path_text(work.name.rpartition(".")[0] or work.name)
    tags = verdict.tags if verdict else ()
    return GoldRow(
        asset_id=work.asset_id,
        kind=work.kind,
        title=title,
        category=verdict.category if verdict else _category(work.kind),
        category_score=verdict.category_score if verdict else 0.0,
        tags=tags,
        caption="",
        dated_at=dated_at,
        dated_by=dated_by,
        text=_text(work, title, [tag.name for tag in tags]),
        vector=_vector(work),
        best=best.key,
        size_bytes=best.version.size_bytes,
        occurrences=len(work.places),
    )


def _date(work: Work, best: OccurrenceRow) -> tuple[dt.datetime, str]:
    """Best evidence first: the camera, the file's name, the file's modification time."""
    if work.row.captured_at is not None:
        return work.row.captured_at, work.row.captured_from
    named = time_in_name(work.name)
    if named is not None:
        return named, "name"
    return _local(best.version.mtime_ns), "mtime"


def _local(mtime_ns: int) -> dt.datetime:
    """Wall-clock time in this machine's zone, without one; absurd times become the epoch."""
    try:
        return dt.datetime.fromtimestamp(mtime_ns // 1_000_000_000)  # noqa: DTZ006 - wall clock is what is wanted
    except (OverflowError, ValueError, OSError):
        return dt.datetime(1970, 1, 1)  # noqa: DTZ001


def _category(kind: Kind) -> str:
    return "documents" if kind in (Kind.DOCUMENT, Kind.TABLE) else "other"


def _text(work: Work, title: str, tags: list[str]) -> str:
    passages = " ".join(span.text for span in work.spans[:8] if span.text)
    return "\n".join(part for part in (title, path_text(work.name), " ".join(tags), passages[:TEXT_CHARS]) if part)


def _vector(work: Work) -> Vector | None:
    return next((span.image_vector for span in work.spans if span.image_vector is not None), None)
