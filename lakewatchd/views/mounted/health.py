"""What a view tells systemd: that it lives, and in one line what it shows.

Nothing is measured here, and nothing is done about what is told. The invariant: notices come from the event loop
that answers the kernel, so that a view that hangs falls silent, and systemd starts another.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from lakewatchd import telemetry
from lakewatchd.views.mounted.follow import Follower

TELL_S = 2.0
STARTING_S = 30.0
"""While the lake is loaded, systemd is asked again and again for this long: a large one takes minutes."""


@dataclass(slots=True)
class Health:
    follower: Follower
    is_mounted: bool = False
    _told: str = ""

    async def run(self) -> None:
        """Tell until cancelled, at least twice as often as systemd wants to hear of us."""
        interval = telemetry.watchdog_interval_s()
        every = min(TELL_S, interval) if interval else TELL_S
        while True:
            self.tell()
            await asyncio.sleep(every)

    def tell(self) -> None:
        if self.sentence != self._told:
            telemetry.notify_status(self.sentence)
            self._told = self.sentence
        telemetry.notify("WATCHDOG=1" if self.is_mounted else f"EXTEND_TIMEOUT_USEC={STARTING_S * 1e6:.0f}")

    @property
    def sentence(self) -> str:
        """``showing 57 files``"""
        files = self.follower.index.places
        what = f"{files:,} file" if files == 1 else f"{files:,} files"
        text = f"showing {what}" if self.is_mounted else f"loading: {what} so far"
        return f"{text}; the lake cannot be read just now" if self.follower.is_behind else text
