"""How a root is watched, and why: a pure choice from what was found out about it.

The invariant: every directory of a root is watched, or polled, or the reason says that only rescans look there.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from lakewatchd.config import WatchConfig
from lakewatchd.core.status import duration_text
from lakewatchd.sources import mounts


class Polls(enum.StrEnum):
    """What is visited on a schedule."""

    NOTHING = "nothing"
    REST = "rest"
    """The directories that could not be watched."""
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a root at this moment."""

    file_system: str
    tier: str
    """What tells us of changes, such as ``inotify``; empty when nothing does."""
    no_events: str = ""
    """Why nothing does, or why what does is not to be trusted."""
    unwatched: int = 0
    """Directories that could not be watched."""
    why_unwatched: str = ""


@dataclass(frozen=True, slots=True)
class Strategy:
    events: str
    """The tier that is trusted; empty for none."""
    polls: Polls
    reason: str
    """Why it is polled, or why it should be and is not; empty where events tell all."""
    text: str
    """All of it in one line for people."""


def choose(facts: Facts, config: WatchConfig) -> Strategy:
    """The best that the facts and a person's ``mode`` allow."""
    wanted, reason = _wanted(facts, config.mode)
    polls = wanted if config.poll_s else Polls.NOTHING
    events = "" if facts.no_events or config.mode == "poll" else facts.tier
    return Strategy(events, polls, reason, _sentence(facts, config, events, polls, reason))


def _wanted(facts: Facts, mode: str) -> tuple[Polls, str]:
    """What is to be polled if that is allowed, and why."""
    if mode == "poll":
        return Polls.ALL, "as configured"
    if facts.no_events or not facts.tier:
        return Polls.ALL, facts.no_events
    if mode == "auto" and mounts.is_remote(facts.file_system):
        return Polls.ALL, f"{facts.file_system} shows no changes made by others"
    if facts.unwatched:
        return Polls.REST, facts.why_unwatched
    return Polls.NOTHING, ""


def _sentence(facts: Facts, config: WatchConfig, events: str, polls: Polls, reason: str) -> str:
    every = duration_text(config.poll_s)
    polling = {
        Polls.NOTHING: "",
        Polls.REST: f"{facts.unwatched:,} directories polled every {every}",
        Polls.ALL: f"polled every {every}",
    }[polls]
    rescan = f"rescan every {duration_text(config.rescan_s)}" if config.rescan_s else ""
    parts = [part for part in (f"events ({events})" if events else "", polling, rescan) if part]
    text = " + ".join(parts) or "scanned at the start and when asked"
    return f"{text}: {reason}" if reason else text
