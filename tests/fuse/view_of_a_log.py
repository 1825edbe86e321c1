"""Run as a process: a view whose lake is a text file of rows, one JSON object a line, appended to by a test."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from lakewatchd.config import RootConfig, ViewConfig
from lakewatchd.core.asset import Kind, PathKey, Tag, Version, text_path
from lakewatchd.errors import LakewatchError
from lakewatchd.lake.reader import Changes
from lakewatchd.lake.rows import GoldRow, OccurrenceRow, Presence
from lakewatchd.views.mount import serve


def occurrence(line: dict[str, object]) -> OccurrenceRow:
    return OccurrenceRow(
        key=PathKey(str(line["root"]), text_path(str(line["path"]))),
        asset_id=str(line["asset"]),
        kind=Kind.IMAGE,
        mime="image/jpeg",
        version=Version(int(str(line["size"])), int(str(line["mtime_ns"])), 1),
        presence=Presence(line["presence"]),
        first_seen=float(str(line["first_seen"])),
        last_seen=0.0,
    )


def gold(line: dict[str, object]) -> GoldRow:
    tags = line["tags"]
    assert isinstance(tags, list)
    return GoldRow(
        asset_id=str(line["asset"]),
        kind=Kind.IMAGE,
        title="",
        category=str(line["category"]),
        category_score=0.875,
        tags=tuple(Tag(tag, 0.5, "model") for tag in tags),
        caption=str(line["caption"]),
        dated_at=dt.datetime(2023, 7, 1),  # noqa: DTZ001 (wall-clock time, as the row says)
        dated_by="exif",
        text="",
        vector=None,
        best=PathKey("", ""),
        size_bytes=0,
        occurrences=1,
    )


class LogFeed:
    def __init__(self, log: Path) -> None:
        self._log = log

    async def changes(self, revision: int) -> AsyncIterator[Changes]:
        lines = [json.loads(line) for line in self._log.read_text().splitlines()[revision:]]
        yield Changes(
            revision=revision + len(lines),
            is_full=revision == 0,
            occurrences=tuple({row.key: row for row in map(occurrence, (x for x in lines if "path" in x))}.values()),
            gold=tuple({row.asset_id: row for row in map(gold, (x for x in lines if "tags" in x))}.values()),
        )


def main() -> int:
    log, mountpoint, *roots = map(Path, sys.argv[1:])
    view = ViewConfig(mountpoint=mountpoint, refresh_s=0.2)
    configured = [RootConfig(path.name, path) for path in roots]
    try:
        asyncio.run(serve(LogFeed(log), view, configured, lambda: print("mounted", flush=True)))
    except LakewatchError as exc:
        print(f"{exc.message} | {exc.hint}", flush=True)
        return exc.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
