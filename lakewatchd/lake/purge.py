"""Forgetting: places that are gone for long, and what was derived from content that nothing holds.

How long is counted in days of work, each begun at most once in a day by the wall clock and noted in the ledger. A clock
that jumps by years ends one day early and no more; a clock that jumps back does not stop the count.

Invariant: what an occurrence that is kept refers to is never deleted. The withdrawal of an asset
(``gold_gone``) is forgotten last, so that a purge cut short is finished by the next one.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import replace

from lakewatchd.core.asset import AssetId
from lakewatchd.lake.durable import Ledger
from lakewatchd.lake.schema import ASSETS, GOLD_GONE, OCCURRENCES, SPANS, is_in
from lakewatchd.lake.store import Store
from lakewatchd.lake.thumbnails import Thumbnails

_AT_ONCE = 512
_DAY_S = 86_400.0


def with_today(ledger: Ledger, now: float, revision: int, keep_days: float) -> Ledger:
    """The ledger with another day in it, if one has begun; it keeps as many as are needed."""
    if ledger.days and abs(now - ledger.day_began) < _DAY_S:
        return ledger
    days = (*ledger.days, revision)[-(math.ceil(keep_days) + 1) :]
    return replace(ledger, days=days, day_began=now)


def gone_before(ledger: Ledger, keep_days: float, revision: int) -> int:
    """The revision before which what went is to be forgotten; 0 while nothing has been gone for long enough."""
    if not keep_days:
        return revision + 1
    kept = math.ceil(keep_days)
    return ledger.days[-kept - 1] if len(ledger.days) > kept else 0


async def purge(store: Store, thumbnails: Thumbnails, before: int) -> None:
    """Forget occurrences that went, and assets that were withdrawn, before revision ``before``.

    The caller forgets the withdrawals themselves (:func:`forget_withdrawals`) once readers are told.
    """
    await store.delete(OCCURRENCES, f"presence = 'gone' AND revision < {before}")
    withdrawn = await store.select(GOLD_GONE, ["asset_id"], f"revision < {before}")
    candidates = sorted(set(withdrawn["asset_id"].to_pylist()))
    for at in range(0, len(candidates), _AT_ONCE):
        await _forget(store, thumbnails, candidates[at : at + _AT_ONCE])


async def forget_withdrawals(store: Store, before: int) -> None:
    await store.delete(GOLD_GONE, f"revision < {before}")


async def _forget(store: Store, thumbnails: Thumbnails, asset_ids: Sequence[AssetId]) -> None:
    held = await store.select(OCCURRENCES, ["asset_id"], is_in("asset_id", asset_ids))
    unheld = sorted(set(asset_ids) - set(held["asset_id"].to_pylist()))
    if unheld:
        await store.delete(SPANS, is_in("asset_id", unheld))
        await store.delete(ASSETS, is_in("asset_id", unheld))
        await asyncio.to_thread(thumbnails.delete, unheld)
