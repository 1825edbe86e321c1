"""kill -9 in the middle of commits and compactions: what was told durable is there, once."""

import asyncio
import datetime as dt
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from lake_rows import DIMS, asset_id, batch

from lakewatchd.config import LakeConfig
from lakewatchd.lake import maintain, schema
from lakewatchd.lake.compare import compare
from lakewatchd.lake.reader import LakeReader
from lakewatchd.lake.tables import LakeWriter, serving

KILLS = 6

CHILD = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from lake_rows import DIMS, batch
from lakewatchd.config import LakeConfig
from lakewatchd.lake.tables import LakeWriter, serving

async def main(base, turn):
    config = LakeConfig(commit_s=0.0, optimize_commits=5)
    async with serving(await LakeWriter.open(base / "lake", base / "t.db", DIMS, config)) as writer:
        print("open", flush=True)
        for number in range(10_000):
            many = [(number * 3 + at) % 60 for at in range(3)]
            await asyncio.gather(*(writer.submit(batch(n, spans=2, title=f"{turn}.{number}")) for n in many))
            print(*(f"{n}={turn}.{number}" for n in many), flush=True)

asyncio.run(main(Path(sys.argv[1]), int(sys.argv[3])))
"""


def killed_run(base: Path, turn: int, after_s: float) -> dict[int, str]:
    """The last title that was told durable, by number."""
    command = [sys.executable, "-c", CHILD, str(base), str(Path(__file__).parents[1]), str(turn)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "open\n"
    time.sleep(after_s)
    child.kill()
    told, _ = child.communicate()
    lines = told.split("\n")[:-1]  # a line cut short was not told
    return {int(n): title for line in lines for n, _, title in (item.partition("=") for item in line.split())}


@pytest.mark.long
async def test_killed_writers_lose_nothing_and_double_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maintain, "KEEP_VERSIONS", dt.timedelta(0))  # so that only leftovers are left over
    rng = random.Random(time.time_ns())
    told: dict[int, str] = {}
    for turn in range(KILLS):
        told |= await asyncio.to_thread(killed_run, tmp_path, turn, rng.uniform(0.05, 1.5))
    assert told
    async with serving(await LakeWriter.open(tmp_path / "lake", tmp_path / "t.db", DIMS, LakeConfig())) as writer:
        reader = LakeReader(tmp_path / "lake")
        titles = {row.asset_id: row.title async for row in reader.all_gold()}
        for number, title in told.items():
            # A later commit may have been durable without having been told.
            assert age(titles[asset_id(number)]) >= age(title)
        for rows in (reader.all_assets(), reader.all_gold()):
            assert max(Counter([row.asset_id async for row in rows]).values()) == 1
        await asyncio.gather(*(writer.submit(batch(number, spans=2)) for number in range(60)))
        await writer.optimize()
        for spec in schema.TABLES:
            assert_no_leftovers(tmp_path / "lake" / f"{spec.name}.lance")
    fresh = tmp_path / "fresh"
    async with serving(await LakeWriter.open(fresh / "lake", fresh / "t.db", DIMS, LakeConfig())) as writer:
        await asyncio.gather(*(writer.submit(batch(number, spans=2)) for number in range(60)))
    assert (await compare(tmp_path / "lake", fresh / "lake")).differences == ()


def assert_no_leftovers(table: Path) -> None:
    import lance

    files = [file.path for fragment in lance.dataset(table).get_fragments() for file in fragment.metadata.files]
    assert sorted(path.name for path in table.glob("data/*")) == sorted(files), table.name


def age(title: str) -> tuple[int, int]:
    turn, _, number = title.partition(".")
    return int(turn), int(number)
