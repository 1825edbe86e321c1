"""What search is made of: nearest vectors, words, things seen, facts of hits. The one file that asks Lance to search.

Each call is one question and knows nothing of ranking across questions: that is
:mod:`lakewatchd.views.search.finding`. ``where`` is always a condition in SQL over the columns of ``gold_assets``,
checked by who took it from a person; empty means all that is served.

Invariant: whatever index there is or is not, and however few rows ``where`` leaves, an answer holds served assets that
fulfil it, as many as asked for if there are so many: all there are of a few, or what is among the best 20 000 pieces.
It knows every commit that ended before the call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lakewatchd.core.asset import AssetId
from lakewatchd.lake import codec
from lakewatchd.lake.files import Files, files_at
from lakewatchd.lake.lance_errors import translated
from lakewatchd.lake.listed import Listing
from lakewatchd.lake.reader import LakeReader
from lakewatchd.lake.roll import FEW, Roll, Rows, are_known, ids_of, keys_of
from lakewatchd.lake.rows import GoldRow, SpanRow, Vector
from lakewatchd.lake.schema import GOLD, SPANS, TableSpec, is_in
from lakewatchd.lake.terms import Terms
from lakewatchd.lake.things import Things

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from lancedb.query import FullTextQuery
    from numpy.typing import NDArray

    from lakewatchd.lake.roll import Ids, Places

Space = Literal["image", "text"]
"""Pictures and words together, or texts."""

_SPARE = 2
"""Pieces asked for per asset that is wanted: several may be of one asset, or of one that ``where`` leaves out."""
_LEAST = 40
"""Pieces asked for at least."""
_FEW = 2_000
"""Assets that are named in one query, at 9 us each."""
_DEEP = 20_000
"""Pieces asked for at most where ``where`` leaves out most, and more than a few."""
PROBES = 64
"""Partitions that are looked into. With 20, as is usual, 0.95 to 0.975 of the ten nearest of a million were found."""
_MARGIN = 10
"""Hits besides the wanted ones of which the order is made exact: the rough order may be wrong by a few ranks."""
_ROUNDING = 0.02
"""More than two cosines of the index may err by, one this way and one that way; 0.002 is usual."""
_MOST_CONTENDERS = 4
"""Pieces of an asset whose exact vectors are read, on average."""
_DEEPER = 8
"""Times as many things, where too few were of what fulfils ``where``."""
_TRIES = 3
"""Questions until no row was moved on the way."""
_SAYING = 100_000
_FACTS = (
    "kind", "title", "category", "tags", "caption", "dated_at", "best_root", "best_path", "size_bytes", "duration_s",
    "text",
)  # fmt: skip
"""Of a hit."""


@dataclass(frozen=True, slots=True)
class Near:
    """An asset that was found, and the best place in it."""

    asset_id: AssetId
    span: int | None
    """Number of the piece; None: found in its title, tags or caption."""
    score: float
    """A cosine of vectors, BM25 of words, the detector's of a thing. Greater is better."""


@dataclass(frozen=True, slots=True)
class Pieces:
    """What a door found, in any order."""

    ids: Ids
    numbers: NDArray[np.uint32] | None
    """None: assets as a whole."""
    scores: NDArray[np.float64]
    is_all: bool
    """There is no more."""

    def contenders(self, names: Collection[AssetId]) -> NDArray[np.intp]:
        """Which pieces may be the best of these assets, if scores are rounded: the best of each comes first."""
        import numpy as np

        keys, order = keys_of(self.ids), np.argsort(-self.scores, kind="stable")
        order = order[np.isin(keys[order], keys_of(ids_of(names)))]
        _, first, asset = np.unique(keys[order], return_index=True, return_inverse=True)
        is_first = np.zeros(len(order), bool)
        is_first[first] = True
        is_near = self.scores[order] >= self.scores[order][first][asset] - _ROUNDING
        return np.concatenate((order[is_first], order[~is_first & is_near]))

    def best(self, which: NDArray[np.bool_] | None = None, most: int | None = None) -> list[Near]:
        """``most`` assets of those pieces, each with its best one, best first."""
        import numpy as np

        order = np.argsort(-self.scores, kind="stable")
        order = order if which is None else order[which[order]]
        found: dict[AssetId, Near] = {}
        for at in order.tolist():
            name = self.ids[at].tobytes().hex()
            if name not in found:
                if len(found) == most:
                    break
                number = None if self.numbers is None else int(self.numbers[at])
                found[name] = Near(name, number, float(self.scores[at]))
        return _best(found.values())


Ask = Callable[[int, str], Awaitable[Pieces]]
"""Asks a door for so many pieces of the rows that fulfil a condition; empty: of all."""


@dataclass(frozen=True, slots=True)
class Words:
    """Of one passage, or of what is said of the asset as a whole. Any case, accents or none, in the stem."""

    all: tuple[str, ...] = ()
    any: tuple[str, ...] = ()
    """Of one that is cut into several, such as ``IMG_2041.jpg``, all must be there."""
    phrases: tuple[str, ...] = ()
    """Word by word in this order."""
    none: tuple[str, ...] = ()
    """Words or phrases that are nowhere in the asset."""
    nearly: tuple[str, ...] = ()
    """Any of these, or what is spelt nearly so: begins the same, at most two letters off. What no index has yet is not
    found by it."""

    def legible(self) -> Words:
        """Without what has no letter and no digit: an index knows nothing of it."""
        return Words(*(tuple(filter(_is_legible, words)) for words in self._lists))

    @property
    def _lists(self) -> tuple[tuple[str, ...], ...]:
        return self.all, self.any, self.phrases, self.none, self.nearly


class Finder:
    """Reads a lake from any process, while it is written. A lake that is not there yet is empty."""

    def __init__(self, place: Path | Files) -> None:
        self._lake = LakeReader(place)
        self._roll = Roll(files_at(place))
        self._spans = Rows(files_at(place), SPANS)
        self._terms = Terms(self._roll.rows)
        self._is_near = files_at(place).options is None
        self._things = Things(self._spans)
        self.listed = Listing(self._lake)
        """All that fulfil a condition, which nobody ranks."""

    async def warm(self) -> None:
        """Learn whose each row is, and the words, so that the first question need not: 2 s and 6 s of a core for a
        million assets. The words of a lake in a bucket are fetched once somebody needs them."""
        await asyncio.to_thread(self._roll.served, "")
        await asyncio.to_thread(self._spans.newest)
        if self._is_near:
            await self.collect()

    # --- doors --------------------------------------------------------------------------------------------

    async def nearest(
        self, space: Space, vector: Vector, limit: int, where: str = "", *, made_by: Collection[str] = ()
    ) -> list[Near]:
        """The ``limit`` assets with a piece nearest to the unit vector ``vector``, best first.

        ``made_by`` are the transforms whose vectors may be compared with it; empty: all. A vector of another length
        than the lake's finds nothing.
        """
        column = f"{space}_vector"
        table = await self._lake.table(SPANS)
        if table is None:
            return []
        schema = await table.schema()
        if column not in schema.names or schema.field(column).type.list_size != len(vector):
            return []
        rough: Pieces | None = None

        async def ask(count: int, among: str) -> Pieces:
            nonlocal rough
            query = table.query().nearest_to(list(vector)).column(column).distance_type("cosine").limit(count)
            # An index would look for the rows of a few in every partition.
            query = query.where(among).bypass_vector_index() if among else query.nprobes(PROBES)
            # Conditions on spans are looked at afterwards: before, it would be in every row of the table.
            rows, places = await self._asked(query.select(["_distance"]), self._spans)
            is_one = rows["_distance"].is_valid().to_numpy()
            if made_by:
                is_one &= self._spans.made_by(places, made_by)
            scores = 1.0 - rows["_distance"].to_numpy().astype(float)
            is_all = len(rows) < count and bool(among)
            pieces = Pieces(places["asset"][is_one], places["number"][is_one], scores[is_one], is_all)
            rough = None if among else pieces
            return pieces

        with translated("searching by vector"):
            hits = await self._served(ask, limit, where)
            if rough is not None:
                hits = await self._exact(column, vector, rough, hits[: limit + limit // 4 + _MARGIN])
        return hits[:limit]

    async def words(self, words: Words, limit: int, where: str = "") -> list[Near]:
        """The ``limit`` assets that fit ``words`` best: by what is said of them, or by a passage."""
        words = words.legible()
        if not (words.all or words.any or words.phrases or words.nearly):
            return []

        with translated("searching by words"):
            titled, said = await asyncio.gather(
                self._served(partial(self._saying, GOLD, words), limit, where, words.none, is_of_gold=True),
                self._served(partial(self._saying, SPANS, words), limit, where, words.none),
            )
        return _best([*titled, *said])[:limit]

    async def is_said(self, word: str) -> bool:
        """By any asset that is served, or in it."""
        words = Words(any=(word,)).legible()
        if not words.any:
            return False
        with translated("searching by words"):
            for spec in (GOLD, SPANS):  # most words are in titles and tags
                if await self._served(partial(self._saying, spec, words), 1, "", is_of_gold=spec is GOLD):
                    return True
        return False

    async def collect(self) -> None:
        """Take in the words that are new: of a large lake, seconds the first time."""
        await asyncio.to_thread(self._terms.collect)

    async def longer(self, part: str, most: int, *, inside: bool = True) -> list[str]:
        """Words of the lake that begin with ``part`` or (``inside``) hold it: :meth:`Terms.holding`."""
        return await asyncio.to_thread(self._terms.holding, part, most, inside=inside)

    async def is_served(self, asset_id: AssetId) -> bool:
        """Told from memory; what it costs after a change is what every search costs then."""
        served = await asyncio.to_thread(self._roll.served)
        return bool(served.holds(ids_of([asset_id]))[0])

    async def objects(self, name: str, limit: int, where: str = "", condition: str = "") -> list[Near]:
        """The ``limit`` assets in which a detector is surest to have seen ``name``.

        ``condition`` is SQL over one thing seen: ``score``, ``area`` (share of the picture), ``left``, ``top``,
        ``right`` and ``bottom``.
        """
        import numpy as np

        for _ in range(_TRIES):
            seen = await asyncio.to_thread(self._things.named, name)
            if seen is None:
                return []
            with translated("searching by things seen"):
                fitting = await _fitting(seen.table, condition) if condition else np.arange(len(seen.row_ids))
            scores, row_ids = seen.table["score"].to_numpy()[fitting], seen.row_ids[fitting]
            order = np.argsort(-scores, kind="stable")
            served = await asyncio.to_thread(self._roll.served, where)
            count, hits, is_all = max(limit * _SPARE, _LEAST), list[Near](), False
            while len(hits) < limit and not is_all:
                best, is_all = order[:count], count >= len(order)
                places = self._spans.of(row_ids[best])
                found = Pieces(places["asset"], places["number"], scores[best], is_all)
                hits = found.best(served.holds(found.ids), limit)
                count *= _DEEPER
            if are_known(places).all():  # a compaction may have moved them meanwhile
                break
        return hits

    # --- what is known of hits ----------------------------------------------------------------------------

    async def facts(self, asset_ids: Iterable[AssetId]) -> dict[AssetId, GoldRow]:
        """What is served of these, as far as a hit tells it; the rest is empty."""
        rows = await asyncio.to_thread(self._roll.rows.read, ids_of([*asset_ids]), _FACTS)
        return {row.asset_id: row for row in codec.gold(rows)} if rows else {}

    async def texts(self, asset_ids: Iterable[AssetId]) -> dict[AssetId, str]:
        """The searchable text of each as a whole."""
        rows = await asyncio.to_thread(self._roll.rows.read, ids_of([*asset_ids]), ("text",))
        return dict(zip(rows["asset_id"].to_pylist(), rows["text"].to_pylist(), strict=True)) if rows else {}

    async def pieces(
        self, wanted: Iterable[tuple[AssetId, int]], columns: Collection[str] = SPANS.names
    ) -> dict[tuple[AssetId, int], SpanRow]:
        """These pieces, with what is in these ``columns``; the rest is empty. Each costs some 50 us a piece."""
        if not (keys := [*wanted]):
            return {}
        ids, numbers = ids_of([asset_id for asset_id, _ in keys]), [number for _, number in keys]
        rows = await asyncio.to_thread(self._spans.read, ids, columns, numbers)
        return {(row.asset_id, row.span): row for row in codec.spans(rows)} if rows else {}

    async def spans(self, asset_id: AssetId) -> list[SpanRow]:
        """All pieces of one asset, in order, vectors included."""
        return await self._lake.spans(asset_id)

    def close(self) -> None:
        self._lake.close()

    # --- how ----------------------------------------------------------------------------------------------

    async def _served(
        self, ask: Ask, limit: int, where: str, none: Sequence[str] = (), *, is_of_gold: bool = False
    ) -> list[Near]:
        """Assets of what ``ask`` finds that are served, fulfil ``where`` and say no word of ``none``, best first: at
        least ``limit``, if there are so many.

        A door is asked for as many pieces as hold enough that fulfil ``where``, if these lie there as everywhere; for
        more, up to :data:`_DEEP`, if that was too few. Then a few assets are named to it, and one whose rows are those
        of ``gold`` is told ``where``, which costs more. What is not among these is no hit.
        """
        served = await asyncio.to_thread(self._roll.served, where)
        if not len(served):
            return []
        enough, least = min(limit, len(served)), max(limit * _SPARE, _LEAST)

        async def kept(count: int) -> tuple[list[Near], bool]:
            pieces = await ask(count, "")
            hits = pieces.best(served.holds(pieces.ids), None if none else least)
            if none:
                refused = await self.saying(none, [near.asset_id for near in hits])
                hits = [near for near in hits if near.asset_id not in refused]
            return hits, len(hits) >= enough or pieces.is_all

        wide = least * served.total // len(served)
        is_named = len(served) <= min(_FEW, FEW)
        if not is_named or wide < _DEEP:
            for count in dict.fromkeys((min(wide, _DEEP), min(4 * wide, _DEEP))):  # pieces of one may lie together
                hits, is_enough = await kept(count)
                if is_enough:
                    return hits
        if is_named:
            refused = await self.saying(none, served.names) if none else set()
            names = [name for name in served.names if name not in refused]
            return await _among(ask, is_in("asset_id", names), limit, len(names))
        if is_of_gold and not none:
            return await _among(ask, where, limit, len(served))
        return (await kept(_DEEP))[0] if 4 * wide < _DEEP else hits

    async def _exact(self, column: str, vector: Vector, pieces: Pieces, hits: Sequence[Near]) -> list[Near]:
        """These hits by the vectors of their pieces as they are, and not as an index rounds them."""
        import numpy as np

        assert pieces.numbers is not None
        best = pieces.contenders([near.asset_id for near in hits])[: _MOST_CONTENDERS * len(hits)]
        rows = await asyncio.to_thread(self._spans.read, pieces.ids[best], (column,), pieces.numbers[best])
        rows = rows.filter(rows[column].is_valid()) if rows is not None else None  # one may have lost its own meanwhile
        if not rows:
            return []
        vectors = (
            rows[column].combine_chunks().flatten().to_numpy().reshape(len(rows), -1).astype(np.float32, copy=False)
        )
        asked = np.asarray(vector, np.float32)
        lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(asked)
        scores = np.divide(vectors @ asked, lengths, out=np.full(len(vectors), -1.0), where=lengths > 0)
        return _best(map(Near, rows["asset_id"].to_pylist(), rows["span"].to_pylist(), scores.tolist()))

    async def _saying(self, spec: TableSpec, words: Words, count: int, among: str) -> Pieces:
        import numpy as np

        table = await self._lake.table(spec)
        if table is None:
            return Pieces(ids_of(()), None, np.zeros(0), is_all=True)
        query = table.query().nearest_to_text(_text_query(words)).select(["_score"]).limit(count)
        query = query.where(among) if among else query
        rows, places = await self._asked(query, self._spans if spec is SPANS else self._roll.rows)
        numbers = places["number"] if spec is SPANS else None
        return Pieces(places["asset"], numbers, rows["_score"].to_numpy().astype(float), len(rows) < count)

    async def _asked(self, query: Any, rows: Rows) -> tuple[pa.Table, Places]:
        """What a query answers, and of which assets its rows are. A compaction may move them while it is asked."""
        for _ in range(_TRIES):
            table = await query.with_row_id().to_arrow()
            row_ids = table["_rowid"].to_numpy()
            known = are_known(places := rows.of(row_ids))
            if not known.all():
                await asyncio.to_thread(rows.newest)
                known = are_known(places := rows.of(row_ids))
            if known.all():
                return table, places
        return table.filter(known), places[known]

    async def saying(self, words: Sequence[str], asset_ids: Collection[AssetId]) -> set[AssetId]:
        """Those that say any of these words or phrases anywhere."""
        if not asset_ids:
            return set()

        async def ask(spec: TableSpec) -> list[AssetId]:
            table = await self._lake.table(spec)
            if table is None:
                return []
            query = table.query().nearest_to_text(_any_of(words)).where(is_in("asset_id", asset_ids))
            rows = await query.select(["asset_id", "_score"]).limit(_SAYING).to_arrow()
            return list(rows["asset_id"].to_pylist())

        titled, said = await asyncio.gather(ask(GOLD), ask(SPANS))
        return {*titled, *said}


async def _among(ask: Ask, condition: str, limit: int, there: int) -> list[Near]:
    """The best ``limit`` of the ``there`` assets that fulfil it, or all that have a piece behind this door; there may
    be more."""
    if not there:
        return []
    count = limit * _SPARE
    while True:
        pieces = await ask(count, condition)
        found = pieces.best()
        if len(found) >= min(limit, there) or pieces.is_all:
            return found
        count *= 2 * _SPARE


def _best(found: Iterable[Near]) -> list[Near]:
    """Each asset once: its greatest score, and the best piece if any piece of it was found. Best first."""
    best: dict[AssetId, Near] = {}
    for near in sorted(found, key=lambda near: -near.score):
        known = best.setdefault(near.asset_id, near)
        if known.span is None and near.span is not None:
            best[near.asset_id] = Near(near.asset_id, near.span, known.score)
    return sorted(best.values(), key=lambda near: (-near.score, near.asset_id))


async def _fitting(things: pa.Table, condition: str) -> NDArray[np.int64]:
    """Which of the rows fulfil it."""
    import lancedb
    import numpy as np
    import pyarrow as pa

    memory = await lancedb.connect_async("memory://")
    numbered = things.append_column("at", pa.array(np.arange(len(things))))
    rows = await (await memory.create_table("things", numbered)).query().where(condition).select(["at"]).to_arrow()
    return np.asarray(rows["at"].to_numpy())


def _is_legible(text: str) -> bool:
    return any(char.isalnum() for char in text)


def _text_query(words: Words) -> FullTextQuery:
    """As one part where it can be: to put several together costs Lance ten times as much."""
    from lancedb.query import BooleanQuery, FullTextOperator, MatchQuery, Occur, PhraseQuery

    # A word may become several tokens: "IMG_2041.jpg" is three, and each must be there.
    parts: list[tuple[Occur, FullTextQuery]] = [(Occur.MUST, PhraseQuery(phrase, "text")) for phrase in words.phrases]
    if words.all:
        parts.append((Occur.MUST, MatchQuery(" ".join(words.all), "text", operator=FullTextOperator.AND)))
    if plain := [word for word in words.any if word.isalnum()]:
        parts.append((Occur.SHOULD, MatchQuery(" ".join(plain), "text")))
    cut = [word for word in words.any if not word.isalnum()]
    parts += [(Occur.SHOULD, MatchQuery(word, "text", operator=FullTextOperator.AND)) for word in cut]
    if words.nearly:
        parts.append((Occur.SHOULD, MatchQuery(" ".join(words.nearly), "text", fuzziness=2, prefix_length=1)))
    return parts[0][1] if len(parts) == 1 else BooleanQuery(parts)


def _any_of(words: Sequence[str]) -> FullTextQuery:
    from lancedb.query import BooleanQuery, Occur, PhraseQuery

    return BooleanQuery([(Occur.SHOULD, PhraseQuery(word, "text")) for word in words])
