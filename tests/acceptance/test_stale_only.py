"""Another model, another setting, another word of the taxonomy: what is stale is done again, and nothing else.

Told by lineage, which has a row for each run of a stage. One daemon, stopped and started with other settings.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest

from lakewatchd.config import packaged
from lakewatchd.testing import LiveDaemon
from tests import documents, films, photos, sounds

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.models, pytest.mark.timeout(600)]

ALWAYS = ("ingest", "place", "tag")


def runs(daemon: LiveDaemon) -> Counter[str]:
    """How often each stage has run so far, over all files; but for what runs whenever a row is published."""
    import lance

    stages = lance.dataset(str(daemon.state / "lake" / "lineage.lance")).to_table(columns=["stage"])["stage"]
    return Counter(stage for stage in stages.to_pylist() if stage not in ALWAYS)


def restarted(daemon: LiveDaemon, settings: str) -> Counter[str]:
    """What other settings had done."""
    before = runs(daemon)
    assert daemon.stop() == 0
    daemon.settings = settings
    daemon.start()
    daemon.wait_idle(timeout_s=400)
    return runs(daemon) - before


def test_what_is_stale_is_done_again_and_nothing_else(tmp_path: Path, model_dir: Path) -> None:
    root = tmp_path / "nas"
    root.mkdir()
    (root / "one.jpg").write_bytes(photos.encoded(films.scene(1), "JPEG"))
    (root / "two.png").write_bytes(photos.encoded(films.scene(2), "PNG"))
    (root / "paper.pdf").write_bytes(documents.pdf([documents.PROSE]))
    (root / "notes.txt").write_text(documents.PROSE)
    (root / "rows.csv").write_text("date,city\n2024-05-01,Lyon\n2024-05-02,Porto\n")
    (root / "film.mp4").write_bytes(films.film(seconds=2))
    (root / "hum.flac").write_bytes(sounds.recording("flac", "flac"))
    with LiveDaemon(tmp_path / "d", root, models=model_dir) as daemon:
        daemon.wait_idle(timeout_s=400)
        first = runs(daemon)
        assert (first["chunk"], first["read"], first["film"], first["sound"]) == (2, 3, 1, 1)
        assert (first["detect"], first["embed"] >= 7, first["clips"]) == (3, True, 1)

        assert restarted(daemon, "") == Counter(), "a restart by itself"

        passages = "[decode]\npassage_chars = 400\n"
        assert restarted(daemon, passages) == Counter(read=3, sound=1, embed=4), "texts and lyrics are cut otherwise"

        stamps = passages + "thumbnail_px = 256\n"
        done = restarted(daemon, stamps)
        assert {stage: done[stage] for stage in ("chunk", "film", "sound")} == {"chunk": 2, "film": 1, "sound": 1}
        assert not done["speech"] and not done["ocr"], "nobody listens again for the sake of a thumbnail"

        other = tmp_path / "other-text-model"
        shutil.copytree(model_dir / "embedded" / "text", other)
        config = json.loads((other / "config.json").read_text())
        (other / "config.json").write_text(json.dumps({**config, "told_apart_by": "a test"}))
        done = restarted(daemon, f'{stamps}[models]\ntext = "local-dir:{other}"\n')
        assert done == Counter(embed=7), "another model reads the same texts"

        words = tmp_path / "taxonomy.toml"
        words.write_text(packaged("taxonomy.toml").read_text() + "\n# a comment is no change\n")
        same = f'{stamps}[models]\ntext = "local-dir:{other}"\n[tags]\ntaxonomy = "{words}"\n'
        assert restarted(daemon, same) == Counter()
        words.write_text(words.read_text() + '\n[category.strange]\nlooks = ["a strange thing"]\n')
        assert restarted(daemon, same) == Counter(), "other words cost no decoding and no embedding of content"
