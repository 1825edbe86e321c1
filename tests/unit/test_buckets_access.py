"""Credentials: the order of places, and that nothing of a secret gets out."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from lakewatchd.buckets.access import Credentials, credentials_of
from lakewatchd.config import BucketConfig, LakeConfig
from lakewatchd.errors import ConfigError

PLAIN = BucketConfig("my-photos", "photos", "http://nas:9000")
AWS = {"AWS_ACCESS_KEY_ID": "aws", "AWS_SECRET_ACCESS_KEY": "hush-aws"}
OWN = {"LAKEWATCHD_MY_PHOTOS_ACCESS_KEY": "own", "LAKEWATCHD_MY_PHOTOS_SECRET_KEY": "hush-own"}


def write(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def test_the_first_place_that_has_them(tmp_path: Path) -> None:
    named = write(tmp_path / "keys", "access_key = file\nsecret_key = hush-file\n")
    (tmp_path / "credentials").mkdir()
    environ = {**AWS, **OWN, "CREDENTIALS_DIRECTORY": str(tmp_path / "credentials")}
    by_name = write(tmp_path / "credentials" / "my-photos", "access_key = systemd\nsecret_key = hush-systemd\n")
    in_config = dataclasses.replace(PLAIN, access_key="config", secret_key="hush-config")
    in_file = dataclasses.replace(in_config, credentials=str(named))
    assert credentials_of(in_file, environ) == Credentials("file", "hush-file", str(named))
    assert credentials_of(in_config, environ) == Credentials("config", "hush-config", "the configuration")
    found = credentials_of(PLAIN, environ)
    assert found == Credentials("systemd", "hush-systemd", "systemd credential my-photos")
    by_name.unlink()
    assert credentials_of(PLAIN, environ).access_key == "own"
    assert credentials_of(PLAIN, AWS).access_key == "aws"
    assert credentials_of(PLAIN, {}) == Credentials() and not Credentials().are_given
    assert "hush" not in repr(found) and "hush" not in str(credentials_of(in_file, environ))


def test_the_lake_has_credentials_of_its_own(tmp_path: Path) -> None:
    write(tmp_path / "lake", "access_key = l\nsecret_key = hush\n", 0o440)
    assert credentials_of(LakeConfig(), {"CREDENTIALS_DIRECTORY": str(tmp_path)}).access_key == "l"
    environ = {"LAKEWATCHD_LAKE_ACCESS_KEY": "e", "LAKEWATCHD_LAKE_SECRET_KEY": "hush"}
    assert credentials_of(LakeConfig(), environ).access_key == "e"


@pytest.mark.parametrize(
    "text",
    [
        "access_key = A+/=\nsecret_key = s/+=e\n",
        "access_key=\"A+/=\"\r\nsecret_key='s/+=e'\r\n",
        "# keys\n[default]\naws_access_key_id = A+/=\naws_secret_access_key = s/+=e\nregion = x\n"
        "[work]\naws_access_key_id = B\naws_secret_access_key = t\n",
        "[work]\naws_access_key_id = B\naws_secret_access_key = t\n"
        "[default]\nAWS_ACCESS_KEY_ID = A+/=\naws_secret_access_key = s/+=e",
    ],
)
def test_spellings(tmp_path: Path, text: str) -> None:
    found = credentials_of(dataclasses.replace(PLAIN, credentials=str(write(tmp_path / "keys", text))), {})
    assert (found.access_key, found.secret_key) == ("A+/=", "s/+=e")


@pytest.mark.parametrize(
    ("text", "mode", "message", "hint"),
    [
        ("access_key = a\nsecret_key = hush\n", 0o604, "anybody can read the keys in it", "chmod 600 "),
        ("access_key = a\n", 0o600, "no secret_key in it", "access_key = "),
        ("hush\n", 0o600, "no access_key and secret_key in it", "access_key = "),
        ("secret_key = \nhush", 0o600, "no access_key and secret_key in it", "access_key = "),
    ],
)
def test_a_file_that_does_not_do(tmp_path: Path, text: str, mode: int, message: str, hint: str) -> None:
    path = write(tmp_path / "keys", text, mode)
    with pytest.raises(ConfigError, match=message) as caught:
        credentials_of(dataclasses.replace(PLAIN, credentials=str(path)), AWS)
    assert hint in (caught.value.hint or "") and "hush" not in f"{caught.value.message}{caught.value.hint}"


def test_a_place_that_was_named_is_not_passed_over(tmp_path: Path) -> None:
    for place in ("keys", str(tmp_path / "keys"), str(tmp_path)):
        for directory in ({}, {"CREDENTIALS_DIRECTORY": str(tmp_path)}):
            with pytest.raises(ConfigError):
                credentials_of(dataclasses.replace(PLAIN, credentials=place), {**AWS, **directory})
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="no file"):
        credentials_of(dataclasses.replace(PLAIN, credentials=str(tmp_path / "pipe")), AWS)
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "binary").chmod(0o600)
    with pytest.raises(ConfigError, match="not text"):
        credentials_of(dataclasses.replace(PLAIN, credentials=str(tmp_path / "binary")), AWS)


def test_half_of_a_pair_is_a_mistake() -> None:
    with pytest.raises(ConfigError, match="AWS_SECRET_ACCESS_KEY is not"):
        credentials_of(PLAIN, {"AWS_ACCESS_KEY_ID": "a"})
    with pytest.raises(ConfigError, match="LAKEWATCHD_MY_PHOTOS_ACCESS_KEY is not"):
        credentials_of(PLAIN, {**AWS, "LAKEWATCHD_MY_PHOTOS_SECRET_KEY": "hush"})
