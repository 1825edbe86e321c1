"""A lake that has grown calibrates the tags of texts on its own: once for each doubling, kept, and again if lost."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from lakewatchd.config import Config, parse
from lakewatchd.core.asset import Kind, PathKey, Version
from lakewatchd.daemon import tutor
from lakewatchd.daemon.parts import Daemon
from lakewatchd.daemon.service import open_daemon
from lakewatchd.daemon.tutor import Tutor
from lakewatchd.lake.rows import AssetRow, Batch, OccurrenceRow, Presence, SpanRow
from lakewatchd.stages.background import LEAST
from lakewatchd.stages.teaching import School
from lakewatchd.testing import config_text

pytestmark = pytest.mark.models

SETTINGS = '[models]\ndetector = "off"\nspeech = "off"\nocr = "off"\n[lake]\ncommit_s = 0.01\n'


def settings(base: Path, model_dir: Path) -> Config:
    (base / "nas").mkdir()
    (base / "state").mkdir()
    (base / "state" / "models").symlink_to(model_dir)
    return parse(config_text(base, settings=SETTINGS), base / "lakewatchd.toml")


async def add_texts(daemon: Daemon, first: int, count: int) -> None:
    """Notes, each as if it had been read and embedded."""
    rng = np.random.default_rng(first)
    by = daemon.tagger.embedded_by
    batch = []
    for number in range(first, first + count):
        asset, vector = rng.bytes(32).hex(), rng.normal(size=384)
        version = Version(100, 1_700_000_000_000_000_000 + number, number + 1)
        key = PathKey("nas", f"{number}.txt")
        place = OccurrenceRow(key, asset, Kind.DOCUMENT, "text/plain", version, Presence.PRESENT, 1.0, 1.0)
        row = AssetRow(asset, Kind.DOCUMENT, "text/plain", 100, transforms={"embed": by}, spans=1)
        unit = tuple((vector / np.linalg.norm(vector)).tolist())
        batch.append((place, row, SpanRow(asset, 0, "passage", text="x", text_vector=unit, vector_transform=by)))
    places, rows, spans = zip(*batch, strict=True)
    await daemon.writer.submit(Batch(tuple(places), tuple(rows), tuple(spans)))


async def test_a_lake_is_looked_at_once_for_each_doubling_and_again_when_that_is_lost(
    tmp_path: Path, model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tutor, "LEAST", 256)
    config = settings(tmp_path, model_dir)
    async with open_daemon(config) as daemon:
        await add_texts(daemon, 0, 200)
        before = daemon.tagger.transform.id
        assert not await Tutor(daemon).learn(), "a small lake has the sample that comes with the package"
        await add_texts(daemon, 200, 100)
        assert await Tutor(daemon).learn()
        own = daemon.school.background
        assert own.embedded_by == daemon.tagger.embedded_by and len(own.rows) == 300 * 384 >= LEAST * 384
        assert (after := daemon.tagger.transform.id) != before, "what was tagged is looked at again"
        await add_texts(daemon, 300, 100)
        assert not await Tutor(daemon).learn(), "it has not doubled: what was said stays said"
        daemon.school = dataclasses.replace(daemon.school, made_of="other corrections, which taught nothing")
        assert not await Tutor(daemon).learn() and daemon.school.background == own, "nor is it drawn for a correction"
    async with open_daemon(config) as daemon:
        assert daemon.tagger.transform.id == after, "a restart changes nothing"
        assert not await Tutor(daemon).learn()
        daemon.school = School.of(b"torn")
        assert await Tutor(daemon).learn() and len(daemon.school.background.rows) == 400 * 384
        await add_texts(daemon, 400, 200)
        assert await Tutor(daemon).learn() and len(daemon.school.background.rows) == 512 * 384
