"""A file as decoders are given it: opened, with what is known of it, and the limits that hold."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import BinaryIO

from lakewatchd.config import DecodeConfig
from lakewatchd.core.content import Identity
from lakewatchd.media.ranged import Need, RangedFile


@dataclass(frozen=True, slots=True)
class Original:
    fd: int
    """Open for reading; stays open."""
    identity: Identity
    name: str
    """For a title and a date where the content has none; may be empty."""
    config: DecodeConfig
    need: Need | None = None
    """Asks for bytes that are not there yet; None where all are."""

    @property
    def mime(self) -> str:
        return self.identity.mime

    def ranged(self, at_most: int | None = None) -> RangedFile:
        """For what reads here and there; of no more than ``at_most`` bytes."""
        return RangedFile(self.fd, self.identity.version.size_bytes, self.need, at_most=at_most)

    def stream(self) -> BinaryIO:
        """From its beginning. Closing it leaves ``fd`` open."""
        if self.need is None:
            return open(self.fd, "rb", closefd=False)
        return io.BufferedReader(self.ranged())
