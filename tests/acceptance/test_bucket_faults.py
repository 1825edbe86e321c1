"""What a bucket's network, server, broker and daemon die of, on real ones: nothing is missing, nothing is done twice.

``python -m tests.buckets`` is the fault that takes minutes.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote_plus

import psutil
import pytest
from paho.mqtt.publish import multiple

from lakewatchd.testing import wait_until
from tests.buckets import (
    Burst,
    cut_in_the_middle,
    daemon,
    decodes,
    put,
    require_fresh,
    root_of,
    strike,
    subscribe,
    wait_connected,
    way_of,
)
from tests.servers import Hook, S3Server, free_ports, juicefs_gateway, mosquitto

TOKEN = "a-token-for-the-tests"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def test_a_burst_in_which_the_server_and_two_daemons_are_killed(tmp_path: Path) -> None:
    """The first daemon dies when it was told and nothing is durable, the second when that is and nobody knows."""
    (port,), spool = free_ports(1), tmp_path / "spool"
    hook = Hook(f"http://127.0.0.1:{port}/events/photos", TOKEN, spool)
    with juicefs_gateway(tmp_path / "gateway", webhook=hook) as server:
        subscribe(server, bucket := server.make_bucket(), hook.arn)
        live = daemon(
            tmp_path / "site",
            server,
            bucket,
            root=f'webhook_token = "{TOKEN}"',
            more=f'[web]\nlisten = "127.0.0.1:{port}"\n',
        )
        armed = tmp_path / "armed"
        strike(live, "--at", "put.before", "--hit", "4", "--armed", str(armed))
        live.start()
        wait_connected(live)
        armed.touch()
        assert live.process is not None
        with Burst(server, bucket) as burst:
            assert live.process.wait(120) == -signal.SIGKILL, live.log
            strike(live, "--at", "put.after", "--hit", "4")
            live.start(wait=False)
            server.restart()
            assert live.process.wait(120) == -signal.SIGKILL, live.log
        strike(live)
        with live:
            wait_until(lambda: not [path for path in spool.rglob("*") if path.is_file()], 60, "all is delivered")
            require_fresh(live, server, bucket, burst.files)
            assert way_of(live)["received"] > 0


def message(bucket: str, key: str, name: str, sequencer: int) -> bytes:
    thing = {"key": quote_plus(key), "sequencer": f"{sequencer:016X}"}
    record = {"eventName": f"s3:{name}", "s3": {"bucket": {"name": bucket}, "object": thing}}
    return json.dumps({"Records": [record]}).encode()


@pytest.mark.long
def test_a_broker_killed_with_a_thousand_messages_doubled_reversed_and_forged(
    tmp_path: Path, gateway: S3Server
) -> None:
    """None is acknowledged: the daemon is frozen. What they lead to is what is in the bucket, each object read once."""
    bucket, objects = gateway.make_bucket(), 50
    with mosquitto(tmp_path / "broker", options=["autosave_interval 1000000"]) as broker:
        live = daemon(tmp_path / "site", gateway, bucket, root=f'mqtt = "{broker.url("minio/photos")}"')
        with live:
            wait_connected(live)
            assert live.process is not None
            live.process.send_signal(signal.SIGSTOP)
            for number in range(objects):
                put(gateway, bucket, f"{number} ü.txt", f"number {number}")
            told = [
                message(bucket, f"{number % (objects + 10)} ü.txt", name, 5000 - number // 2)
                for number, name in enumerate(("ObjectCreated:Put", "ObjectRemoved:Delete") * 500)
            ]
            random.Random(1).shuffle(told)
            multiple([{"topic": "minio/photos", "payload": one, "qos": 1} for one in told], broker.host, broker.port)
            os.kill(broker.pid, signal.SIGUSR1)  # it writes its file
            wait_until((tmp_path / "broker" / "db" / "mosquitto.db").exists)
            broker.restart()
            live.process.send_signal(signal.SIGCONT)
            wait_until(lambda: way_of(live)["received"] >= 1000, 60, "all have come")
            require_fresh(live, gateway, bucket, objects)
            way = way_of(live)
            assert way["reconnects"] >= 1 and way["reordered"] > 0 and way["bad"] == way["foreign"] == 0
        assert set(decodes(live).values()) == {1} and len(decodes(live)) == objects


def test_a_flood_of_junk_in_which_some_say_the_truth(tmp_path: Path, gateway: S3Server) -> None:
    bucket, objects, largest = gateway.make_bucket("photos"), 30, 0
    web = '[web]\nlisten = "127.0.0.1:0"\n[search]\nwarm = false\n'  # what search needs would come in the middle
    live = daemon(tmp_path / "site", gateway, bucket, root=f'webhook_token = "{TOKEN}"', more=web)
    with live:
        wait_connected(live)
        scanned = root_of(live)["last_scan"]
        for number in range(objects):
            put(gateway, bucket, f"right-{number}", f"number {number}")
        address = way_of(live)["detail"].split("/")[2]
        argv = [sys.executable, "-m", "tests.http_flood", address, TOKEN, "10000", "2", "1001"]
        daemons = psutil.Process(live.process.pid if live.process else 0)
        (door,) = [child for child in daemons.children() if "lakewatchd.web.child_main" in child.cmdline()]
        before, door_before = daemons.memory_info().rss, door.memory_info().rss
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as flood:
            while flood.poll() is None:
                largest = max(largest, door.memory_info().rss)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    flood.wait(0.1)
            assert flood.stdout is not None
            sent = json.loads(flood.stdout.read())
        assert sent["junk"] > 1000 and sent["right_answers"] == {"200": sent["right"]} and sent["right"] > 0
        assert set(sent["answers"]) <= {"400", "401", "404", "405", "413", "415", "421", "429"}
        true = min(objects, sent["right"])
        wait_until(lambda: root_of(live)["files"] == true, 60, "what was true is indexed")
        assert root_of(live)["last_scan"] == scanned, "by events alone"
        assert largest < door_before + (100 << 20) and daemons.memory_info().rss < before + (150 << 20)


@pytest.mark.long
@pytest.mark.fuse
@pytest.mark.mounts
@pytest.mark.skipif(not Path("/dev/fuse").exists(), reason="needs /dev/fuse")
def test_the_network_goes_away_in_the_middle_of_an_object(tmp_path: Path) -> None:
    cut_in_the_middle(tmp_path, megabytes=64, seconds=5.0)
