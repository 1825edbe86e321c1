"""Who may post events where: a token for each root. And how many wrong ones an address may try.

Only hashes of the tokens are known here. The invariant: a right token is never turned away for what others tried.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections import OrderedDict
from collections.abc import Callable, Mapping

MAX_TOKEN_BYTES = 1024


class Tokens:
    def __init__(self, sha256: Mapping[str, bytes]) -> None:
        """By the name of the root."""
        self._sha256 = dict(sha256)

    def roots_of(self, authorization: bytes) -> tuple[str, ...]:
        """The roots that the token in an ``Authorization`` header is for, with ``Bearer`` in front or, as MinIO can be
        told, without. In a time that tells nothing of the tokens."""
        kind, _, rest = authorization.strip().partition(b" ")
        token = rest.strip() if kind.lower() == b"bearer" else authorization.strip()
        digest = hashlib.sha256(token[:MAX_TOKEN_BYTES]).digest()
        return tuple([root for root, known in self._sha256.items() if hmac.compare_digest(digest, known)])


class Strikes:
    """Wrong tokens by address: after ``allowed`` in ``window_s`` it is told to stop. Knows the latest addresses."""

    def __init__(
        self, clock: Callable[[], float], allowed: int = 50, window_s: float = 10.0, addresses: int = 4096
    ) -> None:
        self._clock = clock
        self._allowed = allowed
        self._window_s = window_s
        self._addresses = addresses
        self._since: OrderedDict[str, tuple[float, int]] = OrderedDict()
        """When its window began, and how many wrong tokens there were in it."""

    def strike(self, address: str) -> bool:
        """Count one. Whether it was one too many."""
        who, now = network_of(address), self._clock()
        since, count = self._since.pop(who, (now, 0))
        if now - since > self._window_s:
            since, count = now, 0
        self._since[who] = since, count + 1
        if len(self._since) > self._addresses:
            self._since.popitem(last=False)
        return count >= self._allowed


def network_of(address: str) -> str:
    """Whom an address stands for: of IPv6 anybody has 2**64."""
    if ":" not in address:
        return address
    return str(ipaddress.ip_network((address.partition("%")[0], 64), strict=False))
