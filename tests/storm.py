"""A storm over one bucket: thousands of objects come, change and go while it is listed, and all ways in tell of it.

    python -m tests.storm [--objects 4000] [--putters 4]

The gateway (MinIO's server code) tells who listens and posts at the door; records of the same kind come by MQTT. It
is killed and started again in the middle of it, and so is the broker, and then the daemon. In the end the lake has to
hold what the bucket holds, each of it once, and nothing else. Prints what each process needed on the way; exit 1 when
something is missing, doubled, left over or parked. Takes a quarter of an hour where nothing else runs.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import json
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from urllib.parse import quote_plus

import psutil
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from lakewatchd.lake.reader import LakeReader
from lakewatchd.lake.rows import Presence
from lakewatchd.testing import LiveDaemon, wait_until
from tests.buckets import Burst, root_of, subscribe
from tests.crash.subject import CHECKOUT, WITHOUT_MODELS
from tests.servers import Broker, Hook, S3Server, free_ports, juicefs_gateway, mosquitto

ROOT, BUCKET, TOPIC, TOKEN = "photos", "storm", "minio/photos", "a-token-for-the-storm"
AWAY_S = 3.0
"""For how long what was killed is missed."""
ROUND_S = 5.0


class Storm(Burst):
    """What was done to an object is told by MQTT, too."""

    def __init__(self, server: S3Server, broker: Broker, parts: int, keys: int) -> None:
        super().__init__(server, BUCKET, parts=parts, keys=keys)
        self._teller = Client(CallbackAPIVersion.VERSION2)
        self._teller.max_queued_messages_set(0)
        self._teller.connect(broker.host, broker.port)
        self._teller.loop_start()

    def _do(self, method: str, key: str, content: str) -> None:
        super()._do(method, key, content)
        name = "ObjectCreated:Put" if method == "PUT" else "ObjectRemoved:Delete"
        thing = {"key": quote_plus(key), "sequencer": f"{time.time_ns():016X}"}
        record = {"eventName": f"s3:{name}", "s3": {"bucket": {"name": BUCKET}, "object": thing}}
        self._teller.publish(TOPIC, json.dumps({"Records": [record]}), qos=1)

    def close(self) -> None:
        self._teller.disconnect()
        self._teller.loop_stop()


def daemon_of(place: Path, server: S3Server, broker: Broker, port: int) -> LiveDaemon:
    (place / "nas").mkdir(parents=True)
    root = f'[[root]]\nname = "{ROOT}"\nbucket = "{BUCKET}"\nendpoint = "{server.endpoint}"\n'
    root += f'access_key = "{server.access_key}"\nsecret_key = "{server.secret_key}"\n'
    root += f'webhook_token = "{TOKEN}"\nmqtt = "{broker.url(TOPIC)}"\n'
    web = f'[web]\nlisten = "127.0.0.1:{port}"\n[search]\nwarm = false\n'
    live = LiveDaemon(place / "d", place / "nas", settings=f"{root}{WITHOUT_MODELS}{web}")
    live.environment = {"PYTHONPATH": str(CHECKOUT)}
    return live


class Witness:
    """Notes every few seconds what the daemon and its children hold in memory."""

    def __init__(self, live: LiveDaemon, storm: Storm) -> None:
        self._live, self._storm = live, storm
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._began = time.monotonic()
        self._thread.start()

    def close(self) -> None:
        self._is_over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._is_over.wait(ROUND_S):
            process = self._live.process
            if process is None or process.poll() is not None:
                continue
            try:
                us = psutil.Process(process.pid)
                megabytes = [one.memory_info().rss >> 20 for one in (us, *us.children())]
            except psutil.Error:  # it died just now
                continue
            took = time.monotonic() - self._began
            print(f"{took:6.0f} s  {self._storm.done:6} done  MB: {' '.join(map(str, megabytes))}", flush=True)


async def found(lake: Path) -> tuple[collections.Counter[str], collections.Counter[str]]:
    """How often each path, and each asset that is served, stands in the lake."""
    with closing(LakeReader(lake)) as reader:
        rows = [row async for row in reader.all_occurrences() if row.presence is Presence.PRESENT]
        gold = collections.Counter([row.asset_id async for row in reader.all_gold()])
    if {row.asset_id for row in rows} != set(gold):
        sys.exit("what is served is not what lies there")
    return collections.Counter(f"{row.key.path} {row.version.etag}" for row in rows), gold


def examine(live: LiveDaemon, server: S3Server) -> None:
    listed = server.client().list_objects(BUCKET, recursive=True)
    wanted = {f"{item.object_name} {(item.etag or '').strip(chr(34))}" for item in listed}
    paths, gold = asyncio.run(found(live.state / "lake"))
    doubled = [name for name, times in (*paths.items(), *gold.items()) if times > 1]
    parked = live.ask("queue_list", parked=True, limit=10)["items"]
    print(f"{len(wanted)} objects, {len(paths)} in the lake, {len(gold)} served")
    if doubled or parked or set(paths) != wanted:
        lacks, has = sorted(wanted - set(paths))[:5], sorted(set(paths) - wanted)[:5]
        sys.exit(f"missing {lacks}, left over {has}, doubled {doubled[:5]}, parked {parked[:5]}")


def play(place: Path, objects: int, putters: int) -> None:
    with ExitStack() as running:
        (port,) = free_ports(1)
        hook = Hook(f"http://127.0.0.1:{port}/events/{ROOT}", TOKEN, place / "spool")
        server = running.enter_context(juicefs_gateway(place / "gateway", webhook=hook))
        server.make_bucket(BUCKET)
        subscribe(server, BUCKET, hook.arn)
        broker = running.enter_context(mosquitto(place / "broker", options=["autosave_on_changes false"]))
        live = running.enter_context(daemon_of(place / "site", server, broker, port))
        storm = running.enter_context(closing(Storm(server, broker, putters, objects // putters)))
        running.enter_context(closing(Witness(live, storm)))
        steps = objects * 29 // 20  # a quarter is put again, a fifth is deleted
        with storm:
            for share, victim in ((0.3, server), (0.5, broker), (0.7, live)):
                wait_until(lambda share=share: storm.done > share * steps, 3600, "the storm goes on")
                print(f"killed: {type(victim).__name__}", flush=True)
                victim.kill()
                time.sleep(AWAY_S)
                victim.start()
        print("all is put", flush=True)
        live.ask("wait_idle", timeout_s=3600)
        print(json.dumps(root_of(live)["ways"], indent=1))
        examine(live, server)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=4000)
    parser.add_argument("--putters", type=int, default=4)
    chosen = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="lakewatchd-storm-") as place:
        play(Path(place), chosen.objects, chosen.putters)


if __name__ == "__main__":
    main()
