"""Log lines that cannot be forged, notices that reach systemd, and lag that is really measured."""

from __future__ import annotations

import asyncio
import io
import logging
import os
import socket
import time
import types
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakewatchd import telemetry as t


@pytest.fixture
def root_logger() -> Iterator[logging.Logger]:
    logger = logging.getLogger()
    handlers, level = logger.handlers[:], logger.level
    yield logger
    logger.handlers[:], logger.level = handlers, level
    logging.captureWarnings(False)


@given(st.text(st.characters(codec=None)))
def test_any_text_is_one_printable_encodable_line(text: str) -> None:
    shown = t.one_line(text)
    assert len(shown.splitlines()) <= 1
    shown.encode()
    assert not any(char < " " or "\x7f" <= char <= "\x9f" for char in shown)


def test_ordinary_text_is_unchanged() -> None:
    assert t.one_line("Urlaub Ø 日本 – «a» \\n") == "Urlaub Ø 日本 – «a» \\n"


def test_a_file_name_cannot_forge_a_record(root_logger: logging.Logger) -> None:
    out = io.StringIO()
    t.set_up_logging("info", stream=out)
    evil = "a.jpg\n2026-01-01 00:00:00,000 ERROR   all is lost\x1b[2J\udcff"
    logging.getLogger("x").warning("cannot read %s", evil, extra={"root": "photos", "path": evil, "attempt": 0})
    (line,) = out.getvalue().splitlines()
    assert line.endswith(r"\x1b[2J\xff attempt=0")
    assert "root=photos path=a.jpg\\x0a2026" in line


def test_a_traceback_stays_behind_its_bar(root_logger: logging.Logger) -> None:
    out = io.StringIO()
    t.set_up_logging("info", stream=out)
    try:
        raise ValueError("first\nERROR forged")
    except ValueError:
        logging.getLogger("x").exception("failed")
    first, *rest = out.getvalue().splitlines()
    assert "failed" in first
    assert rest and all(line.startswith("    | ") for line in rest)


def test_levels(root_logger: logging.Logger) -> None:
    out = io.StringIO()
    t.set_up_logging("warning", stream=out)
    logging.getLogger("x").info("quiet")
    assert out.getvalue() == ""


def test_under_journald_lines_carry_their_priority(
    root_logger: logging.Logger, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "systemd", None)  # as on a machine without the extra
    with (tmp_path / "journal").open("w+") as stream:
        stat = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{stat.st_dev}:{stat.st_ino}")
        t.set_up_logging("info", stream=stream)
        logging.getLogger("x").error("broken", extra={"stage": "tag"})
        logging.getLogger("x").info("fine")
        stream.seek(0)
        assert stream.read() == "<3>broken stage=tag\n<6>fine\n"


EVIL = "a.jpg\n<0>all is lost\nPRIORITY=0\x1b[2J\udcff\u202e"


def test_under_journald_a_file_name_cannot_forge_a_line_nor_its_priority(
    root_logger: logging.Logger, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "systemd", None)
    with (tmp_path / "journal").open("w+", encoding="utf-8") as stream:
        stat = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{stat.st_dev}:{stat.st_ino}")
        t.set_up_logging("info", stream=stream)
        logging.getLogger("x").info("cannot read %s", EVIL, extra={"path": EVIL})
        stream.seek(0)
        (line,) = stream.read().splitlines()
        assert line.startswith("<6>cannot read a.jpg\\x0a<0>all") and "\x1b" not in line


def test_under_journald_a_file_name_cannot_forge_a_field(
    root_logger: logging.Logger, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sent: list[tuple[str, dict[str, object]]] = []
    journal = types.SimpleNamespace(send=lambda message, **fields: sent.append((message, fields)))
    monkeypatch.setitem(__import__("sys").modules, "systemd", types.SimpleNamespace(journal=journal))
    with (tmp_path / "journal").open("w+") as stream:
        stat = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{stat.st_dev}:{stat.st_ino}")
        t.set_up_logging("info", stream=stream)
        logging.getLogger("x").warning("cannot read %s", EVIL, extra={"path": EVIL, "root": EVIL})
    ((message, fields),) = sent
    assert fields.pop("PRIORITY") == 4
    for text in (message, *fields.values()):
        assert isinstance(text, str) and text.isprintable() and len(text.splitlines()) == 1


@pytest.mark.parametrize("abstract", [False, True])
def test_notices_reach_the_manager(abstract: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"lakewatchd-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name if abstract else name)
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + name if abstract else name)
        assert t.notify("READY=1")
        assert t.notify_status("57 files\nMAINPID=1")
        assert manager.recv(100) == b"READY=1"
        assert manager.recv(100) == rb"STATUS=57 files\x0aMAINPID=1"


def test_nobody_to_notify(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert not t.notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    assert not t.notify("READY=1")


@pytest.mark.parametrize(
    ("environ", "interval"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "60000000"}, 30.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_watchdog_interval(environ: dict[str, str], interval: float | None) -> None:
    assert t.watchdog_interval_s(environ) == interval


async def test_a_blocked_loop_shows() -> None:
    lag = t.LoopLag(interval_s=0.005)
    task = asyncio.create_task(lag.run())
    await asyncio.sleep(0)  # it has set its alarm
    until = time.monotonic() + 0.06
    while time.monotonic() < until:  # what no task should do
        pass
    await asyncio.wait({task}, timeout=0.01)  # let it notice
    task.cancel()
    assert lag.max_ms >= 50


def test_lag_forgets_after_its_window() -> None:
    lag = t.LoopLag(interval_s=0.1, window_s=10.0)
    lag.record(5.0)
    for _ in range(99):
        lag.record(0.001)
    assert lag.max_ms == 5000
    assert lag.p99_ms == pytest.approx(1.0)
    lag.record(-1.0)
    assert lag.max_ms == pytest.approx(1.0)
