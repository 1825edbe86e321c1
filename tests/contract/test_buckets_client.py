"""What :class:`Bucket` promises, with servers of two makers: MinIO's code (in JuiceFS's gateway), and SeaweedFS."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import servers
from minio.commonconfig import ENABLED, CopySource, Tags
from minio.versioningconfig import VersioningConfig
from servers import S3Server

from lakewatchd.buckets import client, listing
from lakewatchd.buckets.client import Bucket, ObjectChanged
from lakewatchd.buckets.keys import path_of, why_left_out
from lakewatchd.config import ObjectsConfig
from lakewatchd.errors import NotReadable, RootAway, TransientError
from lakewatchd.testing import wait_until

QUICK = ObjectsConfig(timeout_s=10)
HOSTILE = [
    "../../etc/passwd", "a/../b", "./a", "/absolute", "a//b", "back\\slash", "..\\x", "new\nline", "cr\rlf\n", "tab\t",
    "a b", "a+b", "a%20b", "a%2Fb", "100%", "q?x=1&y=2", "h#x", "<&>'\"", "\u2603 \U0001f4f7.jpg", "e\u0301", "x\x01y",
    " lead", "trail ", "dot.", "...", "-rf", "$(x)", "l/" + "y" * 250, "/".join(["d" * 100] * 10),
    "/".join(["x" * 204] * 5),
    "k" * 255, "ü" * 127, "~tilde", "a;b", "a,b", "a=b", "a:b", "*", "|",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "PAUSE_S", 0.02)


@pytest.fixture(scope="module", params=["gateway", "weed"])
def server(request: pytest.FixtureRequest) -> S3Server:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, S3Server)
    return found


@pytest.fixture
def name(server: S3Server) -> str:
    return server.make_bucket()


@pytest.fixture
def bucket(server: S3Server, name: str) -> Iterator[Bucket]:
    bucket = Bucket(server.settings(name), QUICK)
    yield bucket
    bucket.close()


def keys(bucket: Bucket, **more: Any) -> list[str]:
    return [item.key for page in bucket.pages(**more) for item in page]


def test_hostile_keys_are_found_read_and_told_apart(bucket: Bucket) -> None:
    stored = {}
    for key in HOSTILE:
        try:
            bucket.put(key, key.encode())
            stored[key] = key.encode()
        except (NotReadable, TransientError):
            assert bucket.head(key) is None, "what cannot be stored is not there"
    listed = {item.key: item for page in bucket.pages() for item in page}
    assert len(listed) >= 30 and not any(why_left_out(key, 1) for key in listed)
    assert len({path_of(key) for key in listed}) == len(listed)
    for key, item in listed.items():
        found = bucket.head(key)
        assert found and dataclasses.replace(found, content_type="") == item, "HEAD and listing agree"
        content = b"".join(bucket.read(key, 0, item.size_bytes, etag=item.etag, modified_ns=item.modified_ns))
        assert content == stored.get(key, content) and len(content) == item.size_bytes
        bucket.remove(key)
        assert bucket.head(key) is None
    # What the server keeps under another name than it was given is there once.
    for key in stored.keys() - listed.keys():
        assert bucket.head(key) is None
    assert keys(bucket) == []


def test_a_key_that_is_kept_under_another_name_is_not_there(gateway: S3Server) -> None:
    bucket = Bucket(gateway.settings(gateway.make_bucket()), QUICK)
    bucket.put("a//b", b"x")
    assert keys(bucket) == ["a/b"]
    for key in ("a//b", "a/./b", "a/x/../b", "a//"):  # as a prefix it is refused
        assert bucket.head(key) is None, key
        assert keys(bucket, prefix=key) == []
    with pytest.raises(RootAway, match="listing failed"):
        Bucket(gateway.settings(bucket.settings.bucket, prefix="a//"), QUICK).require()


@pytest.mark.parametrize("key", ["/", "//", "..", ".", "a/", "\udcff\udcfe", "a\0", "x" * 1025, "a/b/c"])
def test_a_key_that_nobody_can_have_put_is_not_there(bucket: Bucket, key: str) -> None:
    bucket.put("a/b", b"x")
    assert bucket.head(key) is None


def test_pages_follow_each_other(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MAX_KEYS", 7)
    put = [f"{number % 3} +/{number:02d}" for number in range(24)]
    for key in put:
        bucket.put(key, b"")
    assert keys(bucket) == sorted(put)
    assert [len(page) for page in bucket.pages()] == [7, 7, 7, 3]
    assert keys(bucket, prefix="1 +/") == [key for key in sorted(put) if key.startswith("1 +/")]
    assert keys(bucket, start_after=sorted(put)[9]) == sorted(put)[10:]
    assert keys(bucket, prefix="none/") == []


def test_a_prefix_is_all_there_is(server: S3Server, name: str, bucket: Bucket) -> None:
    for key in ("2024/a", "2024/b/c", "2024-x", "other"):
        bucket.put(key, b"x")
    below = Bucket(server.settings(name, prefix="2024/"), QUICK)
    below.require()
    assert keys(below) == ["2024/a", "2024/b/c"]


def test_what_is_said_of_an_object(server: S3Server, name: str, bucket: Bucket) -> None:
    sdk, tags = server.client(), Tags.new_object_tags()
    tags["family"], tags["Ort é+1"] = "", "Zürich/See"
    metadata: dict[str, Any] = {"who": "me", "Camera": "X 100"}
    sdk.put_object(name, "a.jpg", io.BytesIO(b"12345"), 5, "image/jpeg", metadata, tags=tags)
    found = bucket.head("a.jpg")
    assert found is not None
    assert (found.size_bytes, found.content_type) == (5, "image/jpeg")
    assert found.metadata == (("camera", "X 100"), ("who", "me"))
    assert found.etag == "827ccb0eea8a706c4c34a16891f84e7b"
    assert found.modified_ns % 1_000_000_000 == 0
    assert found.tag_count in (2, None)
    assert bucket.tags("a.jpg") == (("Ort é+1", "Zürich/See"), ("family", ""))
    assert bucket.tags("none") == ()
    sdk.delete_object_tags(name, "a.jpg")
    assert bucket.tags("a.jpg") == ()


def test_an_upload_in_parts_has_an_etag_that_both_agree_on(server: S3Server, name: str, bucket: Bucket) -> None:
    content = os.urandom(6_000_000)
    server.client().put_object(name, "big", io.BytesIO(content), -1, part_size=5 * 1024 * 1024)
    ((item,),) = bucket.pages()
    assert item.etag.endswith("-2") and item.size_bytes == len(content)
    assert b"".join(bucket.read("big", 0, len(content), etag=item.etag)) == content
    server.client().copy_object(name, "copy", CopySource(name, "big"))
    assert b"".join(bucket.read("copy", 5_000_000, 1000)) == content[5_000_000:5_001_000]


def test_ranges_and_other_contents(bucket: Bucket) -> None:
    bucket.put("a", b"0123456789")
    found = bucket.head("a")
    assert found is not None
    known: dict[str, Any] = {"etag": found.etag, "size_bytes": 10, "modified_ns": found.modified_ns}
    assert b"".join(bucket.read("a", 3, 4, **known)) == b"3456"
    assert b"".join(bucket.read("a", 9, 1, **known)) == b"9"
    assert b"".join(bucket.read("a", 5, 0, **known)) == b""
    for wrong in ({"etag": "0" * 32}, {"size_bytes": 11}, {"modified_ns": 5}):
        with pytest.raises(ObjectChanged):
            list(bucket.read("a", 0, 4, **{**known, **wrong}))
    with pytest.raises(ObjectChanged):
        list(bucket.read("a", 10, 1))
    with pytest.raises(FileNotFoundError):
        list(bucket.read("b", 0, 1))
    bucket.put("a", b"9876543210")
    with pytest.raises(ObjectChanged):
        list(bucket.read("a", 0, 4, **known))
    bucket.put("empty", b"")
    assert (info := bucket.head("empty")) and info.size_bytes == 0


def test_who_stops_in_the_middle_gives_the_connection_back(bucket: Bucket) -> None:
    content = os.urandom(8 << 20)
    bucket.put("long", content)
    for _ in range(3 * QUICK.connections):
        reading = bucket.read("long", 0, len(content))
        assert content.startswith(next(reading))
        del reading
    assert b"".join(bucket.read("long", 1, 1000)) == content[1:1001]


def test_a_folder_marker_is_told_by_its_size(bucket: Bucket) -> None:
    bucket.put("folder/", b"")
    ((item,),) = bucket.pages()
    found = bucket.head("folder/")
    assert found and (item.key, item.size_bytes, found.size_bytes) == ("folder/", 0, 0)
    assert why_left_out(item.key, item.size_bytes) == "a folder marker"


def test_versions_and_delete_markers(weed: S3Server) -> None:
    name, sdk = weed.make_bucket(), weed.client()
    sdk.set_bucket_versioning(name, VersioningConfig(ENABLED))
    bucket = Bucket(weed.settings(name), QUICK)
    assert bucket.versioning() == "Enabled"
    bucket.put("a", b"first")
    first = bucket.head("a")
    bucket.put("a", b"second")
    second = bucket.head("a")
    assert first and second and first.version_id and second.version_id not in ("", first.version_id)
    assert b"".join(bucket.read("a", 0, 6, etag=second.etag)) == b"second"
    sdk.remove_object(name, "a")
    assert bucket.head("a") is None, "its latest version is a delete marker"
    assert keys(bucket) == []
    with pytest.raises(FileNotFoundError):
        list(bucket.read("a", 0, 1))
    sdk.remove_object(name, "a", version_id=next(
        item.version_id for item in sdk.list_objects(name, include_version=True) if item.is_delete_marker
    ))  # fmt: skip
    assert (again := bucket.head("a")) and again.version_id == second.version_id


# --- what is wrong is told, with its fix -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "message", "hint"),
    [
        ({"secret_key": "not-it"}, r"the secret key is wrong \(the configuration\)", "both keys"),
        ({"access_key": "nobody"}, "does not know the access key", "a user of this server"),
        ({"access_key": "", "secret_key": ""}, "listing is not allowed", "docs/howto/minio.md"),
        ({"endpoint": "http://127.0.0.1:1"}, "connection refused", "is the server on"),
        ({"endpoint": "http://no-such-host.invalid"}, "no-such-host.invalid: ", "the endpoint right"),
        ({"bucket": "no-such-bucket"}, "there is no such bucket", "make it"),
        ({"credentials": "/no/such/file"}, "/no/such/file: no such file", "keys"),
    ],
)
def test_a_bucket_that_is_away_says_why(
    server: S3Server, name: str, wrong: dict[str, str], message: str, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "CREDENTIALS_DIRECTORY"):
        monkeypatch.delenv(variable, raising=False)
    bucket = Bucket(dataclasses.replace(server.settings(name), **wrong), QUICK)  # type: ignore[arg-type]
    for ask in (bucket.require, lambda: bucket.head("a"), lambda: list(bucket.pages())):
        with pytest.raises(RootAway, match=message) as caught:
            ask()
        assert hint in (caught.value.hint or "")
        assert "not-it" not in str(caught.value) and server.secret_key not in str(caught.value)


def test_keys_that_were_changed_are_read_again(server: S3Server, name: str, tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.touch(0o600)
    path.write_text("access_key = old\nsecret_key = old\n")
    bucket = Bucket(server.settings(name, access_key="", secret_key="", credentials=str(path)), QUICK)
    with pytest.raises(RootAway):
        bucket.require()
    path.write_text(f"access_key = {server.access_key}\nsecret_key = {server.secret_key}\n")
    bucket.require()


def test_keys_that_another_thread_has_read_again_meanwhile_are_tried(
    server: S3Server, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "keys"
    path.touch(0o600)
    path.write_text("access_key = old\nsecret_key = old\n")
    bucket = Bucket(server.settings(name, access_key="", secret_key="", credentials=str(path)), QUICK)
    with pytest.raises(RootAway):
        bucket.require()
    path.write_text(f"access_key = {server.access_key}\nsecret_key = {server.secret_key}\n")
    refusal_of = bucket._connection._refusal

    def slowly(answer: Any) -> Any:
        monkeypatch.setattr(bucket._connection, "_refusal", refusal_of)
        bucket.require()
        return refusal_of(answer)

    monkeypatch.setattr(bucket._connection, "_refusal", slowly)
    bucket.require()


def test_an_object_that_only_its_writer_can_read(weed: S3Server) -> None:
    bucket, key = Bucket(weed.settings(weed.make_bucket()), QUICK), b"k" * 32
    begin = "x-amz-server-side-encryption-customer-"
    encoded = base64.b64encode(key).decode(), base64.b64encode(hashlib.md5(key).digest()).decode()
    headers = {f"{begin}algorithm": "AES256", f"{begin}key": encoded[0], f"{begin}key-md5": encoded[1]}
    bucket._connection.open("PUT", "secret", headers=headers, body=b"hello").close()
    for ask in (lambda: bucket.head("secret"), lambda: list(bucket.read("secret", 0, 5))):
        with pytest.raises(NotReadable, match=r"secret: encrypted with a key that only its writer has \(SSE-C\)"):
            ask()
    assert keys(bucket) == ["secret"]


@pytest.mark.parametrize(
    "how",
    [{"": "AES256"}, {"": "aws:kms", "-aws-kms-key-id": "of-the-photos"}],
    ids=["SSE-S3", "SSE-KMS"],
)
def test_what_the_server_encrypts_is_read_as_it_was_put(weed: S3Server, how: dict[str, str]) -> None:
    bucket, content = Bucket(weed.settings(weed.make_bucket()), QUICK), os.urandom(300_000)
    headers = {f"x-amz-server-side-encryption{name}": value for name, value in how.items()}
    with bucket._connection.open("PUT", "secret", headers=headers, body=content):
        pass
    found = bucket.head("secret")
    assert found is not None and found.size_bytes == len(content)
    assert [(item.key, item.size_bytes, item.etag) for page in bucket.pages() for item in page] == [
        ("secret", len(content), found.etag)
    ]
    assert b"".join(bucket.read("secret", 0, len(content), etag=found.etag)) == content
    assert b"".join(bucket.read("secret", 123_456, 1000)) == content[123_456:124_456]
    volumes = list((weed.log.parent / "data").glob("*.dat"))
    assert volumes and not any(content[:64] in volume.read_bytes() for volume in volumes), "it really is encrypted"


# --- faults ------------------------------------------------------------------------------------------------


@pytest.fixture
def own(tmp_path: Path) -> Iterator[S3Server]:
    with servers.juicefs_gateway(tmp_path / "own", options=["--domain", "localhost"]) as server:
        yield server


def test_a_server_that_is_killed_in_the_middle_of_a_read_and_comes_back(own: S3Server) -> None:
    name, content = own.make_bucket(), os.urandom(40_000_000)
    own.client().put_object(name, "film", io.BytesIO(content), len(content))
    bucket = Bucket(own.settings(name), QUICK)
    got = bytearray()
    for piece in bucket.read("film", 0, len(content)):
        if len(got) < 1_000_000 <= len(got) + len(piece):
            own.restart()
        got += piece
    assert got == content
    own.kill()
    with pytest.raises(RootAway, match="connection refused"):
        list(bucket.read("film", 0, 10))
    with pytest.raises(RootAway, match="connection refused"):
        bucket.head("film")
    own.start()
    assert bucket.head("film") and len(keys(bucket)) == 1


def test_an_object_that_is_written_over_in_the_middle_of_a_read(own: S3Server) -> None:
    name, content = own.make_bucket(), os.urandom(8_000_000)
    bucket = Bucket(own.settings(name), QUICK)
    bucket.put("a", content)
    with servers.Proxy(own.endpoint) as proxy:
        through = Bucket(dataclasses.replace(own.settings(name), endpoint=proxy.endpoint), QUICK)
        proxy.cut_after = 3_000_000
        read = through.read("a", 0, len(content))
        got = next(read)
        bucket.put("a", os.urandom(len(content)))
        with pytest.raises(ObjectChanged):
            for piece in read:
                got += piece
        assert len(got) > 2_900_000 and content.startswith(got), "nothing of the other content"


def test_a_wire_that_breaks_again_and_again_and_one_that_is_silent(own: S3Server) -> None:
    name, content = own.make_bucket(), os.urandom(3_000_000)
    bucket = Bucket(own.settings(name), QUICK)
    bucket.put("a", content)
    with servers.Proxy(own.endpoint) as proxy:
        settings = dataclasses.replace(own.settings(name), endpoint=proxy.endpoint)
        through, impatient = Bucket(settings, QUICK), Bucket(settings, ObjectsConfig(timeout_s=2))
        proxy.cut_after, got = 700_000, bytearray()
        for piece in through.read("a", 0, len(content)):
            got += piece
        assert got == content and proxy.connections == 5
        for cut_after in (0, 5, 200):
            proxy.cut_after = cut_after
            with pytest.raises(RootAway, match=r"the connection broke: ([a-z, ]+ HTTP|connection reset)") as caught:
                list(through.pages())
            assert "Error" not in caught.value.message
        proxy.cut_after, proxy.is_silent = None, True
        for ask in (lambda: impatient.head("a"), impatient.require, lambda: list(impatient.read("a", 0, 5))):
            with pytest.raises(TransientError, match="says nothing"):
                ask()
        proxy.is_silent = False
        wait_until(lambda: through.head("a"))


def test_a_listing_goes_on_after_its_server_was_started_anew(own: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MAX_KEYS", 5)
    bucket = Bucket(own.settings(own.make_bucket()), QUICK)
    for number in range(20):
        bucket.put(f"{number:02d}", b"")
    found: list[str] = []
    for page in bucket.pages():
        if len(found) == 10:
            own.restart()
        found += [item.key for item in page]
    assert found == [f"{number:02d}" for number in range(20)]


def test_a_host_name_for_each_bucket(own: S3Server) -> None:
    name = own.make_bucket()
    settings = own.settings(name, addressing="virtual")
    bucket = Bucket(dataclasses.replace(settings, endpoint=own.endpoint.replace("127.0.0.1", "localhost")), QUICK)
    assert bucket._connection.host.startswith(f"{name}.localhost:")
    bucket.put("a/b c", b"x")
    assert keys(bucket) == ["a/b c"] and bucket.head("a/b c")
    assert b"".join(bucket.read("a/b c", 0, 1)) == b"x"
    assert keys(Bucket(own.settings(name), QUICK)) == ["a/b c"]


def test_a_certificate_of_our_own(own: S3Server, tmp_path: Path) -> None:
    tls, other = servers.make_tls(tmp_path / "tls"), servers.make_tls(tmp_path / "other")
    with servers.Proxy(own.endpoint, tls) as proxy:
        settings = dataclasses.replace(own.settings(own.make_bucket()), endpoint=proxy.endpoint)
        good = Bucket(dataclasses.replace(settings, tls_ca=str(tls.ca)), QUICK)
        good.put("a", b"x")
        assert keys(good) == ["a"] and good.sdk().bucket_exists(settings.bucket)
        for ca in ("", str(other.ca)):
            with pytest.raises(RootAway, match="no trust") as caught:
                Bucket(dataclasses.replace(settings, tls_ca=ca), QUICK).require()
            assert "tls_ca" in (caught.value.hint or "")
        with pytest.raises(RootAway, match="is not TLS") as caught:
            Bucket(dataclasses.replace(settings, endpoint=own.endpoint.replace("http:", "https:")), QUICK).require()
        assert "http://" in (caught.value.hint or "")
        for ca in (str(tmp_path / "none.pem"), str(tls.key)):
            with pytest.raises(RootAway, match="tls_ca"):
                Bucket(dataclasses.replace(settings, tls_ca=ca), QUICK).require()
