"""Where a page of assets ended, as the address of the next one has it.

The invariant: what was not written here is refused, whatever it is.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt

from lakewatchd.errors import LakewatchError
from lakewatchd.lake.listed import Cursor
from lakewatchd.lake.rows import GoldRow


def written(row: GoldRow) -> str:
    return base64.urlsafe_b64encode(f"{row.dated_at.isoformat()} {row.asset_id}".encode()).decode().rstrip("=")


def read(cursor: str) -> Cursor | None:
    """None for the first page. Raises ``LakewatchError`` for what :func:`written` did not write."""
    if not cursor:
        return None
    try:
        moment, _, asset_id = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().partition(" ")
        if len(asset_id) != 64 or set(asset_id) - set("0123456789abcdef"):
            raise ValueError
        return Cursor(dt.datetime.fromisoformat(moment).replace(tzinfo=None), asset_id)
    except (ValueError, binascii.Error) as exc:
        raise LakewatchError("cursor: not one that was given out", "take `next` of the page before as it is") from exc
