"""What every test may use. Model fixtures come from ``fixtures_models`` where that file exists, servers from
``servers``."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from lakewatchd.core.one_thread import calculate_on_one_thread

calculate_on_one_thread()  # as the front door does it for a daemon

pytest_plugins = ["servers"]
if (Path(__file__).parent / "fixtures_models.py").exists():
    pytest_plugins.append("fixtures_models")

# Other work on the machine must not fail a property test: only its statement may. The test timeout still holds.
settings.register_profile("lakewatchd", deadline=None, print_blob=True)
settings.load_profile("lakewatchd")


@pytest.fixture(autouse=True)
def _what_stays_open_is_told_here() -> Iterator[None]:
    """What a test left open is found by the collector of garbage: at that test's end, and not in another test's middle.
    What was there before is frozen, so that this takes a moment only."""
    gc.freeze()
    yield
    gc.collect()


@pytest.fixture(autouse=True)
def _outside_of_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests behave the same in a shell, in CI and inside a unit."""
    for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "JOURNAL_STREAM", "LAKEWATCHD_CONFIG"):
        monkeypatch.delenv(name, raising=False)


LONG = {"acceptance", "gallery", "hostile", "api", "quality", "crash", "machine", "fuse", "formats"}
"""Directories whose files take half a minute or more: one of them that is begun last would be waited for alone."""
SHORT = {"unit", "meta", "property"}


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """At random, but for how long files take: the box first, which mostly waits. ``scripts/test`` keeps pytest-xdist
    from sorting them otherwise."""
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    if item.get_closest_marker("systemd"):
        return 0
    parts = set(item.path.parts)
    return 1 if parts & LONG else 3 if parts & SHORT else 2
