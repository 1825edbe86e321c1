"""From silver to gold: the one row per asset that views and search serve.

The row depends only on the asset, its places, what lies beside them, what a person said of it and today's taxonomy,
never on the order in which things happened: a lake that lived through a year of renames publishes the same as a fresh
one.
"""

from __future__ import annotations

import collections
import datetime as dt
import itertools

from lakewatchd.core.asset import AssetId, Kind, path_text
from lakewatchd.lake.rows import GoldRow, Vector
from lakewatchd.stages import dated, family, labelled, voices
from lakewatchd.stages.base import Context, Kin, Work
from lakewatchd.stages.spans import SPOKEN
from lakewatchd.stages.zero_shot import Verdict
from lakewatchd.taxonomy import Fallback

TEXT_CHARS = 4000
"""Beginning of a document that is searchable through gold; the passages hold the rest."""
MOST_FOLDERS = 8
"""That one content is searchable by."""


def gold(work: Work, kin: Kin, ctx: Context) -> GoldRow:
    best = work.places[0]
    dated_at, dated_by = dated.dated(work.row, kin.sidecars, best, work.place.zone, ctx.clock.now())
    named = path_text(work.name.rpartition(".")[0] or work.name)
    if kin.head:
        return _part(work, kin.head, named, dated_at, dated_by)
    verdict = work.verdict or _unjudged(work)
    title = family.title(kin.sidecars) or work.row.title or named
    latitude, longitude = family.position(work.row, kin.sidecars) or (None, None)
    return GoldRow(
        asset_id=work.asset_id,
        kind=_kind(work),
        title=title,
        category=verdict.category,
        category_score=verdict.category_score,
        tags=verdict.tags,
        caption=family.description(kin.sidecars) or work.row.caption,
        dated_at=dated_at,
        dated_by=dated_by,
        text=_text(work, kin, title, [tag.name for tag in verdict.tags]),
        vector=_vector(work),
        best=best.key,
        size_bytes=best.version.size_bytes,
        occurrences=len(work.places),
        language=work.row.language or _spoken(work),
        country=work.place.country,
        city=work.place.city,
        latitude=latitude,
        longitude=longitude,
        duration_s=work.row.duration_s,
    )


def _kind(work: Work) -> Kind:
    """What a person would call it. MP4, Matroska and Ogg may hold sound alone, which their first bytes do not tell."""
    codecs = {key for key, _ in work.row.exif if key in ("VideoCodec", "AudioCodec")}
    return Kind.AUDIO if work.kind is Kind.VIDEO and codecs == {"AudioCodec"} else work.kind


def _part(work: Work, head: AssetId, title: str, dated_at: dt.datetime, dated_by: str) -> GoldRow:
    """Of what belongs to another asset: where it lies, and nothing to be found by."""
    best = work.places[0]
    return GoldRow(
        asset_id=work.asset_id,
        kind=work.kind,
        title=title,
        category="",
        category_score=0.0,
        tags=(),
        caption="",
        dated_at=dated_at,
        dated_by=dated_by,
        text="",
        vector=None,
        best=best.key,
        size_bytes=best.version.size_bytes,
        occurrences=len(work.places),
        family=head,
    )


def _unjudged(work: Work) -> Verdict:
    """Of content that cannot be read: what people and places say of it all the same."""
    unsorted = Fallback().of(work.kind)
    silent = Verdict((), unsorted, 0.0)
    return voices.settle(silent, voices.heard(work), work.correction, voices.NO_VOCABULARY, unsorted)


def _text(work: Work, kin: Kin, title: str, tags: list[str]) -> str:
    passages = " ".join(itertools.islice((span.text for span in work.spans if span.text), 8))
    row = work.row
    parts = (
        title,
        path_text(work.name),
        _folders(work),
        " ".join(tags),
        row.caption,
        row.author,
        labelled.words(work.places),
        family.words(row, kin.sidecars),
        f"{work.place.city} {work.place.country}".strip(),
        passages[:TEXT_CHARS],
    )
    return "\n".join(part for part in parts if part)


def _folders(work: Work) -> str:
    """Where it lies, from the root on: who looks for a folder finds what is in it."""
    folders = (f"{place.key.root}/{place.key.path}".rpartition("/")[0] for place in work.places)
    return "\n".join(map(path_text, itertools.islice(dict.fromkeys(folders), MOST_FOLDERS)))


def _spoken(work: Work) -> str:
    """The language in which most is said; empty where nothing is."""
    said = collections.Counter[str]()
    for span in work.spans:
        if span.kind in SPOKEN and span.language:
            said[span.language] += len(span.words)
    return max(said, key=lambda language: (said[language], language), default="")


def _vector(work: Work) -> Vector | None:
    return next((span.image_vector for span in work.spans if span.image_vector is not None), None)
