"""Which code, with which settings, made a derived value."""

from __future__ import annotations

import enum
import hashlib
import json
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Transform:
    """A stage, its version and a hash of all settings that change its result."""

    name: str
    version: int
    config_hash: str

    @classmethod
    def of(cls, name: str, version: int, config: object) -> Transform:
        """``config`` is anything JSON can hold; equal settings give equal transforms on every machine."""
        raw = json.dumps(config, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return cls(name, version, hashlib.blake2b(raw.encode(), digest_size=6).hexdigest())

    @property
    def id(self) -> str:
        """``embed/2/9f86d081884c``: what derived rows carry."""
        return f"{self.name}/{self.version}/{self.config_hash}"


class RunState(enum.StrEnum):
    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class StageRun:
    """One run of one stage, as the ``lineage`` table keeps it."""

    subject: str
    """What it worked on: an asset id, or ``root:path`` while the content is not known yet."""
    stage: str
    transform: str
    started_at: float
    duration_s: float
    state: RunState
    detail: str = ""
