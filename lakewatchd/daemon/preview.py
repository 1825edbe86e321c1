"""What an edit of the taxonomy would change, before it does: ``lakewatchd taxonomy preview``.

The same judging that would publish it, over what is served now; nothing is written, nothing is queued. Of a large lake
a sample is looked at that depends on its content only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from lakewatchd.core.status import Preview, PreviewChange
from lakewatchd.daemon.parts import Daemon
from lakewatchd.stages import retag
from lakewatchd.taxonomy import Taxonomy

MAX_ASSETS = 20_000
"""To look at: ten seconds or so."""
EXAMPLES = 5


async def preview(daemon: Daemon, taxonomy: Taxonomy, tag: str = "") -> Preview:
    """With ``tag``, of that one only."""
    tagger = daemon.tagger.using(taxonomy)
    ids = await daemon.reader.first_ids(MAX_ASSETS)
    gains, losses = defaultdict[str, list[str]](list), defaultdict[str, list[str]](list)
    looked = 0
    for at in range(0, len(ids), retag.PAGE):
        served = await retag.served_of(ids[at : at + retag.PAGE], daemon.context)
        judged = await served.judged(tagger, daemon.context)
        looked += len(judged)
        for one in judged.values():
            if one.served.family:
                continue
            before = {item.name for item in one.served.tags} | {_category(one.served.category)}
            after = {item.name for item in one.verdict.tags} | {_category(one.verdict.category)}
            for names, found in ((after - before, gains), (before - after, losses)):
                for name in names:
                    found[name].append(one.served.best.text)
    changes = [
        PreviewChange(name, len(gains[name]), len(losses[name]), _some(gains[name]), _some(losses[name]))
        for name in sorted({*gains, *losses})
        if not tag or name == tag
    ]
    return Preview(looked, await daemon.reader.size(), tuple(changes))


def _category(name: str) -> str:
    """Apart from tags, which may be called the same."""
    return f"category {name}"


def _some(places: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(places)[:EXAMPLES])
