"""``python -m tests.formats [DIR]``: one of everything, indexed to the end, as a table.

A file of each format (:mod:`tests.formats.make`) goes through a real daemon with all models and extras that are
installed. Told are format, kind, the stages that ran, their seconds, tags, and the first words of text. Ends with 1 if
a file is parked or missing. With DIR the files stay there, to be looked at or indexed otherwise.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from lakewatchd.lake.reader import LakeReader
from lakewatchd.lake.rows import AssetRow, GoldRow, OccurrenceRow, SpanRow
from lakewatchd.lake.schema import LINEAGE
from lakewatchd.testing import LiveDaemon
from tests.formats import make

MODELS = Path(__file__).resolve().parents[2] / ".cache" / "models"
QUICK = ("ingest", "tag")
"""Run for every file, in no time: left out of the table."""


@dataclass(slots=True)
class Told:
    """What the lake says of one file."""

    path: str
    asset: AssetRow
    gold: GoldRow | None
    spans: list[SpanRow] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    failed: str = ""

    @property
    def words(self) -> str:
        text = " ".join(span.text for span in self.spans if span.text)
        return " ".join(text.split())

    @property
    def line(self) -> str:
        kinds = defaultdict[str, int](int)
        for span in self.spans:
            kinds[span.kind] += 1
        pieces = " ".join(f"{number} {kind}" for kind, number in kinds.items())
        stages = " ".join(name for name in self.seconds if name not in QUICK)
        tags = ", ".join(tag.name for tag in self.gold.tags[:4]) if self.gold else "NOT SERVED"
        took = sum(seconds for name, seconds in self.seconds.items() if name not in QUICK)
        what = f"{self.path:32.32} {self.asset.mime:36.36} {self.asset.kind.value:8} {stages:28.28} {took:6.2f}"
        return f"{what}  {pieces:22.22} {tags:34.34} {self.words[:48]}" + (
            f"  FAILED {self.failed}" if self.failed else ""
        )


async def told(lake: Path) -> list[Told]:
    reader = LakeReader(lake)
    try:
        places: list[OccurrenceRow] = [row async for row in reader.all_occurrences()]
        rows = {row.asset_id: row async for row in reader.all_assets()}
        gold = {row.asset_id: row async for row in reader.all_gold()}
        found = {
            row.asset_id: Told(row.key.path, rows[row.asset_id], gold.get(row.asset_id))
            for row in sorted(places, key=lambda row: row.key)
            if row.asset_id in rows
        }
        async for span in reader.all_spans():
            found[span.asset_id].spans.append(span)
        async for runs in reader.batches(LINEAGE, ["subject", "stage", "duration_s", "state", "detail"], "true"):
            for run in runs.to_pylist():
                if run["subject"] in found:
                    one = found[run["subject"]]
                    one.seconds[run["stage"]] = one.seconds.get(run["stage"], 0.0) + run["duration_s"]
                    one.failed = one.failed or (run["detail"] if run["state"] == "failed" else "")
        return sorted(found.values(), key=lambda one: one.path)
    finally:
        reader.close()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.formats", description="One of everything, indexed.")
    parser.add_argument("folder", nargs="?", type=Path, help="where the files are to stay")
    folder = parser.parse_args().folder
    with tempfile.TemporaryDirectory() as scratch:
        root = folder or Path(scratch) / "nas"
        written = make.make(root)
        with LiveDaemon(Path(scratch) / "d", root, models=MODELS) as daemon:
            daemon.wait_idle(timeout_s=1800)
            parked = daemon.ask("status")["parked"]
        found = asyncio.run(told(Path(scratch) / "d" / "state" / "lake"))
    for one in found:
        print(one.line)
    missing = {str(path.relative_to(root)) for path in written} - {one.path for one in found}
    endings = {path.name.partition(".")[2] for path in written}
    print(f"\n{len(written)} files of {len(endings)} formats")
    print(f"missing: {sorted(missing) or 'none'}; parked: {parked or 'none'}")
    return 1 if missing or parked else 0


if __name__ == "__main__":
    sys.exit(main())
