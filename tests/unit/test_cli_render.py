"""What a person sees: everything that matters is on the screen, and nothing from outside can draw there."""

from __future__ import annotations

import io

from rich.console import Console

from lakewatchd.cli import render
from lakewatchd.core import status as s

EVIL = "[red]a[/red]\x1b[2J\n:smile:\udcff"
SHOWN = "[red]a[/red]\\x1b[2J\\x0a:smile:\\udcff"


class At:
    def now(self) -> float:
        return 1000.0

    def monotonic(self) -> float:
        return 0.0


def drawn(view: object) -> str:
    out = io.StringIO()
    Console(file=out, width=200, color_system=None, highlight=False).print(view)
    return out.getvalue()


STATUS = s.Status(
    version="1.2",
    pid=42,
    uptime_s=120,
    roots=(
        s.RootView("photos", EVIL, "present", watching="events", files=1234, ignored=5, last_scan=940.0),
        s.RootView("nas", "/mnt/nas", "away", reason="not mounted", hint="mount /mnt/nas"),
    ),
    queue=(s.QueueLine("ingest", "fresh", "ready", 10), s.QueueLine("ingest", "backfill", "ready", 2000)),
    parked=(s.ParkedGroup("damaged-media", 3, "look at it", "photos:" + EVIL),),
    models=(s.ModelView("text", "MiniLM", "ready"), s.ModelView("detector", "-", "missing", "no onnxruntime")),
    lake=s.LakeView("/var/lib/x", (s.TableView("gold_assets", 1200, 5_000_000, 7),)),
    problems=(s.Problem("disk nearly full", "make room"),),
)


def test_status_tells_everything() -> None:
    text = drawn(render.status_view(STATUS, At()))
    for expected in (
        "watching 2 roots, 1,234 files, 1 away; 2,010 queued; 3 parked", "pid 42, up 2 min", "1,234", "60 s ago",
        "nas: not mounted", "fix: mount /mnt/nas", "2,010", "3 damaged-media", "fix: look at it", "MiniLM",
        "detector: no onnxruntime", "gold_assets", "5.0 MB in /var/lib/x", "disk nearly full", "fix: make room",
    ):  # fmt: skip
        assert expected in text, expected


def test_text_from_outside_is_neither_markup_nor_control() -> None:
    text = drawn(render.status_view(STATUS, At()))
    assert text.count(SHOWN) == 2
    assert "\x1b" not in text


def test_an_idle_status_is_short() -> None:
    assert len(drawn(render.status_view(s.Status("1", pid=1), At())).splitlines()) == 2


def test_queue_list() -> None:
    item = s.QueueItem("describe", "photos:" + EVIL, "parked", reason="damaged-media", message="truncated")
    text = drawn(render.queue_view(s.QueueListing(STATUS.parked, (item,), total=3)))
    assert "3 damaged-media" in text and "damaged-media: truncated" in text and "2 more" in text
    assert "\x1b" not in text
    assert drawn(render.queue_view(s.QueueListing())) == "nothing waits and nothing is parked\n"


def test_explanation() -> None:
    text = drawn(render.explanation_view(s.Explanation(EVIL, (s.Fact("asset", "ab12"),), "shown in by-tag/cat")))
    assert SHOWN in text and "ab12" in text and "shown in by-tag/cat" in text


def test_a_gap_in_the_sandbox_is_shown_and_a_whole_one_is_not() -> None:
    whole, gap = s.Layer("seccomp", True, "by allow list"), s.Layer("landlock", False, "this kernel does not have it")
    assert "Sandbox" not in drawn(render.status_view(s.Status("1.2", sandbox=(whole,))))
    assert "without landlock: this kernel does not have it" in drawn(
        render.status_view(s.Status("1.2", sandbox=(gap,)))
    )
