"""The head of a request: all that is known of it when it is decided who may come in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Head:
    method: bytes
    path: bytes
    """As it was sent, without what follows a question mark."""
    headers: Sequence[tuple[bytes, bytes]]
    """Names in lower case."""
    address: str | None
    """Where it comes from; None: by the UNIX socket, so from somebody who may."""

    def get(self, name: bytes) -> bytes:
        """The first header of that name, or nothing."""
        return next((value for key, value in self.headers if key == name), b"")

    def cookie(self, name: bytes) -> bytes:
        for header, value in self.headers:
            if header == b"cookie":
                for pair in value.split(b";"):
                    key, _, said = pair.strip().partition(b"=")
                    if key == name:
                        return said
        return b""
