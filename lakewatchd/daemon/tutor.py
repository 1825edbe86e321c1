"""Tags of the whole lake, brought up to date in the background: what corrections teach, and what the taxonomy says now.

::

    a correction, an edited taxonomy, a start, a lake that doubled
        ─► learn from all corrections, and what the lake's texts are like
        ─► is it news? ─► kept in the lake, another transform of ``tag``
        ─► assets of another transform, a page at a time ─► what would be said of them?
              the same: their transform is stamped, many in one commit        otherwise: an ``index`` job

Lake first: what was learned is durable before anything is tagged by it, so that a stop in between costs a repeat.
Invariant: an asset is stamped only if nobody else was, or is, at work on it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from lakewatchd.core.asset import AssetId
from lakewatchd.core.job import Priority
from lakewatchd.daemon.patience import patiently
from lakewatchd.errors import LakewatchError, QueueDamaged
from lakewatchd.lake.rows import Batch
from lakewatchd.queue.book import QueueBook
from lakewatchd.stages import plan, retag
from lakewatchd.stages.background import Own
from lakewatchd.stages.base import Context, Work
from lakewatchd.stages.likeness import middles
from lakewatchd.stages.tag import Tagger
from lakewatchd.stages.teaching import Learned, Lesson, School, learn
from lakewatchd.stages.zero_shot import picture_of, text_of

if TYPE_CHECKING:
    from lakewatchd.daemon.parts import Daemon

Item = TypeVar("Item")

_log = logging.getLogger(__name__)

SCHOOL = "school"
SAMPLE = 512
"""Assets that stand for the lake where corrections teach."""
LEAST = 1024
"""Assets of a lake whose own texts are looked at for their background."""
LOOK_S = 3600.0
"""How often it is asked whether the lake has doubled."""
AGAIN_S = 10.0
"""After a page that could not be done, because the lake is busy, say."""


@dataclass(frozen=True, slots=True)
class Page:
    asset_ids: list[AssetId]
    known: int
    """The revision before they were read."""
    served: retag.Served
    """Those that may be judged here: nobody is at work on them, and they wait for nothing but their tags."""


class Tutor:
    """Works while somebody awaits :meth:`run`."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    async def run(self) -> None:
        daemon = self._daemon
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await daemon.retag.wait()
            is_asked = daemon.retag.is_set()
            daemon.is_retagging = True
            daemon.retag.clear()
            try:
                is_news = await patiently(self.learn, lambda _told: None)
                if is_asked or is_news:
                    await patiently(self.retag, lambda _told: None)
            except QueueDamaged:
                raise
            except LakewatchError as exc:  # the model is away, say
                _log.warning("tags were not brought up to date: %s; it is tried again", exc.message)
                asyncio.get_running_loop().call_later(AGAIN_S, daemon.retag.set)
            finally:
                daemon.is_retagging = False

    async def learn(self) -> bool:
        """Learn from all corrections and of the lake's texts, where there are other corrections than before or the lake
        has doubled. Whether that was news; then the stage of today is another one."""
        daemon, ctx = self._daemon, self._daemon.context
        said = [row async for row in daemon.reader.all_corrections()]
        total = await daemon.reader.size()
        is_large = total >= LEAST and bool(daemon.tagger.embedded_by)
        if not said and not daemon.school.made_of and not is_large:
            return False
        works = await retag.works_of([row.asset_id for row in said], ctx)
        lessons = [(tag, work, is_so) for work in works for tag, is_so in _told(work, daemon.tagger)]
        size = max(total.bit_length(), daemon.school.background.size)  # files that come and go are no doubling
        made_of = _fingerprint(lessons, daemon.tagger, size)
        if made_of == daemon.school.made_of:
            return False
        school = await self._learned(lessons, {row.asset_id for row in said}, made_of, size if is_large else 0)
        await daemon.writer.submit(Batch(learned=((SCHOOL, school.to_bytes()),)))
        is_news = school.digest != daemon.school.digest
        async with daemon.reloading:
            kept = School.of(school.to_bytes())
            if is_news:  # first: while somebody edits the taxonomy it may be wrong, and then nothing has been learned
                daemon.stages = await asyncio.to_thread(daemon.make_stages, daemon.config, kept)
            daemon.school = kept
        if is_news:
            taught = sorted({*school.pictures.tags, *school.texts.tags})
            _log.info("corrections taught %d tags: %s", len(taught), ", ".join(taught) or "none")
            if school.background.rows:
                _log.info("tags of texts are calibrated on a sample of this lake")
        return is_news

    async def _learned(
        self, lessons: list[tuple[str, Work, bool]], said: set[AssetId], made_of: str, size: int
    ) -> School:
        """``size`` of the lake, in binary digits; 0 where it is too small to be looked at."""
        ctx, tagger = self._daemon.context, self._daemon.tagger
        ids = [asset_id for asset_id in await self._daemon.reader.first_ids(SAMPLE) if asset_id not in said]
        sample = await retag.works_of(ids, ctx)
        background = self._daemon.school.background if size else Own()
        if size and not background.is_of(tagger.embedded_by, size):  # else a correction would have all tagged anew
            background = await asyncio.to_thread(_background, sample, tagger.embedded_by, size)
        if not lessons or not sample:
            return School(made_of=made_of, background=background)
        judge = await tagger.untaught(ctx)

        def work_out() -> School:
            sides: list[Learned] = []
            for vectors_of in (picture_of, text_of):
                evidence = [(tag, tagger.evidence(work), is_so) for tag, work, is_so in lessons]
                own = [
                    Lesson(tag, middles([vectors_of(seen)])[0], judge.odds_of(tag, seen), is_so)
                    for tag, seen, is_so in evidence
                    if len(vectors_of(seen))
                ]
                others = [vectors for work in sample if len(vectors := vectors_of(tagger.evidence(work)))]
                sides.append(learn(own, middles(others)) if own and others else Learned())
            pictures, texts = sides
            return School(pictures, texts, made_of, background)

        return await asyncio.to_thread(work_out)

    async def retag(self) -> None:
        """Every asset that was tagged by another transform: stamp it, or queue it."""
        daemon, stage = self._daemon, self._daemon.stages["tag"]
        same, differing = 0, 0
        async with contextlib.aclosing(ahead(self._loaded())) as pages:
            async for page in pages:
                if daemon.stages["tag"] is not stage:  # a reload came in between, and asked for another round
                    return
                stamped = await self._settle(page, daemon.tagger, daemon.context)
                same, differing = same + stamped, differing + len(page.asset_ids) - stamped
        if same or differing:
            _log.info("tags of %d assets are up to date as they are, %d are queued", same, differing)

    async def _loaded(self) -> AsyncGenerator[Page, None]:
        """All that were tagged otherwise."""
        daemon, stages = self._daemon, self._daemon.stages
        tag = stages["tag"]
        stale = daemon.reader.stale(tag.name, tag.transform.id, kinds=plan.kinds_with(tag.name), page=retag.PAGE)
        async for page in stale:
            known = await daemon.reader.revision()
            busy = await asyncio.to_thread(self._with_jobs, page)
            alone = [asset_id for asset_id in page if asset_id not in busy]
            served = await retag.served_of(alone, daemon.context, lambda row: plan.waits_for_tags_alone(row, stages))
            yield Page(page, known, served)

    async def _settle(self, page: Page, tagger: Tagger, ctx: Context) -> int:
        """How many were stamped."""
        daemon = self._daemon
        told = await page.served.judged(tagger, ctx)
        same = {asset_id for asset_id, judged in told.items() if judged.is_same}
        stamped = await daemon.writer.stamp("tag", tagger.transform.id, same, page.known)
        specs = [plan.index_spec(asset_id, Priority.BACKFILL) for asset_id in page.asset_ids if asset_id not in stamped]
        await daemon.queue_thread(daemon.queue.put, specs)
        daemon.pool.wake()
        return len(stamped)

    def _with_jobs(self, asset_ids: list[AssetId]) -> set[AssetId]:
        with contextlib.closing(QueueBook(self._daemon.config.queue_path)) as book:
            return set(book.jobs(plan.INDEX, asset_ids))


async def ahead(items: AsyncGenerator[Item, None]) -> AsyncGenerator[Item, None]:
    """The same items; the next is made while somebody is at work on one."""
    async with contextlib.aclosing(items):
        coming = asyncio.ensure_future(anext(items, None))
        try:
            while (item := await coming) is not None:
                coming = asyncio.ensure_future(anext(items, None))
                yield item
        finally:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)


def _told(work: Work, tagger: Tagger) -> list[tuple[str, bool]]:
    """The tags that a person gave the asset, and those that were taken away."""
    given = {tagger.name(word) for word in work.correction.tags}
    taken = {tagger.name(word) for word in work.correction.denied} - given
    return [*((tag, True) for tag in sorted(given)), *((tag, False) for tag in sorted(taken))]


def _background(sample: list[Work], embedded_by: str, size: int) -> Own:
    """What texts of the lake are like, as far as they have vectors of today's model."""
    import numpy as np

    contents = [
        [
            np.asarray(span.text_vector, np.float32)
            for span in work.spans
            if span.vector_transform == embedded_by and span.text_vector is not None
        ]
        for work in sample
    ]
    texts = [vectors for vectors in contents if vectors]
    return Own.of(middles(texts), embedded_by, size) if texts else Own()


def _fingerprint(lessons: list[tuple[str, Work, bool]], tagger: Tagger, size: int) -> str:
    """Of all that is learned from, but for what the sample holds: it is drawn again when the lake has doubled."""
    facts = [
        (tag, is_so, work.asset_id, [span.vector_transform for span in work.spans]) for tag, work, is_so in lessons
    ]
    raw = repr((sorted(facts, key=repr), tagger.taxonomy.digest, tagger.embedded_by, size)).encode()
    return hashlib.blake2b(raw, digest_size=16).hexdigest()
