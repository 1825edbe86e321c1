"""Numbered migrations of the lake: what cannot be said by adding a column, one step from each schema to the next.

A step is given the files and the ledger and returns the ledger of the next schema, which is written when the step
is done: a step that is cut off is done again, so each must bear to be repeated. A step, once released, is never
edited, and uses nothing that a later release may change: no table specs, no codecs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace

from lakewatchd.lake import durable
from lakewatchd.lake.durable import Ledger
from lakewatchd.lake.files import Files
from lakewatchd.lake.schema import SCHEMA_VERSION

_log = logging.getLogger(__name__)

Step = Callable[[Files, Ledger], Ledger]


def count_days(_files: Files, ledger: Ledger) -> Ledger:
    """What is gone is kept for so many days *of work*, counted in the ledger; before, the clock was believed."""
    return replace(ledger, days=(ledger.revision,))


def take_objects(_files: Files, ledger: Ledger) -> Ledger:
    """Places in buckets have an etag and labels. The columns come by themselves, empty; but code that does not know
    them could not write to these tables any more, and has to be told so."""
    return ledger


def take_every_kind(_files: Files, ledger: Ledger) -> Ledger:
    """Films have clips, recordings words, assets duplicates and families: columns again, which come by themselves."""
    return ledger


STEPS: Mapping[int, Step] = {1: count_days, 2: take_objects, 3: take_every_kind}
"""By the schema a step starts from."""


def migrate(files: Files, ledger: Ledger, *, sync: bool = True) -> Ledger:
    """The ledger of today's schema, with tables to match. Blocking."""
    while ledger.schema < SCHEMA_VERSION:
        number = ledger.schema
        ledger = replace(STEPS[number](files, ledger), schema=number + 1)
        durable.write_ledger(files, ledger, sync=sync)
        _log.info("lake migrated from schema %d to %d", number, ledger.schema)
    return ledger
