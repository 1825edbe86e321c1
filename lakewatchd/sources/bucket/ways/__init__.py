"""The ways in which a bucket's events come, each a :class:`~lakewatchd.sources.bucket.way.Way`.

``reception`` counts what comes, whichever way; ``remote`` connects again for ever; ``listen``, ``mqtt`` and ``redis``
speak a protocol each, and load its library when they are imported; ``webhook`` is told by the HTTP process.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lakewatchd.config import BucketConfig
from lakewatchd.core.clock import Clock
from lakewatchd.errors import ConfigError
from lakewatchd.sources.bucket.way import Deliver, OnGap, Way

if TYPE_CHECKING:
    from lakewatchd.sources.bucket.ways.listen import Streams


def remote_ways(
    settings: BucketConfig, bucket: Streams, deliver: Deliver, on_gap: OnGap, clock: Clock, state_dir: Path
) -> list[Way]:
    """Those of the settings in which we call somebody. Raises ``ConfigError`` where the extra is not installed."""
    ways: list[Way] = []
    try:
        if settings.listen:
            from lakewatchd.sources.bucket.ways.listen import Listen

            ways.append(Listen(settings, bucket, deliver, on_gap, clock))
        if settings.mqtt:
            from lakewatchd.sources.bucket.ways.mqtt import Mqtt, identity_in

            ways.append(Mqtt(settings, deliver, on_gap, clock, identity_in(state_dir)))
        if settings.redis:
            from lakewatchd.sources.bucket.ways.redis import RedisList

            ways.append(RedisList(settings, deliver, on_gap, clock))
    except ImportError as exc:
        raise ConfigError(f"root {settings.name!r}: {exc.name} is missing", "pip install 'lakewatchd[bucket]'") from exc
    return ways
