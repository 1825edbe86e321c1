"""``lakewatchd check``: each finding on a machine where it is true."""

from __future__ import annotations

import dataclasses
import socket
import threading
import tomllib
from collections.abc import Iterable
from pathlib import Path

import pytest

from lakewatchd import config as configs
from lakewatchd.cli import checks
from lakewatchd.config import (
    BucketConfig,
    Config,
    DaemonConfig,
    ModelConfig,
    RootConfig,
    TagConfig,
    ViewConfig,
    WatchConfig,
    WebConfig,
)
from lakewatchd.daemon import web as web_process
from lakewatchd.sources import budget

Level = checks.Level


@pytest.fixture(autouse=True)
def _a_busy_machine_is_not_taken_for_a_dead_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "ANSWER_S", 60.0)
    monkeypatch.setattr(checks, "COUNT_S", 60.0)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    for name in ("files", "state", "run"):
        (tmp_path / name).mkdir(mode=0o750)
    return Config(
        roots=(RootConfig("files", tmp_path / "files"),),
        daemon=DaemonConfig(tmp_path / "state", tmp_path / "run"),
        view=ViewConfig(tmp_path / "view"),
    )


def worst(findings: Iterable[checks.Finding]) -> checks.Finding:
    order = (Level.OK, Level.WARNING, Level.ERROR)
    return max(findings, key=lambda finding: order.index(finding.level))


def test_all_is_well(config: Config) -> None:
    for check in (checks.check_roots, checks.check_state, checks.check_inotify):
        assert worst(check(config)).level is Level.OK


def test_what_the_daemon_would_not_start_with_is_an_error(
    config: Config, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Found by a stranger: ``check`` was content with a taxonomy and with patterns that ``run`` refused."""
    none = dataclasses.replace(config, tags=TagConfig(tmp_path / "none.toml"))
    assert worst(checks.check_taxonomy(none)).level is Level.ERROR
    (tmp_path / "wrong.toml").write_text("[[category]]\nname = 3\n")
    wrong = worst(checks.check_taxonomy(dataclasses.replace(config, tags=TagConfig(tmp_path / "wrong.toml"))))
    assert wrong.level is Level.ERROR and "wrong.toml:1: " in wrong.text
    patterns = dataclasses.replace(config, watch=WatchConfig(ignore=("*.tmp", "[", "!")))
    told = [finding.text for finding in checks.check_ignore(patterns) if finding.level is Level.ERROR]
    assert len(told) == 2 and "'['" in told[0] and "'!'" in told[1]
    assert not list(checks.check_inotify(patterns)), "nothing is known of what would be left out"
    assert "Traceback" not in capfd.readouterr().err
    for check in (checks.check_taxonomy, checks.check_ignore):
        assert worst(check(configs.defaults())).level is Level.OK


def test_no_root_and_a_root_that_is_not_there(config: Config, tmp_path: Path) -> None:
    none = worst(checks.check_roots(dataclasses.replace(config, roots=())))
    assert none.level is Level.ERROR and "[[root]]" in none.fix
    gone = dataclasses.replace(config, roots=(RootConfig("a", tmp_path / "evil\nname"),))
    finding = worst(checks.check_roots(gone))
    assert finding.level is Level.ERROR and "evil\\u000aname" in finding.text and "mkdir" in finding.fix
    (tmp_path / "file").touch()
    finding = worst(checks.check_roots(dataclasses.replace(config, roots=(RootConfig("a", tmp_path / "file"),))))
    assert finding.level is Level.ERROR and "mkdir" not in finding.fix


def test_state_open_to_anybody(config: Config) -> None:
    config.daemon.state_dir.chmod(0o755)
    finding = worst(checks.check_state(config))
    assert finding.level is Level.WARNING and finding.fix.startswith("chmod o=")


@pytest.mark.parametrize(("limit", "level"), [(100, Level.OK), (5, Level.WARNING), (3, Level.WARNING)])
def test_inotify_limit_against_directories(
    config: Config, limit: int, level: checks.Level, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        (tmp_path / "files" / str(number)).mkdir()
    (tmp_path / "inotify").mkdir()
    (tmp_path / "inotify" / "max_user_watches").write_text(f"{limit}\n")
    monkeypatch.setattr(budget, "PROC", tmp_path / "inotify")
    (finding,) = checks.check_inotify(config)
    assert finding.level is level
    assert finding.text.startswith(f"5 directories, {limit} watches allowed")
    assert ("is polled" in finding.text) == (limit < 5)
    assert level is Level.OK or "fs.inotify.max_user_watches=524288" in finding.fix


def test_how_a_root_would_be_watched(config: Config) -> None:
    (finding,) = checks.check_watch(config)
    assert finding.level is Level.OK and finding.text.startswith("events (")
    polled = dataclasses.replace(config, watch=WatchConfig(mode="poll"))
    (finding,) = checks.check_watch(polled)
    assert finding.text == "polled every 5 min + rescan every 60 min: as configured"


def test_a_root_that_hangs_is_told_and_holds_nothing_up(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = threading.Event()
    monkeypatch.setattr(checks, "ANSWER_S", 0.05)
    monkeypatch.setattr(Path, "is_dir", lambda path: answers.wait(250))
    assert "does not answer" in worst(checks.check_roots(config)).text
    answers.set()


def test_counting_ends_in_time_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    ticks = iter(range(100))
    assert checks.count_directories([tmp_path], 0.5, WatchConfig(), lambda: float(next(ticks))) == (1, False)


def test_counting_survives_loops_and_what_vanishes(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    (tmp_path / "\udcff\n").mkdir()
    assert checks.count_directories([tmp_path, tmp_path / "gone"], 60, WatchConfig()) == (4, True)
    (tmp_path / "@eaDir" / "deep").mkdir(parents=True)
    assert checks.count_directories([tmp_path], 60, WatchConfig()) == (3, True), "what is ignored needs no watch"


def test_allow_other(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "FUSE_CONF", tmp_path / "fuse.conf")
    assert not checks._user_allow_other()
    (tmp_path / "fuse.conf").write_text("# user_allow_other\n")
    assert not checks._user_allow_other()
    (tmp_path / "fuse.conf").write_text("mount_max = 9\n user_allow_other \n")
    assert checks._user_allow_other()


def test_a_device_that_is_there_and_cannot_be_opened(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for device, text in ((tmp_path, "cannot be opened: Is a directory"), (tmp_path / "none", "is missing")):
        monkeypatch.setattr(checks, "FUSE", device)
        found = worst(checks.check_fuse(config))
        assert found.level is Level.ERROR and text in found.text and found.fix


def test_every_extra_is_told_where_it_is_wanted(config: Config) -> None:
    pyproject = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    known = set(pyproject["project"]["optional-dependencies"]) - {"media", "sample", "dev"}
    assert {extra for extra, _, _ in checks.EXTRAS} == known
    told = {finding.about for finding in checks.check_extras(config)}
    assert {"extra documents", "extra archives", "extra ocr", "extra speech"} <= told and "extra yolo" not in told
    off = dataclasses.replace(config, models=ModelConfig(speech="off", ocr="off", detector="ultralytics:/x.pt"))
    told = {finding.about for finding in checks.check_extras(off)}
    assert "extra yolo" in told and not {"extra ocr", "extra speech"} & told


def test_a_misspelt_model_is_told_what_was_meant(config: Config) -> None:
    odd = dataclasses.replace(config, models=ModelConfig(text="emb"))
    assert any("did you mean 'embedded'?" in finding.fix for finding in checks.check_models(odd))


def test_models_come_with_a_fix(config: Config) -> None:
    findings = list(checks.check_models(config))
    assert findings
    assert all(finding.fix for finding in findings if finding.level is not Level.OK)


def test_a_port_is_looked_at_only_where_it_would_be_opened(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found where another daemon had the usual port: without its extra this one would never ask for it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        web = WebConfig(listen=f"127.0.0.1:{taken.getsockname()[1]}")
        busy = dataclasses.replace(config, web=web)
        found = worst(checks.check_web(busy))
        assert found.level is Level.ERROR and "Address already in use" in found.text and "ss -ltnp" in found.fix
        assert not list(checks.check_web(dataclasses.replace(busy, web=dataclasses.replace(web, enabled=False))))
        monkeypatch.setattr(web_process, "LIBRARIES", ("no_such_library",))
        assert not list(checks.check_web(busy))
        hook = BucketConfig("photos", "photos", "http://nas:9000", webhook_token="x" * 32)
        assert worst(checks.check_web(dataclasses.replace(busy, buckets=(hook,)))).level is Level.ERROR
