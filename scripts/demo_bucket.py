"""A bucket as a root, the whole of it on one machine: put, read, overwrite, copy and delete, and see the view follow.

Run by ``scripts/demo-bucket``, which sets up what this needs. The server of S3 is JuiceFS's gateway, which is MinIO's
own code; it tells of changes in all three ways: by its stream, by a webhook to the daemon, and through a broker. It has
no MQTT target of its own (MinIO has): :class:`Bridge` publishes what a second webhook posts, byte for byte.

What is claimed is asked of the view alone, byte by byte; the next listing is an hour away, so events did it.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import hashlib
import io
import random
import secrets
import shlex
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import quickstart
from sample import assemble

from bench.common import photos
from lakewatchd import config as configs
from lakewatchd.cli import backend
from lakewatchd.cli.main import main as lakewatchd
from lakewatchd.cli.output import console, progress_bar, say, show_error
from lakewatchd.cli.render import status_view
from lakewatchd.config import Config
from lakewatchd.core.status import RootView
from lakewatchd.errors import AlreadyRunning, LakewatchError
from tests.servers import Broker, Hook, S3Server, free_ports, juicefs_gateway, mosquitto

if TYPE_CHECKING:
    from minio import Minio

CHECKOUT = Path(__file__).resolve().parents[1]
NAME = "photos"
"""Of the root and of the bucket."""
TOPIC = "minio/photos"
FOLLOW_S = 900.0
"""How long the view may take to show everything that was put. A small machine that has other work needs minutes."""
CHANGE_S = 120.0
"""The same for one change."""
PUTTERS = 4
TEXT_BYTES = 3000
TURNS = 3
"""How often each kind of change is made and timed."""

ODD = (
    "Größe/Übermut & 100%+.txt",
    "line\nbreak.txt",
    "quote ' and \".txt",
    "back\\slash.txt",
    "why? [*].txt",
    "n" * 200 + ".txt",
)
"""Keys as people and programs make them, some of them to hurt."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/demo-bucket", description=__doc__)
    parser.add_argument("--once", action="store_true", help="show it, stop everything, end")
    parser.add_argument("--objects", type=int, default=200, metavar="N", help="how many to put (default: 200)")
    parser.add_argument("--place", type=Path, default=CHECKOUT / ".demo-bucket", help="where to keep everything")
    args = parser.parse_args()
    for asked_to_stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(asked_to_stop, signal.default_int_handler)
    try:
        with laid_out(args.place.absolute()) as demo:
            quickstart.fetch_models(demo.config)
            return show(demo, objects(demo.place, args.objects), once=args.once)
    except LakewatchError as error:
        show_error(error)
        return error.exit_code
    except KeyboardInterrupt:
        print(file=sys.stderr)
        say("stopped")
        return 0


@dataclass(frozen=True, slots=True)
class Demo:
    """What runs on this machine: a server with a bucket, a broker, and the configuration of daemon and view."""

    place: Path
    sdk: Minio
    config: Config

    def shown(self, key: str) -> Path:
        """An object in the view. Keys that are paths are shown as they are."""
        return self.config.view.mountpoint / "by-root" / NAME / key

    @property
    def by_tag(self) -> Path:
        return self.config.view.mountpoint / "by-tag"


def show(demo: Demo, contents: Mapping[str, bytes], *, once: bool) -> int:
    config = demo.config
    with quickstart.daemon(config) as indexer, quickstart.view(config, keep=False) as viewer:
        quickstart.wait_ready(config, "run", indexer, lambda: quickstart.answers(config))
        quickstart.wait_ready(config, "mount", viewer, lambda: quickstart.is_shown(config))
        wait_connected(config)
        put_all(demo, contents)
        shown = functools.partial(is_all_shown, demo, contents)
        say_done(
            f"put {len(contents)} objects: all below by-root/ and by-tag/, same bytes",
            seconds_until(config, shown, FOLLOW_S),
        )
        change(demo, list(contents))
        told(config, len(contents) + 3 * TURNS)
        console().print(status_view(backend.live_status(config)))
        if not once:
            quickstart.where_to_look(config)
            how_to_go_on(demo)
            return quickstart.watch(config, indexer)
    return 0


# --- what runs ---------------------------------------------------------------------------------------------


@contextlib.contextmanager
def laid_out(place: Path) -> Iterator[Demo]:
    """Server, broker and bridge run; the bucket is there and tells of changes. Daemon and view are not started."""
    file = place / "lakewatchd.toml"
    if file.exists() and quickstart.answers(configs.load(file)):
        raise AlreadyRunning(f"a demo is running in {place}", "end it with Ctrl-C, or choose another --place")
    for old in ("gateway", "broker", "state", "run", "undelivered"):
        shutil.rmtree(place / old, ignore_errors=True)
    for new in ("state", "run", "lake"):
        with contextlib.suppress(OSError):  # a mount whose view was killed: `lakewatchd mount` mends that
            (place / new).mkdir(parents=True, exist_ok=True)
    token, (port,) = secrets.token_hex(16), free_ports(1)
    with contextlib.ExitStack() as running:
        broker = running.enter_context(mosquitto(place / "broker", options=["max_inflight_messages 1000"]))
        bridge = running.enter_context(Bridge(broker))
        hook = Hook(f"http://127.0.0.1:{port}/events/{NAME}", token, place / "undelivered")
        gateway = juicefs_gateway(place / "gateway", webhook=hook)
        gateway.environ = {**gateway.environ, **bridge.environ}
        server = running.enter_context(gateway)
        server.make_bucket(NAME)
        file.touch(mode=0o600)  # it holds secrets
        file.write_text(configuration(place, server, broker, token, port), encoding="utf-8")
        config = configs.load(file)
        subscribe(server, config)
        print(f"server: {server.endpoint}, JuiceFS's gateway, which is MinIO's code")
        print(f"broker: {broker.url(TOPIC)}, Mosquitto; a bridge publishes there what the server posts")
        yield Demo(place, server.client(), config)


def configuration(place: Path, server: S3Server, broker: Broker, token: str, port: int) -> str:
    return f"""\
# Written by scripts/demo-bucket. A bucket, and all three ways in which it tells of changes; one would do.
[[root]]
name = "{NAME}"
bucket = "{NAME}"
endpoint = "{server.endpoint}"
access_key = "{server.access_key}"
secret_key = "{server.secret_key}"
listen = true
mqtt = "{broker.url(TOPIC)}"
webhook_token = "{token}"

[web]
listen = "127.0.0.1:{port}"

[duplicates]
near = false    # licences are nearly the same text: of each group by-tag/ would show the best one only

[daemon]
state_dir = "{place}/state"
runtime_dir = "{place}/run"

[view]
mountpoint = "{place}/lake"
"""


def subscribe(server: S3Server, config: Config) -> None:
    """Have the bucket tell the bridge and, by the command that does it for anybody, the daemon's webhook."""
    from minio.notificationconfig import NotificationConfig, QueueConfig

    events = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]
    rule = QueueConfig(events, queue=Bridge.arn)
    server.client().set_bucket_notification(NAME, NotificationConfig(queue_config_list=[rule]))
    command = ["--config", str(config.source), "bucket", "setup", NAME, "--via", "webhook", "--target", "PRIMARY"]
    with contextlib.redirect_stdout(io.StringIO()) as told:
        if lakewatchd([*command, "--apply"]):
            raise LakewatchError(told.getvalue(), f"see {server.log}")


class Bridge(ThreadingHTTPServer):
    """Stands for MinIO's MQTT target: publishes what is posted, and says 200 when the broker has it."""

    arn = "arn:minio:sqs::BRIDGE:webhook"
    daemon_threads = True

    def __init__(self, broker: Broker) -> None:
        from paho.mqtt.client import CallbackAPIVersion, Client

        super().__init__(("127.0.0.1", 0), Post)
        self.mqtt = Client(CallbackAPIVersion.VERSION2)
        self.mqtt.connect(broker.host, broker.port)

    @property
    def environ(self) -> dict[str, str]:
        """What makes a server post here."""
        target = "MINIO_NOTIFY_WEBHOOK_{}_BRIDGE".format
        return {target("ENABLE"): "on", target("ENDPOINT"): f"http://127.0.0.1:{self.server_port}/"}

    def __enter__(self) -> Bridge:
        self.mqtt.loop_start()
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()
        self.mqtt.loop_stop()


class Post(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Bridge

    def do_POST(self) -> None:
        if body := self.rfile.read(int(self.headers.get("Content-Length", 0))):
            self.server.mqtt.publish(TOPIC, body, qos=1).wait_for_publish(10)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Silent."""


def wait_connected(config: Config) -> None:
    """Until each way is there. What is put earlier would be found by the rescan at the start."""

    def is_ready() -> bool:
        root = root_of(config)
        return root.last_scan is not None and all(way.is_connected for way in root.ways)

    seconds_until(config, is_ready, FOLLOW_S)


def told(config: Config, events: int) -> None:
    """Wait for the last of the ways, and say what each was told."""
    seconds_until(config, lambda: all(way.received >= events for way in root_of(config).ways), CHANGE_S)
    print(f"told by {', '.join(f'{way.name} {way.received:,}' for way in root_of(config).ways)}\n")


def root_of(config: Config) -> RootView:
    return backend.live_status(config).roots[0]


# --- objects -----------------------------------------------------------------------------------------------


def objects(place: Path, count: int) -> dict[str, bytes]:
    """So many real photos and texts by their keys, no two of the same content."""
    sample = place / "sample"
    assemble(sample)
    files = [path for path in sorted(sample.rglob("*")) if path.is_file() and is_short(path)]
    licences = [path for path in sorted(Path("/usr/share/doc").glob("*/copyright")) if is_short(path)]
    random.Random(1).shuffle(files)
    found = [(key, f"{key}\n".encode()) for key in ODD]
    found += [(path.relative_to(sample).as_posix(), path.read_bytes()) for path in files[: count // 3]]
    found += [(f"Licences/{path.parent.name}.txt", path.read_bytes()) for path in licences[: count // 8]]
    distinct = {digest(content): (key, content) for key, content in found}
    chosen = dict(list(distinct.values())[:count])
    for number, photo in enumerate(photos(count - len(chosen), seed=4)):
        chosen[f"Camera/2026/IMG_{number:04}.jpg"] = photo
    return chosen


def is_short(path: Path) -> bool:
    """A long text is a hundred passages for a model: worth it, but not while somebody waits."""
    return path.suffix in (".jpg", ".png") or path.stat().st_size < TEXT_BYTES


def put(demo: Demo, key: str, content: bytes) -> None:
    """With a tag of the object, which becomes a tag here: each is in ``by-tag/``, also where a model sees nothing."""
    from minio.commonconfig import Tags

    tags = Tags.new_object_tags()
    tags["folder"] = key.partition("/")[0] if "/" in key else "top"
    demo.sdk.put_object(NAME, key, io.BytesIO(content), len(content), tags=tags)


def put_all(demo: Demo, contents: Mapping[str, bytes]) -> None:
    with ThreadPoolExecutor(PUTTERS) as pool, progress_bar("putting objects") as update:
        for number, _ in enumerate(pool.map(functools.partial(put, demo), contents, contents.values()), 1):
            update(number, len(contents), "")


# --- what the view shows -----------------------------------------------------------------------------------


def is_all_shown(demo: Demo, contents: Mapping[str, bytes]) -> bool:
    """Every object under its key, and once in the folder of its tag; and nothing else there."""
    if not all(demo.shown(key).exists() for key in contents):
        return False
    tagged = [path for folder in demo.by_tag.glob("folder=*") for path in folder.iterdir() if path.is_file()]
    if len(tagged) < len(contents):
        return False
    for key, content in contents.items():
        if demo.shown(key).read_bytes() != content:
            raise LakewatchError(f"{demo.shown(key)} is not what was put")
    return sorted(digest(path.read_bytes()) for path in tagged) == sorted(map(digest, contents.values()))


def digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def change(demo: Demo, keys: Sequence[str]) -> None:
    """Overwrite, copy and delete some; how soon the view shows it."""
    from minio.commonconfig import CopySource

    def overwrite(key: str, number: int) -> Callable[[], bool]:
        content = f"overwritten, turn {number}\n".encode()
        put(demo, key, content)
        return lambda: demo.shown(key).read_bytes() == content

    def copy(key: str, number: int) -> Callable[[], bool]:
        demo.sdk.copy_object(NAME, target := f"Copies/{number}.bin", CopySource(NAME, key))
        return lambda: demo.shown(target).exists() and demo.shown(target).read_bytes() == demo.shown(key).read_bytes()

    def delete(key: str, number: int) -> Callable[[], bool]:
        demo.sdk.remove_object(NAME, key)
        return lambda: not demo.shown(key).exists()

    for number, (what, make) in enumerate((("overwrote", overwrite), ("copied", copy), ("deleted", delete))):
        took = [
            seconds_until(demo.config, make(key, turn), CHANGE_S) for turn, key in enumerate(keys[number::3][:TURNS])
        ]
        say_done(f"{what} {TURNS}, one by one: the view follows", max(took))


def seconds_until(config: Config, is_so: Callable[[], bool], limit_s: float) -> float:
    """Says meanwhile what the daemon is at. Raises ``LakewatchError`` when it takes longer than ``limit_s``."""
    begun = told = time.monotonic()
    with progress_bar("waiting for the view") as update:
        while not is_so():
            now = time.monotonic()
            if now > begun + limit_s:
                raise LakewatchError(
                    f"the view did not follow within {limit_s:g} s", f"see the logs in {config.daemon.runtime_dir}"
                )
            if now > told + 1:
                update(0, None, backend.status_or_files(config).headline)
                told = now
            time.sleep(0.02)
    return time.monotonic() - begun


def say_done(what: str, seconds: float) -> None:
    print(f"{what}{' ' * max(1, 64 - len(what))}{seconds:6.2f} s", flush=True)


def how_to_go_on(demo: Demo) -> None:
    command = f"{shlex.quote(str(CHECKOUT / '.venv/bin/lakewatchd'))} --config {shlex.quote(str(demo.config.source))}"
    print(f"  {command} check --write-probe")
    print(f"  {command} explain s3://{NAME}/KEY")
    print(f"\nPut, change and delete objects by any client of S3 ({demo.config.source} has address and keys) and watch")
    print("them appear. Ctrl-C stops everything.", flush=True)


if __name__ == "__main__":
    sys.exit(main())
