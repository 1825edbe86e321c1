"""The daemon as a process, on real files: what a person with a NAS would see."""

from __future__ import annotations

import asyncio
import io
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from lakewatchd.lake.compare import compare
from lakewatchd.testing import LiveDaemon, make_tree, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

WITHOUT_MODELS = '[models]\nimage_text = "off"\ntext = "off"\ndetector = "off"\n'
"""For what does not depend on models: a start takes a second instead of six."""

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


@pytest.fixture
def seeing(tmp_path: Path, model_dir: Path) -> Iterator[LiveDaemon]:
    """A daemon with the real models."""
    root = tmp_path / "nas"
    root.mkdir()
    with LiveDaemon(tmp_path / "d", root, models=model_dir) as running:
        yield running


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[LiveDaemon]:
    root = tmp_path / "nas"
    root.mkdir()
    with LiveDaemon(tmp_path / "d", root, settings=WITHOUT_MODELS) as running:
        yield running


def differences(daemon: LiveDaemon, tmp_path: Path) -> list[object]:
    """Between the lake of a daemon with a history and the lake of a fresh one on the same files."""
    shutil.rmtree(tmp_path / "fresh", ignore_errors=True)
    with LiveDaemon(tmp_path / "fresh", daemon.root, models=daemon.models, settings=daemon.settings) as fresh:
        fresh.wait_idle()
    compared = asyncio.run(compare(daemon.state / "lake", fresh.state / "lake"))
    return list(compared.differences)


def runs_of(daemon: LiveDaemon, stage: str) -> int:
    import lance

    table = lance.dataset(str(daemon.state / "lake" / "lineage.lance"))
    return int(table.count_rows(filter=f"stage = '{stage}'"))


def gold(daemon: LiveDaemon) -> dict[str, dict[str, object]]:
    """path -> row of the gold table."""
    import lance

    rows = lance.dataset(str(daemon.state / "lake" / "gold_assets.lance")).to_table().to_pylist()
    return {str(row["best_path"]): row for row in rows}


@pytest.mark.models
def test_real_photos_are_tagged_as_a_person_would(seeing: LiveDaemon) -> None:
    for name in REAL_PHOTOS:
        shutil.copy(real_photo(name), seeing.root)
    (seeing.root / "licence.txt").write_text(poem(1))
    seeing.wait_idle()
    rows = gold(seeing)
    assert len(rows) == len(REAL_PHOTOS) + 1
    assert "cat" in rows["chelsea.png"]["tag_names"]
    assert rows["chelsea.png"]["category"] == "pets"
    assert "coffee" in rows["coffee.png"]["tag_names"] or "cup" in rows["coffee.png"]["tag_names"]
    assert rows["licence.txt"]["kind"] == "document"


@pytest.mark.models
def test_a_lake_with_a_history_equals_a_fresh_one(seeing: LiveDaemon, tmp_path: Path) -> None:
    root = seeing.root
    make_tree(root, {f"a/{i}.jpg": photo(i) for i in range(6)} | {f"a/b/{i}.txt": poem(i) for i in range(4)})
    make_tree(root, {"copy/0.jpg": photo(0), "keep.md": "# Title\n\nbody\n"})
    seeing.wait_idle()
    embedded = runs_of(seeing, "embed")

    (root / "a").rename(root / "moved")  # a directory with all in it
    (root / "moved" / "0.jpg").rename(root / "renamed.jpg")
    (root / "copy" / "again.jpg").write_bytes(photo(1))
    seeing.wait_idle()
    assert runs_of(seeing, "embed") == embedded, "a move or a copy was embedded again"

    (root / "keep.md").write_text("# Another title\n\nother body\n")
    (root / "moved" / "2.jpg").unlink()
    shutil.rmtree(root / "moved" / "b")
    make_tree(root, {"new/deep/er/x.jpg": photo(77), "new/bäume.txt": poem(9)})
    (root / "moved" / "3.jpg").replace(root / "moved" / "4.jpg")
    (root / "moved" / "5.jpg").rename(root / "IMG_20210704_120000.jpg")
    seeing.wait_idle()
    assert differences(seeing, tmp_path) == []


@pytest.mark.models
def test_a_restart_embeds_nothing(seeing: LiveDaemon) -> None:
    make_tree(seeing.root, {f"{i}.jpg": photo(i) for i in range(5)} | {"t.txt": poem(3)})
    seeing.wait_idle()
    runs = {stage: runs_of(seeing, stage) for stage in ("ingest", "chunk", "detect", "embed", "tag")}
    assert seeing.stop() == 0
    seeing.start()
    seeing.wait_idle()
    assert {stage: runs_of(seeing, stage) for stage in runs} == runs


def test_files_that_changed_while_it_was_down_are_found(daemon: LiveDaemon, tmp_path: Path) -> None:
    make_tree(daemon.root, {f"{i}.jpg": photo(i) for i in range(4)})
    daemon.wait_idle()
    assert daemon.stop() == 0
    (daemon.root / "0.jpg").unlink()
    (daemon.root / "1.jpg").write_bytes(photo(11))
    (daemon.root / "2.jpg").rename(daemon.root / "two.jpg")
    (daemon.root / "new.jpg").write_bytes(photo(12))
    daemon.start()
    daemon.wait_idle()
    assert sorted(gold(daemon)) == ["1.jpg", "3.jpg", "new.jpg", "two.jpg"]
    assert differences(daemon, tmp_path) == []


@pytest.mark.parametrize("after_s", [0.3, 1.5, 4.0])
def test_kill_9_costs_a_repeat_and_never_a_loss(daemon: LiveDaemon, tmp_path: Path, after_s: float) -> None:
    make_tree(daemon.root, {f"d{i % 3}/{i}.jpg": photo(i) for i in range(12)} | {f"{i}.txt": poem(i) for i in range(6)})
    with pytest.raises(subprocess.TimeoutExpired):
        assert daemon.process is not None
        daemon.process.wait(after_s)  # wherever it is by then
    daemon.kill()
    daemon.start()
    daemon.wait_idle()
    assert len(gold(daemon)) == 18
    assert differences(daemon, tmp_path) == []


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
            return json.loads(daemon.run("status", "--json").stdout)["roots"][0]["state"] == "away"

        wait_until(away, 30, "root is away")
        assert len(gold(daemon)) == 3
        root.rmdir()
        (tmp_path / "elsewhere").rename(root)
        wait_until(lambda: not away(), 30, "root is back")
        daemon.wait_idle()
        assert len(gold(daemon)) == 3


def test_the_loop_answers_while_a_thousand_files_arrive(daemon: LiveDaemon) -> None:
    make_tree(daemon.root, {f"{i % 10}/{i}.txt": f"note {i}\n" for i in range(1000)})
    daemon.wait_idle(280)
    assert len(gold(daemon)) == 1000


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
    assert gold(daemon) == {}
    daemon.run("queue", "resume")
    daemon.wait_idle()
    assert "held.txt" in gold(daemon)


def test_a_root_taken_out_of_the_configuration_leaves_and_comes_back(daemon: LiveDaemon, tmp_path: Path) -> None:
    make_tree(daemon.root, {"a.txt": poem(1), "b/c.txt": poem(2)})
    daemon.wait_idle()
    chunked = runs_of(daemon, "chunk")
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
    assert runs_of(daemon, "chunk") == chunked + 1, "only x.txt was new work"
