"""The policies of docs/howto/minio.md are enough, and none of their actions is too much: with MinIO's own code."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import servers
from minio import MinioAdmin
from minio.credentials import StaticProvider
from servers import Hook, S3Server

from lakewatchd.buckets import notifications
from lakewatchd.buckets.client import Bucket
from lakewatchd.buckets.keys import PROBE
from lakewatchd.buckets.notifications import EVENTS, target_of
from lakewatchd.config import ObjectsConfig, WebConfig
from lakewatchd.errors import LakewatchError

HOWTO = Path(__file__).parents[2] / "docs" / "howto" / "minio.md"
READ, SETUP = (json.loads(text) for text in re.findall(r"^```json\n(.*?)^```", HOWTO.read_text(), re.M | re.S))
BUCKET = READ["Statement"][0]["Resource"][0].rpartition(":")[2]
Policy = dict[str, Any]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    place = tmp_path_factory.mktemp("policies")
    hook = Hook("http://127.0.0.1:9/events/x", "token", place / "queue")
    with servers.juicefs_gateway(place, webhook=hook) as server:
        server.make_bucket(BUCKET)
        Bucket(server.settings(BUCKET), ObjectsConfig()).put("a/b", b"hello")
        yield server


@pytest.fixture(scope="module")
def admin(server: S3Server) -> MinioAdmin:
    provider = StaticProvider(server.access_key, server.secret_key)
    return MinioAdmin(endpoint=server.endpoint.partition("://")[2], credentials=provider, secure=False)


@pytest.fixture(scope="module")
def user(server: S3Server, admin: MinioAdmin) -> Bucket:
    """The bucket as a user sees it who has the policy ``granted``."""
    admin.user_add("indexer", "secret-of-indexer")
    admin.policy_add("granted", policy=READ)
    admin.policy_set("granted", user="indexer")
    keys = {"access_key": "indexer", "secret_key": "secret-of-indexer"}
    return Bucket(server.settings(BUCKET, webhook_token="x" * 16, **keys), ObjectsConfig())


def listen(bucket: Bucket) -> None:
    with bucket.stream([("events", event) for event in EVENTS], 60) as answer:
        assert next(answer.pieces())


def read(bucket: Bucket) -> None:
    assert b"".join(bucket.read("a/b", 0, 5)) == b"hello"
    assert bucket.head("a/b")


def read_tags(bucket: Bucket) -> None:
    if not bucket.may_read_tags("a/b"):
        raise LakewatchError("not allowed")


def write_probe(bucket: Bucket) -> None:
    bucket.put(f"{PROBE}x", b"x")


def remove_probe(bucket: Bucket) -> None:
    bucket.remove(f"{PROBE}x")


def set_rule(bucket: Bucket) -> None:
    notifications.apply(bucket, target_of(bucket.settings, WebConfig(), "webhook", "PRIMARY"))


NEEDS: dict[str, Callable[[Bucket], object]] = {
    "s3:ListBucket": lambda bucket: list(bucket.pages()),
    "s3:ListenBucketNotification": listen,
    "s3:GetObject": read,
    "s3:GetObjectTagging": read_tags,
    "s3:GetBucketNotification": notifications.rules_of,
    "s3:PutBucketNotification": set_rule,
    "s3:PutObject": write_probe,
    "s3:DeleteObject": remove_probe,
}


def actions(policy: Policy) -> list[str]:
    return [action for statement in policy["Statement"] for action in statement["Action"]]


@pytest.mark.parametrize("name", ["READ", "SETUP"])
def test_a_policy_is_enough_and_each_action_is_needed(admin: MinioAdmin, user: Bucket, name: str) -> None:
    policy = {"READ": READ, "SETUP": SETUP}[name]
    for action in actions(policy):
        less = copy.deepcopy(policy)
        for statement in less["Statement"]:
            statement["Action"] = [one for one in statement["Action"] if one != action]
        less["Statement"] = [statement for statement in less["Statement"] if statement["Action"]]
        admin.policy_add("granted", policy=less)
        with pytest.raises(LakewatchError, match=r"not allowed") as caught:
            NEEDS[action](user)
        assert caught.value.hint is None or "docs/howto/minio.md" in caught.value.hint
    admin.policy_add("granted", policy=policy)
    for action in actions(policy):
        NEEDS[action](user)


def test_who_may_read_may_not_write(server: S3Server, admin: MinioAdmin, user: Bucket) -> None:
    admin.policy_add("granted", policy=READ)
    for forbidden in (lambda: user.put("new", b""), lambda: user.remove("a/b"), lambda: set_rule(user)):
        with pytest.raises(LakewatchError, match="not allowed"):
            forbidden()
    assert [item.key for page in user.pages() for item in page] == ["a/b"]
