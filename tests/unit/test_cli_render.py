"""What a person sees: everything that matters is on the screen, and nothing from outside can draw there."""

from __future__ import annotations

import io

from rich.console import Console

from lakewatchd.cli import render
from lakewatchd.core import status as s

EVIL = "[red]a[/red]\x1b[2J\n:smile:\udcff"
SHOWN = "[red]a[/red]\\x1b[2J\\x0a:smile:\\xff"


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


def test_three_roots_one_away_one_polled_one_with_held_removals() -> None:
    """The whole picture, as it is printed."""
    status = s.Status(
        version="1.2", pid=42, uptime_s=7200, loop_lag_ms=3.0,
        roots=(
            s.RootView("photos", "/srv/photos", "present", watching="events (fanotify), rescan every 60 min",
                       files=1_204_881, ignored=12, last_scan=940.0, settling=2),
            s.RootView("nas", "/mnt/nas", "away", reason="does not answer", hint="check the server behind /mnt/nas",
                       files=88_000, last_scan=-6200.0),
            s.RootView("share", "/mnt/share", "present", watching="polled every 5 min: cifs shows no others' changes",
                       files=500, ignored=3, last_scan=700.0,
                       problem="120 files are missing at once; they are kept until you say that they were deleted",
                       hint="lakewatchd scan share --accept-removals",
                       audit=s.RootAudit("share", {"indexed": 379, "gap": 1})),
        ),
        queue=(s.QueueLine("ingest", "fresh", "ready", 312), s.QueueLine("index", "backfill", "leased", 4),
               s.QueueLine("index", "backfill", "parked", 7)),
        rate_per_s=41.0, eta_s=8.0, oldest_unprocessed_s=700.0, gaps=1,
        parked=(s.ParkedGroup("damaged-media", 5, "mend or replace the file", "photos:2024/a.jpg"),
                s.ParkedGroup("not-readable", 2, "let the daemon's user read it", "share:b.txt")),
    )  # fmt: skip
    lines = [line.rstrip() for line in drawn(render.status_view(status, At())).splitlines()]
    assert "\n".join(lines) == GOLDEN


GOLDEN = """\
● watching 3 roots, 1,293,381 files, 1 away; 316 queued, 41.0/s, 8 s left; 7 parked; 1 not accounted for
  lakewatchd 1.2, pid 42, up 2 h 0 min, loop lag 3 ms

Roots
  name    state        files  ignored  last scan      now
  photos  present  1,204,881       12  60 s ago       2 settling
  nas     away        88,000        0  2 h 0 min ago  ·
  share   present        500        3  5 min ago      ·
  photos: /srv/photos, events (fanotify), rescan every 60 min
  nas: /mnt/nas
  share: /mnt/share, polled every 5 min: cifs shows no others' changes
  ! nas: does not answer; its 88,000 files are kept as they were
    fix: check the server behind /mnt/nas
  ! share: 120 files are missing at once; they are kept until you say that they were deleted
    fix: lakewatchd scan share --accept-removals
  ! share: 1 not accounted for, queued for another look
    fix: lakewatchd audit share

Queue
  stage   ready  later  running  parked
  ingest    312      ·        ·       ·
  index       ·      ·        4       7
  the oldest change has been waiting for 12 min

Parked
  5 damaged-media  such as photos:2024/a.jpg
    fix: mend or replace the file
  2 not-readable  such as share:b.txt
    fix: let the daemon's user read it"""


def test_a_bucket_says_of_each_way_in_how_it_is_and_what_it_lost() -> None:
    listen = s.WayState("listen", True, "http://nas:9000", since=900.0, last_event_at=998.0, lag_s=0.1, received=1204)
    broken = s.WayState("mqtt", False, EVIL, since=400.0, bad=3, duplicates=1, reconnects=2, problem="refused")
    bucket = s.RootView(
        "photos", "s3://photos/", "present", watching="events (listen) + rescan every 60 min", files=7, missed=12,
        ways=(listen, broken), problem="mqtt: refused", hint="correct mqtt_password",
    )  # fmt: skip
    cache = s.CacheView("/var/cache/x", 5_000_000, 10_000_000)
    text = drawn(render.status_view(s.Status("1.2", 42, roots=(bucket,), cache=cache), At()))
    for expected in (
        "photos: s3://photos/, events (listen) + rescan every 60 min",
        "listen: connected to http://nas:9000 since 2 min, 1,204 events, the last 2 s ago and 0 s late",
        f"mqtt: not connected to {SHOWN} since 10 min; 2 × connected again, 3 bad, 1 doubled",
        "changes that no event had told of, found by rescans: 12", "! photos: mqtt: refused",
        "fix: correct mqtt_password", "5.0 MB of 10.0 MB in /var/cache/x",
    ):  # fmt: skip
        assert expected in text, f"{expected}\n{text}"


def test_of_an_away_root_without_files_none_are_said_to_be_kept() -> None:
    root = s.RootView("nas", "/mnt/nas", "away", reason="does not answer")
    text = drawn(render.status_view(s.Status("1.2", 42, roots=(root,)), At()))
    assert "! nas: does not answer" in text and "kept" not in text


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
