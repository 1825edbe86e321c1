"""What every test may use. Model fixtures come from ``fixtures_models`` where that file exists."""

from pathlib import Path

import pytest
from hypothesis import settings

if (Path(__file__).parent / "fixtures_models.py").exists():
    pytest_plugins = ["fixtures_models"]

# Other work on the machine must not fail a property test: only its statement may. The test timeout still holds.
settings.register_profile("lakewatchd", deadline=None, print_blob=True)
settings.load_profile("lakewatchd")


@pytest.fixture(autouse=True)
def _outside_of_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests behave the same in a shell, in CI and inside a unit."""
    for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "JOURNAL_STREAM", "LAKEWATCHD_CONFIG"):
        monkeypatch.delenv(name, raising=False)
