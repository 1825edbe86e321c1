"""Near-duplicates through a real daemon: real pictures, a real queue, a real lake."""

from __future__ import annotations

import asyncio
import dataclasses
import importlib.util
import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from lakewatchd.cli.main import main
from lakewatchd.config import parse
from lakewatchd.core.asset import PathKey
from lakewatchd.core.job import JobSpec, Priority
from lakewatchd.daemon.corrections import correct
from lakewatchd.daemon.duplicates import catch_up
from lakewatchd.daemon.parts import Daemon
from lakewatchd.daemon.service import open_daemon
from lakewatchd.lake.rows import GoldRow
from lakewatchd.stages import dedupe, ingest
from lakewatchd.stages.dedupe import COPY
from lakewatchd.testing import config_text, make_tree
from tests.integration.test_stages_histories import SETTINGS, built, run_all

CHINA, FLOWER = "china.jpg", "flower.jpg"


@pytest.fixture(scope="module")
def photos() -> dict[str, Image.Image]:
    found = importlib.util.find_spec("sklearn")  # importing it takes seconds
    assert found is not None
    assert found.origin is not None
    data = Path(found.origin).parent / "datasets" / "images"
    return {name: Image.open(data / name).convert("RGB") for name in (CHINA, FLOWER)}


def look_at(path: str) -> JobSpec:
    return ingest.spec(PathKey("nas", path), Priority.FRESH)


async def shown(daemon: Daemon) -> dict[str, tuple[str, bool]]:
    """Of every file: the file that stands for its group (empty: it is alone), and whether it stands for one."""
    rows: list[GoldRow] = [row async for row in daemon.reader.all_gold()]
    names = {row.asset_id: row.best.path for row in rows}
    return {row.best.path: (names.get(row.duplicate_group, ""), row.is_representative) for row in rows}


async def check_dups(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What ``lakewatchd dups`` tells of it, beside a byte-for-byte copy."""
    (base / "lakewatchd.toml").write_text(config_text(base, settings=SETTINGS))

    async def told(*options: str) -> str:
        assert await asyncio.to_thread(main, ["--config", str(base / "lakewatchd.toml"), "dups", *options]) == 0
        return capsys.readouterr().out

    (group,) = json.loads(await told("--json"))["groups"]
    nas = base / "nas"
    assert (Path(group["files"][0]["path"]).name, group["files"][0]["is_kept"]) == ("large.png", True)
    copies = [nas / "deeper" / "copy\nof.png", nas / "mirrored.webp", nas / "small.jpg"]
    assert sorted((await told("--print0")).split("\0")[:-1]) == [str(path) for path in copies]
    assert group["reclaimable_bytes"] == sum(path.stat().st_size for path in copies)
    assert (await told("--near", "--print0")).count("\0") == 2
    assert await told("--exact", "--print0") == f"{copies[0]}\0"
    assert await told("--kind", "video", "--print0") == ""
    assert "keep" in await told()


async def test_a_better_copy_takes_over_and_its_going_hands_back(
    tmp_path: Path, photos: dict[str, Image.Image], capsys: pytest.CaptureFixture[str]
) -> None:
    nas = tmp_path / "nas"
    nas.mkdir()
    china = photos[CHINA]
    china.resize((320, 213)).save(nas / "small.jpg")
    photos[FLOWER].save(nas / "other.jpg")
    async with built(tmp_path) as daemon:
        await run_all(daemon, *map(look_at, ("small.jpg", "other.jpg")))
        assert await shown(daemon) == {"small.jpg": ("", True), "other.jpg": ("", True)}
        china.save(nas / "large.png")
        china.transpose(Image.Transpose.FLIP_LEFT_RIGHT).resize((400, 267)).save(nas / "mirrored.webp")
        make_tree(nas, {"deeper/copy\nof.png": (nas / "large.png").read_bytes()})
        await run_all(daemon, *map(look_at, ("large.png", "mirrored.webp", "deeper/copy\nof.png")))
        assert await shown(daemon) == {
            "large.png": ("large.png", True),
            "mirrored.webp": ("large.png", False),
            "small.jpg": ("large.png", False),
            "other.jpg": ("", True),
        }
        assert await catch_up(daemon) == 0  # nothing was left untold
        await check_dups(tmp_path, capsys)
        for gone in ("large.png", "deeper/copy\nof.png"):
            (nas / gone).unlink()
            await run_all(daemon, look_at(gone))
        assert await shown(daemon) == {
            "mirrored.webp": ("mirrored.webp", True),
            "small.jpg": ("mirrored.webp", False),
            "other.jpg": ("", True),
        }
        (nas / "small.jpg").unlink()
        await run_all(daemon, look_at("small.jpg"))
        assert (await shown(daemon))["mirrored.webp"] == ("", True)


async def test_a_lost_index_and_a_changed_mind_come_to_the_same(tmp_path: Path, photos: dict[str, Image.Image]) -> None:
    nas = tmp_path / "nas"
    nas.mkdir()
    photos[CHINA].save(nas / "a.jpg", quality=90)
    photos[CHINA].resize((320, 213)).save(nas / "b.jpg")
    text = " ".join(f"word{at * at % 311}" for at in range(400))
    os.utime(nas / "b.jpg", (1_000_000_000, 1_000_000_000))
    (nas / "long.txt").write_text(text)
    (nas / "short.txt").write_text(text.replace("word7", "seven", 1)[:-40])
    async with built(tmp_path) as daemon:
        await run_all(daemon, *map(look_at, ("a.jpg", "b.jpg", "long.txt", "short.txt")))
        before = await shown(daemon)
        assert before["b.jpg"] == ("a.jpg", False)
        assert before["short.txt"] == ("long.txt", False)
    for leftover in (tmp_path / "state").glob("neighbours.db*"):
        leftover.unlink()
    async with built(tmp_path) as daemon:
        assert await catch_up(daemon) == 0
        await run_all(daemon)
        assert await shown(daemon) == before
    config = parse(
        config_text(tmp_path, settings=SETTINGS) + "[duplicates]\nnear = false\n", tmp_path / "lakewatchd.toml"
    )
    async with open_daemon(config) as daemon:
        assert await catch_up(daemon) == 4
        assert not list((tmp_path / "state").glob("neighbours.db*"))
    config = parse(
        config_text(tmp_path, settings=SETTINGS) + '[duplicates]\nprefer = ["oldest"]\n', tmp_path / "lakewatchd.toml"
    )
    async with open_daemon(config) as daemon:
        await catch_up(daemon)
        await run_all(daemon)
        assert (await shown(daemon))["a.jpg"] == ("b.jpg", False)
    async with built(tmp_path) as daemon:
        await catch_up(daemon)
        await run_all(daemon)
        assert await shown(daemon) == before


async def test_what_is_made_again_does_not_undo_what_a_job_says_meanwhile(
    tmp_path: Path, photos: dict[str, Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nas").mkdir()
    photos[CHINA].save(tmp_path / "nas" / "a.jpg")
    async with built(tmp_path) as daemon:
        await run_all(daemon, look_at("a.jpg"))
        index, (gold,) = daemon.context.neighbours, [row async for row in daemon.reader.all_gold()]
        assert index is not None
        (row,) = await daemon.reader.assets([gold.asset_id])
        newer = dataclasses.replace(dedupe.entry(row, gold), dated=1.0)
        index.remove(gold.asset_id)
        missing = index.missing

        def then_a_job_puts_it(asset_ids: Sequence[str]) -> list[str]:
            found = missing(asset_ids)
            index.put(newer)
            return found

        monkeypatch.setattr(index, "missing", then_a_job_puts_it)
        await catch_up(daemon)
        assert index._db.execute("SELECT asset_id, dated FROM asset").fetchall() == [(gold.asset_id, 1.0)]


COPIED = {"tiger": COPY, "animal": COPY}
"""A tiger is an animal, whoever says so."""


async def test_what_a_person_says_of_a_copy_counts_for_who_stands_for_it(
    tmp_path: Path, photos: dict[str, Image.Image]
) -> None:
    nas = tmp_path / "nas"
    nas.mkdir()
    photos[CHINA].resize((320, 213)).save(nas / "small.jpg")
    photos[CHINA].resize((400, 266)).save(nas / "middle.png")

    async with built(tmp_path) as daemon:

        async def told(path: str) -> dict[str, str]:
            (row,) = [row async for row in daemon.reader.all_gold() if row.best.path == path]
            return {tag.name: tag.origin for tag in row.tags if tag.origin in ("person", COPY)}

        async def say(path: str, **change: object) -> None:
            await correct(daemon, [PathKey("nas", path)], change)
            await run_all(daemon)

        await run_all(daemon, *map(look_at, ("small.jpg", "middle.png")))
        await say("small.jpg", add=["tiger"])
        assert (await told("middle.png"), await told("small.jpg")) == (COPIED, dict.fromkeys(COPIED, "person"))
        (row,) = [row async for row in daemon.reader.gold_where("array_has(tag_names, 'tiger') AND is_representative")]
        assert row.best.path == "middle.png"
        assert "tiger" in (await daemon.reader.gold_of_many([row.asset_id]))[0].text.split("\n"), "and by its words"

        await say("small.jpg", clear=True)
        assert await told("middle.png") == {}, "undone"

        await correct(daemon, [PathKey("nas", "small.jpg")], {"add": ["tiger"]})
        photos[CHINA].save(nas / "large.png")  # a better one takes over, and its words with it
        await run_all(daemon, look_at("large.png"))
        assert (await told("large.png"), await told("middle.png")) == (COPIED, {})
        await say("large.png", remove=["tiger"])
        assert "tiger" not in await told("large.png"), "what is said of itself wins"
        (nas / "small.jpg").unlink()
        await run_all(daemon, look_at("small.jpg"))
        assert await told("large.png") == {}, "who was spoken of is gone"
