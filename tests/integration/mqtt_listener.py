"""Listens to a broker and appends the keys it hears of to a file, durably; killed at a moment, or ends when it has 50.

mqtt_listener.py URL FILE delivering|durable|never
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from lakewatchd.buckets.records import Notice
from lakewatchd.config import BucketConfig
from lakewatchd.core.clock import SystemClock
from lakewatchd.sources.bucket.ways.mqtt import Mqtt


async def main(url: str, heard: Path, moment: str) -> None:
    settings = BucketConfig(name="cloud", bucket="photos", endpoint="http://127.0.0.1:1", mqtt=url)
    identity = url.split("/", 3)[3].replace("/", "-")
    enough, count = asyncio.Event(), 0

    async def deliver(notices: Sequence[Notice]) -> None:
        nonlocal count
        with heard.open("a") as file:
            if moment == "delivering":
                os.kill(os.getpid(), signal.SIGKILL)
            file.writelines(notice.key + "\n" for notice in notices)
            file.flush()
            os.fsync(file.fileno())
            if moment == "durable":
                os.kill(os.getpid(), signal.SIGKILL)
        count += len(notices)
        if count >= 50:
            enough.set()

    task = asyncio.create_task(Mqtt(settings, deliver, lambda reason: None, SystemClock(), identity).run())
    await enough.wait()
    task.cancel()
    await asyncio.wait([task])


asyncio.run(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3]))
