"""What would be said today of many assets at once: after an edit of the taxonomy, or when corrections have taught.

The vectors are there, so nothing is decoded or embedded: pages of rows are read, scored in a few matrix products by the
same :meth:`Tagger.judge` that judges a single file, and compared with what is served. Most edits change little, so only
the assets whose verdict differs are worth a job. Invariant: what is called the same is what a job would publish.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from lakewatchd.core.asset import AssetId
from lakewatchd.core.job import Priority
from lakewatchd.lake.rows import AssetRow, GoldRow, OccurrenceRow
from lakewatchd.stages import dedupe, index
from lakewatchd.stages.base import Context, Work
from lakewatchd.stages.tag import Tagger
from lakewatchd.stages.zero_shot import Verdict

PAGE = 4096
"""Assets at once: some 30 MB of vectors, and as much of the next page."""
TOLERANCE = 1e-6
"""Of scores."""


@dataclass(frozen=True, slots=True)
class Judged:
    served: GoldRow
    verdict: Verdict

    @property
    def is_same(self) -> bool:
        if self.served.family:  # it shows nothing of its own
            return True
        tags, before = self.verdict.tags, [tag for tag in self.served.tags if tag.origin != dedupe.COPY]
        return (
            [(tag.name, tag.origin) for tag in tags] == [(tag.name, tag.origin) for tag in before]
            and all(_is_near(tag.score, other.score) for tag, other in zip(tags, before, strict=True))
            and self.verdict.category == self.served.category
            and _is_near(self.verdict.category_score, self.served.category_score)
        )


@dataclass(frozen=True, slots=True)
class Served:
    """Assets, and what is served of each."""

    works: tuple[Work, ...]
    gold: Mapping[AssetId, GoldRow]

    async def judged(self, tagger: Tagger, ctx: Context) -> dict[AssetId, Judged]:
        verdicts = await tagger.judge(self.works, ctx) if self.works else []
        pairs = zip(self.works, verdicts, strict=True)
        return {work.asset_id: Judged(self.gold[work.asset_id], verdict) for work, verdict in pairs}


async def served_of(
    asset_ids: Sequence[AssetId], ctx: Context, fits: Callable[[AssetRow], bool] = lambda _: True
) -> Served:
    """Those of ``asset_ids`` that are served and whose row ``fits``."""
    works = await works_of(asset_ids, ctx, fits)
    gold = await ctx.lake.judged_of(work.asset_id for work in works)
    return Served(tuple(work for work in works if work.asset_id in gold), gold)


async def works_of(
    asset_ids: Sequence[AssetId], ctx: Context, fits: Callable[[AssetRow], bool] = lambda _: True
) -> list[Work]:
    """As an ``index`` job would load them, less the texts. What is not there any more, or is of another kind by its
    name of today, is left out."""
    rows = {row.asset_id: row for row in await ctx.lake.assets(asset_ids) if fits(row)}
    places: dict[AssetId, list[OccurrenceRow]] = {}
    for place in await ctx.lake.occurrences_of_many(rows):
        places.setdefault(place.asset_id, []).append(place)
    spans = await ctx.lake.seen_in(rows)
    corrections = await ctx.lake.corrections_of(rows)
    works = []
    for asset_id, row in rows.items():
        here = index.by_preference(places.get(asset_id, []))
        if not here or (row.kind, row.mime) != (here[0].kind, here[0].mime):
            continue
        name = here[0].key.path.rpartition("/")[2]
        work = Work(asset_id, row.kind, row.mime, name, Priority.BACKFILL, here, row, spans.get(asset_id, []))
        work.correction = corrections.get(asset_id, work.correction)
        works.append(work)
    return works


def _is_near(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=0.0, abs_tol=TOLERANCE)
