"""Values of a query as JSON can hold them."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any


def unique(names: list[str]) -> list[str]:
    """As they are, but no two the same."""
    found: dict[str, None] = {}
    for wanted in names:
        name, number = wanted, 2
        while name in found:
            name, number = f"{wanted} {number}", number + 1
        found[name] = None
    return list(found)


def plain(value: Any) -> Any:
    """What JSON can hold: times as ISO 8601, bytes as hexadecimal digits, numbers that are none as null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (dt.datetime, dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    return value if isinstance(value, (str, int, bool)) or value is None else str(value)
