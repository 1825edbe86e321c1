"""Which strategy a root gets, and the words that say why."""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace
from pathlib import Path

import pytest

from lakewatchd.config import WatchConfig
from lakewatchd.sources import budget, canary
from lakewatchd.sources.canary import NotAsked, Sang, Silent
from lakewatchd.sources.strategy import Facts, Polls, choose

AUTO = WatchConfig()
LOCAL = Facts("ext4", "inotify")
REMOTE = Facts("fuse.juicefs", "inotify")
OVER = replace(LOCAL, unwatched=1203, why_unwatched="the kernel allows 65,536 watches")
MUTE = replace(LOCAL, no_events="no event came of opening its directory")


@pytest.mark.parametrize(
    ("facts", "config", "events", "polls", "text"),
    [
        (LOCAL, AUTO, "inotify", Polls.NOTHING, "events (inotify) + rescan every 60 min"),
        (REMOTE, AUTO, "inotify", Polls.ALL,
         "events (inotify) + polled every 5 min + rescan every 60 min: "
         "fuse.juicefs shows no changes made by others"),
        (REMOTE, WatchConfig(mode="events"), "inotify", Polls.NOTHING, "events (inotify) + rescan every 60 min"),
        (LOCAL, WatchConfig(mode="poll", poll_s=60, rescan_s=0), "", Polls.ALL, "polled every 60 s: as configured"),
        (OVER, AUTO, "inotify", Polls.REST,
         "events (inotify) + 1,203 directories polled every 5 min + rescan every 60 min: "
         "the kernel allows 65,536 watches"),
        (OVER, WatchConfig(mode="events"), "inotify", Polls.REST,
         "events (inotify) + 1,203 directories polled every 5 min + rescan every 60 min: "
         "the kernel allows 65,536 watches"),
        (MUTE, AUTO, "", Polls.ALL,
         "polled every 5 min + rescan every 60 min: no event came of opening its directory"),
        (MUTE, WatchConfig(poll_s=0), "", Polls.NOTHING,
         "rescan every 60 min: no event came of opening its directory"),
        (LOCAL, WatchConfig(rescan_s=0), "inotify", Polls.NOTHING, "events (inotify)"),
        (replace(LOCAL, tier=""), WatchConfig(poll_s=0, rescan_s=0), "", Polls.NOTHING,
         "scanned at the start and when asked"),
    ],
)  # fmt: skip
def test_the_choice(facts: Facts, config: WatchConfig, events: str, polls: Polls, text: str) -> None:
    strategy = choose(facts, config)
    assert (strategy.events, strategy.polls, strategy.text) == (events, polls, text)


def test_the_canary_sings_and_leaves_nothing(tmp_path: Path) -> None:
    assert canary.sing(tmp_path) == Sang() == canary.sing(tmp_path, ".canary")
    assert list(tmp_path.iterdir()) == []
    assert isinstance(canary.sing(tmp_path / "gone"), NotAsked)
    (tmp_path / "way").symlink_to(tmp_path / "target")
    assert isinstance(canary.sing(tmp_path, "way"), NotAsked) and not (tmp_path / "target").exists()


def test_the_canary_takes_no_file_of_somebody(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("words")
    os.mkfifo(tmp_path / "fifo")
    assert isinstance(canary.sing(tmp_path, "mine"), NotAsked) and (tmp_path / "mine").read_text() == "words"
    assert isinstance(canary.sing(tmp_path, "fifo"), NotAsked)
    (tmp_path / "left").touch()  # by one that was killed
    assert canary.sing(tmp_path, "left") == Sang() and not (tmp_path / "left").exists()


def test_a_silent_canary_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canary, "_open", lambda root: None)
    assert canary.sing(tmp_path, answer_s=0.05) == Silent("no event came of opening its directory")


def test_the_canary_gives_its_descriptor_back(tmp_path: Path) -> None:
    def held() -> int:
        """Not all that is open: what others of this process open and close meanwhile is no matter of ours."""
        found = []
        for name in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):  # that of the listing itself
                found.append(str(Path("/proc/self/fd", name).readlink()))
        return sum("inotify" in place or place.startswith(str(tmp_path)) for place in found)

    before = held()
    for _ in range(20):
        canary.sing(tmp_path)
        canary.sing(tmp_path / "gone")
    assert held() <= before


def test_the_budget_and_its_fix() -> None:
    assert budget.fix(80, 100) == ""
    assert "fs.inotify.max_user_watches=524288" in budget.fix(81, 100)
    assert "fs.inotify.max_user_watches=2097152" in budget.fix(600_000, 700_000)
