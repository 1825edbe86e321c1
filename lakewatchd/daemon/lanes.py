"""How many jobs of each lane run at once, by the settings."""

from __future__ import annotations

from collections.abc import Mapping

from lakewatchd.config import Config
from lakewatchd.core.job import Lane


def lanes_of(config: Config) -> Mapping[Lane, int]:
    outside = config.captions.at_once if config.captions.model else 1  # what is left of a server that was taken out
    return {Lane.FAST: config.workers.fast, Lane.HEAVY: config.workers.heavy, Lane.OUTSIDE: outside}
