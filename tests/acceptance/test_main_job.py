"""The daemon as a process, on real files: what a person with a NAS would see."""

from __future__ import annotations

import asyncio
import io
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from lakewatchd.control import is_announced
from lakewatchd.lake.compare import compare
from lakewatchd.testing import WITHOUT_MODELS, LiveDaemon, make_tree, wait_until
from tests.films import film
from tests.machine.lab import index

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


WITHOUT_SLOW_ONES = '[models]\nspeech = "off"\nocr = "off"\n'

REAL_PHOTOS = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png")


def photo(seed: int, size: tuple[int, int] = (320, 240)) -> bytes:
    """A JPEG like no other: shapes drawn from ``seed``."""
    image = Image.new("RGB", size, (seed * 37 % 256, seed * 59 % 256, seed * 83 % 256))
    draw = ImageDraw.Draw(image)
    for i in range(8):
        x, y = (seed * 131 + i * 97) % size[0], (seed * 71 + i * 53) % size[1]
        draw.ellipse((x, y, x + 40 + i, y + 30), fill=(i * 30, (seed + i * 70) % 256, 255 - i * 20))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=90)
    return out.getvalue()


def poem(seed: int) -> str:
    lines = (
        f"Line {i} of poem {seed}: the river turns, the {('bell', 'door', 'lamp')[i % 3]} waits." for i in range(30)
    )
    return "\n".join(lines)


def real_photo(name: str) -> Path:
    import skimage

    return Path(skimage.__file__).parent / "data" / name


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory, model_dir: Path) -> Iterator[LiveDaemon]:
    """With the real models, but for those that listen and read: they have tests of their own. Shared, as is ``daemon``:
    what a test adds stays, below a directory of its own."""
    base = tmp_path_factory.mktemp("seeing")
    (base / "nas").mkdir()
    with LiveDaemon(base / "d", base / "nas", models=model_dir, settings=WITHOUT_SLOW_ONES) as running:
        yield running


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveDaemon]:
    base = tmp_path_factory.mktemp("daemon")
    (base / "nas").mkdir()
    with LiveDaemon(base / "d", base / "nas", settings=WITHOUT_MODELS) as running:
        yield running


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[LiveDaemon]:
    """One that a test has for itself."""
    (tmp_path / "nas").mkdir()
    with LiveDaemon(tmp_path / "d", tmp_path / "nas", settings=WITHOUT_MODELS) as running:
        yield running


def differences(daemon: LiveDaemon, tmp_path: Path) -> list[object]:
    """Between the lake of a daemon with a history and the lake of a fresh one on the same files."""
    fresh = LiveDaemon(tmp_path / "fresh", daemon.root, models=daemon.models, settings=daemon.settings)
    fresh.write_config()
    index(fresh.config)
    compared = asyncio.run(compare(daemon.state / "lake", fresh.state / "lake"))
    return list(compared.differences)


def runs_of(daemon: LiveDaemon, stage: str) -> int:
    import lance

    table = lance.dataset(str(daemon.state / "lake" / "lineage.lance"))
    return int(table.count_rows(filter=f"stage = '{stage}'"))


def gold(daemon: LiveDaemon, below: str = "") -> dict[str, dict[str, Any]]:
    """path -> row of the gold table, ``below`` a directory."""
    import lance

    rows = lance.dataset(str(daemon.state / "lake" / "gold_assets.lance")).to_table().to_pylist()
    found = {str(row["best_path"]): row for row in rows}
    return {path.removeprefix(below): row for path, row in found.items() if path.startswith(below)}


def spans(daemon: LiveDaemon, row: dict[str, Any]) -> list[dict[str, Any]]:
    """Of the asset of a row of gold, in order."""
    import lance

    table = lance.dataset(str(daemon.state / "lake" / "silver_spans.lance"))
    found = table.to_table(filter=f"asset_id = '{row['asset_id']}'").to_pylist()
    return sorted(found, key=lambda span: int(span["span"]))


def named(span: dict[str, Any]) -> set[str]:
    """What the detector saw there."""
    return {found["name"] for found in span["objects"]}


def still(name: str) -> Image.Image:
    with Image.open(real_photo(name)) as found:
        return found.convert("RGB").resize((448, 300))


@pytest.mark.models
def test_real_photos_are_tagged_as_a_person_would(seeing: LiveDaemon) -> None:
    place = seeing.root / "real"
    place.mkdir()
    for name in REAL_PHOTOS:
        shutil.copy(real_photo(name), place)
    (place / "licence.txt").write_text(poem(1001))
    cat, woman = (still(name) for name in ("chelsea.png", "astronaut.png"))
    (place / "kept.mp4").write_bytes(film(draw=lambda at_s: cat))
    two = film(seconds=24, fps=2, keyframe_every=2, draw=lambda at_s: cat if at_s < 12 else woman)
    (place / "two.mp4").write_bytes(two)
    seeing.wait_idle()
    rows = gold(seeing, "real/")
    assert len(rows) == len(REAL_PHOTOS) + 3
    for name in ("chelsea.png", "kept.mp4"):
        assert "cat" in rows[name]["tag_names"]
        assert rows[name]["category"] == "pets"
    assert rows["kept.mp4"]["kind"] == "video"
    assert "coffee" in rows["coffee.png"]["tag_names"] or "cup" in rows["coffee.png"]["tag_names"]
    assert rows["licence.txt"]["kind"] == "document"
    first, second = (span for span in spans(seeing, rows["two.mp4"]) if span["kind"] == "clip")
    assert (first["start_s"], first["end_s"], second["start_s"], second["end_s"]) == (0, 12, 12, 24)
    assert "cat" in named(first) - named(second) and "person" in named(second) - named(first)
    for clip, itself, other in ((first, "chelsea.png", "astronaut.png"), (second, "astronaut.png", "chelsea.png")):
        vector = np.array(clip["image_vector"])
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-4)
        assert vector @ rows[itself]["vector"] > vector @ rows[other]["vector"]


@pytest.mark.models
def test_a_lake_with_a_history_equals_a_fresh_one(seeing: LiveDaemon, tmp_path: Path) -> None:
    root = seeing.root
    make_tree(root, {f"a/{i}.jpg": photo(i) for i in range(6)} | {f"a/b/{i}.txt": poem(i) for i in range(4)})
    make_tree(root, {"copy/0.jpg": photo(0), "keep.md": "# Title\n\nbody\n"})
    seeing.wait_idle()
    runs = {stage: runs_of(seeing, stage) for stage in ("ingest", "chunk", "detect", "embed", "tag")}
    assert seeing.stop() == 0
    seeing.start()
    seeing.wait_idle()
    assert {stage: runs_of(seeing, stage) for stage in runs} == runs, "a restart does nothing again"

    (root / "a").rename(root / "moved")  # a directory with all in it
    (root / "moved" / "0.jpg").rename(root / "renamed.jpg")
    (root / "copy" / "again.jpg").write_bytes(photo(1))
    seeing.wait_idle()
    assert runs_of(seeing, "embed") == runs["embed"], "a move or a copy was embedded again"

    (root / "keep.md").write_text("# Another title\n\nother body\n")
    (root / "moved" / "2.jpg").unlink()
    shutil.rmtree(root / "moved" / "b")
    make_tree(root, {"new/deep/er/x.jpg": photo(77), "new/bäume.txt": poem(9)})
    (root / "moved" / "3.jpg").replace(root / "moved" / "4.jpg")
    (root / "moved" / "5.jpg").rename(root / "IMG_20210704_120000.jpg")
    seeing.wait_idle()
    assert differences(seeing, tmp_path) == []


@pytest.mark.parametrize(
    "after_s", [pytest.param(0.3, marks=pytest.mark.long), 1.5, pytest.param(4.0, marks=pytest.mark.long)]
)
def test_kill_9_costs_a_repeat_and_what_changed_while_it_was_down_is_found(
    alone: LiveDaemon, tmp_path: Path, after_s: float
) -> None:
    root = alone.root
    make_tree(root, {f"d{i % 3}/{i}.jpg": photo(i) for i in range(12)} | {f"{i}.txt": poem(i) for i in range(6)})
    with pytest.raises(subprocess.TimeoutExpired):
        assert alone.process is not None
        alone.process.wait(after_s)  # wherever it is by then
    alone.kill()
    (root / "0.txt").unlink()
    (root / "1.txt").write_text(poem(11))
    (root / "2.txt").rename(root / "two.txt")
    (root / "new.jpg").write_bytes(photo(12))
    alone.start(wait=False)
    wait_until(lambda: is_announced(alone.base / "run" / "control.sock"), 60, "it is on its way")
    assert alone.run("status", "--wait").returncode == 0, "a daemon that is starting is waited for"
    assert len(gold(alone)) == 18 and {"1.txt", "two.txt", "new.jpg"} < gold(alone).keys()
    assert differences(alone, tmp_path) == []


def test_a_parked_file_is_told_once_and_forgotten_when_it_is_mended(daemon: LiveDaemon) -> None:
    (daemon.root / "broken.jpg").write_bytes(photo(1)[:1500])
    daemon.wait_idle()
    told = daemon.run("queue", "list", "--parked").stdout
    assert "damaged-media" in told and "nas:broken.jpg" in told, "a person knows files, not hashes"
    daemon.run("scan")
    daemon.wait_idle()
    listing = json.loads(daemon.run("queue", "list", "--parked", "--json").stdout)
    assert listing["total"] == 1, "a rescan must not try a poison file again"
    (daemon.root / "broken.jpg").write_bytes(photo(1))
    daemon.wait_idle()
    assert json.loads(daemon.run("queue", "list", "--parked", "--json").stdout)["total"] == 0
    assert "broken.jpg" in gold(daemon)


def test_an_unmounted_root_is_not_a_deletion(tmp_path: Path) -> None:
    root = tmp_path / "nas"
    make_tree(root, {f"{i}.jpg": photo(i) for i in range(3)})
    with LiveDaemon(tmp_path / "d", root, settings=WITHOUT_MODELS) as daemon:
        daemon.wait_idle()
        root.rename(tmp_path / "elsewhere")
        root.mkdir()  # the bare mount point

        def away() -> bool:
            return bool(json.loads(daemon.run("status", "--json").stdout)["roots"][0]["state"] == "away")

        wait_until(away, 60, "root is away")
        assert len(gold(daemon)) == 3
        root.rmdir()
        (tmp_path / "elsewhere").rename(root)
        wait_until(lambda: not away(), 60, "root is back")
        daemon.wait_idle()
        assert len(gold(daemon)) == 3


def test_the_loop_answers_while_a_thousand_files_arrive(daemon: LiveDaemon) -> None:
    make_tree(daemon.root, {f"many/{i % 10}/{i}.txt": f"note {i}\n" for i in range(1000)})
    daemon.wait_idle()
    assert len(gold(daemon, "many/")) == 1000


def test_a_pause_shows_and_holds_the_work(daemon: LiveDaemon) -> None:
    daemon.run("queue", "pause")
    (daemon.root / "held.txt").write_text("held\n")
    daemon.run("scan")
    status = json.loads(daemon.run("status", "--json").stdout)
    assert "lakewatchd queue resume" in status["paused"]
    assert "paused" in status["headline"]
    waited = daemon.run("status", "--wait", check=False)
    assert waited.returncode == 1
    assert "paused" in waited.stderr
    assert "held.txt" not in gold(daemon)
    daemon.run("queue", "resume")
    daemon.wait_idle()
    assert "held.txt" in gold(daemon)


@pytest.mark.long
def test_a_root_taken_out_of_the_configuration_leaves_and_comes_back(alone: LiveDaemon, tmp_path: Path) -> None:
    daemon = alone
    make_tree(daemon.root, {"a.txt": poem(1), "b/c.txt": poem(2)})
    daemon.wait_idle()
    read = runs_of(daemon, "read")
    assert daemon.stop() == 0
    other = tmp_path / "other"
    make_tree(other, {"x.txt": poem(3)})
    kept, daemon.root, daemon.root_name = daemon.root, other, "other"
    daemon.start()
    daemon.wait_idle()
    assert list(gold(daemon)) == ["x.txt"]
    assert daemon.stop() == 0
    daemon.root, daemon.root_name = kept, "nas"
    daemon.start()
    daemon.wait_idle()
    assert sorted(gold(daemon)) == ["a.txt", "b/c.txt"]
    assert runs_of(daemon, "read") == read + 1, "only x.txt was new work"
