"""Buckets in the real daemon: what an operator does with one, from its first line to its removal."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from lakewatchd.testing import LiveDaemon, make_tree, wait_until
from tests.servers import S3Server, juicefs_gateway

WATCH = "[watch]\nsettle_s = 0.1\nsettle_open_s = 0.2\nremoval_files = 5\n"


def root_of(server: S3Server, bucket: str, name: str = "photos") -> str:
    return (
        f'[[root]]\nname = "{name}"\nbucket = "{bucket}"\nendpoint = "{server.endpoint}"\nlisten = false\n'
        f'access_key = "{server.access_key}"\nsecret_key = "{server.secret_key}"\n'
    )


def put(server: S3Server, bucket: str, key: str, content: bytes | str, **more: Any) -> None:
    raw = content.encode() if isinstance(content, str) else content
    server.client().put_object(bucket, key, io.BytesIO(raw), len(raw), **more)


def status(daemon: LiveDaemon, name: str = "photos") -> dict[str, Any]:
    return dict(next(root for root in daemon.ask("status")["roots"] if root["name"] == name))


def explained(daemon: LiveDaemon, place: str) -> dict[str, Any]:
    return daemon.ask("explain", path=place)


def audited(daemon: LiveDaemon, root: str = "photos") -> dict[str, Any]:
    return dict(daemon.ask("audit", root=root)["roots"][0]["counts"])


@pytest.mark.long
def test_what_an_operator_does_with_a_bucket(tmp_path: Path) -> None:
    nas = make_tree(tmp_path / "nas", {"local.txt": "at home"})
    with juicefs_gateway(tmp_path / "gateway") as server:
        bucket = server.make_bucket("album")
        for number in range(8):
            put(server, bucket, f"trip/{number}.txt", f"day {number} at the sea")
        put(server, bucket, "odd key+%.txt", "odd")
        put(server, bucket, "note.tmp", "left out")
        with LiveDaemon(tmp_path / "d", nas, settings=root_of(server, bucket) + WATCH) as daemon:
            daemon.ask("wait_idle")
            view = status(daemon)
            assert (view["state"], view["files"], view["ignored"]) == ("present", 9, 1)
            assert view["path"] == f"s3://{bucket}/" and view["last_scan"]
            assert audited(daemon) == {"indexed": 9, "ignored": 1}

            told = json.loads(daemon.run("explain", f"s3://{bucket}/odd key+%.txt", "--json").stdout)
            assert told["state"] == "indexed" and "etag" in {fact["label"] for fact in told["facts"]}
            assert explained(daemon, "photos:trip/1.txt")["path"] == f"s3://{bucket}/trip/1.txt"
            for directory in (f"s3://{bucket}/trip", f"s3://{bucket}/trip/", f"s3://{bucket}", "photos:"):
                assert explained(daemon, directory)["state"] == "directory", directory
            assert explained(daemon, f"s3://{bucket}/note.tmp")["state"] == "ignored"
            assert explained(daemon, f"s3://{bucket}/nothing")["state"] == "nothing"
            assert explained(daemon, "s3://another/x")["state"] == "outside"
            assert "'photos'" in explained(daemon, "phots:trip/1.txt")["hint"]

            put(server, bucket, "trip/0.txt", "day 0, once more")
            server.client().remove_object(bucket, "trip/7.txt")
            daemon.ask("wait_idle")  # the listing that this asks for has found both
            assert audited(daemon) == {"indexed": 8, "ignored": 1}
            assert explained(daemon, "photos:trip/7.txt")["state"] == "nothing"

            for number in range(7):
                server.client().remove_object(bucket, f"trip/{number}.txt")
            daemon.ask("wait_idle")
            assert "--accept-removals" in status(daemon)["hint"]
            assert audited(daemon) == {"indexed": 1, "ignored": 1, "held": 7}
            daemon.ask("scan", root="photos", accept_removals=True)
            daemon.ask("wait_idle")
            assert audited(daemon) == {"indexed": 1, "ignored": 1}

            server.kill()
            daemon.ask("scan", root="photos")  # by itself it asks a bucket that is there only now and then
            wait_until(lambda: status(daemon)["state"] == "away")
            assert explained(daemon, "photos:odd key+%.txt")["state"] == "away"
            assert status(daemon)["hint"] and status(daemon)["files"] == 1
            server.start()
            wait_until(lambda: status(daemon)["state"] == "present")
            put(server, bucket, "back.txt", "again")
            daemon.ask("wait_idle")
            assert explained(daemon, "photos:back.txt")["state"] == "indexed"
            shown = daemon.run("status").stdout
            assert "s3://album/" in shown and server.secret_key not in shown + daemon.log

            daemon.stop()  # what the commands say without it
            put(server, bucket, "late.txt", "while it is down")
            roots = json.loads(daemon.run("status", "--json", check=False).stdout)["roots"]
            assert {root["name"]: root["files"] for root in roots} == {"nas": 1, "photos": 2}
            told = json.loads(daemon.run("audit", "photos", "--json", check=False).stdout)["roots"][0]
            assert told["counts"] == {"indexed": 2, "ignored": 1, "gap": 1} and "late.txt" in told["gaps"][0]["path"]


def test_a_bucket_comes_goes_and_takes_the_name_of_a_directory_by_reload(tmp_path: Path, gateway: S3Server) -> None:
    nas = make_tree(tmp_path / "nas", {f"{number}.txt": f"file {number}" for number in range(3)})
    bucket = gateway.make_bucket()
    put(gateway, bucket, "a.txt", "in the bucket")
    with LiveDaemon(tmp_path / "d", nas, settings=WATCH) as daemon:
        daemon.ask("wait_idle")
        daemon.settings = root_of(gateway, bucket) + WATCH
        daemon.write_config()
        assert daemon.ask("reload")["applied"] == ["root photos"]
        daemon.ask("wait_idle")
        assert status(daemon)["files"] == 1 and audited(daemon) == {"indexed": 1}

        daemon.settings = WATCH
        daemon.write_config()
        daemon.ask("reload")
        daemon.ask("wait_idle")
        assert explained(daemon, f"s3://{bucket}/a.txt")["state"] == "outside"
        known = daemon.ask("audit", root=None)
        assert [root["root"] for root in known["roots"]] == ["nas"] and not known["lake_gaps"]

        # The directory becomes a bucket of the same name, which holds other files: that may be a slip of the pen.
        config = root_of(gateway, bucket, "nas") + daemon.config.read_text().partition("\n\n")[2]
        daemon.config.write_text(config)
        daemon.ask("reload")
        wait_until(lambda: status(daemon, "nas")["state"] == "away")
        assert status(daemon, "nas")["files"] == 3 and "--accept-removals" in status(daemon, "nas")["hint"]
        daemon.ask("scan", root="nas", accept_removals=True)
        daemon.ask("wait_idle")
        assert audited(daemon, "nas") == {"indexed": 1}
