"""``lakewatchd bucket`` and ``lakewatchd check`` with real servers: what is shown works, and shows no secret."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import servers
from minio.notificationconfig import NotificationConfig, QueueConfig, SuffixFilterRule
from servers import Hook, S3Server

from lakewatchd.buckets import notifications
from lakewatchd.buckets.client import Bucket
from lakewatchd.buckets.notifications import EVENTS, Rule, target_of
from lakewatchd.cli import bucket_checks
from lakewatchd.cli.checks import Finding, Level
from lakewatchd.cli.main import main
from lakewatchd.config import BucketConfig, Config, DaemonConfig, ObjectsConfig, WebConfig, load
from lakewatchd.errors import ConfigError, LakewatchError
from lakewatchd.testing import LiveDaemon, wait_until

TOKEN = "hush-hush-hush-hush"
PLAIN = BucketConfig("my-photos", "photos", "http://nas:9000", webhook_token=TOKEN)


def toml(root: BucketConfig) -> str:
    keys = {item.name: getattr(root, item.name) for item in dataclasses.fields(root)}
    lines = [f"{key} = {json.dumps(value)}" for key, value in keys.items() if value not in ("", None)]
    return "\n".join(["[[root]]", *lines, ""])


def write(path: Path, root: BucketConfig) -> list[str]:
    """A configuration with that root; the words that make a command use it."""
    own = f'state_dir = "{path}/state"\nruntime_dir = "{path}/run"'
    (path / "c.toml").write_text(toml(root) + "\n".join(["[daemon]", own, "[view]", f'mountpoint = "{path}/view"', ""]))
    (path / "c.toml").chmod(0o600)
    return ["--config", str(path / "c.toml")]


@pytest.mark.long
def test_the_environment_that_is_shown_is_what_a_server_needs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Take it from the command, start a server with it, apply: a probe sees an event arrive."""
    monkeypatch.setattr(bucket_checks, "ARRIVE_S", 60.0)
    place, (port,) = tmp_path / "gateway", servers.free_ports(1)
    daemon = LiveDaemon(tmp_path / "daemon", tmp_path / "files")
    daemon.root.mkdir()

    def setup(*words: str) -> tuple[int, str]:
        code = main(["--config", str(daemon.config), "bucket", "setup", "photos", *words])
        return code, capsys.readouterr().out

    with servers.juicefs_gateway(place) as before:
        root = before.settings(before.make_bucket("photos"), webhook_token=TOKEN, listen=False, prefix="2024/")
        daemon.settings = f'[web]\nlisten = "127.0.0.1:{port}"\n' + toml(root)
        daemon.write_config()
        (way,) = json.loads(setup("--json")[1])["ways"]
        assert way["is_set"] is False and TOKEN not in json.dumps(way)
        code, told = setup("--apply")
        assert code == 1 and "fix: set it up there" in told
        assert "the server knows no target arn:minio:sqs::PHOTOS:webhook" in told
    environ = {key: value.replace("<webhook_token>", TOKEN) for key, value in way["environment"]}
    environ["MINIO_NOTIFY_WEBHOOK_QUEUE_DIR_PHOTOS"] = str(tmp_path / "queue")
    server = servers.juicefs_gateway(place)
    server.environ = {**server.environ, **environ}
    daemon.settings = daemon.settings.replace(before.endpoint, server.endpoint)
    told = ""

    def is_applied() -> bool:
        nonlocal told
        code, told = setup("--apply")
        return code == 0

    with (
        daemon,
        server,
    ):  # in this order: a server that finds nobody it can speak to leaves a target out until it restarts
        with contextlib.suppress(AssertionError):  # the server has to read its targets first
            wait_until(is_applied)
        assert "set now" in told or "is set" in told, told
        assert "is set" in setup("--apply")[1]
        found = findings(load(daemon.config), write_probe=True)
        assert found["bucket photos webhook"].text == "the bucket has a rule for it"
        assert found["bucket photos webhook probe"].text.startswith("an event arrived after ")
        assert list(Bucket(server.settings("photos"), ObjectsConfig()).pages()) == [], "the probe is gone"


@pytest.fixture(scope="module")
def hooked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A gateway with a target that nobody answers, kept in a queue."""
    place = tmp_path_factory.mktemp("hooked")
    hook = Hook("http://127.0.0.1:9/events/x", TOKEN, place / "queue")
    with servers.juicefs_gateway(place, webhook=hook) as server:
        yield server


def test_rules_of_others_stay(hooked: S3Server) -> None:
    name, sdk = hooked.make_bucket(), hooked.client()
    theirs = QueueConfig(queue=Hook.arn, events=["s3:ObjectCreated:Put"], suffix_filter_rule=SuffixFilterRule(".raw"))
    sdk.set_bucket_notification(name, NotificationConfig(queue_config_list=[theirs]))
    bucket = Bucket(hooked.settings(name, webhook_token=TOKEN, prefix="ours/"), ObjectsConfig())
    target = target_of(bucket.settings, WebConfig(), "webhook", "PRIMARY")
    assert notifications.rules_of(bucket) == (Rule(Hook.arn, ("s3:ObjectCreated:Put",), "", ".raw"),)
    assert not notifications.rules_of(bucket)[0].tells_all(target, "ours/")
    try:
        assert notifications.apply(bucket, target)
    except LakewatchError as refused:  # one target, and filters that overlap: the server says so, and nothing is lost
        assert "overlap" in refused.message.lower()
        assert notifications.rules_of(bucket) == (Rule(Hook.arn, ("s3:ObjectCreated:Put",), "", ".raw"),)
    else:
        assert Rule(Hook.arn, EVENTS, "ours/") in notifications.rules_of(bucket)
        assert Rule(Hook.arn, ("s3:ObjectCreated:Put",), "", ".raw") in notifications.rules_of(bucket)
        assert not notifications.apply(bucket, target), "once is enough"


def test_a_rule_of_ours_that_tells_too_little_gives_way(hooked: S3Server) -> None:
    name = hooked.make_bucket()
    few = QueueConfig(queue=Hook.arn, events=["s3:ObjectCreated:Put"])
    hooked.client().set_bucket_notification(name, NotificationConfig(queue_config_list=[few]))
    bucket = Bucket(hooked.settings(name, webhook_token=TOKEN), ObjectsConfig())
    assert notifications.apply(bucket, target_of(bucket.settings, WebConfig(), "webhook", "PRIMARY"))
    assert notifications.rules_of(bucket) == (Rule(Hook.arn, EVENTS),)


def test_a_server_without_notifications_is_said_to_be_one(weed: S3Server) -> None:
    bucket = Bucket(weed.settings(weed.make_bucket(), webhook_token=TOKEN), ObjectsConfig())
    with pytest.raises(LakewatchError, match="this server keeps no rules of notifications"):
        notifications.apply(bucket, target_of(bucket.settings, WebConfig(), "webhook"))


def test_what_each_way_needs() -> None:
    broker = dataclasses.replace(PLAIN, mqtt="mqtts://me%40home@nas/a%20topic", mqtt_password=TOKEN, mqtt_ca="/ca.pem")
    target = target_of(broker, WebConfig(), "mqtt")
    assert target.arn == "arn:minio:sqs::MY_PHOTOS:mqtt" and "certs/CAs" in target.note
    start = "MINIO_NOTIFY_MQTT_"
    assert dict(target.environ) == {
        f"{start}ENABLE_MY_PHOTOS": "on",
        f"{start}BROKER_MY_PHOTOS": "ssl://nas:8883",
        f"{start}TOPIC_MY_PHOTOS": "a topic",
        f"{start}USERNAME_MY_PHOTOS": "me@home",
        f"{start}PASSWORD_MY_PHOTOS": "<mqtt_password>",
        f"{start}QOS_MY_PHOTOS": "1",
        f"{start}QUEUE_DIR_MY_PHOTOS": "/var/lib/minio-events",
        f"{start}QUEUE_LIMIT_MY_PHOTOS": "100000",
        "MINIO_API_SYNC_EVENTS": "on",
    }
    listed = dataclasses.replace(PLAIN, redis="redis://nas:6380/0/my-list")
    target = target_of(listed, WebConfig(), "redis", "OTHER")
    assert ("MINIO_NOTIFY_REDIS_ADDRESS_OTHER", "nas:6380") in target.environ and not target.note
    assert "address=nas:6380 format=access key=my-list" in target.mc[0]
    assert "database 0" in target_of(dataclasses.replace(PLAIN, redis="redis://nas/3/k"), WebConfig(), "redis").note
    assert "web.listen" in target_of(PLAIN, WebConfig(), "webhook").note, "nobody else reaches 127.0.0.1"
    open_door = target_of(PLAIN, WebConfig(listen="0.0.0.0:8420"), "webhook")
    assert not open_door.note and "0.0.0.0" not in repr(open_door)
    assert "http://[fd00::1]:99/events/my-photos" in repr(target_of(PLAIN, WebConfig(listen="[fd00::1]:99"), "webhook"))
    for one in (target_of(broker, WebConfig(), "mqtt"), open_door):
        assert TOKEN not in repr(one)
    with pytest.raises(ConfigError, match="has no redis"):
        target_of(PLAIN, WebConfig(), "redis")


def test_which_buckets_there_are(tmp_path: Path, gateway: S3Server, capsys: pytest.CaptureFixture[str]) -> None:
    words = write(tmp_path, gateway.settings(gateway.make_bucket(), name="cloud"))
    assert main([*words, "bucket", "list"]) == 0
    assert "✓ cloud: " in (shown := capsys.readouterr().out) and "keys: the configuration" in shown
    write(tmp_path, gateway.settings("no-such-bucket", name="cloud"))
    assert main([*words, "bucket", "list"]) == main([*words, "bucket", "list", "--json"]) == 1
    assert "✗ cloud: " in (shown := capsys.readouterr().out) and "fix: name one that is there" in shown
    for name, told in (("clod", "did you mean 'cloud'"), ("x", "buckets: cloud")):
        assert main([*words, "bucket", "setup", name]) == 78
        assert told in capsys.readouterr().err


# --- check -------------------------------------------------------------------------------------------------


def findings(config: Config, **more: Any) -> dict[str, Finding]:
    return {finding.about: finding for finding in bucket_checks.check_buckets(config, **more)}


def configured(tmp_path: Path, root: BucketConfig) -> Config:
    return Config(buckets=(root,), daemon=DaemonConfig(tmp_path / "state", tmp_path / "run"))


def test_a_bucket_that_is_well(tmp_path: Path, gateway: S3Server) -> None:
    name = gateway.make_bucket()
    config = configured(tmp_path, gateway.settings(name))
    assert "nothing in it yet" in findings(config)[f"bucket {name} reading"].text
    Bucket(gateway.settings(name), ObjectsConfig()).put("a", b"x")
    found = findings(config)
    assert set(found) == {f"bucket {name}", f"bucket {name} reading", f"bucket {name} listen"}
    assert all(finding.level is Level.OK for finding in found.values())


def test_a_prefix_that_no_key_begins_with(tmp_path: Path, gateway: S3Server) -> None:
    name = gateway.make_bucket()
    Bucket(gateway.settings(name), ObjectsConfig()).put("2024/a", b"x")
    found = findings(configured(tmp_path, gateway.settings(name, prefix="/2024/")))[f"bucket {name} prefix"]
    assert (found.level, found.fix) == (Level.WARNING, 'prefix = "2024/"')
    assert f"bucket {name} prefix" not in findings(configured(tmp_path, gateway.settings(name, prefix="2024/")))


def test_a_bucket_with_problems_says_each_with_its_fix(tmp_path: Path, hooked: S3Server, weed: S3Server) -> None:
    name = hooked.make_bucket()
    root = hooked.settings(name, webhook_token=TOKEN, mqtt="mqtt://nas/t", listen=False)
    found = findings(configured(tmp_path, root))
    assert found[f"bucket {name} mqtt"].fix == f"lakewatchd bucket setup {name} --via mqtt"
    notifications.apply(Bucket(root, ObjectsConfig()), target_of(root, WebConfig(), "webhook", "PRIMARY"))
    assert findings(configured(tmp_path, root))[f"bucket {name} webhook"].level is Level.OK
    silent = weed.make_bucket()
    found = findings(configured(tmp_path, weed.settings(silent)))
    assert "no stream of events" in found[f"bucket {silent} listen"].text
    assert found[f"bucket {silent} listen"].fix == "listen = false"
    (away,) = findings(configured(tmp_path, dataclasses.replace(root, secret_key="wrong"))).values()
    assert away.level is Level.ERROR and "secret key is wrong" in away.text and away.fix
    (nobody,) = findings(configured(tmp_path, dataclasses.replace(root, credentials="minio"))).values()
    assert nobody.level is Level.ERROR and "LoadCredential=minio:" in nobody.fix


def test_a_probe_is_not_written_where_nobody_would_hear_of_it(tmp_path: Path, gateway: S3Server) -> None:
    name = gateway.make_bucket()
    found = findings(configured(tmp_path, gateway.settings(name)), write_probe=True)
    assert "while no daemon runs" in found[f"bucket {name} probe"].text
    assert list(Bucket(gateway.settings(name), ObjectsConfig()).pages()) == []
