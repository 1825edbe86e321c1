"""The config file: every problem at once with its line, nothing guessed, and a printed config that reads back."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakewatchd import config as c
from lakewatchd.core.typed_toml import secret_fields
from lakewatchd.errors import ConfigError

SHIPPED = Path(__file__).parents[2] / "etc" / "lakewatchd.toml"
SOURCE = Path("/srv/test/lakewatchd.toml")


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        c.parse(text, SOURCE)
    assert caught.value.exit_code == 78
    prefix = f"{SOURCE}:"
    lines = caught.value.message.split("\n")
    assert all(line.startswith(prefix) for line in lines)
    return [line.removeprefix(prefix) for line in lines]


def test_an_empty_file_is_the_defaults() -> None:
    assert c.parse("", SOURCE) == c.defaults(source=SOURCE)


def test_reads_values_of_every_type(tmp_path: Path) -> None:
    text = """
[[root]]
name = "photos"
path = "/srv/photos"
[daemon]
drain_s = 3
log_level = "debug"
[watch]
ignore = ["*.bak"]
[view]
allow_other = true
mountpoint = "~/view"
"""
    config = c.parse(text, SOURCE)
    assert config.roots == (c.RootConfig("photos", Path("/srv/photos")),)
    assert (config.daemon.drain_s, config.daemon.log_level) == (3.0, "debug")
    assert isinstance(config.daemon.drain_s, float)
    assert config.watch.ignore == ("*.bak",)
    assert config.view.allow_other is True
    assert config.view.mountpoint == Path.home() / "view"
    assert config.source == SOURCE


def test_all_problems_at_once_in_the_order_of_the_file() -> None:
    text = """\
[daemon]
drain = 3
log_level = "loud"

[watch]
settle_s = "soon"
rescan_s = 1e9
[wach]
[[root]]
name = "A b"
path = "srv"
[[root]]
pth = "/x"
"""
    found = problems(text)
    assert found == sorted(found, key=lambda line: int(line.split(":")[0]))
    expected = [
        "2: unknown key 'drain'; did you mean 'drain_s'?",
        "3: log_level: 'loud' is none of debug, info, warning, error",
        "6: settle_s: a number is expected, not 'soon'",
        "7: rescan_s: 1000000000 is not between 0 and 2592000",
        "8: unknown key 'wach'; did you mean 'watch'?",
        "11: path: 'srv' is relative; write it from / or from ~/",
        "12: name is missing",
        "12: path is missing (for a bucket: bucket and endpoint)",
        "13: unknown key 'pth'; did you mean 'path'?",
    ]
    assert found == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[daemon\n", "1: not valid TOML"),
        ("x = 1\nx = 2\n", "2: not valid TOML"),
        ("daemon = 5", "1: daemon: a table is expected"),
        ("[root]\nname='a'\npath='/a'", "1: write [[root]] with two brackets"),
        ("[workers]\nfast = true", "2: fast: a whole number is expected, not True"),
        ("[workers]\nfast = 8.5", "2: fast: a whole number"),
        ("[workers]\nfast = 4", "1: reserved: must be less than fast"),
        ("[daemon]\ndrain_s = nan", "2: drain_s: a finite number"),
        ("[daemon]\ndrain_s = -1", "2: drain_s: -1 is not between 0 and 600"),
        ("[watch]\nignore = [1]", "2: ignore: a list of texts"),
        ('[watch]\nignore_file = "a/b"', "2: ignore_file: a plain file name"),
        ('[daemon]\nstate_dir = ""', "2: state_dir: a path in quotes"),
        ('[daemon]\nstate_dir = "/a\\u0000b"', "2: state_dir: a path in quotes"),
        ('[daemon]\nstate_dir = "~nobody-has-this-name/x"', "2: state_dir: '~nobody-has-this-name/x'"),
        ("[view]\nmountpoint = '/'", "2: mountpoint: / would hide daemon.state_dir"),
        ("[decode]\npassage_overlap = 700", "2: passage_overlap: more than half"),
        ("[queue]\nbackoff_max_s = 1", "2: backoff_max_s: less than"),
        ('[captions]\nserver = "localhost:11434"', "2: server: 'localhost:11434' is not http://host:port"),
        ('[captions]\nserver = "http://[::1"', "2: server: 'http://[::1' is not http://host:port"),
        ('[captions]\nserver = "http://[fe80:1]:80/v1"', "2: server: 'http://[fe80:1]:80/v1' is no address"),
        ('[captions]\nserver = "http://gpu:99999/v1"', "2: server: 'http://gpu:99999/v1' is not http://host:port"),
        ('[captions]\napi_key = "ü"', "2: api_key: "),
    ],
)
def test_each_problem_in_words(text: str, message: str) -> None:
    assert any(line.startswith(message) for line in problems(text)), problems(text)


def roots(**paths: object) -> str:
    return "\n".join(f'[[root]]\nname = "{name}"\npath = "{path}"' for name, path in paths.items())


def test_roots_lie_apart_from_each_other_and_from_our_own_directories(tmp_path: Path) -> None:
    (tmp_path / "real" / "inner").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (nested,) = problems(roots(a=tmp_path / "real", b=tmp_path / "link" / "inner"))
    assert nested.startswith("6: path:") and "lies inside root 'a'" in nested
    (same,) = problems(roots(a=tmp_path / "real", b=tmp_path / "link"))
    assert "is root 'a' too" in same
    own = f'[daemon]\nstate_dir = "{tmp_path}/real/state"\n[view]\nmountpoint = "{tmp_path}/real/view"'
    found = problems(roots(a=tmp_path / "real") + "\n" + own)
    (both,) = found  # one line of the file, one problem
    assert "contains daemon.state_dir" in both and "contains view.mountpoint" in both
    (socket,) = problems(roots(a=tmp_path / "real") + f'\n[daemon]\nruntime_dir = "{tmp_path}/real/run"')
    assert "contains daemon.runtime_dir" in socket
    (inside,) = problems(roots(a="/srv/state/files") + '\n[daemon]\nstate_dir = "/srv/state"')
    assert "lies inside daemon.state_dir" in inside


def test_siblings_with_a_common_beginning_are_not_nested() -> None:
    assert len(c.parse(roots(a="/srv/photos", b="/srv/photos-2"), SOURCE).roots) == 2


def test_a_root_may_differ_from_the_others() -> None:
    own = 'mode = "poll"\npoll_s = 60\nrescan_s = 0\n'
    first, second = (config := c.parse(roots(a="/srv/a") + "\n" + own + roots(b="/srv/b"), SOURCE)).roots
    watch = c.watch_of(first, config.watch)
    assert (watch.mode, watch.poll_s, watch.rescan_s) == ("poll", 60.0, 0.0)
    assert watch.settle_s == config.watch.settle_s and c.watch_of(second, config.watch) == config.watch
    wrong = 'mode = "magic"\nrescan_s = 3\ncanary = "a/b"\n'
    told = problems(roots(a="/srv/a") + "\n" + wrong)
    assert [line.split(":")[0] for line in told] == ["4", "5", "6"] and "none of auto, events, poll" in told[0]


def test_two_roots_of_one_name() -> None:
    assert problems(roots(a="/srv/a") + "\n" + roots(a="/srv/b")) == ["5: name: a second root named 'a'"]


@pytest.mark.parametrize("name", ["", "A", "ä", "a/b", "..", "-a", "a b", "a\\n", "a" * 64])
def test_bad_root_names(name: str) -> None:
    assert problems(f'[[root]]\nname = "{name}"\npath = "/srv/a"')[0].startswith("2: name:")


# --- buckets -----------------------------------------------------------------------------------------------


_LIST = 'redis = "redis://nas:6379/0/events"'


def bucket(*lines: str, name: str = "cloud") -> str:
    head = f'[[root]]\nname = "{name}"\nbucket = "photos"\nendpoint = "http://nas:9000"'
    return "\n".join([head, *lines, ""])


def test_a_bucket_is_a_root_of_another_kind() -> None:
    text = roots(a="/srv/a") + "\n" + bucket('prefix = "2024/"', "listen = false", "rescan_s = 60", 'tls_ca = "/x.pem"')
    config = c.parse(text, SOURCE)
    (directory,), (cloud,) = config.roots, config.buckets
    assert (directory.name, cloud.name, cloud.bucket, cloud.endpoint) == ("a", "cloud", "photos", "http://nas:9000")
    assert (cloud.prefix, cloud.listen, cloud.object_tags, cloud.tls_ca) == ("2024/", False, True, "/x.pem")
    assert c.watch_of(cloud, config.watch).rescan_s == 60.0
    assert c.watch_of(cloud, config.watch).removal_share == config.watch.removal_share
    assert config.cache_dir == config.daemon.state_dir / "objects"
    assert c.parse('[objects]\ncache_dir = "~/x"', SOURCE).cache_dir == Path.home() / "x"
    assert c.parse(c.to_toml(config), SOURCE) == config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (bucket('path = "/srv"'), "1: path, bucket: a root is a directory or a bucket"),
        (bucket() + roots(cloud="/srv"), "6: name: a second root named 'cloud'"),
        ('[[root]]\nname = "a"\nendpoint = "http://nas"', "1: bucket is missing"),
        ('[[root]]\nname = "a"\nbucket = "photos"', "1: endpoint is missing"),
        ('[[root]]\nname = "a"\nbucket = "My_Photos"\nendpoint = "http://nas"', "3: bucket: 'My_Photos' is not the"),
        ('[[root]]\nname = "a"\nbucket = "photos"\nendpoint = "nas:9000"', "4: endpoint: 'nas:9000' is not such as"),
        ('[[root]]\nname = "a"\nbucket = "photos"\nendpoint = "http://nas/x"', "4: endpoint: 'http://nas/x'"),
        ('[[root]]\nname = "a"\nbucket = "photos"\nendpoint = "http://nas:65536"', "4: endpoint: 'http://nas:65536'"),
        ('[[root]]\nname = "a"\nbucket = "photos"\nendpoint = "http://me:s3cret@nas"', "4: endpoint: 'http://…@nas'"),
        ('[[root]]\nname = "a"\npath = "/a"\n[web]\nlisten = "0.0.0.0:99999"', "5: listen: '0.0.0.0:99999' is not"),
        (bucket('endpont = "x"'), "5: unknown key 'endpont'; did you mean 'endpoint'?"),
        (bucket('marker = "x"'), "5: unknown key 'marker'"),
        (bucket('prefix = "2024"'), "5: prefix: '2024' also fits '2024-and-more'; end it with /"),
        (bucket('prefix = "a\\u0000/"'), "5: prefix: not the beginning of any key"),
        (bucket(f'prefix = "{"ü" * 501}/"'), "5: prefix: not the beginning of any key"),
        (bucket('addressing = "dns"'), "5: addressing: 'dns' is none of"),
        (bucket('access_key = "a"'), "1: secret_key is missing"),
        (bucket('credentials = "keys/minio"'), "5: credentials: 'keys/minio' is not a file, from /, or"),
        (bucket('mqtt = "nas:1883/t"'), "5: mqtt: not like mqtt://"),
        (bucket('mqtt = "mqtt://nas:99999/t"'), "5: mqtt: not an address such as mqtt://"),
        (bucket('mqtt = "mqtt://nas"'), "5: mqtt: not like mqtt://"),
        (bucket('mqtt = "mqtt://nas/all/#"'), "5: mqtt: not like mqtt://"),
        (bucket('redis = "redis://nas/key"'), "5: redis: not like redis://"),
        (bucket('redis = "redis://:pw@nas/0/key"'), "5: redis: a password has a key of its own, redis_password"),
        (
            bucket('prefix = "x/"', _LIST, name="a") + bucket('prefix = "y/"', _LIST, name="b"),
            "12: redis: root 'a' reads",
        ),
        (bucket('webhook_token = "short"'), "5: webhook_token: 16 or more"),
        (bucket("rescan_s = 3"), "5: rescan_s: between 0 (never by itself)"),
        (bucket(name="a") + bucket('prefix = "x/"', name="b"), "7: bucket: root 'a' has some of the same keys"),
        (bucket() + '[lake]\nuri = "s3://photos/lake"\nendpoint = "http://NAS:9000/"', "3: bucket: the lake (s3://pho"),
        ('[lake]\nuri = "file:///x"', "2: uri: 'file:///x' is not s3://BUCKET/PREFIX"),
        ('[lake]\nuri = "s3://lake/../other"', "2: uri: 's3://lake/../other' is not s3://BUCKET/PREFIX"),
        ('[lake]\nuri = "s3://lake/a//b"', "2: uri: 's3://lake/a//b' is not s3://BUCKET/PREFIX"),
        ('[lake]\nuri = "s3://lake/a?b=c"', "2: uri: 's3://lake/a?b=c' is not s3://BUCKET/PREFIX"),
        ('[lake]\nsecret_key = "x"', "1: access_key and secret_key go together"),
        ('[web]\nlisten = "8420"', "2: listen: '8420' is not HOST:PORT"),
    ],
)
def test_each_problem_of_a_bucket_in_words(text: str, message: str) -> None:
    assert any(line.startswith(message) for line in problems(text)), problems(text)


def test_prefixes_side_by_side_share_a_bucket_and_the_lake_has_its_own() -> None:
    text = bucket('prefix = "a/"', name="a") + bucket('prefix = "ab/"', name="b")
    lake = '[lake]\nuri = "s3://photos/lake"\nendpoint = "http://nas:9000"\n'
    assert len(c.parse(text + lake, SOURCE).buckets) == 2


def test_the_cache_lies_outside_of_what_is_watched() -> None:
    (inside,) = problems(roots(a="/srv/a") + '\n[objects]\ncache_dir = "/srv/a/cache"')
    assert "contains objects.cache_dir" in inside


# --- where it is looked for --------------------------------------------------------------------------------


def test_search_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, system, named = (tmp_path / name for name in ("own", "system.toml", "named.toml"))
    monkeypatch.setattr(c.places, "SYSTEM_CONFIG", system)
    environ = {"XDG_CONFIG_HOME": str(own)}
    for as_root in (True, False):
        monkeypatch.setattr(c.places, "is_root", lambda as_root=as_root: as_root)
        assert c.find(None, environ) is None
    system.touch()
    assert c.find(None, environ) == system
    (own / "lakewatchd").mkdir(parents=True)
    mine = own / "lakewatchd" / "lakewatchd.toml"
    mine.touch()
    assert c.find(None, environ) == mine
    monkeypatch.setattr(c.places, "is_root", lambda: True)
    assert c.find(None, environ) == system
    assert c.find(None, {**environ, "LAKEWATCHD_CONFIG": str(named)}) == named
    assert c.find(tmp_path / "x", {"LAKEWATCHD_CONFIG": str(named)}) == tmp_path / "x"


def test_a_named_file_must_be_there_and_be_text(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file") as caught:
        c.load(tmp_path / "none.toml")
    assert caught.value.hint is not None and "cp " in caught.value.hint
    (tmp_path / "bad.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8"):
        c.load(tmp_path / "bad.toml")
    with pytest.raises(ConfigError, match="directory"):
        c.load(tmp_path)


def test_a_file_that_anybody_can_change_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text("")
    path.chmod(0o644)
    assert c.load(path).source == path, "to be read by anybody is no harm where there is no secret"
    path.chmod(0o646)
    with pytest.raises(ConfigError, match="anybody can change it") as caught:
        c.load(path)
    assert caught.value.hint == f"chmod o-w {path}"


def test_a_secret_that_anybody_can_read_is_refused_and_never_printed(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text(bucket('secret_key = "hush-hush"', 'access_key = "me-me"', 'webhook_token = "0123456789hush-hush"'))
    path.chmod(0o644)
    told = r"anybody can read root\.access_key, root\.secret_key, root\.webhook_token"
    with pytest.raises(ConfigError, match=told) as caught:
        c.load(path)
    assert caught.value.hint == f"chmod o= {path}" and "hush" not in caught.value.message
    path.chmod(0o640)
    config = c.load(path)
    assert config.buckets[0].secret_key == "hush-hush"
    shown = c.to_toml(config)
    assert "# secret_key is set" in shown and "# webhook_token is set" in shown
    for text in (shown, repr(config), str(config.buckets[0])):
        assert "hush" not in text and "me-me" not in text
    path.write_text(bucket('secret_key = ""'))
    path.chmod(0o644)
    assert c.load(path).buckets[0].secret_key == "", "an empty secret is none"


def test_a_secret_is_not_printed_either_where_it_is_wrong() -> None:
    wrong = 'webhook_token = "hush hush"', "mqtt_password = 42424242", 'mqtt = "mqtt://me:hush@broker/topic"'
    found = problems(bucket(*wrong) + '[lake]\naccess_key = ["hush"]\n')
    assert len(found) == 4 and not any("hush" in line or "4242" in line for line in found), found
    assert any("mqtt_password: it is kept secret there" in line for line in found)


@pytest.mark.parametrize("section", [c.BucketConfig, *(type(getattr(c.defaults(), name)) for name in c.SECTIONS)])
def test_no_section_shows_a_secret_when_it_is_printed_for_a_log(section: type) -> None:
    shown = {item.name for item in dataclasses.fields(section) if item.repr}
    assert not shown & secret_fields(section)


def test_a_user_gets_places_of_their_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", "relative: to be ignored")
    mine = c.defaults(system=False)
    assert mine.daemon.state_dir == tmp_path / "data" / "lakewatchd"
    assert mine.daemon.runtime_dir == tmp_path / "data" / "lakewatchd" / "run"
    assert mine.socket_path == mine.daemon.runtime_dir / "control.sock"
    assert c.defaults(system=True).daemon.state_dir == Path("/var/lib/lakewatchd")


def test_taxonomy_beside_the_file_wins(tmp_path: Path) -> None:
    source = tmp_path / "lakewatchd.toml"
    assert c.defaults(source=source).tags.taxonomy == c.packaged("taxonomy.toml")
    (tmp_path / "taxonomy.toml").touch()
    assert c.defaults(source=source).tags.taxonomy == tmp_path / "taxonomy.toml"


# --- the shipped file, and printing ------------------------------------------------------------------------


def test_the_shipped_file_equals_the_defaults() -> None:
    shipped = c.parse(SHIPPED.read_text(), SOURCE)
    assert shipped == c.defaults(source=SOURCE)


def test_the_shipped_file_names_every_key_and_its_commented_paths_are_those_of_a_system() -> None:
    active = re.sub(r"^# (?=(\w+ = |\[\[root\]\]$))", "", SHIPPED.read_text(), flags=re.MULTILINE)
    config = c.parse(active, c.SYSTEM_CONFIG)
    (root,), (cloud,) = config.roots, config.buckets
    assert (root.name, root.path) == ("photos", Path("/srv/photos"))
    assert all(getattr(root, item.name) is not None for item in dataclasses.fields(root))
    required = {"name": "cloud", "bucket": "photos", "endpoint": "http://nas:9000", "rescan_s": 3600.0}
    assert cloud == c.BucketConfig(**required)  # type: ignore[arg-type]
    block = active.split("\n[[root]]\n")[2].split("\n[")[0]
    assert re.findall(r"^(\w+) = ", block, flags=re.MULTILINE) == [item.name for item in dataclasses.fields(cloud)]
    system = c.defaults(system=True, source=c.SYSTEM_CONFIG)
    wanted = dataclasses.replace(
        system,
        roots=config.roots,
        buckets=config.buckets,
        tags=c.TagConfig(taxonomy=Path("/etc/lakewatchd/taxonomy.toml")),
    )
    assert config == wanted
    for section in c.SECTIONS:
        body = active.split(f"\n[{section}]\n")[1].split("\n[")[0]
        named = re.findall(r"^(\w+) = ", body, flags=re.MULTILINE)
        assert named == [field.name for field in dataclasses.fields(getattr(system, section))]


def test_every_key_of_the_shipped_file_is_explained() -> None:
    text = SHIPPED.read_text()
    for block in re.split(r"\n\s*\n", text):
        if re.search(r"^\w+ = ", block, flags=re.MULTILINE):
            assert re.search(r"^# [A-Za-z].*[.:,]?", block, flags=re.MULTILINE), block


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
paths = texts.filter(lambda text: "\0" not in text).map(lambda text: Path("/srv/x") / ("_" + text.replace("/", "_")))


@given(
    root=st.builds(c.RootConfig, name=st.from_regex(r"[a-z0-9][a-z0-9_-]{0,9}", fullmatch=True), path=paths),
    watch=st.builds(c.WatchConfig, settle_s=st.floats(0.05, 600), ignore=st.lists(texts).map(tuple)),
    models=st.builds(c.ModelConfig, image_text=texts, threads=st.integers(1, 256)),
    view=st.builds(c.ViewConfig, mountpoint=paths.map(lambda p: Path("/mnt") / p.name), allow_other=st.booleans()),
)
def test_what_is_printed_reads_back(
    root: c.RootConfig, watch: c.WatchConfig, models: c.ModelConfig, view: c.ViewConfig
) -> None:
    base = c.defaults(source=SOURCE)
    config = dataclasses.replace(base, roots=(root,), watch=watch, models=models, view=view)
    assert c.parse(c.to_toml(config), SOURCE) == config


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        c.parse(text, SOURCE)
    except ConfigError as refused:
        assert refused.message
