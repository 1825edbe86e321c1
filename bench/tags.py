"""An edited taxonomy: seconds until the tags of a whole lake are up to date, with nothing embedded again.

    .venv/bin/python -m bench.tags [--quick] [--json] [--dir DIR]

Claim: 100 000 assets (quick 10 000) in under a minute on two cores.
Method: a lake of made-up photos: each vector is one of the shipped descriptions of a picture, blurred, so that it is
tagged about as often as a photo; every other has an object that a detector saw. All of it is written with the verdict
of the shipped taxonomy. Then the taxonomy gains a tag and loses another, as an editor saves it, and the daemon's own
parts compare all assets and run the jobs of those whose verdict differs. Counted is all of it, the new description's
embedding included. What the lake says in the end is compared with judging a sample one by one.
Peers: none.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.common import MODELS, Claim, Report, options
from lakewatchd.config import parse
from lakewatchd.core.asset import Detected, Kind, PathKey, Version
from lakewatchd.core.job import Priority
from lakewatchd.daemon.parts import Daemon
from lakewatchd.daemon.service import open_daemon
from lakewatchd.daemon.tutor import Tutor
from lakewatchd.lake.rows import AssetRow, Batch, GoldRow, OccurrenceRow, Presence, SpanRow
from lakewatchd.models.base import Role
from lakewatchd.stages import plan, publish, retag
from lakewatchd.stages.base import Kin, Work
from lakewatchd.testing import config_text

SHIPPED = Path(__file__).resolve().parent.parent / "etc" / "taxonomy.toml"
SETTINGS = """
[models]
speech = "off"
ocr = "off"
[tags]
taxonomy = "{taxonomy}"
[lake]
commit_s = 0.5
"""
CLAIM_S = 60.0
BATCH = 2000


def main() -> None:
    chosen = options(__doc__).parse_args()
    count = 10_000 if chosen.quick else 100_000
    with tempfile.TemporaryDirectory(dir=chosen.dir) as base:
        asyncio.run(measure(Path(base), count)).show(chosen.json)


async def measure(base: Path, count: int) -> Report:
    for name in ("nas", "state", "run", "mnt"):
        (base / name).mkdir()
    (base / "state" / "models").symlink_to(MODELS)
    taxonomy = base / "taxonomy.toml"
    taxonomy.write_text(SHIPPED.read_text())
    async with open_daemon(
        parse(config_text(base, settings=SETTINGS.format(taxonomy=taxonomy)), base / "lakewatchd.toml")
    ) as daemon:
        for at in range(0, count, BATCH):
            await daemon.writer.submit(await made_up(daemon, at, min(BATCH, count - at)))
        await daemon.writer.optimize()
        edited = SHIPPED.read_text().replace(
            "monument = [", 'chapel = ["a small chapel on a hill"]\n"old monument" = ['
        )
        taxonomy.write_text(edited)
        before, began = daemon.tagger.transform.id, time.perf_counter()
        daemon.stages = daemon.make_stages(daemon.config, daemon.school)
        assert daemon.tagger.transform.id != before
        await Tutor(daemon).retag()
        compared = time.perf_counter()
        queued = (await daemon.queue_thread(daemon.queue.counts)).pending
        running = asyncio.create_task(daemon.pool.run())
        while (await daemon.queue_thread(daemon.queue.counts)).pending:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        done = time.perf_counter()
        await daemon.pool.drain(5.0)
        await running
        stale = await daemon.reader.stale("tag", daemon.tagger.transform.id, count)
        wrong = await differences(daemon)
    report = Report()
    what = f"seconds until the tags of {count:,} assets are up to date"
    report.claims += [
        Claim.at_most(what, done - began, "s", CLAIM_S * count / 100_000),
        Claim.at_most("assets left behind, or tagged otherwise than one by one", len(stale) + wrong, "", 0),
        Claim("of them to compare all", compared - began, "s"),
        Claim("assets whose tags changed", queued, ""),
    ]
    return report


async def made_up(daemon: Daemon, first: int, count: int) -> Batch:
    """Photos, each with all that the stages would have made of it."""
    rng = np.random.default_rng(first)
    prompts = await _looks(daemon)
    done = {name: daemon.stages[name].transform.id for name in plan.PLAN[Kind.IMAGE] if name in daemon.stages}
    blur = rng.normal(size=(count, prompts.shape[1])) / np.sqrt(prompts.shape[1])
    vectors = prompts[rng.integers(0, len(prompts), count)] + rng.uniform(0.2, 1.5, (count, 1)) * blur
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    works = [_work(first + at, vector, rng, done) for at, vector in enumerate(vectors)]
    for work, verdict in zip(works, await daemon.tagger.judge(works, daemon.context), strict=True):
        work.verdict = verdict
    gold: Sequence[GoldRow] = [publish.gold(work, Kin(), daemon.context) for work in works]
    places = tuple(place for work in works for place in work.places)
    spans = tuple(span for work in works for span in work.spans)
    return Batch(places, tuple(work.row for work in works), spans, tuple(gold))


async def _looks(daemon: Daemon) -> np.ndarray:
    assert daemon.models.info(Role.IMAGE_TEXT) is not None, "fetch the models first: lakewatchd models fetch"
    scorer = await daemon.tagger.scorer(daemon.context)
    assert scorer._picture is not None
    return scorer._picture.rows


def _work(number: int, vector: np.ndarray, rng: np.random.Generator, done: dict[str, str]) -> Work:
    asset = rng.bytes(32).hex()
    key = PathKey("nas", f"{number // 1000:04d}/IMG_{number:07d}.jpg")
    version = Version(3_000_000, 1_700_000_000_000_000_000 + number, number + 1)
    place = OccurrenceRow(key, asset, Kind.IMAGE, "image/jpeg", version, Presence.PRESENT, 1.0, 1.0)
    row = AssetRow(asset, Kind.IMAGE, "image/jpeg", 3_000_000, 4000, 3000, camera="Maker", transforms=done, spans=1)
    objects = (Detected("person", float(rng.uniform(0.5, 0.95)), (0.1, 0.1, 0.5, 0.9)),) if number % 2 else ()
    span = SpanRow(
        asset, 0, "image", image_vector=tuple(vector.tolist()), vector_transform=done["embed"], objects=objects
    )
    return Work(asset, Kind.IMAGE, "image/jpeg", key.path.rpartition("/")[2], Priority.FRESH, (place,), row, [span])


async def differences(daemon: Daemon, count: int = 300) -> int:
    """Of a sample: assets that are served with other tags than judging them one by one gives."""
    works = await retag.works_of(await daemon.reader.first_ids(count), daemon.context)
    wrong = 0
    for work in works:
        (served,) = await daemon.reader.gold_of_many([work.asset_id])
        work.spans = await daemon.reader.spans(work.asset_id)
        (verdict,) = await daemon.tagger.judge([work], daemon.context)
        wrong += not retag.Judged(served, verdict).is_same
    return wrong


if __name__ == "__main__":
    main()
