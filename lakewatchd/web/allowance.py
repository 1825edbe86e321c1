"""How often an address may ask for what is dear: a bucket of tokens for each.

The invariant: of addresses the latest are known, so memory is bounded; who comes by the UNIX socket is never refused.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from fastapi import Request
from starlette.exceptions import HTTPException

from lakewatchd.web.tokens import network_of

ADDRESSES = 4096


class Allowance:
    def __init__(self, clock: Callable[[], float], burst: int, every_s: float) -> None:
        """``burst`` at once, and one more ``every_s``."""
        self._clock = clock
        self._burst = burst
        self._every_s = every_s
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """When it last asked, and how many it had left then."""

    def wait_s(self, address: str) -> float:
        """0: granted, and counted. Else how long until the next is."""
        who, now = network_of(address), self._clock()
        since, left = self._left.pop(who, (now, float(self._burst)))
        left = min(self._burst, left + (now - since) / self._every_s)
        wait_s = 0.0 if left >= 1 else (1 - left) * self._every_s
        self._left[who] = now, left if wait_s else left - 1
        if len(self._left) > ADDRESSES:
            self._left.popitem(last=False)
        return wait_s

    def __call__(self, request: Request) -> None:
        """As a dependency of endpoints. Raises ``HTTPException``."""
        if request.client is not None and (wait_s := self.wait_s(request.client.host)):
            said = f"too many at once: {self._burst}, and one more every {self._every_s:g} s"
            raise HTTPException(429, said, {"Retry-After": str(int(wait_s) + 1)})
