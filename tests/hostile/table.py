"""``python -m tests.hostile.table [DIR]``: every hostile file through a real daemon, as a table of expected and got.

The daemon runs without the right to read what its user may not, also when root asks. Meanwhile files change, vanish
and turn into links under its hands. Exit status 1 if an answer is another than expected, if what lies outside of the
root got into the lake, if a name forged a line of the log, or if the daemon grew with what it was fed.
"""

from __future__ import annotations

import ctypes
import itertools
import json
import re
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from lakewatchd.core.asset import path_text
from lakewatchd.testing import WITHOUT_MODELS, LiveDaemon
from tests.hostile.cases import DOCUMENT, IGNORED, IMAGE, Case, picture, prose
from tests.hostile.make import make, remove

SETTINGS = f"{WITHOUT_MODELS}[decode]\ndeadline_s = 180.0\n"
"""With more time for a file than is usual: what a slow machine stops half-way gets another answer."""
SECRET = b"What lies outside of the root must never be read.\n"
LIVE_S = 3.0
"""How long files are changed under the daemon's hands."""
MAX_GROWTH_MB = 800
"""Of the daemon over the whole corpus: libraries it loads late, the lake's buffers, the largest documents as text. A
bomb that went off would take gigabytes."""
_LOG_LINE = re.compile(r"(\d{4}-\d\d-\d\d [\d:]{8},\d{3} (DEBUG|INFO|WARNING|ERROR) |    \| )[^\x00-\x1f\x7f-\x9f]*")


def main(arguments: list[str]) -> int:
    base = Path(arguments[0]) if arguments else Path(tempfile.mkdtemp(prefix="lakewatchd-hostile-"))
    root = base / "nas"
    made, skipped = make(root)
    try:
        _let_children_have_no_rights()
        with LiveDaemon(base / "daemon", root, settings=SETTINGS) as daemon:
            before = _peak_mb(daemon)
            made += _play(base, root)
            daemon.wait_idle(600)
            daemon.run("scan")
            daemon.wait_idle(600)
            grown = _peak_mb(daemon) - before
            problems = [*_compare(made, daemon), *_escaped(daemon), *_forged(daemon)]
    finally:
        remove(root)
        shutil.rmtree(base, ignore_errors=True)
    for case, why in skipped:
        print(f"not made  {case.name!a}: {why}")
    print(f"{len(made)} cases; the daemon grew by {grown:.0f} MB")
    if grown > MAX_GROWTH_MB:
        problems.append(f"the daemon grew by {grown:.0f} MB, {MAX_GROWTH_MB} are allowed")
    print("\n".join(problems) or "all as expected")
    return 1 if problems else 0


def _let_children_have_no_rights() -> None:
    """Root's children that are started from here on are root by name only; this process can still clean up."""
    for capability in range(64):
        ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP; fails, rightly, for who is not root


# --- what happens while it runs ----------------------------------------------------------------------------


def _play(base: Path, root: Path) -> list[Case]:
    """Change things for a while, then leave each in its last state; the cases say what must be known of that."""
    outside, live = base / "outside", root / "live"
    outside.mkdir()
    live.mkdir()
    (outside / "inside.txt").write_bytes(SECRET)
    actors = (_changing, _growing, _vanishing, _swapped, _switched)
    ends = time.monotonic() + LIVE_S
    threads = [threading.Thread(target=actor, args=(live, outside, ends)) for actor in actors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [
        Case("live/changing.txt", DOCUMENT, b""),
        Case("live/growing.png", IMAGE, b""),
        Case("live/vanishing 1.txt", IGNORED, b""),
        Case("live/swapped/inside.txt", DOCUMENT, b""),
        Case("live/switched.txt", IGNORED, b""),
    ]


def _until(ends: float, pause_s: float) -> Iterator[int]:
    """At least once: a thread may begin late."""
    for number in itertools.count():
        yield number
        if time.monotonic() > ends:
            return
        time.sleep(pause_s)


def _changing(live: Path, outside: Path, ends: float) -> None:
    for number in _until(ends, 0.01):
        (live / "changing.txt").write_bytes(prose(f"version {number}") * (number % 50))
    (live / "changing.txt").write_bytes(prose("the last version"))


def _growing(live: Path, outside: Path, ends: float) -> None:
    data = picture("PNG", 90, (500, 400))
    with (live / "growing.png").open("wb") as stream:
        for number in _until(ends, 0.1):
            stream.write(data[number * 10_000 : (number + 1) * 10_000])
            stream.flush()
        stream.write(data[stream.tell() :])


def _vanishing(live: Path, outside: Path, ends: float) -> None:
    for number in _until(ends, 0.05):
        (live / f"vanishing {number}.txt").write_bytes(prose(f"gone soon {number}"))
        (live / f"vanishing {number - 20}.txt").unlink(missing_ok=True)
    for left in live.glob("vanishing *"):
        left.unlink()


def _swapped(live: Path, outside: Path, ends: float) -> None:
    """A directory that is now a real one, now a link to another with a file of the same name in it."""
    real, place = live / "real", live / "swapped"
    real.mkdir()
    for number in _until(ends, 0.001):
        (real / "inside.txt").write_bytes(prose(f"really inside {number // 100}"))
        real.rename(place)
        time.sleep(0.01)
        place.rename(real)
        place.symlink_to(outside)
        time.sleep(0.01)
        place.unlink()
    real.rename(place)


def _switched(live: Path, outside: Path, ends: float) -> None:
    """A file that is now a real one, now a link to one outside."""
    place = live / "switched.txt"
    for number in _until(ends, 0.01):
        place.write_bytes(prose(f"a file now {number // 100}"))
        time.sleep(0.01)
        place.unlink()
        place.symlink_to(outside / "inside.txt")
        time.sleep(0.01)
        place.unlink()
    place.symlink_to(outside / "inside.txt")


# --- judging -----------------------------------------------------------------------------------------------


def _compare(made: list[Case], daemon: LiveDaemon) -> Iterator[str]:
    """Print the table; yield what differs."""
    answer = _answers(daemon)
    for case in made:
        name = path_text(case.name)
        got = answer(name)
        print(f"{'ok  ' if got == case.expected else 'DIFF'}  {got:<26} {name[:90]}")
        if got != case.expected:
            yield f"{name}: expected {case.expected}, got {got}"


def _answers(daemon: LiveDaemon) -> Callable[[str], str]:
    listing = json.loads(daemon.run("queue", "list", "--parked", "--json", "--limit", "1000").stdout)
    parked = {item["key"].removeprefix("nas:"): item["reason"] for item in listing["items"]}
    speechless = [item for item in listing["items"] if not (item["message"] and item["hint"])]
    assert not speechless, f"parked without a message and a hint: {speechless}"
    gold = {row["asset_id"] for row in _rows(daemon, "gold_assets")}
    kinds = {
        row["path_text"]: row["kind"]
        for row in _rows(daemon, "bronze_occurrences")
        if row["presence"] == "present" and row["asset_id"] in gold
    }

    def answer(name: str) -> str:
        if name in parked:
            return f"parked {parked[name]}"
        return f"indexed {kinds[name]}" if name in kinds else "ignored"

    return answer


def _rows(daemon: LiveDaemon, table: str) -> list[dict[str, object]]:
    import lance

    rows: list[dict[str, object]] = lance.dataset(str(daemon.state / "lake" / f"{table}.lance")).to_table().to_pylist()
    return rows


def _escaped(daemon: LiveDaemon) -> Iterator[str]:
    import blake3

    secret = blake3.blake3(SECRET).hexdigest()
    for table in ("bronze_occurrences", "silver_assets", "gold_assets"):
        if any(row["asset_id"] == secret for row in _rows(daemon, table)):
            yield f"a file outside of the root is in {table}"


def _forged(daemon: LiveDaemon) -> Iterator[str]:
    for line in daemon.log.rstrip("\n").split("\n"):
        if not _LOG_LINE.fullmatch(line) or line.startswith("2030-"):
            yield f"a line of the log that the daemon did not write so: {line!a}"


def _peak_mb(daemon: LiveDaemon) -> float:
    assert daemon.process is not None
    status = Path(f"/proc/{daemon.process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
