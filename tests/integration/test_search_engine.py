"""One engine, a real lake, the real models: what is found, where in it, why, and what is left out."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from lake_rows import batch

from lakewatchd.config import DecodeConfig, LakeConfig, ModelConfig
from lakewatchd.core.asset import Detected, Kind, PathKey, Tag
from lakewatchd.core.found import MARK_CLOSES, MARK_OPENS, Found, Query
from lakewatchd.core.wire import from_json, to_json
from lakewatchd.errors import BadQuery
from lakewatchd.lake.finder import Finder
from lakewatchd.lake.rows import Batch, SpanRow, Word
from lakewatchd.lake.schema import Dims
from lakewatchd.lake.tables import LakeWriter, serving
from lakewatchd.media.sandbox import Decoders
from lakewatchd.models.base import Role
from lakewatchd.testing import FakeClock
from lakewatchd.views.search.example import Examples
from lakewatchd.views.search.finding import Search
from lakewatchd.views.search.queries import Encoder

pytestmark = [pytest.mark.models, pytest.mark.asyncio(loop_scope="module")]

TODAY = dt.datetime(2026, 11, 21, 12, tzinfo=dt.UTC)
CAT, CAKE, TALK, MATCH, OLD, COPY, SIDECAR, FOREIGN = range(1, 9)
MINUTES = "Minutes of the meeting about the roof"
SAID = "Welcome. The kick-off is now. What a pass. And there is the goal, the second goal of the day."


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def encoder(model_dir: Path) -> AsyncIterator[Encoder]:
    encoder = Encoder(ModelConfig(), model_dir)
    yield encoder
    await encoder.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def search(tmp_path_factory: pytest.TempPathFactory, encoder: Encoder) -> AsyncIterator[Search]:
    base = tmp_path_factory.mktemp("search")
    writer = await LakeWriter.open(
        base / "lake", base / "thumbnails.db", Dims(384, 384), LakeConfig(commit_s=0.01), sync=False
    )
    async with serving(writer):
        await asyncio.gather(*[writer.submit(one) for one in await _lake(encoder)])
    finder, decoders = Finder(base / "lake"), Decoders(DecodeConfig(), 1)
    yield Search(finder, encoder, Examples(decoders), clock=FakeClock(TODAY.timestamp()), patience_s=120)
    await decoders.close()
    finder.close()


async def _lake(encoder: Encoder) -> list[Batch]:
    """Pictures lie where the words for them do, as a perfect model would have it."""
    cat, match = await encoder.texts(Role.IMAGE_TEXT, ("a cat on a sofa", "a football stadium"))
    passages = (
        "Melt the dark chocolate, fold in the flour and bake the cake for 35 minutes.",
        "The café on the corner sells its blue house for 2019 euros.",
    )
    cake, talk = await encoder.texts(Role.TEXT, passages)
    old = (await encoder.texts(Role.TEXT, (MINUTES,)))[0]
    words = tuple(Word(text, 5.0 * at, 5.0 * at + 4) for at, text in enumerate(SAID.split()))
    thing = Detected("cat", 0.9, (0.1, 0.2, 0.6, 0.9))
    speech = _span("speech", text=SAID, start_s=0.0, end_s=95.0, words=words)
    foreign = _span("image", image_vector=cat)
    made = {transform.partition("/")[0]: transform for transform in await encoder.made_by()}
    batches = [
        _asset(CAT, Kind.IMAGE, "IMG_2041", _span("image", image_vector=cat, objects=(thing,)), tags=("cat",)),
        _asset(CAKE, Kind.DOCUMENT, "cookbook", _span("passage", page=4, text=passages[0], text_vector=cake)),
        _asset(TALK, Kind.DOCUMENT, "notes", _span("passage", page=2, text=passages[1], text_vector=talk)),
        _asset(MATCH, Kind.VIDEO, "final", _span("clip", start_s=0.0, end_s=30.0, image_vector=match), speech),
        _asset(OLD, Kind.DOCUMENT, "minutes", _span("passage", text=MINUTES, text_vector=old), year=2019),
        _asset(COPY, Kind.IMAGE, "small", _span("image", image_vector=cat), tags=("cat",), is_representative=False),
        _asset(SIDECAR, Kind.IMAGE, "moving", _span("image", image_vector=cat), tags=("cat",), family=f"{CAT:064x}"),
    ]
    ours = [
        dataclasses.replace(
            one,
            spans=tuple(
                dataclasses.replace(span, vector_transform=made["clips" if span.kind == "clip" else "embed"])
                for span in one.spans
            ),
        )
        for one in batches
    ]
    return [*ours, _asset(FOREIGN, Kind.IMAGE, "of another model", foreign)]


def _span(kind: str, **known: Any) -> SpanRow:
    return SpanRow("", 0, kind, vector_transform="embed/1/x", **known)


def _asset(
    number: int, kind: Kind, title: str, *spans: SpanRow, tags: tuple[str, ...] = (), year: int = 2026, **gold: object
) -> Batch:
    whole = batch(number)
    own = tuple(dataclasses.replace(s, asset_id=f"{number:064x}", span=at) for at, s in enumerate(spans))
    row = dataclasses.replace(
        whole.gold[0], kind=kind, title=title, text="\n".join((title, *tags, own[0].text)), vector=own[0].image_vector,
        tags=tuple(Tag(tag, 0.9, "model") for tag in tags), best=PathKey("nas", f"{title}.bin"), caption="",
        dated_at=dt.datetime.combine(dt.date(year, 7, 1), dt.time()), **gold,
    )  # fmt: skip
    return dataclasses.replace(whole, spans=own, gold=(row,))


async def ask(search: Search, text: str = "", **asked: object) -> tuple[list[int], Found]:
    found = await search.find(Query(text=text, **asked))  # type: ignore[arg-type]
    assert from_json(Found, to_json(found)) == found, "an answer survives the way over a socket"
    return [int(hit.asset_id, 16) for hit in found.hits], found


async def test_each_door_finds_its_own_and_says_why_and_where(search: Search) -> None:
    ids, found = await ask(search, "a cat")
    (hit,) = found.hits
    assert ids == [CAT] and {reason.door for reason in hit.reasons} == {"words", "picture"}
    assert hit.piece is not None and hit.piece.box == (0.1, 0.2, 0.6, 0.9), "the cat, not the picture"
    ids, found = await ask(search, "how to make dessert with cocoa")
    assert ids[:1] == [CAKE] and found.hits[0].piece is not None and found.hits[0].piece.page == 4
    assert "text" in {reason.door for reason in found.hits[0].reasons}
    ids, found = await ask(search, "second goal")
    assert ids == [MATCH] and found.hits[0].piece is not None
    assert found.hits[0].piece.start_s == 60.0, "the second at which the word is said"
    assert f"{MARK_OPENS}second{MARK_CLOSES} {MARK_OPENS}goal{MARK_CLOSES}" in found.hits[0].piece.snippet


async def test_what_is_not_there_is_not_found_and_advice_is_given(search: Search) -> None:
    for text in (
        "purple submarine",
        "kubernetes",
        '"dark flour"',
        "tag:cta",
        "cat in 1999",
        "kind:audio cat",
        "…!?",
        "'; --",
    ):
        ids, found = await ask(search, text)
        assert ids == [] and found.advice, text
    assert "did you mean 'cat'" in (await ask(search, "tag:cta"))[1].advice[0]
    assert '"in 1999"' in " ".join((await ask(search, "cat in 1999"))[1].advice)
    assert "say what to look for" in (await ask(search))[1].advice[0]


async def test_phrases_negation_and_forms(search: Search) -> None:
    assert (await ask(search, '"dark chocolate"'))[0] == [CAKE]
    assert (await ask(search, '"chocolate dark"'))[0] == []
    assert (await ask(search, "cakes CAFE"))[0] in ([CAKE, TALK], [TALK, CAKE])
    assert (await ask(search, "cake -chocolate"))[0] == []
    assert CAT not in (await ask(search, "kind:image -cat"))[0]


async def test_a_slip_of_the_finger_is_told_and_a_word_that_is_there_is_no_slip(search: Search) -> None:
    ids, found = await ask(search, "choclate")
    assert ids[:1] == [CAKE] and "did you mean 'chocolate'" in found.advice[0]
    assert (await ask(search, "cake"))[1].advice == ()


async def test_dates_filters_and_conditions_hold_at_every_door(search: Search) -> None:
    assert (await ask(search, "meeting 2019"))[0] == [OLD]
    assert set((await ask(search, "blue house 2019"))[0]) == {TALK}, "a year may be a word"
    assert (await ask(search, "meeting last summer"))[0] == []
    ids, found = await ask(search, "cake in spring")
    assert ids == [CAKE] and found.advice == ("nothing is dated 'in spring': taken as words",)
    assert set((await ask(search, "in July"))[0]) == {CAT, CAKE, TALK, MATCH, OLD, FOREIGN}
    assert (await ask(search, where="kind = 'video' and date > '2026'"))[0] == [MATCH]
    ids, found = await ask(search, kinds=(Kind.DOCUMENT,), limit=2)
    assert len(ids) == 2 and found.total == 3
    assert (await ask(search, kinds=(Kind.DOCUMENT,), limit=2, offset=2))[1].total == 3


async def test_what_makes_no_sense_to_the_lake_is_told_and_is_no_damage(search: Search) -> None:
    for where in (
        "tags = 'x'",
        "dated_at > 5",
        "title IS NOT NULL OR",
        "= 3",
        "size > 1e99",
        "coalesce(kind, 1) = 2",
        "kind",
    ):
        with pytest.raises(BadQuery, match="makes no sense"):
            await search.find(Query(where=where))
    for text in ("cat" * 100, "\ud800 cat", "tag:\ud800", "_%\\", "\u0301", '"猫" -"\ud800"', "a " * 1000):
        await search.find(Query(text=text, city="\ud800", tags=("\ud800",)))
        await search.find(Query(text=text))
        await search.suggest(text)


async def test_parts_stay_hidden_and_copies_until_all_are_asked_for(search: Search) -> None:
    assert (await ask(search, "cat"))[0] == [CAT]
    assert set((await ask(search, "cat", folded=False))[0]) == {CAT, COPY}


async def test_things_by_size_and_one_thing_after_another(search: Search) -> None:
    assert (await ask(search, object="cat", where="area > 0.3"))[0] == [CAT]
    assert (await ask(search, object="cat", where="area > 0.4"))[0] == []
    ids, found = await ask(search, '"goal" after "kick-off" within 60s')
    assert ids == [MATCH] and found.hits[0].piece is not None and found.hits[0].piece.start_s == 60.0
    assert (await ask(search, '"goal" after "kick-off" within 20s'))[0] == []
    assert (await ask(search, '"kick-off" after "goal" within 60s'))[0] == []


async def test_by_example_from_the_lake_and_from_outside(search: Search) -> None:
    assert (await ask(search, like=f"{CAT:064x}", folded=False, limit=1))[0] == [COPY]
    text = b"Bake the chocolate cake and let it cool before you dust it with cocoa. " * 3
    assert (await ask(search, picture=text, limit=1))[0] == [CAKE]
    for asked in (
        Query(picture=b"\x00\x01 nothing to see"),
        Query(but="at night"),
        Query(like="0" * 64),
        Query(limit=0),
    ):
        with pytest.raises(BadQuery):
            await search.find(asked)


async def test_suggestions_are_of_what_is_there(search: Search) -> None:
    assert [(one.text, one.kind) for one in await search.suggest("ca")][:1] == [("cat", "tag")]
    assert ("cookbook", "title") in [(one.text, one.kind) for one in await search.suggest("COOK")]
    assert [one.kind for one in await search.suggest("last summer")] == ["date"]
    assert await search.suggest("%") == () == await search.suggest("")


async def test_models_that_nobody_asks_are_let_go_and_come_back(encoder: Encoder) -> None:
    await encoder.text(Role.TEXT, "something new")
    assert len(encoder.pids) == 1
    encoder._end()  # what the timer does
    await asyncio.sleep(0)
    assert encoder.pids == []
    assert len(await encoder.text(Role.TEXT, "something new")) == 384, "remembered: no process is started for it"
    assert encoder.pids == []


async def test_vectors_of_another_model_are_compared_with_none_of_ours(search: Search) -> None:
    """They have the same length, so nothing but their transform tells them apart."""
    assert FOREIGN not in (await ask(search, "a cat", folded=False))[0]
    assert FOREIGN not in (await ask(search, like=f"{CAT:064x}", folded=False))[0]
    assert (await ask(search, where="title = 'of another model'"))[0] == [FOREIGN], "it is there"


async def test_pages_are_full_and_follow_each_other_without_gap_or_repeat(encoder: Encoder, tmp_path: Path) -> None:
    """Doors rank otherwise when they are asked deeper, and some of what they find is not shown in the end."""
    (cat,) = await encoder.texts(Role.IMAGE_TEXT, ("a cat on a sofa",))
    embed = next(made for made in await encoder.made_by() if made.startswith("embed"))
    rng, batches, quiet = random.Random(1), [], set()
    for number in range(100, 240):
        said = " ".join(rng.choices(("cat", "sofa", "lamp", "door", "tree"), k=rng.randint(1, 6)))
        quiet |= set() if "sofa" in said else {number}
        noise = [rng.gauss(0, 1) for _ in cat]
        share = rng.uniform(0, 1.2) / sum(x * x for x in noise) ** 0.5
        mixed = [a + share * b for a, b in zip(cat, noise, strict=True)]
        vector = tuple(x / sum(y * y for y in mixed) ** 0.5 for x in mixed)
        span = dataclasses.replace(_span("image", image_vector=vector if number % 3 else None), vector_transform=embed)
        batches.append(_asset(number, Kind.IMAGE, said, span))
    writer = await LakeWriter.open(
        tmp_path / "lake", tmp_path / "t.db", Dims(384, 384), LakeConfig(commit_s=0.01), sync=False
    )
    async with serving(writer):
        await asyncio.gather(*map(writer.submit, batches))
    finder = Finder(tmp_path / "lake")
    engine, wordy = Search(finder, encoder, patience_s=120), Search(finder)

    async def paged(engine: Search, text: str) -> list[int]:
        seen: list[int] = []
        while page := (await ask(engine, text, limit=10, offset=len(seen)))[0]:
            seen += page
            assert len(page) == 10 or not (await ask(engine, text, limit=10, offset=len(seen)))[0], "only the last"
        assert len(seen) == len(set(seen)), "none comes twice"
        return seen

    for searching, text in ((engine, "cat sofa"), (wordy, "cat sofa"), (wordy, "sofaa")):
        pages, (whole, _) = await paged(searching, text), await ask(searching, text, limit=500)
        assert len(whole) > 30 and set(pages) == set(whole), text
    assert set(await paged(wordy, "kind:image -sofa")) == quiet
    finder.close()
