"""The real daemon with its long waits cut short, so that a history of minutes takes seconds."""

from __future__ import annotations

import sys

from lakewatchd.cli.main import main
from lakewatchd.queue import retry
from lakewatchd.sources.live import RootSource

if __name__ == "__main__":
    assert RootSource.__init__.__kwdefaults__ is not None
    RootSource.__init__.__kwdefaults__["health_s"] = 0.2
    retry.ROOT_AWAY_S = 0.5
    sys.exit(main())
