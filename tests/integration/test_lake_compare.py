"""The oracle must be able to say no: one test for each way in which lakes can differ."""

import asyncio
import dataclasses
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from lake_rows import DIMS, asset_id, batch, occurrence, place

from lakewatchd.core.asset import NO_LABELS, Correction, Tag, Version
from lakewatchd.errors import FatalError
from lakewatchd.lake.compare import compare
from lakewatchd.lake.rows import Batch, CorrectionRow, Presence
from lakewatchd.lake.schema import span_id
from lakewatchd.lake.tables import LakeWriter, serving

SCRIPT = Path(__file__).parents[2] / "scripts" / "compare-lakes"


async def make(base: Path, batches: Sequence[Batch]) -> Path:
    writer = await LakeWriter.open(base / "lake", base / "thumbnails.db", DIMS, sync=False)
    async with serving(writer):
        for item in batches:
            await writer.submit(item, urgent=True)
    return base / "lake"


async def found(base: Path, *more: Batch) -> set[tuple[str, str, str]]:
    start = [batch(1, spans=2), batch(2)]
    a, b = await make(base / "a", start), await make(base / "b", [*start, *more])
    return {(d.table, d.key, d.problem) for d in (await compare(a, b)).differences}


async def test_history_does_not_count(tmp_path: Path) -> None:
    later = dataclasses.replace(occurrence(1), first_seen=9.0, last_seen=9.5, version=Version(1, 5, 6, 7, etag="e"))
    leftover = batch(7)
    gone = Batch((occurrence(7, Presence.GONE),), gold_gone=(asset_id(7),))
    assert await found(tmp_path, Batch((later,)), leftover, gone) == set()


async def test_a_missing_place_counts(tmp_path: Path) -> None:
    assert ("bronze_occurrences", place(1).text, "only in A") in await found(
        tmp_path, Batch((occurrence(1, Presence.GONE),))
    )
    assert await found(tmp_path / "2", Batch((occurrence(8, content=1),))) == {
        ("bronze_occurrences", place(8).text, "only in B")
    }


async def test_other_content_and_size_count(tmp_path: Path) -> None:
    other = dataclasses.replace(occurrence(1, content=2), version=Version(99, 0, 0), labels=NO_LABELS)
    problems = {problem for table, _, problem in await found(tmp_path, Batch((other,))) if table.startswith("bronze")}
    assert problems == {"asset_id", "size_bytes", "etag", "labels"}


@pytest.mark.parametrize(
    "change",
    [{"width": 641}, {"latitude": 47.5001}, {"exif": ()}, {"phash": 1}, {"transforms": {"chunk": "chunk/2/a"}}],
)
async def test_each_fact_of_an_asset_counts(tmp_path: Path, change: dict[str, object]) -> None:
    row = dataclasses.replace(batch(1, spans=2).assets[0], **change)  # type: ignore[arg-type]
    told = await found(tmp_path, Batch(assets=(row,), spans=batch(1, spans=2).spans))
    assert told == {("silver_assets", asset_id(1), next(iter(change)))}


async def test_spans_count(tmp_path: Path) -> None:
    fewer = Batch(assets=batch(1, spans=2).assets, spans=batch(1, spans=1).spans)
    assert await found(tmp_path, fewer) == {("silver_spans", span_id(asset_id(1), 1), "only in A")}


@pytest.mark.parametrize(("by", "is_same"), [(0.0009, True), (0.002, False)])
async def test_vectors_have_a_tolerance(tmp_path: Path, by: float, is_same: bool) -> None:
    span = batch(1).spans[0]
    assert span.image_vector is not None
    moved = dataclasses.replace(span, image_vector=(span.image_vector[0] + by, *span.image_vector[1:]))
    assert (await found(tmp_path, Batch(spans=(moved,))) == set()) is is_same


async def test_a_vector_that_is_missing_counts(tmp_path: Path) -> None:
    bare = dataclasses.replace(batch(1).spans[0], text_vector=None)
    assert await found(tmp_path, Batch(spans=(bare,))) == {("silver_spans", span_id(asset_id(1), 0), "text_vector")}


async def test_gold_counts(tmp_path: Path) -> None:
    row = dataclasses.replace(batch(1).gold[0], tags=(Tag("sea", 0.5, "person"),), occurrences=2, text="other")
    assert await found(tmp_path, Batch(gold=(row,), gold_gone=(asset_id(2),))) == {
        ("gold_assets", asset_id(1), "tags"),
        ("gold_assets", asset_id(1), "occurrences"),
        ("gold_assets", asset_id(1), "text"),
        ("gold_assets", asset_id(2), "only in A"),
    }


async def test_a_persons_word_counts_and_an_empty_one_does_not(tmp_path: Path) -> None:
    said = CorrectionRow(asset_id(1), Correction(("family",), ("work",), "travel"))
    taken_back = CorrectionRow(asset_id(2), Correction())
    assert await found(tmp_path, Batch(corrections=(said, taken_back))) == {("person_words", asset_id(1), "only in B")}


async def test_a_key_that_is_there_twice_counts(tmp_path: Path) -> None:
    import lancedb

    a, b = await make(tmp_path / "a", [batch(1)]), await make(tmp_path / "b", [batch(1)])
    table = await (await lancedb.connect_async(b)).open_table("silver_assets")
    await table.add(await table.to_arrow())
    told = [(d.table, d.problem) for d in (await compare(a, b)).differences]
    assert told == [("silver_assets", "twice in B")]


async def test_no_lake_is_not_an_empty_lake(tmp_path: Path) -> None:
    a = await make(tmp_path / "a", [])
    (tmp_path / "nothing").mkdir()
    with pytest.raises(FatalError, match="no lake"):
        await compare(a, tmp_path / "nothing")


async def test_the_script_says_it_in_words_json_and_status(tmp_path: Path) -> None:
    a, b = await make(tmp_path / "a", [batch(1)]), await make(tmp_path / "b", [batch(1), batch(2)])

    async def run(*args: object) -> tuple[int | None, str]:
        command = [sys.executable, str(SCRIPT), *map(str, args)]
        process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        out, _ = await process.communicate()
        return process.returncode, out.decode()

    status, text = await run(a, a)
    assert (status, "same: 1 bronze_occurrences" in text) == (0, True)
    status, text = await run(a, b)
    assert (status, "gold_assets: only in B: 1" in text) == (1, True)
    status, text = await run(a, b, "--json")
    assert (status, len(json.loads(text)["differences"])) == (1, 4)
    assert (await run(a, tmp_path))[0] == 2
