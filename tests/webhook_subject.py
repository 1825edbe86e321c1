"""A daemon's half of the HTTP door in a process to be killed: ``python -m tests.webhook_subject LISTEN FILE [stall]``.

It makes each event durable as a line of FILE. With ``stall`` it never says so, as a daemon does that is killed between
the two.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from lakewatchd.buckets.records import Notice
from lakewatchd.config import BucketConfig, Config, WebConfig, defaults
from lakewatchd.core.clock import SystemClock
from lakewatchd.daemon.web import Web
from lakewatchd.sources.bucket.ways.webhook import Webhook

TOKEN = "a-token-for-the-tests"


def settings(listen: str = "127.0.0.1:0", **web: int) -> Config:
    """Three buckets with a token, two of them of one server, and one of that server without. Nothing but events."""
    buckets = (
        BucketConfig("photos", "photos", "http://nas:9000", webhook_token=TOKEN),
        BucketConfig("films", "films", "http://nas:9000/", prefix="family/", webhook_token=TOKEN[::-1]),
        BucketConfig("papers", "papers", "http://nas:9000"),
        BucketConfig("elsewhere", "elsewhere", "http://other:9000", webhook_token=TOKEN),
    )
    return dataclasses.replace(defaults(), buckets=buckets, web=WebConfig(enabled=False, listen=listen, **web))


def main() -> None:
    listen, file, *stall = sys.argv[1:]
    asyncio.run(run(settings(listen), Path(file), is_stalling=bool(stall)))


async def run(config: Config, file: Path, *, is_stalling: bool) -> None:
    web = Web(config, SystemClock())

    async def deliver(notices: Sequence[Notice]) -> None:
        with file.open("a", encoding="utf-8", errors="surrogateescape") as stream:
            stream.writelines(f"{notice.key}\n" for notice in notices)
            stream.flush()
            os.fsync(stream.fileno())
        if is_stalling:
            await asyncio.get_running_loop().create_future()

    webhook = Webhook(config.buckets[0], deliver, lambda why: None, web, SystemClock())
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(web.run())
        tasks.create_task(webhook.run())


if __name__ == "__main__":
    main()
