"""Numbered migrations of the lake: what cannot be said by adding a column, one step from each schema to the next.

A step is given the directory and the ledger and returns the ledger of the next schema, which is written when the step
is done: a step that is cut off is done again, so each must bear to be repeated. A step, once released, is never
edited, and uses nothing that a later release may change: no table specs, no codecs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from lakewatchd.lake import durable
from lakewatchd.lake.durable import Ledger
from lakewatchd.lake.schema import SCHEMA_VERSION

_log = logging.getLogger(__name__)

Step = Callable[[Path, Ledger], Ledger]


def count_days(_directory: Path, ledger: Ledger) -> Ledger:
    """What is gone is kept for so many days *of work*, counted in the ledger; before, the clock was believed."""
    return replace(ledger, days=(ledger.revision,))


STEPS: Mapping[int, Step] = {1: count_days}
"""By the schema a step starts from."""


def migrate(directory: Path, ledger: Ledger, *, sync: bool = True) -> Ledger:
    """The ledger of today's schema, with tables to match. Blocking."""
    while ledger.schema < SCHEMA_VERSION:
        number = ledger.schema
        ledger = replace(STEPS[number](directory, ledger), schema=number + 1)
        durable.write_ledger(directory, ledger, sync=sync)
        _log.info("lake migrated from schema %d to %d", number, ledger.schema)
    return ledger
