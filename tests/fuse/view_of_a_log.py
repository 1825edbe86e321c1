"""Run as a process: a view whose lake is a text file of rows, one JSON object a line, appended to by a test.

Arguments: the file, where to mount, and each root: its directory, or the settings of a bucket as JSON.
"""

from __future__ import annotations

import asyncio
import ctypes
import datetime as dt
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from lakewatchd.buckets.cache import ObjectCache
from lakewatchd.buckets.client import Bucket
from lakewatchd.buckets.reader import Objects
from lakewatchd.config import BucketConfig, ObjectsConfig, RootConfig, ViewConfig
from lakewatchd.core.asset import Kind, PathKey, Tag, Version, text_path
from lakewatchd.core.found import Found, Hit, Piece, Query, Reason
from lakewatchd.errors import LakewatchError, ServiceAway
from lakewatchd.lake.reader import Changes
from lakewatchd.lake.rows import GoldRow, OccurrenceRow, Presence
from lakewatchd.views.mounted.mount import serve
from lakewatchd.views.mounted.objects import Buckets


def occurrence(line: dict[str, object]) -> OccurrenceRow:
    return OccurrenceRow(
        key=PathKey(str(line["root"]), text_path(str(line["path"]))),
        asset_id=str(line["asset"]),
        kind=Kind.IMAGE,
        mime="image/jpeg",
        version=Version(int(str(line["size"])), int(str(line["mtime_ns"])), 1, etag=str(line.get("etag", ""))),
        presence=Presence(line["presence"]),
        first_seen=float(str(line["first_seen"])),
        last_seen=0.0,
    )


def gold(line: dict[str, object]) -> GoldRow:
    tags = line["tags"]
    assert isinstance(tags, list)
    return GoldRow(
        asset_id=str(line["asset"]),
        kind=Kind(line.get("kind", "image")),
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


class Script:
    """A server that answers as a file says: ``{text or asset id: {"hits": [asset ids], "error": "why"}}``, or with
    ``"waits": true`` as soon as the file says something else. It notes what it was asked beside it."""

    def __init__(self, answers: Path) -> None:
        self._answers = answers

    async def find(self, query: Query) -> Found:
        asked = query.text or query.like
        with self._answers.with_suffix(".asked").open("a") as note:
            note.write(json.dumps(asked) + "\n")
        while (said := json.loads(self._answers.read_text()).get(asked, {})).get("waits"):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        if "error" in said:
            raise ServiceAway(said["error"], "start it")
        hits = [hit(asset, 1 / (rank + 1)) for rank, asset in enumerate(said.get("hits", ()))]
        return Found(tuple(hits), advice=tuple(said.get("advice", ())), is_partial=tuple(said.get("is_partial", ())))

    async def status(self) -> dict[str, object]:
        return {"headline": "all is well"}


def hit(asset: str, score: float) -> Hit:
    piece = Piece(1, "clip", start_s=12.5, end_s=20.0, snippet="a \x02red\x03 car")
    return Hit(asset, score, Kind.VIDEO, "", "", "", piece=piece, reasons=(Reason("picture", 1, 0.5),))


class LogFeed:
    def __init__(self, log: Path) -> None:
        self._log = log

    async def changes(self, revision: int) -> AsyncIterator[Changes]:
        written, _, _ = self._log.read_text().rpartition("\n")  # its last line may be on its way
        lines = [json.loads(line) for line in written.splitlines()[revision:]]
        yield Changes(
            revision=revision + len(lines),
            is_full=revision == 0,
            occurrences=tuple({row.key: row for row in map(occurrence, (x for x in lines if "path" in x))}.values()),
            gold=tuple({row.asset_id: row for row in map(gold, (x for x in lines if "tags" in x))}.values()),
        )


def mounted() -> None:
    if "PLAIN" in os.environ:
        give_up_admin()
    print("mounted", flush=True)


def give_up_admin() -> None:
    """Of root's rights the one by which originals may be passed on to the kernel: who is not root has none of them."""
    kernel, header, sets = (
        ctypes.CDLL(None, use_errno=True),
        (ctypes.c_uint32 * 2)(0x20080522, 0),
        (ctypes.c_uint32 * 6)(),
    )
    assert kernel.capget(header, sets) == 0
    for effective_or_permitted in (0, 1):
        sets[effective_or_permitted] &= ~(1 << 21)
    assert kernel.capset(header, sets) == 0, os.strerror(ctypes.get_errno())


def main() -> int:
    log, mountpoint, *given = sys.argv[1:]
    view = ViewConfig(mountpoint=Path(mountpoint), refresh_s=0.2)
    roots = [RootConfig(Path(root).name, Path(root)) for root in given if not root.startswith("{")]
    settings = [BucketConfig(**json.loads(root)) for root in given if root.startswith("{")]
    objects = ObjectsConfig(timeout_s=float(os.environ["TIMEOUT_S"]))
    readers = {root.name: Bucket(root, objects) for root in settings}
    cache = ObjectCache(Path(log).parent / "objects", 64 << 20) if settings else None
    buckets = Buckets({root.name: root for root in settings}, Objects(readers, cache, objects))
    feed = LogFeed(Path(log))
    answers = Path(log).with_name("answers")
    server = Script(answers) if answers.exists() else None
    try:
        asyncio.run(serve(feed, view, roots, mounted, buckets=buckets, server=server))
    except LakewatchError as exc:
        print(f"{exc.message} | {exc.hint}", flush=True)
        return exc.exit_code
    finally:
        buckets.objects.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
