"""What the finder finds in a real lake, beside a plain look at every row."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import random
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import lance
import numpy as np
import pyarrow as pa
import pytest
from lake_rows import DIMS, asset_id, batch

from lakewatchd.config import LakeConfig
from lakewatchd.core.asset import Detected, Kind, Tag
from lakewatchd.lake import finder as module
from lakewatchd.lake import indexes, recall, terms
from lakewatchd.lake.files import files_at
from lakewatchd.lake.finder import Finder, Near, Pieces, Words
from lakewatchd.lake.listed import Cursor, Facets
from lakewatchd.lake.recall import measure
from lakewatchd.lake.roll import Roll, Rows, ids_of
from lakewatchd.lake.rows import Batch, SpanRow, Vector
from lakewatchd.lake.schema import GOLD
from lakewatchd.lake.tables import LakeWriter, serving

TEXTS = (
    "The running dogs are in the Zürich café", "Die Häuser am Strand", "東京の夜景はきれいです", "我们在北京吃烤鸭",
    "a red car in the snow", "to be or not to be", "IMG_2041.jpg a car in the red light", "battery chemistry",
)  # fmt: skip


async def opened(base: Path) -> LakeWriter:
    return await LakeWriter.open(base / "lake", base / "thumbnails.db", DIMS, LakeConfig(commit_s=0.01), sync=False)


@pytest.fixture
async def writer(tmp_path: Path) -> AsyncIterator[LakeWriter]:
    async with serving(await opened(tmp_path)) as writer:
        yield writer


@pytest.fixture
def finder(tmp_path: Path) -> Finder:
    return Finder(tmp_path / "lake")


def said(number: int, title: str, *passages: str) -> Batch:
    """An asset of which the title and these passages are searchable."""
    whole = batch(number, spans=len(passages))
    spans = tuple(dataclasses.replace(span, text=text) for span, text in zip(whole.spans, passages, strict=True))
    gold = (dataclasses.replace(whole.gold[0], title=title, text=title),)
    return dataclasses.replace(whole, spans=spans, gold=gold)


async def found(finder: Finder, words: Words, where: str = "") -> set[int]:
    return {int(near.asset_id, 16) for near in await finder.words(words, 10, where)}


async def test_a_lake_that_is_not_there_is_empty(finder: Finder, tmp_path: Path) -> None:
    assert await finder.nearest("image", (1.0, 0.0, 0.0, 0.0), 3) == []
    assert await finder.words(Words(any=("car",)), 3) == []
    assert await finder.objects("cat", 3) == []
    assert await finder.listed.page() == []
    assert (await finder.listed.facets(), await finder.listed.timeline(), await finder.listed.count()) == (
        Facets(),
        [],
        0,
    )
    assert not (tmp_path / "lake").exists()


async def test_words_in_the_stem_without_accents_and_without_spaces(writer: LakeWriter, finder: Finder) -> None:
    for is_indexed in (False, True):
        both = (said(n, "", text) if n % 2 else said(n, text, "") for n, text in enumerate(TEXTS))
        await asyncio.gather(*map(writer.submit, both))
        if is_indexed:
            await writer.optimize()
        for words, expected in {
            Words(any=("dog",)): {0}, Words(any=("zurich",)): {0}, Words(any=("CAFE",)): {0},
            Words(any=("häuser",)): {1}, Words(any=("hauser",)): {1},
            Words(any=("夜景",)): {2}, Words(any=("北京",)): {3}, Words(any=("2041",)): {6},
            Words(all=("img_2041.jpg",)): {6}, Words(all=("red", "snow")): {4}, Words(any=("chemistry", "beach")): {7},
            Words(phrases=("red car",)): {4}, Words(phrases=("to be or not to be",)): {5}, Words(any=("car",)): {4, 6},
            Words(any=("car",), none=("snow",)): {6}, Words(any=("car",), none=("red car",)): {6},
            Words(phrases=("car red",)): set(), Words(none=("car",)): set(), Words(any=("…!?",)): set(),
            Words(all=("…!?", "car")): {4, 6}, Words(phrases=("…!?",)): set(),
        }.items():  # fmt: skip
            assert await found(finder, words) == expected, (words, is_indexed)


async def test_a_passage_is_told_and_what_says_a_word_anywhere_is_left_out(writer: LakeWriter, finder: Finder) -> None:
    await writer.submit(said(1, "minutes", "the budget of the year", "the red car"))
    await writer.submit(said(2, "red car", "nothing"))
    (first, second) = sorted(await finder.words(Words(all=("red", "car")), 5), key=lambda near: near.asset_id)
    assert (first.asset_id, first.span, second.asset_id, second.span) == (asset_id(1), 1, asset_id(2), None)
    assert await found(finder, Words(all=("red",), none=("budget",))) == {2}
    await writer.submit(Batch(gold_gone=(asset_id(2),)))
    assert await found(finder, Words(any=("red",))) == {1}, "what is withdrawn is not found, though its silver is there"


@pytest.mark.parametrize("is_indexed", [False, True])
async def test_nearest_is_what_brute_force_says_however_few_rows_are_left(
    writer: LakeWriter, finder: Finder, is_indexed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexes, "VECTORS_FROM_ROWS", 10)
    rng = random.Random(7)
    spans: dict[int, list[Vector]] = {}
    batches = []
    for number in range(60):
        spans[number] = [tuple(_unit([rng.gauss(0, 1) for _ in range(4)])) for _ in range(rng.randint(1, 6))]
        rows = tuple(
            SpanRow(asset_id(number), at, "image", image_vector=vector, vector_transform=f"embed/1/{number % 2}")
            for at, vector in enumerate(spans[number])
        )
        gold = (dataclasses.replace(batch(number).gold[0], size_bytes=number),)
        batches.append(dataclasses.replace(batch(number), spans=rows, gold=gold))
    await asyncio.gather(*map(writer.submit, batches))
    if is_indexed:
        await writer.optimize()
    usual = {name: getattr(module, name) for name in ("_LEAST", "_FEW", "_DEEP")}
    for turn in range(40):  # by every way there is: at once, few by name, deep, all
        bounds = rng.choice(((1, 5, 500), (1, 1, 500), (1, 2, 500))) if turn % 4 else usual.values()
        for name, value in zip(usual, bounds, strict=True):
            monkeypatch.setattr(module, name, value)
        vector = tuple(_unit([rng.gauss(0, 1) for _ in range(4)]))
        least, limit, model = rng.choice((0, 30, 55, 59, 60)), rng.choice((1, 5, 100)), rng.choice((None, 0, 1))
        best = {
            number: max(sum(a * b for a, b in zip(vector, other, strict=True)) for other in others)
            for number, others in spans.items()
            if number >= least and model in (None, number % 2)
        }
        expected = sorted(best.items(), key=lambda item: -item[1])[:limit]
        made_by = () if model is None else (f"embed/1/{model}", "clips/1/x")
        nears = await finder.nearest("image", vector, limit, f"size_bytes >= {least}", made_by=made_by)
        assert [int(near.asset_id, 16) for near in nears] == [number for number, _ in expected]
        assert [near.score for near in nears] == pytest.approx([score for _, score in expected], abs=1e-5)
    assert await finder.nearest("image", (1.0, 0.0), 3) == [], "of another model"
    assert await finder.nearest("text", (1.0, 0.0, 0.0), 3) == [], "there are none"


def _unit(values: list[float]) -> list[float]:
    length = sum(value * value for value in values) ** 0.5
    return [value / length for value in values]


async def test_things_seen(writer: LakeWriter, finder: Finder) -> None:
    boxes = {1: (0.0, 0.0, 0.5, 0.5), 2: (0.0, 0.0, 0.25, 0.25), 3: (0.5, 0.5, 1.0, 1.0)}
    batches = []
    for number, box in boxes.items():
        span = dataclasses.replace(batch(number).spans[0], objects=(Detected("dog", number / 10, box),))
        other = dataclasses.replace(span, span=1, objects=(Detected("cat", 0.9, box), Detected("dog", 0.05, box)))
        batches.append(dataclasses.replace(batch(number), spans=(span, other)))
    await asyncio.gather(*map(writer.submit, batches))
    assert await finder.objects("dog", 2) == [Near(asset_id(3), 0, 0.3), Near(asset_id(2), 0, 0.2)]
    assert await finder.objects("dog", 5, "size_bytes < 3", "area > 0.2") == [Near(asset_id(1), 0, 0.1)]
    assert [near.asset_id for near in await finder.objects("dog", 5, condition='"left" >= 0.5')] == [asset_id(3)]
    assert await finder.objects("do'g", 5) == []
    await writer.submit(dataclasses.replace(batch(3), spans=(batch(3).spans[0],)))
    await writer.submit(Batch(gold_gone=(asset_id(2),)))
    assert await finder.objects("dog", 5) == [Near(asset_id(1), 0, 0.1)], "of what is there now"
    await writer.submit(dataclasses.replace(batches[2], gold=batch(3).gold))
    await writer.optimize()
    assert await finder.objects("dog", 5) == [Near(asset_id(3), 0, 0.3), Near(asset_id(1), 0, 0.1)]


async def test_facts_and_pieces(writer: LakeWriter, finder: Finder) -> None:
    await asyncio.gather(*(writer.submit(batch(number, spans=3)) for number in range(5)))
    facts = await finder.facts([asset_id(1), asset_id(3), asset_id(99)])
    untold = {"category_score": 0.0, "dated_by": "", "occurrences": 0, "vector": None}
    assert facts == {asset_id(n): dataclasses.replace(batch(n).gold[0], **untold) for n in (1, 3)}
    pieces = await finder.pieces([(asset_id(1), 2), (asset_id(3), 0), (asset_id(3), 9)])
    assert pieces == {(asset_id(1), 2): batch(1, spans=3).spans[2], (asset_id(3), 0): batch(3, spans=3).spans[0]}
    assert await finder.texts([asset_id(2)]) == {asset_id(2): "a red car number2"}
    assert await finder.pieces([]) == {}
    (said,) = (await finder.pieces([(asset_id(1), 2)], ("text",))).values()
    assert said == SpanRow(asset_id(1), 2, "", text=batch(1, spans=3).spans[2].text)
    await writer.submit(Batch(gold_gone=(asset_id(1),)))
    await writer.submit(dataclasses.replace(batch(3), gold=(dataclasses.replace(batch(3).gold[0], title="new"),)))
    await writer.optimize()
    ((key, fact),) = (await finder.facts([asset_id(1), asset_id(3)])).items()
    assert (key, fact.title) == (asset_id(3), "new"), "of the newest version, wherever its rows were moved"


@pytest.mark.parametrize("asks", ["scanner", "_take_rows"])
async def test_a_compaction_that_comes_in_between_hides_nothing(
    writer: LakeWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asks: str
) -> None:
    ids = [asset_id(number) for number in range(3)]
    for number in range(3):
        await writer.submit(batch(number))
    roll = Roll(files_at(tmp_path / "lake"))
    before = roll.rows.newest()
    ask = getattr(lance.LanceDataset, asks)

    def while_another_question_is_asked(dataset: Any, *args: Any, **options: Any) -> Any:
        found = ask(dataset, *args, **options)
        monkeypatch.setattr(lance.LanceDataset, asks, ask)
        dataset.checkout_version(dataset.latest_version).optimize.compact_files()
        roll.rows.newest()
        return found

    monkeypatch.setattr(lance.LanceDataset, asks, while_another_question_is_asked)
    if asks == "scanner":
        assert roll.served().holds(ids_of(ids)).all()
    else:
        rows = roll.rows.read(ids_of(ids), ("title",))
        assert rows is not None
        assert sorted(rows["asset_id"].to_pylist()) == ids
    assert before.get_fragments() and len(roll.rows.newest().get_fragments()) < len(before.get_fragments())


async def test_a_piece_that_lost_its_vector_meanwhile_is_no_damage(writer: LakeWriter, finder: Finder) -> None:
    for number in range(2):
        whole = batch(number)
        (span,) = whole.spans
        await writer.submit(dataclasses.replace(whole, spans=(dataclasses.replace(
            span, image_vector=(0.0, 1.0, 0.0, 0.0) if number else None),)))  # fmt: skip
    ids, wanted = [asset_id(0), asset_id(1)], (0.0, 1.0, 0.0, 0.0)
    found = Pieces(ids_of(ids), np.zeros(2, np.uint32), np.array([0.9, 0.8]), is_all=False)
    hits = [Near(name, 0, 0.9) for name in ids]
    assert await finder._exact("image_vector", wanted, found, hits) == [Near(ids[1], 0, 1.0)]


async def test_pages_follow_each_other_and_facets_count(writer: LakeWriter, finder: Finder) -> None:
    rng = random.Random(3)
    rows = []
    for number in range(40):
        when = dt.datetime(2019 + number % 3, 1 + number % 2, 1 + rng.randrange(3))  # noqa: DTZ001
        tags = tuple(Tag(name, 1.0, "model") for name in ("a", "b")[: number % 3])
        gold = dataclasses.replace(
            batch(number).gold[0], dated_at=when, tags=tags, kind=(Kind.IMAGE, Kind.VIDEO)[number % 2],
            country=("", "Italy", "Japan")[number % 3], city=("", "Rome", "Tokyo")[number % 3],
        )  # fmt: skip
        rows.append(gold)
    await asyncio.gather(*(writer.submit(dataclasses.replace(batch(n), gold=(row,))) for n, row in enumerate(rows)))
    for where, kept in (("", rows), ("kind = 'video'", [row for row in rows if row.kind is Kind.VIDEO])):
        for order, expected in (
            ("newest", sorted(sorted(kept, key=lambda row: row.asset_id), key=lambda row: row.dated_at, reverse=True)),
            ("oldest", sorted(kept, key=lambda row: (row.dated_at, row.asset_id))),
        ):
            seen: list[str] = []
            after: Cursor | None = None
            while page := await finder.listed.page(where, order=order, after=after, limit=7):  # type: ignore[arg-type]
                seen += [row.asset_id for row in page]
                after = Cursor(page[-1].dated_at, page[-1].asset_id)
            assert seen == [row.asset_id for row in expected]
        facets = await finder.listed.facets(where)
        months = sorted({(row.dated_at.year, row.dated_at.month) for row in kept}, reverse=True)
        assert facets.total == len(kept) == await finder.listed.count(where)
        assert [month[:2] for month in facets.months] == months
        assert list(facets.months) == await finder.listed.timeline(where)
        assert dict(facets.tags) == {
            name: sum(any(t.name == name for t in r.tags) for r in kept) for name in ("a", "b")
        }
        assert set(facets.countries) == {(c, sum(row.country == c for row in kept)) for c in ("Italy", "Japan")}
        assert {city[:2] for city in facets.cities} == {("Italy", "Rome"), ("Japan", "Tokyo")}


async def test_what_was_committed_is_found_at_once(writer: LakeWriter, finder: Finder) -> None:
    for number in range(5):
        await writer.submit(said(number, f"holiday{number}", f"passage{number}"))
        assert await found(finder, Words(any=(f"holiday{number}",))) == {number}
        assert await found(finder, Words(any=(f"passage{number}",))) == {number}
        if number == 2:
            await writer.optimize()


async def test_recall_tells_what_an_index_misses(
    writer: LakeWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexes, "VECTORS_FROM_ROWS", 10)
    rng = random.Random(5)
    vectors = [tuple(_unit([rng.gauss(0, 1) for _ in range(4)])) for _ in range(400)]
    rows = (dataclasses.replace(batch(n).spans[0], image_vector=vector) for n, vector in enumerate(vectors))
    await asyncio.gather(*(writer.submit(dataclasses.replace(batch(n), spans=(row,))) for n, row in enumerate(rows)))
    await writer.optimize()
    await writer.submit(batch(1000))
    found = {one.index: one for one in await measure(tmp_path / "lake", 10)}
    assert found["text_words"].recall is None
    assert (found["image_vector_ivf_sq"].unindexed, found["image_vector_ivf_sq"].queries) == (1, 10)
    assert found["image_vector_ivf_sq"].recall == 1.0
    monkeypatch.setattr(recall, "CANDIDATES", 5)
    poor = {one.index: one.recall for one in await measure(tmp_path / "lake", 10)}
    assert poor["image_vector_ivf_sq"] == 0.5, "five of ten"
    config = tmp_path / "lakewatchd.toml"
    config.write_text(f'[daemon]\nstate_dir = "{tmp_path}"\n')
    command = [sys.executable, "-m", "lakewatchd", "--config", config, "check", "--recall", "5"]
    told = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True)
    says = "silver_spans.image_vector_ivf_sq: 401 rows, 1 not in it yet; finds 100.0% of the ten nearest"
    assert says in " ".join(told.stdout.split()), told
    assert told.returncode == 0


def test_few_words_are_held_at_once_while_they_are_collected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log holds as many different words as it has words."""
    held, words_of = list[int](), terms._words_of

    def spied(rough: list[pa.Array]) -> pa.Array:
        held.append(sum(map(len, rough)))
        return words_of(rough)

    monkeypatch.setattr(terms, "_words_of", spied)
    monkeypatch.setattr(terms, "_TOGETHER_BYTES", 1000)
    logs = [pa.record_batch({"text": [f"entry{10 * at + n}" for n in range(10)]}) for at in range(30)]
    known = terms.Terms(Rows(files_at(tmp_path), GOLD))
    known._learn(iter(logs))
    assert sum(held) == 300 and max(held) <= 150
    assert len(known.holding("entry", 1000, inside=False)) == 300
